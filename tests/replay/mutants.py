"""Gateways with a bug planted in them, which the checkers must find: a checker that never fires proves nothing."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from edge.config import EdgeConfig
from edge.desk import Desk
from edge.desk_rules import DeskRules, desk_rules
from edge.feedback import Downlink
from edge.forward.forwarder import Batch, Wait
from edge.forward.outcome import Accepted, Outcome, Refused, Throttled
from edge.ingest import Ingested, Message
from edge.store.windows import Window, WindowKey
from tidegate.replay.gateway import MakeDesk


def planted(kind: type[Desk]) -> MakeDesk:
    """Opens desks of this kind."""

    def make(config: EdgeConfig, data_dir: Path, rng: Random) -> Desk:
        return kind(data_dir, rng, desk_rules(config))

    return make


class AcknowledgesBeforeCommit(Desk):
    """Says that a batch is durable, and commits it together with the next one."""

    _pending: tuple[Message, ...] = ()

    def take_in(self, messages: Sequence[Message], now_ms: int, wall_ms: int) -> tuple[Ingested, list[Downlink]]:
        pending, self._pending = self._pending, tuple(messages)
        return super().take_in(pending, now_ms, wall_ms)


class MovesTheCursorBeforeTheAnswer(Desk):
    """Calls a batch delivered when it is sent."""

    def next_batch(self, now_ms: int) -> Batch | Wait:
        plan = super().next_batch(now_ms)
        if isinstance(plan, Batch):
            super().settle(plan, Accepted(), now_ms, 0)
        return plan

    def settle(self, batch: Batch, outcome: Outcome, now_ms: int, wall_ms: int) -> None:
        pass


class DropsOn429(Desk):
    """Takes a 429 for a success."""

    def settle(self, batch: Batch, outcome: Outcome, now_ms: int, wall_ms: int) -> None:
        told = Accepted() if isinstance(outcome, Throttled) else outcome
        super().settle(batch, told, now_ms, wall_ms)


class DropsTheWholeRefusedBatch(Desk):
    """Skips a batch in which one point is bad."""

    def settle(self, batch: Batch, outcome: Outcome, now_ms: int, wall_ms: int) -> None:
        told = Accepted() if isinstance(outcome, Refused) else outcome
        super().settle(batch, told, now_ms, wall_ms)


class StampsWithTheTimeOfSending(Desk):
    """Gives a batch that is sent again another time."""

    _sent = 0

    def next_batch(self, now_ms: int) -> Batch | Wait:
        plan = super().next_batch(now_ms)
        if not isinstance(plan, Batch):
            return plan
        self._sent += 1
        lines = [line[:-1] + b"%d" % (self._sent % 10) for line in plan.body.splitlines()]

        return plan._replace(body=b"\n".join(lines) + b"\n")


class LosesTheSign(Desk):
    """Sends frost as warmth."""

    def next_batch(self, now_ms: int) -> Batch | Wait:
        plan = super().next_batch(now_ms)
        if not isinstance(plan, Batch):
            return plan
        return plan._replace(body=plan.body.replace(b"temperature_Cel=-", b"temperature_Cel="))


class SendsNewestFirst(Desk):
    """Turns the order of a batch round."""

    def next_batch(self, now_ms: int) -> Batch | Wait:
        plan = super().next_batch(now_ms)
        if not isinstance(plan, Batch):
            return plan
        return plan._replace(body=b"\n".join(reversed(plan.body.splitlines())) + b"\n")


class NeverCorrectsAWindow(Desk):
    """Emits each window once: a reading that comes late changes its state, and no rollup."""

    def __init__(self, data_dir: Path, rng: Random, rules: DeskRules) -> None:
        super().__init__(data_dir, rng, rules)
        tables = self._aggregator._tables
        emit, emitted = tables.append, set[WindowKey]()

        def once(windows: Sequence[tuple[WindowKey, Window]], *rest: Any) -> None:
            emit([(key, window) for key, window in windows if key not in emitted], *rest)
            emitted.update(key for key, _ in windows)

        tables.append = once  # type: ignore[method-assign, assignment]
