"""What befalls single connections while their link keeps its status: the `close` and `unknown_write` events of a link.

Promises: a close meets the connection that is open at its instant, or nobody; an unknown write takes the answer of one
write, the first that arrives from its `sent_us` on. What falls into an outage is left to the outage. What was met and
what was not is known at the end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.outages.events import Close, UnknownWrite
from tidegate.outage.builder import SECOND_US

WRITE_WITHIN_US = 60 * SECOND_US
"""How long an unknown write waits for a write at least: a reset takes its answer within milliseconds, and a fleet with
one reading a minute writes once a minute."""

Span = tuple[int, int]


@dataclass(slots=True)
class _Loss:
    """The answer to one write that arrives in [from_us, until_us) is lost. `expected`: no outage explains it."""

    from_us: int
    until_us: int
    expected: bool
    met: bool = False


class Mishaps:
    """Those of one link, for whoever uses it."""

    def __init__(
        self, closes: Iterable[Close] = (), writes: Iterable[UnknownWrite] = (), downs: Sequence[Span] = ()
    ) -> None:
        """`downs`: when the link is down, in order."""
        self.closes = tuple(close for close in closes if not _is_within(close.at_us, downs))
        self._met: set[int] = set()
        in_order = sorted(writes, key=lambda write: write.sent_us)
        found = (_loss(write, downs) for write in in_order)
        self._losses = tuple(loss for loss in found if loss is not None)
        self._next = 0

    def meet(self, number: int) -> None:
        """The close of this number met a connection."""
        self._met.add(number)

    def loses_answers(self, now_us: int) -> bool:
        """Whether a write that arrives now would lose its answer."""
        losses = self._losses
        if not losses:
            return False
        while self._next < len(losses) and losses[self._next].until_us <= now_us:
            self._next += 1
        return self._next < len(losses) and losses[self._next].from_us <= now_us

    def takes_answer(self, now_us: int) -> bool:
        """Whether the answer to the write that arrives now is lost; each unknown write takes one."""
        if not self.loses_answers(now_us):
            return False
        self._losses[self._next].met = True
        self._next += 1
        return True

    @property
    def edges_us(self) -> tuple[int, ...]:
        """When answers begin and cease to be lost."""
        return tuple(edge_us for loss in self._losses for edge_us in (loss.from_us, loss.until_us))

    @property
    def met(self) -> int:
        """How many met traffic so far."""
        return len(self._met) + sum(loss.met for loss in self._losses)

    @property
    def unmet(self) -> tuple[str, ...]:
        """Those that did not."""
        closes = (f"close by {close.how} at {close.at_us} us" for close in self._unmet_closes())
        losses = (f"unknown write at {loss.from_us} us" for loss in self._losses if loss.expected and not loss.met)
        return (*closes, *losses)

    def _unmet_closes(self) -> Iterable[Close]:
        return (close for number, close in enumerate(self.closes) if number not in self._met)


def _loss(write: UnknownWrite, downs: Sequence[Span]) -> _Loss | None:
    until_us = max(write.at_us, write.sent_us + WRITE_WITHIN_US)
    for start_us, end_us in downs:
        if start_us <= write.sent_us < end_us:
            return None
        if write.sent_us < start_us < until_us:
            return _Loss(write.sent_us, start_us, expected=start_us > write.at_us)
    return _Loss(write.sent_us, until_us, expected=True)


def _is_within(at_us: int, spans: Sequence[Span]) -> bool:
    return any(start_us <= at_us < end_us for start_us, end_us in spans)
