"""The quarantine as a person uses it: look, try again after a rule was mended, or give up for good.

Promises: a message that is understood on a retry becomes readings and leaves the quarantine in one transaction, as
received when it first came; one that is not stays as it was. What is retried or purged is counted in the ledger's
totals. Readings that a destination refused can be looked at and purged; to be sent again they need no retry here, but a
destination that takes them.
Synchronous; lives in the store's thread.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge.ingest import INGEST_SOURCE, Ingest, Message, NotUnderstood
from edge.ledger import Ledger
from edge.store import Store

LIST_MAX = 1000  # items of one answer
ID_MAX = 2**63 - 1
REASONS_OF = 10_000  # items that are looked through at once: some 20 ms of the store's thread
REASONS_MAX = 50  # more than anybody chooses from
PURGED = "purged"
PREVIEW_BYTES = 256  # of a payload in a list; the whole is shown one by one
_PLAIN_REASON = (
    "coalesce(nullif(rtrim(substr(reason, 1, min(instr(reason || char(39), char(39)), instr(reason || '(', '(')) - 1)),"
    " ''), reason)"
)
"""A reason without what is each message's own: a topic in quotes (char(39)), a position in brackets, and all behind."""
_COLUMNS = "id, at_ms, source, reason, topic, length(payload)"


@dataclass(frozen=True, slots=True)
class Item:
    """One message, or one reading's line, in quarantine. `at_ms` is when it came there.

    `payload_bytes` is its length; `payload` may be its beginning only (in a list).
    """

    id: int
    at_ms: int
    source: str
    reason: str
    topic: bytes
    payload_bytes: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reason:
    """Why items are in quarantine, without what is each one's own; how many, and when the newest of them came."""

    reason: str
    count: int
    newest_ms: int


class RetryOutcome(StrEnum):
    """What became of a retry."""

    TAKEN = "taken"
    STILL_BAD = "still not understood"
    NOT_A_MESSAGE = "not a message"
    UNKNOWN = "unknown id"


@dataclass(frozen=True, slots=True)
class Retried:
    """One retry: readings stored, duplicates among them, and why it failed if it did."""

    id: int
    outcome: RetryOutcome
    stored: int = 0
    duplicates: int = 0
    why: str | None = None


class Quarantine:
    """The quarantine of one store."""

    def __init__(self, store: Store, ledger: Ledger, ingest: Ingest) -> None:
        self._store = store
        self._ledger = ledger
        self._ingest = ingest

    def count(self) -> int:
        """How many items there are. Raises `StoreError`."""
        return int(self._store.query("SELECT count(*) FROM quarantine")[0][0])

    def items(self, *, after_id: int = 0, limit: int = LIST_MAX) -> list[Item]:
        """Items in the order in which they came. Raises `StoreError`."""
        rows = self._store.query(
            f"SELECT {_COLUMNS}, substr(payload, 1, ?) FROM quarantine"  # noqa: S608  # constants only
            " WHERE id > ? ORDER BY id LIMIT ?",
            (PREVIEW_BYTES, after_id, min(limit, LIST_MAX)),
        )
        return [Item(*row) for row in rows]

    def newest(self, *, before_id: int = ID_MAX, reason: str | None = None, limit: int = LIST_MAX) -> list[Item]:
        """Items, newest first; with a plain reason, those of it among the next `REASONS_OF`. Raises `StoreError`."""
        rows = self._store.query(
            f"SELECT {_COLUMNS}, substr(payload, 1, ?1) FROM quarantine"  # noqa: S608  # constants only
            f" WHERE id < ?2 AND (?3 IS NULL OR {_PLAIN_REASON} = ?3) AND id >= (SELECT coalesce(min(id), 0) FROM"
            " (SELECT id FROM quarantine WHERE id < ?2 ORDER BY id DESC LIMIT ?5)) ORDER BY id DESC LIMIT ?4",
            (PREVIEW_BYTES, before_id, reason, min(limit, LIST_MAX), REASONS_OF),
        )
        return [Item(*row) for row in rows]

    def reasons(self) -> list[Reason]:
        """The plain reasons of the newest `REASONS_OF` items, the most frequent first. Raises `StoreError`."""
        rows = self._store.query(
            f"SELECT plain, count(*), max(at_ms) FROM (SELECT {_PLAIN_REASON} AS plain, at_ms FROM quarantine"  # noqa: S608  # constants only
            " ORDER BY id DESC LIMIT ?) GROUP BY plain ORDER BY count(*) DESC, plain LIMIT ?",
            (REASONS_OF, REASONS_MAX),
        )
        return [Reason(*row) for row in rows]

    def item(self, item_id: int) -> Item | None:
        """One item, or None. Raises `StoreError`."""
        rows = self._store.query(
            f"SELECT {_COLUMNS}, payload FROM quarantine WHERE id = ?",  # noqa: S608  # constants only
            (item_id,),
        )
        return Item(*rows[0]) if rows else None

    def retry(self, item_ids: Sequence[int]) -> list[Retried]:
        """Feed messages through ingest again, each in its own transaction. Raises `StoreError`."""
        return [self._retry(item_id) for item_id in dict.fromkeys(item_ids)]

    def _retry(self, item_id: int) -> Retried:
        item = self.item(item_id)
        if item is None:
            return Retried(item_id, RetryOutcome.UNKNOWN, why="no such item in quarantine")
        if item.source != INGEST_SOURCE:
            why = f"a reading that {item.source} refused, not a message that was not understood"
            return Retried(item_id, RetryOutcome.NOT_A_MESSAGE, why=why)
        try:
            done = self._ingest.retry(Message(_topic(item.topic), item.payload), item.at_ms, item.id)
        except NotUnderstood as error:
            return Retried(item_id, RetryOutcome.STILL_BAD, why=str(error))
        return Retried(item_id, RetryOutcome.TAKEN, done.stored, done.duplicates)

    def purge(self, item_ids: Sequence[int] | None, reason: str | None = None) -> int:
        """Delete items for good (None: all of them, or all with this plain reason); how many. Raises `StoreError`."""
        with self._ledger.transaction():
            before = self.count()
            if item_ids is None and reason is not None:
                self._store.write(f"DELETE FROM quarantine WHERE {_PLAIN_REASON} = ?", [(reason,)])  # noqa: S608
            elif item_ids is None:
                self._store.write("DELETE FROM quarantine", [()])
            else:
                self._store.write("DELETE FROM quarantine WHERE id = ?", [(item_id,) for item_id in item_ids])
            gone = before - self.count()
            self._ledger.count(PURGED, gone)
            self._ledger.write()  # now, because recovery must not take a purged reading for a delivered one
        return gone


def item_document(item: Item) -> dict[str, object]:
    """One item as JSON-ready data: bytes in base64, and as text where they are UTF-8."""
    return {
        "id": item.id,
        "at_ms": item.at_ms,
        "source": item.source,
        "reason": item.reason,
        "topic": item.topic.decode("utf-8", "backslashreplace"),
        "payload_bytes": item.payload_bytes,
        "payload_base64": b64encode(item.payload).decode(),
        "payload_text": _text(item.payload),
    }


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _topic(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
