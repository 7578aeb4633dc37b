"""What a device does with what the gateway tells it: commands, and the chunks of an update.

Promises:
- A command is carried out once, however often it arrives, also across restarts: what it changes and that it was done
  are written to the flash in one piece, before anything is said. A repeat is acknowledged again (`DONE_MAX` are
  remembered).
- It is acknowledged after it was done; an acknowledgement that a restart cut off is said after it (`reboot` always is).
- A command that came later than its time to live is not carried out (`expired`); one that the device does not know, or
  not with such arguments, is `refused`.
- Receiving, writing flash and verifying take the time and the energy that they take; a device that browns out in one
  has not done it.
"""

from collections.abc import Callable
from typing import NamedTuple

from firmware_sim.device_spec import Counters, FirmwareSpec, Publish
from firmware_sim.outbox import Outbox
from firmware_sim.phases import Phase
from firmware_sim.settings_flash import SettingsFlash
from firmware_sim.update.updater import Updater
from sensors.commands import (
    DETAIL_CHARS_MAX,
    ArgumentError,
    Command,
    CommandAck,
    CommandName,
    check_arguments,
    decode_command,
    encode_command_ack,
)
from sensors.firmware import FirmwareError, decode_chunk, encode_ask, manifest_from_arguments
from sensors.messages import LostRange, State, UpdateState, encode
from sensors.topics import Kind

_MS_PER_S = 1000
_MV_PER_V = 1000
DOWNLINK_BYTES_PER_MS = 100  # 0.8 Mbit/s: what a small Wi-Fi or Thread node sees of its link, overheads off
# Winbond W25Q32JV, typical: 45 ms to erase a sector of 4 KB, 0.4 ms to write a page of 256 bytes.
SECTOR_BYTES = 4096
ERASE_MS_PER_SECTOR = 45
WRITE_MS_PER_KIB = 2
VERIFY_MS_PER_KIB = 1  # SHA-256 in software on a Cortex-M4 at 64 MHz: about 1 MB/s
SIGNATURE_MS = 20  # Ed25519 on the same
Work = Callable[[Phase, int, int], bool]
"""`(phase, duration_ms, now_ms)`: book it; False if the supply gave way."""


class Wish(NamedTuple):
    """What a message makes the device do next, beside what was done."""

    reset: bool = False
    report: bool = False
    reschedule: bool = False
    state: bool = False


NOTHING = Wish()


