"""Prometheus' text: well-formed, by convention, documented, and equal to the status."""

import re
from pathlib import Path

from edge.dashboard.metrics import metrics_text
from edge.status import ClockStatus, LinkStatus, MachineStatus
from tests.edge.dashboard.kit import DOWN, destination, status
from tests.edge.kit import T0_MS

DOCS = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
SAMPLE = re.compile(r'(?P<name>[a-z_]+)(?:\{(?P<labels>[a-z]+="(?:[^"\\\n]|\\["\\n])*")\})? (?P<value>-?[0-9.e+]+)\Z')


def _samples(text: str) -> dict[tuple[str, str | None], float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            found[match["name"], match["labels"]] = float(match["value"])
    return found


def test_metrics_say_what_the_status_says() -> None:
    now = status(
        uplink=DOWN,
        ledger={"received": 12, "delivered": 7, "held": 5},
        forward={"oldest_unsent_ms": 2500, "catch_up_s": None},
    ).model_copy(update={"destinations": (destination(requests=5, requests_failed=2),)})
    samples = _samples(metrics_text(now, 3))
    assert samples["tidegate_readings_received_total", None] == 12
    assert samples["tidegate_readings_held", None] == 5
    assert samples["tidegate_destination_requests_failed_total", 'destination="archive"'] == 2
    assert samples["tidegate_oldest_unsent_age_seconds", None] == 2.5
    assert samples["tidegate_link_up", 'link="uplink"'] == 0
    assert samples["tidegate_link_up", 'link="devices"'] == 1
    assert samples["tidegate_live_streams", None] == 3
    assert ("tidegate_catch_up_seconds", None) not in samples


def test_every_destination_has_its_own_samples() -> None:
    gone = destination(name="old", configured=False, link=None, forecast=None)
    samples = _samples(metrics_text(status(destinations=(destination(), gone)), 0))
    assert samples["tidegate_destination_readings_delivered_total", 'destination="archive"'] == 7
    assert samples["tidegate_destination_readings_held", 'destination="old"'] == 2
    assert samples["tidegate_destination_month_cost", 'destination="archive"'] == 0.5
    assert samples["tidegate_destination_configured", 'destination="old"'] == 0
    assert samples["tidegate_destination_up", 'destination="archive"'] == 1
    assert ("tidegate_destination_up", 'destination="old"') not in samples
    assert ("tidegate_destination_month_cost", 'destination="old"') not in samples


def test_the_machine_is_told_by_the_names_that_prometheus_knows() -> None:
    clock = ClockStatus(is_synchronised=True, offset_us=-1500, error_us=20_000)
    now = status(
        machine=MachineStatus(cpu_seconds=1.5, resident_bytes=4096, open_files=7, open_files_max=9, clock=clock)
    )
    samples = _samples(metrics_text(now, 0))
    assert samples["process_cpu_seconds_total", None] == 1.5
    assert samples["process_open_fds", None] == 7
    assert samples["process_start_time_seconds", None] == T0_MS / 1000
    assert samples["tidegate_clock_offset_seconds", None] == -0.0015
    assert ("tidegate_volume_bytes", None) not in samples


def test_a_link_that_is_not_known_yet_has_no_sample() -> None:
    samples = _samples(metrics_text(status(uplink=LinkStatus(state="unknown", since_ms=T0_MS)), 0))
    assert ("tidegate_link_up", 'link="uplink"') not in samples


def test_every_metric_has_help_and_type_and_counters_end_in_total() -> None:
    text = metrics_text(status(), 0)
    helped = set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
    typed = dict(re.findall(r"^# TYPE (\S+) (counter|gauge)$", text, re.MULTILINE))
    assert {name for name, _ in _samples(text)} <= helped == set(typed)
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in typed.items())


def test_a_label_cannot_break_its_line() -> None:
    assert 'version="a\\"b\\\\c\\nd"' in metrics_text(status(version='a"b\\c\nd'), 0)


def test_the_docs_list_exactly_the_metrics_that_exist() -> None:
    real = set(re.findall(r"^# HELP (\S+)", metrics_text(status(), 0), re.MULTILINE))
    documented = set(re.findall(r"^\| `((?:tidegate|process)_[a-z_]+)", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert real == documented
