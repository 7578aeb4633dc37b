"""The commands in the store: issued, sent at the device's contacts, settled by its word, expired or cancelled.

Promises:
- What `issue` returned is durable; an acknowledgement is taken in ingest's own transaction, so its PUBACK follows its
  commit; that a command was sent is durable before it is sent, so that a kill cannot reset the count of attempts.
- A device gets its commands in the order in which they were issued, one at a time: the next is sent when what became of
  the one before is known. (`cmd/ack` is a contact, so a device that is awake gets them one after the other.)
- The time to live runs on the command clock: milliseconds in which a gateway ran on this store, kept in the store. A
  step of the wall clock expires nothing, and neither does a restart; the clock is never ahead of the true age, and
  behind it by the time for which no gateway ran.
- Bounded: `OPEN_PER_DEVICE_MAX` and `OPEN_MAX` open commands, `ATTEMPTS_MAX` sends, `HISTORY_PER_DEVICE` closed ones.

Synchronous; lives in the store's thread.
"""

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, NamedTuple

import msgspec

from edge.commands.states import OF_RESULT, OPEN_STATES, CommandEvent, CommandState, next_state
from edge.feedback import Downlink
from edge.store import Store
from sensors.commands import (
    TTL_S_MAX,
    Argument,
    ArgumentError,
    Command,
    check_arguments,
    decode_command_ack,
    encode_command,
)
from sensors.topics import DEFAULT_ROOT, Kind, Topic, build_topic

DEFAULT_TTL_S = 86_400  # a day: a sensor that reports hourly is heard many times, and an order of yesterday is stale
OPEN_PER_DEVICE_MAX = 16  # an operator's afternoon for one device
OPEN_MAX = 20_000  # an update for every device of a site of 10,000, and as many others
ATTEMPTS_MAX = 8
RETRY_AFTER_MS = 10_000  # an answer within a receive window takes seconds; doubled at each attempt
RETRY_CAP_MS = 600_000
HISTORY_PER_DEVICE = 50
CLOCK_CURSOR = "commands/clock"
CLOCK_EVERY_MS = 10_000  # how much of its age a command may forget at a kill
_MS_PER_S = 1000
_DOUBLINGS_MAX = 6
_COLUMNS = (
    "number, id, site, device, name, args, state, detail, issued_at_ms, expires_clock_ms, attempts,"
    " sent_clock_ms, sent_at_ms, done_at_ms"
)
_IS_OPEN = f"state IN ('{OPEN_STATES[0]}', '{OPEN_STATES[1]}')"

Name = tuple[str, str]
"""(site, device)."""


class TooManyCommands(Exception):
    """A queue is full. Who must act: whoever asked, by waiting or cancelling."""


class CommandRecord(NamedTuple):
    """One command. `*_at_ms` are wall times, for people; `*_clock_ms` are of the command clock."""

    number: int
    id: str
    site: str
    device: str
    name: str
    args: dict[str, Argument]
    state: CommandState
    detail: str
    issued_at_ms: int
    expires_clock_ms: int
    attempts: int
    sent_clock_ms: int | None
    sent_at_ms: int | None
    done_at_ms: int | None


