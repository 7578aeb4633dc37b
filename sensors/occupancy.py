"""People in a room: who is there, from when to when, day by day.

Each person of each working day comes or not, and arrives, has lunch and leaves at times of their own. The stays of a
day are a pure function of seed and day; the other signals of a room (CO2, warmth, moisture, lamps, door) follow.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from sensors.seeds import derive_seed, normal, uniform
from sensors.signals import (
    MS_PER_DAY,
    MS_PER_HOUR,
    MS_PER_S,
    SignalError,
    local_day,
    require_not_negative,
    require_positive,
    weekday,
)

PEOPLE_MAX = 1_000  # every question looks at each stay of the days before: a hall, not a stadium
_DAYS_CACHED = 4_096  # some hundred rooms with their last days; a forgotten day is made again, the same
_DRAWS_PER_PERSON = 4
_HOURS_PER_DAY = 24.0
_FORGOTTEN = 1e-6  # what of an old stay is left when it is no longer counted


@dataclass(frozen=True, slots=True)
class Stay:
    """One person in the room, from `start_ms` to before `end_ms`."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How many people are in a room.

    `presence` is the chance that a person comes on a working day; `workdays` are numbers of weekdays, Monday is 0.
    Hours are local; arrival, lunch and leaving scatter with a standard deviation of `spread_h`.
    """

    seed: int
    people: int
    arrive_hour: float = 8.5
    lunch_hour: float = 12.25
    lunch_h: float = 0.75
    leave_hour: float = 17.0
    spread_h: float = 0.4
    presence: float = 0.85
    workdays: tuple[int, ...] = (0, 1, 2, 3, 4)
    utc_offset_s: int = 0

    def __post_init__(self) -> None:
        require_not_negative(self, spread_h=self.spread_h, lunch_h=self.lunch_h, arrive_hour=self.arrive_hour)
        if not 0 <= self.people <= PEOPLE_MAX:
            raise SignalError("Occupancy", "people", f"a number from 0 to {PEOPLE_MAX}", self.people)
        if not 0 <= self.presence <= 1:
            raise SignalError("Occupancy", "presence", "a chance from 0 to 1", self.presence)
        hours = (self.arrive_hour, self.lunch_hour, self.lunch_hour + self.lunch_h, self.leave_hour, _HOURS_PER_DAY)
        if list(hours) != sorted(hours):
            raise SignalError("Occupancy", "hours", "arrive, lunch and leave in this order within one day", hours)

    def stays(self, day: int) -> tuple[Stay, ...]:
        """Return the stays of local day `day` (days since 1970-01-01); none of them reaches into another day."""
        return _stays_of_day(self, day)

    def value(self, at_ms: int) -> float:
        """Return how many people are there at `at_ms`."""
        day, _ = local_day(at_ms, self.utc_offset_s)
        return float(sum(stay.start_ms <= at_ms < stay.end_ms for stay in self.stays(day)))


@lru_cache(maxsize=_DAYS_CACHED)
def _stays_of_day(occupancy: Occupancy, day: int) -> tuple[Stay, ...]:
    if weekday(day) not in occupancy.workdays:
        return ()
    seed = derive_seed(occupancy.seed, "day", str(day))
    midnight_ms = day * MS_PER_DAY - occupancy.utc_offset_s * MS_PER_S
    stays = []
    for person in range(occupancy.people):
        first = person * _DRAWS_PER_PERSON
        if uniform(seed, first) >= occupancy.presence:
            continue
        arrive, lunch, leave = (
            hour + occupancy.spread_h * normal(seed, first + draw)
            for draw, hour in enumerate((occupancy.arrive_hour, occupancy.lunch_hour, occupancy.leave_hour), start=1)
        )
        for start, end in ((arrive, lunch), (lunch + occupancy.lunch_h, leave)):
            bounded = [midnight_ms + round(min(max(hour, 0.0), _HOURS_PER_DAY) * MS_PER_HOUR) for hour in (start, end)]
            if bounded[0] < bounded[1]:
                stays.append(Stay(bounded[0], bounded[1]))
    return tuple(stays)


@dataclass(frozen=True, slots=True)
class PeopleResponse:
    """What people add to a well-mixed store that leaks: y' = `gain_per_s` x people - y / `tau_s`.

    The solution is exact and closed: each stay adds a rise from its start and the fall of the same size from its end,
    and the equation is linear, so the answer is the sum over the stays that are not yet forgotten.
    """

    occupancy: Occupancy
    gain_per_s: float
    tau_s: float

    def __post_init__(self) -> None:
        require_positive(self, tau_s=self.tau_s)

    def value(self, at_ms: int) -> float:
        """Return y at `at_ms`, in the unit of `gain_per_s` times seconds."""
        tau_ms = self.tau_s * MS_PER_S
        today, _ = local_day(at_ms, self.occupancy.utc_offset_s)
        days_back = math.ceil(-math.log(_FORGOTTEN) * tau_ms / MS_PER_DAY)
        total = 0.0
        for day in range(today - days_back, today + 1):
            for stay in self.occupancy.stays(day):
                if stay.start_ms < at_ms:
                    fallen = math.exp((min(stay.end_ms, at_ms) - at_ms) / tau_ms)
                    total += fallen - math.exp((stay.start_ms - at_ms) / tau_ms)
        return self.gain_per_s * self.tau_s * total
