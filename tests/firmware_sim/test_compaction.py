"""When the shared flash is rewritten, and how rarely: a rewrite of 10,000 devices takes most of a second."""

import pytest

from firmware_sim.flash import MemoryMedium
from firmware_sim.outbox import COMPACT_ABOVE_BYTES, LOST_RANGES_MAX, OUTBOX_BYTES_MIN, Flash, Outbox

DEVICES = 4000
BODY = b"b" * 40


class CountingMedium(MemoryMedium):
    """Counts how often it was rewritten."""

    rewrites = 0

    def replace(self, data: bytes) -> None:
        self.rewrites += 1
        super().replace(data)


def idle(flash: Flash, name: str) -> Outbox:
    """A device of which everything is acknowledged: the flash still has its boot, its clock and its floor."""
    outbox = flash.outbox(name, bytes_max=OUTBOX_BYTES_MIN)
    outbox.start_boot(0)
    outbox.note_clock(5)
    outbox.append(1, BODY)
    outbox.ack(outbox.boot, 0)
    return outbox


@pytest.mark.no_cover
def test_a_rewritten_flash_of_many_idle_devices_is_not_rewritten_at_the_next_commit() -> None:
    medium = CountingMedium()
    flash = Flash(medium)
    outboxes = [idle(flash, f"node-{n}" + "-" * 40) for n in range(DEVICES)]
    assert sum(outbox.live_bytes for outbox in outboxes) > COMPACT_ABOVE_BYTES
    written = 0
    while medium.rewrites < 2:
        for outbox in outboxes[:50]:
            written -= outbox.bytes_written
            outbox.append(2, BODY)
            outbox.ack(outbox.boot, outbox.next_seq - 1)
            written += outbox.bytes_written
        flash.commit()
    assert written > COMPACT_ABOVE_BYTES + len(medium.data)


def test_what_a_device_says_is_live_is_what_a_rewrite_keeps_of_it() -> None:
    flash = Flash(MemoryMedium())
    outbox = idle(flash, "d")
    assert outbox.live_bytes == sum(map(len, outbox.frames()))
    for _ in range(3 * LOST_RANGES_MAX):  # evicts, boot after boot
        outbox.append(2, b"x" * 1000)
        outbox.start_boot(3)
        outbox.note_clock(7)
    outbox.put_config(b"settings")
    outbox.write_chunk(1, 0, b"chunk")
    outbox.write_chunk(1, 1, b"another")
    list(outbox.frames())  # a rewrite forgets past boots of which nothing is left
    assert outbox.lost
    assert outbox.live_bytes == sum(map(len, outbox.frames()))
