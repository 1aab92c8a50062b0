"""What an administrator does about the set of nodes (wire contract §12.7): maintenance, decommission, removal."""

from collections.abc import Mapping

import msgspec

from ais.api import actions, codec, query
from ais.api.messages import ActMsg
from ais.base.errors import AisError, BadRequest, NodeNotFound, NotReady, Unsupported
from ais.meta.smap import WEIGHT_MAX, Flag, NetInfo, Smap, Snode
from ais.node.farewell import Farewell
from ais.node.node import DAEMON, Node
from ais.proxy.rebalance import STOP, Rebalancer, join_message

JOIN_LOOKS, JOIN_LOOK_S = 100, 0.1
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


class WeightsMsg(msgspec.Struct, frozen=True):
    """The value of `set-weights`: by ID of a target."""

    weights: dict[str, int] = {}


class Candidate(msgspec.Struct, frozen=True):
    """Of a `Snode` what it takes to find the node."""

    id: str = msgspec.field(default="", name="daemon_id")
    kind: str = msgspec.field(default="target", name="daemon_type")
    public: NetInfo = msgspec.field(default=NetInfo(), name="public_net")
    control: NetInfo = msgspec.field(default=NetInfo(), name="intra_control_net")

    @property
    def name(self) -> str:
        """As in messages."""
        return f"{self.kind[:1]}[{self.id}]"


async def change(node: Node, rebalancer: Rebalancer, message: ActMsg) -> str:
    """Do it; the ID of the rebalance that it started, if any. On the primary.

    Raise `BadRequest`, `NodeNotFound`, or `NotReady` while that cannot be moved.
    """
    asked = message.value_as(NodesMsg)
    _check(node, message.action, asked.ids)
    _check_data(node, message.action, asked)
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
            await rebalancer.dismiss(asked.ids, Farewell(no_shutdown=asked.no_shutdown).message())
            return ""
        case actions.DECOMMISSION_NODE:
            farewell = Farewell(asked.rm_user_data, asked.no_shutdown).message()
            if asked.no_shutdown:  # before it is off the map, or it would ask to be taken in again
                for node_id in asked.ids & node.smap.present.keys():
                    await node.call(node.smap.require(node_id), "PUT", DAEMON, body=farewell)
                farewell = b""
            return await rebalancer.set_flags(asked.ids, Flag.DECOMMISSION, farewell)
        case actions.SHUTDOWN_NODE if asked.skip_rebalance:
            await rebalancer.stop_nodes(asked.ids)
            return ""
        case actions.SHUTDOWN_NODE:
            return await rebalancer.set_flags(asked.ids, Flag.MAINTENANCE, STOP)
    return await rebalancer.set_flags(asked.ids, Flag.MAINTENANCE)


def _check_data(node: Node, action: str, asked: NodesMsg) -> None:
    """Raise `Unsupported` when data shall be removed that cannot be, or that is needed.

    `keep_initial_config` asks for nothing: configuration that an administrator wrote is never removed.
    """
    if not asked.rm_user_data:
        return
    if action != actions.DECOMMISSION_NODE:
        raise Unsupported(f"cannot remove the data of a node by {action}: decommission it")
    if asked.skip_rebalance:
        raise Unsupported("cannot remove the data of a node and not move it first: that would lose it")
    if asked.no_shutdown:
        raise Unsupported("cannot remove the data of a node that goes on running: leave no_shutdown out")
    if away := sorted(node.smap.require(one).name for one in asked.ids & node.smap.away.keys()):
        raise Unsupported(
            f"cannot remove the data of {', '.join(away)}: it is away; decommission it without rm_user_data, and empty"
            " its mountpaths yourself"
        )


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


async def set_weights(node: Node, rebalancer: Rebalancer, message: ActMsg) -> str:
    """Let targets own names in other proportions; the ID of the rebalance that it started, if any. On the primary.

    Raise `BadRequest`, `NodeNotFound`, or `NotReady` while that cannot be moved.
    """
    weights = message.value_as(WeightsMsg).weights
    if not weights:
        raise BadRequest(f'{actions.SET_WEIGHTS} needs {{"weights": {{"<target ID>": <number>}}}}')
    for node_id, weight in weights.items():
        if not 1 <= weight <= WEIGHT_MAX:
            raise BadRequest(
                f"weight {weight} of {node_id[:40]} is not in 1..{WEIGHT_MAX}; a target that shall own no names goes"
                " into maintenance"
            )
    before = rebalancer.id
    await node.changes.change_smap(lambda smap: _weighted(smap, weights))
    return rebalancer.id if rebalancer.id != before else ""


def _weighted(smap: Smap, weights: Mapping[str, int]) -> Smap:
    for node_id in weights:
        if smap.require(node_id).is_proxy:
            raise BadRequest(f"{smap.require(node_id).name} is a proxy: it owns no names and has no weight")
    return smap.with_weights(weights)


async def join(node: Node, body: bytes) -> str:
    """Take in a node that runs without a cluster, as it is described in the body (a `Snode`); its ID. On the primary.

    Raise `BadRequest` when nobody of that ID answers there, or why it does not get in.
    """
    wanted = codec.from_json(body, Candidate)
    try:
        answer = await node.core.peers.call(
            wanted.control.url or wanted.public.url,
            "GET",
            DAEMON,
            query={query.WHAT: "snode"},
            timeout_s=node.core.call_timeout_s,
        )
        found = codec.from_json(answer.body, Snode)
    except AisError as error:
        raise BadRequest(f"failed to obtain node info from {wanted.name}: {error}") from None
    if wanted.id and found.id != wanted.id:
        raise BadRequest(f"node {found.name} answers at {wanted.public.url}, not {wanted.name}")
    if found.id in node.smap:
        return found.id
    await node.call(found, "PUT", DAEMON, body=join_message(node))
    for _ in range(JOIN_LOOKS):
        if found.id in node.smap:
            return found.id
        await node.env.clock.sleep(JOIN_LOOK_S)
    raise NotReady(f"{found.name} was told to join and has not come: its log says why")
