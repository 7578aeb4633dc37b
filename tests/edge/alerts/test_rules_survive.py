"""For any order of readings, crashes and failures, alerts are those of a plain reading of the log, each told once."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.alerts import evaluator
from edge.alerts.book import Listed
from edge.desk import Desk
from edge.store import StoreFailed
from sensors.reading import Reading, Value
from tests.edge.alerts import kit
from tests.edge.alerts.kit import Told, told, warmth
from tests.edge.kit import T0_MS, message

RULES = (
    kit.rule(**kit.WARM),
    kit.rule(name="cold", kind="threshold", value="temperature", device="a", below=4.0, hysteresis=2.0, for_s=10),
    kit.rule(name="rising", kind="rate_of_change", value="temperature", above=6.0, per="min", window_s=30),
)


class Plain:
    """The rules again, written down from their description: one device, all of its readings so far, one by one."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.newest = (-1, -1, -1)
        self.active: dict[str, bool] = {}
        self.below_since_ms: int | None = None
        self.points: list[tuple[int, float]] = []
        self.events: list[Told] = []

    def see(self, reading: Reading, number: float, is_late: bool) -> None:
        at = (reading.taken_at_ms, reading.boot, reading.seq)
        if at <= self.newest:
            return
        self.newest = at
        self._judge("warm", number > 10, number <= 7, is_late)
        if self.device == "a":
            self._cold(number, at[0], is_late)
        self._rising(number, at[0], is_late)

    def _cold(self, number: float, at_ms: int, is_late: bool) -> None:
        if number >= 4:
            self.below_since_ms = None
        elif not is_late and self.below_since_ms is None:
            self.below_since_ms = at_ms
        held = self.below_since_ms is not None and at_ms - self.below_since_ms >= 10_000
        self._judge("cold", number < 4 and held, number >= 6, is_late)
        if self.active.get("cold"):
            self.below_since_ms = None

    def _rising(self, number: float, at_ms: int, is_late: bool) -> None:
        old = [point for point in self.points if point[0] <= at_ms - 30_000]
        if old:
            per_min = (number - old[-1][1]) / (at_ms - old[-1][0]) * 60_000
            self._judge("rising", per_min > 6, per_min <= 6, is_late)
        if not self.points or at_ms - self.points[-1][0] >= 30_000 / 16:
            self.points.append((at_ms, number))

    def _judge(self, name: str, raises: bool, clears: bool, is_late: bool) -> None:
        if is_late:
            return
        if self.active.get(name):
            if clears:
                self.active[name] = False
                self.events.append(Told("cleared", name, self.device))
        elif raises:
            self.active[name] = True
            self.events.append(Told("raised", name, self.device))


class AlertsSurvive(RuleBasedStateMachine):
    """Two devices, three rules."""

    @initialize()
    def start(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.desk = self.open()
        self.plain = {device: Plain(device) for device in ("a", "b")}
        self.seen: set[tuple[str, int]] = set()
        self.wall_ms = T0_MS
        self.seqs = 0
        self.look()

    def open(self) -> Desk:
        return kit.desk_with(Path(self.directory.name), *RULES)

    @rule(
        device=st.sampled_from(["a", "b"]),
        steps=st.lists(st.tuples(st.integers(-20, 40), st.integers(0, 20)), min_size=1, max_size=6),
        waited_s=st.sampled_from([0, 0, 0, 5, 400]),
    )
    def arrive(self, device: str, steps: list[tuple[int, int]], waited_s: int) -> None:
        """Readings in any order of time; some waited so long that they are late."""
        readings = []
        for offset_s, number in steps:
            readings.append((warmth(self.seqs, float(number), at_s=(self.wall_ms - T0_MS) / 1000 + offset_s), number))
            self.seqs += 1
        self.wall_ms += 1000 * waited_s
        readings = [(Reading(device, 1, one.seq, one.taken_at_ms, one.values), number) for one, number in readings]
        self.desk.take_in([message(*(one for one, _ in readings))], 0, self.wall_ms)
        pulse = Reading(device, 1, self.seqs, self.wall_ms, (Value("pulse", 1.0, None),))  # its clock is right
        self.desk.take_in([message(pulse)], 0, self.wall_ms)
        self.seqs += 1
        for one, number in readings:
            self.plain[device].see(one, float(number), self.wall_ms - one.taken_at_ms > 300_000)
        self.wall_ms += 5_000

    @rule()
    def look(self) -> None:
        kit.look(self.desk, (self.wall_ms - T0_MS) / 1000)

    @rule(at=st.integers(1, 12))
    def fail(self, at: int) -> None:
        """The write number `at` fails, as a kill there would."""
        calls = 0
        store: Any = self.desk.store

        def counted(real: Any) -> Any:
            def call(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == at:
                    raise StoreFailed("no")
                return real(*arguments)

            return call

        real = {name: getattr(store, name) for name in ("run_many", "set_cursor", "run")}
        for name, method in real.items():
            setattr(store, name, counted(method))
        try:
            self.look()
        except StoreFailed:
            pass
        finally:
            for name in real:
                delattr(store, name)

    @rule()
    def crash(self) -> None:
        self.desk.store.close()
        self.desk = self.open()

    @invariant()
    def alerts_are_those_of_the_log(self) -> None:
        if not hasattr(self, "plain"):
            return
        for device, plain in self.plain.items():
            mine = [one for one in told(self.desk) if one.device == device]
            for name in ("warm", "cold", "rising"):
                found = [one.event for one in mine if one.rule == name]
                expected = [one.event for one in plain.events if one.rule == name]
                if self.desk.alerts._rules.behind:
                    assert found == expected[: len(found)]
                else:
                    assert found == expected
        if not self.desk.alerts._rules.behind:
            active = {(row.alert.device, row.alert.rule) for row in self.desk.alerts.book.alerts(Listed("active"))}
            assert active == {(d, name) for d, plain in self.plain.items() for name, on in plain.active.items() if on}

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.look()
            self.alerts_are_those_of_the_log()
            self.desk.store.close()
            self.directory.cleanup()


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "PAGE_ROWS", 3)


TestAlertsSurvive = AlertsSurvive.TestCase
TestAlertsSurvive.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
