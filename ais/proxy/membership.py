"""What an administrator does about the set of nodes (wire contract §12.7): maintenance, decommission, removal."""

import msgspec

from ais.api import actions
from ais.api.messages import ActMsg
from ais.base.errors import BadRequest, NodeNotFound, Unsupported
from ais.meta.smap import Flag
from ais.node.node import Node
from ais.proxy.rebalance import Rebalancer

ACTIONS = (
    actions.START_MAINTENANCE,
    actions.STOP_MAINTENANCE,
    actions.DECOMMISSION_NODE,
    actions.SHUTDOWN_NODE,
    actions.REMOVE_NODE_UNSAFE,
)


class NodesMsg(msgspec.Struct, frozen=True):
    """The value of these actions: one node or several. `skip_rebalance`: what they hold stays with them."""

    sid: str = ""
    sids: list[str] | None = None
    skip_rebalance: bool = False
    rm_user_data: bool = False
    keep_initial_config: bool = False
    no_shutdown: bool = False

    @property
    def ids(self) -> frozenset[str]:
        """The nodes named."""
        return frozenset(one for one in (self.sid, *(self.sids or ())) if one)


async def change(node: Node, rebalancer: Rebalancer, message: ActMsg) -> str:
    """Do it; the ID of the rebalance that it started, if any. On the primary.

    Raise `BadRequest`, `NodeNotFound`, or `NotReady` while that cannot be moved.
    """
    asked = message.value_as(NodesMsg)
    _check(node, message.action, asked.ids)
    if asked.rm_user_data and asked.skip_rebalance:
        raise Unsupported("cannot remove the data of a node and not move it first: that would lose it")
    if asked.skip_rebalance and message.action == actions.START_MAINTENANCE and asked.ids & node.smap.tmap.keys():
        raise Unsupported(
            "cannot put a target into maintenance without moving its objects: they could not be reached; to stop it for"
            " a while, and have its names answer 503 meanwhile, shut it down with skip_rebalance, or stop its process"
        )
    match message.action:
        case actions.STOP_MAINTENANCE:
            return await rebalancer.clear_flags(asked.ids)
        case actions.REMOVE_NODE_UNSAFE:
            await node.remove_nodes(asked.ids)
            return ""
        case actions.DECOMMISSION_NODE if asked.skip_rebalance:
            await node.remove_nodes(asked.ids)
            return ""
        case actions.DECOMMISSION_NODE:
            return await rebalancer.set_flags(asked.ids, Flag.DECOMMISSION, stop=not asked.no_shutdown)
        case actions.SHUTDOWN_NODE if asked.skip_rebalance:
            await rebalancer.stop_nodes(asked.ids)
            return ""
        case actions.SHUTDOWN_NODE:
            return await rebalancer.set_flags(asked.ids, Flag.MAINTENANCE, stop=True)
    return await rebalancer.set_flags(asked.ids, Flag.MAINTENANCE)


def _check(node: Node, action: str, node_ids: frozenset[str]) -> None:
    if not node_ids:
        raise BadRequest("invalid membership-change operation: missing node IDs")
    for node_id in node_ids:
        if node.smap.get(node_id) is None:
            raise NodeNotFound(node_id)
    if node.snode.id in node_ids and action != actions.STOP_MAINTENANCE:
        raise BadRequest(f'{node.snode.name} is the current primary, cannot perform action "{action}" on itself')
    smap = node.smap
    left = [one for one in node.placement.targets if one.id not in node_ids]
    if not left and node_ids & smap.tmap.keys() and action != actions.STOP_MAINTENANCE and len(node.bmd):
        raise BadRequest(f'cannot perform action "{action}": no target would be left for the data')
