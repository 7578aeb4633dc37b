"""What a demo run is told, and where its things are."""

import re
from dataclasses import dataclass
from pathlib import Path

DEVICES_MAX = 200  # amqtt carries some 3,000 messages a second; at one reading a second this leaves it idle
DURATION_MIN_S = 10  # shorter, and the outage would be over before the forwarder has noticed it
_DURATION = re.compile(r"(\d+)(s|m|h|)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


class DemoError(Exception):
    """The demo cannot start or go on; the message says what to do. `taken`: a port, folder or lock is not to be had."""

    def __init__(self, message: str, *, taken: bool = False) -> None:
        super().__init__(message)
        self.taken = taken


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """One run. `for_s` None: until `q`. `folder` is emptied at the start of a run and kept afterwards."""

    folder: Path
    for_s: int | None = None
    devices: int = 20
    seed: int = 1
    api_port: int = 8080
    as_json: bool = False


def parse_duration(text: str) -> int:
    """`60s`, `5m`, `1h` or plain seconds, as seconds. Raises `DemoError`."""
    match = _DURATION.match(text.strip())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if seconds < DURATION_MIN_S:
        raise DemoError(f"--for {text}: expected at least {DURATION_MIN_S}s, such as 60s or 5m")
    return seconds
