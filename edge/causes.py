"""One word for how a link failed: the vocabulary of outages, from whatever exception the network gave."""

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
