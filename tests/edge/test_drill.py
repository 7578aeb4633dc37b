"""Drills: only when allowed, one at a time, over by themselves; and senders that fail as told and lose nothing."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.desk import DESTINATION, Desk
from edge.drill import LATENCY_MS_MAX, SECONDS_MAX, DrillRefused, Drills, Fault, Order, Refusal
from edge.drilled import DrilledSender, DrillSwitch
from edge.exchange import Exchange
from edge.forward.forwarder import Wait
from edge.forward.outcome import Accepted, Failed, Outcome, Paused
from edge.maintenance import Maintenance
from edge.outages.events import Ending
from tests.edge.dashboard.kit import HeldClock
from tests.edge.kit import T0_MS, message, open_desk, reading

WALL_MS = T0_MS


def drills(minutes: int | None = 60, *, always: bool = False) -> tuple[Drills, Maintenance]:
    maintenance = Maintenance()
    if minutes is not None:
        maintenance.begin("ada", minutes, 0, WALL_MS)
    return Drills(maintenance, always=always), maintenance


def test_a_drill_needs_maintenance_mode_or_a_configuration_that_allows_it() -> None:
    closed, _ = drills(None)
    with pytest.raises(DrillRefused) as refused:
        closed.begin(Order(Fault.DOWN, 5), "ada", 0, WALL_MS, 0)
    assert refused.value.why is Refusal.NOT_ALLOWED
    for allowed in (drills(60)[0], drills(None, always=True)[0]):
        assert allowed.begin(Order(Fault.DOWN, 5), "ada", 0, WALL_MS, 7).until_ms == WALL_MS + 5000


def test_one_runs_at_a_time_and_the_last_is_remembered_with_its_true_end() -> None:
    one, _ = drills()
    one.begin(Order(Fault.DOWN, 60), "ada", 0, WALL_MS, 7)
    with pytest.raises(DrillRefused, match="stop it first"):
        one.begin(Order(Fault.TIMEOUT, 60), "eve", 1, WALL_MS, 0)
    one.end(WALL_MS + 20_000)
    assert one.running(20_000, WALL_MS + 20_000) is None
    assert one.last is not None
    assert (one.last.by, one.last.until_ms, one.last.held_before) == ("ada", WALL_MS + 20_000, 7)
    one.begin(Order(Fault.TIMEOUT, 1), "eve", 20_000, WALL_MS + 20_000, 0)
    assert one.running(20_999, WALL_MS + 20_999) is not None
    assert one.running(50_000, WALL_MS + 50_000) is None
    assert (one.last.by, one.last.until_ms) == ("eve", WALL_MS + 21_000), "it ended when it was to, not when looked at"


def test_it_ends_with_maintenance_mode() -> None:
    one, maintenance = drills(minutes=1)
    one.begin(Order(Fault.DOWN, 600), "ada", 0, WALL_MS, 0)
    assert one.on_destination("influx", 59_999, WALL_MS) is not None
    assert one.on_destination("influx", 60_000, WALL_MS) is None
    one, maintenance = drills()
    one.begin(Order(Fault.DOWN, 600), "ada", 0, WALL_MS, 0)
    maintenance.end()
    assert one.running(1, WALL_MS) is None


def test_only_the_destination_that_is_named_fails_and_only_the_link_that_is_named() -> None:
    one, _ = drills()
    one.begin(Order(Fault.DOWN, 60, destination="archive"), "ada", 0, WALL_MS, 0)
    assert one.on_destination("archive", 1, WALL_MS) is not None
    assert one.on_destination("influx", 1, WALL_MS) is None
    assert not one.on_devices(1, WALL_MS)
    one.end(WALL_MS)
    one.begin(Order(Fault.DOWN, 60, link="devices"), "ada", 0, WALL_MS, 0)
    assert one.on_devices(1, WALL_MS)
    assert one.on_destination("influx", 1, WALL_MS) is None


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"seconds": 0}, "seconds"),
        ({"seconds": SECONDS_MAX + 1}, "seconds"),
        ({"latency_ms": 0}, "latency_ms"),
        ({"latency_ms": LATENCY_MS_MAX + 1}, "latency_ms"),
        ({"link": "moon"}, "link"),
        ({"link": "devices", "fault": Fault.TIMEOUT}, "fault"),
        ({"link": "devices", "destination": "influx"}, "fault"),
    ],
)
def test_what_cannot_be_is_refused_by_field(order: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        Order(**{"fault": Fault.DOWN, "seconds": 5, **order})


@given(st.integers(1, SECONDS_MAX), st.lists(st.integers(0, 400_000), max_size=20))
def test_no_drill_outlives_its_time_however_often_it_is_looked_at(seconds: int, steps_ms: list[int]) -> None:
    one, _ = drills(None, always=True)
    one.begin(Order(Fault.DOWN, seconds), "ada", 0, WALL_MS, 0)
    now_ms = 0
    for step_ms in steps_ms:
        now_ms += step_ms
        assert (one.running(now_ms, WALL_MS + now_ms) is not None) == (now_ms < 1000 * seconds)


class Cloud:
    """Takes everything, and remembers it; `answer` is what it says."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.answer: Outcome = Accepted()
        self.exchange = Exchange()

    async def send(self, body: bytes) -> Outcome:
        self.exchange = Exchange(len(body))
        self.lines += body.splitlines()
        return self.answer

    async def ping(self) -> Outcome:
        self.exchange = Exchange()
        return self.answer

    async def aclose(self) -> None:
        return


