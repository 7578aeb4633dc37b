"""The recorder's shell: hands it what the gateway's links really did, and stores what it decides.

Promises: recording never holds up a reading: an observation is a few microseconds in the event loop, and storing is at
most one transaction a second, one a minute when nothing happens. A store that refuses costs a gap, never the gateway.
A process that did not run (SIGSTOP, a suspended machine, no processor time) has seen nothing: that is a gap as well,
and the requests that then find their time over say nothing about the link.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

from edge.causes import CLOSED, RESET, TIMEOUT
from edge.config import OutageSettings
from edge.desk import Desk
from edge.exchange import Exchange
from edge.forward.outcome import Failed, Outcome, Paused, Throttled
from edge.mqtt import ConnectionLost, MqttConnection
from edge.outages.events import Ending
from edge.outages.observations import DEVICES, LINKS, UPLINK, Failure, Observation, failure_of, uplink_to
from edge.outages.recorder import LinkView, Pending, Recorder
from edge.status import RecordedLink
from edge.store import StoreError
from sensors.clock import Clock

TICK_S = 1.0
ALIVE_EVERY_US = 60_000_000
"""What a crash leaves unknown at most, when nothing happened before it; one small fsync a minute."""
STILL_US = 5_000_000
"""The event loop is called once a second; so late, it did not run. Shorter pauses are those of a busy machine."""
TRIM_EVERY_US = 600_000_000
PROBE_AGAIN_S = 5.0
"""After a probe that failed: a second look decides whether it is an outage, so it should not take a minute."""
_ENDINGS = {TIMEOUT: Ending.STALL, RESET: Ending.RST, CLOSED: Ending.FIN}
_US_PER_S = 1_000_000
_US_PER_MS = 1_000


class InStore(Protocol):
    """Runs a call in the store's thread."""

    def __call__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """The call's answer."""


