"""The fleet without a broker: what it keeps, what it refuses, how it ends."""

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from firmware_sim.build import FleetError
from firmware_sim.config import FleetConfig
from firmware_sim.fleet import FleetBusyError, serve
from firmware_sim.start_file import StartFileError
from firmware_sim.status import FleetReport, FleetStatus
from firmware_sim.truth import TruthLine
from sensors.clock import SystemClock

SENSOR = {"name": "t", "unit": "Cel", "signal": {"kind": "constant", "value": 1}}
NOBODY = 9  # the discard port: nobody listens there


def fleet(folder: Path | None, **changes: Any) -> FleetConfig:
    made: dict[str, Any] = {
        "data_dir": folder and folder / "flash",
        "truth_file": folder and folder / "truth.ndjson",
        "mqtt": {"port": NOBODY, "connections": "shared"},
        "speed": 1000,
        "devices": [{"name": "d", "count": 3, "interval_s": 10, "sensors": [SENSOR]}],
    }
    return FleetConfig.model_validate(made | changes)


class WatchingClock(SystemClock):
    """The fleet looks at the clock at every turn; then this looks at the fleet."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def monotonic_ms(self) -> int:
        self._look()
        return super().monotonic_ms()


class LeapingClock(SystemClock):
    """Five milliseconds go by between any two looks, so that every turn is late."""

    def __init__(self) -> None:
        self._now_ms = 0

    def monotonic_ms(self) -> int:
        self._now_ms += 5
        return self._now_ms


async def run_until_held(config: FleetConfig, held: int, then: Callable[[asyncio.Event], object]) -> FleetReport:
    """Run; when so many readings are in flash, call `then` with the event that stops the fleet."""
    stop, status = asyncio.Event(), FleetStatus()

    def look() -> None:
        if status.report().held >= held:
            then(stop)

    return await serve(config, WatchingClock(look), None, stop, status)


def run_until(config: FleetConfig, held: int) -> FleetReport:
    """Run until so many readings are in flash, then stop cleanly."""
    return asyncio.run(run_until_held(config, held, asyncio.Event.set))


def test_without_a_broker_everything_is_kept_and_the_next_start_has_it(tmp_path: Path) -> None:
    first = run_until(fleet(tmp_path), 12)
    assert first.held == first.total.sampled >= 12
    assert (first.links_up, first.connects, first.total.sent) == (0, 0, 0)
    again = run_until(fleet(tmp_path), first.held + 1)
    assert again.held == first.held + again.total.sampled
    assert {device.boot for device in again.devices} == {boot + 1 for boot in {d.boot for d in first.devices}}
    assert len((tmp_path / "truth.ndjson").read_bytes().splitlines()) == again.held


def test_what_a_kill_kept_out_of_the_truth_file_is_completed_from_the_flash(tmp_path: Path) -> None:
    first = run_until(fleet(tmp_path), 12)
    truth = tmp_path / "truth.ndjson"
    whole = truth.read_bytes()
    truth.write_bytes(b"".join(whole.splitlines(keepends=True)[:-4])[:-7])
    again = run_until(fleet(tmp_path), first.held + 1)
    lines = [msgspec.json.decode(line, type=TruthLine) for line in truth.read_bytes().splitlines()]
    assert len({(line.device, line.boot, line.seq) for line in lines}) == len(lines) == again.held


def test_without_a_data_dir_two_runs_never_share_an_identity() -> None:
    first = run_until(fleet(None), 3)
    assert all(device.boot > 1_700_000_000 for device in first.devices)


def test_time_does_not_run_backwards_for_a_device_after_a_fast_run(tmp_path: Path) -> None:
    config = fleet(tmp_path, devices=[{"name": "d", "interval_s": 10, "clock": {"source": "rtc"}, "sensors": [SENSOR]}])
    run_until(config, 20)
    run_until(config, 40)
    lines = (tmp_path / "truth.ndjson").read_bytes().splitlines()
    times = [msgspec.json.decode(line, type=TruthLine).taken_at_ms for line in lines]
    assert times == sorted(times)


def test_two_fleets_on_one_folder_are_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async def both() -> FleetReport:
        stop, running = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(serve(fleet(tmp_path), SystemClock(), running.set, stop))
        await running.wait()
        with pytest.raises(FleetBusyError, match="another fleet is running on it"):
            await serve(fleet(tmp_path), SystemClock(), None, stop)
        stop.set()
        return await task

    assert len(asyncio.run(both()).devices) == 3


def test_a_fleet_says_how_late_it_was_and_that_it_kept_up(tmp_path: Path) -> None:
    report = run_until(fleet(tmp_path), 12)
    assert 0 < report.late_ms_max < 60_000


def test_lateness_is_told_at_worst_since_it_was_last_asked_and_of_the_whole_run() -> None:
    status = FleetStatus()
    status.note_late(30.0)
    status.note_late(20.0)
    assert (status.take_late_ms(), status.take_late_ms()) == (30.0, 0.0)
    status.note_late(5.0)
    assert (status.take_late_ms(), status.report().late_ms_max) == (5.0, 30.0)


def test_more_devices_than_the_system_allows_files_are_refused_before_a_connection_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (64, 130))
    with pytest.raises(FleetError, match=r"^mqtt\.connections: expected at most 2 devices"):
        run_until(fleet(tmp_path, mqtt={"port": NOBODY, "connections": "per-device"}), 1)


def test_a_cancelled_fleet_leaves_its_flash_whole(tmp_path: Path) -> None:
    async def cut() -> None:
        task = asyncio.current_task()
        assert task is not None
        await run_until_held(fleet(tmp_path), 6, lambda _: task.cancel())

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cut())
    assert run_until(fleet(tmp_path), 7).held >= 7


def test_tls_files_that_cannot_be_read_are_refused_before_a_socket_opens(tmp_path: Path) -> None:
    mqtt = {"port": NOBODY, "tls": {"ca_file": str(tmp_path / "no.pem")}}
    with pytest.raises(FleetError, match=r"mqtt\.tls: expected readable PEM files"):
        run_until(fleet(tmp_path, mqtt=mqtt), 1)


@pytest.mark.parametrize("clock", [SystemClock(), LeapingClock()], ids=["a machine's", "of a busy machine"])
def test_a_fleet_with_an_end_measures_exactly_what_falls_due_before_it(tmp_path: Path, clock: SystemClock) -> None:
    """Twelve readings of each device, however late the turns of a busy machine come."""
    report = asyncio.run(serve(fleet(tmp_path, measure_s=120), clock))
    assert report.total.sampled == report.held == 3 * 12
    lines = [
        msgspec.json.decode(line, type=TruthLine) for line in (tmp_path / "truth.ndjson").read_bytes().splitlines()
    ]
    assert max(line.at_ms or 0 for line in lines) - min(line.at_ms or 0 for line in lines) < 120_000


def test_a_restarted_fleet_goes_on_with_its_scenario_and_a_new_folder_begins_it_anew(tmp_path: Path) -> None:
    signal = {"kind": "steps", "initial": 0.0, "steps": [{"from_s": 100_000, "value": 1.0}]}
    device = {"name": "d", "interval_s": 10, "sensors": [SENSOR | {"signal": signal}]}

    def last_value(folder: Path, held: int) -> object:
        run_until(fleet(folder, devices=[device]), held)
        line = (folder / "truth.ndjson").read_bytes().splitlines()[-1]
        return msgspec.json.decode(line, type=TruthLine).values[0].value

    assert last_value(tmp_path / "one", 5) == 0.0
    started = tmp_path / "one" / "flash" / "started"
    began_ms = int(started.read_text())
    started.write_text(f"{began_ms - 100_000_000}\n")  # as if that had been a day ago
    assert last_value(tmp_path / "one", 10) == 1.0
    assert last_value(tmp_path / "other", 5) == 0.0
    assert int(started.read_text()) == began_ms - 100_000_000


def test_a_start_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flash").mkdir()
    (tmp_path / "flash" / "started").write_text("yesterday\n")
    with pytest.raises(StartFileError, match="started: expected milliseconds since 1970"):
        run_until(fleet(tmp_path), 1)


def test_a_board_that_broke_stays_broken_when_the_fleet_is_restarted(tmp_path: Path) -> None:
    broken = {"name": "d", "interval_s": 10, "failures": {"breaks_per_year": 1000.0}, "sensors": [SENSOR]}
    whole = {"name": "w", "interval_s": 10, "sensors": [SENSOR]}
    (tmp_path / "flash").mkdir()
    (tmp_path / "flash" / "started").write_text("1000\n")  # the board broke long ago
    report = run_until(fleet(tmp_path, devices=[broken, whole]), 3)
    assert [(device.counters.boots, device.phase == "off") for device in report.devices] == [(0, True), (1, False)]
