"""The gateway as a process: moves bytes between MQTT, the desk (core and store) and the cloud. It decides nothing.

Three loops in one task group, and the store in one thread of its own, so that an fsync never stalls the event loop:
`_device_link` keeps a connection to the broker, `_intake` commits batches and only then acknowledges them, `_uplink`
sends batch after batch. `_housekeeping` tidies, and answers devices that are owed an ack.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from random import Random
from typing import ParamSpec, TypeVar

import structlog

from edge.access.records import FILE_NAME as ACCESS_FILE
from edge.access.service import AccessService
from edge.alerts.api import AlertsApi
from edge.alerts.publisher import AlertPublisher
from edge.api import serve_api
from edge.api_commands import DownlinkApi
from edge.api_data import DataApi
from edge.api_outages import outage_router
from edge.api_settings import maintenance_status, settings_router
from edge.certificate_watch import CertificateWatch
from edge.config import EdgeConfig
from edge.dashboard import Dashboard
from edge.desk import STORE_FILE, Desk
from edge.desk_rules import desk_rules
from edge.feedback import Downlink
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted, Failed, Outcome
from edge.home_assistant.discovery import Discovery
from edge.home_assistant.publisher import Publisher
from edge.inbox import Inbox
from edge.influx import InfluxSender
from edge.ingest import Message
from edge.link_recorder import LinkRecorder
from edge.maintenance import Maintenance
from edge.mapping.rules import subscriptions
from edge.mqtt import ConnectionLost, MqttConnection, Received, connect
from edge.retry import Backoff
from edge.status import (
    GatewayStatus,
    LinkStatus,
    alert_status,
    forward_status,
    ingest_status,
    ledger_status,
    store_status,
)
from edge.store import StoreError, StoreFailed, StoreFull
from edge.topics.api import topics_router
from edge.topics.watch import TopicWatch
from sensors.clock import Clock

HOUSEKEEPING_S = 0.25  # the resolution of owed acks, and how soon new data is looked for when the uplink idles
STORE_RETRY_S = 1.0  # a full or failing disk is tried again this often; nothing is acknowledged meanwhile
HEALTHY_AFTER_S = 60.0  # a connection that held this long starts the back-off over

log = structlog.get_logger("gateway")
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Gateway:
    """One running gateway."""

    def __init__(
        self, config: EdgeConfig, clock: Clock, desk: Desk, store_thread: ThreadPoolExecutor, rng: Random
    ) -> None:
        self._config = config
        self._clock = clock
        self._desk = desk
        self._store_thread = store_thread
        self._rng = rng
        self._sender = InfluxSender(config.influx, clock)
        self._recorder = LinkRecorder(config.outages, clock, desk, self._in_store)
        self._maintenance = Maintenance()
        self._certificates = CertificateWatch(config, clock)
        self._inbox: Inbox[tuple[MqttConnection, Received]] = Inbox()
        self._connection: MqttConnection | None = None
        self._alerts = AlertPublisher(desk.alerts.book, self._in_store)
        self._new_data = asyncio.Event()
        self._store_error: str | None = None
        self._sessions_lost = 0
        self._started_ms = clock.wall_ms()
        self._device_link_status = LinkStatus(state="unknown", since_ms=self._started_ms)
        self._uplink_status = LinkStatus(state="unknown", since_ms=self._started_ms)

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Run until cancelled."""
        await self._recorder.start()
        access = AccessService(self._config.api, self._config.store.data_dir / ACCESS_FILE, self._clock)
        try:
            async with asyncio.TaskGroup() as group:
                listening = asyncio.Event()
                dashboard = Dashboard(self.status, self._in_store, self._desk, self._clock)
                topics = TopicWatch(self._config.mqtt, self._clock)
                routers = (
                    self._data_api().router(),
                    outage_router(self._config.store.data_dir / STORE_FILE),
                    topics_router(topics, self._config, self._clock),
                    settings_router(self._config, self._maintenance, self._clock),
                    self._alerts_api().router(),
                    self._downlink_api().router(),
                )
                tls = self._certificates.context
                group.create_task(serve_api(access, self.status, listening.set, dashboard, *routers, context=tls))
                await listening.wait()
                group.create_task(dashboard.run())
                group.create_task(topics.run())
                group.create_task(self._recorder.run())
                group.create_task(self._certificates.run())
                group.create_task(self._device_link())
                group.create_task(self._intake())
                group.create_task(self._uplink())
                group.create_task(self._housekeeping())
                if self._config.home_assistant.enabled:
                    group.create_task(self._home_assistant().run())
                if ready is not None:
                    ready()
        finally:
            if self._connection is not None:
                await self._connection.close()
            await asyncio.to_thread(self._sender.close)
            await access.close()
            with suppress(StoreError):
                await self._recorder.flush()

    async def status(self) -> GatewayStatus:
        """How things stand now."""
        standing = await self._in_store(self._desk.standing, self._clock.monotonic_ms(), self._clock.wall_ms())
        return GatewayStatus(
            at_ms=self._clock.wall_ms(),
            started_ms=self._started_ms,
            version=version("tidegate"),
            devices=standing.devices,
            waiting_messages=len(self._inbox),
            sessions_lost=self._sessions_lost,
            devices_link=self._device_link_status,
            uplink=self._uplink_status,
            ingest=ingest_status(standing),
            ledger=ledger_status(standing),
            forward=forward_status(standing),
            store=store_status(standing, self._store_error),
            alerts=alert_status(standing),
            recorded=self._recorder.status(),
            certificates=self._certificates.status(),
            maintenance=maintenance_status(self._maintenance, self._clock),
        )

    def _committed(self, downlinks: list[Downlink]) -> None:
        self._new_data.set()
        self._send_down(downlinks)

    def _data_api(self) -> DataApi:
        config = self._config
        return DataApi(self._desk, self._in_store, self._clock, config.mqtt.message_bytes_max, self._committed)

    def _alerts_api(self) -> AlertsApi:
        return AlertsApi(self._desk.alerts.book, self._in_store, self._clock)

    def _downlink_api(self) -> DownlinkApi:
        return DownlinkApi(self._desk, self._in_store, self._clock)

    def _home_assistant(self) -> Publisher:
        settings, mqtt = self._config.home_assistant, self._config.mqtt
        discovery = Discovery(settings, mqtt.client_id, version("tidegate"))
        return Publisher(mqtt, settings.publish_every_s, discovery, self._desk, self._in_store, self.status, self._rng)

    # -- devices

    async def _device_link(self) -> None:
        filters = subscriptions(self._config.mapping, self._config.mqtt.topic_root)
        backoff = Backoff(self._rng)
        while True:
            connected_s: float | None = None
            tried_s = asyncio.get_running_loop().time()
            try:
                self._inbox.clear()
                self._connection = await connect(self._config.mqtt, filters, self._deliver)
                connected_s = asyncio.get_running_loop().time()
                self._recorder.broker_connected(tried_s, self._connection)
                self._sessions_lost += not self._connection.session_present
                self._device_link_status = LinkStatus(state="up", since_ms=self._clock.wall_ms())
                log.info("broker connected", session_present=self._connection.session_present)
                error = await self._connection.lost()
            except ConnectionLost as failure:
                error = failure
            self._connection = None
            self._recorder.broker_lost(tried_s, error)
            self._device_link_down(error)
            if connected_s is not None and asyncio.get_running_loop().time() - connected_s >= HEALTHY_AFTER_S:
                backoff.reset()
            await asyncio.sleep(backoff.fail() / 1000)

    def _device_link_down(self, error: ConnectionLost) -> None:
        if self._device_link_status.state != "down":
            self._device_link_status = LinkStatus(
                state="down", since_ms=self._clock.wall_ms(), cause=error.cause, message=str(error)
            )
        log.warning("broker lost", cause=error.cause, error=str(error))

    async def _intake(self) -> None:
        settings = self._config.store
        while True:
            received = await self._inbox.take(settings.commit_rows_max, settings.commit_wait_ms / 1000)
            messages = [
                Message(item.topic, item.payload, item.retained, item.packet_id, item.redelivered)
                for _, item in received
            ]
            downlinks = await self._commit(messages)
            self._new_data.set()
            self._acknowledge(received)
            self._send_down(downlinks)

    def _deliver(self, connection: MqttConnection, messages: Sequence[Received]) -> None:
        self._inbox.put([(connection, message) for message in messages])

    def _acknowledge(self, received: Sequence[tuple[MqttConnection, Received]]) -> None:
        """Each message on the connection it came on: one that is gone takes no more, and its messages come again."""
        for connection in dict.fromkeys(connection for connection, _ in received):
            ids = [item.packet_id for on, item in received if on is connection and item.packet_id is not None]
            connection.acknowledge(ids)

    async def _commit(self, messages: Sequence[Message]) -> list[Downlink]:
        """Commit, however long it takes: while the store refuses, nothing is acknowledged."""
        while True:
            try:
                now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
                ingested, downlinks = await self._in_store(self._desk.take_in, messages, now_ms, wall_ms)
            except StoreError as error:
                await self._store_refuses(error)
                continue
            self._store_works()
            if ingested.undecodable:
                log.warning("messages quarantined", count=ingested.undecodable)
            return downlinks

    def _send_down(self, downlinks: Sequence[Downlink]) -> None:
        """Said again at the device's next contact if the connection cannot take it now."""
        connection = self._connection
        for downlink in downlinks:
            if connection is None or not connection.publish(*downlink):
                return

    # -- cloud

    async def _uplink(self) -> None:
        while True:
            self._new_data.clear()
            try:
                plan = await self._in_store(self._desk.next_batch, self._clock.monotonic_ms())
                if not isinstance(plan, Batch):
                    await self._wait_for_data(plan.for_ms)
                    continue
                outcome = await self._try_uplink(self._sender.send(plan.body))
                await self._in_store(
                    self._desk.settle, plan, outcome, self._clock.monotonic_ms(), self._clock.wall_ms()
                )
            except StoreError as error:
                await self._store_refuses(error)

    async def _wait_for_data(self, for_ms: int | None) -> None:
        if for_ms is not None:
            await asyncio.sleep(for_ms / 1000)
            return
        try:
            async with asyncio.timeout(self._recorder.probe_in_s):
                await self._new_data.wait()
        except TimeoutError:
            await self._try_uplink(self._sender.ping())

    async def _try_uplink(self, request: Awaitable[Outcome]) -> Outcome:
        started_s = asyncio.get_running_loop().time()
        outcome = await request
        self._recorder.uplink_tried(started_s, outcome, self._sender.exchange)
        self._uplink_seen(outcome)
        return outcome

    def _uplink_seen(self, outcome: Outcome) -> None:
        """Keep the link's state: it is down only when no answer can be relied on."""
        state = self._uplink_status.state
        if isinstance(outcome, Failed):
            if state != "down":
                self._uplink_status = LinkStatus(
                    state="down", since_ms=self._clock.wall_ms(), cause=outcome.cause, message=outcome.message
                )
                log.warning("uplink down", cause=outcome.cause, error=outcome.message)
        elif state != "up":
            self._uplink_status = LinkStatus(state="up", since_ms=self._clock.wall_ms())
            log.info("uplink up")
        if not isinstance(outcome, (Accepted, Failed)):
            log.warning("cloud refuses", outcome=type(outcome).__name__.lower(), error=outcome.message)

    # -- store

    async def _housekeeping(self) -> None:
        more = False
        while True:
            await asyncio.sleep(0 if more else HOUSEKEEPING_S)
            more = False
            try:
                now_ms = self._clock.monotonic_ms()
                self._send_down(await self._in_store(self._desk.owed, now_ms))
                more = await self._in_store(self._desk.tidy, now_ms, self._clock.wall_ms())
                await self._alerts.tick(self._connection)
                self._new_data.set()  # rollups and notices are new data, too
                if self._store_error is not None:
                    await self._in_store(self._desk.prove_writable)
                    self._store_works()
            except StoreError as error:
                await self._store_refuses(error)

    async def _store_refuses(self, error: StoreError) -> None:
        if self._store_error is None:
            log.error("store refuses: nothing is acknowledged until it works again", error=str(error))
        self._store_error = self._desk.alerts.operations.refused = str(error)
        await asyncio.sleep(STORE_RETRY_S)
        if isinstance(error, (StoreFailed, StoreFull)):
            with suppress(StoreError):
                await self._in_store(self._desk.reopen)
                log_salvage(self._desk)

    def _store_works(self) -> None:
        if self._store_error is not None:
            log.info("store works again")
            self._store_error = None

    async def _in_store(
        self, call: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        job = functools.partial(call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._store_thread, job)


async def serve(config: EdgeConfig, clock: Clock, ready: Callable[[], None] | None = None) -> None:
    """Run a gateway until cancelled.

    Raises `StoreLocked`, `StoreUnusable`, `StoreTooNew` before anything is opened to the network, and `PortInUse`.
    """
    config.store.data_dir.mkdir(parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    rng = Random()  # noqa: S311  # jitter: every gateway its own
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="store") as store_thread:
        desk = await loop.run_in_executor(store_thread, functools.partial(open_desk, config, rng))
        try:
            await Gateway(config, clock, desk, store_thread, rng).run(ready)
        finally:
            with suppress(StoreError):  # the ledger is read again from the log at the next start
                await loop.run_in_executor(store_thread, desk.close)


def log_salvage(desk: Desk) -> None:
    """Tell the operator, once, that the store was damaged and what is left."""
    salvage = desk.take_salvage()
    if salvage is not None:
        log.error("store was damaged: set aside, and its readable rows recovered into a new one", **salvage._asdict())


def open_desk(config: EdgeConfig, rng: Random) -> Desk:
    """The gateway's core over the store of the configuration. Raises `StoreLocked`, `StoreUnusable`, `StoreTooNew`."""
    desk = Desk(config.store.data_dir, rng, desk_rules(config))
    log_salvage(desk)
    return desk
