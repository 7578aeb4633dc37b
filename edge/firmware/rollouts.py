"""Rollouts: an image to a part of the devices, a few at a time, halted when too many of them fail.

    running -> done       every chosen device runs the version, or has failed
    running -> halted     failed devices are over `halt_percent` of those that were tried; raising nothing more
    running -> cancelled  by a person
    done, halted -> running  by a person, with another percentage (a canary that did well is widened)

A device is chosen by its name alone: a hash of image and name under `percent`. So the devices of a canary are among
those of the wider rollout, and the choice is the same after a restart.

What became of a device is read from what it says itself: `state` with the new version (updated), with an update that is
`failed` or `rolled-back`; or from its command (refused, failed, expired).

Promises: each chosen device gets one `start-update` of a rollout; at most `OPEN_MAX` devices of a rollout are under
way; a halt or a cancellation calls back the commands that were not sent. Synchronous; lives in the store's thread.
"""

import hashlib
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from edge.commands.book import CommandBook, TooManyCommands
from edge.commands.states import CommandState
from edge.device_reports import DeviceReport, DeviceReports
from edge.firmware.images import Images
from edge.store import Store
from sensors.commands import CommandName
from sensors.firmware import FirmwareError, Manifest, manifest_arguments, version_key

OPEN_MAX = 50  # devices that download at once: 50 x 16 KB/s is what a small uplink's broker does beside readings
ROLLOUTS_MAX = 100  # kept; older ones that are over go
TRIED_MIN = 3  # no halt before so many were tried: one failure of one is no ratio, unless it is all that there is
DEFAULT_HALT_PERCENT = 20
UPDATE_TTL_S = 7 * 86_400  # a device that is silent for a week is in nobody's canary
LOOK_EVERY_MS = 1_000
_PER_CENT = 100
_ROLLOUT_COLUMNS = "id, sha256, version, devices, percent, halt_percent, state, detail, started_at_ms"
_BAD_PHASES = frozenset({"failed", "rolled-back"})
_BAD_COMMAND = frozenset({CommandState.REFUSED, CommandState.FAILED, CommandState.EXPIRED, CommandState.CANCELLED})


class RolloutState(StrEnum):
    """How a rollout goes."""

    RUNNING = "running"
    DONE = "done"
    HALTED = "halted"
    CANCELLED = "cancelled"


class DeviceResult(StrEnum):
    """How one device of a rollout does."""

    UNDER_WAY = "under-way"
    UPDATED = "updated"
    FAILED = "failed"


class Rollout(NamedTuple):
    """One rollout. `devices` is a glob over `site/device`; percentages are whole."""

    id: int
    sha256: str
    version: str
    devices: str
    percent: int
    halt_percent: int
    state: RolloutState
    detail: str
    started_at_ms: int


class RolloutDevice(NamedTuple):
    """One device of a rollout."""

    site: str
    device: str
    command: str
    result: DeviceResult
    detail: str


