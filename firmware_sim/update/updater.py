"""What the running image does for an update: judges the manifest, asks for chunks, writes them, and is tested when new.

Promises: an update that is not signed by the key of the device, not for its type, not newer than what runs, or too
large for a slot is refused before anything is erased; what was written is not asked for again, also after a restart;
chunks may come in any order, twice, or never. Nothing of it touches the slot that runs.
"""

import msgspec

from firmware_sim.device_spec import FirmwareSpec
from firmware_sim.update import bootloader
from firmware_sim.update.slots import BootRecord, SlotFlash
from firmware_sim.update.states import UpdateEvent, UpdatePhase, next_update_phase
from sensors.firmware import CHUNKS_PER_ASK_MAX, Chunk, FirmwareAsk, Manifest, verify, version_key
from sensors.messages import UpdateState

CHUNKS_PER_ASK = 16  # 16 KB of the usual chunks: what a broker's queue for a sleeping device holds without trouble
ASK_TIMEOUT_MS = 15_000  # a gateway answers within a second; what is lost costs this much, doubled up to the cap
ASK_TIMEOUT_CAP_MS = 600_000
SELF_TEST_FAILS = b"tidegate-sim: self-test fails"
"""A simulated image that holds these bytes does not pass its self-test, so that a roll-back can be seen."""
_DOUBLINGS_MAX = 6


