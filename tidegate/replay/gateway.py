"""The gateway of a world: the real desk over the real store, driven as edge/gateway.py drives it, event by event.

Promises: the desk is asked and answered in the order and with the waits of the real shell (group commit, PUBACK behind
the commit, one batch in flight, housekeeping on a grid of 250 ms); a crash is that of `kill -9`: the next life opens a
copy of the very files, write-ahead log included, that the last one left, and nothing of its memory.
Left out: housekeeping turns in which nothing could be due. What a commit takes is a number (`commit_us`), so that a
crash can fall between a commit and its PUBACK.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from zlib import crc32

from edge.config import EdgeConfig
from edge.desk import DESTINATION, LEDGER_EVERY_MS, STORE_FILE, Desk
from edge.desk_rules import IN_ORDER, NO_WINDOWS, DeskRules, desk_rules
from edge.feedback import ACK_EVERY_MS, Downlink
from edge.forward.forwarder import Batch
from edge.forward.outcome import Outcome
from edge.ingest import Ingested
from edge.ingest import Message as Taken
from edge.ledger import forward_cursor
from edge.outages.events import Cause
from edge.store import StoreError, StoreFailed, StoreFull
from sensors.messages import decode_ack
from sensors.topics import FROM_DEVICES, Kind, parse_topic, subscription
from tidegate.replay.broker import Broker, Delivery, Login, Message
from tidegate.replay.connections import Client, ClientHooks, Wire
from tidegate.replay.history import History
from tidegate.replay.links import Link
from tidegate.replay.uplink import Uplink
from tidegate.replay.world import US_PER_MS, US_PER_S, World

HOUSEKEEPING_US = 250_000  # HOUSEKEEPING_S of edge/gateway.py, which is a shell and not imported here
STORE_RETRY_US = 1 * US_PER_S  # STORE_RETRY_S of edge/gateway.py
COMMIT_US = 2_000  # an fsync of a fair SD card or a small SSD

MakeDesk = Callable[[EdgeConfig, Path, Random], Desk]


def replay_rules(config: EdgeConfig) -> DeskRules:
    """The rules of `tidegate edge run`, without rollups and in one lane."""
    return replace(desk_rules(config), windows=NO_WINDOWS, lanes=IN_ORDER)


def open_desk(config: EdgeConfig, data_dir: Path, rng: Random) -> Desk:
    """The desk as a replay opens it. Raises `StoreError`."""
    return Desk(data_dir, rng, replay_rules(config))


def _ignore_up(_wire: Wire, _session_present: bool) -> None:
    """The real shell only logs it."""


def _ignore_down(_cause: Cause) -> None:
    """The real shell only logs it."""


def _is_owing(ingested: Ingested, downlinks: Sequence[Downlink]) -> bool:
    """Whether some device that spoke was not answered with an `ack` at once; then it will be, within `ACK_EVERY_MS`."""
    acks = sum(downlink.topic.endswith(f"/{Kind.ACK}") for downlink in downlinks)
    return acks < len({device_key for device_key, _, _, _ in ingested.heard})


def _nobody_asks(_life: "Life") -> None:
    """For a gateway without a stop watch."""


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
        self._ledger_due_ms = 0
        self._owes_until_ms = 0
        self._untidy = True
        self._cursor = 0

    def start(self) -> None:
        """Begin all loops."""
        self._cursor = self.desk.store.cursor(forward_cursor(DESTINATION))
        self._client.start()
        self._pump()
        self._tick_within(0)

    def end(self) -> None:
        """Be killed: nothing that was under way comes back to this life."""
        self.alive = False
        self._client.stop(silently=False)
        self._site.uplink.drop()

    @property
    def backlog(self) -> int:
        """Readings in the store that the cloud has not accepted."""
        return self.desk.store.head - self._cursor

    @property
    def cursor(self) -> int:
        """How far the cloud has accepted the log."""
        return self._cursor

    # -- devices (`_device_link` and `_intake` of the shell)

    def _dialing(self) -> None:
        self._inbox.clear()

    def _deliver(self, wire: Wire, delivery: Delivery) -> None:
        if not self.alive:
            return
        self._inbox.append((wire, delivery))
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
            ingested, downlinks = self.desk.take_in(messages, self._world.now_ms, self._site.wall_ms)
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
        self._later(self._site.commit_us, lambda: self._committed(received, downlinks))

    def _committed(self, received: Sequence[tuple[Wire, Delivery]], downlinks: Sequence[Downlink]) -> None:
        for wire in dict.fromkeys(wire for wire, _ in received):
            wire.acknowledge([item.packet_id for on, item in received if on is wire])
        for _, item in received:
            self._site.history.acknowledged(item.message.readings)
        self._send_down(downlinks)
        self._untidy = True
        self._tick_within(HOUSEKEEPING_US)
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
            topic = parse_topic(downlink.topic, self._config.mqtt.topic_root)
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
            plan = self.desk.next_batch(self._world.now_ms)
        except StoreError as error:
            self._refused(error, self._pump)
            return
        if isinstance(plan, Batch):
            self._world.note(f"gateway posts {plan.after_id + 1} to {plan.through_id}, {crc32(plan.body):08x}")
            self._site.uplink.post(plan.body, lambda outcome: self._settle(plan, outcome))
        elif plan.for_ms is None:
            self._idle = True
        else:
            self._later(plan.for_ms * US_PER_MS, self._pump)

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        if not self.alive:
            return
        self._world.note(f"gateway hears {type(outcome).__name__}")
        try:
            self.desk.settle(batch, outcome, self._world.now_ms, self._site.wall_ms)
        except StoreError as error:
            self._refused(error, self._pump)
            return
        self._cursor = self.desk.store.cursor(forward_cursor(DESTINATION))
        self._site.moved(self)
        self._untidy = True
        self._tick_within(HOUSEKEEPING_US)
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
            self._world.at(at_us, lambda: self._tick(at_us))

    def _tick(self, at_us: int) -> None:
        if not self.alive or self._tick_at_us != at_us:
            return
        self._tick_at_us = None
        now_ms = self._world.now_ms
        try:
            self._send_down(self.desk.owed(now_ms))
            if self._untidy or now_ms >= self._ledger_due_ms:
                self._tidy(now_ms)
            if self._store_refuses:
                self.desk.prove_writable()
                self._store_refuses = False
        except StoreError as error:
            self._refused(error, lambda: self._tick_within(HOUSEKEEPING_US))
            return
        if now_ms < self._owes_until_ms:
            self._tick_within(HOUSEKEEPING_US)
        elif self.desk.ledger.has_changes():
            self._tick_within(max(HOUSEKEEPING_US, (self._ledger_due_ms - now_ms) * US_PER_MS + HOUSEKEEPING_US - 1))

    def _tidy(self, now_ms: int) -> None:
        while self.desk.tidy(now_ms):
            pass
        self._untidy = False
        if now_ms >= self._ledger_due_ms:
            self._ledger_due_ms = now_ms + LEDGER_EVERY_MS

    def _refused(self, error: StoreError, again: Callable[[], None]) -> None:
        """The store refuses: nothing is acknowledged; look again in a second."""
        self._store_refuses = True
        self._world.note(f"store refuses: {type(error).__name__}")

        def retry() -> None:
            if isinstance(error, StoreFailed | StoreFull):
                with suppress(StoreError):
                    self.desk.reopen()
            again()

        self._later(STORE_RETRY_US, retry)

    def _later(self, delay_us: int, action: Callable[[], None]) -> None:
        self._world.after(delay_us, lambda: action() if self.alive else None)


class Gateway:
    """The gateway of one site over all its lives."""

    def __init__(
        self,
        world: World,
        config: EdgeConfig,
        broker: Broker,
        link: Link,
        uplink: Uplink,
        history: History,
        folder: Path,
        *,
        make_desk: MakeDesk = open_desk,
        commit_us: int = COMMIT_US,
        moved: Callable[[Life], None] = _nobody_asks,
    ) -> None:
        """`folder` is empty and the gateway's own. `moved` is told when the cloud's cursor may have moved."""
        self.world = world
        self.config = config
        self.broker = broker
        self.link = link
        self.uplink = uplink
        self.history = history
        self.commit_us = commit_us
        self.moved = moved
        self.life: Life | None = None
        self.lives = 0
        self.backlog_peak = 0
        self.disk_peak_bytes = 0
        self.clock_off_ms = 0
        self._folder = folder
        self._make_desk = make_desk

    @property
    def wall_ms(self) -> int:
        """What the gateway's own wall clock says: it may be set wrongly."""
        return self.world.wall_ms + self.clock_off_ms

    def start(self) -> None:
        """Begin a life on what the last one left. Raises `StoreError`."""
        if self.life is not None:
            return
        self.lives += 1
        data_dir = self._folder / str(self.lives)
        if self.lives == 1:
            data_dir.mkdir()
        desk = self._make_desk(self.config, data_dir, self.world.rng("gateway", str(self.lives)))
        self.world.note(f"gateway starts: life {self.lives}, log at {desk.store.head}")
        self.life = Life(self, desk)
        self.life.start()

    def crash(self) -> None:
        """Be killed. The next life gets the files as they lie on the disk now."""
        life, self.life = self.life, None
        if life is None:
            return
        self.world.note("gateway is killed")
        life.end()
        left, following = self._folder / str(self.lives), self._folder / str(self.lives + 1)
        following.mkdir()
        for name in (STORE_FILE, f"{STORE_FILE}-wal"):
            if (left / name).exists():
                shutil.copyfile(left / name, following / name)
        life.desk.store.close()
        shutil.rmtree(left)

    def close(self) -> None:
        """End the run in good order. Raises `StoreError`."""
        life, self.life = self.life, None
        if life is not None:
            life.end()
            life.desk.close()

    def saw_backlog(self, life: Life) -> None:
        """Keep the highest backlog."""
        self.backlog_peak = max(self.backlog_peak, life.backlog)
