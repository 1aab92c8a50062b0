"""Slices of a target that leaves: it may go when objects that are kept as slices alone have all of theirs elsewhere.

Other objects are whole at their owners. Owners make what is missing by themselves (`ec-encode`), of what this target
still has as well (`SlicePeers.sources_for`). What cannot be read any more, whatever anybody has, keeps nobody.
"""

import asyncio
from typing import NamedTuple

from ais.api.bucket import Bck
from ais.ec.peers import Brief, SlicePeers
from ais.ec.slice import Slice
from ais.ec.store import SliceStore


class _Elsewhere(NamedTuple):
    """What others keep of an object: targets that stay, and those that leave too."""

    staying: list[Brief]
    leaving: list[Brief]


class Parting:
    """Of one target."""

    def __init__(self, own: SliceStore, peers: SlicePeers) -> None:
        self._own = own
        self._peers = peers

    async def needed(self, bck: Bck, names: list[str]) -> list[str]:
        """Of these names those whose slices here are not made up for yet; their owners are told. Raise `AisError`."""
        mine = await asyncio.to_thread(lambda: [(name, self._own.head(bck, name)) for name in names])
        alone = {name: head for name, head in mine if head is not None and head.meta.cut and not head.is_tombstone}
        if not alone:
            return []
        found = await self._elsewhere(bck, list(alone))
        short = [name for name, head in alone.items() if not self._may_go(bck, name, head, found[name])]
        for name in short:
            await self._peers.recode(self._peers.owner(bck.uname + name), bck, [name])
        return short

    async def _elsewhere(self, bck: Bck, names: list[str]) -> dict[str, _Elsewhere]:
        """What others keep of each name. Raise `AisError` when one does not say."""
        found = {name: _Elsewhere([], []) for name in names}
        staying = {node.id for node in self._peers.present_for(bck.uname + names[0], has_owner=True)}
        nodes = [node for node in self._peers.sources_for(bck.uname + names[0]) if not self._peers.is_self(node)]
        answers = await asyncio.gather(*(self._peers.heads(node, bck, names) for node in nodes))
        for node, briefs in zip(nodes, answers, strict=True):
            for name, brief in zip(names, briefs, strict=True):
                if brief is not None:
                    (found[name].staying if node.id in staying else found[name].leaving).append(brief)
        return found

    def _may_go(self, bck: Bck, name: str, mine: Slice, found: _Elsewhere) -> bool:
        others = [*found.staying, *found.leaving]
        if any(one.written > mine.written or (one.is_tombstone and one.stamp >= mine.stamp) for one in others):
            return True  # it was replaced or deleted
        count = len(self._peers.present_for(bck.uname + name, has_owner=True))
        wanted = max(min(mine.data + mine.parity, count), mine.data)
        return len(_indices(found.staying, mine)) >= wanted or len(_indices(others, mine) | {mine.index}) < mine.data


def _indices(found: list[Brief], mine: Slice) -> set[int]:
    """The slices there are of the same write."""
    return {one.index for one in found if one.written == mine.written and not one.is_tombstone}
