"""The cluster map: who is in the cluster, where each node listens, who is primary (wire contract §12.1).

Values only: immutable, each change gives a new value with the next version. Who may change it and how everybody learns
of it is `ais.node`.
"""

import enum
import re
from collections.abc import Mapping
from typing import Self

import msgspec
import xxhash

from ais.api.codec import U64
from ais.base.errors import BadRequest, NodeNotFound
from ais.base.ids import is_valid_node_id

_DIGEST_SEED = 1103515245
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}(%[A-Za-z0-9]{1,16})?")
_KEY = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
KEYS_MAX = 2
PROXY = "proxy"
TARGET = "target"
IC_MEMBERS_MAX = 3
GIVEN_UP_MAX = 256
WEIGHT, WEIGHT_MAX = 100, 100_000
"""Of a target of which nothing else was said; the highest there is."""


def digest(name: str | bytes) -> int:
    """The 64-bit hash that placement uses for names, node IDs and mountpaths."""
    return xxhash.xxh64_intdigest(name.encode() if isinstance(name, str) else name, _DIGEST_SEED)


class Flag(enum.IntFlag):
    """Bits of `Snode.flags`."""

    NON_ELECTABLE = 1
    IC_MEMBER = 2
    MAINTENANCE = 4
    DECOMMISSION = 8
    MAINTENANCE_POST_REBALANCE = 16
    AWAY = 1 << 20
    """Ours alone; AIStore's clients ignore it. See `Snode.is_away`."""


UNAVAILABLE = int(Flag.MAINTENANCE | Flag.DECOMMISSION | Flag.MAINTENANCE_POST_REBALANCE)
"""A node with one of these bits takes no new objects and cannot become primary."""
_AWAY = int(Flag.AWAY)


class NetInfo(msgspec.Struct, frozen=True):
    """Where a node listens on one of its three logical networks."""

    host: str = msgspec.field(name="node_ip_addr", default="")
    port: str = msgspec.field(name="daemon_port", default="")
    url: str = msgspec.field(name="direct_url", default="")

    @classmethod
    def make(cls, scheme: str, host: str, port: int) -> Self:
        """The network reached at `scheme://host:port`; an IPv6 host is given without brackets."""
        authority = f"[{host}]" if ":" in host else host
        return cls(host, str(port), f"{scheme}://{authority}:{port}")


class Snode(msgspec.Struct, frozen=True):
    """One node as the cluster map has it. `kind` is `proxy` or `target`."""

    public: NetInfo = msgspec.field(name="public_net")
    data: NetInfo = msgspec.field(name="intra_data_net")
    control: NetInfo = msgspec.field(name="intra_control_net")
    kind: str = msgspec.field(name="daemon_type")
    id: str = msgspec.field(name="daemon_id")
    flags: int = 0
    id_digest: int = 0
    pub_keys: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    farewell: str | msgspec.UnsetType = msgspec.UNSET
    """The message (JSON) that tells it to end, once nothing of it is needed any more (`ais.proxy.rebalance`)."""
    weight: int | msgspec.UnsetType = msgspec.UNSET
    """Of a target, where an administrator has set it: see `Snode.share`."""

    @classmethod
    def make(
        cls,
        kind: str,
        node_id: str,
        public: NetInfo,
        control: NetInfo,
        data: NetInfo,
        *,
        electable: bool = True,
        keys: tuple[str, ...] = (),
    ) -> Self:
        """A node of this process with its digest computed; `keys` are its public ones (`ais.auth.pairs`)."""
        flags = 0 if electable else int(Flag.NON_ELECTABLE)
        return cls(public, data, control, kind, node_id, flags, digest(node_id), keys or msgspec.UNSET)

    @property
    def keys(self) -> tuple[str, ...]:
        """Public halves of the keys that it signs with; none in a cluster without a join secret."""
        return self.pub_keys or ()

    @property
    def share(self) -> int:
        """How many names a target owns beside others, in proportion; all have `WEIGHT` unless one was given another."""
        return self.weight or WEIGHT

    @property
    def name(self) -> str:
        """`p[ID]` or `t[ID]`: how messages and logs name it."""
        return f"{self.kind[:1]}[{self.id}]"

    @property
    def is_proxy(self) -> bool:
        return self.kind == PROXY

    @property
    def is_electable(self) -> bool:
        """Whether this node may become primary."""
        return self.is_proxy and not self.flags & (Flag.NON_ELECTABLE | UNAVAILABLE)

    @property
    def is_away(self) -> bool:
        """Whether this target does not answer. It still owns its names: they are neither there nor gone meanwhile."""
        return bool(self.flags & _AWAY)

    def check(self) -> None:
        """Raise `BadRequest` unless this may be a node: its ID, and addresses that are host and port, not any URL."""
        if not is_valid_node_id(self.id) or self.kind not in (PROXY, TARGET) or self.id_digest != digest(self.id):
            raise BadRequest(f'"{self.id[:40]}" of kind "{self.kind[:40]}" is no node')
        if len(self.keys) > KEYS_MAX or any(_KEY.fullmatch(key) is None for key in self.keys):
            raise BadRequest(f"node {self.id} has keys that are none")
        for net in (self.public, self.control, self.data):
            scheme = net.url.partition("://")[0]
            is_port = net.port.isascii() and net.port.isdigit() and len(net.port) <= 5 and 0 < int(net.port) < 65536
            is_address = is_port and _HOST.fullmatch(net.host) and scheme in ("http", "https")
            if not is_address or net != NetInfo.make(scheme, net.host, int(net.port)):
                raise BadRequest(f'node {self.id} has no address: "{net.url[:100]}" is not scheme, host and port')

    def listens_like(self, other: "Snode") -> bool:
        """Whether both have the same addresses on all three networks."""
        return (self.public, self.control, self.data) == (other.public, other.control, other.data)


