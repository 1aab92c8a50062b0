"""`/v1/daemon` of both roles (wire contract §12.2): what a node tells about itself, and what it can be told to do."""

from collections.abc import Callable
from typing import Any

from ais.api import actions, codec, query
from ais.api.capacity import TargetCapacity
from ais.api.messages import ActMsg
from ais.base.errors import BadRequest, InvalidAction, NotFound, NotReady
from ais.base.units import is_whole, parse_bool
from ais.config import change, wire
from ais.env.network import Answer
from ais.node import certificate
from ais.node.farewell import Farewell
from ais.node.health import admin_json, state_info
from ais.node.node import Node
from ais.stats.system import mem_cpu_info

AIS_VERSION = "5.0.0"
"""The version of AIStore whose API we serve; its clients compare the first two numbers with their own."""

OF_CLUSTER = "cluster"
"""Name in a `set-config` message by which a proxy tells each node about a transient change of the whole cluster."""

Params = dict[str, str]


async def get(node: Node, path: str, params: Params, _body: bytes) -> Answer:
    """`GET /v1/daemon?what=`. Raise `BadRequest` for an unknown `what`."""
    what = params.get(query.WHAT, "")
    if what == "log":
        return await _log(node, params)
    if what == "software_version":
        return Answer(200, {"content-type": "text/plain; charset=utf-8"}, AIS_VERSION.encode())
    if what == "bmd":
        return Answer(200, admin_json(), node.bmd.encode() + b"\n")
    if what == "tls_certificate":
        value: object = certificate.facts(node)
    elif what in VALUES:
        value = VALUES[what](node)
    elif (value := node.role.daemon_value(what)) is None:
        raise BadRequest(f"invalid '{path}' request: unrecognized 'what={what}' query")
    return Answer(200, admin_json(), codec.to_json(value) + b"\n")


async def put(node: Node, path: str, params: Params, body: bytes) -> Answer:
    """`PUT /v1/daemon`: an action for this node only. Raise `BadRequest` naming what is wrong."""
    transient = parse_bool(params.get(query.TRANSIENT, ""))
    if path.endswith("/" + actions.SET_CONFIG):
        values = {name: value for name, value in params.items() if name != query.TRANSIENT}
        await node.set_own_config(values, transient=transient)
        return Answer(200, {}, b"")
    message = ActMsg.parse(body)
    match message.action:
        case actions.SET_CONFIG if message.name == OF_CLUSTER:
            await node.set_transient(_changed_values(node, message.value))
        case actions.SET_CONFIG:
            await node.set_own_config(_changed_values(node, message.value), transient=transient)
        case actions.RESET_CONFIG:
            await node.reset_own_config()
        case actions.RESET_STATS:
            node.stats.reset(errors_only=message.value is True)
        case actions.ROTATE_LOGS:
            if node.log_file:
                node.log_file.rotate()
        case actions.SHUTDOWN_CLUSTER:
            node.request_stop(leave=False)
        case actions.SHUTDOWN_NODE:
            node.request_stop(leave=True)
        case actions.DECOMMISSION_NODE:
            node.retire(message.value_as(Farewell))
        case actions.JOIN_CLUSTER:
            node.membership.return_to(message.value_as(str))
        case actions.ROTATE_KEY:
            await node.rotate_key()
        case actions.RENEW_JOIN:
            changed = await node.renew_join_secret()
            return Answer(200, admin_json(), codec.to_json({"changed": changed}))
        case other:
            raise InvalidAction(other, ACTIONS)
    return Answer(200, {}, b"")


async def load_certificate(node: Node, _path: str, _params: Params, _body: bytes) -> Answer:
    """`PUT /v1/daemon/load-x509`: use the files of the TLS certificate as they are now. Raise `BadRequest`."""
    await certificate.load(node)
    return Answer(200, {}, b"")


ACTIONS = (
    actions.SET_CONFIG,
    actions.RESET_CONFIG,
    actions.RESET_STATS,
    actions.ROTATE_LOGS,
    actions.SHUTDOWN_CLUSTER,
    actions.SHUTDOWN_NODE,
    actions.DECOMMISSION_NODE,
    actions.JOIN_CLUSTER,
    actions.ROTATE_KEY,
    actions.RENEW_JOIN,
)


def _changed_values(node: Node, patch: Any) -> dict[str, str]:
    """The settings that a JSON patch changes, by dotted name."""
    before = change.flatten(node.config.cluster)
    after = change.flatten(change.apply_patch(node.config.cluster, patch))
    return {name: text for name, text in after.items() if text != before[name]}


def _smap(node: Node) -> object:
    if not node.is_ready:
        raise NotReady(f"{node.snode.name} is starting: it has not joined its cluster yet")
    return node.smap


_NO_CAPACITY = codec.to_builtins(TargetCapacity()) | {"mountpaths": None}
"""What a proxy says of its mountpaths."""


def node_stats(node: Node) -> dict[str, Any]:
    """`stats.Node` of this node (wire contract §12.4)."""
    capacity = node.role.status().get("capacity", _NO_CAPACITY)
    return {"snode": node.snode, "tracker": node.stats.snapshot(), "capacity": capacity}


def node_status(node: Node) -> dict[str, Any]:
    """`stats.NodeStatus` of this node (wire contract §12.4)."""
    return {
        "status": "",
        "deployment": node.deployment,
        "ais_version": AIS_VERSION,
        "build_time": "",
        "k8s_pod_name": node.pod_name,
        **node_stats(node),
        **node.role.status(),
        "cluster": state_info(node),
        "sys_info": mem_cpu_info(),
        "smap_version": str(int(node.smap.version)),
    }


def sysinfo(node: Node) -> dict[str, Any]:
    """Machine facts; a target adds the capacity of its mountpaths (`TSysInfo`)."""
    facts: dict[str, Any] = codec.to_builtins(mem_cpu_info())
    capacity = node.role.status().get("capacity")
    if capacity is not None:
        used, available = int(capacity.total_used), int(capacity.total_avail)
        share_pct = 100 * used / (used + available) if used + available else 0.0
        facts |= {"fs_used": str(used), "fs_capacity": str(used + available), "pct_fs_used": share_pct}
    return facts


VALUES: dict[str, Callable[[Node], object]] = {
    "smap": _smap,
    "snode": lambda node: node.smap.get(node.snode.id) or node.snode,
    "config": lambda node: node.config.wire(),
    "cluster_config": lambda node: wire.shown(node.config.shared),
    "node_stats": node_stats,
    "node_status": node_status,
    "metrics": lambda node: node.stats.kinds(),
    "sysinfo": sysinfo,
}
"""JSON answers by `what`; roles have more."""


async def _log(node: Node, params: Params) -> Answer:
    if node.log_file is None:
        raise NotFound(f"{node.snode.name} writes its log to standard error: set log.to_stderr=false and log_dir")
    if parse_bool(params.get(query.ALL, "")):
        return Answer(200, {"content-type": "application/gzip"}, await node.offload(node.log_file.archive))
    offset = params.get(query.OFFSET, "") or "0"
    if not is_whole(offset):
        raise BadRequest(f'invalid offset "{offset}": expected a number of bytes')
    text = await node.offload(node.log_file.read, params.get(query.SEVERITY, ""), int(offset))
    return Answer(200, {"content-type": "text/plain; charset=utf-8"}, text)
