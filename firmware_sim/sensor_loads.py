"""What a device's sensor parts draw: asleep all the time that the board runs, and more while they measure.

All parts of a device start a measurement together; the board is awake for its own part of it and then rests until the
slowest part is done, as firmware does that waits for a CO2 sensor's 5 s in sleep. The steps of one measurement are
drawn one after the other, each under an account of its own, whose make-up is constant. So no draw is booked twice, and
`split` can say afterwards exactly how much charge of each account was the board's and how much each part's:

    {"sleep": 3.1, "sense+SHT31": 0.2}
    -> {"sleep": 3.09, "SHT31 asleep": 0.01, "sense": 0.13, "SHT31 measuring": 0.07}
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from firmware_sim.phases import UNPOWERED, Phase
from firmware_sim.power.ledger import LedgerLine
from firmware_sim.power.units import UC_PER_MAH
from sensors.catalogue import Part

MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class SenseStep:
    """A span of one measurement in which nothing is switched. `parts_ma`: what parts draw on top of asleep."""

    account: str
    duration_ms: float
    board_awake: bool
    parts_ma: float


@dataclass(frozen=True, slots=True)
class SensorLoads:
    """The parts of one device. `asleep_ma`: by part; `extra_ma`, `measure_ms`: by part, while it measures."""

    asleep_ma: Mapping[str, float] = field(default_factory=dict)
    extra_ma: Mapping[str, float] = field(default_factory=dict)
    measure_ms: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, quantities: Iterable[tuple[Part, str]]) -> "SensorLoads":
        """Work it out from what is measured. A part that measures one quantity twice is there twice."""
        given = list(quantities)
        times = Counter((part.key, quantity) for part, quantity in given)
        parts = {part.key: part for part, _ in given}
        count = {key: max(n for (name, _), n in times.items() if name == key) for key in parts}
        return cls(
            {key: count[key] * part.supply.asleep_ma for key, part in parts.items()},
            {
                key: count[key] * max(0.0, part.supply.measuring_ma - part.supply.asleep_ma)
                for key, part in parts.items()
            },
            {key: part.measurement_s * MS_PER_S for key, part in parts.items()},
        )

    @property
    def all_asleep_ma(self) -> float:
        """What all parts together draw all the time."""
        return math.fsum(self.asleep_ma.values())

    def sense_ms(self, board_ms: int) -> int:
        """How long one measurement lasts; the board itself is awake for `board_ms` of it."""
        return max(board_ms, math.ceil(max(self.measure_ms.values(), default=0.0)))

    def steps(self, board_ms: int) -> tuple[SenseStep, ...]:
        """One measurement; the durations sum to `sense_ms`."""
        total_ms = self.sense_ms(board_ms)
        steps, start_ms = [], 0.0
        for end_ms in sorted({float(board_ms), float(total_ms), *self.measure_ms.values()} - {0.0}):
            busy = sorted(key for key, ms in self.measure_ms.items() if ms >= end_ms and self.extra_ma[key] > 0)
            parts_ma = math.fsum(self.extra_ma[key] for key in busy)
            account = "+".join([Phase.SENSE.value, *busy])
            steps.append(SenseStep(account, end_ms - start_ms, end_ms <= board_ms, parts_ma))
            start_ms = end_ms
        return tuple(steps)

    def split(self, account: str, charge: float, duration_ms: float, *, per_ma_ms: float = 1.0) -> dict[str, float]:
        """Say whose an account's charge is; what comes back sums to it. `per_ma_ms`: of its unit, in one mA ms."""
        if account in UNPOWERED:  # no supply for the parts either
            return {account: charge}
        state, *measuring = account.split("+")
        span = duration_ms * per_ma_ms
        shares = {f"{key} asleep": ma * span for key, ma in self.asleep_ma.items() if ma}
        shares |= {f"{key} measuring": self.extra_ma.get(key, 0.0) * span for key in measuring}
        return {state: charge - math.fsum(shares.values()), **shares}

    def lines(self, accounts: Mapping[str, LedgerLine]) -> dict[str, LedgerLine]:
        """Return a ledger's totals by state of the board and by part; charge and energy sum to what they summed to.

        Energy is shared in proportion to charge: within an account the current hardly changes.
        """
        sums: dict[str, tuple[float, float, float]] = {}
        for account, line in accounts.items():
            for name, mah in self.split(account, line.charge_mah, line.duration_ms, per_ma_ms=1 / UC_PER_MAH).items():
                share = mah / line.charge_mah if line.charge_mah else 0.0
                charge, energy, ms = sums.get(name, (0.0, 0.0, 0.0))
                sums[name] = charge + mah, energy + share * line.energy_j, ms + line.duration_ms
        return {name: LedgerLine(*total) for name, total in sums.items()}


NO_SENSORS = SensorLoads()
