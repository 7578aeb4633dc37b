"""Importers: real traces give the outages their sources name, and a bad line is named."""

import codecs
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.outages.events import Cause, Close, Ending, Status, UnknownWrite
from edge.outages.recording import encode_recording
from tidegate.outage.builder import Provenance
from tidegate.outage.importers import IMPORTERS
from tidegate.outage.importers.trace import Imported, TraceError, read_trace

DATA = Path("tests/recordings/data")
SECOND_US = 1_000_000
PROVENANCE = Provenance("a title", "CampusIoT/datasets", "ODbL-1.0")


def run(trace_format: str, trace: bytes) -> Imported:
    importer = IMPORTERS[trace_format]
    return importer.read(trace, importer.link, PROVENANCE)


def durations_s(imported: Imported) -> list[float]:
    link = imported.recording.link_names[0]
    return [round(outage.duration_us / SECOND_US, 1) for outage in imported.recording.timeline(link).outages()]


def cellular(name: str) -> Imported:
    return run("capacity-csv", (DATA / "saturator-cellular" / f"{name}-driving-up.csv").read_bytes())


@pytest.mark.parametrize("path", [DATA / "saturator-cellular", Path("tidegate/demo/data")])
def test_the_att_uplink_has_its_outage_of_78_seconds(path: Path) -> None:
    imported = run("capacity-csv", (path / "att-lte-driving-up.csv").read_bytes())
    longest = max(imported.recording.timeline("uplink").outages(), key=lambda outage: outage.duration_us)
    assert longest.duration_us == 78 * SECOND_US
    assert longest.duration_bounds_us == (77 * SECOND_US, 79 * SECOND_US)
    assert longest.start_bounds_us == (787 * SECOND_US, 788 * SECOND_US)
    assert sorted(durations_s(imported))[-3:] == [3.0, 8.0, 78.0]


@pytest.mark.parametrize(("name", "count", "longest_s"), [("tmobile-umts", 14, 5), ("verizon-evdo", 11, 11)])
def test_the_umts_and_evdo_uplinks_have_many_outages_of_1_to_11_seconds(name: str, count: int, longest_s: int) -> None:
    outages = cellular(name).recording.timeline("uplink").outages()
    shortest_us = [outage.duration_bounds_us[0] for outage in outages]
    assert len(outages) == count
    assert min(shortest_us) == SECOND_US
    assert max(shortest_us) == longest_s * SECOND_US


def test_capacity_is_the_csv_second_by_second() -> None:
    rows = (DATA / "saturator-cellular" / "verizon-evdo-driving-up.csv").read_text().split()[1:]
    view = cellular("verizon-evdo").recording.timeline("uplink")
    for row in rows:
        second, capacity = row.split(",")
        assert view.at(int(second) * SECOND_US + 1).bandwidth_bytes_per_s == int(capacity)


def test_one_second_with_bytes_between_two_outages_is_up_in_its_middle() -> None:
    imported = run("capacity-csv", b"second,capacity_bytes\n0,5\n1,0\n2,5\n3,0\n4,5\n")
    view = imported.recording.timeline("uplink")
    assert [view.at(at).status for at in (2_100_000, 2_500_000, 2_900_000)] == [Status.DOWN, Status.UP, Status.DOWN]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_any_capacity_trace_imports_and_each_empty_run_is_one_outage(capacities: list[int]) -> None:
    lines = "".join(f"{second},{capacity}\n" for second, capacity in enumerate(capacities))
    imported = run("capacity-csv", b"second,capacity_bytes\n" + lines.encode())
    runs = [run for run in "".join("0" if capacity == 0 else " " for capacity in capacities).split() if run]
    outages = imported.recording.timeline("uplink").outages()
    assert len(outages) == imported.facts["outages"] == len(runs)
    for outage, empty in zip(outages, runs, strict=True):
        shortest, longest = outage.duration_bounds_us
        assert shortest == len(empty) * SECOND_US
        assert longest <= (len(empty) + 2) * SECOND_US


@pytest.mark.parametrize(
    ("name", "silences_s", "lost"),
    [
        ("log_perama_site_ac_20mhz_5ghz_run1_loc3", [124.6], 248),
        ("log_perama_site_ax_20mhz_24ghz_run1_loc4", [20.5, 19.8, 10.0, 7.3, 2.2], 82),
    ],
)
def test_the_shipyard_wifi_has_the_silences_and_losses_its_readme_names(
    name: str, silences_s: list[float], lost: int
) -> None:
    imported = run("wifi-sequence", (DATA / "wifi-shipyard" / f"{name}.json").read_bytes())
    assert sorted(durations_s(imported), reverse=True) == pytest.approx(silences_s, abs=0.051)
    assert imported.facts["lost"] == lost


def test_the_late_wifi_message_is_4_9_seconds_late() -> None:
    trace = (DATA / "wifi-shipyard" / "log_perama_site_ax_20mhz_24ghz_run1_loc4.json").read_bytes()
    segments = run("wifi-sequence", trace).recording.timeline("device").segments()
    latest_us = max(segment.state.latency_us or 0 for segment in segments)
    assert latest_us / SECOND_US == pytest.approx(4.9, abs=0.1)


