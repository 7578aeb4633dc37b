"""The demo's folder: taken by one run at a time, emptied, and filled with one configuration file for each part.

The files are ordinary configurations of `tidegate broker|cloud|edge|sensors run`: what the demo runs, anybody can run.
Secrets are made anew for each run and travel in the environment only.
"""

import fcntl
import json
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

from tidegate.demo.settings import DemoError, DemoSettings

MARKER = "tidegate-demo"
LOOPBACK = "127.0.0.1"
OFFICE_CSV = "office_room_2015.csv"
LINK_CSV = "att-lte-driving-up.csv"
SITE = "office"
BUCKET = "tidegate"
INTERVAL_S = 1.0
CSV_TIME_SCALE = 60.0  # the office file has a row a minute: a minute of that day passes every second
CSV_STAGGER_S = 900.0  # neighbouring devices are a quarter of an hour apart in it, so that no two show the same
RETRY_CAP_S = 4.0  # so that catching up starts within seconds of the link's return; in the field a minute is kinder
DRAIN_S = 20.0  # how long devices wait for their last acks at the end


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens, on the loopback interface. `uplink` is the fault proxy before the cloud."""

    broker: int
    cloud: int
    uplink: int
    api: int


@dataclass(frozen=True, slots=True)
class Site:
    """A prepared folder. `environment` has the secrets; `lock` keeps a second demo out for as long as it is open."""

    folder: Path
    ports: Ports
    environment: Mapping[str, str]
    token: str
    lock: IO[str]

    def config(self, part: str) -> Path:
        """The configuration file of a part."""
        return self.folder / f"{part}.toml"

    def log(self, part: str) -> Path:
        """The log file of a part."""
        return self.folder / f"{part}.log"

    @property
    def truth(self) -> Path:
        """What the devices measured."""
        return self.folder / "truth.ndjson"


def data_file(name: str) -> Path:
    """A data file that ships with the package."""
    return Path(str(files("tidegate.demo") / "data" / name))


def prepare(settings: DemoSettings) -> Site:
    """Take the folder, empty it, choose ports and write the configurations. Raises `DemoError`."""
    lock = _take(settings.folder)
    try:
        ports = Ports(free_port(), free_port(), free_port(), _check_port(settings.api_port))
        password, token = secrets.token_urlsafe(18), secrets.token_urlsafe(24)
        environment = {
            "TIDEGATE_BROKER__PASSWORD": password,
            "TIDEGATE_CLOUD__TOKEN": token,
            "TIDEGATE_EDGE__MQTT__PASSWORD": password,
            "TIDEGATE_EDGE__INFLUX__TOKEN": token,
            "TIDEGATE_SENSORS__MQTT__PASSWORD": password,
        }
        site = Site(settings.folder, ports, environment, token, lock)
        for part, content in _configurations(settings, site).items():
            site.config(part).write_text(toml(content))
    except BaseException:
        lock.close()
        raise
    return site


def _take(folder: Path) -> IO[str]:
    marker = folder / MARKER
    try:
        if folder.exists() and any(folder.iterdir()) and not marker.exists():
            raise DemoError(f"{folder} holds other things: give the demo a folder of its own with --dir", taken=True)
        folder.mkdir(parents=True, exist_ok=True)
        lock = marker.open("a")
    except OSError as error:
        raise DemoError(f"cannot write to {folder}: {error.strerror}; choose another with --dir", taken=True) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise DemoError(
            f"another demo runs in {folder}: end it, or choose another folder with --dir", taken=True
        ) from None
    for left in folder.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left != marker:
            left.unlink()
    return lock


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        return int(probe.getsockname()[1])


def _check_port(port: int) -> int:
    try:
        with socket.create_server((LOOPBACK, port)) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise DemoError(
            f"cannot listen on {LOOPBACK}:{port}: {why}; choose another with --api-port", taken=True
        ) from None


def _configurations(settings: DemoSettings, site: Site) -> dict[str, dict[str, Any]]:
    ports, folder = site.ports, settings.folder
    mqtt = {"host": LOOPBACK, "port": ports.broker, "protocol": "3.1.1", "username": MARKER}
    return {
        "broker": {"host": LOOPBACK, "port": ports.broker, "username": MARKER},
        "cloud": {"host": LOOPBACK, "port": ports.cloud, "db_path": str(folder / "cloud.sqlite")},
        "edge": {
            "mqtt": {**mqtt, "keepalive_s": 10},
            "store": {"data_dir": str(folder / "edge")},
            "influx": {
                "url": f"http://{LOOPBACK}:{ports.uplink}",
                "bucket": BUCKET,
                "connect_timeout_s": 2.0,
                "read_timeout_s": 2.0,
                "retry_cap_s": RETRY_CAP_S,
            },
            "api": {"host": LOOPBACK, "port": ports.api},
            "drill": {"always": True},  # a demonstration is what drills are for
        },
        "sensors": {
            "site": SITE,
            "seed": settings.seed,
            "drain_s": DRAIN_S,
            "data_dir": str(folder / "devices"),
            "truth_file": str(site.truth),
            "mqtt": {**mqtt, "keepalive_s": 10},
            "devices": [_rooms(settings.devices)],
        },
    }


def _rooms(count: int) -> dict[str, Any]:
    """Battery-powered room sensors that sample the office recording."""
    signal = {
        "kind": "csv",
        "file": str(data_file(OFFICE_CSV)),
        "time_column": "date",
        "time_scale": CSV_TIME_SCALE,
        "stagger_s": CSV_STAGGER_S,
    }
    return {
        "name": "room",
        "count": count,
        "interval_s": INTERVAL_S,
        "jitter_s": INTERVAL_S / 10,
        "sensors": [
            {"part": "SHT31", "quantity": "temperature", "signal": {**signal, "column": "Temperature"}},
            {"part": "SHT31", "quantity": "humidity", "signal": {**signal, "column": "Humidity"}},
            # No part: a CO2 sensor takes 5 s, and the demo does not wait for it.
            {"name": "co2", "unit": "ppm", "signal": {**signal, "column": "CO2"}},
        ],
        "battery": {"cell": "18650-li-ion", "board": "esp32-wifi", "report_every": 10},
        "send": {"ack_timeout_s": 5.0},
    }


def toml(table: Mapping[str, Any]) -> str:
    """TOML of plain values, tables and lists of tables (inline): what a configuration needs."""
    lines = [f"{key} = {_inline(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_inline(each)}" for name, each in value.items())]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_inline(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)  # strings, numbers and booleans are the same in both
