"""The recorder's core: observations of links go in, the events of a recording and a table of outages come out.

    observe, heard, backlog     what was seen, as it is seen
    tick                        time goes on: samples that are due, failures that are too old to count
    stood_still                 time went on, and the gateway did not see it
    pending, written            what is to be stored, and that it was

Promises: the events that come out, in order and with an `end` behind them, are a valid `Recording`, for any sequence
of observations; the outages are the ones that `LinkTimeline` finds in them, to the microsecond; time that goes back is
held; at most `PENDING_MAX` events wait for a store that refuses, and what is not recorded then, or while the gateway
was off, is a `gap`. Sans-IO; times are microseconds of the recorder's clock, which goes on across restarts.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from edge.outages.events import AnyEvent, Cause, Close, Gap, Link, LinkKind, Status, Transition, UnknownWrite
from edge.outages.health import LinkHealth
from edge.outages.observations import Observation
from edge.outages.sampling import Sampler
from edge.outages.timeline import OutageEnd

PENDING_MAX = 5_000
"""About 1 MB, and hours of the worst flapping; then the recorder counts as off until the store takes it."""
CATCHING_UP_MAX = 16
"""Outages of all links whose backlog is still being sent; of an older one it stays unknown how long it took."""
CALM_NOTES = 60
"""Backlogs of the last minute at one a second: the most of them is what is usual between two batches."""


@dataclass(frozen=True, slots=True)
class RecordedOutage:
    """One outage of one link; times are the recorder's, None means not known or not yet.

    `held_before` is the usual backlog (readings) before it, `held_max` the largest one until it ended; the link had
    caught up at `caught_up_us`, when the backlog was the usual one again. `is_drill`: an operator caused it, and
    nothing else made the link fail meanwhile.
    """

    link: str
    number: int
    cause: Cause
    http_status: int | None
    seen_us: int
    start_us: int
    start_bounds_us: tuple[int, int]
    end_us: int | None = None
    end_bounds_us: tuple[int, int] | None = None
    ended: OutageEnd | None = None
    held_before: int | None = None
    held_max: int | None = None
    caught_up_us: int | None = None
    is_drill: bool = False

    @property
    def id(self) -> str:
        """Link and number; the numbers of a link start at 1 and are never used twice."""
        return f"{self.link}-{self.number}"


@dataclass(frozen=True, slots=True)
class Resume:
    """What an earlier run left: when it was last alive, the outages it left open, and the last number of each link.

    `now_us` is what the recorder's clock says now; `next_id` is the id that the next event gets.
    """

    alive_us: int | None = None
    now_us: int = 0
    next_id: int = 1
    open: tuple[RecordedOutage, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pending:
    """What is to be stored in one transaction: new events, outages as they are now, and until when all is known.

    Events have ids from `first_id` on; storing the same ones again changes nothing.
    """

    first_id: int
    events: tuple[AnyEvent, ...]
    outages: tuple[RecordedOutage, ...]
    alive_us: int


@dataclass(frozen=True, slots=True)
class LinkView:
    """One link now, for an operator; `since_us` is when its status began."""

    link: str
    status: Status | None
    cause: Cause | None
    http_status: int | None
    since_us: int
    values: dict[str, int]
    outages: int


class Recorder:
    """Records what these links do, from `resume.now_us` on."""

    def __init__(self, links: Iterable[Link], resume: Resume | None = None) -> None:
        resume = resume if resume is not None else Resume()
        self.links = tuple(links)
        self._now_us = max(resume.now_us, resume.alive_us or 0)
        self._numbers = {link.name: resume.numbers.get(link.name, 0) for link in self.links}
        self._open = {outage.link: outage for outage in resume.open}
        self._catching_up: deque[RecordedOutage] = deque(maxlen=CATCHING_UP_MAX)
        uplinks = [link.name for link in self.links if link.kind is LinkKind.UPLINK]
        self._calm: dict[str, deque[int]] = {name: deque(maxlen=CALM_NOTES) for name in uplinks}
        self._next_id = resume.next_id
        self._events: list[AnyEvent] = []
        self._changed: dict[tuple[str, int], RecordedOutage] = {}
        self._off_since_us: int | None = None
        self._emitted_us = 0
        self._start_over()
        if resume.alive_us is not None:
            self._gap(resume.alive_us)

    # -- what is seen

    def observe(self, seen: Observation) -> None:
        """Take an observation of one of the links. Raises `KeyError` for another one."""
        health, sampler = self._health[seen.link], self._samplers[seen.link]
        now_us = self._advance(seen.at_us)
        if self._off_since_us is not None:
            return
        sampler.note(seen)
        if seen.unknown_write:
            sent_us = max(0, min(seen.started_us, now_us))
            self._emit(UnknownWrite(now_us, seen.link, sent_us, seen.sent_bytes))
        before = health.status
        transition = health.observe(seen, now_us)
        if seen.ended is not None and before is not Status.DOWN and health.status is not Status.DOWN:
            self._emit(Close(now_us, seen.link, seen.ended))
        self._take(transition, is_drill=seen.is_drill)
        outage = self._open.get(seen.link)
        if outage is not None and outage.is_drill and seen.failure is not None and not seen.is_drill:
            self._open[seen.link] = replace(outage, is_drill=False)

    def heard(self, link: str, at_us: int, now_us: int, count_bytes: int = 0, rtt_us: int | None = None) -> None:
        """A standing connection was alive at `at_us` and had carried so many bytes more. Raises `KeyError`."""
        health, sampler = self._health[link], self._samplers[link]
        now_us = self._advance(now_us)
        if self._off_since_us is None:
            sampler.carried(count_bytes, rtt_us)
            self._take(health.heard(at_us, now_us))

    def backlog(self, link: str, held: int, now_us: int) -> None:
        """So many readings wait for this uplink; to be said about once a second. Raises `KeyError`."""
        calm, health = self._calm[link], self._health[link]
        now_us = self._advance(now_us)
        outage = self._open.get(link)
        if outage is not None and (outage.held_max is None or held > outage.held_max):
            self._open[link] = replace(outage, held_max=held)
        catching_up = [outage for outage in self._catching_up if outage.link == link]
        for outage in catching_up:
            if held <= (outage.held_before or 0):
                self._catching_up.remove(outage)
                self._note(replace(outage, caught_up_us=max(now_us, outage.end_us or 0)))
        if not health.suspected and not any(outage in self._catching_up for outage in catching_up):
            calm.append(held)

    def tick(self, now_us: int) -> None:
        """Time has gone on; to be said about once a second."""
        now_us = self._advance(now_us)
        if self._off_since_us is not None:
            return
        for link in self.links:
            self._take(self._health[link.name].review(now_us))
            sample = self._samplers[link.name].sample(now_us)
            if sample is not None:
                self._emit(sample)

    def stood_still(self, since_us: int, now_us: int) -> None:
        """The gateway's process did not run from `since_us` on: nobody saw what its links did, so it is a gap."""
        now_us = self._advance(now_us)
        if self._off_since_us is None:
            self._start_over()
            self._gap(max(min(since_us, now_us), self._emitted_us))

    def _advance(self, now_us: int) -> int:
        self._now_us = max(self._now_us, now_us)
        return self._now_us

    # -- what is to be stored

    @property
    def has_news(self) -> bool:
        """Whether there is anything to store beyond being alive."""
        return bool(self._events or self._changed)

    def pending(self) -> Pending:
        """Everything that is not yet stored, with outages that are under way as they stand."""
        alive_us = self._off_since_us if self._off_since_us is not None else self._now_us
        self._changed.update({_key(outage): outage for outage in self._open.values()})
        return Pending(self._next_id, tuple(self._events), tuple(self._changed.values()), alive_us)

    def written(self, pending: Pending) -> None:
        """That much is stored; what was observed since it was taken is still to be."""
        done = pending.first_id + len(pending.events) - self._next_id
        del self._events[:done]
        self._next_id += done
        for outage in pending.outages:
            if self._changed.get(_key(outage)) is outage:
                del self._changed[_key(outage)]
        if self._off_since_us is not None and not self._events:
            since_us, self._off_since_us = self._off_since_us, None
            self._start_over()
            self._gap(since_us)

    def is_suspected(self, link: str) -> bool:
        """Whether the last attempt on this link failed. Raises `KeyError`."""
        return self._health[link].suspected

    def views(self) -> tuple[LinkView, ...]:
        """Every link as it is now."""
        return tuple(self._view(self._health[link.name]) for link in self.links)

    def _view(self, health: LinkHealth) -> LinkView:
        failure, link = health.failure, health.link
        return LinkView(
            link,
            health.status,
            failure.cause if failure is not None else None,
            failure.http_status if failure is not None else None,
            health.since_us,
            self._samplers[link].values,
            self._numbers[link],
        )

    # -- events and outages

    def _start_over(self) -> None:
        self._health = {link.name: LinkHealth(link.name, self._now_us) for link in self.links}
        self._samplers = {link.name: Sampler(link.name, self._now_us) for link in self.links}

    def _gap(self, since_us: int) -> None:
        self._emit(Gap(self._now_us, since_us))
        for outage in self._open.values():
            self._note(replace(outage, end_us=since_us, end_bounds_us=(since_us, since_us), ended=OutageEnd.GAP))
        self._open.clear()
        for calm in self._calm.values():
            calm.clear()

    def _emit(self, event: AnyEvent) -> None:
        self._events.append(event)
        self._emitted_us = self._now_us
        if len(self._events) >= PENDING_MAX and self._off_since_us is None:
            self._off_since_us = self._now_us

    def _take(self, transition: Transition | None, *, is_drill: bool = False) -> None:
        if transition is None:
            return
        self._emit(transition)
        outage = self._open.get(transition.link)
        if transition.status is Status.DOWN and outage is None:
            self._open_outage(transition, is_drill=is_drill)
        elif transition.status is not Status.DOWN and outage is not None:
            self._close_outage(outage, transition)

    def _open_outage(self, down: Transition, *, is_drill: bool) -> None:
        self._numbers[down.link] += 1
        calm = self._calm.get(down.link)
        outage = RecordedOutage(
            down.link,
            self._numbers[down.link],
            _cause(down),
            down.http_status,
            down.at_us,
            down.began,
            down.began_bounds_us,
            held_before=max(calm) if calm else None,
            is_drill=is_drill,
        )
        self._open[down.link] = outage
        self._note(outage)

    def _close_outage(self, outage: RecordedOutage, back: Transition) -> None:
        del self._open[outage.link]
        outage = replace(outage, end_us=back.began, end_bounds_us=back.began_bounds_us, ended=OutageEnd.RECOVERED)
        if outage.held_max is not None:
            self._catching_up.append(outage)
        self._note(outage)

    def _note(self, outage: RecordedOutage) -> None:
        self._changed[_key(outage)] = outage


def _key(outage: RecordedOutage) -> tuple[str, int]:
    return outage.link, outage.number


def _cause(down: Transition) -> Cause:
    assert down.cause is not None  # noqa: S101  # a link is never down without one
    return down.cause
