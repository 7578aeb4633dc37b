"""All destinations of a store: those that the configuration names, and those that it named once.

A destination that is new starts at the oldest row of each log, or, if it is to start now, behind the newest; what it
cannot get any more is told to the ledger as `before`. One that the configuration names no more keeps its place: its
rows are held, as for one that cannot be reached, until it is back or `forget` lets them go.

Promises: no destination's rows are deleted before it is done with them, whatever the configuration says meanwhile;
what is deleted of rollups and notices, every destination that takes them is done with.
Synchronous; lives in the store's thread.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from edge.forward.destination import Destination, DestinationRules, Send, StartAt, build
from edge.forward.sieve import sieve_cursor
from edge.forward.sources import READINGS, Source
from edge.intervals import Intervals
from edge.ledger import Ledger, done_ranges, forward_cursor
from edge.link_budget import LinkBudget, month_cursor
from edge.store import Store, StoreCorrupt
from edge.store.names import covered_ranges, registered_cursor
from edge.store.notices import Notices
from edge.store.windows import WindowTables
from edge.windows import WINDOWS_CURSOR

READ_ROWS = 10_000  # of one look at the log when a destination is new, so that memory stays flat
Waiting = dict[tuple[int, int], Intervals]
"""Seqs by (device_key, boot)."""
_PREFIXES = ("destination/", "forward/")  # the second: of a store that an older version wrote


class UnknownDestination(Exception):
    """Nothing is known of a destination of that name, or it cannot be forgotten. Who must act: the operator."""


class Destinations:
    """The destinations, the first of them first, and the ledger that accounts for all of them."""

    def __init__(
        self,
        store: Store,
        rules: Sequence[DestinationRules],
        sizes_s: tuple[int, ...],
        gateway: str,
        rng: Random,
        readers: Sequence[str] = (),
    ) -> None:
        """`readers`: cursors of the log's readers besides windows. Raises `StoreError`."""
        self._store = store
        names = [each.name for each in rules]
        self.removed = tuple(sorted(known_destinations(store) - set(names)))
        self.ledger = _ledger(store, (*names, *self.removed), [WINDOWS_CURSOR, *readers])
        self._by_name: dict[str, Destination] = {}
        for each in rules:
            built = build(store, self.ledger, each, sizes_s, gateway, rng)
            self._register(built)
            self._by_name[each.name] = built
        self.first = self._by_name[names[0]]
        self.has_sieve = any(one.sieve is not None for one in self._by_name.values())
        """Whether any reading is to be judged before it is sent."""
        self._tables, self._notices = WindowTables(store), Notices(store)
        self._sizes_s = sorted({*sizes_s, *self._tables.sizes_s()})
        self._retired: dict[str, int] = {}

    @property
    def active(self) -> Sequence[Destination]:
        """Those that the configuration names."""
        return tuple(self._by_name.values())

    def get(self, name: str) -> Destination:
        """The destination of that name. Raises `KeyError`."""
        return self._by_name[name]

    # -- coming and going

    def _register(self, one: Destination) -> None:
        """Give a destination its place in every log where it has none yet, in one transaction."""
        marks = {source.name: done_ranges(one.name, source.name) for source in one.queue.sources()}
        kept = {name for (name,) in self._store.run("SELECT name FROM ranges")}
        missing = [source for source in one.queue.sources() if marks[source.name] not in kept]
        is_known = one.name in known_destinations(self._store)
        if is_known and all(source.name == READINGS for source in missing):
            return
        at_now = one.rules.choices.start_at is StartAt.NOW and not is_known
        with self.ledger.transaction():
            for source in missing:
                if source.name != READINGS:
                    self._store.put_ranges(marks[source.name], _gone(source, at_now))
            if not is_known:
                self._start_reading(one.name, at_now)

    def _start_reading(self, name: str, at_now: bool) -> None:
        head = self._store.head
        present = Intervals()
        if not at_now and self._store.run("SELECT count(*) FROM readings")[0][0] == head:
            present, done = Intervals([(1, head)] if head else ()), Intervals()  # nothing is gone yet
        else:
            waiting: Waiting = {}
            if not at_now:
                present, waiting = self._log()
            done = Intervals([(1, head)] if head else ()).minus(present)
            self.ledger.skip_before(name, waiting)
            self._store.put_ranges(done_ranges(name), done)
        self._store.set_cursor(registered_cursor(name), done.end_of_run(1))

    def _log(self) -> tuple[Intervals, Waiting]:
        """What is in the log: ids, and seqs by (device_key, boot)."""
        present, waiting, position = Intervals(), Waiting(), 0
        sql = "SELECT id, device_key, boot, seq FROM readings WHERE id > ? ORDER BY id LIMIT ?"
        while rows := self._store.run(sql, (position, READ_ROWS)):
            for row_id, device_key, boot, seq in rows:
                present.add(row_id)
                waiting.setdefault((device_key, boot), Intervals()).add(seq)
            position = rows[-1][0]
        return present, waiting

    def forget(self, name: str) -> int:
        """Let go of a destination that is not configured any more; how many readings it still had coming.

        Raises `UnknownDestination`, `StoreError`.
        """
        if name in self._by_name:
            raise UnknownDestination(f"{name} is configured: take it out of the configuration first")
        if name not in self.removed:
            raise UnknownDestination(f"no destination {name} is known that is not configured")
        held = self.ledger.balance(name).held
        with self.ledger.transaction():
            self.ledger.forget(name)
            cursors = (
                registered_cursor(name),
                forward_cursor(name),
                f"live/{name}",
                sieve_cursor(name),
                month_cursor(name),
            )
            self._store.run("DELETE FROM link_months WHERE destination = ?", (name,))
            sets = [mark for (mark,) in self._store.run("SELECT name FROM ranges") if _owner(mark) == name]
            self._store.forget_consumer(cursors, [*sets, covered_ranges(name)])
        self.removed = tuple(other for other in self.removed if other != name)
        return held

    # -- what happens beside the sending

    def sift(self) -> bool:
        """Let every sieve judge its next readings; whether there is more. Raises `StoreError`."""
        more = False
        for one in self._by_name.values():
            if one.sieve is not None:
                more = one.sieve.advance() or more
        return more

    def keep_accounts(self, now_ms: int, wall_ms: int) -> None:
        """Let every link's budget see which month it is, and tell what it has to tell. Raises `StoreError`."""
        for one in self._by_name.values():
            if one.link.look(now_ms, wall_ms):
                one.link.turn(wall_ms)

    def unwritten(self) -> Sequence[LinkBudget]:
        """The links of which something was spent that is not written yet."""
        return [one.link for one in self._by_name.values() if one.link.is_dirty]

    def retire(self, limit: int) -> bool:
        """Delete at most `limit` rows of each log but that of readings with which everybody is done; whether there is
        more to delete. Raises `StoreError`."""
        deletes: list[tuple[str, int, Callable[[int, int], int]]] = []
        through = self._retirable("notices", self._notices.head())
        if through is not None:
            deletes.append(("notices", through, self._notices.delete_through))
        for size_s in self._sizes_s:
            source = f"rollups/{size_s}"
            through = self._retirable(source, self._tables.head(size_s))
            if through is not None:
                deletes.append((source, through, partial(self._tables.delete_through, size_s)))
        if not deletes:
            return False
        with self.ledger.transaction():  # one for all: an fsync, and every page once
            deleted = [delete(through, limit) for _, through, delete in deletes]
        for (source, through, _), count in zip(deletes, deleted, strict=True):
            if count < limit:
                self._retired[source] = through
        return limit in deleted

    def _retirable(self, source: str, head: int) -> int | None:
        """Up to where everybody is done with a log, if there may be rows to delete."""
        takers = [one.name for one in self._by_name.values() if one.takes(source)]
        takers += [name for name in self.removed if self._takes(name, source)]
        ends = [self._store.look_at_ranges(done_ranges(name, source)).end_of_run(1) for name in takers]
        through = min(ends, default=head)
        return through if through > self._retired.get(source, 0) else None

    def _takes(self, removed: str, source: str) -> bool:
        return bool(self._store.run("SELECT 1 FROM ranges WHERE name = ?", (done_ranges(removed, source),)))


def known_destinations(store: Store) -> set[str]:
    """The names of all destinations that a store keeps a place for. Raises `StoreError`."""
    known = set()
    for cursor in store.cursors():
        for prefix in _PREFIXES:
            name = cursor.removeprefix(prefix)
            if name != cursor and "/" not in name:
                known.add(name)
    return known


def _gone(source: Source, at_now: bool) -> Intervals:
    """The ids of a log that a new destination gets no more."""
    page = None if at_now else source.read(1, source.head(), 1)
    last = source.head()
    if page is not None and (page.rows or page.damaged is not None):
        last = (page.rows[0].id if page.rows else page.damaged.id if page.damaged else 0) - 1
    return Intervals([(1, last)] if last > 0 else ())


def _owner(mark: str) -> str | None:
    parts = mark.split("/")
    return parts[1] if parts[0] == "forward" and len(parts) > 2 else None


def _ledger(store: Store, names: Sequence[str], readers: Sequence[str]) -> Ledger:
    try:
        return Ledger(store, names, readers)
    except StoreCorrupt:
        store.reopen()
        return Ledger(store, names, readers)


__all__ = ["Destination", "Destinations", "Send", "UnknownDestination", "known_destinations"]
