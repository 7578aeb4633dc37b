"""Importers: traces of links become outage recordings. `IMPORTERS` maps the name of a format to its reader."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tidegate.outage.builder import Provenance
from tidegate.outage.importers.capacity_csv import import_capacity_csv
from tidegate.outage.importers.mahimahi import import_mahimahi
from tidegate.outage.importers.ping import import_ping
from tidegate.outage.importers.script import import_script
from tidegate.outage.importers.sequence import import_lorawan, import_wifi_sequence
from tidegate.outage.importers.trace import Imported


class ImportFunction(Protocol):
    """Reads one trace. Raises `TraceError`."""

    def __call__(self, trace: bytes, link: str, provenance: Provenance) -> Imported:
        """Turn the bytes of a trace into a recording of the named link."""
        ...


@dataclass(frozen=True, slots=True)
class Importer:
    """One format: what it is, its default link name, and its reader."""

    about: str
    link: str
    read: ImportFunction


IMPORTERS: Mapping[str, Importer] = {
    "capacity-csv": Importer("CSV second,capacity_bytes", "uplink", import_capacity_csv),
    "mahimahi": Importer("packet-delivery trace, one millisecond a line", "uplink", import_mahimahi),
    "ping": Importer("output of ping -D (better with -O)", "uplink", import_ping),
    "wifi-sequence": Importer(
        "JSON lines: timestamp, payload.seqnum, payload.src_timestamp_ns", "device", import_wifi_sequence
    ),
    "lorawan": Importer("JSON lines: _timestamp, fcnt", "device", import_lorawan),
    "script": Importer("JSON list of at_s, toxic, attributes, duration_s", "uplink", import_script),
}
