"""From messages to the log: decode, validate, recognise duplicates, commit, and only then say what may be acknowledged.

Promises: `process` returns only after one durable transaction that holds every reading, every state and every message
that could not be understood (quarantine); if it raises, nothing was kept and no message of the batch may be
acknowledged. Whatever a message is, it harms only itself.
Synchronous; lives in the store's thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edge.ledger import Ledger
from edge.store import Store
from sensors.messages import MessageError, decode_state
from sensors.reading import Reading
from sensors.senml import PayloadError, decode
from sensors.topics import DEFAULT_ROOT, Kind, Topic, TopicError, parse_topic

TOPIC_CACHE_MAX = 20_000  # topics remembered in parsed form: 10,000 devices with two kinds each
DEFAULT_MESSAGE_BYTES_MAX = 256 * 1024  # a day of one device's readings in one pack is about 100 KB
INGEST_SOURCE = "ingest"


class Message(NamedTuple):
    """One MQTT message. `topic` is bytes where it was not UTF-8."""

    topic: str | bytes
    payload: bytes
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one batch did, after the commit."""

    stored: int
    duplicates: int
    undecodable: int
    heard: tuple[tuple[int, str, str, int], ...]
    """(device_key, site, device, boot) of every account that spoke: whom the gateway may owe an `ack`."""
    rows: Sequence[tuple[int, Reading]] = ()
    """(device_key, reading) of everything that was stored, in order."""


class _Batch:
    """What is gathered while a batch is read."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Reading]] = []
        self.duplicates = 0
        self.undecodable = 0
        self.touched_ledger = False
        self.heard: dict[tuple[int, int], tuple[int, str, str, int]] = {}


class Ingest:
    """Takes batches of messages into one store."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        root: str = DEFAULT_ROOT,
        message_bytes_max: int = DEFAULT_MESSAGE_BYTES_MAX,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._root = root
        self._message_bytes_max = message_bytes_max
        self._topics: dict[str, Topic] = {}
        self._takers: dict[Kind, Callable[[Topic, bytes, int, _Batch], None]] = {
            Kind.READING: self._take_readings,
            Kind.STATE: self._take_state,
        }

    def process(self, messages: Sequence[Message], now_ms: int) -> Ingested:
        """Take a batch in, in one transaction. Raises `StoreError`: then nothing was kept."""
        batch = _Batch()
        self._ledger.refresh()
        try:
            with self._store.transaction():
                for message in messages:
                    self._take(message, now_ms, batch)
                if batch.rows:
                    self._store.append(batch.rows, now_ms)
                if batch.touched_ledger or self._ledger.checkpoint_due():
                    self._ledger.write()
        except BaseException:
            self._ledger.forget_uncommitted()
            raise
        return Ingested(len(batch.rows), batch.duplicates, batch.undecodable, tuple(batch.heard.values()), batch.rows)

    def _take(self, message: Message, now_ms: int, batch: _Batch) -> None:
        try:
            topic = self._topic(message)
            if len(message.payload) > self._message_bytes_max:
                raise PayloadError(f"{len(message.payload)} bytes: expected at most {self._message_bytes_max}")
            take = self._takers.get(topic.kind)
            if take is None:
                raise TopicError(f"kind {topic.kind} is not sent to a gateway: expected reading or state")
            take(topic, message.payload, now_ms, batch)
        except (TopicError, PayloadError, MessageError) as error:
            self._quarantine(message, str(error), now_ms, batch)

    def _topic(self, message: Message) -> Topic:
        if isinstance(message.topic, bytes):
            raise TopicError("the topic is not UTF-8")
        topic = self._topics.get(message.topic)
        if topic is None:
            topic = parse_topic(message.topic, self._root)
            if len(self._topics) >= TOPIC_CACHE_MAX:
                self._topics.clear()
            self._topics[message.topic] = topic
        return topic

    def _take_readings(self, topic: Topic, payload: bytes, now_ms: int, batch: _Batch) -> None:
        readings = decode(payload, device=topic.device, received_at_ms=now_ms)
        key = self._store.device_key(topic.site, topic.device)
        receive, rows = self._ledger.receive, batch.rows
        for reading in readings:
            if receive(key, reading.boot, reading.seq):
                rows.append((key, reading))
            else:
                batch.duplicates += 1
            batch.heard[key, reading.boot] = (key, topic.site, topic.device, reading.boot)

    def _take_state(self, topic: Topic, payload: bytes, _now_ms: int, batch: _Batch) -> None:
        state = decode_state(payload)
        if not state.lost:
            return
        key = self._store.device_key(topic.site, topic.device)
        for lost in state.lost:
            self._ledger.lose(key, lost.boot, lost.first, lost.last, lost.reason)
            batch.heard[key, lost.boot] = (key, topic.site, topic.device, lost.boot)
        batch.touched_ledger = True

    def _quarantine(self, message: Message, reason: str, now_ms: int, batch: _Batch) -> None:
        topic = message.topic if isinstance(message.topic, bytes) else message.topic.encode("utf-8", "surrogateescape")
        self._store.quarantine(at_ms=now_ms, source=INGEST_SOURCE, reason=reason, topic=topic, payload=message.payload)
        self._ledger.undecodable()
        batch.undecodable += 1
        batch.touched_ledger = True
