"""The dashboard's running part: looks at the gateway once a second, and feeds what is open.

Promises: one look a second however many pages are open; at most `STREAMS_MAX` streams, each fed at its own pace (a slow
reader skips looks, nothing queues up), and what several of them ask at one look is asked once; `close` ends every
stream at once, so that none holds up a shutdown. It asks the gateway by `edge.dashboard.questions` alone, in short
steps, so that it may run in a process of its own; sorting and searching are done in a thread.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi import HTTPException
from fastapi.sse import ServerSentEvent

from edge.dashboard.charts import ChartFiles, Charts
from edge.dashboard.directory import keys_per_step
from edge.dashboard.documents import (
    DeviceDetail,
    DevicePage,
    DeviceRow,
    DevicesChanged,
    DeviceUpdate,
    History,
    Now,
    StoreDetail,
)
from edge.dashboard.entries import LEDGER_SORTS, Entry, Query, select
from edge.dashboard.history import STEP_MS, Recorder
from edge.dashboard.questions import (
    CHANGED,
    COMMANDS,
    COMMANDS_VERSION,
    COUNT,
    DEVICE,
    ENTRIES,
    ROWS,
    STATUS,
    STORE,
    UPDATE,
    VERSION,
    Argument,
    Asked,
    Question,
)
from edge.dashboard.verdict import verdict
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

Answer = TypeVar("Answer")


class Dashboard:
    """What the routes ask. Make it and `run` it in the event loop that serves the routes."""

    def __init__(self, asked: Asked, files: ChartFiles, clock: Clock) -> None:
        self._asked = asked
        self.charts = Charts(asked, files, clock)
        self._clock = clock
        self._recorder = Recorder()
        self._looked = asyncio.Condition()
        self._look = 0
        self._now: Now | None = None
        self._trouble = "the gateway is starting"
        self._closing = False
        self._entries: dict[bool, tuple[int, list[Entry]]] = {}
        self._reading_entries = asyncio.Lock()
        self._of_this_look: dict[tuple[str, tuple[Argument, ...]], asyncio.Task[Any]] = {}
        self.streams = 0

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            try:
                status = await self.status()
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
            self._of_this_look.clear()
            self._looked.notify_all()

    # -- questions

    async def status(self) -> GatewayStatus:
        """The status now. Raises `StoreError`."""
        return await self._asked.ask(STATUS)

    async def now(self) -> Now:
        """The status now, and what to make of it. Raises `StoreError`."""
        status = await self.status()
        return Now(verdict=verdict(status), status=status)

    @property
    def latest(self) -> Now | None:
        """The newest look, a second old at most; None while the store does not answer."""
        return self._now

    def history(self) -> History:
        """The last minutes."""
        return self._recorder.history()

    async def devices(self, query: Query) -> DevicePage:
        """One page of devices. Raises `StoreError`."""
        entries = await self._all_entries(query.sort in LEDGER_SORTS)
        total, keys = await asyncio.to_thread(select, entries, query)
        sites = dict(sorted(Counter(entry.site for entry in entries).items()))
        rows = await self._with_days(await self._asked.ask(ROWS, keys))
        return DevicePage(total=total, offset=query.offset, site_counts=sites, items=rows)

    async def device(self, key: int) -> DeviceDetail | None:
        """One device, or None. Raises `StoreError`."""
        found = await self._asked.ask(DEVICE, key)
        if found is None:
            return None
        (row,) = await self._with_days([found.row])
        return found.model_copy(update={"row": row})

    async def store(self) -> StoreDetail:
        """The store. Raises `StoreError`."""
        return await self._asked.ask(STORE, self._clock.wall_ms())

    async def _all_entries(self, with_sums: bool) -> list[Entry]:
        async with self._reading_entries:
            kept = self._entries.get(with_sums)
            kept_ms = SUMS_KEPT_MS if with_sums else ENTRIES_KEPT_MS
            if kept is not None and self._clock.monotonic_ms() - kept[0] < kept_ms:
                return kept[1]
            entries: list[Entry] = []
            count = await self._asked.ask(COUNT)
            for first_key in range(1, count + 1, keys_per_step(with_sums)):
                entries += await self._asked.ask(ENTRIES, first_key, with_sums)
            self._entries[with_sums] = (self._clock.monotonic_ms(), entries)
            return entries

    async def _with_days(self, rows: Iterable[DeviceRow]) -> list[DeviceRow]:
        """The rows with how long their batteries will last, which the history's file knows."""
        given = list(rows)
        await self.charts.look_at_batteries([row.key for row in given])
        return [row.model_copy(update={"days_left": self.charts.days_left(row.key)}) for row in given]

    async def _ask_once(self, question: Question[Answer], *arguments: Argument) -> Answer:
        """The answer, which every stream that asks the same at this look is given. Raises `StoreError`."""
        asked = question.name, arguments
        task = self._of_this_look.get(asked)
        if task is None:
            task = self._of_this_look[asked] = asyncio.ensure_future(self._asked.ask(question, *arguments))
        answer: Answer = await asyncio.shield(task)
        return answer

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
                told, commands = await self._commands(key, told)
            except StoreError as error:
                yield ServerSentEvent(event="trouble", data={"message": str(error)})
                continue
            since = version
            if commands is not None:
                yield ServerSentEvent(event="commands", raw_data=commands)
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
        return await self._ask_once(VERSION)

    async def _commands(self, key: int | None, told: int) -> tuple[int, str | None]:
        """The version of the commands now, and those of the device if it is not the one that was told."""
        if key is None:
            return told, None
        newest = await self._ask_once(COMMANDS_VERSION)
        if newest == told:
            return told, None
        return newest, await self._ask_once(COMMANDS, key, self._clock.monotonic_ms())

    async def _changes(self, devices: bool, key: int | None, since: int) -> tuple[int, list[tuple[str, str]]]:
        events: list[tuple[str, str]] = []
        version = since
        if devices:
            version, changed = await self._ask_once(CHANGED, since)
            if changed.rows or changed.truncated:
                rows = await self._with_days(changed.rows)
                told = DevicesChanged(rows=rows, truncated=changed.truncated)
                events.append(("devices", told.model_dump_json()))
        if key is not None:
            version, update = await self._ask_once(UPDATE, key, since)
            if update is not None:
                (row,) = await self._with_days([update.row])
                events.append(("device", DeviceUpdate(row=row, readings=update.readings).model_dump_json()))
        return version, events
