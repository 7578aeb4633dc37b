"""Where the recorder's events and outages are kept: tables of the gateway's store, bounded by age and by bytes.

Promises: a batch is stored whole or not at all, with the instant until which it is complete; the recorder's clock goes
on across restarts, by the wall clock, and never back; trimming keeps each link's state at the cut; `read_archive` reads
the file of a running gateway without writing to it or holding it up.
"""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from edge.outages.events import AnyEvent, Link
from edge.outages.export import PLAUSIBLE_MS, Archive
from edge.outages.observations import link_named
from edge.outages.recorder import Pending, RecordedOutage, Resume
from edge.store.errors import StoreFailed, StoreUnusable
from edge.store.store import Store

ROW_OVERHEAD_BYTES = 48
"""What a row of `link_events` takes beside its line: id, time, link, kind, its place in the index, unused space."""
OUTAGES_MAX = 20_000
"""One every six minutes for 90 days: about 8 MB."""
TRIM_ROWS_MAX = 5_000
"""Of one transaction, so that trimming never holds up an ingest commit for long."""
TRIM_TO_PERCENT = 90
"""At the limit a tenth goes at once, so that trimming is rare."""
READ_TIMEOUT_S = 5.0
READ_STEPS_MAX = 100_000_000
"""SQLite's own steps in which an archive must be read, some seconds: far more than the largest one takes. Until it
ends, the write-ahead log of the running gateway cannot be cut back."""
_STEPS_PER_LOOK = 100_000
_US_PER_MS = 1_000
_DAY_US = 86_400_000_000

_EVENTS = "SELECT line FROM link_events ORDER BY id"
_EVENTS_FRAME = "SELECT line FROM link_events WHERE kind = 'Gap' OR id = (SELECT min(id) FROM link_events) ORDER BY id"
_encoder = msgspec.json.Encoder()
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_outages = msgspec.json.Decoder(RecordedOutage)


