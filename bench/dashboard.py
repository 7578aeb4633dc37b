"""What an open dashboard costs the gateway, and how it feels: 10,000 devices, 5,000 messages a second, real Chromium.

    python -m bench.dashboard [--devices 10000] [--per-s 5000] [--seconds 10] [--rounds 2] [--json] [--cost]

Rounds alternate between no page, the first page and the page of devices (which is scrolled meanwhile); the load keeps
its rate, so the CPU-seconds of the gateway process are compared for the same number of messages. In the page, a
PerformanceObserver counts long tasks (over 50 ms), and every `status` event is timed against the gateway clock. At the
end the first page is loaded cold with the CPU slowed down six times.

`--cost` measures only what pages take of the gateway's process, in CPU milliseconds a second, with a few messages a
second, so that it is not lost in what intake takes: with the dashboard in its own process, and in the gateway's.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, Page

from tests.e2e.dashboard.stage import chromium
from tidegate.bench.clocks import wall_s
from tidegate.bench.gateway_process import accepting_cloud
from tidegate.bench.measure import Bench, running

SLOW = 6  # Chromium's own figure for a cheap phone on a desktop machine
PAGES = {"now": "/#/", "devices": "/#/devices"}
SCROLL_EVERY_MS = 500
FEW_PER_S = 100
OPEN = {
    "no page": [],
    "the first page": ["/#/"],
    "devices": ["/#/devices"],
    "devices by missing": ["/#/devices"],
    "four of devices": ["/#/devices"] * 4,
}
_OBSERVE = """
window.__tasks = []; window.__late = [];
new PerformanceObserver((list) => { for (const one of list.getEntries()) window.__tasks.push(one.duration); })
  .observe({type: 'longtask', buffered: true});
const Source = window.EventSource;
window.EventSource = class extends Source {
  constructor(...all) {
    super(...all);
    this.addEventListener('status', (event) => window.__late.push(Date.now() - JSON.parse(event.data).status.at_ms));
  }
};
"""


_SEEN = """
new MutationObserver((_, watch) => {
  const said = document.querySelector('.verdict h1')?.textContent;
  if (!said || said === 'Looking…') return;
  watch.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.__useful = performance.now(); }));
}).observe(document, {childList: true, subtree: true, characterData: true});
"""


class Load:
    """Goes on counting from one stretch to the next."""

    def __init__(self, bench: Bench, devices: int, per_s: int) -> None:
        self._bench = bench
        self._devices = devices
        self._per_s = per_s
        self.sent = 0

    @contextlib.contextmanager
    def running(self, seconds: int, per_s: int | None = None) -> Iterator[subprocess.Popen[str]]:
        """The load runs inside the `with`; leaving it waits until every message is durable."""
        rate = per_s or self._per_s
        broker = self._bench.broker
        numbers = (self._devices, rate, seconds, self.sent)
        command = [sys.executable, "-m", "bench.paced", broker.host, str(broker.port), self._bench.root]
        with subprocess.Popen([*command, *map(str, numbers)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
            process.wait()
        self.sent += rate * seconds
        self._bench.gateway.wait_for("received", self.sent)


def stretch(bench: Bench, load: Load, seconds: int, page: Page | None) -> dict[str, float]:
    """One stretch of load: CPU microseconds a message, messages a second, and what the page felt."""
    if page is not None:
        page.evaluate("() => { window.__tasks.length = 0; window.__late.length = 0; }")
    before = load.sent
    with load.running(seconds) as process:
        cpu_s, began_s = bench.gateway.cpu_s(), wall_s()
        while page is not None and process.poll() is None:
            page.evaluate("document.querySelector('.scroller')?.scrollBy(0, 4000)")
            page.wait_for_timeout(SCROLL_EVERY_MS)
    messages, took_s = load.sent - before, wall_s() - began_s
    figures = {"cpu_us_per_message": 1e6 * (bench.gateway.cpu_s() - cpu_s) / messages, "per_s": messages / took_s}
    if page is not None:
        tasks, late = page.evaluate("[window.__tasks, window.__late]")
        figures |= {"long_tasks": len(tasks), "longest_task_ms": max(tasks, default=0), "events": len(late)}
        figures |= {"event_ms_median": statistics.median(late or [0]), "event_ms_most": max(late, default=0)}
    return figures


def opened(browser: Browser, url: str) -> Page:
    """A page that is live, and is observed."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(_OBSERVE)
    page.goto(url)
    page.locator("#link[data-state=live]").wait_for()
    return page


