"""`rotate-secrets` of the cluster: its secret, the keys of its nodes, or the join secret, while it works."""

from typing import Any

import msgspec

from ais.api import actions, codec
from ais.api.messages import ActMsg
from ais.base.errors import AisError, BadRequest, NotReady
from ais.meta.smap import Snode
from ais.node import service
from ais.node.node import DAEMON, Node

CLUSTER, NODES, JOIN = "cluster", "nodes", "join"
KINDS = (CLUSTER, NODES, JOIN)
_ACTION_OF = {NODES: actions.ROTATE_KEY, JOIN: actions.RENEW_JOIN}


class RotateMsg(msgspec.Struct, frozen=True):
    """The value of the action: one node, or (empty) all."""

    sid: str = ""


async def rotate(node: Node, message: ActMsg) -> dict[str, bool]:
    """Do it, one node after the other, this one last: by node whether it has another secret now. On the primary.

    Raise `BadRequest`, `NodeNotFound`, or `NotReady` naming the node that did not, and those that did before.
    """
    kind, asked = message.name, message.value_as(RotateMsg)
    if kind not in KINDS:
        raise BadRequest(f'no secret "{kind[:40]}" to rotate: name one of {", ".join(KINDS)}')
    node.require_authority()
    if kind == CLUSTER:
        if asked.sid:
            raise BadRequest("the cluster has one secret, for all nodes: name no node")
        await node.rotate_secret()
        return dict.fromkeys(node.smap.present, True)
    only = [node.smap.require(asked.sid)] if asked.sid else list(node.smap.present.values())
    done: dict[str, bool] = {}
    for one in sorted(only, key=lambda snode: snode.id == node.snode.id):
        try:
            done[one.id] = await _rotate_one(node, one, _ACTION_OF[kind])
        except AisError as error:
            names = ", ".join(node.smap.require(node_id).name for node_id in done) or "none before"
            raise NotReady(f"{one.name} has not rotated its secret: {error}; rotated: {names}") from error
    return done


async def _rotate_one(node: Node, one: Snode, action: str) -> bool:
    body = codec.to_json(ActMsg(action))
    if one.id == node.snode.id:
        answer = await service.dispatch(node, "PUT", DAEMON, {}, body)
    else:
        timeout_s = float(node.config.cluster.timeout.max_host_busy)
        answer = await node.call(one, "PUT", DAEMON, body=body, timeout_s=timeout_s)
    told: dict[str, Any] = codec.from_json(answer.body, dict) if answer.body else {}
    return bool(told.get("changed", True))
