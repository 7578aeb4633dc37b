"""Pictures of every page: see scripts/screenshots."""

import argparse
import math
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from edge.access.roles import Role
from sensors.clock import SystemClock
from sensors.reading import Reading, Value
from tests.e2e.dashboard.accounts import PASSWORD, Accounts
from tests.e2e.dashboard.stage import Stage, chromium, stage

REPLAYED = Path(__file__).resolve().parents[2] / "recordings" / "field" / "att-lte.outage.jsonl.zst"
IMAGES = Path(__file__).resolve().parents[3] / "docs" / "img"
BYTES_MAX = 200_000  # of a picture: the repository keeps every version
VIEWS = {"desktop": (1280, 800), "phone": (390, 844), "wall": (1920, 1080)}
SITES = ("north-hall", "south-hall", "water-works")
ROLES = ("climate", "pump", "meter", "door")
DEVICES = 36
STEP_S = 1.0
RECOVERY_MS = 15_000  # back-off, catching up, and the recorder's next write
DRILL_MS = 12_000  # until something is held
NAME = "ada"
LONG = frozenset({"devices", "settings", "topics", "quarantine"})
"""Pages of which a phone's picture shows the first screen only."""
MISUNDERSTOOD = (
    ("tidegate/v1/water-works/kitchen/reading", b'{"temperature": 21.5, "linkquality": 92}'),
    ("tidegate/v1/north-hall/pump-01/reading", b'[{"boot":1,"seq":0,"bt":1,"n":"pressure","v":NaN}]'),
    ("tidegate/v1/south-hall/door-02/reading", b"\x00\x1b[31m\xff\xfeR\xf6m"),
    ("tidegate/v1/south-hall/<img src=x onerror=alert(1)>/reading", b"<script>alert(1)</script>"),
)


class Fleet:
    """Devices with believable values; one loses a message now and then."""

    def __init__(self, scene: Stage) -> None:
        self._scene = scene
        self._rng = Random(4)
        self._seqs = [0] * DEVICES
        self._sites = [SITES[at % len(SITES)] for at in range(DEVICES)]
        self._names = [f"{ROLES[at % len(ROLES)]}-{at // len(ROLES) + 1:02d}" for at in range(DEVICES)]

    def speak(self) -> None:
        """One reading of each."""
        now_ms = SystemClock().wall_ms()
        for at, (site, name) in enumerate(zip(self._sites, self._names, strict=True)):
            seq = self._seqs[at]
            self._seqs[at] += 1
            if name == "pump-03" and seq % 40 in (17, 18, 19):
                continue
            reading = Reading(name, 1 + at % 4, seq, now_ms, self._values(at, now_ms / 1000))
            self._scene.devices.publish(site, [reading], wait=False)

    def _values(self, at: int, at_s: float) -> tuple[Value, ...]:
        noise = self._rng.gauss(0, 1)
        wave = math.sin(at_s / 40 + at)
        battery = (
            Value("battery_voltage", round(3.62 - 0.012 * at, 3), "V"),
            Value("battery_level", float(98 - 2 * at), "%EL"),
        )
        kind = ROLES[at % len(ROLES)]
        if kind == "climate":
            return (
                Value("temperature", round(21.4 + 2 * wave + 0.06 * noise, 2), "Cel"),
                Value("humidity", round(44 - 6 * wave + 0.2 * noise, 1), "%RH"), *battery,
            )  # fmt: skip
        if kind == "pump":
            return (
                Value("pressure", round(3100 + 40 * wave + 2 * noise, 1), "hPa"),
                Value("flow", round(12 + 3 * wave + 0.3 * noise, 2), "l/s"),
                Value("vibration", round(abs(0.8 + 0.2 * noise), 3), "m/s2"), *battery,
            )  # fmt: skip
        if kind == "meter":
            return (Value("energy", round(14_000 + at_s % 86_400 / 10 + noise, 1), "kWh"), *battery)
        return (Value("open", wave > 0.6), Value("mode", "automatic"), *battery)


