"""Random signals that can be asked about any instant: Ornstein-Uhlenbeck noise and the random walk.

Both are Gaussian processes, so the value in the middle of two known ones has a known normal distribution (a bridge).
A value is found by halving: start from two far nodes, draw the middle, keep the half that holds the instant, and so on
down to the grain. Every node has its own number in the seed's stream, so the answer depends on nothing but seed and
time, and the nodes have exactly the published joint distribution. Between two neighbouring nodes it is linear.

A signal is asked about one instant after the other, and the wide halves of two such instants are the same: they are
remembered from one answer to the next (`_Halves`). That makes answers faster and never different.
"""

import math
from dataclasses import dataclass, field

from sensors.seeds import normal
from sensors.signals import MS_PER_S, SignalError, require_not_negative, require_positive

_ROOT_SPACING_TAUS = 16  # nodes this far apart are taken as independent: their true correlation is exp(-16), 1e-7
_WALK_KEPT = 6  # halves of a walk: 1 KB a signal; the widest, and so many narrow ones that others are seldom asked for
_HALVINGS = 11  # 16 to 32 taus over 2**11: nodes at most tau/64 apart, where linear loses under 1 % of the variance


class _Halves:
    """The halves, widest first, that held the last instant, as (left, right, value left, value right).

    Those narrower than the last step are not kept: the next instant will hardly fall into them.
    """

    __slots__ = ("last", "spans")

    def __init__(self) -> None:
        self.spans: list[tuple[int, int, float, float]] = []
        self.last = 0

    def around(self, at: int) -> int:
        """Forget those that do not hold `at`; return the width from which on keeping pays."""
        spans = self.spans
        while spans and not spans[-1][0] <= at < spans[-1][1]:
            spans.pop()
        step, self.last = abs(at - self.last), at
        return step


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
    _halves: _Halves = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_not_negative(self, sigma=self.sigma)
        require_positive(self, tau_s=self.tau_s)
        tau_ms = self.tau_s * MS_PER_S
        # A power of two halves down to the millisecond without a remainder.
        root_ms = 1 << (math.ceil(_ROOT_SPACING_TAUS * tau_ms) - 1).bit_length()
        object.__setattr__(self, "_root_ms", root_ms)
        halvings = min(_HALVINGS, root_ms.bit_length() - 1)
        object.__setattr__(self, "_bridges", tuple(_bridge((root_ms >> n) / tau_ms) for n in range(1, halvings + 1)))
        object.__setattr__(self, "_halves", _Halves())

    @property
    def grain_ms(self) -> int:
        """The distance of the finest nodes: there the distribution is exact, between them the value is linear."""
        return self._root_ms >> len(self._bridges)

    def value(self, at_ms: int) -> float:
        """Return the noise at `at_ms`."""
        seed, keep_ms, spans = self.seed, self._halves.around(at_ms), self._halves.spans
        if not spans:
            left_ms = at_ms // self._root_ms * self._root_ms
            right_ms = left_ms + self._root_ms
            spans.append((left_ms, right_ms, normal(seed, left_ms), normal(seed, right_ms)))
        left_ms, right_ms, left, right = spans[-1]
        width = right_ms - left_ms
        for pull, spread in self._bridges[len(spans) - 1 :]:
            width >>= 1
            middle_ms = left_ms + width
            middle = pull * (left + right) + spread * normal(seed, middle_ms)
            if at_ms < middle_ms:
                right = middle
            else:
                left, left_ms = middle, middle_ms
            if width >= keep_ms:
                spans.append((left_ms, left_ms + width, left, right))
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
    _halves: _Halves = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_not_negative(self, step_per_sqrt_s=self.step_per_sqrt_s)
        require_positive(self, grain_s=self.grain_s)
        if math.isfinite(self.low) != math.isfinite(self.high) or not self.low < self.high:
            raise SignalError("RandomWalk", "high", "both bounds or none, low below high", (self.low, self.high))
        if not self.low <= self.start <= self.high:
            raise SignalError("RandomWalk", "start", f"a number from {self.low} to {self.high}", self.start)
        object.__setattr__(self, "_halves", _Halves())

    def value(self, at_ms: int) -> float:
        """Return where the walk is at `at_ms`."""
        grains = max(at_ms - self.start_ms, 0) / (self.grain_s * MS_PER_S)
        moved = self.step_per_sqrt_s * math.sqrt(self.grain_s) * self._unit_walk(grains)
        return self._reflected(self.start + moved)

    def _unit_walk(self, grains: float) -> float:
        """Return standard Brownian motion after `grains` units of time."""
        node, seed = int(grains), self.seed
        keep, spans = self._halves.around(node), self._halves.spans
        if not spans:
            spans.append(self._outer_span(node))
        left_node, right_node, left, right = spans[-1]
        half = right_node - left_node
        while half > 1:  # halve inwards
            half >>= 1
            middle_node = left_node + half
            middle = (left + right) / 2 + math.sqrt(half / 2) * normal(seed, middle_node)
            if node < middle_node:
                right_node, right = middle_node, middle
            else:
                left_node, left = middle_node, middle
            if half >= keep:
                spans.append((left_node, right_node, left, right))
                if len(spans) > _WALK_KEPT:
                    del spans[1]
        return left + (right - left) * (grains - left_node)

    def _outer_span(self, node: int) -> tuple[int, int, float, float]:
        """Double outwards until the node is inside; every span's width is a power of two."""
        left_node, left = 0, 0.0
        right_node, right = 1, normal(self.seed, 1)
        while right_node <= node:
            left_node, left = right_node, right
            right_node, right = 2 * right_node, right + math.sqrt(right_node) * normal(self.seed, 2 * right_node)
        return left_node, right_node, left, right

    def _reflected(self, free: float) -> float:
        """Return the free walk folded into the bounds: the law of Brownian motion reflected at both."""
        if not math.isfinite(self.low):
            return free
        span = self.high - self.low
        folded = (free - self.low) % (2 * span)
        return self.low + min(folded, 2 * span - folded)