class Orders:
    """The commands and updates of one device. `boot` makes it new at each boot."""

    def __init__(self, outbox: Outbox, spec: FirmwareSpec, interval_ms: int, counters: Counters, work: Work) -> None:
        self._outbox = outbox
        self._spec = spec
        self._default_interval_ms = interval_ms
        self._counters = counters
        self._work = work
        self._flash = SettingsFlash(outbox)
        self._untold: list[CommandAck] = []
        self._updater: Updater | None = None

    @property
    def interval_ms(self) -> int:
        """The sampling interval that is set."""
        interval_ms = self._flash.settings.interval_ms
        return self._default_interval_ms if interval_ms is None else interval_ms

    @property
    def version(self) -> str:
        """The firmware that runs."""
        return self._updater.version if self._updater is not None else self._spec.version

    def update_report(self) -> UpdateState | None:
        """What `state` says of the newest update."""
        return self._updater.report() if self._updater is not None else None

    def boot(self) -> bool:
        """The bootloader, and the self-test of an image on trial; False if the device must be reset at once."""
        settings = self._flash.settings
        self._untold = [ack for ack in settings.done if ack.id in settings.untold]
        self._updater = updater = Updater(self._flash, self._spec)
        if not updater.is_trial:
            return True
        stays = updater.self_test()
        self._counters.updates += stays
        self._counters.roll_backs += not stays
        return stays

    # -- what arrives

    def read(self, kind: Kind, payload: bytes, now_ms: int, arrived_ms: int) -> Wish:
        """A `cmd` or an `fw/chunk` that arrived at `arrived_ms` and is looked at now. Raises `MessageError`."""
        if not self._work(Phase.DOWNLINK, -(-len(payload) // DOWNLINK_BYTES_PER_MS), now_ms):
            return NOTHING
        if kind is Kind.FW_CHUNK:
            return self._take_chunk(payload, now_ms)
        command = decode_command(payload)
        done = self._flash.recall(command.id)
        if done is not None:
            if done not in self._untold:
                self._untold.append(done)
            return NOTHING
        if now_ms - arrived_ms > command.ttl_s * _MS_PER_S:
            return self._close(command, "expired", f"looked at {(now_ms - arrived_ms) // _MS_PER_S} s after it came")
        try:
            check_arguments(command.name, command.args)
        except ArgumentError as error:
            return self._close(command, "refused", str(error))
        return self._obey(command, now_ms)

    def _obey(self, command: Command, now_ms: int) -> Wish:
        match command.name:
            case CommandName.SET_INTERVAL:
                interval_s = command.args["interval_s"]
                assert isinstance(interval_s, int | float)  # noqa: S101 - check_arguments has looked
                self._done(command, interval_ms=round(interval_s * _MS_PER_S))
                return Wish(reschedule=True)
            case CommandName.REBOOT:
                self._done(command)
                return Wish(reset=True)
            case CommandName.REPORT_NOW:
                self._done(command)
                return Wish(report=True)
        return self._start_update(command, now_ms)

    def _start_update(self, command: Command, now_ms: int) -> Wish:
        updater = self._updater
        try:
            manifest = manifest_from_arguments(command.args)
        except FirmwareError as error:
            return self._close(command, "refused", str(error))
        if updater is None or not self._work(Phase.PROCESS, SIGNATURE_MS, now_ms):
            return NOTHING
        refusal = updater.refusal(manifest)
        if refusal is not None:
            return self._close(command, "refused", refusal)
        sectors = -(-manifest.size // SECTOR_BYTES)
        if not self._work(Phase.FLASH, ERASE_MS_PER_SECTOR * sectors, now_ms):
            return NOTHING
        updater.start(manifest)
        self._done(command)
        return Wish(state=True)

    def _take_chunk(self, payload: bytes, now_ms: int) -> Wish:
        updater, chunk = self._updater, decode_chunk(payload)
        if updater is None or not updater.wants(chunk):
            return NOTHING
        if not self._work(Phase.FLASH, -(-len(chunk.data) * WRITE_MS_PER_KIB // 1024), now_ms):
            return NOTHING
        updater.take(chunk)
        return self.finish_update(now_ms) if updater.is_whole else NOTHING

    def finish_update(self, now_ms: int) -> Wish:
        """Verify an image that is whole: after a chunk, or after a restart that came before it could be."""
        updater = self._updater
        report = updater.report() if updater is not None else None
        if updater is None or report is None or not updater.is_whole:
            return NOTHING
        if not self._work(Phase.PROCESS, SIGNATURE_MS + report.chunks * VERIFY_MS_PER_KIB, now_ms):
            return NOTHING
        return Wish(reset=True) if updater.finish() else Wish(state=True)

    def _done(self, command: Command, **changes: object) -> None:
        self._counters.commands += 1
        self._remember(CommandAck(command.id, "ok"), **changes)

    def _close(self, command: Command, result: str, why: str) -> Wish:
        self._remember(CommandAck(command.id, result, why[:DETAIL_CHARS_MAX]))  # type: ignore[arg-type]
        return NOTHING

    def _remember(self, ack: CommandAck, **changes: object) -> None:
        self._flash.remember(ack, **changes)
        self._untold.append(ack)

    # -- what is said

    def state(self, lost: tuple[LostRange, ...], voltage_v: float | None) -> Publish:
        """What the device says of itself, retained; `lost`: what it measured and has no more."""
        state = State(
            online=True,
            boot=self._outbox.boot,
            firmware=self.version,
            battery_mv=None if voltage_v is None else round(voltage_v * _MV_PER_V),
            lost=lost,
            update=self.update_report(),
        )
        return Publish(Kind.STATE, encode(state), retain=True)

    def due_ms(self) -> int | None:
        """When there is something to say without anything arriving; None if there is not. 0: at once."""
        if self._untold:
            return 0
        return self._updater.ask_due_ms if self._updater is not None else None

    def has_words(self, now_ms: int) -> bool:
        """Whether there is something to say now."""
        due_ms = self.due_ms()
        return due_ms is not None and due_ms <= now_ms

    def words(self, now_ms: int) -> list[Publish]:
        """What is to be said now. It counts as said: a command whose answer is lost comes again, an ask times out."""
        said = [Publish(Kind.CMD_ACK, encode_command_ack(ack)) for ack in self._untold]
        if self._untold:
            self._untold = []
            self._flash.change(untold=())
        ask = self._updater.ask(now_ms) if self._updater is not None else None
        if ask is not None:
            said.append(Publish(Kind.FW_ASK, encode_ask(ask)))
        return said
