"""Randomness that is the same on every machine and can be asked for at any place.

`derive_seed` turns a seed and names into a new seed, so that each device, quantity and fault has its own stream and
adding one of them leaves the others as they were. It uses BLAKE2b and never `hash()`, which differs from run to run.

`uniform` and `normal` are counter-based: the number with an index is a pure function of (seed, index). A signal built
on them can be asked about any instant, in any order, and keeps no state.
"""

from hashlib import blake2b

# What `NormalDist.inv_cdf` is without its checks, which nothing here can fail; they took two thirds of its time.
from statistics import _normal_dist_inv_cdf as _inv_cdf  # type: ignore[attr-defined]

_SEED_BYTES = 8  # SplitMix64 takes 64 bits
_MASK = (1 << 64) - 1
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: SplitMix64's step
_UNIFORM_BITS = 52  # one less than a float holds: half a step more is still exact, and never 0 or 1
_UNIFORM_SHIFT = 64 - _UNIFORM_BITS
_UNIFORM_STEP = 2.0**-_UNIFORM_BITS


def derive_seed(seed: int, *names: str) -> int:
    """Return the 64-bit seed that belongs to `names` under `seed`.

    Each name is hashed with its length before it, so that ("ab", "c") and ("a", "bc") are different.
    """
    digest = blake2b(str(seed).encode(), digest_size=_SEED_BYTES)
    for name in names:
        encoded = name.encode()
        digest.update(b"|%d:" % len(encoded))
        digest.update(encoded)
    return int.from_bytes(digest.digest(), "big")


def splitmix64(seed: int, index: int) -> int:
    """Return number `index` (from 0) of the SplitMix64 stream that starts at `seed`, as 64 bits.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    z = (seed + (index + 1) * _GOLDEN_GAMMA) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def uniform(seed: int, index: int) -> float:
    """Return number `index` of the stream `seed`, evenly spread over the open interval from 0 to 1."""
    return ((splitmix64(seed, index) >> _UNIFORM_SHIFT) + 0.5) * _UNIFORM_STEP


def normal(seed: int, index: int) -> float:
    """Return number `index` of the stream `seed`, normally distributed with mean 0 and standard deviation 1."""
    z = (seed + (index + 1) * _GOLDEN_GAMMA) & _MASK  # `uniform`, written out: signals ask this dozens of times a value
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return _inv_cdf((((z ^ (z >> 31)) >> _UNIFORM_SHIFT) + 0.5) * _UNIFORM_STEP, 0.0, 1.0)  # type: ignore[no-any-return]
