"""`GET /v1/health` (wire contract §12.9): alive, ready, primary ready to serve, and what it knows of the cluster."""

from typing import Any

from ais.api import codec, headers, query
from ais.base.errors import BadRequest, NoContact, NotReady
from ais.base.units import parse_bool
from ais.env.network import Answer
from ais.node.certificate import flag_of
from ais.node.node import Node

HEALTH = "/v1/health"

VOTE_IN_PROGRESS = 1 << 0
CLUSTER_STARTED = 1 << 1
NODE_STARTED = 1 << 2


async def get(node: Node, _path: str, params: dict[str, str], _body: bytes) -> Answer:
    """Answer, or raise `NotReady` (503) with the reason."""

    def asked(name: str) -> bool:
        return parse_bool(params.get(name, ""))

    if asked(query.PRIMARY_READY_TO_REBALANCE):
        if asked(query.CLUSTER_INFO):
            raise BadRequest("prr and cii exclude each other: ask for one of them")
        return await _primary_ready(node, params)
    if (asked(query.ASK_PRIMARY) or asked(query.CLUSTER_INFO_AND_PRIMARY)) and not node.is_primary:
        raise BadRequest(f"{node.snode.name} is not the primary (the primary is {node.smap.primary_id or 'not known'})")
    if asked(query.CLUSTER_INFO) or asked(query.CLUSTER_INFO_AND_PRIMARY):
        return Answer(200, admin_json() | _uptimes(node), codec.to_json(state_info(node)) + b"\n")
    if asked(query.READINESS):
        try:
            node.require_contact()
        except NoContact as reason:  # who asks wants to know it now
            raise NotReady(str(reason)) from None
    return Answer(200, _uptimes(node), b"")


def admin_json() -> dict[str, str]:
    """Headers of a JSON answer."""
    return {"content-type": "application/json; charset=utf-8"}


async def _primary_ready(node: Node, params: dict[str, str]) -> Answer:
    if node.is_primary:
        node.require_authority()
        return Answer(200, _uptimes(node), b"")
    primary = node.smap.primary
    if primary is None or primary.id == node.snode.id:
        raise NotReady("the cluster has no primary yet")
    answer = await node.call(primary, "GET", HEALTH, query=params)
    return Answer(answer.status, _uptimes(node), b"")


def _uptimes(node: Node) -> dict[str, str]:
    cluster_ns = node.env.clock.now_ns() - node.joined_ns if node.joined_ns else 0
    return {headers.NODE_UPTIME: str(node.stats.uptime_ns), headers.CLUSTER_UPTIME: str(cluster_ns)}


def state_flags(node: Node) -> int:
    """Bits of `NodeStateInfo.flags`; a healthy node has 6."""
    flags = node.role.state_flags() | NODE_STARTED
    if node.certificates is not None:
        flags |= flag_of(node.certificates.found, node.env.clock.now_ns() / 1e9)
    if node.election.in_progress:
        flags |= VOTE_IN_PROGRESS
    return flags | CLUSTER_STARTED if node.is_ready else flags


def state_info(node: Node) -> dict[str, Any]:
    """`NodeStateInfo`: the versions of all metadata as this node has them."""
    meta, primary = node.state.current, node.smap.primary
    found = {
        "pub_url": primary.public.url if primary else "",
        "control_url": primary.control.url if primary else "",
        "id": node.smap.primary_id,
    }
    return {
        "smap": {"Primary": found, "uuid": meta.smap.uuid, "version": str(int(meta.smap.version))},
        "bmd": {"uuid": meta.bmd.uuid, "version": str(meta.bmd.version)},
        "rmd": {"version": "0"},
        "config": {"version": str(int(meta.config.config_version))},
        "etlmd": {"version": "0"},
        "flags": state_flags(node),
    }
