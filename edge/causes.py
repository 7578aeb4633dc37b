"""One word for how a link failed: the vocabulary of outages, from whatever exception the network gave; and what people
are told of it, the same on every page and in every command.
"""

import errno
import socket
import ssl

DNS = "dns"
REFUSED = "refused"
UNREACHABLE = "unreachable"
TLS = "tls"
TIMEOUT = "timeout"
RESET = "reset"
CLOSED = "closed"
PROTOCOL = "protocol"

THROTTLED = "throttled"
ANSWERED = "http"
"""By itself, with a status beside it, or with the status behind it: `http 503`."""
_TOLD = {
    DNS: "name not resolved",
    REFUSED: "connection refused",
    UNREACHABLE: "no route",
    TLS: "TLS handshake failed",
    TIMEOUT: "no answer in time",
    RESET: "connection broken",
    CLOSED: "closed by the other side",
    PROTOCOL: "answer not understood",
    THROTTLED: "asked to send less",
    ANSWERED: "answered with an error",
    "slow": "too slow",
}

_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}


def cause_of(error: BaseException) -> str:
    """The word for an exception of a socket, of TLS or of name resolution; `reset` for what is none of these."""
    if isinstance(error, socket.gaierror):
        return DNS
    if isinstance(error, ssl.SSLError):
        return TLS
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    if isinstance(error, TimeoutError):
        return TIMEOUT
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return UNREACHABLE
    return RESET


def told(cause: str | None, http_status: int | None = None) -> str:
    """A cause in words, as half a sentence: `Cloud: no answer in time`."""
    if cause is None:
        return "cause not known"
    word, _, number = cause.partition(" ")
    status = http_status or number
    return f"answered {status}" if word == ANSWERED and status else _TOLD.get(cause, cause)
