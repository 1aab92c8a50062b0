"""Which node or mountpath owns a name: rendezvous hashing exactly as the contract has it (wire contract §4).

Every candidate has a digest; the candidate with the highest `mix(digest ^ digest(name))` owns the name. Clients compute
the same in direct mode, so nothing here may change.

Targets of different weights: the same mixed bits, read as a number u in (0, 1], and the lowest `-ln(u) / weight` owns
the name. So a target owns names in proportion to its weight, and another weight of one target moves only names that
come to it or leave it (docs/adr/0016-weights.md). Where all weights are equal the order is that of the bits alone.
"""

import math
from collections.abc import Sequence

from ais.base.errors import NotReady
from ais.meta.smap import UNAVAILABLE, Smap, Snode, digest

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MUL_1 = 0xBF58476D1CE4E5B9
_MUL_2 = 0x94D049BB133111EB

OWNERS_CACHED_MAX = 16384
"""Remembered owners per Smap version: about 3 MB; 0.05 us instead of the 3 us that three targets cost."""


def mix(seed: int) -> int:
    """Mix 64 bits: two rounds of splitmix64 as the state of one xoshiro256** output."""
    z = (seed + _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * _MUL_1) & _MASK
    z = ((z ^ (z >> 27)) * _MUL_2) & _MASK
    z = ((z ^ (z >> 31)) + _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * _MUL_1) & _MASK
    z = ((z ^ (z >> 27)) * _MUL_2) & _MASK
    z = ((z ^ (z >> 31)) * 5) & _MASK
    return (((z << 7) | (z >> 57)) & _MASK) * 9 & _MASK


def best(digests: Sequence[int], name: str | bytes) -> int:
    """Index of the candidate that owns `name`. `digests` must not be empty; of equal weights the later one wins."""
    return best_at(digests, digest(name))


def best_at(digests: Sequence[int], key: int, weights: Sequence[int] = ()) -> int:
    """As `best`, for a name with the digest `key`; `weights` of the candidates, none: they are equal."""
    if weights:
        return min(range(len(digests)), key=lambda index: (_cost(digests[index] ^ key, weights[index]), -index))
    chosen = weight_max = -1
    for index, candidate in enumerate(digests):
        if (weight := mix(candidate ^ key)) >= weight_max:
            chosen, weight_max = index, weight
    return chosen


def ranking(digests: Sequence[int], name: str | bytes, weights: Sequence[int] = ()) -> list[int]:
    """Indices of all candidates, the owner of `name` first; `weights` as of `best_at`."""
    key = digest(name)
    if weights:
        return sorted(range(len(digests)), key=lambda index: (_cost(digests[index] ^ key, weights[index]), -index))
    return sorted(range(len(digests)), key=lambda index: (mix(digests[index] ^ key), index), reverse=True)


def unequal(targets: Sequence[Snode]) -> tuple[int, ...]:
    """The weights of targets as `best_at` takes them: none when they are equal."""
    weights = tuple(target.share for target in targets)
    return weights if len(set(weights)) > 1 else ()


def _cost(seed: int, weight: int) -> float:
    return -math.log(((mix(seed) >> 11) + 1) * 2.0**-53) / weight


def next_primaries(smap: Smap, skip: str = "") -> list[Snode]:
    """Proxies that may be primary, the first choice first, without the node `skip`."""
    able = (proxy for proxy in smap.pmap.values() if proxy.is_electable and proxy.id != skip)
    return sorted(able, key=lambda proxy: (proxy.id_digest, proxy.id), reverse=True)


def why_away(target: Snode) -> str:
    """What to say, and to do, about names that an absent target owns."""
    return (
        f"{target.name} is away and holds what is asked for: start it ({target.public.url}) and try again; if it is"
        f" gone for good, give it up with `ais cluster add-remove-nodes decommission {target.id}`"
    )


class Placement:
    """Owners of names among the targets of one Smap version. Make a new one for each version."""

    __slots__ = ("_digests", "_owners", "_weights", "targets")

    def __init__(self, smap: Smap) -> None:
        self.targets: tuple[Snode, ...] = tuple(t for t in smap.tmap.values() if not t.flags & UNAVAILABLE)
        self._digests = [target.id_digest for target in self.targets]
        self._weights = unequal(self.targets)
        self._owners: dict[str, Snode] = {}

    def owner(self, uname: str) -> Snode:
        """The target that owns `uname` (`ais/@#/bucket/object`).

        Raise `NotReady` when there is no target, or when the owner is away: nobody else may take its names.
        """
        if (known := self._owners.get(uname)) is not None:
            return known
        owner = self.owner_at(digest(uname))
        if owner.is_away:
            raise NotReady(why_away(owner))
        if len(self._owners) >= OWNERS_CACHED_MAX:
            self._owners.clear()
        self._owners[uname] = owner
        return owner

    def is_owner(self, node_id: str, key: int) -> bool:
        """Whether a target owns the names with this digest."""
        return bool(self.targets) and self.owner_at(key).id == node_id

    def reader(self, uname: str, *, is_coded: bool) -> Snode:
        """The target to read from: the owner, or who stands in for it while it is away, if objects have slices.

        Raise `NotReady` as `owner`.
        """
        try:
            return self.owner(uname)
        except NotReady:
            if not is_coded or not self.targets:
                raise
        found = next((target for target in self.order(uname) if not target.is_away), None)
        return found or self.owner(uname)

    def owner_at(self, key: int) -> Snode:
        """The target that owns the names with this digest, also when it is away. Raise `NotReady` without targets."""
        self._require(1)
        return self.targets[best_at(self._digests, key, self._weights)]

    def order(self, uname: str) -> list[Snode]:
        """All targets, away or not, the owner of `uname` first."""
        return [self.targets[index] for index in ranking(self._digests, uname, self._weights)]

    @property
    def is_weighted(self) -> bool:
        """Whether clients that compute owners by themselves, without weights, go wrong."""
        return bool(self._weights)

    def ranked(self, uname: str, count: int) -> list[Snode]:
        """The first `count` targets for `uname`, its owner first. Raise `NotReady` when there are fewer."""
        self._require(count)
        return self.order(uname)[:count]

    def _require(self, count: int) -> None:
        if len(self.targets) < count:
            raise NotReady(
                f"the cluster has {len(self.targets)} targets and needs {count}: start more, or wait until they join"
            )
