"""Which target owns a name: rendezvous hashing, the same function that the cluster computes.

Each target has a digest; the one with the highest `mix(digest ^ digest of the name)` owns the name. Where targets have
different weights: the mixed bits as a number u in (0, 1], and the one with the lowest `-ln(u) / weight`.
"""

import math
from collections.abc import Sequence

import xxhash

_SEED = 1103515245
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MUL_1 = 0xBF58476D1CE4E5B9
_MUL_2 = 0x94D049BB133111EB


def digest(name: str) -> int:
    """64 bits of a node's ID or of an object's full name (`ais/@#/bucket/object`)."""
    return xxhash.xxh64_intdigest(name.encode(), _SEED)


def mix(seed: int) -> int:
    """The first output of a xoshiro256** generator seeded by splitmix64."""
    first = _splitmix((seed + _GOLDEN) & _MASK)
    second = _splitmix_finish(first) * 5 & _MASK
    return (second << 7 | second >> 57) * 9 & _MASK


def _splitmix(state: int) -> int:
    z = ((state ^ state >> 30) * _MUL_1) & _MASK
    z = ((z ^ z >> 27) * _MUL_2) & _MASK
    return ((z ^ z >> 31) + _GOLDEN) & _MASK


def _splitmix_finish(state: int) -> int:
    z = ((state ^ state >> 30) * _MUL_1) & _MASK
    z = ((z ^ z >> 27) * _MUL_2) & _MASK
    return z ^ z >> 31


def owner(digests: Sequence[int], name: str, weights: Sequence[int] = ()) -> int:
    """Index of the target that owns `name`; `weights` of the targets, none where they are equal.

    Of equal bits, which does not happen, the later one wins.
    """
    key = digest(name)
    if weights:
        return min(range(len(digests)), key=lambda index: (_cost(digests[index] ^ key, weights[index]), -index))
    chosen = highest = -1
    for index, candidate in enumerate(digests):
        if (weight := mix(candidate ^ key)) >= highest:
            chosen, highest = index, weight
    return chosen


def _cost(seed: int, weight: int) -> float:
    return -math.log(((mix(seed) >> 11) + 1) * 2.0**-53) / weight