class CommandBook:
    """The commands of one store."""

    def __init__(self, store: Store, rng: Random, *, root: str = DEFAULT_ROOT) -> None:
        """`rng` makes ids that no earlier store gave out, so that no device takes a new command for an old one."""
        self._store = store
        self._rng = rng
        self._root = root
        self._clock_from_ms: tuple[int, int] | None = None
        self._quiet_until_ms: dict[Name, int] = {}  # on the monotonic clock: no look at the table before
        self.version = 0
        self._open: set[Name] | None = None

    # -- what people do

    def issue(
        self, site: str, device: str, name: str, args: dict[str, Argument], ttl_s: int, now_ms: int, wall_ms: int
    ) -> CommandRecord:
        """A new command, waiting. Raises `ArgumentError`, `TooManyCommands` and `StoreError`."""
        check_arguments(name, args)
        if not 1 <= ttl_s <= TTL_S_MAX:
            raise ArgumentError(f"ttl_s is {ttl_s}: expected 1 to {TTL_S_MAX}")
        with self._store.transaction():
            record = self._insert(site, device, name, args, ttl_s, now_ms, wall_ms)
        self._changed()
        return record

    def issue_in(
        self, site: str, device: str, name: str, args: dict[str, Argument], ttl_s: int, now_ms: int, wall_ms: int
    ) -> CommandRecord:
        """As `issue`, inside a transaction of the caller's, with arguments that are known to be good."""
        record = self._insert(site, device, name, args, ttl_s, now_ms, wall_ms)
        self._changed()
        return record

    def cancel(self, site: str, device: str, command_id: str, wall_ms: int) -> CommandRecord | None:
        """Call a command back, if it is still open; None if there is none of that id. Raises `StoreError`."""
        record = self.get(site, device, command_id)
        if record is None or record.state not in OPEN_STATES:
            return record
        sent = record.state is CommandState.SENT
        with self._store.transaction():
            self._settle(record, CommandEvent.CANCEL, "sent already: may have been done" if sent else "", wall_ms)
        self._changed()
        return self.get(site, device, command_id)

    def get(self, site: str, device: str, command_id: str) -> CommandRecord | None:
        """One command of one device, or None. Raises `StoreError`."""
        found = self._select("WHERE id = ? AND site = ? AND device = ?", (command_id, site, device))
        return found[0] if found else None

    def of_device(self, site: str, device: str, limit: int = HISTORY_PER_DEVICE) -> list[CommandRecord]:
        """The newest commands of a device, newest first. Raises `StoreError`."""
        return self._select("WHERE site = ? AND device = ? ORDER BY number DESC LIMIT ?", (site, device, limit))

    def ttl_left_s(self, record: CommandRecord, now_ms: int) -> int:
        """What is left of a command's life, in whole seconds, rounded up."""
        return max(0, -(-(record.expires_clock_ms - self._clock_ms(now_ms)) // _MS_PER_S))

    # -- what devices do

    def take_ack(self, topic: Topic, payload: bytes, wall_ms: int) -> bool:
        """A `cmd/ack`, inside ingest's transaction; whether it is of a command of ours. Raises `MessageError`."""
        ack = decode_command_ack(payload)
        record = self.get(topic.site, topic.device, ack.id)
        if record is None:
            return False
        self._settle(record, OF_RESULT[ack.result], ack.detail, wall_ms)
        self._changed()
        return True

    def contacts(self, names: Iterable[Name], now_ms: int, wall_ms: int) -> list[Downlink]:
        """These devices are in contact: what to send them now. `now_ms` is monotonic. Raises `StoreError`."""
        is_open, quiet = self._names_of_open(), self._quiet_until_ms
        if not is_open:
            return []
        due = [name for name in dict.fromkeys(names) if name in is_open and quiet.get(name, 0) <= now_ms]
        if not due:
            return []
        with self._store.transaction():
            self._store.set_cursor(CLOCK_CURSOR, self._clock_ms(now_ms))
            return [downlink for name in due if (downlink := self._next(name, now_ms, wall_ms)) is not None]

    @property
    def has_open(self) -> bool:
        """Whether any command is open. Raises `StoreError`."""
        return bool(self._names_of_open())

    def expire(self, now_ms: int, wall_ms: int) -> None:
        """Close what has outlived its time, and keep the clock. Raises `StoreError`."""
        if not self._names_of_open():
            return
        clock_ms = self._clock_ms(now_ms)
        over = self._select(f"WHERE {_IS_OPEN} AND expires_clock_ms <= ? ORDER BY number LIMIT 1000", (clock_ms,))
        if not over and clock_ms - self._store.cursor(CLOCK_CURSOR) < CLOCK_EVERY_MS:
            return
        with self._store.transaction():
            for record in over:
                detail = f"sent {record.attempts} times, never acknowledged" if record.attempts else "never sent"
                self._settle(record, CommandEvent.EXPIRE, detail, wall_ms)
            self._store.set_cursor(CLOCK_CURSOR, clock_ms)
        if over:
            self._open = None
            self._changed()

    def forget_uncommitted(self) -> None:
        """A transaction was rolled back: memory is made new from the store at its next use."""
        self._quiet_until_ms.clear()
        self._open = None

    # -- inside transactions

    def _insert(
        self, site: str, device: str, name: str, args: dict[str, Argument], ttl_s: int, now_ms: int, wall_ms: int
    ) -> CommandRecord:
        ours, others = self._store.query(
            f"SELECT sum(site = ? AND device = ?), count(*) FROM commands WHERE {_IS_OPEN}",  # noqa: S608 - constants
            (site, device),
        )[0]
        if (ours or 0) >= OPEN_PER_DEVICE_MAX:
            raise TooManyCommands(f"{OPEN_PER_DEVICE_MAX} commands wait for {site}/{device}: cancel one, or wait")
        if others >= OPEN_MAX:
            raise TooManyCommands(f"{OPEN_MAX} commands wait: cancel some, or wait")
        number = 1 + (self._store.query("SELECT max(number) FROM commands")[0][0] or 0)
        clock_ms = self._clock_ms(now_ms)
        record = CommandRecord(
            number, f"{number}-{self._rng.getrandbits(32):08x}", site, device, name, args, CommandState.WAITING, "",
            wall_ms, clock_ms + ttl_s * _MS_PER_S, 0, None, None, None,
        )  # fmt: skip
        row = record._replace(args=msgspec.json.encode(args))  # type: ignore[arg-type]  # as it lies in the table
        marks = ", ".join("?" * len(row))
        self._store.write(f"INSERT INTO commands ({_COLUMNS}) VALUES ({marks})", [row])  # noqa: S608 - constants
        self._store.set_cursor(CLOCK_CURSOR, clock_ms)
        self._store.write(
            f"DELETE FROM commands WHERE site = ? AND device = ? AND NOT ({_IS_OPEN}) AND number <="  # noqa: S608
            " (SELECT number FROM commands WHERE site = ? AND device = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
            [(site, device, site, device, HISTORY_PER_DEVICE)],
        )
        self._open = None
        return record

    def _next(self, name: Name, now_ms: int, wall_ms: int) -> Downlink | None:
        """Send the oldest open command of a device, if it is time to."""
        clock_ms = self._clock_ms(now_ms)
        while found := self._select(f"WHERE site = ? AND device = ? AND {_IS_OPEN} ORDER BY number LIMIT 1", name):
            record = found[0]
            wait_ms = self._wait_ms(record, clock_ms)
            if wait_ms > 0:
                self._quiet_until_ms[name] = now_ms + wait_ms
                return None
            if record.expires_clock_ms <= clock_ms:
                self._settle(record, CommandEvent.EXPIRE, "the device was heard too late", wall_ms)
            elif record.attempts >= ATTEMPTS_MAX:
                self._settle(record, CommandEvent.GIVE_UP, f"no answer to {ATTEMPTS_MAX} sends", wall_ms)
            else:
                return self._send(record, now_ms, clock_ms, wall_ms)
            self._changed()
        self._open = None
        return None

    @staticmethod
    def _wait_ms(record: CommandRecord, clock_ms: int) -> int:
        if record.sent_clock_ms is None:
            return 0
        pause_ms = min(RETRY_CAP_MS, RETRY_AFTER_MS << min(record.attempts - 1, _DOUBLINGS_MAX))
        return record.sent_clock_ms + pause_ms - clock_ms

    def _send(self, record: CommandRecord, now_ms: int, clock_ms: int, wall_ms: int) -> Downlink:
        state = next_state(record.state, CommandEvent.SEND)
        self._store.write(
            "UPDATE commands SET state = ?, attempts = attempts + 1, sent_clock_ms = ?, sent_at_ms = ?"
            " WHERE number = ?",
            [(state, clock_ms, wall_ms, record.number)],
        )
        self._changed()
        self._quiet_until_ms[record.site, record.device] = now_ms + RETRY_AFTER_MS
        ttl_s = self.ttl_left_s(record, now_ms)
        command = Command(record.id, record.name, record.args, record.issued_at_ms, ttl_s)
        topic = build_topic(record.site, record.device, Kind.CMD, self._root)
        return Downlink(topic, encode_command(command), expiry_s=ttl_s)

    def _settle(self, record: CommandRecord, event: CommandEvent, detail: str, wall_ms: int) -> None:
        state = next_state(record.state, event)
        if state is not record.state:
            self._store.write(
                "UPDATE commands SET state = ?, detail = ?, done_at_ms = ? WHERE number = ?",
                [(state, detail, wall_ms, record.number)],
            )
        self._quiet_until_ms.pop((record.site, record.device), None)

    # -- reading

    def _select(self, where: str, arguments: tuple[object, ...]) -> list[CommandRecord]:
        rows = self._store.query(f"SELECT {_COLUMNS} FROM commands {where}", arguments)  # noqa: S608 - constants
        return [CommandRecord._make(_row(row)) for row in rows]

    def _names_of_open(self) -> set[Name]:
        if self._open is not None:
            return self._open
        rows = self._store.query(f"SELECT DISTINCT site, device FROM commands WHERE {_IS_OPEN}")  # noqa: S608
        self._open = {(site, device) for site, device in rows}
        return self._open

    def _clock_ms(self, now_ms: int) -> int:
        """The command clock."""
        if self._clock_from_ms is None:
            self._clock_from_ms = (now_ms, self._store.cursor(CLOCK_CURSOR))
        started_ms, base_ms = self._clock_from_ms
        return base_ms + now_ms - started_ms

    def _changed(self) -> None:
        self.version += 1


def _row(row: tuple[Any, ...]) -> Iterator[Any]:
    """The columns, as a record has them."""
    yield from row[:5]
    yield msgspec.json.decode(row[5])
    yield CommandState(row[6])
    yield from row[7:]