class Moving(msgspec.Struct, frozen=True):
    """Names have other owners than before, and what lies with the earlier ones is on its way (`ais.reb.plan`).

    `before`: the sets of targets that owned them, the latest first. `weights`: of each of these sets the weights of its
    targets, none where they had equal ones; left out where that is so of all.
    """

    id: str
    before: tuple[tuple[str, ...], ...] = ()
    weights: tuple[tuple[int, ...], ...] | msgspec.UnsetType = msgspec.UNSET


class Smap(msgspec.Struct, frozen=True):
    """The cluster map. Version 0 without a UUID is "no cluster yet". Treat the dictionaries as immutable."""

    pmap: dict[str, Snode] = {}
    primary: Snode | None = msgspec.field(name="proxy_si", default=None)
    tmap: dict[str, Snode] = {}
    uuid: str = ""
    creation_time: str = ""
    version: U64 = U64(0)
    moving: Moving | msgspec.UnsetType = msgspec.field(name="ext", default=msgspec.UNSET)
    given_up: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Targets that were decommissioned while they were away, the last ones: they do not know it themselves."""
    lacking: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Targets that gave up mountpaths with what they have, which may return: all note what they remove."""

    @property
    def nodes(self) -> dict[str, Snode]:
        """All nodes by ID, proxies first."""
        return self.pmap | self.tmap

    @property
    def present(self) -> dict[str, Snode]:
        """All nodes that are not away."""
        return {node_id: node for node_id, node in self.nodes.items() if not node.is_away}

    @property
    def away(self) -> dict[str, Snode]:
        """The targets that are away."""
        return {node_id: target for node_id, target in self.tmap.items() if target.is_away}

    @property
    def primary_id(self) -> str:
        """ID of the primary, empty when there is none."""
        return self.primary.id if self.primary else ""

    @property
    def electable(self) -> list[Snode]:
        """Proxies that may be primary, the present one included."""
        return [proxy for proxy in self.pmap.values() if proxy.is_electable]

    def __contains__(self, node_id: str) -> bool:
        return node_id in self.pmap or node_id in self.tmap

    def get(self, node_id: str) -> Snode | None:
        """The node of that ID, if it is in the map."""
        return self.pmap.get(node_id) or self.tmap.get(node_id)

    def require(self, node_id: str) -> Snode:
        """The node of that ID. Raise `NodeNotFound`."""
        if (node := self.get(node_id)) is None:
            raise NodeNotFound(node_id)
        return node

    def is_primary(self, node_id: str) -> bool:
        """Whether that node is the primary of this map."""
        return bool(node_id) and self.primary_id == node_id

    def with_node(self, node: Snode) -> "Smap":
        """The next version, with `node` added or replaced."""
        return self.changed(add=node)

    def without_nodes(self, node_ids: frozenset[str]) -> "Smap":
        """The next version, without these nodes."""
        return self.changed(remove=node_ids)

    def without_given_up(self, target_ids: frozenset[str]) -> "Smap":
        """The next version, without these targets, which are away: they are not let in again unless somebody asks."""
        changed = self.without_nodes(target_ids)
        known = tuple(dict.fromkeys((*(self.given_up or ()), *sorted(target_ids))))
        return msgspec.structs.replace(changed, given_up=known[-GIVEN_UP_MAX:])

    def with_away(self, target_ids: frozenset[str]) -> "Smap":
        """The next version, in which exactly these targets are away."""
        return self.changed(away=target_ids)

    def with_flags(self, node_ids: frozenset[str], flags: Flag, farewell: str = "") -> "Smap":
        """The next version, in which these nodes are out of service as `flags` say; with none, in service."""
        changed = self.changed()
        members = [
            {node.id: _in_service(node, flags, farewell) if node.id in node_ids else node for node in nodes.values()}
            for nodes in (changed.pmap, changed.tmap)
        ]
        return msgspec.structs.replace(changed, pmap=members[0], tmap=members[1])

    def with_told(self, node_ids: frozenset[str]) -> "Smap":
        """The next version, in which these nodes were told their farewell."""
        changed = self.changed()
        pmap, tmap = (
            {
                node_id: msgspec.structs.replace(node, farewell=msgspec.UNSET) if node_id in node_ids else node
                for node_id, node in nodes.items()
            }
            for nodes in (changed.pmap, changed.tmap)
        )
        return msgspec.structs.replace(changed, pmap=pmap, tmap=tmap)

    def with_weights(self, weights: Mapping[str, int]) -> "Smap":
        """The next version, in which these targets have these weights; the same one when they have them already."""
        if all(self.tmap[one].share == weight for one, weight in weights.items()):
            return self
        changed = self.changed()
        tmap = {
            node_id: msgspec.structs.replace(node, weight=_said(weights.get(node_id, node.share)))
            for node_id, node in changed.tmap.items()
        }
        return msgspec.structs.replace(changed, tmap=tmap)

    def changed(
        self,
        *,
        add: Snode | None = None,
        remove: frozenset[str] = frozenset(),
        away: frozenset[str] | None = None,
        primary_id: str | None = None,
    ) -> "Smap":
        """The next version, with all these changes at once. Raise `NodeNotFound` for an unknown `primary_id`."""
        pmap = {node_id: node for node_id, node in self.pmap.items() if node_id not in remove}
        tmap = {node_id: node for node_id, node in self.tmap.items() if node_id not in remove}
        if add:
            (pmap if add.is_proxy else tmap)[add.id] = add
        if away is not None:
            tmap = {node_id: _with_away(node, node_id in away) for node_id, node in tmap.items()}
        if primary_id is not None and primary_id not in pmap:
            raise NodeNotFound(primary_id)
        chosen = self.primary_id if primary_id is None else primary_id
        pmap = _with_ic_members(pmap, chosen)
        version = U64(self.version + 1)
        given_up = tuple(one for one in self.given_up or () if add is None or one != add.id) or msgspec.UNSET
        lacking = tuple(one for one in self.lacking or () if one in tmap) or msgspec.UNSET
        return msgspec.structs.replace(
            self, pmap=pmap, primary=pmap.get(chosen), tmap=tmap, version=version, given_up=given_up, lacking=lacking
        )


