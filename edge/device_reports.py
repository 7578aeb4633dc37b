"""What devices say of themselves in `state`, kept: the firmware that runs, and how their newest update goes.

Promises: written in ingest's own transaction, and only when something changed; at most `devices_max` devices.
Synchronous; lives in the store's thread.
"""

from typing import NamedTuple

from edge.store import Store
from sensors.messages import State
from sensors.topics import Topic

FIRMWARE_CHARS_MAX = 32
DETAIL_CHARS_MAX = 200
_COLUMNS = "site, device, firmware, update_version, update_phase, update_detail, update_done, update_chunks, at_ms"


class DeviceReport(NamedTuple):
    """One device's own words. `at_ms` is when they last changed."""

    site: str
    device: str
    firmware: str | None
    update_version: str | None
    update_phase: str | None
    update_detail: str
    update_done: int
    update_chunks: int
    at_ms: int


class DeviceReports:
    """The reports of one store, with a copy in memory."""

    def __init__(self, store: Store, devices_max: int) -> None:
        self._store = store
        self._devices_max = devices_max
        self.version = 0
        self._reports: dict[tuple[str, str], DeviceReport] | None = None

    def take(self, topic: Topic, state: State, wall_ms: int) -> None:
        """A device's `state`, inside ingest's transaction. One without a firmware (a last will) changes nothing."""
        if state.firmware is None and state.update is None:
            return
        name, reports = (topic.site, topic.device), self._known()
        before = reports.get(name)
        if before is None and len(reports) >= self._devices_max:
            return
        report = _report(topic, state, wall_ms)
        if before is not None and report._replace(at_ms=before.at_ms) == before:
            return
        marks = ", ".join("?" * len(report))
        self._store.write(f"INSERT OR REPLACE INTO device_reports VALUES ({marks})", [report])  # noqa: S608 - marks
        reports[name] = report
        self.version += 1

    def get(self, site: str, device: str) -> DeviceReport | None:
        """One device, or None if it never said. Raises `StoreError`."""
        return self._known().get((site, device))

    def all(self) -> list[DeviceReport]:
        """Every device, in the order of names. Raises `StoreError`."""
        return [report for _, report in sorted(self._known().items())]

    def forget_uncommitted(self) -> None:
        """A transaction was rolled back: the copy is made new at its next use."""
        self._reports = None

    def _known(self) -> dict[tuple[str, str], DeviceReport]:
        if self._reports is None:
            rows = self._store.query(f"SELECT {_COLUMNS} FROM device_reports")  # noqa: S608 - a constant
            self._reports = {(row[0], row[1]): DeviceReport(*row) for row in rows}
        return self._reports


def _report(topic: Topic, state: State, wall_ms: int) -> DeviceReport:
    firmware = None if state.firmware is None else state.firmware[:FIRMWARE_CHARS_MAX]
    update = state.update
    if update is None:
        return DeviceReport(topic.site, topic.device, firmware, None, None, "", 0, 0, wall_ms)
    return DeviceReport(
        topic.site, topic.device, firmware, update.version[:FIRMWARE_CHARS_MAX], update.phase,
        update.detail[:DETAIL_CHARS_MAX], update.done, update.chunks, wall_ms,
    )  # fmt: skip
