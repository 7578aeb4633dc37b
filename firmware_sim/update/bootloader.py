"""What runs before any image: it chooses the slot. It never changes, so it is the one that must not err.

Promises:
- It always finds a slot to start: the active one holds an image that was confirmed, or the factory's.
- It starts the other slot only if the digest of the whole image and the signature fit the manifest, at every trial.
- A trial is counted in flash before it begins; after `TRIALS_MAX` trials that nobody confirmed (the image crashed, or
  the power went each time) the active slot is started, and stays.
"""

import msgspec

from firmware_sim.update.slots import BootRecord, SlotFlash
from firmware_sim.update.states import UpdateEvent, UpdatePhase, next_update_phase
from sensors.firmware import Manifest, is_image, verify
from sensors.messages import UpdateState

TRIALS_MAX = 3  # a weak battery may brown out in a boot or two; an image that needs more does not boot


def is_verified(flash: SlotFlash, slot: int, manifest: Manifest, public_key: str | None) -> bool:
    """Whether a slot holds the very image of a manifest that the right key signed."""
    if public_key is None or not verify(manifest, public_key):
        return False
    return is_image(manifest, flash.image(slot, manifest.chunks))


def boot(flash: SlotFlash, factory: BootRecord, public_key: str | None) -> int:
    """The slot to start now. Writes the record first where that changes it."""
    record = flash.record() or factory
    if record.phase not in {UpdatePhase.STAGED, UpdatePhase.TRIAL} or record.manifest is None:
        return record.active
    if record.trials >= TRIALS_MAX:
        flash.put_record(roll_back(record, f"not confirmed in {record.trials} trials"))
        return record.active
    if not is_verified(flash, record.other, record.manifest, public_key):
        event = UpdateEvent.BROKEN if record.phase is UpdatePhase.STAGED else UpdateEvent.ROLL_BACK
        flash.put_record(_over(record, event, "failed", "the image in flash does not fit its manifest"))
        return record.active
    phase = next_update_phase(record.phase, UpdateEvent.TRY)
    flash.put_record(_with(record, phase=phase, trials=record.trials + 1))
    return record.other


def confirm(record: BootRecord) -> BootRecord:
    """The record after a trial whose self-test passed: the other slot is the active one now."""
    confirmed = _over(record, UpdateEvent.CONFIRM, "confirmed", "")
    version = record.manifest.version if record.manifest is not None else ""
    versions = (version, record.versions[1]) if record.other == 0 else (record.versions[0], version)
    return _with(confirmed, active=record.other, versions=versions)


def roll_back(record: BootRecord, why: str) -> BootRecord:
    """The record after a trial that failed: the active slot stays."""
    return _over(record, UpdateEvent.ROLL_BACK, "rolled-back", why)


def broken(record: BootRecord, why: str) -> BootRecord:
    """The record after a download that is not what its manifest says."""
    return _over(record, UpdateEvent.BROKEN, "failed", why)


def _over(record: BootRecord, event: UpdateEvent, phase: str, why: str) -> BootRecord:
    version = record.manifest.version if record.manifest is not None else ""
    last = UpdateState(version, phase, detail=why)  # type: ignore[arg-type]  # one of the three ends
    return _with(record, phase=next_update_phase(record.phase, event), manifest=None, trials=0, last=last)


def _with(record: BootRecord, **changes: object) -> BootRecord:
    changed: BootRecord = msgspec.structs.replace(record, **changes)
    return changed