@contextmanager
def _speaking(fleet: Fleet) -> Iterator[None]:
    """Every device, once a second, from a thread of its own."""
    done = threading.Event()

    def speak() -> None:
        while not done.wait(STEP_S):
            fleet.speak()

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _shoot(browser: Browser, base: str, names: dict[str, str], themes: tuple[str, ...]) -> None:
    for view, (width, height) in VIEWS.items():
        for theme in themes:
            if view == "wall" and theme == "light":
                continue
            context = _logged_in(
                browser,
                base,
                viewport={"width": width, "height": height},
                color_scheme="dark" if theme == "dark" else "light",
                timezone_id="UTC",
                reduced_motion="reduce",
            )
            for name, path in names.items():
                if view == "wall" and name != "now":
                    continue
                page = context.new_page()
                page.goto(f"{base}/#{path}")
                page.wait_for_timeout(2500)
                _save(
                    page,
                    IMAGES / f"dashboard-{name}-{view}-{theme}.png",
                    full=view == "phone" and name not in LONG,
                )
                page.close()
            context.close()


def _shoot_replay(browser: Browser, base: str, folder: Path) -> None:
    """The page of outages with the course of a real outage that was replayed."""
    course = folder / "run.json"
    command = [sys.executable, "-m", "tidegate", "outage", "replay", str(REPLAYED), "--plot", str(course)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    page = _logged_in(browser, base, viewport={"width": 1280, "height": 800}, timezone_id="UTC").new_page()
    page.goto(f"{base}/#/outages")
    panel = page.get_by_role("region", name="A replay")
    panel.locator("input").set_input_files(course)
    panel.locator(".chart canvas").first.wait_for()
    page.wait_for_timeout(500)
    path = IMAGES / "dashboard-replay-desktop-light.png"
    panel.screenshot(path=path)
    _check_size(path)
    page.context.close()


def _logged_in(browser: Browser, base: str, **options: Any) -> BrowserContext:
    """A browser's context in which an operator is logged in."""
    context = browser.new_context(**options)
    answer = context.request.post(f"{base}/api/v1/login", data={"name": NAME, "password": PASSWORD})
    assert answer.ok, answer.text()
    return context


class Operator:
    """Changes things by the API."""

    def __init__(self, browser: Browser, base: str) -> None:
        self._base = f"{base}/api/v1"
        self._context = _logged_in(browser, base)
        self._csrf = self._context.request.get(f"{self._base}/me").json()["csrf"]

    def send(self, method: str, path: str, data: dict[str, Any]) -> None:
        """One request."""
        headers = {"X-CSRF-Token": self._csrf}
        answer = self._context.request.fetch(f"{self._base}{path}", method=method, headers=headers, data=data)
        assert answer.ok, answer.text()


def _save(page: Page, path: Path, *, full: bool) -> None:
    page.screenshot(path=path, full_page=full)
    _check_size(path)


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    assert size <= BYTES_MAX, f"{path.name}: {size} bytes, at most {BYTES_MAX} allowed"


def main() -> None:
    """Play, and take the pictures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=100)
    seconds: int = arguments.parse_args().seconds
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder)) as scene, chromium() as browser:
        accounts = Accounts(Path(folder))
        accounts.add(NAME, Role.OPERATOR)
        accounts.desk.close()
        base = scene.gateway.url
        waiting = browser.new_page()
        themes = ("light", "dark")
        pages = {"now": "/", "devices": "/devices", "device": "/devices/10", "topics": "/topics", "store": "/store",
                 "settings": "/settings"}  # fmt: skip
        with _speaking(Fleet(scene)):
            waiting.wait_for_timeout(1000 * seconds)
            _shoot(browser, base, pages, themes)
            scene.cloud.stop()
            waiting.wait_for_timeout(500 * seconds)
            _shoot(browser, base, {"now-outage": "/"}, themes)
            scene.cloud.start()
            waiting.wait_for_timeout(RECOVERY_MS)
            _shoot(browser, base, {"outages": "/outages"}, themes)
            _shoot_replay(browser, base, Path(folder))
            for topic, payload in MISUNDERSTOOD:
                scene.devices.publish_raw(topic, payload)
            _shoot(browser, base, {"quarantine": "/quarantine"}, themes)
            operator = Operator(browser, base)
            operator.send("PUT", "/settings/maintenance", {})
            operator.send("POST", "/drill", {"fault": "http_error", "seconds": 300})
            waiting.wait_for_timeout(DRILL_MS)
            _shoot(browser, base, {"drill": "/drill"}, themes)


if __name__ == "__main__":
    main()
