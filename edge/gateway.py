"""The gateway as a process: moves bytes between MQTT, the desk (core and store) and the cloud. It decides nothing.

Loops in one task group, and the store in one thread of its own, so that an fsync never stalls the event loop:
`_device_link` keeps a connection to the broker, `_intake` commits batches and only then acknowledges them, and an
`Uplink` for each destination sends batch after batch. `_housekeeping` tidies, and answers devices that are owed an ack.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from random import Random
from typing import ParamSpec, TypeVar

import structlog
from fastapi import APIRouter, FastAPI

from edge.alerts.api import AlertsApi
from edge.alerts.publisher import AlertPublisher
from edge.api import make_app
from edge.api_commands import DownlinkApi
from edge.api_data import DataApi
from edge.api_drill import drill_router, drill_status
from edge.api_settings import maintenance_status, settings_router
from edge.causes import REFUSED
from edge.certificate_watch import CertificateWatch
from edge.config import EdgeConfig
from edge.dashboard.directory import Directory
from edge.desk import Desk
from edge.desk_rules import desk_rules
from edge.destination_config import FileDestination
from edge.drill import Drills
from edge.drilled import DrilledSender, DrillSwitch
from edge.feedback import Downlink
from edge.front.back import LocalBack
from edge.front.process import FrontProcess
from edge.front.serve import listen, serve_beside
from edge.front.settings import front_settings
from edge.home_assistant.discovery import Discovery
from edge.home_assistant.publisher import Publisher
from edge.inbox import Inbox
from edge.influx import InfluxSender
from edge.ingest import Message
from edge.link_recorder import LinkRecorder
from edge.machine import MachineWatch
from edge.maintenance import Maintenance
from edge.mapping.rules import subscriptions
from edge.mqtt import ConnectionLost, MqttConnection, connect
from edge.retry import Backoff
from edge.senders import Sender, sender_for
from edge.status import (
    GatewayStatus,
    LinkStatus,
    alert_status,
    destination_status,
    forward_status,
    ingest_status,
    ledger_status,
    machine_status,
    store_status,
)
from edge.store import StoreError, StoreFailed, StoreFull
from edge.store.names import FIRST_DESTINATION
from edge.topics.api import topics_router
from edge.topics.watch import TopicWatch
from edge.uplink import Uplink
from sensors.clock import Clock

HOUSEKEEPING_S = 0.25  # the resolution of owed acks, and how soon new data is looked for when the uplink idles
STORE_RETRY_S = 1.0  # a full or failing disk is tried again this often; nothing is acknowledged meanwhile
UNSAID_MAX = 20_000  # acks and resends that wait for room in flight: one for every device that there may be
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
        linked = [each.name for each in config.destinations if not isinstance(each, FileDestination)]
        self._recorder = LinkRecorder(config.outages, clock, desk, self._in_store, linked)
        self._maintenance = Maintenance()
        self._machine = MachineWatch(config.store.data_dir)
        self._drill = DrillSwitch(Drills(self._maintenance, always=config.drill.always), clock)
        self._uplinks = self._all_uplinks()
        self._certificates = CertificateWatch(config.api.tls, config.mqtt.tls, clock)
        self._inbox: Inbox[MqttConnection, Message] = Inbox(config.store.commit_bytes_max)
        self._connection: MqttConnection | None = None
        self._alerts = AlertPublisher(desk.alerts.book, self._in_store)
        self._version = version("tidegate")  # once: it opens a file, and descriptors may run out
        self._unsaid: list[Downlink] = []
        self._store_error: str | None = None
        self._sessions_lost = 0
        self._broker_tried = asyncio.Event()
        self._started_ms = clock.wall_ms()
        self._device_link_status = LinkStatus(state="unknown", since_ms=self._started_ms)

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Run until cancelled. `ready`: called once the broker was tried, so that what is sent from then on arrives."""
        api = self._config.api
        server_socket = listen(api.host, api.port)
        await self._recorder.start()
        try:
            async with asyncio.TaskGroup() as group:
                topics = TopicWatch(self._config.mqtt, self._clock)
                back = LocalBack(self.status, self._in_store, Directory(self._desk), self._own_api(topics))
                settings = front_settings(self._config, self._desk.history.sizes_s)
                group.create_task(self._device_link())
                group.create_task(self._intake())
                for uplink in self._uplinks:
                    group.create_task(uplink.run())
                group.create_task(self._housekeeping())
                group.create_task(self._recorder.run())
                group.create_task(self._certificates.run())
                group.create_task(topics.run())
                if self._config.home_assistant.enabled:
                    group.create_task(self._home_assistant().run())
                if api.own_process:
                    group.create_task(FrontProcess(settings, server_socket, back, self._rng).run())
                else:
                    group.create_task(serve_beside(settings, server_socket, back, self._certificates, self._clock))
                await self._broker_tried.wait()
                if ready is not None:
                    ready()
        finally:
            if self._connection is not None:
                await self._connection.close()
            for uplink in self._uplinks:
                await uplink.close()
            server_socket.close()
            with suppress(StoreError):
                await self._recorder.flush()

    async def status(self) -> GatewayStatus:
        """How things stand now."""
        standing = await self._in_store(self._desk.standing, self._clock.monotonic_ms(), self._clock.wall_ms())
        machine = await self._in_store(self._machine.look, self._clock.monotonic_ms())  # a dead disk stalls no loop
        return GatewayStatus(
            at_ms=self._clock.wall_ms(),
            started_ms=self._started_ms,
            version=self._version,
            devices=standing.devices,
            waiting_messages=len(self._inbox),
            sessions_lost=self._sessions_lost,
            devices_link=self._device_link_status,
            uplink=self._uplinks[0].status,
            destinations=destination_status(standing, {each.destination: each.status for each in self._uplinks}),
            ingest=ingest_status(standing),
            ledger=ledger_status(standing),
            forward=forward_status(standing),
            store=store_status(standing, self._store_error),
            alerts=alert_status(standing),
            recorded=self._recorder.status(),
            certificates=self._certificates.status(),
            maintenance=maintenance_status(self._maintenance, self._clock),
            drill=drill_status(self._drill.drills, self._clock),
            machine=machine_status(machine),
        )

    def _committed(self, downlinks: list[Downlink]) -> None:
        self._wake_uplinks()
        self._send_down(downlinks)

    def _wake_uplinks(self) -> None:
        for uplink in self._uplinks:
            uplink.wake()

    def _all_uplinks(self) -> list[Uplink]:
        """One for each destination; their links are recorded, except to files, which have none."""
        senders: dict[str, Sender] = {each.name: sender_for(each, self._clock) for each in self._config.destinations}
        if self._config.influx.enabled:
            senders = {FIRST_DESTINATION: InfluxSender(self._config.influx, self._clock), **senders}
        return [
            Uplink(
                name, DrilledSender(name, sender, self._drill), self._desk, self._clock, self._in_store,
                self._store_refuses, self._recorder.watch(name),
            )
            for name, sender in senders.items()
        ]  # fmt: skip

    def _own_api(self, topics: TopicWatch) -> FastAPI:
        """What only this process can answer."""
        return make_app(
            self.status,
            self._data_api().router(),
            topics_router(topics, self._config, self._clock),
            settings_router(self._config, self._maintenance, self._clock),
            self._drill_api(),
            self._alerts_api().router(),
            self._downlink_api().router(),
        )

    def _data_api(self) -> DataApi:
        config = self._config
        return DataApi(self._desk, self._in_store, self._clock, config.mqtt.message_bytes_max, self._committed)

    def _drill_api(self) -> APIRouter:
        async def held() -> int:
            return await self._in_store(self._desk.held)

        async def changed() -> None:
            self._drill.changed()
            if self._drill.on_devices() and self._connection is not None:
                await self._connection.close()

        names = tuple(each.destination for each in self._uplinks)
        return drill_router(self._drill.drills, names, self._clock, held, changed)

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
                if self._drill.on_devices():
                    backoff.reset()  # so that it is back soon when the drill is over
                    raise ConnectionLost(REFUSED, "drill: the connection is refused")
                self._connection = await connect(self._config.mqtt, filters, self._deliver)
                connected_s = asyncio.get_running_loop().time()
                self._recorder.broker_connected(tried_s, self._connection)
                self._sessions_lost += not self._connection.session_present
                self._device_link_status = LinkStatus(state="up", since_ms=self._clock.wall_ms())
                log.info("broker connected", session_present=self._connection.session_present)
                self._broker_tried.set()
                error = await self._connection.lost()
            except ConnectionLost as failure:
                error = failure
            self._connection = None
            self._recorder.broker_lost(tried_s, error, is_drill=self._drill.on_devices())
            self._device_link_status = self._device_link_status.failed(error.cause, str(error), self._clock.wall_ms())
            log.warning("broker lost", cause=error.cause, error=str(error))
            self._broker_tried.set()
            if connected_s is not None and asyncio.get_running_loop().time() - connected_s >= HEALTHY_AFTER_S:
                backoff.reset()
            await asyncio.sleep(backoff.fail() / 1000)

    def _deliver(self, connection: MqttConnection, messages: Sequence[Message]) -> None:
        self._inbox.put(connection, messages)
        if self._inbox.is_full:
            connection.pause()

    async def _intake(self) -> None:
        settings = self._config.store
        while True:
            connection, messages = await self._inbox.take(settings.commit_rows_max, settings.commit_wait_ms / 1000)
            if connection is not None and not self._inbox.is_full:
                connection.resume()
            downlinks = await self._commit(messages)
            self._wake_uplinks()
            if connection is not None:  # on which they came: one that is gone takes no more, and they come again
                connection.acknowledge([each.packet_id for each in messages if each.packet_id is not None])
            self._send_down(downlinks)

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
        """What the connection cannot take now is said as soon as it can; without one, at the device's next contact."""
        connection = self._connection
        if connection is None:
            self._unsaid = []
            return
        self._unsaid += downlinks
        sent = 0
        for downlink in self._unsaid:
            if not connection.publish(*downlink):
                break
            sent += 1
        self._unsaid = self._unsaid[sent : sent + UNSAID_MAX]

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
                self._wake_uplinks()  # rollups and notices are new data, too
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
