"""One destination's loop: an idle link is looked at, however often the loop is woken for nothing."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from edge.exchange import Exchange
from edge.forward.forwarder import Wait
from edge.forward.outcome import Accepted, Outcome
from edge.uplink import Uplink
from sensors.clock import SystemClock

WAKE_EVERY_S = 0.25
PROBE_EVERY_S = 60.0


class TimelessLoop(asyncio.SelectorEventLoop):
    """A loop whose time goes on only when it is told to."""

    now_s = 1000.0

    def time(self) -> float:
        return self.now_s


class IdleDesk:
    """Has never anything to send; each time it is asked, housekeeping wakes the uplink."""

    def __init__(self, loop: TimelessLoop, days_s: float) -> None:
        self.loop, self.until_s = loop, loop.now_s + days_s
        self.wake: Callable[[], None] = lambda: None

    def plan(self, destination: str, now_ms: int) -> Wait:
        self.loop.now_s += WAKE_EVERY_S
        if self.loop.now_s > self.until_s:
            raise asyncio.CancelledError
        self.wake()
        return Wait(None)


class Pinged:
    """A sender that notes when it was asked to look."""

    def __init__(self, loop: TimelessLoop) -> None:
        self.loop, self.exchange, self.at_s = loop, Exchange(), list[float]()

    async def ping(self) -> Outcome:
        self.at_s.append(self.loop.now_s)
        return Accepted()


class Watch:
    """Counts what it is told."""

    def __init__(self, probe_in_s: float | None) -> None:
        self.probe_in_s, self.tried = probe_in_s, 0

    def uplink_tried(self, started_s: float, outcome: Outcome, exchange: Exchange) -> bool:
        self.tried += 1
        return True


async def at_once(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return call(*args, **kwargs)


def idle_for(seconds: float, watch: Watch | None) -> list[float]:
    loop = TimelessLoop()
    desk, sender = IdleDesk(loop, seconds), Pinged(loop)
    uplink = Uplink("influx", sender, desk, SystemClock(), at_once, at_once, watch)  # type: ignore[arg-type]
    desk.wake = uplink.wake
    try:
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(uplink.run())
    finally:
        loop.close()
    return [at_s - 1000.0 for at_s in sender.at_s]


def test_an_idle_link_is_probed_once_a_minute_though_housekeeping_wakes_it_four_times_a_second() -> None:
    watch = Watch(PROBE_EVERY_S)
    probed_s = idle_for(300, watch)
    assert len(probed_s) == watch.tried == 4
    assert all(later - earlier == PROBE_EVERY_S for earlier, later in pairwise(probed_s))


def test_a_link_that_is_not_to_be_probed_is_left_alone() -> None:
    assert idle_for(300, Watch(None)) == []
    assert idle_for(300, None) == []
