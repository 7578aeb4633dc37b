"""The outbox's contract, run on the memory medium and on the file medium."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_sim.flash import FileMedium, FlashError, FrameKind, encode_frame, frame_bytes
from firmware_sim.outbox import (
    COMPACT_ABOVE_BYTES,
    LOOK_EVERY_BYTES,
    LOST_RANGES_MAX,
    OUTBOX_BYTES_MIN,
    Flash,
    FullPolicy,
    Key,
    Outbox,
    OutboxFullError,
)
from sensors.messages import LostRange
from tests.firmware_sim.media import DEVICE, Bench, bench

BODY = b"x" * 100
FRAME = frame_bytes(DEVICE, len(BODY))
FIT = OUTBOX_BYTES_MIN // FRAME


@pytest.fixture(params=["memory", "file"])
def chip(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with bench(None if request.param == "memory" else tmp_path / "flash.log") as made:
        yield made


def fill(chip: Bench, count: int, **options: object) -> tuple[Flash, Outbox]:
    flash, outbox = chip.outbox(**options)  # type: ignore[arg-type]
    outbox.start_boot(0)
    for seq in range(count):
        outbox.append(seq * 1000, b"%d" % seq + BODY[len(b"%d" % seq) :])
    flash.commit()
    return flash, outbox


def seqs(outbox: Outbox) -> list[tuple[int, int]]:
    return [(record.boot, record.seq) for record in outbox.records()]


def test_what_was_committed_is_there_after_a_restart_in_order(chip: Bench) -> None:
    fill(chip, 5)
    _, outbox = chip.outbox()
    assert [(record.key, record.at_ms) for record in outbox.records()] == [(Key(1, n), n * 1000) for n in range(5)]
    assert [record.body[:1] for record in outbox.records()] == [b"0", b"1", b"2", b"3", b"4"]
    assert outbox.newest_at_ms == 4000


def test_what_was_not_committed_is_gone_after_a_restart(chip: Bench) -> None:
    flash, outbox = fill(chip, 2)
    outbox.append(9, BODY)
    assert flash.dirty
    assert seqs(chip.outbox()[1]) == [(1, 0), (1, 1)]


def test_each_start_counts_one_boot_and_seqs_begin_at_zero(chip: Bench) -> None:
    fill(chip, 3)
    flash, outbox = chip.outbox()
    assert outbox.start_boot(0) == 2
    assert outbox.append(0, BODY).key == (2, 0)
    flash.commit()
    assert chip.outbox()[1].start_boot(0) == 3


def test_a_boot_that_stored_no_reading_is_counted_as_well(chip: Bench) -> None:
    for _ in range(3):
        flash, outbox = chip.outbox()
        outbox.start_boot(0)
        flash.commit()
    assert chip.outbox()[1].boot == 3


def test_an_ack_frees_everything_up_to_its_seq_and_nothing_else(chip: Bench) -> None:
    flash, outbox = fill(chip, 5)
    assert outbox.ack(1, 2) == 3
    assert seqs(outbox) == [(1, 3), (1, 4)]
    assert outbox.bytes_used == 2 * FRAME
    flash.commit()
    assert seqs(chip.outbox()[1]) == [(1, 3), (1, 4)]


def test_an_ack_of_one_boot_frees_nothing_of_another(chip: Bench) -> None:
    flash, outbox = fill(chip, 2)
    outbox.start_boot(0)
    outbox.append(0, BODY)
    assert outbox.ack(2, 0) == 1
    assert seqs(outbox) == [(1, 0), (1, 1)]
    assert not outbox.ack(1, -1)
    flash.commit()


def test_an_ack_of_readings_not_yet_taken_does_not_free_them_later(chip: Bench) -> None:
    flash, outbox = fill(chip, 1)
    outbox.ack(1, 500)
    outbox.ack(7, 500)
    outbox.append(1, BODY)
    assert seqs(outbox) == [(1, 1)]
    flash.commit()
    assert seqs(chip.outbox()[1]) == [(1, 1)]


def test_a_lost_ack_only_brings_readings_back(chip: Bench) -> None:
    flash, outbox = fill(chip, 3)
    outbox.ack(1, 2)
    assert not flash.dirty, "an ack alone is not worth an fsync"
    assert seqs(chip.outbox()[1]) == [(1, 0), (1, 1), (1, 2)]


def test_when_full_the_oldest_goes_and_is_reported_as_evicted(chip: Bench) -> None:
    _, outbox = fill(chip, FIT + 3, bytes_max=OUTBOX_BYTES_MIN)
    assert outbox.bytes_used <= OUTBOX_BYTES_MIN
    assert seqs(outbox) == [(1, n) for n in range(3, FIT + 3)]
    assert outbox.lost == (LostRange(1, 0, 2, "evicted"),)
    again = chip.outbox(bytes_max=OUTBOX_BYTES_MIN)[1]
    assert (seqs(again), again.lost) == (seqs(outbox), outbox.lost)


def test_when_full_the_other_policy_refuses_and_uses_no_seq(chip: Bench) -> None:
    _, outbox = fill(chip, FIT, bytes_max=OUTBOX_BYTES_MIN, policy=FullPolicy.STOP_SAMPLING)
    with pytest.raises(OutboxFullError, match=f"{FRAME} bytes needed, {OUTBOX_BYTES_MIN - FIT * FRAME} free"):
        outbox.append(0, BODY)
    assert outbox.lost == ()
    outbox.ack(1, 0)
    assert outbox.append(0, BODY).seq == FIT


def test_a_reading_larger_than_the_whole_outbox_evicts_nothing(chip: Bench) -> None:
    _, outbox = fill(chip, 2, bytes_max=OUTBOX_BYTES_MIN)
    with pytest.raises(OutboxFullError):
        outbox.append(0, b"x" * OUTBOX_BYTES_MIN)
    assert seqs(outbox) == [(1, 0), (1, 1)]


def test_an_ack_forgets_the_losses_that_it_passes(chip: Bench) -> None:
    flash, outbox = fill(chip, FIT + 3, bytes_max=OUTBOX_BYTES_MIN)
    outbox.ack(1, 1)
    assert outbox.lost == (LostRange(1, 2, 2, "evicted"),)
    outbox.ack(1, 3)
    assert not list(outbox.lost)
    flash.commit()
    assert chip.outbox()[1].lost == ()


@pytest.mark.parametrize("cut", [1, 30, FRAME - 1])
def test_a_torn_tail_is_skipped_and_the_rest_is_kept(chip: Bench, cut: int) -> None:
    fill(chip, 3)
    chip.damage(chip.data[:-cut])
    flash, outbox = chip.outbox()
    assert seqs(outbox) == [(1, 0), (1, 1)]
    outbox.start_boot(0)
    outbox.append(7, BODY)
    flash.commit()
    assert seqs(chip.outbox()[1]) == [(1, 0), (1, 1), (outbox.boot, 0)], "what follows a torn tail is found"


def test_a_torn_tail_that_still_says_whose_it_was_is_reported_as_corrupt(chip: Bench) -> None:
    fill(chip, 3)
    chip.damage(chip.data[:-30])
    assert chip.outbox()[1].lost == (LostRange(1, 2, 2, "corrupt"),)


def test_a_flipped_bit_in_any_byte_costs_at_most_one_reading_and_it_is_reported(chip: Bench) -> None:
    fill(chip, 4)
    good = chip.data
    boot_frame = frame_bytes(DEVICE, 8)
    for at in range(boot_frame, boot_frame + 3 * FRAME):
        chip.damage(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        _, outbox = chip.outbox()
        hit = (at - boot_frame) // FRAME
        assert seqs(outbox) == [(1, n) for n in range(4) if n != hit], at
        assert outbox.lost == (LostRange(1, hit, hit, "corrupt"),), at


def test_damage_to_what_was_acked_or_evicted_is_no_loss(chip: Bench) -> None:
    flash, outbox = fill(chip, FIT + 2, bytes_max=OUTBOX_BYTES_MIN)
    outbox.ack(1, 3)
    flash.commit()
    data = bytearray(chip.data)
    for n in (0, 3):
        data[frame_bytes(DEVICE, 8) + n * FRAME + FRAME // 2] ^= 1
    chip.damage(bytes(data))
    assert chip.outbox()[1].lost == ()


def test_a_damaged_or_new_flash_continues_with_a_boot_number_never_used(chip: Bench) -> None:
    assert chip.outbox(first_boot=500)[1].start_boot(0) == 500
    fill(chip, 2, first_boot=500)
    assert chip.outbox(first_boot=900)[1].start_boot(0) == 501
    chip.damage(b"\0" + chip.data)
    assert chip.outbox(first_boot=900)[1].start_boot(0) == 900


def test_foreign_bytes_are_an_empty_flash(chip: Bench) -> None:
    chip.damage(b"\xf1\xa5 this is no flash \xf1\xa5" * 50)
    flash, outbox = chip.outbox()
    assert len(outbox) == 0
    assert flash.unreadable_bytes == len(chip.data)


def test_a_frame_of_a_newer_kind_is_skipped(chip: Bench) -> None:
    fill(chip, 1)
    newer = bytearray(encode_frame(FrameKind.ACK, DEVICE, 1, 0, 0))
    chip.damage(chip.data + bytes(newer).replace(b"\x03\x01", b"\x63\x01", 1))
    assert seqs(chip.outbox()[1]) == [(1, 0)]


def test_after_returns_the_records_behind_a_key_of_one_boot(chip: Bench) -> None:
    _, outbox = fill(chip, 4)
    outbox.start_boot(0)
    outbox.append(0, BODY)
    assert [record.seq for record in outbox.after(None, 2)] == [0, 1]
    assert [record.seq for record in outbox.after(Key(1, 1), 9)] == [2, 3]
    assert [record.key for record in outbox.after(Key(1, 3), 9)] == [(2, 0)]
    assert outbox.after(Key(2, 0), 9) == []


def test_missing_names_each_reason_and_leaves_out_what_is_held_or_not_yet_measured(chip: Bench) -> None:
    _, outbox = fill(chip, FIT + 4, bytes_max=OUTBOX_BYTES_MIN)
    outbox.ack(1, 1)
    last = FIT + 3
    assert outbox.missing(1, 0, last + 10) == [LostRange(1, 0, 1, "acked"), LostRange(1, 2, 3, "evicted")]
    assert outbox.missing(1, 4, last) == []
    assert outbox.missing(9, 0, 5) == [LostRange(9, 0, 5, "corrupt")]
    assert [record.seq for record in outbox.between(1, 3, 6)] == [4, 5, 6]


def test_compaction_keeps_all_that_is_live_and_drops_the_rest(chip: Bench) -> None:
    flash, outbox = chip.outbox()
    outbox.start_boot(0)
    outbox.note_clock(-77)
    for seq in range(4):
        outbox.append(seq, b"y" * (COMPACT_ABOVE_BYTES // 5))
    flash.commit()
    outbox.ack(1, 1)
    for _ in range(12):
        outbox.append(9, b"z" * (COMPACT_ABOVE_BYTES // 5))
        outbox.ack(1, outbox.next_seq - 3)
    flash.commit()
    assert len(chip.data) < COMPACT_ABOVE_BYTES
    assert len(chip.data) == flash.medium_bytes
    wear = outbox.bytes_written
    again = chip.outbox()[1]
    assert (seqs(again), again.boot, again.bytes_written) == (seqs(outbox), outbox.boot, wear)
    assert again.clock_correction_ms(1) == -77
    assert again.lost == ()


def test_small_commits_keep_the_medium_within_what_is_live_and_a_look(chip: Bench) -> None:
    flash, outbox = fill(chip, 1)
    most = 0
    for _ in range(400):
        outbox.append(9, b"z" * 16_384)
        outbox.ack(1, outbox.next_seq - 9)
        flash.commit()
        most = max(most, len(chip.data))
    assert COMPACT_ABOVE_BYTES < most < COMPACT_ABOVE_BYTES + 2 * outbox.bytes_used + LOOK_EVERY_BYTES + 2 * 16_384
    assert seqs(chip.outbox()[1]) == seqs(outbox)


def test_settings_and_firmware_chunks_survive_a_restart_and_a_compaction(chip: Bench) -> None:
    flash, outbox = fill(chip, 1)
    for number in range(3):
        outbox.write_chunk(0, number, b"old" * 100)
        outbox.write_chunk(1, number, bytes([number]) * (COMPACT_ABOVE_BYTES // 4))
    outbox.erase_slot(0)
    outbox.write_chunk(1, 2, b"again")
    outbox.put_config(b"first")
    outbox.put_config(b"second")
    outbox.ack(outbox.boot, 0)
    flash.commit()
    for _ in range(20):  # until a commit rewrites what is live
        outbox.put_config(b"x" * (COMPACT_ABOVE_BYTES // 4))
        outbox.put_config(b"third")
        flash.commit()
    assert flash.medium_bytes < 2 * COMPACT_ABOVE_BYTES + 2 * outbox.slot_bytes
    _, again = chip.outbox()
    assert again.config == b"third"
    assert [len(again.slot(slot)) for slot in (0, 1)] == [0, 3]
    assert again.slot(1)[1] == b"\1" * (COMPACT_ABOVE_BYTES // 4)
    assert again.slot(1)[2] == b"again"
    assert again.slot_bytes == outbox.slot_bytes == sum(map(len, again.slot(1).values()))


def test_wear_counts_every_frame_over_all_boots(chip: Bench) -> None:
    _, outbox = fill(chip, 3)
    assert outbox.bytes_written == len(chip.data)
    flash, outbox = chip.outbox()
    outbox.start_boot(0)
    flash.commit()
    assert outbox.bytes_written == len(chip.data) == chip.outbox()[1].bytes_written


@pytest.mark.no_cover
def test_more_lost_ranges_than_are_remembered_count_the_oldest_as_acked(chip: Bench) -> None:
    flash, outbox = chip.outbox(bytes_max=OUTBOX_BYTES_MIN)
    for _ in range(LOST_RANGES_MAX + 1):
        outbox.start_boot(0)
        for _ in range(FIT + 1):
            outbox.append(0, BODY)
    assert len(outbox.lost) == LOST_RANGES_MAX
    assert outbox.missing(1, 0, 0) == [LostRange(1, 0, 0, "acked")]
    flash.commit()
    assert chip.outbox(bytes_max=OUTBOX_BYTES_MIN)[1].lost == outbox.lost


def test_devices_that_share_a_flash_do_not_touch_each_other(chip: Bench) -> None:
    flash = chip.open()
    first, second = (flash.outbox(name, bytes_max=OUTBOX_BYTES_MIN) for name in ("a", "b"))
    for outbox in (first, second):
        outbox.start_boot(0)
        outbox.append(0, BODY)
    first.ack(1, 0)
    for _ in range(FIT + 1):
        second.append(0, BODY)
    flash.commit()
    flash = chip.open()
    first, second = (flash.outbox(name, bytes_max=OUTBOX_BYTES_MIN) for name in ("a", "b"))
    assert (len(first), first.lost) == (0, ())
    assert second.lost == (LostRange(1, 0, 1, "evicted"),)


def test_an_outbox_smaller_than_a_sector_is_refused(chip: Bench) -> None:
    with pytest.raises(ValueError, match="expected at least 4096"):
        chip.outbox(bytes_max=OUTBOX_BYTES_MIN - 1)


def test_a_failed_write_is_a_flash_error_and_leaves_no_half_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench(tmp_path / "flash.log") as chip:
        flash, outbox = fill(chip, 2)
        before = chip.data
        outbox.append(9, BODY)

        def refuse(_fd: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("firmware_sim.flash.os.fsync", refuse)
        with pytest.raises(FlashError, match=r"flash\.log: No space left on device"):
            flash.commit()
        assert chip.data == before


def test_the_file_medium_syncs_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr("firmware_sim.flash.os.fsync", calls.append)
    medium = FileMedium(tmp_path / "flash.log")
    calls.clear()
    medium.append(b"x")
    assert len(calls) == 1
    medium.replace(b"y")
    assert len(calls) == 3, "the new file, and the folder that names it"
    medium.close()