class Scene:
    """A drilled sender before a cloud, and a clock that stands."""

    def __init__(self, fault: Fault | None, *, latency_ms: int = 10) -> None:
        self.clock, self.cloud = HeldClock(), Cloud()
        self.drills = Drills(Maintenance(), always=True)
        self.switch = DrillSwitch(self.drills, self.clock)
        if fault is not None:
            order = Order(fault, 60, latency_ms=latency_ms)
            self.drills.begin(order, "ada", self.clock.monotonic_ms(), self.clock.wall_ms(), 0)
        self.sender = DrilledSender("influx", self.cloud, self.switch)

    def over(self) -> None:
        self.drills.end(self.clock.wall_ms())
        self.switch.changed()


def test_without_a_drill_the_sender_is_the_real_one() -> None:
    scene = Scene(None)
    assert asyncio.run(scene.sender.send(b"a\n")) == Accepted()
    assert scene.sender.exchange == Exchange(2)


@pytest.mark.parametrize(
    ("fault", "cause", "status", "arrived", "exchange"),
    [
        (Fault.DOWN, "refused", None, [], Exchange(is_drill=True)),
        (Fault.HTTP_ERROR, "http 503", 503, [], Exchange(is_drill=True)),
        (Fault.RESET_PEER, "reset", None, [b"a"], Exchange(2, ended=Ending.RST, is_unknown=True, is_drill=True)),
    ],
)
def test_each_fault_fails_as_it_says(
    fault: Fault, cause: str, status: int | None, arrived: list[bytes], exchange: Exchange
) -> None:
    scene = Scene(fault)
    outcome = asyncio.run(scene.sender.send(b"a\n"))
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.status, scene.cloud.lines) == (cause, status, arrived)
    assert outcome.message.startswith("drill: ")
    assert scene.sender.exchange == exchange
    assert isinstance(asyncio.run(scene.sender.ping()), Failed)


def test_a_cut_keeps_silent_until_the_drill_is_over_and_sends_nothing() -> None:
    async def run() -> None:
        scene = Scene(Fault.TIMEOUT)
        sending = asyncio.ensure_future(scene.sender.send(b"a\n"))
        await asyncio.sleep(0)
        assert not sending.done()
        scene.over()
        outcome = await sending
        assert isinstance(outcome, Failed)
        assert (outcome.cause, scene.cloud.lines) == ("timeout", [])
        assert scene.sender.exchange == Exchange(ended=Ending.STALL, is_drill=True)
        assert await scene.sender.send(b"a\n") == Accepted()
        assert scene.sender.exchange == Exchange(2), "what is sent afterwards is no drill's"

    asyncio.run(run())


def test_a_slow_link_carries_everything_and_late_is_over_with_the_drill() -> None:
    async def run() -> None:
        scene = Scene(Fault.LATENCY, latency_ms=LATENCY_MS_MAX)
        sending = asyncio.ensure_future(scene.sender.send(b"a\n"))
        await asyncio.sleep(0)
        assert scene.cloud.lines == []
        scene.over()
        assert await sending == Accepted()
        assert scene.cloud.lines == [b"a"]
        assert scene.sender.exchange == Exchange(2, is_drill=True)

    asyncio.run(run())


def test_what_fails_by_itself_in_a_drill_is_told_as_it_is() -> None:
    scene = Scene(Fault.RESET_PEER)
    scene.cloud.answer = Failed("dns", "no such name")
    assert asyncio.run(scene.sender.send(b"a\n")) == scene.cloud.answer
    assert not scene.sender.exchange.is_drill
    scene.cloud.answer = Paused(401, "unauthorised")
    outcome = asyncio.run(scene.sender.send(b"a\n"))
    assert isinstance(outcome, Failed), "whatever the answer was, it is lost"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path)
    yield opened
    opened.close()


def carry(desk: Desk, scene: Scene, now_ms: int, tries: int) -> int:
    """So many requests, or until nothing is left; the virtual time afterwards."""
    while tries:
        plan = desk.next_batch(now_ms)
        if isinstance(plan, Wait):
            if plan.for_ms is None:
                break
            now_ms += plan.for_ms
            continue
        desk.settle(plan, asyncio.run(scene.sender.send(plan.body)), now_ms, T0_MS)
        assert desk.ledger.balance(DESTINATION).balances
        tries -= 1
    return now_ms


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.RESET_PEER, Fault.HTTP_ERROR, Fault.LATENCY])
def test_a_drill_loses_nothing_and_what_comes_twice_is_the_same(desk: Desk, fault: Fault) -> None:
    desk.take_in([message(*(reading(seq) for seq in range(40)))], 0, T0_MS)
    scene = Scene(fault)
    now_ms = carry(desk, scene, 0, 3)
    if fault is not Fault.LATENCY:
        assert desk.ledger.balance(DESTINATION).delivered == 0
    scene.over()
    carry(desk, scene, now_ms, 50)
    assert desk.ledger.balance(DESTINATION).delivered == 40
    times = Counter(line.rpartition(b" ")[2] for line in scene.cloud.lines)
    assert len(times) == 40
    assert len(set(scene.cloud.lines)) == 40, "a repetition differs from what it repeats"
    assert max(times.values()) == (4 if fault is Fault.RESET_PEER else 1)
