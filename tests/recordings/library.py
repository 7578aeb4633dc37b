"""The library of recordings: what is in it and how each is made, the same way each time.

Promises: a recording's bytes depend on this file, the traces in `data/` and the importers and generators alone.
`python -m tests.recordings.rebuild` writes them all; `test_library.py` holds the files to it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from edge.outages.events import AnyEvent, Cause, Close, Ending, LinkKind, Sample, Status, UnknownWrite
from edge.outages.recording import Recording
from tests.recordings.history import site_history
from tidegate.outage.builder import MS_US, SECOND_US, Provenance, RecordingBuilder
from tidegate.outage.generators import generate, make_generator
from tidegate.outage.importers import IMPORTERS
from tidegate.outage.importers.trace import read_trace
from tidegate.outage.phases import Phase, record_phases
from tidegate.outage.splice import cut

HERE = Path(__file__).parent
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
SEED = 5
SATURATOR = "Winstein, Sivaraman, Balakrishnan, NSDI 2013 (mahimahi)"
SHIPYARD = "minarady1/wifi_for_industrial_robotics"
CAMPUS = "CampusIoT/datasets"
LIVELY_DAYS = (50, 80)  # of the LoRaWAN trace, which is silent most of the time, once for 156 days


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording: its file below `tests/recordings`, what it is, and how it is made."""

    file: str
    about: str
    make: Callable[[], Recording]

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return HERE / self.file


def imported(trace_format: str, trace: str, title: str, source: str, licence: str = "") -> Recording:
    """A recording of a real trace."""
    importer = IMPORTERS[trace_format]
    raw = read_trace(HERE / "data" / trace)
    return importer.read(raw, importer.link, Provenance(title, source, licence)).recording


def cause(which: Cause, http_status: int | None = None) -> Recording:
    """A minute of a good link, two without, and two good ones again."""
    good = Phase(MINUTE_S * SECOND_US, latency_us=30 * MS_US, capacity_bytes_per_s=200_000, loss_ppm=0)
    down = Phase(2 * MINUTE_S * SECOND_US, Status.DOWN, which, http_status)
    return _phases(f"uplink down by {which}", [good, down, good, good])


def slow() -> Recording:
    """Two minutes that are too slow for most requests, and then two minutes too slow for any."""
    good = Phase(MINUTE_S * SECOND_US, latency_us=30 * MS_US, capacity_bytes_per_s=200_000, loss_ppm=0)
    crawl = Phase(2 * MINUTE_S * SECOND_US, Status.DEGRADED, Cause.SLOW, None, 2_500 * MS_US, 400, 20_000)
    gone = Phase(2 * MINUTE_S * SECOND_US, Status.DOWN, Cause.SLOW)
    return _phases("uplink slow, then too slow", [good, crawl, gone, good, good])


def _phases(title: str, phases: list[Phase]) -> Recording:
    end_us = sum(phase.length_us for phase in phases)
    return record_phases(phases, end_us, "uplink", Provenance(title, "synthetic"))


def mishaps(title: str, events: list[AnyEvent]) -> Recording:
    """Five minutes of a link that is well, while single connections and writes are not."""
    builder = RecordingBuilder("uplink", LinkKind.UPLINK)
    builder.up(0)
    builder.add(Sample(0, "uplink", rtt_us=60 * MS_US))
    for event in events:
        builder.add(event)
    return builder.build(5 * MINUTE_S * SECOND_US, Provenance(title, "synthetic"))


def _closes() -> list[AnyEvent]:
    seconds = {30: Ending.STALL, 120: Ending.RST, 150: Ending.FIN, 200: Ending.STALL}
    return [Close(at_s * SECOND_US, "uplink", how) for at_s, how in seconds.items()]


def _lost_answers() -> list[AnyEvent]:
    spans_s = ((20, 50), (100, 100), (180, 210))
    return [UnknownWrite(until_s * SECOND_US, "uplink", from_s * SECOND_US) for from_s, until_s in spans_s]


def generated(kind: str, duration_s: int, **parameters: Any) -> Recording:
    """A recording of one of the generators."""
    generator = make_generator(kind, parameters)
    rng = Random(f"{SEED}/{kind}")
    return generate(generator, rng, duration_s, title=f"{kind} of {duration_s / MINUTE_S:g} min, seed {SEED}")


