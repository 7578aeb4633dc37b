"""What the processes of a replay are told: the site, made faster, as configuration files of ordinary parts.

Promises: at speed N everything that takes time takes an N-th of it, as far as it can be set: intervals, windows,
time-outs, back-off, keep-alive. So an outage of the recording meets as many readings and as many tries as in virtual
time. What cannot be had with real processes is refused by name before anything starts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.config import EdgeConfig
from tidegate.demo.site import BUCKET, LOOPBACK, Ports
from tidegate.replay.faults import GatewayCrash
from tidegate.replay.scenario import Fleet, Scenario

SPEED_MAX = 100.0
"""Beyond it a second of the link is ten milliseconds of processes that share a machine: times mean nothing."""
DEVICES_MAX = 200
"""Each is an MQTT client of its own; more of them measure the machine, not the gateway."""
INTERVAL_MIN_S = 0.05
KEEPALIVE_MIN_S = 5  # the least that gateway and fleet take
RETRY_CAP_MIN_S = 1.0
AGE_MIN_S = 60
DRAIN_MIN_S = 20.0
DRAIN_MAX_S = 120.0
TABLES = ("store", "windows", "history", "limits", "mapping", "alerts", "rules", "outages", "influx", "mqtt")
SECRETS = ("password", "password_file", "username", "tls", "token", "token_file", "ca_file")
SIGNALS = (
    ("temperature", "Cel", {"kind": "walk", "start": 20.0, "step_per_sqrt_s": 0.1, "low": -10.0, "high": 40.0}),
    ("humidity", "%RH", {"kind": "walk", "start": 50.0, "step_per_sqrt_s": 0.2, "low": 0.0, "high": 100.0}),
)


class NotForProcessesError(ValueError):
    """A site, or a speed, that only virtual time can replay. Carries `field` and `expected`."""

    def __init__(self, field: str, expected: str) -> None:
        self.field = field
        self.expected = expected
        super().__init__(f"{field}: expected {expected}")


@dataclass(frozen=True, slots=True)
class FleetPart:
    """The devices behind one link; `link` None: they have a good one."""

    link: str | None
    numbers: tuple[int, ...]


def check(scenario: Scenario, speed: float) -> None:
    """Raise `NotForProcessesError` for what real processes cannot do."""
    if not 0 < speed <= SPEED_MAX:
        raise NotForProcessesError("speed", f"a number above 0 and up to {SPEED_MAX:g}, found {speed:g}")
    for fault in scenario.faults:
        if not isinstance(fault, GatewayCrash):
            raise NotForProcessesError(
                "faults", f"only kind crash (others happen in virtual time), found {type(fault).__name__}"
            )
    fleet, at_speed = scenario.fleet, f"at speed {speed:g}"
    if fleet.devices > DEVICES_MAX:
        raise NotForProcessesError("fleet.devices", f"at most {DEVICES_MAX}, found {fleet.devices}")
    interval_s = fleet.interval_ms / 1000
    if interval_s / speed < INTERVAL_MIN_S:
        raise NotForProcessesError(
            "fleet.interval_s", f"at least {INTERVAL_MIN_S * speed:g} {at_speed}, found {interval_s:g}"
        )
    age_s = scenario.gateway.store.age_s_max
    if age_s is not None and age_s / speed < AGE_MIN_S:
        raise NotForProcessesError("store.age_s_max", f"at least {AGE_MIN_S * speed:g} {at_speed}, found {age_s}")


def fleet_parts(scenario: Scenario) -> tuple[FleetPart, ...]:
    """The fleet, by link: each part is a process of its own."""
    by_link: dict[str | None, list[int]] = {}
    for number in range(scenario.fleet.devices):
        timeline = scenario.device_links.get(number)
        by_link.setdefault(None if timeline is None else timeline.link, []).append(number)
    return tuple(FleetPart(link, tuple(numbers)) for link, numbers in by_link.items())


def drain_s(scenario: Scenario, speed: float) -> float:
    """How long devices and gateway have, when the links are well again, in real seconds."""
    return min(DRAIN_MAX_S, max(DRAIN_MIN_S, scenario.converge_s / speed))


def gateway_tables(config: EdgeConfig, speed: float, folder: Path, ports: Ports) -> dict[str, Any]:
    """The gateway's configuration; `ports.broker` is where it is to look for its broker."""
    plain = config.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    tables: dict[str, Any] = {name: plain[name] for name in TABLES if name in plain}
    for name in ("mqtt", "influx"):
        tables[name] = {key: value for key, value in tables.get(name, {}).items() if key not in SECRETS}
    mqtt, influx, store = config.mqtt, config.influx, config.store
    tables["mqtt"] |= {
        "host": LOOPBACK,
        "port": ports.broker,
        "keepalive_s": max(KEEPALIVE_MIN_S, round(mqtt.keepalive_s / speed)),
        "connect_timeout_s": mqtt.connect_timeout_s / speed,
    }
    tables["influx"] |= {
        "url": f"http://{LOOPBACK}:{ports.uplink}",
        "org": "tidegate",
        "bucket": BUCKET,
        "measurement": "reading",
        "connect_timeout_s": influx.connect_timeout_s / speed,
        "read_timeout_s": influx.read_timeout_s / speed,
        "flush_every_ms": round(influx.flush_every_ms / speed),
        "retry_cap_s": max(RETRY_CAP_MIN_S, influx.retry_cap_s / speed),
    }
    tables["store"] = {
        **tables.get("store", {}),
        "data_dir": str(folder / "edge"),
        "tell_ledger_every_s": _at_least_one(store.tell_ledger_every_s, speed),
        **({} if store.age_s_max is None else {"age_s_max": round(store.age_s_max / speed)}),
    }
    tables["windows"] = {
        **tables.get("windows", {}),
        "sizes_s": sorted({_at_least_one(size_s, speed) for size_s in config.windows.sizes_s}),
        "grace_ms": round(config.windows.grace_ms / speed),
        "lateness_ms": round(config.windows.lateness_ms / speed),
    }
    tables["outages"] = {**tables.get("outages", {}), "probe_every_s": config.outages.probe_every_s / speed}
    tables["limits"] = {
        **tables.get("limits", {}),
        "readings_per_s_per_device": min(1_000_000.0, config.limits.readings_per_s_per_device * speed),
    }
    tables["api"] = {"host": LOOPBACK, "port": ports.api}
    return tables


