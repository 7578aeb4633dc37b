"""Decides from observations what state one link is in, and when that state began. Without hysteresis a recording would
be noise; with too much of it, outages would be missing.

down       two failed attempts in a row, or one that got no answer for ten seconds
up         one answer: an answer cannot come by accident, as a loss can
degraded   three of the last twenty attempts within five minutes failed, or three answers in a row took three seconds;
           ends at one failure or none, or at three answers in a row under two seconds

Promises: a transition is seen when it is decided, and `began_min <= began <= began_max <= seen`; on one link,
beginnings never go back. When a change happened unseen between two looks, the estimate is the middle between them,
which halves the largest possible error.
"""

from collections import deque
from dataclasses import dataclass

from edge.outages.events import Cause, Ending, Status, Transition
from edge.outages.observations import Failure, Observation

FAILURES_DOWN = 2
"""One failed attempt can be one lost SYN or one restarted server; two in a row, with a back-off between, are not."""
SILENCE_DOWN_US = 10_000_000
"""Linux's TCP sends again after 0.2, 0.6, 1.4, 3.0 and 6.2 s: ten silent seconds are at least six lost packets."""
WINDOW_ATTEMPTS = 20
WINDOW_US = 300_000_000
"""What is older than five minutes says nothing about now."""
LOSSY_FAILURES = 3
"""15 % of whole attempts: TCP hides lost packets, so this is a link that loses far more of them."""
CALM_FAILURES = 1
SLOW_US = 3_000_000
"""A new TLS connection over a geostationary satellite takes three round trips of 0.6 s; this is slower still."""
QUICK_US = 2_000_000
SLOW_ANSWERS = 3


@dataclass(frozen=True, slots=True)
class _Began:
    """Best estimate of when a change began, with its bounds; `_change` makes them fit the recording's rules."""

    estimate_us: int
    earliest_us: int
    latest_us: int


