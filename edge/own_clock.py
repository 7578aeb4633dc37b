"""The gateway's own clock before it is set: a board without a battery starts in 1970, and readings come before NTP.

    received while the clock is not set -> flagged, and held -> the clock is set -> times corrected -> sent

Promises: while the clock is not set, no reading that came in that time is sent or rolled up (`Store.hold_from`); once
it is, their time of receipt, and every time that was reckoned from it, moves by the step that the wall clock took
against the monotonic one. A device's own time stays, unless it is impossible by the clock that is now known. A reading
is corrected once, in the transaction that moves the mark, before anybody has sent it, so that it is the same line for
ever. Readings of an earlier run that never learned the time are put right before the start of the run that did: later
than they were, never earlier, and in order. A notice tells what was moved, and by how much.
Synchronous; lives in the store's thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edge.device_clocks import latest_possible_ms, restamp
from edge.forward.lines import NS_PER_MS, GatewayNames, escape_tag
from edge.ledger import Ledger
from edge.store import Store
from edge.store.notices import Notices
from edge.store.rows import CLOCK_SET_MS, LogEntry, RowCorrupt, StoredRow, pack, unpack

BEFORE_CLOCK = "before_clock"
"""The ledger's total of readings that were corrected."""
CORRECT_ROWS = 2000  # of one transaction: about 20 ms in which ingest waits
HOLD_CURSOR = "clock/hold"
RUN_CURSOR = "clock/run"
SHIFT_CURSOR = "clock/shift"
SHIFT_BEFORE_CURSOR = "clock/shift_before"


@dataclass(frozen=True, slots=True)
class _Look:
    """Both clocks at one instant."""

    now_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class _Shifts:
    """By what rows move: from `run_from` on by the step of this run's clock, those of earlier runs by `before_ms`."""

    run_from: int
    shift_ms: int
    before_ms: int


class OwnClock:
    """Of one store. `waits`: whether the clock must be set before readings are sent."""

    def __init__(self, store: Store, ledger: Ledger, names: GatewayNames, *, waits: bool) -> None:
        self._store = store
        self._ledger = ledger
        self._notices = Notices(store)
        self._notice_head = f"{escape_tag(names.measurement)}_clock,gateway={escape_tag(names.gateway)}"
        self._waits = waits
        self._first: _Look | None = None
        self._unset: _Look | None = None
        self._set_hold()

    def note(self, now_ms: int, wall_ms: int) -> None:
        """Before readings are taken in at this time: hold them, if the clock is not set. Raises `StoreError`."""
        if self._first is None:
            self._first = _Look(now_ms, wall_ms)
        if wall_ms >= CLOCK_SET_MS or not self._waits:
            return
        if self._unset is None:
            while self._store.hold_from is not None and (begun := self._begun()) is not None:
                self._step(begun)  # a reboot cut it short: what moves those rows is known, and is not what moves these
            position = self._store.head + 1
            with self._store.transaction():
                self._store.set_cursor(RUN_CURSOR, position)
                if not self._store.cursor(HOLD_CURSOR):
                    self._store.set_cursor(HOLD_CURSOR, position)
            self._set_hold()
        self._unset = _Look(now_ms, wall_ms)

    def correct(self, now_ms: int, wall_ms: int | None) -> bool:
        """If the clock is set by now, correct some of what was held; whether there is more. Raises `StoreError`."""
        if wall_ms is None or self._store.hold_from is None or wall_ms < CLOCK_SET_MS:
            return False
        return self._step(self._begun() or self._begin(_Look(now_ms, wall_ms)))

    def _set_hold(self) -> None:
        self._store.moves += 1
        self._store.hold_from = (self._store.cursor(HOLD_CURSOR) or None) if self._waits else None

    def _begun(self) -> _Shifts | None:
        """By what rows move, once that was decided: a kill between two steps changes nothing."""
        found = [self._store.cursor(name) for name in (RUN_CURSOR, SHIFT_CURSOR, SHIFT_BEFORE_CURSOR)]
        return _Shifts(*found) if found[1] or found[2] else None

    def _begin(self, look: _Look) -> _Shifts:
        store, first, unset, shift_ms = self._store, self._first or look, self._unset, 0
        run_from = store.head + 1 if unset is None else store.cursor(RUN_CURSOR)
        if unset is not None:
            shift_ms = look.wall_ms - look.now_ms - (unset.wall_ms - unset.now_ms)
        earlier = store.run(
            "SELECT received_at_ms FROM readings WHERE id < ? AND received_at_ms < ? ORDER BY id DESC LIMIT 1",
            (run_from, CLOCK_SET_MS),
        )
        before_ms = first.wall_ms + shift_ms - earlier[0][0] if earlier else 0
        with store.transaction():
            store.set_cursor(RUN_CURSOR, run_from)
            store.set_cursor(SHIFT_CURSOR, shift_ms)
            store.set_cursor(SHIFT_BEFORE_CURSOR, before_ms)
        return _Shifts(run_from, shift_ms, before_ms)

    def _step(self, shifts: _Shifts) -> bool:
        """Correct some rows; whether there are more."""
        sql = "SELECT * FROM readings WHERE id >= ? ORDER BY id LIMIT ?"
        rows = self._store.run(sql, (self._store.hold_from, CORRECT_ROWS))
        with self._ledger.transaction():
            self._rewrite(rows, shifts)
            if len(rows) < CORRECT_ROWS:
                for name in (HOLD_CURSOR, RUN_CURSOR, SHIFT_CURSOR, SHIFT_BEFORE_CURSOR):
                    self._store.set_cursor(name, 0)
            else:
                self._store.set_cursor(HOLD_CURSOR, rows[-1][0] + 1)
        if len(rows) < CORRECT_ROWS:
            self._unset = None
        self._set_hold()
        return self._store.hold_from is not None

    def _rewrite(self, rows: Sequence[StoredRow], shifts: _Shifts) -> None:
        moved: dict[int, list[StoredRow]] = {}
        for row in rows:
            by_ms = shifts.shift_ms if row[0] >= shifts.run_from else shifts.before_ms
            if row[5] < CLOCK_SET_MS and (after := _moved(row, by_ms)) is not None:
                moved.setdefault(by_ms, []).append(after)
        for by_ms, after_rows in moved.items():
            self._store.rewrite_times(after_rows)
            first_ms, last_ms = after_rows[0][5], after_rows[-1][5]
            fields = f"readings={len(after_rows)}i,shift_ms={by_ms}i,until_ms={last_ms}i"
            self._notices.append(f"{self._notice_head} {fields} {first_ms * NS_PER_MS}")
            self._ledger.count(BEFORE_CLOCK, len(after_rows))


def _moved(row: StoredRow, by_ms: int) -> StoredRow | None:
    """A row at its true time; None for a damaged one, which whoever reads it next puts into quarantine."""
    try:
        entry = unpack(row, "")
    except RowCorrupt:
        return None
    received_at_ms, reading = entry.received_at_ms + by_ms, entry.reading
    if not reading.synced:
        taken_at_ms = reading.taken_at_ms + by_ms
        reading = msgspec.structs.replace(reading, taken_at_ms=taken_at_ms)
    elif reading.taken_at_ms > latest_possible_ms(received_at_ms):
        reading = restamp(reading, received_at_ms)
    return pack(LogEntry(row[0], row[1], received_at_ms, reading), before_clock=True)