class LinkRecorder:
    """Records the link to each destination, and the one to the broker."""

    def __init__(
        self, settings: OutageSettings, clock: Clock, desk: Desk, in_store: InStore, destinations: Iterable[str] = ()
    ) -> None:
        """`destinations`: those beside the first one whose links are recorded, too."""
        further = {name: uplink_to(name) for name in destinations if name != desk.destination}
        self._links = {desk.destination: UPLINK, **further}
        self._recorded = (*LINKS, *further.values())
        self._settings = settings
        self._clock = clock
        self._desk = desk
        self._in_store = in_store
        self._recorder = Recorder(self._recorded)
        self._zero_us = 0
        self._connection: MqttConnection | None = None
        self._heard_bytes = 0
        self._written_us = self._trimmed_us = 0
        self._is_trimmed = False
        self._beat_us = self._still_until_us = 0
        self._is_devices_unknown = False

    async def start(self) -> None:
        """Take up where the last run ended. Raises `StoreError`."""
        resume = await self._in_store(self._desk.outage_log.resume, self._clock.wall_ms())
        self._zero_us = _loop_us() - resume.now_us
        self._recorder = Recorder(self._recorded, resume)
        self._beat_us = self._now_us()

    async def run(self) -> None:
        """Look, tick and store once a second until cancelled."""
        beating = asyncio.create_task(self._beat())
        try:
            while True:
                await asyncio.sleep(TICK_S)
                self._tick()
                with suppress(StoreError):  # the store's own users report it and mend it; what is pending waits
                    await self._store()
        finally:
            beating.cancel()

    async def flush(self) -> None:
        """Store everything now: the gateway is about to end. Raises `StoreError`."""
        self._tick()
        await self._write()

    def watch(self, destination: str | None = None) -> "UplinkWatch | None":
        """Who records the link to a destination (None: to the first one); None if nobody does."""
        link = self._links.get(destination if destination is not None else self._desk.destination)
        return None if link is None else UplinkWatch(self, link.name)

    def probe_in_s(self, link: str) -> float | None:
        """How long an uplink may be idle before it is looked at; None: for ever."""
        every_s = self._settings.probe_every_s
        if every_s == 0:
            return None
        return min(every_s, PROBE_AGAIN_S) if self._recorder.is_suspected(link) else every_s

    def status(self) -> tuple[RecordedLink, ...]:
        """Every link, for the status document."""
        wall_ms, now_us = self._clock.wall_ms(), self._now_us()
        return tuple(
            _document(view, wall_ms - (now_us - view.since_us) // _US_PER_MS) for view in self._recorder.views()
        )

    # -- what the gateway sees

    def tried(self, link: str, started_s: float, outcome: Outcome, exchange: Exchange) -> bool:
        """A request to a destination is over; whether that says anything about the link."""
        started_us, now_us = self._us(started_s), self._now_us()
        failure = _uplink_failure(outcome)
        if self._saw_nothing(started_us, failure):
            return False
        self._recorder.observe(
            Observation(
                link,
                started_us,
                now_us,
                failure,
                exchange.ended,
                exchange.is_unknown,
                exchange.sent_bytes,
                now_us - started_us if failure is None and exchange.travelled else None,
                exchange.segments,
                exchange.resent,
                exchange.is_drill,
            )
        )
        return True

    def broker_connected(self, started_s: float, connection: MqttConnection) -> None:
        """A connection to the broker stands."""
        self._connection, self._heard_bytes = connection, 0
        self._look_for_stillness()
        self._recorder.observe(Observation(DEVICES.name, self._us(started_s), self._now_us()))

    def broker_lost(self, started_s: float, error: ConnectionLost, *, is_drill: bool = False) -> None:
        """The connection to the broker has ended, or could not be made (tried since `started_s`)."""
        ended = None
        connection, self._connection = self._connection, None
        if connection is not None:
            started_s, ended = connection.heard_at_s, _ENDINGS.get(error.cause, Ending.FIN)
        failure = failure_of(error.cause)
        if self._saw_nothing(self._us(started_s), failure):
            return
        self._recorder.observe(
            Observation(DEVICES.name, self._us(started_s), self._now_us(), failure, ended, is_drill=is_drill)
        )

    # -- time and store

    async def _beat(self) -> None:
        """By itself, so that a store that takes long is no standstill."""
        while True:
            await asyncio.sleep(TICK_S)
            self._look_for_stillness()

    def _look_for_stillness(self) -> None:
        now_us = self._now_us()
        if now_us - self._beat_us > STILL_US:
            self._recorder.stood_still(self._beat_us, now_us)
            self._still_until_us = now_us
            self._is_devices_unknown = self._connection is not None
        self._beat_us = now_us

    def _saw_nothing(self, started_us: int, failure: Failure | None) -> bool:
        """Whether an attempt that failed was under way while the process did not run."""
        self._look_for_stillness()
        return failure is not None and started_us < self._still_until_us

    def _tick(self) -> None:
        self._look_for_stillness()
        now_us, connection = self._now_us(), self._connection
        if connection is not None and connection.heard_bytes > self._heard_bytes:
            news, self._heard_bytes = connection.heard_bytes - self._heard_bytes, connection.heard_bytes
            rtt_us = round(connection.round_trip_s * _US_PER_S) if connection.round_trip_s is not None else None
            if self._is_devices_unknown:  # the connection has outlived a standstill
                self._recorder.observe(Observation(DEVICES.name, self._us(connection.heard_at_s), now_us))
                self._is_devices_unknown = False
            self._recorder.heard(DEVICES.name, self._us(connection.heard_at_s), now_us, news, rtt_us)
        self._recorder.tick(now_us)

    async def _store(self) -> None:
        now_us = self._now_us()
        for name, held in (await self._in_store(self._desk.held_for, tuple(self._links))).items():
            self._recorder.backlog(self._links[name].name, held, now_us)
        if self._recorder.has_news or now_us - self._written_us >= ALIVE_EVERY_US:
            await self._write()
        if not self._is_trimmed or now_us - self._trimmed_us >= TRIM_EVERY_US:
            keep_days, keep_bytes = self._settings.keep_days, self._settings.keep_bytes
            more = await self._in_store(self._desk.outage_log.trim, keep_days=keep_days, keep_bytes=keep_bytes)
            self._is_trimmed, self._trimmed_us = not more, now_us

    async def _write(self) -> None:
        pending: Pending = self._recorder.pending()
        now_us = self._now_us()
        wall_ms = self._clock.wall_ms() - (now_us - pending.alive_us) // _US_PER_MS
        await self._in_store(self._desk.outage_log.write, pending, wall_ms)
        self._recorder.written(pending)
        self._written_us = now_us

    def _us(self, loop_s: float) -> int:
        return max(0, round(loop_s * _US_PER_S) - self._zero_us)

    def _now_us(self) -> int:
        return _loop_us() - self._zero_us


class UplinkWatch:
    """Tells the recorder of one uplink."""

    def __init__(self, recorder: LinkRecorder, link: str) -> None:
        self._recorder = recorder
        self._link = link

    @property
    def probe_in_s(self) -> float | None:
        """How long the uplink may be idle before it is looked at; None: for ever."""
        return self._recorder.probe_in_s(self._link)

    def uplink_tried(self, started_s: float, outcome: Outcome, exchange: Exchange) -> bool:
        """A request to the destination is over; whether that says anything about the link."""
        return self._recorder.tried(self._link, started_s, outcome, exchange)


def _loop_us() -> int:
    return round(asyncio.get_running_loop().time() * _US_PER_S)


def _uplink_failure(outcome: Outcome) -> Failure | None:
    """What a destination's answer says of the link: a refused or too large batch came through, a pause did not."""
    if isinstance(outcome, Failed):
        return failure_of(outcome.cause, outcome.status)
    if isinstance(outcome, (Paused, Throttled)):
        return failure_of("", outcome.status)
    return None


def _document(view: LinkView, since_ms: int) -> RecordedLink:
    return RecordedLink(
        link=view.link,
        state=view.status.value if view.status is not None else "unknown",
        since_ms=since_ms,
        cause=view.cause,
        http_status=view.http_status,
        outages=view.outages,
        **view.values,
    )
