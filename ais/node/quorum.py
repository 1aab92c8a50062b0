"""Which groups of nodes may decide: the quorums that elections and metadata changes need. Pure.

A group is a quorum of a cluster map when it holds a majority of its nodes, or all of its proxies that may be primary.
Two quorums that decide always share a node: two majorities do; all electable proxies include every candidate, and a
candidate votes for itself; a primary acknowledges its own changes. The second form lets a cluster with one proxy, or
with many dead targets, go on: as long as every possible rival takes part, there is no rival.

While a change of the cluster map is not known to be decided, both the old and the new map must agree (joint consensus,
as in the Raft paper, section 6). Therefore a map travels and rests on disk together with the maps before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ais.meta.smap import Smap


@dataclass(frozen=True, slots=True)
class Electorate:
    """The nodes of one version of the cluster map, as far as voting is concerned."""

    nodes: frozenset[str]
    rivals: frozenset[str]
    """Proxies that may be primary."""

    @classmethod
    def of(cls, smap: Smap) -> "Electorate":
        """The electorate of a map: without targets that are away, or a few of them would stop every change.

        Its primary counts as a possible primary whatever its flags say.
        """
        rivals = {proxy.id for proxy in smap.electable} | ({smap.primary_id} if smap.primary else set())
        return cls(frozenset(smap.present), frozenset(rivals))

    def has_quorum(self, agreed: frozenset[str]) -> bool:
        """Whether the nodes that agreed may decide."""
        if not self.nodes:
            return True
        if self.rivals and self.rivals <= agreed:
            return True
        return 2 * len(self.nodes & agreed) > len(self.nodes)


def have_quorum(electorates: Iterable[Electorate], agreed: frozenset[str]) -> bool:
    """Whether the nodes that agreed may decide in every one of the electorates."""
    return all(one.has_quorum(agreed) for one in electorates)