def _with_ic_members(pmap: dict[str, Snode], primary_id: str) -> dict[str, Snode]:
    """Set the IC bit on the primary and up to two more electable proxies, those that have it already first."""

    def preference(node: Snode) -> tuple[bool, bool, int]:
        return node.id == primary_id, bool(node.flags & Flag.IC_MEMBER), node.id_digest

    able = sorted((node for node in pmap.values() if node.is_electable), key=preference, reverse=True)
    members = {node.id for node in able[:IC_MEMBERS_MAX]}
    return {node_id: _with_ic(node, node_id in members) for node_id, node in pmap.items()}


def _with_ic(node: Snode, is_member: bool) -> Snode:
    flags = node.flags | Flag.IC_MEMBER if is_member else node.flags & ~Flag.IC_MEMBER
    return node if flags == node.flags else msgspec.structs.replace(node, flags=int(flags))


def _said(weight: int) -> int | msgspec.UnsetType:
    """A weight as the map has it."""
    return msgspec.UNSET if weight == WEIGHT else weight


def _in_service(node: Snode, flags: Flag, farewell: str) -> Snode:
    return msgspec.structs.replace(
        node, flags=int(node.flags & ~UNAVAILABLE | flags), farewell=farewell or msgspec.UNSET
    )


def _with_away(node: Snode, is_away: bool) -> Snode:
    flags = node.flags | _AWAY if is_away else node.flags & ~_AWAY
    return node if flags == node.flags else msgspec.structs.replace(node, flags=flags)