class Rollouts:
    """The rollouts of one store."""

    def __init__(self, store: Store, book: CommandBook, reports: DeviceReports, images: Images) -> None:
        self._store = store
        self._images = images
        self._book = book
        self._reports = reports
        self._looked_ms: int | None = None
        self._idle_since: int | None = None  # none was running when the store was last asked

    def start(self, manifest: Manifest, devices: str, percent: int, halt_percent: int, wall_ms: int) -> Rollout:
        """Begin, or widen or narrow one of the same image and glob. Raises `FirmwareError` and `StoreError`."""
        for name, value in (("percent", percent), ("halt_percent", halt_percent)):
            if not 1 <= value <= _PER_CENT:
                raise FirmwareError(f"{name} is {value}: expected 1 to 100")
        known = [each for each in self.all() if (each.sha256, each.devices) == (manifest.sha256, devices)]
        newest = max((each.id for each in self.all()), default=0)
        number = known[0].id if known else newest + 1
        started_at_ms = known[0].started_at_ms if known else wall_ms
        rollout = Rollout(
            number, manifest.sha256, manifest.version, devices, percent, halt_percent, RolloutState.RUNNING, "",
            started_at_ms,
        )  # fmt: skip
        with self._store.transaction():
            self._put(rollout)
            self._store.write(
                "DELETE FROM rollouts WHERE id <= ? AND state != ?", [(number - ROLLOUTS_MAX, RolloutState.RUNNING)]
            )
            self._store.write("DELETE FROM rollout_devices WHERE rollout NOT IN (SELECT id FROM rollouts)", [()])
        self._looked_ms = None
        return rollout

    def cancel(self, number: int, wall_ms: int) -> Rollout | None:
        """Stop one; None if there is none. Raises `StoreError`."""
        rollout = self.get(number)
        if rollout is None or rollout.state is not RolloutState.RUNNING:
            return rollout
        self._stop(rollout, RolloutState.CANCELLED, "", wall_ms)
        return self.get(number)

    def all(self) -> list[Rollout]:
        """Every rollout, newest first. Raises `StoreError`."""
        rows = self._store.query(f"SELECT {_ROLLOUT_COLUMNS} FROM rollouts ORDER BY id DESC")  # noqa: S608 - constant
        return [Rollout._make((*row[:6], RolloutState(row[6]), *row[7:])) for row in rows]

    def get(self, number: int) -> Rollout | None:
        """One rollout, or None. Raises `StoreError`."""
        return next((each for each in self.all() if each.id == number), None)

    def devices(self, number: int) -> list[RolloutDevice]:
        """What became of the devices of one. Raises `StoreError`."""
        rows = self._store.query(
            "SELECT site, device, command, result, detail FROM rollout_devices WHERE rollout = ? ORDER BY site, device",
            (number,),
        )
        return [RolloutDevice._make((*row[:3], DeviceResult(row[3]), row[4])) for row in rows]

    @property
    def are_running(self) -> bool:
        """Whether one may be running."""
        return self._idle_since != self._store.forgotten

    def look_in_ms(self, now_ms: int) -> int:
        """In how long `tidy` looks again."""
        return 0 if self._looked_ms is None else self._looked_ms + LOOK_EVERY_MS - now_ms

    def tidy(self, now_ms: int, wall_ms: int) -> None:
        """Look at every running rollout, at most once a second: judge, halt, go on. Raises `StoreError`."""
        if not self.are_running or self.look_in_ms(now_ms) > 0:
            return
        self._looked_ms = now_ms
        running = [each for each in self.all() if each.state is RolloutState.RUNNING]
        self._idle_since = None if running else self._store.forgotten
        for rollout in running:
            manifest = self._images.find(rollout.sha256)
            if manifest is None:
                self._stop(rollout, RolloutState.HALTED, "the image was removed", wall_ms)
            else:
                self._advance(rollout, manifest, now_ms, wall_ms)

    # -- one rollout

    def _advance(self, rollout: Rollout, manifest: Manifest, now_ms: int, wall_ms: int) -> None:
        tried = self._judge(rollout)
        failed = sum(each.result is DeviceResult.FAILED for each in tried)
        over = [each for each in tried if each.result is not DeviceResult.UNDER_WAY]
        wanted = [report for report in self._chosen(rollout) if not _is_up_to_date(report, rollout.version)]
        names = {(each.site, each.device) for each in tried}
        waiting = [report for report in wanted if (report.site, report.device) not in names]
        enough = len(over) >= TRIED_MIN or (not waiting and len(over) == len(tried))
        if failed and enough and failed * _PER_CENT > rollout.halt_percent * len(over):
            detail = f"{failed} of {len(over)} devices failed, more than {rollout.halt_percent} %"
            self._stop(rollout, RolloutState.HALTED, detail, wall_ms)
        elif waiting:
            room = OPEN_MAX - (len(tried) - len(over))
            # As long as nobody has come through, few go first: so many that a halt can be decided.
            room = min(room, TRIED_MIN - len(tried)) if not over else room
            self._send(rollout, manifest, waiting[: max(0, room)], now_ms, wall_ms)
        elif len(over) == len(tried):
            with self._store.transaction():
                self._put(rollout._replace(state=RolloutState.DONE))

    def _chosen(self, rollout: Rollout) -> list[DeviceReport]:
        return [
            report
            for report in self._reports.all()
            if fnmatchcase(f"{report.site}/{report.device}", rollout.devices)
            and _place(rollout.sha256, report.site, report.device) < rollout.percent
        ]

    def _judge(self, rollout: Rollout) -> list[RolloutDevice]:
        """The devices that were tried, with what they say now."""
        tried: list[RolloutDevice] = []
        changed: list[tuple[str, str, int, str, str]] = []
        for device in self.devices(rollout.id):
            judged = self._judged(device, rollout.version)
            if judged != device:
                changed.append((judged.result, judged.detail, rollout.id, device.site, device.device))
            tried.append(judged)
        if changed:
            with self._store.transaction():
                self._store.write(
                    "UPDATE rollout_devices SET result = ?, detail = ? WHERE rollout = ? AND site = ? AND device = ?",
                    changed,
                )
        return tried

    def _judged(self, device: RolloutDevice, version: str) -> RolloutDevice:
        report = self._reports.get(device.site, device.device)
        if report is not None and _is_up_to_date(report, version):
            return device._replace(result=DeviceResult.UPDATED, detail="")
        command = self._book.get(device.site, device.device, device.command)
        if command is not None and command.state in _BAD_COMMAND:
            return device._replace(result=DeviceResult.FAILED, detail=f"command {command.state}: {command.detail}")
        has_begun = command is None or command.state is CommandState.ACKNOWLEDGED  # before, it speaks of an older try
        if has_begun and report is not None and report.update_version == version and report.update_phase in _BAD_PHASES:
            detail = f"{report.update_phase}: {report.update_detail}"
            return device._replace(result=DeviceResult.FAILED, detail=detail)
        return device._replace(result=DeviceResult.UNDER_WAY)

    def _send(
        self, rollout: Rollout, manifest: Manifest, reports: list[DeviceReport], now_ms: int, wall_ms: int
    ) -> None:
        if not reports:
            return
        args = manifest_arguments(manifest)
        with self._store.transaction():
            for site, device, *_ in reports:
                try:
                    command = self._book.issue_in(
                        site, device, CommandName.START_UPDATE, args, UPDATE_TTL_S, now_ms, wall_ms
                    )
                except TooManyCommands:
                    continue  # this one's queue is full: it is chosen again at the next look
                row = (rollout.id, site, device, command.id, DeviceResult.UNDER_WAY, "")
                self._store.write("INSERT OR REPLACE INTO rollout_devices VALUES (?, ?, ?, ?, ?, ?)", [row])

    def _stop(self, rollout: Rollout, state: RolloutState, detail: str, wall_ms: int) -> None:
        for device in self.devices(rollout.id):
            command = self._book.get(device.site, device.device, device.command)
            if command is not None and command.state is CommandState.WAITING:
                self._book.cancel(device.site, device.device, device.command, wall_ms)
        with self._store.transaction():
            self._put(rollout._replace(state=state, detail=detail))

    def _put(self, rollout: Rollout) -> None:
        self._idle_since = None
        marks = ", ".join("?" * len(rollout))
        self._store.write(f"INSERT OR REPLACE INTO rollouts VALUES ({marks})", [rollout])  # noqa: S608 - marks


def _place(sha256: str, site: str, device: str) -> int:
    """Where a device stands in the order of a rollout, 0 to 99."""
    digest = hashlib.sha256(f"{sha256}/{site}/{device}".encode()).digest()
    return int.from_bytes(digest[:4]) * _PER_CENT >> 32


def _is_up_to_date(report: DeviceReport, version: str) -> bool:
    """Whether a device runs this version or a newer one. A trial does not count: the device may still go back."""
    if report.firmware is None or (report.update_version == version and report.update_phase == "trial"):
        return False
    try:
        return version_key(report.firmware) >= version_key(version)
    except FirmwareError:
        return False