def test_the_lorawan_year_has_its_frames_restarts_repeats_and_silences_and_keeps_its_licence() -> None:
    imported = run("lorawan", read_trace(DATA / "campusiot-lorawan" / "IMST_33323431007C727B.ndjson.gz"))
    facts = imported.facts
    assert (facts["messages"], facts["restarts"], facts["repeats"]) == (13_352, 26, 10)
    assert max(durations_s(imported)) / 86_400 == pytest.approx(156.3, abs=0.05)
    header = imported.recording.header
    assert (header.source, header.licence) == ("CampusIoT/datasets", "ODbL-1.0")
    text = b"".join(encode_recording(imported.recording))
    assert not any(secret in text for secret in (b"33323431", b"C727B", b"0A000048", b"5.76", b"IMAG"))


def test_a_mahimahi_trace_becomes_capacity_and_exact_silences() -> None:
    imported = run("mahimahi", b"100\n100\n900\n3400\n3401\n")
    view = imported.recording.timeline("uplink")
    outage = view.outages()[0]
    assert (outage.start_us, outage.end_us) == (900_000, 3_400_000)
    assert [view.at(s * SECOND_US).bandwidth_bytes_per_s for s in range(4)] == [4500, 0, 0, 3000]


PING = """PING gw.example (192.0.2.7) 56(84) bytes of data.
[1646635300.010000] 64 bytes from 192.0.2.7: icmp_seq=65534 ttl=57 time=10.0 ms
[1646635301.012000] 64 bytes from 192.0.2.7: icmp_seq=65535 ttl=57 time=12.0 ms
[1646635303.000000] no answer yet for icmp_seq=0
[1646635303.020000] 64 bytes from 192.0.2.7: icmp_seq=1 ttl=57 time=20.0 ms
[1646635304.011000] 64 bytes from 192.0.2.7: icmp_seq=2 ttl=57 time=11.0 ms
[1646635304.012000] 64 bytes from 192.0.2.7: icmp_seq=2 ttl=57 time=12.0 ms (DUP!)
{failures}[1646635309.010000] 64 bytes from 192.0.2.7: icmp_seq=7 ttl=57 time=10.0 ms

--- gw.example ping statistics ---
10 packets transmitted, 6 received
"""
PINGS = b"".join(b"[164663530%d.000000] 64 bytes from x: icmp_seq=%d ttl=9 time=1.0 ms\n" % (n, n) for n in (1, 2))
UNREACHABLE = "[1646635306.900000] From 192.0.2.1 icmp_seq=4 Destination Host Unreachable\n"


@pytest.mark.parametrize(("failures", "cause"), [("", Cause.TIMEOUT), (UNREACHABLE, Cause.UNREACHABLE)])
def test_four_lost_pings_are_an_outage_and_one_is_loss(failures: str, cause: Cause) -> None:
    imported = run("ping", PING.format(failures=failures).encode())
    (outage,) = imported.recording.timeline("uplink").outages()
    assert (outage.cause, imported.facts["lost"]) == (cause, 5)
    assert (outage.start_us, outage.end_us) == (5_000_000, 9_000_000)
    view = imported.recording.timeline("uplink")
    assert view.at(2_000_000).loss_ppm == 1_000_000 // 5
    assert view.at(3_500_000).rtt_us == 20_000
    assert b"192.0.2" not in b"".join(encode_recording(imported.recording))
    assert b"example" not in b"".join(encode_recording(imported.recording))


def test_a_ping_log_that_ends_without_answers_ends_in_an_outage() -> None:
    unanswered = "".join(f"[164663531{n}.500000] no answer yet for icmp_seq={n + 7}\n" for n in range(1, 6))
    imported = run("ping", (PING.format(failures="") + unanswered).encode())
    assert imported.recording.timeline("uplink").outages()[-1].ended == "recording_end"


def test_pings_that_could_not_be_sent_are_missing_and_say_that_the_network_was_unreachable() -> None:
    unsent = b"ping: sendmsg: Network is unreachable\n" * 4
    back = b"[1646635307.000000] 64 bytes from x: icmp_seq=7 ttl=9 time=1.0 ms\n"
    imported = run("ping", PINGS + unsent + back)
    assert [outage.cause for outage in imported.recording.timeline("uplink").outages()] == [Cause.UNREACHABLE]
    assert imported.facts["lost"] == 4
    assert run("ping", PINGS + unsent).recording.timeline("uplink").outages()[0].ended == "recording_end"


def test_a_mark_of_the_byte_order_does_not_hide_the_header(tmp_path: Path) -> None:
    trace = tmp_path / "of-a-spreadsheet.csv"
    trace.write_bytes(codecs.BOM_UTF8 + b"second,capacity_bytes\r\n0,5\r\n")
    assert run("capacity-csv", read_trace(trace)).facts["seconds"] == 1


