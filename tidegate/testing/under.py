"""The gateway under an outage, for tests: lives through a recording when first asked, and shows what is left of it.

Promises: the verdict is that of `tidegate.replay.replay` with the same input; cloud, fleet and ledger are of that very
run. With a `speed` real processes live through it (`tidegate.replay_processes`), and only the verdict is left. A
verdict's snapshot is a JSON file beside the test, written and compared as `--outage-record` says.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cloud.lineprotocol import FieldValue
from edge.ledger_report import LedgerReport
from edge.outages.recording import Recording, read_recording
from edge.outages.rules import RecordingError
from sensors.reading import Identity
from tidegate.config import load_tables
from tidegate.errors import ConfigError
from tidegate.outage.replay_report import headline, verdict_lines
from tidegate.replay.faults import Fault
from tidegate.replay.history import History
from tidegate.replay.points import Points
from tidegate.replay.run import Run, Scenario, run
from tidegate.replay.site import SiteConfig
from tidegate.replay.stage import make_scenario, read_site
from tidegate.replay.verdict import Verdict

SITE = "site"  # the argument


class UnusableError(ValueError):
    """An argument of the mark cannot be used; says which, and what was expected."""


@dataclass(frozen=True, slots=True)
class CloudPoint:
    """A point in the cloud."""

    device: str
    time_ns: int
    fields: Mapping[str, FieldValue]


class CloudAfter:
    """What is in the simulated cloud."""

    def __init__(self, points: Points, measurement: str) -> None:
        self._points = points
        self._measurement = measurement

    def points(self, device: str | None = None, measurement: str | None = None) -> Iterator[CloudPoint]:
        """The points of a measurement, of one device or all, by time.

        Without `measurement`: the readings, as the site's `influx.measurement` names them. `reading_60s` are the
        rollups of `reading` over a minute.
        """
        for series, held in self._points.of(measurement or self._measurement):
            name = dict(series.tags).get("device", "")
            if device in (None, name):
                for time_ns in sorted(held):
                    yield CloudPoint(name, time_ns, self._points.fields(series, time_ns) or {})

    def readings(self, device: str | None = None) -> list[Identity]:
        """Whose readings are there, in order."""
        points = self.points(device)
        return sorted(Identity(each.device, int(each.fields["boot"]), int(each.fields["seq"])) for each in points)


class FleetAfter:
    """What the devices know."""

    def __init__(self, history: History) -> None:
        self._history = history

    def measured(self, device: str | None = None) -> list[Identity]:
        """All that one device measured, or all did."""
        return self._readings("measured", device)

    def acknowledged(self, device: str | None = None) -> list[Identity]:
        """What the gateway acknowledged of that."""
        return self._readings("acknowledged", device)

    def _readings(self, kind: str, device: str | None) -> list[Identity]:
        return [
            Identity(*key, seq)
            for key, account in sorted(self._history.accounts.items())
            if device in (None, key.device)
            for first, last in getattr(account, kind)
            for seq in range(first, last + 1)
        ]


class _Witnessed(Run):
    """A run whose ledger is looked at before the gateway is closed."""

    ledger: LedgerReport | None = None

    def verdict(self) -> Verdict:
        if self.gateway.life is not None:
            self.ledger = self.gateway.life.desk.ledger_report()
        return super().verdict()


class GatewayUnder:
    """The gateway under one outage. Made by the fixture `gateway_under`."""

    def __init__(
        self, name: str, recording: Recording, scenario: Scenario, speed: float | None, snapshot: Path, mode: str
    ) -> None:
        """`speed`: of processes; None: virtual time."""
        self.name = name
        self._recording = recording
        self._speed = speed
        self.has_lived = False
        self._scenario = scenario
        self._snapshot = snapshot
        self._mode = mode

    def __repr__(self) -> str:
        return f"<gateway under {self.name}>"

    @classmethod
    def prepare(
        cls,
        recording: Path,
        *,
        folder: Path,
        site: SiteConfig | Path | str | Mapping[str, Any] | None,
        seed: int,
        faults: object,
        speed: float | None,
        snapshot: Path,
        mode: str,
    ) -> "GatewayUnder":
        """Read all that there is to read; a relative `site` is in `folder`. Raises `UnusableError`."""
        try:
            read = read_recording(recording)
        except (RecordingError, OSError) as error:
            raise UnusableError(f"recording: {recording}: {error}") from error
        try:
            if isinstance(site, Mapping):
                config = load_tables(SiteConfig, site, SITE)
            else:
                config = site if isinstance(site, SiteConfig) else read_site(None if site is None else folder / site)
        except (ConfigError, OSError) as error:
            sentence = "; ".join(str(error).splitlines())
            raise UnusableError(sentence if isinstance(site, Mapping) else f"{SITE}: {sentence}") from error
        scenario = make_scenario(read, config, seed=seed, faults=_faults(faults, config.fleet.devices))
        if speed is not None:
            _check_processes(scenario, speed)
        return cls(recording.name, read, scenario, speed, snapshot, mode)

    @cached_property
    def _lived(self) -> tuple[_Witnessed | None, Verdict]:
        if self._speed is not None:
            # Here, because processes bring the web client and the proxy with them.
            from tidegate.replay_processes import engine

            verdict = engine.replay_processes(self._recording, self._scenario, speed=self._speed)
            self.has_lived = True
            return None, verdict
        runs: list[_Witnessed] = []

        def make_run(*arguments: Any, **focus: Any) -> _Witnessed:
            runs.append(_Witnessed(*arguments, **focus))
            return runs[-1]

        verdict = run(self._scenario, make_run=make_run)
        self.has_lived = True
        return runs[0], verdict

    @property
    def _run(self) -> _Witnessed:
        run = self._lived[0]
        if run is None:
            raise AssertionError("cloud, fleet and ledger are those of a run in virtual time: expected speed='max'")
        return run

    @property
    def verdict(self) -> Verdict:
        """What came of it."""
        return self._lived[1]

    @property
    def cloud(self) -> CloudAfter:
        """What is in the cloud."""
        return CloudAfter(self._run.cloud.points, self._scenario.gateway.influx.measurement)

    @property
    def fleet(self) -> FleetAfter:
        """What the devices know."""
        return FleetAfter(self._run.history)

    @property
    def ledger(self) -> LedgerReport:
        """The gateway's own account."""
        ledger = self._run.ledger
        if ledger is None:
            raise AssertionError("the gateway was not running at the end: there is no ledger to look at")
        return ledger

    def report(self) -> str:
        """The verdict in words, with the story if a promise was broken."""
        return "\n".join(verdict_lines(self.name, self.verdict))

    def assert_passed(self) -> None:
        """Every promise was kept, and the faults met traffic. Raises `AssertionError`."""
        __tracebackhide__ = True  # pytest shows the line of the test
        verdict = self.verdict
        if not (verdict.passed and verdict.valid):
            raise AssertionError("\n".join([headline(self.name, verdict), *map(str, verdict.violations[:3])]))

    def assert_snapshot(self) -> None:
        """The verdict is the one in its snapshot, as `--outage-record` says. Raises `AssertionError`."""
        __tracebackhide__ = True
        if self._speed is not None:
            raise AssertionError("no two runs of processes take the same time: expected speed='max' for a snapshot")
        now = json.dumps(self.verdict.to_snapshot(), indent=2, sort_keys=True) + "\n"
        exists = self._snapshot.is_file()
        if self._mode == "all" or (self._mode == "new" and not exists):
            self._snapshot.parent.mkdir(exist_ok=True)
            self._snapshot.write_text(now, encoding="utf-8")
            return
        if not exists:
            raise AssertionError(f"no snapshot {self._snapshot}: write it with --outage-record=new")
        before = self._snapshot.read_text(encoding="utf-8")
        if before != now:
            lines = difflib.unified_diff(before.splitlines(), now.splitlines(), "snapshot", "this run", lineterm="")
            raise AssertionError(
                "\n".join([f"another verdict than in {self._snapshot} (--outage-record=all):", *lines])
            )


def _check_processes(scenario: Scenario, speed: float) -> None:
    """Raises `UnusableError` for what real processes cannot do."""
    from tidegate.replay_processes.configs import NotForProcessesError, check

    try:
        check(scenario, speed)
    except NotForProcessesError as error:
        raise UnusableError(str(error)) from error


def _faults(given: object, devices: int) -> tuple[Fault, ...]:
    """The argument `faults`, checked. Raises `UnusableError`."""
    if not isinstance(given, Iterable):
        raise UnusableError(f"faults: expected a list of faults such as GatewayCrash(at_us=...), found {given!r}")
    faults: list[Fault] = []
    for number, fault in enumerate(given):
        if not isinstance(fault, Fault) or not isinstance(fault.at_us, int):
            raise UnusableError(f"faults[{number}]: expected a fault such as GatewayCrash(at_us=...), found {fault!r}")
        device = getattr(fault, "device", 0)
        if device not in range(devices):
            raise UnusableError(f"faults[{number}]: expected device below fleet.devices ({devices}), found {device}")
        faults.append(fault)
    return tuple(faults)
