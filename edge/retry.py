"""How long to wait before trying again: exponential back-off with full jitter.

wait = uniform(0, min(cap, base * 2^failures)): of the jittered schemes, the one that spreads many clients best
(M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), so that gateways that lost the same cloud
at once do not return at once.
"""

from random import Random

_DOUBLINGS_MAX = 32  # beyond this every sensible cap is reached; keeps 2^n small


class Backoff:
    """Counts failures and says how long to wait. Not thread-safe."""

    def __init__(self, rng: Random, *, base_ms: int = 1000, cap_ms: int = 60_000) -> None:
        self._rng = rng
        self._base_ms = base_ms
        self._cap_ms = cap_ms
        self.failures = 0

    def fail(self) -> int:
        """Note one more failure; how many milliseconds to wait."""
        ceiling_ms = min(self._cap_ms, self._base_ms << min(self.failures, _DOUBLINGS_MAX))
        self.failures += 1
        return self._rng.randint(0, ceiling_ms)

    def reset(self) -> None:
        """Note that it works again."""
        self.failures = 0