def _at_least_one(whole_s: int, speed: float) -> int:
    return 0 if whole_s == 0 else max(1, round(whole_s / speed))


def fleet_tables(
    scenario: Scenario, part: FleetPart, number: int, speed: float, folder: Path, broker_port: int
) -> dict[str, Any]:
    """The configuration of one process of devices."""
    fleet = scenario.fleet
    return {
        "site": fleet.site,
        "seed": scenario.seed,
        "measure_s": scenario.faults_s / speed,
        "drain_s": drain_s(scenario, speed),
        "truth_file": str(truth_file(folder, number)),
        "mqtt": {
            "host": LOOPBACK,
            "port": broker_port,
            "client_id": f"tidegate-fleet-{number}",
            "topic_root": scenario.gateway.mqtt.topic_root,
            "keepalive_s": max(KEEPALIVE_MIN_S, round(60 / speed)),
        },
        "devices": [_device(fleet, device, speed) for device in part.numbers],
    }


def truth_file(folder: Path, number: int) -> Path:
    """What the devices of one process measured."""
    return folder / f"truth-{number}.ndjson"


def _device(fleet: Fleet, number: int, speed: float) -> dict[str, Any]:
    sensors: Iterable[dict[str, Any]] = (
        {"name": name, "unit": unit, "signal": dict(signal)} for name, unit, signal in SIGNALS
    )
    send: dict[str, Any] = {"batch": fleet.batch, "ack_timeout_s": max(1.0, 30.0 / speed)}
    if fleet.receive_window_ms is not None:
        send["receive_window_s"] = fleet.receive_window_ms / 1000 / speed
    return {
        "name": fleet.spec(number).name,
        "interval_s": fleet.interval_ms / 1000 / speed,
        "sensors": list(sensors),
        "clock": {"source": str(fleet.clock)},
        "outbox": {"bytes_max": fleet.outbox_bytes_max},
        "send": send,
    }
