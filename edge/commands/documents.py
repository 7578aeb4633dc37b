"""Commands, images and rollouts as JSON-ready data: the same for HTTP, the command line and the dashboard."""

from typing import Any, Protocol

import msgspec

from edge.commands.book import CommandBook, CommandRecord
from edge.commands.states import OPEN_STATES
from edge.device_reports import DeviceReports
from edge.firmware.images import ImageRecord, Images
from edge.firmware.rollouts import Rollout, Rollouts
from sensors.commands import CommandName

Document = dict[str, Any]


class Firmware(Protocol):
    """What `edge.downlinks.Downlinks` has of firmware."""

    images: Images
    rollouts: Rollouts
    reports: DeviceReports


def command_document(record: CommandRecord, ttl_left_s: int) -> Document:
    """One command. The manifest of an update is left out but for its version."""
    args = record.args
    if record.name == CommandName.START_UPDATE:
        args = {"version": args.get("version", "")}
    is_open = record.state in OPEN_STATES
    return {
        "id": record.id,
        "site": record.site,
        "device": record.device,
        "name": record.name,
        "args": args,
        "state": record.state.value,
        "detail": record.detail,
        "open": is_open,
        "attempts": record.attempts,
        "issued_at_ms": record.issued_at_ms,
        "sent_at_ms": record.sent_at_ms,
        "done_at_ms": record.done_at_ms,
        "ttl_left_s": ttl_left_s if is_open else None,
    }


def device_commands(book: CommandBook, site: str, device: str, now_ms: int) -> Document:
    """The newest commands of a device, newest first. Raises `StoreError`."""
    records = book.of_device(site, device)
    return {"commands": [command_document(record, book.ttl_left_s(record, now_ms)) for record in records]}


def image_document(record: ImageRecord) -> Document:
    """One image, without its bytes."""
    return {**msgspec.to_builtins(record.manifest), "added_at_ms": record.added_at_ms}


def rollout_document(firmware: Firmware, rollout: Rollout) -> Document:
    """One rollout with its devices. Raises `StoreError`."""
    devices = firmware.rollouts.devices(rollout.id)
    counts = {result: sum(each.result == result for each in devices) for result in ("under-way", "updated", "failed")}
    return {**rollout._asdict(), **counts, "tried": [each._asdict() for each in devices]}


def firmware_document(firmware: Firmware) -> Document:
    """Images, rollouts, and how many devices run which version. Raises `StoreError`."""
    running: dict[str, int] = {}
    for report in firmware.reports.all():
        version = report.firmware or "unknown"
        running[version] = running.get(version, 0) + 1
    return {
        "images": [image_document(record) for record in firmware.images.all()],
        "rollouts": [rollout_document(firmware, rollout) for rollout in firmware.rollouts.all()],
        "running": running,
    }
