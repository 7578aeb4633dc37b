"""What one HTTP exchange was like on the wire, beside its answer: for the recorder of what links do."""

from dataclasses import dataclass, replace

import urllib3

from edge.outages.events import Ending


@dataclass(frozen=True, slots=True)
class Exchange:
    """`sent_bytes` of body, in so many TCP data `segments`, `resent` ones among them.

    `ended`: how the connection ended, if it did. `is_unknown`: no answer came, and the request may have arrived.
    """

    sent_bytes: int = 0
    segments: int = 0
    resent: int = 0
    ended: Ending | None = None
    is_unknown: bool = False

    def stalled(self) -> "Exchange":
        """The same, given up in silence."""
        return replace(self, ended=Ending.STALL, is_unknown=self.sent_bytes > 0)


def of_error(error: BaseException, sent_bytes: int) -> Exchange:
    """The exchange that ended with this error. Whatever fails before the connection stands has sent nothing."""
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return Exchange(sent_bytes, ended=Ending.STALL, is_unknown=sent_bytes > 0)
    if isinstance(error, urllib3.exceptions.ProtocolError):
        inner = error.args[1] if len(error.args) > 1 else None
        reset = isinstance(inner, ConnectionError) and inner.errno is not None  # a plain close has no errno
        return Exchange(sent_bytes, ended=Ending.RST if reset else Ending.FIN, is_unknown=sent_bytes > 0)
    return Exchange()
