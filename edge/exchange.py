"""What one HTTP exchange was like on the wire, beside its answer: for the recorder of what links do."""

from dataclasses import dataclass, replace

from edge.outages.events import Ending


@dataclass(frozen=True, slots=True)
class Exchange:
    """`sent_bytes` of body, in so many TCP data `segments`, `resent` ones among them.

    `ended`: how the connection ended, if it did. `is_unknown`: no answer came, and the request may have arrived.
    `is_drill`: it was made to be like that.
    `travelled`: something went to the far side and back, so the time it took is a round trip.
    """

    sent_bytes: int = 0
    segments: int = 0
    resent: int = 0
    ended: Ending | None = None
    is_unknown: bool = False
    is_drill: bool = False
    travelled: bool = True

    def stalled(self) -> "Exchange":
        """The same, given up in silence."""
        return replace(self, ended=Ending.STALL, is_unknown=self.sent_bytes > 0)
