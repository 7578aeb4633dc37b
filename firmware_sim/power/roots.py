"""Where a continuous function crosses zero, to the last bit that matters; deterministic, no third-party solver."""

from collections.abc import Callable

HALVINGS_MAX = 200  # a double has 53 bits of mantissa and the exponent of a span shrinks by one a halving


def falling_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the point in [low, high] where `function` falls from positive (at low) to zero or below (at high).

    Bisection until the bracket is two neighbouring floats; returns the upper one, so `function(root) <= 0`.
    """
    for _ in range(HALVINGS_MAX):
        middle = low + (high - low) / 2
        if not low < middle < high:
            break
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return high
