"""The alert rules as a reader of the log: with a cursor and a memory of its own, exact after a crash.

    log --cursor--> rules (rule_states) --raised, cleared--> alerts, notices

Readings that wait for the gateway's own clock are looked at when they have their times: its step is nobody's hold time.
Cursor, memory and alerts move in one transaction, so whatever crashes, the alerts are those of one run over the log in
its order. What decides about a value is in `edge.alerts.watch`.

`no_data` runs on the monotonic clock: a step of the wall clock raises nothing. What was heard when is kept in memory;
after a restart every device gets its whole time again, so that the gateway's own absence raises nothing either. While
the log is behind, nobody is called silent: what they said may be in it. A device that was never heard is missed only if
its rule names it (`expected`); it gets a number in the store for that, and its time counts from the start.

A rule that is new begins with what comes from then on. When one goes, or decides differently than before, its alerts
are cleared and its memory is forgotten. Without rules there is no cursor, nothing is read, and no row is held back.

Bounded: a page of the log at a time; memory in the store is one row a device (at most as many series as the device may
have), here one time for each `no_data` rule and device.
Synchronous; lives in the store's thread.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import msgspec

from edge.alerts.book import AlertBook
from edge.alerts.rules import AlertRule, RuleKind
from edge.alerts.watch import Change, Delays, Limits, Series
from edge.ledger import Ledger
from edge.store import LogEntry, Store
from edge.store.alerts import Alert, AlertTables
from edge.store.names import RULES_CURSOR as RULES_CURSOR

PAGE_ROWS = 2048  # of one transaction, as for the windows
SILENT_MAX = 200  # devices called silent in one transaction: some 50 ms in which ingest waits
LOAD_DEVICES = 1000  # of one read at the start


class _Memory(msgspec.Struct, array_like=True):
    delays: Delays
    series: list[Series]


class _Watch:
    """One rule as it is applied."""

    __slots__ = ("heard", "key", "limits", "rule", "silent_ms")

    def __init__(self, rule: AlertRule) -> None:
        self.rule = rule
        self.key = rule.fingerprint()
        self.limits = Limits(rule)
        self.silent_ms = round(1000 * rule.after_s) if rule.after_s is not None else 0
        self.heard: OrderedDict[int, int] = OrderedDict()  # device key -> monotonic ms, the longest silent first


class _Device:
    """What is remembered of one device, while a page is looked at."""

    __slots__ = ("delays", "series")

    def __init__(self, memory: _Memory | None, keys: Iterable[bytes]) -> None:
        known = set(keys)
        self.delays = Delays() if memory is None else memory.delays
        series = [] if memory is None else memory.series
        self.series = {(one.rule, one.unit): one for one in series if one.rule in known}

    def of(self, key: bytes, unit: str | None) -> Series:
        """What is remembered of one value, new if it is."""
        series = self.series.get((key, unit))
        if series is None:
            series = self.series[key, unit] = Series(key, unit)
        return series


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Memory)


class Rules:
    """Applies rules to the log of one store."""

    def __init__(self, store: Store, ledger: Ledger, book: AlertBook, rules: Sequence[AlertRule]) -> None:
        self._store = store
        self._ledger = ledger
        self._book = book
        self._tables = AlertTables(store)
        self._watches = [_Watch(rule) for rule in rules]
        self._of_device: dict[int, tuple[tuple[_Watch, ...], tuple[_Watch, ...]]] = {}
        self._begins_at = store.head  # for rules without a cursor: what came before they did is not theirs
        self._started = False

    @property
    def behind(self) -> int:
        """Readings that were not looked at yet. Raises `StoreError`."""
        return self._store.ready_through - self._store.cursor(RULES_CURSOR) if self._watches else 0

    def silent_in_ms(self, now_ms: int) -> int | None:
        """In how long the next device is to be called silent, if nothing comes; None: none is."""
        if not self._started:
            return 0
        if not self._watches:
            return None
        waits = [next(iter(watch.heard.values())) + watch.silent_ms - now_ms for watch in self._watches if watch.heard]
        return min(waits, default=None)

    def advance(self, now_ms: int, wall_ms: int | None) -> bool:
        """Look at the next readings, in one transaction; whether there is more to do at once.

        `now_ms` is monotonic; `wall_ms` None while it is not known: then nobody is called silent. Raises `StoreError`:
        then nothing has changed.
        """
        if not self._started:
            self._start(now_ms, wall_ms or 0)
            self._started = True
        if not self._watches:
            return False
        position = self._store.cursor(RULES_CURSOR)
        ready = self._store.ready_through
        page = self._store.read(position, PAGE_ROWS)
        entries = [entry for entry in page.entries if entry.id <= ready]
        is_damaged = page.damaged is not None and page.damaged[0] <= ready
        if page.damaged is not None and is_damaged:
            position = page.damaged[0]  # the forwarder puts it into quarantine
        elif entries:
            position = entries[-1].id
        if entries or is_damaged:
            with self._ledger.transaction():
                self._take(entries, now_ms)
                self._store.set_cursor(RULES_CURSOR, position)
        if position < ready:
            return True
        return wall_ms is not None and position >= self._store.head and self._call_silent(now_ms, wall_ms)

    # -- the start

    def _start(self, now_ms: int, wall_ms: int) -> None:
        """Begin with the rules as they are now."""
        has_cursor = RULES_CURSOR in self._store.cursors()
        if self._watches or has_cursor:
            with self._ledger.transaction():
                self._book.clear_rules_but((watch.key.hex() for watch in self._watches), wall_ms)
                if not self._watches:
                    self._store.forget_consumer([RULES_CURSOR])
                    self._tables.forget_memories()
                elif not has_cursor:
                    self._store.set_cursor(RULES_CURSOR, self._begins_at)
        self._listen(now_ms)

    def _listen(self, now_ms: int) -> None:
        """Whom the rules wait for: everybody whom they have heard, and have not called silent."""
        waiting = {watch.key: watch for watch in self._watches if watch.silent_ms}
        after_key = 0
        while waiting and (page := self._tables.memories(after_key, LOAD_DEVICES)):
            after_key = page[-1][0]
            for key, body in page:
                for series in _decoder.decode(body).series if body else ():
                    if series.rule in waiting and not series.is_active:
                        waiting[series.rule].heard[key] = now_ms
        self._expect(now_ms)

    def _expect(self, now_ms: int) -> None:
        """Wait also for those who are named, heard or not, unless they are called silent already."""
        expecting = [watch for watch in self._watches if watch.rule.expected]
        if not expecting:
            return
        with self._ledger.transaction():
            keys = {
                each: self._store.device_key(*each) for watch in expecting for each in watch.rule.expected_devices()
            }
        for watch in expecting:
            for each in watch.rule.expected_devices():
                if not self._load(keys[each]).of(watch.key, None).is_active:
                    watch.heard.setdefault(keys[each], now_ms)

    # -- readings

    def _take(self, entries: Iterable[LogEntry], now_ms: int) -> None:
        devices: dict[int, _Device] = {}
        for entry in entries:
            key = entry.device_key
            measuring, waiting = self._of_device.get(key) or self._match(key)
            if not measuring and not waiting:
                continue
            device = devices.get(key)
            if device is None:
                device = devices[key] = self._load(key)
            if measuring:
                self._measure(device, measuring, entry)
            for watch in waiting:
                if watch.rule.value is None or any(value.name == watch.rule.value for value in entry.reading.values):
                    self._hear(device, watch, entry, now_ms)
        self._tables.put_memories(
            [(key, _encoder.encode(_Memory(device.delays, list(device.series.values()))))
             for key, device in devices.items()]
        )  # fmt: skip

    def _match(self, key: int) -> tuple[tuple[_Watch, ...], tuple[_Watch, ...]]:
        site, device = self._store.device_name(key)
        watches = [watch for watch in self._watches if watch.rule.takes(site, device)]
        waiting = tuple(watch for watch in watches if watch.rule.kind is RuleKind.NO_DATA)
        found = tuple(watch for watch in watches if watch.rule.kind is not RuleKind.NO_DATA), waiting
        self._of_device[key] = found
        return found

    def _load(self, key: int) -> _Device:
        body = self._tables.memory(key)
        return _Device(_decoder.decode(body) if body else None, [watch.key for watch in self._watches])

    def _measure(self, device: _Device, watches: tuple[_Watch, ...], entry: LogEntry) -> None:
        reading = entry.reading
        lateness_ms = device.delays.lateness_ms(entry.received_at_ms, reading.taken_at_ms)
        at = (reading.taken_at_ms, reading.boot, reading.seq)
        for value in reading.values:
            content = value.value
            if isinstance(content, str):
                continue
            for watch in watches:
                rule = watch.rule
                if value.name == rule.value and (rule.unit is None or rule.unit == value.unit):
                    series = device.of(watch.key, value.unit)
                    change = watch.limits.step(series, at, float(content), lateness_ms)
                    if change is not None:
                        self._tell(watch, entry, value.unit, change)

    def _tell(self, watch: _Watch, entry: LogEntry, unit: str | None, change: Change) -> None:
        key, at_ms = entry.device_key, entry.received_at_ms
        alert = self._alert(watch.rule, key, unit, change.number, change.since_ms, at_ms)
        if change.is_raised:
            self._book.raise_alert(key, alert, watch.key.hex())
        else:
            self._book.clear_alert(key, alert, watch.key.hex(), at_ms, change.number)

    def _alert(self, rule: AlertRule, key: int, unit: str | None, number: float, since_ms: int, at_ms: int) -> Alert:
        site, device = self._store.device_name(key)
        return Alert(
            "rule", rule.name, site, device, rule.severity,
            rule.text(site=site, device=device, unit=unit, number=number), since_ms, at_ms,
            rule.value, unit, number, rule.threshold,
        )  # fmt: skip

    # -- silence

    def _hear(self, device: _Device, watch: _Watch, entry: LogEntry, now_ms: int) -> None:
        key = entry.device_key
        watch.heard[key] = now_ms
        watch.heard.move_to_end(key)
        series = device.of(watch.key, None)
        if series.is_active:
            series.is_active = False
            alert = self._alert(watch.rule, key, None, 0.0, entry.received_at_ms, entry.received_at_ms)
            self._book.clear_alert(key, alert, watch.key.hex(), entry.received_at_ms)

    def _call_silent(self, now_ms: int, wall_ms: int) -> bool:
        silent: list[tuple[_Watch, int, int]] = []
        for watch in self._watches:
            for key, heard_ms in watch.heard.items():
                if now_ms - heard_ms < watch.silent_ms or len(silent) == SILENT_MAX:
                    break
                silent.append((watch, key, now_ms - heard_ms))
        if not silent:
            return False
        with self._ledger.transaction():
            for watch, key, silent_ms in silent:
                device = self._load(key)
                device.of(watch.key, None).is_active = True
                self._tables.put_memories(
                    [(key, _encoder.encode(_Memory(device.delays, list(device.series.values()))))]
                )
                alert = self._alert(watch.rule, key, None, silent_ms / 1000, wall_ms - silent_ms, wall_ms)
                self._book.raise_alert(key, alert, watch.key.hex())
        for watch, key, _ in silent:
            del watch.heard[key]
        return len(silent) == SILENT_MAX
