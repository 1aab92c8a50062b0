"""What a change of the cluster map means for data: pure functions of maps.

A map that gives names to other targets says so until everything is where it belongs (`Smap.moving`): by which sets of
targets, of which weights, names were owned before, the latest first. Whoever does not find a name asks its earlier
owners, one by each of these sets, so at most `SETS_MAX` questions at any size of the cluster. A later change supersedes
an earlier one: it gets an ID of its own and adds a set.
"""

import itertools
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from ais.base.errors import NotReady
from ais.meta.placement import Candidates, unequal
from ais.meta.smap import UNAVAILABLE, Flag, Moving, Smap, Snode, digest

SETS_MAX = 8


class Owners(NamedTuple):
    """A set of targets among which names are divided: their IDs in order, and their weights unless these are equal."""

    ids: tuple[str, ...]
    weights: tuple[int, ...] = ()


def owners(smap: Smap) -> Owners:
    """The targets that own names."""
    found = sorted((one for one in smap.tmap.values() if not one.flags & UNAVAILABLE), key=lambda one: one.id)
    return Owners(tuple(target.id for target in found), unequal(found))


def earlier(smap: Smap) -> list[Owners]:
    """Who owned names before, as long as they move, the latest first."""
    if not smap.moving:
        return []
    before, weights = smap.moving.before, smap.moving.weights or ()
    return [Owners(*one) for one in itertools.zip_longest(before, weights[: len(before)], fillvalue=())]


def follow(old: Smap, new: Smap, *, has_data: bool) -> Smap:
    """The map `new`, which follows `old`, with what has to move. Raise `NotReady` while too much is on the move."""
    before, after = owners(old), owners(new)
    if before == after:
        return new
    if not before.ids or not has_data:
        return msgspec.structs.replace(new, moving=msgspec.UNSET)
    sets = dict.fromkeys((before, *earlier(old)))
    sets.pop(after, None)
    if len(sets) > SETS_MAX:
        raise NotReady("too many targets came or went while objects still move: wait for the rebalance to end")
    return msgspec.structs.replace(new, moving=_moving(new, sets))


def again(smap: Smap) -> Smap:
    """The next version, in which every target looks again for what does not belong to it."""
    changed = smap.changed()
    return msgspec.structs.replace(changed, moving=_moving(changed, earlier(smap)))


def lacking(smap: Smap, target_id: str) -> Smap:
    """The next version, in which a target has given up a mountpath that may return."""
    changed = smap.changed()
    return msgspec.structs.replace(changed, lacking=tuple(dict.fromkeys((*(changed.lacking or ()), target_id))))


def whole(smap: Smap, target_id: str) -> Smap:
    """The next version, in which none of a target's mountpaths may return any more; the same one when that is so."""
    if target_id not in (smap.lacking or ()):
        return smap
    left = tuple(one for one in smap.lacking or () if one != target_id)
    return msgspec.structs.replace(smap.changed(), lacking=left or msgspec.UNSET)


def back(smap: Smap, target_id: str) -> Smap:
    """The next version, in which any name may be with a target: a mountpath returns to it.

    Raise `NotReady` while too much is on the move.
    """
    changed = smap.changed()
    sets = dict.fromkeys((Owners((target_id,)), *earlier(smap)))
    sets.pop(owners(smap), None)
    if len(sets) > SETS_MAX:
        raise NotReady("objects still move: wait for the rebalance to end")
    return msgspec.structs.replace(changed, moving=_moving(changed, sets)) if sets else changed


def finish(smap: Smap, moving_id: str) -> Smap:
    """The next version when the move with this ID is over; the same one when another is under way."""
    if not smap.moving or smap.moving.id != moving_id:
        return smap
    gone = frozenset(target.id for target in smap.tmap.values() if target.flags & Flag.DECOMMISSION)
    changed = smap.changed(remove=gone)
    drained = {
        target.id: msgspec.structs.replace(target, flags=int(target.flags | Flag.MAINTENANCE_POST_REBALANCE))
        for target in changed.tmap.values()
        if target.flags & Flag.MAINTENANCE
    }
    return msgspec.structs.replace(changed, tmap=changed.tmap | drained, moving=msgspec.UNSET)


def ended(smap: Smap) -> frozenset[str]:
    """The decommissioned nodes of which nothing is needed any more: they may leave the map."""
    return frozenset(
        node.id for node in smap.nodes.values() if node.flags & Flag.DECOMMISSION and (node.is_proxy or not smap.moving)
    )


def drained(smap: Smap) -> list[Snode]:
    """The nodes in maintenance that may be told their farewell now."""
    return [
        node
        for node in smap.present.values()
        if node.farewell
        and not node.flags & Flag.DECOMMISSION
        and (node.is_proxy or not smap.moving or node.flags & Flag.MAINTENANCE_POST_REBALANCE)
    ]


def _moving(smap: Smap, sets: Collection[Owners]) -> Moving:
    """What the map of this version says of names that these sets owned before."""
    before, weights = tuple(one.ids for one in sets), tuple(one.weights for one in sets)
    return Moving(f"g{int(smap.version)}", before, weights if any(weights) else msgspec.UNSET)


class Earlier:
    """Who owned names before, as long as they move."""

    def __init__(self, smap: Smap) -> None:
        self._sets = [
            (one.ids, Candidates([digest(node_id) for node_id in one.ids], one.weights))
            for one in earlier(smap)
            if one.ids
        ]

    def owners(self, key: int) -> list[str]:
        """IDs of the targets that may still have the names with this digest, the latest owner first."""
        return list(dict.fromkeys(ids[candidates.best(key)] for ids, candidates in self._sets))
