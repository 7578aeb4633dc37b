"""Random signals that can be asked about any instant: Ornstein-Uhlenbeck noise and the random walk.

Both are Gaussian processes, so the value in the middle of two known ones has a known normal distribution (a bridge).
A value is found by halving: start from two far nodes, draw the middle, keep the half that holds the instant, and so on
down to the grain. Every node has its own number in the seed's stream, so the answer depends on nothing but seed and
time, and the nodes have exactly the published joint distribution. Between two neighbouring nodes it is linear.
"""

import math
from dataclasses import dataclass, field

from sensors.seeds import normal
from sensors.signals import MS_PER_S, SignalError, require_not_negative, require_positive

_ROOT_SPACING_TAUS = 16  # nodes this far apart are taken as independent: their true correlation is exp(-16), 1e-7
_HALVINGS = 11  # 16 to 32 taus over 2**11: nodes at most tau/64 apart, where linear loses under 1 % of the variance


@dataclass(frozen=True, slots=True)
class OrnsteinUhlenbeck:
    """Noise that forgets: normal, with standard deviation `sigma` about `mean` and autocorrelation exp(-|lag|/tau).

    Source: Uhlenbeck and Ornstein, "On the theory of the Brownian motion", Physical Review 36 (1930); Gillespie,
    "Exact numerical simulation of the Ornstein-Uhlenbeck process and its integral", Physical Review E 54 (1996). With
    r = exp(-d/tau), the middle of two values that are 2d apart has the mean r/(1+r^2) (left + right) and the variance
    sigma^2 (1-r^2)/(1+r^2), both measured from the process's mean.
    """

    seed: int
    sigma: float
    tau_s: float
    mean: float = 0.0
    _root_ms: int = field(init=False, repr=False)
    _bridges: tuple[tuple[float, float], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_not_negative(self, sigma=self.sigma)
        require_positive(self, tau_s=self.tau_s)
        tau_ms = self.tau_s * MS_PER_S
        # A power of two halves down to the millisecond without a remainder.
        root_ms = 1 << (math.ceil(_ROOT_SPACING_TAUS * tau_ms) - 1).bit_length()
        object.__setattr__(self, "_root_ms", root_ms)
        halvings = min(_HALVINGS, root_ms.bit_length() - 1)
        object.__setattr__(self, "_bridges", tuple(_bridge((root_ms >> n) / tau_ms) for n in range(1, halvings + 1)))

    @property
    def grain_ms(self) -> int:
        """The distance of the finest nodes: there the distribution is exact, between them the value is linear."""
        return self._root_ms >> len(self._bridges)

    def value(self, at_ms: int) -> float:
        """Return the noise at `at_ms`."""
        width = self._root_ms
        left_ms = at_ms // width * width
        left, right = normal(self.seed, left_ms), normal(self.seed, left_ms + width)
        for pull, spread in self._bridges:
            width >>= 1
            middle = pull * (left + right) + spread * normal(self.seed, left_ms + width)
            if at_ms < left_ms + width:
                right = middle
            else:
                left, left_ms = middle, left_ms + width
        return self.mean + self.sigma * (left + (right - left) * ((at_ms - left_ms) / width))


def _bridge(taus: float) -> tuple[float, float]:
    """Return weight and spread of the middle of two unit values that lie `taus` to its left and right."""
    r = math.exp(-taus)
    return r / (1 + r * r), math.sqrt((1 - r * r) / (1 + r * r))


@dataclass(frozen=True, slots=True)
class RandomWalk:
    """Brownian motion from `start` at `start_ms`: after t seconds its variance is step_per_sqrt_s^2 t.

    With `low` and `high` it is reflected at both (a tank that is drawn from and filled). Before `start_ms` it stands at
    `start`. Nodes are `grain_s` apart. Source: Levy's construction (Moerters and Peres, "Brownian Motion", 2010).
    """

    seed: int
    start: float
    step_per_sqrt_s: float
    start_ms: int = 0
    low: float = -math.inf
    high: float = math.inf
    grain_s: float = 1.0

    def __post_init__(self) -> None:
        require_not_negative(self, step_per_sqrt_s=self.step_per_sqrt_s)
        require_positive(self, grain_s=self.grain_s)
        if math.isfinite(self.low) != math.isfinite(self.high) or not self.low < self.high:
            raise SignalError("RandomWalk", "high", "both bounds or none, low below high", (self.low, self.high))
        if not self.low <= self.start <= self.high:
            raise SignalError("RandomWalk", "start", f"a number from {self.low} to {self.high}", self.start)

    def value(self, at_ms: int) -> float:
        """Return where the walk is at `at_ms`."""
        grains = max(at_ms - self.start_ms, 0) / (self.grain_s * MS_PER_S)
        moved = self.step_per_sqrt_s * math.sqrt(self.grain_s) * self._unit_walk(grains)
        return self._reflected(self.start + moved)

    def _unit_walk(self, grains: float) -> float:
        """Return standard Brownian motion after `grains` units of time."""
        node = int(grains)
        left_node, left = 0, 0.0
        right_node, right = 1, normal(self.seed, 1)
        while right_node <= node:  # double outwards until the instant is inside
            left_node, left = right_node, right
            right_node, right = 2 * right_node, right + math.sqrt(right_node) * normal(self.seed, 2 * right_node)
        while right_node - left_node > 1:  # and halve inwards
            half = (right_node - left_node) // 2
            middle = (left + right) / 2 + math.sqrt(half / 2) * normal(self.seed, left_node + half)
            if node < left_node + half:
                right_node, right = left_node + half, middle
            else:
                left_node, left = left_node + half, middle
        return left + (right - left) * (grains - left_node)

    def _reflected(self, free: float) -> float:
        """Return the free walk folded into the bounds: the law of Brownian motion reflected at both."""
        if not math.isfinite(self.low):
            return free
        span = self.high - self.low
        folded = (free - self.low) % (2 * span)
        return self.low + min(folded, 2 * span - folded)