def test_a_script_with_toxiproxys_names_becomes_states_of_the_link() -> None:
    script = [
        {"at_s": 1, "toxic": "latency", "attributes": {"latency": 200}, "duration_s": 3},
        {"at_s": 2, "toxic": "bandwidth", "attributes": {"rate": 5}, "duration_s": 1},
        {"at_s": 5, "toxic": "reset_peer", "duration_s": 2},
        {"at_s": 8, "toxic": "timeout", "attributes": {"timeout": 0}, "duration_s": 0.5},
        {"at_s": 9, "toxic": "lose_answers", "duration_s": 1},
        {"at_s": 11, "toxic": "down"},
    ]
    recording = run("script", json.dumps(script).encode()).recording
    view = recording.timeline("uplink")
    states = [view.at(int(at * SECOND_US)) for at in (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 7.5, 8.2, 11.5)]
    assert [state.status for state in states] == [
        *(Status.UP, Status.DEGRADED, Status.DEGRADED, Status.DEGRADED, Status.UP),
        *(Status.DOWN, Status.UP, Status.DOWN, Status.DOWN),
    ]
    assert [state.latency_us for state in states[:5]] == [0, 200_000, 200_000, 200_000, 0]
    assert [state.bandwidth_bytes_per_s for state in states[:4]] == [None, None, 5000, None]
    assert [outage.cause for outage in view.outages()] == [Cause.RESET, Cause.TIMEOUT, Cause.REFUSED]
    assert Close(5 * SECOND_US, "uplink", Ending.RST) in recording.events
    assert UnknownWrite(10 * SECOND_US, "uplink", sent_us=9 * SECOND_US) in recording.events


@pytest.mark.parametrize(
    ("trace_format", "trace", "line", "field"),
    [
        ("capacity-csv", b"time,bytes\n0,5\n", 1, "header"),
        ("capacity-csv", b"second,capacity_bytes\n0,5\n2,5\n", 3, "second"),
        ("capacity-csv", b"second,capacity_bytes\n0,-5\n", 2, "capacity_bytes"),
        ("capacity-csv", b"second,capacity_bytes\n0,5,6\n", 2, "line"),
        ("capacity-csv", b"second,capacity_bytes\n", 1, "line"),
        ("capacity-csv", b"\xff\xfe", 1, "line"),
        ("capacity-csv", b"second,capacity_bytes\n0,9007199254740992\n", 2, "capacity_bytes"),
        ("mahimahi", b"5\n4\n", 2, "timestamp"),
        ("mahimahi", b"", 1, "line"),
        ("mahimahi", b"0\n99999999999999\n", 2, "timestamp"),
        ("mahimahi", b"9" * 5000, 1, "timestamp"),
        ("ping", b"[yesterday] 64 bytes from x: icmp_seq=1 time=1 ms", 1, "timestamp"),
        ("ping", b"[1646635300.010000] hello", 1, "line"),
        ("ping", b"", 1, "line"),
        ("ping", PINGS + b"[1646635299.000001] 64 bytes from x: icmp_seq=3 time=1 ms", 3, "timestamp"),
        ("ping", PINGS + b"[999999999999.000001] 64 bytes from x: icmp_seq=3 time=1 ms", 3, "timestamp"),
        ("wifi-sequence", b'{"timestamp": 5}', 1, "payload"),
        ("wifi-sequence", b'{"timestamp": 5, "payload": {"seqnum": "x"}}', 1, "payload.seqnum"),
        ("wifi-sequence", b'{"timestamp": 5, "payload": {"seqnum": 1}}', 1, "payload.src_timestamp_ns"),
        ("wifi-sequence", b"5,6\n", 1, "line"),
        ("lorawan", b'{"_timestamp": 5, "fcnt": -1}', 1, "fcnt"),
        ("lorawan", b'{"_timestamp": 5, "fcnt": 1}\n{"_timestamp": 4, "fcnt": 2}', 2, "timestamp"),
        ("lorawan", b'{"_timestamp": 5, "fcnt": 1}', 2, "line"),
        ("lorawan", b'{"_timestamp": 5, "fcnt": 1}\n{"_timestamp": 99999999999999999, "fcnt": 2}', 2, "_timestamp"),
        ("script", b'[{"at_s": 1, "toxic": "slicer"}]', 1, "toxic"),
        ("script", b'[{"at_s": 1, "toxic": "latency"}]', 1, "latency"),
        ("script", b'[{"at_s": 1, "toxic": "latency", "attributes": {"latncy": 1}}]', 1, "latncy"),
        ("script", b'[{"at_s": 1e300, "toxic": "down"}]', 1, "at_s"),
        ("script", b'[{"at_s": 1, "toxic": "down", "attributes": {"x": 1}}]', 1, "attributes"),
        ("script", b"[]", 1, "script"),
        ("script", b"at 5 s: down", 1, "script"),
        ("script", b'[{"at_s": 1, "toxic": "down"}, {"at_s": -1, "toxic": "down"}]', 2, "at_s"),
        ("script", b'[{"at_s": 1, "toxic": "down"}, {"at_s": 2}]', 2, "toxic"),
    ],
)
def test_a_bad_trace_names_its_line_and_field(trace_format: str, trace: bytes, line: int, field: str) -> None:
    with pytest.raises(TraceError) as caught:
        run(trace_format, trace)
    assert (caught.value.line, caught.value.field) == (line, field)