def _field() -> Iterator[Entry]:
    drives = {
        "att-lte": "AT&T LTE uplink of a driving car: an outage of 78 s, and short ones",
        "tmobile-umts": "T-Mobile UMTS uplink of a driving car: fourteen outages of 1 to 5 s",
        "verizon-evdo": "Verizon EV-DO uplink of a driving car: eleven outages of 1 to 11 s",
    }
    for name, about in drives.items():
        trace = f"saturator-cellular/{name}-driving-up.csv"
        title = f"{name} uplink, driving"
        yield Entry(f"field/{name}.outage.jsonl.zst", about, partial(imported, "capacity-csv", trace, title, SATURATOR))
    runs = {
        "wifi-ac-5ghz": ("ac_20mhz_5ghz_run1_loc3", "a robot's 802.11ac link in a shipyard: silent for 124.6 s"),
        "wifi-ax-24ghz": ("ax_20mhz_24ghz_run1_loc4", "a robot's 802.11ax link in a shipyard: five silences"),
    }
    for name, (run, about) in runs.items():
        trace = f"wifi-shipyard/log_perama_site_{run}.json"
        make = partial(imported, "wifi-sequence", trace, "Wi-Fi in a shipyard", SHIPYARD, "MPL-2.0")
        yield Entry(f"field/{name}.outage.jsonl.zst", about, make)


def _causes() -> Iterator[Entry]:
    abouts = {
        Cause.DNS: "the name cannot be resolved",
        Cause.REFUSED: "nothing listens",
        Cause.UNREACHABLE: "no route",
        Cause.TLS: "the handshake fails",
        Cause.TIMEOUT: "silence",
        Cause.RESET: "connections are reset",
        Cause.HTTP: "somebody answers, with 503",
    }
    for which, about in abouts.items():
        make = partial(cause, which, 503 if which is Cause.HTTP else None)
        yield Entry(f"causes/{which}.outage.jsonl", f"two minutes: {about}", make)
    yield Entry("causes/slow.outage.jsonl", "2.5 s each way and 400 B/s for two minutes, then too slow for any", slow)
    half_open, lost = partial(mishaps, "half-open", _closes()), partial(mishaps, "answers lost", _lost_answers())
    yield Entry(
        "causes/half-open.outage.jsonl", "a good link whose connections fall silent (twice), are reset, end", half_open
    )
    yield Entry(
        "causes/answers-lost.outage.jsonl", "a good link that three times loses an answer after the commit", lost
    )


def _generators() -> Iterator[Entry]:
    short: Mapping[str, tuple[int, dict[str, Any], str]] = {
        "gilbert-elliott": (20 * MINUTE_S, {}, "bursts of loss: bad for ten seconds every hundred"),
        "periodic": (30 * MINUTE_S, {"period_s": 600, "down_s": 60}, "silent for the last minute of every ten"),
        "cellular-handover": (20 * MINUTE_S, {"failure_share": 0.2}, "cells of 90 s, one handover in five fails"),
        "flapping": (30 * MINUTE_S, {"calm_s": 300}, "five minutes of calm, then twelve short outages of any cause"),
    }
    for kind, (duration_s, parameters, about) in short.items():
        make = partial(generated, kind, duration_s, **parameters)
        yield Entry(f"generators/{kind}.outage.jsonl", about, make)


def _days() -> Iterator[Entry]:
    days: Mapping[str, tuple[int, str]] = {
        "tunnel-commute": (DAY_S, "a day of a vehicle: four tunnels in the morning and four in the evening"),
        "satellite-passes": (DAY_S, "a day under one satellite: a pass of minutes in four orbits of ten"),
    }
    for kind, (duration_s, about) in days.items():
        yield Entry(f"days/{kind}.outage.jsonl", about, partial(generated, kind, duration_s))
    yield Entry(
        "days/site-month.outage.jsonl",
        "thirty days of a site's uplink and broker link: nightly restarts, a cut fibre, an expired certificate, "
        "maintenance, slow evenings, a flapping modem, half-open connections, and a gap",
        site_history,
    )
    lorawan = "campusiot-lorawan/IMST_33323431007C727B.ndjson.gz"
    year = partial(imported, "lorawan", lorawan, "an indoor LoRaWAN sensor", CAMPUS, "ODbL-1.0")
    first_us, last_us = LIVELY_DAYS[0] * DAY_S * SECOND_US, LIVELY_DAYS[1] * DAY_S * SECOND_US
    yield Entry(
        "days/lorawan-month.outage.jsonl.zst",
        "the liveliest thirty days of eleven months of a LoRaWAN sensor: it is heard for hours, and silent for days",
        lambda: cut(year(), first_us, last_us),
    )


LIBRARY = (*_field(), *_causes(), *_generators(), *_days())
