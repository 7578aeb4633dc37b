"""The dashboard's running part: looks at the gateway once a second, and feeds what is open.

Promises: one look a second however many pages are open; at most `STREAMS_MAX` streams, each fed at its own pace (a slow
reader skips looks, nothing queues up); `close` ends every stream at once, so that none holds up a shutdown. Everything
that touches the store runs in the store's thread in short steps, sorting and searching in another.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from fastapi import HTTPException
from fastapi.sse import ServerSentEvent

from edge.dashboard.charts import Charts
from edge.dashboard.directory import KEYS_PER_STEP, LEDGER_SORTS, Directory, Entry, Query, select
from edge.dashboard.documents import DeviceDetail, DevicePage, History, Now, StoreDetail
from edge.dashboard.history import STEP_MS, Recorder
from edge.dashboard.in_store import InStore
from edge.dashboard.verdict import verdict
from edge.desk import Desk
from edge.status import GatewayStatus
from edge.store import StoreError
from sensors.clock import Clock

STREAMS_MAX = 16  # a browser tab each; a quarter of the server's connections
ENTRIES_KEPT_MS = 3_000  # scrolling and typing search in one copy of the fleet; older, it is read again
SUMS_KEPT_MS = (
    15_000  # with the ledger's sums, which cost half a second of the store's thread for 10,000 devices, in steps
)
VERSION_DIGITS_MAX = 18  # of a version that a browser gives back: one a microsecond for 30,000 years
RETRY_MS = 2_000  # how soon a browser comes back after a stream ended


class Dashboard:
    """What the routes ask. Make it and `run` it in the gateway's event loop."""

    def __init__(
        self, status: Callable[[], Awaitable[GatewayStatus]], in_store: InStore, desk: Desk, clock: Clock
    ) -> None:
        self._status = status
        self._in_store = in_store
        self.charts = Charts(desk, in_store, clock)
        self._directory = Directory(desk, self.charts.days_left)
        self._clock = clock
        self._recorder = Recorder()
        self._looked = asyncio.Condition()
        self._look = 0
        self._now: Now | None = None
        self._trouble = "the gateway is starting"
        self._closing = False
        self._entries: dict[bool, tuple[int, list[Entry]]] = {}
        self._reading_entries = asyncio.Lock()
        self.streams = 0

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            try:
                status = await self._status()
            except StoreError as error:
                self._recorder.note_nothing(self._clock.wall_ms())
                self._now, self._trouble = None, str(error)
            else:
                self._recorder.note(status)
                self._now = Now(verdict=verdict(status), status=status)
            await self._tell()
            await asyncio.sleep(STEP_MS / 1000)

    async def close(self) -> None:
        """End every stream."""
        self._closing = True
        await self._tell()

    async def _tell(self) -> None:
        async with self._looked:
            self._look += 1
            self._looked.notify_all()

    # -- questions

    async def status(self) -> GatewayStatus:
        """The status now. Raises `StoreError`."""
        return await self._status()

    async def now(self) -> Now:
        """The status now, and what to make of it. Raises `StoreError`."""
        status = await self._status()
        return Now(verdict=verdict(status), status=status)

    def history(self) -> History:
        """The last minutes."""
        return self._recorder.history()

    async def devices(self, query: Query) -> DevicePage:
        """One page of devices. Raises `StoreError`."""
        entries = await self._all_entries(query.sort in LEDGER_SORTS)
        total, keys = await asyncio.to_thread(select, entries, query)
        sites = dict(sorted(Counter(entry.site for entry in entries).items()))
        await self.charts.look_at_batteries(keys)
        return DevicePage(
            total=total, offset=query.offset, site_counts=sites, items=await self._in_store(self._directory.rows, keys)
        )

    async def device(self, key: int) -> DeviceDetail | None:
        """One device, or None. Raises `StoreError`."""
        await self.charts.look_at_batteries([key])
        return await self._in_store(self._directory.device, key)

    async def store(self) -> StoreDetail:
        """The store. Raises `StoreError`."""
        return await self._in_store(self._directory.store, self._clock.wall_ms())

    async def _all_entries(self, with_sums: bool) -> list[Entry]:
        async with self._reading_entries:
            kept = self._entries.get(with_sums)
            kept_ms = SUMS_KEPT_MS if with_sums else ENTRIES_KEPT_MS
            if kept is not None and self._clock.monotonic_ms() - kept[0] < kept_ms:
                return kept[1]
            entries: list[Entry] = []
            count = await self._in_store(self._directory.count)
            for first_key in range(1, count + 1, KEYS_PER_STEP):
                entries += await self._in_store(self._directory.entries, first_key, with_sums)
            self._entries[with_sums] = (self._clock.monotonic_ms(), entries)
            return entries

    # -- streams

    @contextmanager
    def stream_slot(self) -> Iterator[None]:
        """A place among the streams. Raises an `HTTPException` if all are taken or the gateway stops."""
        if self._closing or self.streams >= STREAMS_MAX:
            raise HTTPException(
                503, f"{self.streams} live streams are open: close one of their pages", headers={"Retry-After": "5"}
            )
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    async def live(self, devices: bool, key: int | None, last_event_id: str | None) -> AsyncIterator[ServerSentEvent]:
        """The events of one stream: `status` at every look, `devices` and `device` when something changed, and
        `commands` (of the one device) when any command did.

        An event's id is the gateway's start and a version of the latest values, so that a stream that comes back gets
        what it missed, and a page that meets another gateway knows. `trouble` comes instead of `status` while the store
        does not answer.
        """
        look, since, told = 0, None, -1
        while True:
            look = await self._look_after(look)
            if self._closing:
                return
            now = self._now
            if now is None:
                yield ServerSentEvent(event="trouble", data={"message": self._trouble}, retry=RETRY_MS)
                continue
            if since is None:
                since = await self._resume(now, last_event_id)
            yield ServerSentEvent(event="status", raw_data=now.model_dump_json(), retry=RETRY_MS)
            try:
                version, events = await self._changes(devices, key, since)
            except StoreError as error:
                yield ServerSentEvent(event="trouble", data={"message": str(error)})
                continue
            since = version
            if key is not None and told != (newest := self._directory.commands_version()):
                told = newest
                document = await self._in_store(self._directory.commands, key, self._clock.monotonic_ms())
                yield ServerSentEvent(event="commands", raw_data=document)
            event_id = f"{now.status.started_ms}-{version}"
            for name, document in events:
                yield ServerSentEvent(event=name, raw_data=document, id=event_id)

    async def _look_after(self, seen: int) -> int:
        """Wait for a look later than one that was seen, or for the end."""
        async with self._looked:
            while self._look <= seen and not self._closing:
                await self._looked.wait()
            return self._look

    async def _resume(self, now: Now, last_event_id: str | None) -> int:
        """The version that the reader has seen: what its last event says, or, without one of ours, the newest."""
        started, _, version = (last_event_id or "").partition("-")
        if started == str(now.status.started_ms) and version.isdecimal() and len(version) <= VERSION_DIGITS_MAX:
            return int(version)
        return await self._in_store(self._directory.version)

    async def _changes(self, devices: bool, key: int | None, since: int) -> tuple[int, list[tuple[str, str]]]:
        events: list[tuple[str, str]] = []
        version = since
        if devices:
            version, changed = await self._in_store(self._directory.changed, since)
            if changed.rows:
                events.append(("devices", changed.model_dump_json()))
        if key is not None:
            version, update = await self._in_store(self._directory.update, key, since)
            if update is not None:
                events.append(("device", update.model_dump_json()))
        return version, events