class LinkHealth:
    """The state of one link. `known_from_us`: nothing was observed before."""

    def __init__(self, link: str, known_from_us: int) -> None:
        self.link = link
        self.status: Status | None = None
        self.failure: Failure | None = None
        self._known_from_us = known_from_us
        self._began_us = known_from_us
        self._good_us = known_from_us  # it worked then, as far as is known
        self._bad_us = known_from_us  # it did not work then, or is not known to have
        self._suspicion: _Began | None = None
        self._streak = 0
        self._attempts: deque[tuple[int, Failure | None]] = deque(maxlen=WINDOW_ATTEMPTS)
        self._lossy = False
        self._slow = False
        self._pace = 0  # slow answers in a row; below 0, quick ones
        self._pace_since_us = known_from_us

    @property
    def since_us(self) -> int:
        """When the status began, or since when none is known."""
        return self._began_us

    @property
    def suspected(self) -> bool:
        """Whether the link is down, or the last attempt failed."""
        return self.status is Status.DOWN or self._streak > 0

    def observe(self, seen: Observation, now_us: int) -> Transition | None:
        """Take an observation; the transition that it decides, if it does."""
        self._attempts.append((now_us, seen.failure))
        if seen.failure is not None:
            return self._failed(seen, seen.failure, now_us)
        return self._worked(seen, now_us)

    def heard(self, at_us: int, now_us: int) -> Transition | None:
        """Bytes came over a connection that stands: no attempt, but a sign of life."""
        self._good_us = max(self._good_us, min(at_us, now_us))
        return self.review(now_us)

    def review(self, now_us: int) -> Transition | None:
        """Look again at what time alone changes: failures that are too old to count."""
        while self._attempts and now_us - self._attempts[0][0] > WINDOW_US:
            self._attempts.popleft()
        if self.status not in {Status.UP, Status.DEGRADED}:
            return None
        failed = [(at_us, failure) for at_us, failure in self._attempts if failure is not None]
        if len(failed) >= LOSSY_FAILURES and not self._lossy:
            self._lossy = True
            return self._change(Status.DEGRADED, failed[-1][1], _Began(failed[0][0], failed[0][0], now_us), now_us)
        if len(failed) <= CALM_FAILURES:
            self._lossy = False
        if not self._lossy:
            return self._review_pace(now_us)
        return None

    def _review_pace(self, now_us: int) -> Transition | None:
        """Between up and degraded, when it is not losses that decide."""
        since_us = self._pace_since_us
        if self._slow and self.failure != Failure(Cause.SLOW):
            return self._change(Status.DEGRADED, Failure(Cause.SLOW), _Began(since_us, since_us, now_us), now_us)
        if not self._slow and self.status is Status.DEGRADED:
            if self.failure == Failure(Cause.SLOW):
                return self._change(Status.UP, None, _Began(since_us, since_us, now_us), now_us)
            return self._change(Status.UP, None, _between(self._bad_us, self._good_us, now_us), now_us)
        return None

    def _failed(self, seen: Observation, failure: Failure, now_us: int) -> Transition | None:
        before_us, self._bad_us = self._bad_us, _lower_bound_of_return(seen, now_us)
        self._streak += 1
        if self._streak == 1:
            self._suspicion = _failure_began(seen, self._good_us, now_us)
        if self.status is Status.DOWN:
            if failure == self.failure:
                return None
            return self._change(Status.DOWN, failure, _failure_began(seen, before_us, now_us), now_us)
        silent_us = seen.at_us - seen.started_us if failure.cause is Cause.TIMEOUT else 0
        if self._suspicion is not None and (self._streak >= FAILURES_DOWN or silent_us >= SILENCE_DOWN_US):
            return self._change(Status.DOWN, failure, self._suspicion, now_us)
        return self.review(now_us)

    def _worked(self, seen: Observation, now_us: int) -> Transition | None:
        self._streak, self._suspicion = 0, None
        self._good_us = max(self._good_us, min(seen.at_us, now_us))
        if self.status in {Status.UP, Status.DEGRADED}:
            self._note_pace(seen, now_us)
            return self.review(now_us)
        began = _between(self._bad_us, min(seen.started_us, now_us), now_us)
        if self.status is None:  # nothing says that it was not up before: it is known from this attempt on
            began = _Began(min(seen.started_us, now_us), self._known_from_us, now_us)
        self._attempts.clear()
        self._lossy = self._slow = False
        self._pace = 0
        self._note_pace(seen, now_us)
        return self._change(Status.UP, None, began, now_us)

    def _note_pace(self, seen: Observation, now_us: int) -> None:
        if seen.rtt_us is None:
            return
        pace = 1 if seen.rtt_us >= SLOW_US else -1 if seen.rtt_us < QUICK_US else 0
        if pace == 0 or self._pace * pace <= 0:  # in between, or the other way round
            self._pace, self._pace_since_us = 0, min(seen.started_us, now_us)
        self._pace = max(-SLOW_ANSWERS, min(SLOW_ANSWERS, self._pace + pace))
        if abs(self._pace) == SLOW_ANSWERS:
            self._slow = self._pace > 0

    def _change(self, status: Status, failure: Failure | None, began: _Began, now_us: int) -> Transition:
        floor_us = max(self._began_us, self._known_from_us)
        began_us = min(max(began.estimate_us, floor_us), now_us)
        earliest_us = min(max(began.earliest_us, floor_us), began_us)
        latest_us = min(max(began.latest_us, began_us), now_us)
        self.status, self.failure, self._began_us = status, failure, began_us
        return Transition(
            now_us,
            self.link,
            status,
            failure.cause if failure is not None else None,
            failure.http_status if failure is not None else None,
            began_us if began_us != now_us else None,
            earliest_us if earliest_us != began_us else None,
            latest_us if latest_us != began_us else None,
        )


def _failure_began(seen: Observation, good_us: int, now_us: int) -> _Began:
    """A connection that worked until it was ended failed at its end; else it was between the last good and this try."""
    if seen.ended in {Ending.FIN, Ending.RST}:
        return _Began(seen.at_us, good_us, now_us)
    return _between(good_us, seen.started_us, now_us)


def _between(earliest_us: int, tried_us: int, now_us: int) -> _Began:
    return _Began((earliest_us + max(earliest_us, tried_us)) // 2, earliest_us, now_us)


def _lower_bound_of_return(seen: Observation, now_us: int) -> int:
    """A silent attempt says only that the link was away when it started; another one, that it was at its end."""
    waited = seen.failure is not None and seen.failure.cause is Cause.TIMEOUT
    return min(seen.started_us if waited else seen.at_us, now_us)