def first_paint(browser: Browser, url: str, slow: float) -> dict[str, float]:
    """The first page, cold, on a CPU that is slowed down: when it shows the verdict, when it is live, when its charts
    are drawn, and what came over the wire.

    `main_thread_cpu_ms`: the CPU time of the page's main thread until the last: other work hardly counts.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.add_init_script(_SEEN)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    session.send("Emulation.setCPUThrottlingRate", {"rate": slow})
    came: list[float] = []
    session.on("Network.loadingFinished", lambda event: came.append(event["encodedDataLength"]))
    page.goto(url, wait_until="commit")
    page.locator("#link[data-state=live]").wait_for()
    live_ms = page.evaluate("performance.now()")
    page.locator(".chart canvas").first.wait_for()
    charts_ms = page.evaluate("performance.now()")
    useful_ms = page.evaluate("window.__useful")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
    context.close()
    return {
        "first_paint_ms": painted,
        "useful_ms": useful_ms,
        "live_ms": live_ms,
        "charts_ms": charts_ms,
        "main_thread_cpu_ms": 1000 * metrics["TaskDuration"],
        "bytes": sum(came),
    }


def measure(devices: int, per_s: int, seconds: int, rounds: int) -> dict[str, Any]:
    """All of it."""
    with running(None) as bench, accepting_cloud(bench.cloud_port), chromium() as browser:
        base = f"http://127.0.0.1:{bench.api_port}"
        load = Load(bench, devices, per_s)
        with load.running(1, per_s=devices):
            pass
        found: dict[str, list[dict[str, float]]] = {"none": [], **{name: [] for name in PAGES}}
        found["none"].append(stretch(bench, load, seconds, None))
        for _ in range(rounds):
            for name, path in PAGES.items():
                page = opened(browser, base + path)
                figures = stretch(bench, load, seconds, page)
                page.close()
                found["none"].append(stretch(bench, load, seconds, None))
                found[name].append(figures | _cost(figures, found["none"][-2:]))
        paint = {f"cold, {slow} times slower": first_paint(browser, base, slow) for slow in (1, SLOW)}
    merged = {name: _merged(each) for name, each in found.items()}
    return {"devices": devices, **merged, **paint}


def costs(devices: int, seconds: int) -> dict[str, Any]:
    """CPU milliseconds a second of the gateway's process: of all that pages need, by where the dashboard runs."""
    found: dict[str, Any] = {"devices": devices}
    for own_process in (True, False):
        with running(None, own_process=own_process) as bench, accepting_cloud(bench.cloud_port), chromium() as browser:
            load = Load(bench, devices, FEW_PER_S)
            with load.running(1, per_s=devices):
                pass
            place = "own process" if own_process else "gateway's process"
            base = f"http://127.0.0.1:{bench.api_port}"
            for name, paths in OPEN.items():
                pages = [opened(browser, base + path) for path in paths]
                for page in pages if name.endswith("missing") else ():
                    page.locator("th.missing button").click()
                figures = stretch(bench, load, seconds, pages[0] if pages else None)
                found[f"{place}, {name}"] = {"cpu_ms_per_s": figures["cpu_us_per_message"] * FEW_PER_S / 1000}
                for page in pages:
                    page.close()
    return found


def _cost(figures: dict[str, float], without: list[dict[str, float]]) -> dict[str, float]:
    """Against the mean of the stretches before and after it: what a store costs drifts as it fills.

    `share_of_core`: what the page takes of one core, and so of the intake of a gateway that has no more to give.
    """
    alone = statistics.mean(each["cpu_us_per_message"] for each in without)
    more_us = figures["cpu_us_per_message"] - alone
    return {"cost_ratio": figures["cpu_us_per_message"] / alone, "share_of_core": more_us * figures["per_s"] / 1e6}


def _merged(stretches: list[dict[str, float]]) -> dict[str, float]:
    """The worst of what is a worst, the median of the rest."""
    worst = ("long_tasks", "longest_task_ms", "event_ms_most")
    return {
        name: (max if name in worst else statistics.median)([each[name] for each in stretches]) for name in stretches[0]
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--per-s", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cost", action="store_true")
    given = parser.parse_args()
    if given.cost:
        result = costs(given.devices, given.seconds)
    else:
        result = measure(given.devices, given.per_s, given.seconds, given.rounds)
    if given.json:
        print(json.dumps(result))
        return
    for part, figures in result.items():
        for name, value in figures.items() if isinstance(figures, dict) else [("", figures)]:
            print(f"{part:<36} {name:<20} {value:>12,.2f}")


if __name__ == "__main__":
    main()