class OutageLog:
    """The recorder's part of one store. For the store's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def resume(self, wall_ms: int) -> Resume:
        """What the run before left, and what the recorder's clock says now. Raises `StoreError`.

        A wall clock that went back, or was never set, says nothing about how long the gateway was off: the gap is
        given no length then.
        """
        rows = self._store.run("SELECT alive_us, alive_wall_ms FROM recorder")
        if not rows:
            return Resume()
        alive_us, alive_wall_ms = rows[0]
        was_off_ms = wall_ms - alive_wall_ms if alive_wall_ms >= PLAUSIBLE_MS else 0
        still_open = self._store.run("SELECT document FROM outages WHERE end_us IS NULL ORDER BY seen_us")
        numbers = self._store.run("SELECT link, max(number) FROM outages GROUP BY link")
        ((last_id,),) = self._store.run("SELECT coalesce(max(id), 0) FROM link_events")
        return Resume(
            alive_us,
            alive_us + max(0, was_off_ms) * _US_PER_MS,
            last_id + 1,
            tuple(_outages.decode(document) for (document,) in still_open),
            dict(numbers),
        )

    def write(self, pending: Pending, wall_ms: int) -> None:
        """Store what is pending, in one transaction; `wall_ms` belongs to `pending.alive_us`. Raises `StoreError`."""
        rows = [_row(row_id, event) for row_id, event in enumerate(pending.events, pending.first_id)]
        added = sum(len(row[4]) + ROW_OVERHEAD_BYTES for row in rows)
        with self._store.transaction():
            self._store.run_many("INSERT OR IGNORE INTO link_events VALUES (?, ?, ?, ?, ?)", rows)
            self._store.run_many(
                "INSERT OR REPLACE INTO outages VALUES (?, ?, ?, ?, ?)",
                [(o.link, o.number, o.seen_us, o.end_us, _encoder.encode(o)) for o in pending.outages],
            )
            self._store.change(
                "INSERT INTO recorder VALUES (1, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " alive_us = excluded.alive_us, alive_wall_ms = excluded.alive_wall_ms, bytes = bytes + excluded.bytes",
                (pending.alive_us, wall_ms, added),
            )

    def trim(self, *, keep_days: int, keep_bytes: int) -> bool:
        """Delete a batch of what is too old or too much; whether there may be more. Raises `StoreError`."""
        rows = self._store.run("SELECT alive_us, bytes FROM recorder")
        if not rows:
            return False
        alive_us, stored_bytes = rows[0]
        cut_us = alive_us - keep_days * _DAY_US
        if stored_bytes > keep_bytes:
            cut_us = max(cut_us, self._cut_for(keep_bytes * TRIM_TO_PERCENT // 100))
        with self._store.transaction():
            self._store.change(
                "DELETE FROM outages WHERE end_us IS NOT NULL AND (end_us < ? OR seen_us < (SELECT seen_us FROM outages"
                " ORDER BY seen_us DESC LIMIT 1 OFFSET ?)) AND number < (SELECT max(number) FROM outages AS others"
                " WHERE others.link = outages.link)",
                (cut_us, OUTAGES_MAX),
            )
            return self._delete_before(cut_us) == TRIM_ROWS_MAX

    def _cut_for(self, keep_bytes: int) -> int:
        """The time before which everything has to go for the rest to fit."""
        rows = self._store.run(
            "SELECT max(at_us) FROM (SELECT at_us, sum(length(line) + ?) OVER (ORDER BY id DESC) AS newer"
            " FROM link_events) WHERE newer > ?",
            (ROW_OVERHEAD_BYTES, keep_bytes),
        )
        return int(rows[0][0]) + 1 if rows and rows[0][0] is not None else 0

    def _delete_before(self, cut_us: int) -> int:
        """Delete the oldest events before the cut, except what says how each link stands there; how many went."""
        kept = (
            "SELECT max(id) FROM link_events WHERE at_us < ?1 AND kind = 'Transition' AND id >"
            " (SELECT coalesce(max(id), 0) FROM link_events WHERE at_us < ?1 AND kind = 'Gap') GROUP BY link"
        )
        doomed = self._store.run(
            f"SELECT id, length(line) FROM link_events WHERE at_us < ?1 AND id NOT IN ({kept}) ORDER BY id LIMIT ?2",  # noqa: S608
            (cut_us, TRIM_ROWS_MAX),
        )
        self._store.run_many("DELETE FROM link_events WHERE id = ?", [(row_id,) for row_id, _ in doomed])
        freed = sum(length + ROW_OVERHEAD_BYTES for _, length in doomed)
        self._store.change("UPDATE recorder SET bytes = max(0, bytes - ?)", (freed,))
        return len(doomed)


def read_archive(path: Path, links: Sequence[Link], *, events: bool = True) -> Archive:
    """What a store's file keeps of these links and of any others, read without a lock while a gateway may be writing.

    Without `events`, only the first of them and the gaps are read: enough to say what the outages were out of.
    A reader is cut off after `READ_STEPS_MAX`.

    Raises `StoreUnusable` when there is no such file, or it is no store.
    """
    if not path.is_file():
        raise StoreUnusable(str(path), "there is no such file")
    try:
        db = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=READ_TIMEOUT_S)
        try:
            db.set_progress_handler(_steps_left(READ_STEPS_MAX), _STEPS_PER_LOOK)
            db.execute("BEGIN")  # one snapshot for all three
            alive = db.execute("SELECT alive_us, alive_wall_ms FROM recorder").fetchone()
            lines = db.execute(_EVENTS if events else _EVENTS_FRAME).fetchall()
            documents = db.execute("SELECT document FROM outages ORDER BY seen_us, link").fetchall()
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreUnusable(str(path), str(error)) from error
    return _archive(path, tuple(links), alive, [line for (line,) in lines], [document for (document,) in documents])


def _steps_left(steps: int) -> Callable[[], bool]:
    """A progress handler that interrupts a reader after so many steps."""
    looks = count(1)
    return lambda: next(looks) * _STEPS_PER_LOOK > steps


def _archive(path: Path, links: tuple[Link, ...], alive: Any, lines: list[bytes], documents: list[bytes]) -> Archive:
    if alive is None:
        return Archive(links, (), (), alive_us=0, alive_wall_ms=0)
    try:
        events = tuple(_events.decode(line) for line in lines)
        outages = tuple(_outages.decode(document) for document in documents)
    except msgspec.DecodeError as error:
        raise StoreFailed(f"{path}: a recorded event is damaged: {error}") from error
    found = {link for each in (*events, *outages) if (link := getattr(each, "link", None)) is not None}
    further = sorted(found - {link.name for link in links})
    return Archive((*links, *map(link_named, further)), events, outages, alive[0], alive[1])


def _row(row_id: int, event: AnyEvent) -> tuple[int, int, str | None, str, bytes]:
    return row_id, event.at_us, getattr(event, "link", None), type(event).__name__, _encoder.encode(event)
