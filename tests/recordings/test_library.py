"""The library of recordings: the gateway keeps every promise under each, and each is what its source makes of it."""

from typing import Any

import pytest

from edge.outages.events import Cause
from edge.outages.recording import encode_recording, read_recording
from tests.recordings.library import HERE, LIBRARY, Entry
from tests.recordings.rebuild import README, with_table
from tidegate.outage.generators import GENERATORS
from tidegate.testing.plugin import ENDINGS
from tidegate.testing.under import GatewayUnder

MINUTES = ("field", "causes", "generators")
DAYS = ("days/tunnel-commute.outage.jsonl", "days/satellite-passes.outage.jsonl")
MONTH = "days/site-month.outage.jsonl"
LORAWAN = "days/lorawan-month.outage.jsonl.zst"


def site(devices: int, interval_s: int, *windows_s: int) -> dict[str, Any]:
    """Few readings, so that the whole library takes seconds; enough of them that the outages meet some."""
    return {"fleet": {"devices": devices, "interval_s": interval_s}, "windows": {"sizes_s": list(windows_s)}}


@pytest.mark.no_cover
@pytest.mark.outage(*MINUTES, site=site(2, 10, 60))
def test_minutes_cost_no_reading(gateway_under: GatewayUnder) -> None:
    all_is_well(gateway_under)


@pytest.mark.no_cover
@pytest.mark.outage(*DAYS, site=site(1, 240, 3600))
def test_days_cost_no_reading(gateway_under: GatewayUnder) -> None:
    all_is_well(gateway_under)


@pytest.mark.no_cover
@pytest.mark.outage(MONTH, site=site(1, 3600, 86_400))
def test_a_months_history_of_a_site_costs_no_reading(gateway_under: GatewayUnder) -> None:
    all_is_well(gateway_under)
    assert gateway_under.verdict.faults_met > 5


@pytest.mark.no_cover
@pytest.mark.outage(LORAWAN, site=site(1, 3600, 86_400))
def test_a_month_of_lorawan_costs_no_reading(gateway_under: GatewayUnder) -> None:
    all_is_well(gateway_under)


@pytest.mark.outage("causes/answers-lost.outage.jsonl", "causes/half-open.outage.jsonl", site=site(2, 10))
def test_mishaps_of_connections_meet_the_gateway_each(gateway_under: GatewayUnder) -> None:
    verdict = gateway_under.verdict
    lost = 3 if gateway_under.name.startswith("answers-lost") else 0
    assert (verdict.faults_met, verdict.faults_unmet, verdict.answers_lost) == (lost or 4, (), lost)


def all_is_well(gateway_under: GatewayUnder) -> None:
    gateway_under.assert_passed()
    verdict = gateway_under.verdict
    assert verdict.produced == verdict.acknowledged == verdict.in_cloud > 0


def test_every_file_is_in_the_library_and_replayed_above() -> None:
    files = {
        f"{path.parent.name}/{path.name}"
        for folder in (*MINUTES, "days")
        for path in (HERE / folder).iterdir()
        if path.name.endswith(ENDINGS)
    }
    assert files == {entry.file for entry in LIBRARY}
    assert {file for file in files if file.startswith("days/")} == {*DAYS, MONTH, LORAWAN}


def test_there_is_one_for_every_cause_and_every_generator() -> None:
    names = {entry.file.partition("/")[2].partition(".")[0] for entry in LIBRARY}
    assert names >= {*map(str, Cause), *GENERATORS}
    for cause in Cause:
        (outage,) = read_recording(HERE / f"causes/{cause}.outage.jsonl").timeline("uplink").outages()
        assert outage.cause is cause


@pytest.mark.parametrize("entry", LIBRARY, ids=lambda entry: entry.file)
def test_a_rebuild_is_byte_identical(entry: Entry) -> None:
    made = b"".join(encode_recording(entry.make()))
    assert made == b"".join(encode_recording(read_recording(entry.path)))
    if entry.file.endswith(".jsonl"):  # of a packed file only what is packed: another zstd may pack it in other bytes
        assert made == entry.path.read_bytes()


def test_what_is_derived_from_others_names_them_and_their_licence() -> None:
    headers = {entry.file: read_recording(entry.path).header for entry in LIBRARY}
    assert all(header.title and header.source for header in headers.values())
    assert headers[LORAWAN].licence == "ODbL-1.0"
    assert {header.licence for file, header in headers.items() if "wifi" in file} == {"MPL-2.0"}


def test_the_table_of_the_readme_is_true() -> None:
    readme = README.read_text(encoding="utf-8")
    assert with_table(readme) == readme
