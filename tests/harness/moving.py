"""Names that get other owners among the targets of one process (`harness.target`)."""

import msgspec

from ais.api.bucket import Bck
from ais.api.xact import ArgsMsg
from ais.meta.smap import Flag, Smap
from ais.reb import plan
from ais.xact.xaction import Xaction
from harness.target import BCK, LiveTarget


def owner_of(targets: list[LiveTarget], name: str, bck: Bck = BCK) -> LiveTarget:
    """Who owns a name by the present map."""
    owner = targets[0].node.placement.owner(bck.uname + name).id
    return next(one for one in targets if one.node.snode.id == owner)


def follow(targets: list[LiveTarget], *away: LiveTarget, late: tuple[LiveTarget, ...] = ()) -> Smap:
    """The next map, in which these targets own nothing; those that are `late` do not hear of it yet.

    Nothing is said of what moved by the map before.
    """
    before = targets[0].node.smap
    snodes = {one.node.snode.id: one.node.snode for one in targets}
    gone = {one.node.snode.id for one in away}
    tmap = {
        node_id: msgspec.structs.replace(snode, flags=int(Flag.MAINTENANCE) if node_id in gone else 0)
        for node_id, snode in snodes.items()
    }
    before = msgspec.structs.replace(before, moving=msgspec.UNSET)
    after = plan.follow(before, msgspec.structs.replace(before, tmap=tmap, version=before.version + 1), has_data=True)
    for one in targets:
        if one not in late:
            take(one, after)
    return after


def take(target: LiveTarget, smap: Smap) -> None:
    """What a node does with a new map."""
    target.node.smap = smap
    target.target.follow_map(smap)


async def rebalanced(targets: list[LiveTarget]) -> list[Xaction]:
    """Have every target give away what others own; the job of each."""
    jobs = []
    moving = targets[0].node.smap.moving
    assert moving
    for one in targets:
        job = one.target._scrub._rebalance.start(ArgsMsg(id=moving.id))
        await job.wait()
        assert not job.error, job.error
        jobs.append(job)
    return jobs