class Updater:
    """The update of one device. Make it at each boot: RAM is new, the flash is not."""

    def __init__(self, flash: SlotFlash, spec: FirmwareSpec) -> None:
        """Runs the bootloader: which slot it chose is what runs now."""
        self._flash = flash
        self._spec = spec
        self._factory = BootRecord(active=0, versions=(spec.version, ""))
        self._slot = bootloader.boot(flash, self._factory, spec.public_key)
        self._asked: set[int] = set()
        self._ask_due_ms: int | None = None
        self._tries = 0

    @property
    def is_trial(self) -> bool:
        """Whether the image that runs has not been confirmed yet."""
        return self._slot != self._record.active

    @property
    def version(self) -> str:
        """The version that runs."""
        record = self._record
        if self.is_trial and record.manifest is not None:
            return record.manifest.version
        return record.versions[record.active]

    @property
    def is_downloading(self) -> bool:
        """Whether chunks are missing."""
        return self._record.phase is UpdatePhase.DOWNLOADING

    @property
    def ask_due_ms(self) -> int | None:
        """When the next chunks should be asked for (again); None if none are wanted. 0: at once."""
        record = self._flash.record()  # asked at each step of a device, most of which have none
        if record is None or record.phase is not UpdatePhase.DOWNLOADING or self.is_whole:
            return None
        return 0 if self._ask_due_ms is None else self._ask_due_ms

    def report(self) -> UpdateState | None:
        """What `state` says of the newest update."""
        record = self._record
        if record.manifest is None:
            return record.last
        if record.phase in {UpdatePhase.DOWNLOADING, UpdatePhase.STAGED}:
            done = len(self._flash.numbers(record.other))
            return UpdateState(
                record.manifest.version, "downloading", min(done, record.manifest.chunks), record.manifest.chunks
            )
        return UpdateState(record.manifest.version, "trial")

    def refusal(self, manifest: Manifest) -> str | None:
        """Why this device does not take such an update; None if it does."""
        if self._spec.public_key is None:
            return "this device takes no updates: it has no key"
        if not verify(manifest, self._spec.public_key):
            return "the signature is not by the owner of this device's key"
        if self._spec.device_type not in manifest.device_types:
            return f"the image is for {', '.join(manifest.device_types)}, this device is a {self._spec.device_type}"
        if version_key(manifest.version) <= version_key(self.version):
            return f"version {manifest.version} is not newer than {self.version}, which runs"
        if manifest.size > self._spec.slot_bytes_max:
            return f"the image has {manifest.size} bytes, a slot has {self._spec.slot_bytes_max}"
        if self._record.phase not in {UpdatePhase.IDLE, UpdatePhase.DOWNLOADING}:
            return f"an update to {self.version} is on trial"
        return None

    def start(self, manifest: Manifest) -> None:
        """Begin to download, or go on where the same image was."""
        record = self._record
        self._ask_due_ms, self._tries = None, 0
        self._asked.clear()
        if record.phase is UpdatePhase.DOWNLOADING and record.manifest == manifest:
            return
        # The slot first: with the record first, chunks of an older image could pass for those of this one.
        if record.phase is UpdatePhase.DOWNLOADING:
            self._put(bootloader.broken(record, "another update was started"))
        self._flash.erase(record.other)
        phase = next_update_phase(self._record.phase, UpdateEvent.START)
        self._put(msgspec.structs.replace(self._record, phase=phase, manifest=manifest, trials=0, last=None))

    def ask(self, now_ms: int) -> FirmwareAsk | None:
        """What to ask the gateway for now, if it is time to."""
        record, due_ms = self._record, self.ask_due_ms
        if record.manifest is None or due_ms is None or now_ms < due_ms:
            return None
        have = self._flash.numbers(record.other)
        first = next((number for number in range(record.manifest.chunks) if number not in have), None)
        if first is None:
            return None
        count = min(CHUNKS_PER_ASK, CHUNKS_PER_ASK_MAX, record.manifest.chunks - first)
        self._asked = {number for number in range(first, first + count) if number not in have}
        self._ask_due_ms = now_ms + min(ASK_TIMEOUT_CAP_MS, ASK_TIMEOUT_MS << min(self._tries, _DOUBLINGS_MAX))
        self._tries += 1
        return FirmwareAsk(record.manifest.image, first, count)

    def wants(self, chunk: Chunk) -> bool:
        """Whether this chunk is of the image that comes, fits, and is not there yet."""
        manifest = self._record.manifest
        return (
            manifest is not None
            and self.is_downloading
            and chunk.image == manifest.image
            and chunk.number < manifest.chunks
            and len(chunk.data) == manifest.chunk_size(chunk.number)
            and chunk.number not in self._flash.numbers(self._record.other)
        )

    def take(self, chunk: Chunk) -> None:
        """Write a chunk that is wanted."""
        self._flash.write(self._record.other, chunk.number, chunk.data)
        self._tries = 0
        self._asked.discard(chunk.number)
        if not self._asked:
            self._ask_due_ms = None

    @property
    def is_whole(self) -> bool:
        """Whether everything is there, and waits to be verified."""
        manifest = self._record.manifest
        if manifest is None or not self.is_downloading:
            return False
        return len(self._flash.numbers(self._record.other)) >= manifest.chunks

    def finish(self) -> bool:
        """Verify the whole image; whether it is to be started, which takes a reset."""
        record = self._record
        if record.manifest is None or not self.is_whole:
            return False
        if not bootloader.is_verified(self._flash, record.other, record.manifest, self._spec.public_key):
            self._put(bootloader.broken(record, "the image does not have the digest of its manifest"))
            return False
        phase = next_update_phase(record.phase, UpdateEvent.VERIFIED)
        self._put(msgspec.structs.replace(record, phase=phase))
        return True

    def self_test(self) -> bool:
        """The first thing that an image on trial does: confirm itself, or give up; whether it stays.

        After False, a reset starts the old image.
        """
        record = self._record
        if record.manifest is None or not self.is_trial:
            return True
        if SELF_TEST_FAILS in self._flash.image(self._slot, record.manifest.chunks):
            self._put(bootloader.roll_back(record, "the self-test failed"))
            return False
        self._put(bootloader.confirm(record))
        return True

    @property
    def _record(self) -> BootRecord:
        return self._flash.record() or self._factory

    def _put(self, record: BootRecord) -> None:
        self._flash.put_record(record)
