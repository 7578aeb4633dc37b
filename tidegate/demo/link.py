"""The demo's uplink: the real cellular recording around its 78 s outage, made to fit the length of the run."""

import csv

from edge.outages.recording import Recording
from tidegate.demo.site import LINK_CSV, data_file
from tidegate.outage.builder import Provenance
from tidegate.outage.importers.capacity_csv import COLUMNS, import_capacity_csv

LINK = "uplink"
FROM_SECOND, UNTIL_SECOND = 740, 920
"""Of the recording: 48 s before the outage (788 to 865) and 55 s behind it."""
SHARE_OF_RUN = 0.75  # the rest of the run is for catching up, with a healthy link
DEFAULT_RUN_S = 120  # a run without an end is shown the recording at this pace
SILENCE_S = 3  # shorter stalls of a moving car are not what this run is about


def outage_recording() -> Recording:
    """The part of the recording that the demo shows."""
    with data_file(LINK_CSV).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if FROM_SECOND <= int(row["second"]) < UNTIL_SECOND]
    trace = "\n".join([COLUMNS, *(f"{at},{row['capacity_bytes']}" for at, row in enumerate(rows))]) + "\n"
    provenance = Provenance(title="AT&T LTE uplink, driving", source="Winstein et al., NSDI 2013 (mahimahi)")
    return import_capacity_csv(trace.encode(), LINK, provenance, SILENCE_S).recording


def speed_for(for_s: int | None) -> float:
    """How many recorded seconds pass in a second of the run."""
    return (UNTIL_SECOND - FROM_SECOND) / ((for_s or DEFAULT_RUN_S) * SHARE_OF_RUN)
