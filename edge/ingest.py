"""From messages to the log: decode, validate, recognise duplicates, commit, and only then say what may be acknowledged.

A message under the gateway's own root is native: it has an identity. Any other is a foreign device's, for which the
mapping rules speak: its readings get the boot `FOREIGN_BOOT` and the account's next seq, so that they are in the ledger
like all others; no gap can be seen in them, nothing is asked for again, and no `ack` is sent to such a device.

Promises: `process` returns only after one durable transaction that holds every reading, every state and every message
that could not be understood (quarantine); if it raises, nothing was kept and no message of the batch may be
acknowledged. Whatever a message is, it harms only itself.
Synchronous; lives in the store's thread.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from edge.alerts.book import AlertBook
from edge.device_clocks import EARLIEST_MS, RESTAMPED, DeviceClocks, latest_possible_ms, restamp
from edge.downlinks import Downlinks
from edge.ledger import DUPLICATES, Ledger
from edge.limits import LimitExceeded, Limits, Series, admit_device
from edge.mapping.mapper import Mapped, Mapper
from edge.mapping.recent import Recent
from edge.mapping.sparkplug import AliasUnknown, Nodes
from edge.message import Message as Message
from edge.store import Store
from edge.store.rows import CLOCK_SET_MS
from sensors.alerts import decode_device_alert
from sensors.messages import MessageError, decode_state
from sensors.reading import FOREIGN_BOOT, Reading
from sensors.senml import PayloadError, decode
from sensors.topics import DEFAULT_ROOT, TO_DEVICES, Kind, Topic, TopicError, parse_topic

TOPIC_CACHE_MAX = 20_000  # topics remembered in parsed form: 10,000 devices with two kinds each
DEFAULT_MESSAGE_BYTES_MAX = 256 * 1024  # a day of one device's readings in one pack is about 100 KB
INGEST_SOURCE = "ingest"
_BAD_MESSAGE = (TopicError, PayloadError, MessageError, LimitExceeded)
LOST_TO_LIMIT = "limit"
"""Why a seq counts as lost that is in quarantine because its message went over a limit."""

RETRIED = "retried"
UNSUPPORTED = "unsupported"
"""The total of Sparkplug metrics that are no values: data sets, templates, files, no finite number."""
RETAINED = "retained"
"""The total of retained messages of foreign devices: old news that the broker tells at a subscription, not readings."""


class Ingested(NamedTuple):
    """What one batch did, after the commit."""

    stored: int
    duplicates: int
    undecodable: int
    heard: tuple[tuple[int, str, str, int], ...]
    """(device_key, site, device, boot) of every account that spoke: whom the gateway may owe an `ack`."""
    rebirths: tuple[tuple[str, str], ...]
    """(group, node) of Sparkplug nodes that must announce themselves again."""
    by_device: dict[int, int]
    """How many readings each device (by key) sent, duplicates among them."""
    rows: Sequence[tuple[int, Reading]]
    """(device_key, reading) of everything that was stored, in order."""
    contacts: tuple[tuple[str, str], ...] = ()
    """(site, device) of those native devices that are in contact now: what waits for them may be sent."""


class NotUnderstood(ValueError):
    """A message that is no reading, told to whoever gave it. Nothing of it was kept."""


class _Batch:
    """What is gathered while a batch is read."""

    def __init__(self, now_ms: int) -> None:
        self.latest_ms = latest_possible_ms(now_ms)
        self.rows: list[tuple[int, Reading]] = []
        self.duplicates = 0
        self.undecodable = 0
        self.touched_ledger = False
        self.rebirths: dict[tuple[str, str], None] = {}
        self.by_device: dict[int, int] = {}
        self.heard: dict[tuple[int, int], tuple[int, str, str, int]] = {}
        self.contacts: dict[tuple[str, str], None] = {}
        self.is_retained = False

    def ingested(self) -> Ingested:
        """What the batch did."""
        return Ingested(
            len(self.rows),
            self.duplicates,
            self.undecodable,
            tuple(self.heard.values()),
            tuple(self.rebirths),
            self.by_device,
            self.rows,
            tuple({(site, device): None for _, site, device, _ in self.heard.values()} | self.contacts),
        )


_Taker = Callable[[Topic, bytes, int, _Batch], None]


class Ingest:
    """Takes batches of messages into one store."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        root: str = DEFAULT_ROOT,
        message_bytes_max: int = DEFAULT_MESSAGE_BYTES_MAX,
        mapper: Mapper | None = None,
        limits: Limits | None = None,
        alerts: AlertBook,
        downlinks: Downlinks | None = None,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._alerts = alerts
        self._root = root
        self._own_prefix = root + "/"
        self._mapper = mapper
        self._recent = Recent(store)
        self._limits = limits or Limits()
        self._nodes = Nodes(store)
        self._series = Series(store, self._limits.series_per_device_max)
        self.clocks = DeviceClocks()
        self._message_bytes_max = message_bytes_max
        self._downlinks = downlinks
        self._routes: dict[str, tuple[Topic, _Taker]] = {}
        self._takers: dict[Kind, _Taker] = {
            Kind.READING: self._take_readings,
            Kind.STATE: self._take_state,
            Kind.ALERT: self._take_alert,
        }
        if downlinks is not None:
            self._takers |= dict.fromkeys((Kind.CMD_ACK, Kind.FW_ASK), self._take_answer)

    def process(self, messages: Sequence[Message], now_ms: int) -> Ingested:
        """Take a batch in, in one transaction. Raises `StoreError`: then nothing was kept."""
        with self._committing(now_ms) as batch:
            for message in messages:
                self._take(message, now_ms, batch)
        return batch.ingested()

    def accept(self, topic: Topic, payload: bytes, now_ms: int) -> Ingested:
        """Take the readings of one native payload in, however it came, in one transaction.

        Raises `NotUnderstood` (nothing is kept, also not in quarantine: the sender hears why) and `StoreError`.
        """
        with self._named(), self._committing(now_ms) as batch:
            self._check_size(payload)
            self._take_readings(topic, payload, now_ms, batch)
        return batch.ingested()

    def retry(self, message: Message, received_at_ms: int, quarantine_id: int) -> Ingested:
        """Take a message out of quarantine, if it is understood now, in one transaction.

        Raises `NotUnderstood` (it stays where it is) and `StoreError`.
        """
        with self._named(), self._committing(received_at_ms) as batch:
            self._understand(message, received_at_ms, batch)
            self._store.write("DELETE FROM quarantine WHERE id = ?", [(quarantine_id,)])
            self._ledger.count(RETRIED)
            batch.touched_ledger = True
        return batch.ingested()

    @contextmanager
    def _committing(self, now_ms: int) -> Iterator[_Batch]:
        """One durable transaction around what the block gathers; after an error, memory is made new from the store."""
        batch = _Batch(now_ms)
        self._ledger.refresh()
        self._recent.refresh()
        try:
            with self._store.transaction(leaves_waiting=True):  # else every answer of the cloud costs a page of it
                yield batch
                if batch.rows:
                    self._store.append(batch.rows, now_ms)
                self._recent.write()
                self._nodes.write()
                if batch.touched_ledger or self._ledger.checkpoint_due():
                    self._ledger.write()
        except BaseException:
            self._ledger.forget_uncommitted()
            self._recent.forget_uncommitted()
            self._series.forget_uncommitted()
            self._nodes.forget_uncommitted()
            if self._downlinks is not None:
                self._downlinks.forget_uncommitted()
            raise

    @staticmethod
    @contextmanager
    def _named() -> Iterator[None]:
        try:
            yield
        except _BAD_MESSAGE as error:
            raise NotUnderstood(str(error)) from None

    def _take(self, message: Message, now_ms: int, batch: _Batch) -> None:
        try:
            self._understand(message, now_ms, batch)
        except _BAD_MESSAGE as error:
            if isinstance(error, LimitExceeded):
                self._ledger.count(error.total)
            self._quarantine(message, str(error), now_ms, batch)

    def _understand(self, message: Message, now_ms: int, batch: _Batch) -> None:
        """Gather what the message says; raises one of `_BAD_MESSAGE` before any reading is gathered."""
        self._check_size(message.payload)
        text = message.topic
        if isinstance(text, bytes):
            raise TopicError("the topic is not UTF-8")
        route = self._routes.get(text)
        if route is None:
            if self._mapper is not None and not text.startswith(self._own_prefix):
                self._take_foreign(self._mapper, text, message, now_ms, batch)
                return
            route = self._route(text)
        topic, take = route
        batch.is_retained = message.retained
        take(topic, message.payload, now_ms, batch)

    def _check_size(self, payload: bytes) -> None:
        if len(payload) > self._message_bytes_max:
            raise PayloadError(f"{len(payload)} bytes: expected at most {self._message_bytes_max}")

    def _route(self, text: str) -> tuple[Topic, _Taker]:
        topic = parse_topic(text, self._root)
        take = _pass_over if topic.kind in TO_DEVICES else self._takers.get(topic.kind)
        if take is None:
            raise TopicError(f"kind {topic.kind} is not sent to a gateway: expected {', '.join(self._takers)}")
        if len(self._routes) >= TOPIC_CACHE_MAX:
            self._routes.clear()
        self._routes[text] = topic, take
        return topic, take

    def _take_readings(self, topic: Topic, payload: bytes, now_ms: int, batch: _Batch) -> None:
        readings = decode(payload, device=topic.device, received_at_ms=now_ms)
        key = self._device_key(topic.site, topic.device)
        try:
            self._series.admit(key, readings)
        except LimitExceeded:
            self._lose_to_limit(topic, key, readings, batch)
            raise
        receive, rows, heard, latest_ms = self._ledger.receive, batch.rows, batch.heard, batch.latest_ms
        before = len(rows)
        for reading in readings:
            boot = reading.boot
            if receive(key, boot, reading.seq):
                if not EARLIEST_MS <= reading.taken_at_ms <= latest_ms:
                    reading = self._restamped(reading, now_ms)
                rows.append((key, reading))
            else:
                batch.duplicates += 1
            if (key, boot) not in heard:
                heard[key, boot] = (key, topic.site, topic.device, boot)
        if len(rows) > before:
            self._note_clock(batch, key, now_ms)
        batch.by_device[key] = batch.by_device.get(key, 0) + len(readings)

    def _device_key(self, site: str, device: str) -> int:
        """The device's key; a new one gets it here. Raises `LimitExceeded` for one too many."""
        key = self._store.known_key(site, device)
        if key is None:
            admit_device(self._store, site, device, self._limits.devices_max)
            key = self._store.device_key(site, device)
        return key

    def _lose_to_limit(self, topic: Topic, key: int, readings: Sequence[Reading], batch: _Batch) -> None:
        """Count seqs as lost, or the device would send them for ever; their message goes to quarantine, and a retry
        makes them received after all."""
        for reading in readings:
            self._ledger.lose(key, reading.boot, reading.seq, reading.seq, LOST_TO_LIMIT)
            batch.heard[key, reading.boot] = (key, topic.site, topic.device, reading.boot)
        batch.touched_ledger = True

    def _restamped(self, reading: Reading, now_ms: int) -> Reading:
        """A reading of an impossible time at one that can be: decided once, so that a resend is the same line.

        A time reckoned from a gateway's clock that is not set stays: it is corrected with it (`edge.own_clock`).
        """
        if now_ms < CLOCK_SET_MS and not reading.synced:
            return reading
        self._ledger.count(RESTAMPED)
        return restamp(reading, now_ms)

    def _note_clock(self, batch: _Batch, key: int, now_ms: int) -> None:
        """Of a message's readings the last says most: the others waited for it."""
        last = batch.rows[-1][1]
        if last.synced and now_ms >= CLOCK_SET_MS:
            self.clocks.note(key, last.taken_at_ms, now_ms)

    def _take_foreign(self, mapper: Mapper, topic: str, message: Message, now_ms: int, batch: _Batch) -> None:
        if message.retained:
            self._ledger.count(RETAINED)
            return
        mapped = self._map(mapper, topic, message.payload, now_ms, batch)
        packet_id, timed = message.packet_id, mapped.timed
        if not mapped.measured:
            return
        if self._recent.is_repeat(topic, message.payload, packet_id, redelivered=message.redelivered, timed=timed):
            self._ledger.count(DUPLICATES)
            batch.duplicates += 1
            return
        key = self._device_key(mapped.site, mapped.device)
        self._series.admit(key, mapped.measured)
        self._recent.note(topic, message.payload, packet_id, timed=timed)
        for taken_at_ms, synced, values in mapped.measured:
            seq = self._ledger.receive_next(key, FOREIGN_BOOT)
            reading = Reading(mapped.device, FOREIGN_BOOT, seq, taken_at_ms, values, synced)
            if not EARLIEST_MS <= taken_at_ms <= batch.latest_ms:
                reading = self._restamped(reading, now_ms)
            batch.rows.append((key, reading))
        self._note_clock(batch, key, now_ms)
        batch.by_device[key] = batch.by_device.get(key, 0) + len(mapped.measured)

    def _map(self, mapper: Mapper, text: str, payload: bytes, now_ms: int, batch: _Batch) -> Mapped:
        route = mapper.found(text)
        topic = route.sparkplug
        if topic is None:
            return mapper.map(text, payload, now_ms)
        try:
            taken = self._nodes.take(topic, payload, now_ms)
        except AliasUnknown:
            batch.rebirths[topic.group, topic.node] = None
            raise
        if taken.rebirth:
            batch.rebirths[topic.group, topic.node] = None
        if taken.unsupported:
            self._ledger.count(UNSUPPORTED, taken.unsupported)
        return Mapped(route.rule, route.site, route.device, taken.measured)

    def _take_answer(self, topic: Topic, payload: bytes, now_ms: int, batch: _Batch) -> None:
        """What a device says about a command, or about its firmware."""
        if self._downlinks is not None:
            self._downlinks.take(topic, payload, now_ms)
            batch.contacts[topic.site, topic.device] = None

    def _take_state(self, topic: Topic, payload: bytes, now_ms: int, batch: _Batch) -> None:
        state = decode_state(payload)
        if self._downlinks is not None:
            self._downlinks.take_state(topic, state, now_ms)
        if state.online and not batch.is_retained:  # else the broker speaks for it: a last will, or old news
            batch.contacts[topic.site, topic.device] = None
        if not state.lost:
            return
        key = self._device_key(topic.site, topic.device)
        for lost in state.lost:
            self._ledger.lose(key, lost.boot, lost.first, lost.last, lost.reason)
            batch.heard[key, lost.boot] = (key, topic.site, topic.device, lost.boot)
        batch.touched_ledger = True

    def _take_alert(self, topic: Topic, payload: bytes, now_ms: int, batch: _Batch) -> None:
        """What a gateway says comes back to it by its own subscription: it is not taken in."""
        alert = decode_device_alert(payload)
        if alert is not None:
            self._alerts.take(self._device_key(topic.site, topic.device), alert, now_ms)
            batch.touched_ledger = True

    def _quarantine(self, message: Message, reason: str, now_ms: int, batch: _Batch) -> None:
        topic = message.topic if isinstance(message.topic, bytes) else message.topic.encode("utf-8", "surrogateescape")
        self._store.quarantine(at_ms=now_ms, source=INGEST_SOURCE, reason=reason, topic=topic, payload=message.payload)
        self._ledger.undecodable()
        batch.undecodable += 1
        batch.touched_ledger = True


def _pass_over(_topic: Topic, _payload: bytes, _now_ms: int, _batch: _Batch) -> None:
    """What a gateway says to devices: it hears that itself where a mapping rule covers its own root."""
