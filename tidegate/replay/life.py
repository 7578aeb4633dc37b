"""One life of the gateway's process, from its start to its crash: the shell of edge/gateway.py, event by event.

Promises: the desk is asked and answered in the order and with the waits of the real shell (group commit, PUBACK behind
the commit, one batch in flight, housekeeping on a grid of 250 ms); nothing that was under way comes back to a life that
is over. What it holds in memory is bounded, and the bounds are checked.
Left out: housekeeping turns in which nothing could be due. What a commit takes is a number (`commit_us`), so that a
crash can fall between a commit and its PUBACK.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from zlib import crc32

from edge.desk import DESTINATION, LEDGER_LATEST_MS, Desk
from edge.feedback import ACK_EVERY_MS, Downlink
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted, Outcome
from edge.ingest import Ingested
from edge.ingest import Message as Taken
from edge.ledger import done_ranges
from edge.outages.events import Cause
from edge.store import StoreError, StoreFailed, StoreFull
from edge.store.windows import rollup_head_cursor
from sensors.messages import decode_ack
from sensors.topics import FROM_DEVICES, Kind, Topic, parse_topic, subscription
from tidegate.replay.broker import Delivery, Login, Message
from tidegate.replay.connections import Client, ClientHooks, Wire
from tidegate.replay.failpoint import Killed
from tidegate.replay.history import Promise
from tidegate.replay.world import US_PER_MS, US_PER_S

if TYPE_CHECKING:
    from tidegate.replay.gateway import Gateway

HOUSEKEEPING_US = 250_000  # HOUSEKEEPING_S of edge/gateway.py, which is a shell and not imported here
ANSWER_LEFT_US = LEDGER_LATEST_MS * US_PER_MS  # what is delivered goes with the ledger
ACK_TOPIC_END = f"/{Kind.ACK}"
STORE_RETRY_US = 1 * US_PER_S  # STORE_RETRY_S of edge/gateway.py
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def _ignore_up(_wire: Wire, _session_present: bool) -> None:
    """The real shell only logs it."""


def _ignore_down(_cause: Cause) -> None:
    """The real shell only logs it."""


def _is_owing(ingested: Ingested, downlinks: Sequence[Downlink]) -> bool:
    """Whether some device that spoke was not answered with an `ack` at once; then it will be, within `ACK_EVERY_MS`."""
    acks = len([downlink for downlink in downlinks if downlink.topic.endswith(ACK_TOPIC_END)])
    return acks < len({device_key for device_key, _, _, _ in ingested.heard})


class Life:
    """One life of the gateway's process: from its start to its crash."""

    def __init__(self, site: "Gateway", desk: Desk) -> None:
        self.desk = desk
        self.alive = True
        self._site = site
        self._world = site.world
        self._config = site.config
        root = site.config.mqtt.topic_root
        filters = tuple(subscription(kind, root) for kind in FROM_DEVICES)
        mqtt = site.config.mqtt
        hooks = ClientHooks(self._dialing, _ignore_up, _ignore_down, self._deliver)
        login = Login(mqtt.client_id, filters, mqtt.receive_max)
        self._client = Client(site.world, site.broker, site.link, login, mqtt.keepalive_s, hooks)
        self._inbox: list[tuple[Wire, Delivery]] = []
        self._taking = False
        self._idle = False
        self._store_refuses = False
        self._started_us = site.world.now_us
        self._tick_at_us: int | None = None
        self._owes_until_ms = 0
        self._topics: dict[str, Topic] = {}  # of downlinks, parsed: a few a device

    def start(self) -> None:
        """Begin all loops."""
        self._client.start()
        self._later(0, self._pump)
        self._tick_within(0)

    def end(self) -> None:
        """Be killed: nothing that was under way comes back to this life."""
        self.alive = False
        self._client.stop(silently=False)
        self._site.uplink.drop()

    @property
    def backlog(self) -> int:
        """Readings in the store that the cloud is not done with. Raises `StoreError`."""
        return self.desk.held()

    @property
    def cursor(self) -> int:
        """How far the cloud has accepted the log, without a hole."""
        return self.desk.ledger.passed(DESTINATION)

    def rollups_done(self) -> dict[str, tuple[int, int]]:
        """For each log of rollups: how far it reaches, and how far the cloud has accepted it without a hole."""
        store = self.desk.store
        names = {f"rollups/{size_s}": size_s for size_s in self._config.windows.sizes_s}
        return {
            name: (
                store.cursor(rollup_head_cursor(size_s)),
                store.ranges(done_ranges(DESTINATION, name)).end_of_run(1),
            )
            for name, size_s in names.items()
        }

    def clock_was_set(self) -> None:
        """Windows go by the wall clock: look at them anew."""
        self._tick_within(0)

    # -- devices (`_device_link` and `_intake` of the shell)

    def _dialing(self) -> None:
        self._inbox.clear()

    def _deliver(self, wire: Wire, delivery: Delivery) -> None:
        if not self.alive:
            return
        self._inbox.append((wire, delivery))
        if len(self._inbox) > self._config.mqtt.receive_max:
            self._site.history.broken(Promise.BOUNDED, f"{len(self._inbox)} messages wait in the inbox")
        if not self._taking:
            self._taking = True
            self._wait_for_group()
        elif len(self._inbox) == self._config.store.commit_rows_max:
            self._later(0, self._take_group)

    def _wait_for_group(self) -> None:
        store = self._config.store
        full = len(self._inbox) >= store.commit_rows_max
        self._later(0 if full else store.commit_wait_ms * US_PER_MS, self._take_group)

    def _take_group(self) -> None:
        count = self._config.store.commit_rows_max
        received, self._inbox = self._inbox[:count], self._inbox[count:]
        if received:
            self._commit(received)
        elif not self._inbox:
            self._taking = False

    def _commit(self, received: Sequence[tuple[Wire, Delivery]]) -> None:
        messages = [Taken(item.message.topic, item.message.payload, item.message.retain) for _, item in received]
        try:
            ingested, downlinks = self._ask(self.desk.take_in, messages, self._world.now_ms, self._site.wall_ms)
        except Killed:
            for _, item in received:
                self._site.history.doubtful(item.message.readings)
            raise
        except StoreError as error:
            self._refused(error, lambda: self._commit(received))
            return
        self._store_refuses = False
        self._world.note(f"gateway commits {len(received)}: {ingested.stored} new, {ingested.duplicates} known")
        for _, item in received:
            self._site.history.committed(item.message.readings)
        self._site.saw_backlog(self)
        if _is_owing(ingested, downlinks):
            self._owes_until_ms = self._world.now_ms + ACK_EVERY_MS
        self._later(self._site.commit_us, partial(self._committed, received, downlinks))

    def _committed(self, received: Sequence[tuple[Wire, Delivery]], downlinks: Sequence[Downlink]) -> None:
        for wire in dict.fromkeys(wire for wire, _ in received):
            wire.acknowledge([item.packet_id for on, item in received if on is wire])
        for _, item in received:
            self._site.history.acknowledged(item.message.readings)
        self._send_down(downlinks)
        if self._world.now_ms < self._owes_until_ms:
            self._tick_within(HOUSEKEEPING_US)
        self._tick_when_due()
        if self._idle:
            self._pump()
        if self._inbox:
            self._wait_for_group()
        else:
            self._taking = False

    def _send_down(self, downlinks: Sequence[Downlink]) -> None:
        wire = self._client.wire
        if wire is None:
            return
        for downlink in downlinks:
            topic = self._topics.get(downlink.topic)
            if topic is None:
                topic = self._topics[downlink.topic] = parse_topic(downlink.topic, self._config.mqtt.topic_root)
            if topic.kind is Kind.ACK:
                for boot, through in decode_ack(downlink.payload).acks:
                    self._site.history.freed(topic.device, boot, through)
            self._world.note(
                f"gateway to {topic.device}: {topic.kind} {downlink.payload.decode(errors='backslashreplace')}"
            )
            wire.publish(Message(downlink.topic, downlink.payload))

    # -- cloud (`_uplink` of the shell)

    def _pump(self) -> None:
        self._idle = False
        try:
            plan = self._ask(self.desk.next_batch, self._world.now_ms)
        except StoreError as error:
            self._refused(error, self._pump)
            return
        if isinstance(plan, Batch):
            rows = f"{plan.lane} {plan.after_id + 1} to {plan.through_id}"
            self._world.note(f"gateway posts {rows}, {crc32(plan.body):08x}")
            if len(plan.rows) > self._config.influx.batch_rows:
                self._site.history.broken(Promise.BOUNDED, f"{len(plan.rows)} rows in one batch")
            self._site.uplink.post(plan.body, partial(self._hear, plan), plan.lane)
        elif plan.for_ms is None:
            self._idle = True
        else:
            self._later(plan.for_ms * US_PER_MS, self._pump)

    def _hear(self, batch: Batch, outcome: Outcome) -> None:
        self._guard(partial(self._settle, batch, outcome))

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        self._world.note(f"gateway hears {type(outcome).__name__}")
        try:
            self._ask(self.desk.settle, batch, outcome, self._world.now_ms, self._site.wall_ms)
        except StoreError as error:
            self._refused(error, self._pump)
            return
        self._site.moved(self)
        if not isinstance(outcome, Accepted) or self._tick_at_us is None:
            self._tick_when_due()
        else:  # a turn that is near looks itself at what this answer lets go
            self._tick_within(ANSWER_LEFT_US)
        self._pump()

    # -- store (`_housekeeping` of the shell)

    def _tick_within(self, delay_us: int) -> None:
        """Have a housekeeping turn on the first point of the grid that is at least this far off."""
        passed_us = self._world.now_us + delay_us - self._started_us
        at_us = self._started_us + (passed_us // HOUSEKEEPING_US) * HOUSEKEEPING_US
        if at_us <= self._world.now_us:
            at_us += HOUSEKEEPING_US
        if self._tick_at_us is None or at_us < self._tick_at_us:
            self._tick_at_us = at_us
            self._world.at(at_us, partial(self._guard, partial(self._tick, at_us)))

    def _tick_when_due(self) -> None:
        """Have a turn when the desk has something to tidy: the shell's other turns find nothing."""
        wait_ms = self.desk.tidy_in_ms(self._world.now_ms, self._site.wall_ms)
        if wait_ms is not None:
            self._tick_within(max(HOUSEKEEPING_US, wait_ms * US_PER_MS + HOUSEKEEPING_US - 1))

    def _tick(self, at_us: int) -> None:
        if self._tick_at_us != at_us:
            return
        self._tick_at_us = None
        now_ms = self._world.now_ms
        try:
            self._send_down(self._ask(self.desk.owed, now_ms))
            while self._ask(self.desk.tidy, now_ms, self._site.wall_ms):
                pass
            if self._store_refuses:
                self._ask(self.desk.prove_writable)
                self._store_refuses = False
            if self._idle:
                self._pump()  # rollups and notices are new data, too
            self._tick_when_due()
        except StoreError as error:
            self._refused(error, lambda: self._tick_within(HOUSEKEEPING_US))
            return
        if now_ms < self._owes_until_ms:
            self._tick_within(HOUSEKEEPING_US)

    def _refused(self, error: StoreError, again: Callable[[], None]) -> None:
        """The store refuses: nothing is acknowledged; look again in a second."""
        self._store_refuses = True
        self._site.refuses(error)
        self._world.note(f"store refuses: {type(error).__name__}")

        def retry() -> None:
            if isinstance(error, StoreFailed | StoreFull):
                with suppress(StoreError):
                    self._ask(self.desk.reopen)
                    self._site.stage(self.desk)
            again()

        self._later(STORE_RETRY_US, retry)

    def _ask(self, call: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        """Ask the desk. Raises `Killed` if the process died meanwhile."""
        failpoint = self._site.failpoint
        if failpoint is None:
            return call(*args, **kwargs)
        with failpoint.watching(self.desk.store, self._site.folder_of(self._site.lives + 1)):
            return call(*args, **kwargs)

    def _later(self, delay_us: int, action: Callable[[], None]) -> None:
        self._world.after(delay_us, partial(self._guard, action))

    def _guard(self, action: Callable[[], None]) -> None:
        """Do something, unless this life is over; if the process dies of it, it is over."""
        if not self.alive:
            return
        try:
            action()
        except Killed:
            self._site.crash()
