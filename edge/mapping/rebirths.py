"""Asking Sparkplug nodes for a rebirth, not too often: a birth of a large node is a thousand metrics.

Synchronous and sans-IO; memory: one number for each node that was asked lately.
"""

from collections.abc import Iterable

from edge.feedback import Downlink
from edge.mapping.sparkplug import rebirth_command

ASK_EVERY_MS = 30_000  # of one node: time enough for a birth over a slow link
REMEMBERED_MAX = 10_000


class Rebirths:
    """Remembers who was asked when."""

    def __init__(self) -> None:
        self._asked_ms: dict[tuple[str, str], int] = {}

    def ask(self, nodes: Iterable[tuple[str, str]], now_ms: int, wall_ms: int) -> list[Downlink]:
        """The commands to (group, node) pairs that are due. `now_ms` is monotonic."""
        due = [each for each in nodes if now_ms - self._asked_ms.get(each, now_ms - ASK_EVERY_MS) >= ASK_EVERY_MS]
        if len(self._asked_ms) > REMEMBERED_MAX:
            self._asked_ms = {each: at for each, at in self._asked_ms.items() if now_ms - at < ASK_EVERY_MS}
        self._asked_ms.update((each, now_ms) for each in due)
        return [Downlink(*rebirth_command(*each, wall_ms)) for each in due]
