"""A node: its identity, the current version of everything the cluster agreed on, and the way to change that.

This class only puts the parts together. Membership, elections and metadata changes are in the modules beside it; what
outsiders ask over HTTP is answered in `ais.node.service`, without HTTP.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Mapping

import msgspec
from structlog.typing import FilteringBoundLogger

from ais.api import actions, codec
from ais.api.errors import status_of
from ais.api.messages import ActMsg
from ais.auth.keys import AccessKeys, KeyRing
from ais.auth.pairs import PairKeys
from ais.backend import clusters
from ais.base.errors import AccessDenied, AisError, BadRequest, NoContact, NotReady
from ais.base.ids import new_id
from ais.config import change as config_change
from ais.config import overrides
from ais.config.cluster import ClusterConfig
from ais.config.node import NodeConfig
from ais.env import Env
from ais.env.network import Answer, Network
from ais.meta.bmd import BMD
from ais.meta.placement import Placement
from ais.meta.smap import Smap, Snode
from ais.node.certificate import CertificateWatch
from ais.node.changes import Changes
from ais.node.clients import Former
from ais.node.core import Core
from ais.node.election import Election
from ais.node.farewell import Farewell
from ais.node.follow import Follower
from ais.node.membership import IDENTITY, Membership, timestamp
from ais.node.messages import Sealed
from ais.node.oidc import Issuers
from ais.node.peers import Peers
from ais.node.refusals import Refusals
from ais.node.role import Role
from ais.node.rotation import KeyChange
from ais.node.state import Metadata, Offload, State, in_thread
from ais.node.supervisor import Supervisor
from ais.stats.log_file import LogFile
from ais.stats.tracker import Tracker

DAEMON = "/v1/daemon"
CONTACT_WAIT_S_MAX = 5.0
CONTACT_POLL_S = 0.05


class Node:
    """One proxy or target. Set `role`, start the HTTP servers, then `start`; at the end `leave`, then `stop`."""

    role: Role

    def __init__(
        self,
        *,
        env: Env,
        config: NodeConfig,
        snode: Snode,
        directories: tuple[str, ...],
        network: Network,
        stats: Tracker,
        log: FilteringBoundLogger,
        log_file: LogFile | None = None,
        deployment: str = "dev",
        pod_name: str = "",
        offload: Offload = in_thread,
    ) -> None:
        """`directories` hold the metadata: a proxy's confdir, or all mountpaths of a target.

        The cluster secret is kept in the confdir, which must exist, and nowhere else.
        """
        self.env, self.snode, self.peers, self.stats, self.log_file = env, snode, network, stats, log_file
        self.log = log.bind(node=snode.name)
        self.refusals = Refusals(self.log, env.clock.monotonic)
        self.config = config
        self.deployment, self.pod_name = deployment, pod_name
        self.placement = Placement(Smap())
        self.keyring = KeyRing(AccessKeys(), ())
        """The present access keys, secrets opened."""
        self.tasks = Supervisor(env.clock, self.log)
        self.stop_requested = asyncio.Event()
        """Set when the cluster is shut down or this node told to end; the process then leaves and stops."""
        self.leave_on_stop = True
        """False when the whole cluster stops: the cluster map is to stay as it is."""
        self.farewell: Farewell | None = None
        """What to forget at the end of the process, when it was taken out of its cluster."""
        self.is_closed = False
        """Whether nodes know each other by a join secret; whoever makes the node sets it."""
        self.pairs: PairKeys | None = None
        """This node's own key, where nodes have keys; whoever makes the node sets it."""
        self.issuers = Issuers(self)
        """Whose tokens are taken, where `auth.oidc` names any."""
        self.former: Former | None = None
        """How tokens were signed before `auth.signature` was changed; known to processes that ran at that time."""
        self.certificates: CertificateWatch | None = None
        """The TLS certificate of this process; None without TLS. Whoever makes the node sets it."""
        self.known_keys: dict[str, tuple[bytes, ...]] = {}
        """`wire_keys` found so far; another dictionary after each change of what they depend on."""
        self.on_config: list[Callable[[NodeConfig], None]] = []
        """Called after changes; must not block or raise."""
        self.offload = offload
        self._regaining: asyncio.Task[None] | None = None
        self.is_loaded = False
        """Whether the metadata was read from disk; before that this node answers nothing."""
        self.joined_ns = 0
        """When this process entered the cluster (Unix time); 0 before."""
        self._initial = config.shared
        self.state = State(env, directories, config.local.confdir, config.shared, self._apply_bmd, offload)
        self.state.on_change.append(self._on_metadata)
        self.core = Core(
            env,
            snode,
            new_id(env.rng),
            self.state,
            Peers(network, snode),
            self.tasks,
            stats,
            lambda: self.config,
            self.log,
        )
        self.core.restart = lambda: self.request_stop(leave=False)
        self.core.dismiss = lambda message: self.retire(codec.from_json(message.encode(), ActMsg).value_as(Farewell))
        self.election = Election(self.core)
        self.changes = Changes(self.core, lambda: self.role)
        self.follower = Follower(self.core, lambda: self.role)
        urls = config.cluster.proxy
        known = tuple(url.rstrip("/") for url in (urls.primary_url, urls.original_url, urls.discovery_url) if url)
        self.membership = Membership(self.core, self.election, self.changes, known)
        self.key_change = KeyChange(self.core, self.membership, self.show_keys, offload)
        self.read_join_secret: Callable[[], bool] | None = None
        """Takes a join secret that has changed and tells whether it has; whoever makes the node sets it."""

    # -- what everybody reads

    @property
    def smap(self) -> Smap:
        """Present cluster map; version 0 before the node is in a cluster."""
        return self.state.current.smap

    @property
    def bmd(self) -> BMD:
        """Present bucket metadata."""
        return self.state.current.bmd

    @property
    def keys(self) -> AccessKeys:
        """Present S3 access keys, secrets sealed."""
        return self.state.current.keys

    @property
    def cluster_secret(self) -> bytes:
        """What the secrets of access keys are sealed with; empty before this node has it. Never to be shown."""
        return self.state.current.secret.secret

    @property
    def cluster_secrets(self) -> tuple[bytes, ...]:
        """The present one and those before: what was sealed is opened with one of them."""
        return self.state.current.secret.all

    @property
    def sure_ns(self) -> int:
        """See `Core.sure_ns`."""
        return self.core.sure_ns

    def wire_key(self, node_id: str) -> bytes:
        """What this node signs with what it says for clients to another: marks, notes on requests passed on.

        That is a key of these two; where they have none, the first secret of the cluster. Raise `NotReady` before this
        node has that, `AccessDenied` when the other is not in the cluster.
        """
        return self.wire_keys(node_id)[0]

    def wire_keys(self, node_id: str) -> tuple[bytes, ...]:
        """All that the other one may sign with while keys are replaced; `wire_key` first. Raise as that does."""
        keys = self.known_keys.get(node_id)
        if keys is None:
            node = self.smap.get(node_id)
            if node is None:
                raise AccessDenied(f"{node_id[:40]} is not a node of this cluster")
            if self.pairs is not None and node.keys:
                keys = tuple(one for key in node.keys for one in self.pairs.shared_all(key))
            else:
                keys = self.cluster_secrets[-1:]
            if not keys:
                raise NotReady("this node has not received the cluster's secret yet: try again in a moment")
            self.known_keys[node_id] = keys
        return keys

    @property
    def is_lost(self) -> bool:
        """Whether this node is in no cluster, or hears no primary: it then listens to one that it does not know."""
        core = self.core
        return not core.joined.is_set() or self.snode.id not in self.smap or (not core.reign and core.silent_for() >= 0)

    @property
    def term(self) -> int:
        """The term this node reigns in, or follows."""
        return self.state.term

    @property
    def is_primary(self) -> bool:
        """Whether this node is primary (it may lack the authority to change things right now)."""
        return self.core.reign is not None

    @property
    def has_authority(self) -> bool:
        """Whether this node may change metadata now."""
        return self.core.reign is not None and self.core.reign.has_authority()

    @property
    def is_ready(self) -> bool:
        """Whether this node is in a cluster and knows its metadata."""
        return self.core.joined.is_set() and self.snode.id in self.smap

    @property
    def is_settled(self) -> bool:
        """Whether what this node knows is what the cluster has agreed on: only then may it say that something is not.

        It hears the primary (or is it, with authority), and is not taken for absent itself.
        """
        core = self.core
        if not self.is_ready or self.smap.nodes[self.snode.id].is_away:
            return False
        if core.reign:
            return core.reign.has_authority()
        return self.env.clock.monotonic() - core.vouched_at < core.timing.vouch_s

    def require_contact(self) -> None:
        """Raise `NoContact` unless `is_settled`."""
        if not self.is_settled:
            raise NoContact(
                f"{self.snode.name} has no contact with its cluster, or is not in it yet: it cannot tell whether that"
                " exists; try again in a moment, or ask another node"
            )

    async def regain_contact(self) -> None:
        """Wait until `is_settled`, for some seconds; not at all in no cluster, or while this node leaves its own."""
        if not self._is_out_of_contact:
            return
        if self._regaining is None or self._regaining.done():
            self._regaining = asyncio.create_task(self._until_contact(), name="regain contact")
        await asyncio.wait({self._regaining}, timeout=CONTACT_WAIT_S_MAX)

    async def _until_contact(self) -> None:
        """One task for all who wait."""
        while self._is_out_of_contact:
            await self.env.clock.sleep(CONTACT_POLL_S)

    @property
    def _is_out_of_contact(self) -> bool:
        return not self.is_settled and self.is_ready and not self.core.leaving

    def require_settled(self) -> None:
        """Raise `NotReady` unless `is_settled` and there are targets. Whoever says "not there" asks this first."""
        self.require_contact()
        if not self.smap.tmap:
            raise NotReady("the cluster has no targets: start targets, or wait until they join")

    def honest(self, error: BaseException) -> BaseException:
        """The error to answer with: "not there" is said only by who can know, anybody else is not ready."""
        if isinstance(error, AisError) and (getattr(error, "status", 0) or status_of(error)) == 404:
            try:
                self.require_settled()
            except NotReady as reason:
                return reason
        return error

    def require_authority(self) -> None:
        """Raise `NotReady` unless this node may change the cluster's metadata now."""
        self.core.require_authority()

    # -- life

    async def start(self) -> None:
        """Read the metadata and enter the cluster. The HTTP servers must be listening. Raise why it cannot."""
        await self.state.load()
        meta = self.state.current
        self.config = self.config.with_shared(meta.config)
        self.placement = Placement(meta.smap)
        self.keyring = self._keyring(meta)
        self.role.follow_map(meta.smap)
        self.membership.follow_map(meta.smap)
        self.core.has_objects = self.role.has_objects
        if meta.bmd.version:
            await self.role.load_bmd(meta.bmd)
        self.is_loaded = True
        self.log.info("starting", url=self.snode.public.url, cluster=meta.smap.uuid, smap=int(meta.smap.version))
        await self.membership.start()
        self.key_change.go_on(self.pairs)
        self.issuers.begin()
        self.joined_ns = self.env.clock.now_ns()
        self.log.info("in the cluster", cluster=self.smap.uuid, smap=int(self.smap.version))

    async def leave(self) -> None:
        """Say goodbye to the cluster (a primary hands over first), unless the whole cluster stops."""
        self.core.leaving = True
        if self.leave_on_stop and self.core.joined.is_set():
            await self.membership.leave()

    async def stop(self) -> None:
        """End all background tasks. Metadata is on disk already."""
        self.core.leaving = True
        if self._regaining is not None:
            await self._regaining
        await self.tasks.stop()

    async def set_directories(self, directories: tuple[str, ...]) -> None:
        """Keep the metadata in these directories from now on (a target's mountpaths changed)."""
        await self.state.move(directories)

    # -- changes, on the primary

    async def change_bmd(self, change: Callable[[BMD], BMD]) -> BMD:
        """Change the bucket metadata; on return every node of the cluster has it. See `Changes.change_bmd`."""
        return await self.changes.change_bmd(change)

    async def change_config(self, change: Callable[[ClusterConfig], ClusterConfig]) -> ClusterConfig:
        """Change the cluster configuration (the version is counted up here). See `Changes.change_config`."""

        def next_version(old: ClusterConfig) -> ClusterConfig:
            new = change(old)
            if new.auth.is_closed and not old.auth.is_closed and not self.is_closed:
                name = "client_auth_required" if new.auth.client_auth_required else "enabled"
                raise BadRequest(
                    f"{name}=true needs nodes that know each other by a join secret: start them with --join-secret"
                    " first"
                )
            return old if new == old else new.next_version(timestamp(self.env.clock))

        return await self.changes.change_config(next_version)

    async def change_keys(self, change: Callable[[AccessKeys], AccessKeys]) -> AccessKeys:
        """Change the access keys; on return every node of the cluster has them. See `Changes.change_bmd`."""
        return await self.changes.change_keys(change)

    async def rotate_secret(self) -> None:
        """Replace the cluster's secret. See `Changes.rotate_secret`."""
        await self.changes.rotate_secret()

    async def rotate_key(self) -> None:
        """Replace this node's own key. See `KeyChange.begin`."""
        await self.key_change.begin(self.pairs)

    async def renew_join_secret(self) -> bool:
        """Read the join secret again; tell whether it is another. Raise `BadRequest` where it comes from no file."""
        if self.read_join_secret is None:
            raise BadRequest(
                f"{self.snode.name} has its join secret from no file: start it with --join-secret FILE to replace it"
            )
        return await self.offload(self.read_join_secret)

    def show_keys(self, own: PairKeys) -> None:
        """Name these keys as this node's own."""
        self.known_keys = {}
        self.snode = self.core.me = msgspec.structs.replace(self.snode, pub_keys=own.publics)

    async def reset_cluster_config(self) -> ClusterConfig:
        """Back to the configuration the primary was started with; clusters stay attached."""

        def reset(old: ClusterConfig) -> ClusterConfig:
            new = config_change.reset(old, self._initial)
            backend = clusters.with_attached(new.backend, clusters.attached(old.backend))
            return msgspec.structs.replace(new, backend=backend)

        return await self.change_config(reset)

    async def remove_nodes(self, node_ids: frozenset[str]) -> None:
        """Take nodes off the cluster map. Raise `NodeNotFound`, or `BadRequest` for ourselves."""
        for node_id in node_ids:
            self.smap.require(node_id)
        if self.snode.id in node_ids:
            raise BadRequest(f"{self.snode.name} is the current primary, cannot remove it: set another primary first")
        await self.membership.remove(node_ids)

    async def set_primary(self, node_id: str, *, force: bool = False) -> None:
        """Hand over to another proxy. Raise `NodeNotFound`, `BadRequest`, or why it did not work.

        `force` is for joining clusters in AIStore; handing over inside one cluster needs none and ignores it.
        """
        node = self.smap.require(node_id)
        if node_id == self.snode.id:
            return
        if not node.is_electable:
            raise BadRequest(f"{node.name} cannot be primary: choose a proxy that is electable and not in maintenance")
        async with self.changes.lock:
            await self.election.hand_over(node)

    async def shutdown_cluster(self) -> None:
        """Stop all nodes, this one last; the cluster map stays as it is."""
        await self._end_cluster("shutting the cluster down", codec.to_json({"action": actions.SHUTDOWN_CLUSTER}))
        self.request_stop(leave=False)

    async def decommission_cluster(self, farewell: Farewell) -> None:
        """End the cluster for good: all nodes forget it and stop, this one last.

        Raise `NotReady` naming the nodes that do not answer, with nothing done: they would keep what they have.
        """
        self.core.require_authority()
        silent = sorted(
            self.smap.nodes[node_id].name
            for node_id, outcome in (await self._ask_others("GET", IDENTITY, b"")).items()
            if isinstance(outcome, AisError)
        )
        if silent:
            raise NotReady(
                f"cannot end the cluster: {', '.join(silent)} would not hear of it: start what does not answer, or take"
                " it out of the cluster first (decommission-node)"
            )
        await self._end_cluster("decommissioning the cluster", farewell.message())
        self.retire(farewell)

    async def _end_cluster(self, what: str, body: bytes) -> None:
        self.core.require_authority()
        self.log.warning(what)
        self.core.leaving = True
        for node_id, outcome in (await self._ask_others("PUT", DAEMON, body)).items():
            if isinstance(outcome, AisError):
                self.log.warning("node was not told to stop", peer=node_id, error=str(outcome))

    async def _ask_others(self, method: str, path: str, body: bytes) -> dict[str, Answer | AisError]:
        others = [node for node in self.smap.nodes.values() if node.id != self.snode.id]
        return await self.core.peers.call_all(others, method, path, body=body, timeout_s=self.core.call_timeout_s)

    def retire(self, farewell: Farewell) -> None:
        """This node is out of its cluster: end, and forget what is to be forgotten, or stay without a cluster."""
        self.log.warning("decommissioned", **codec.to_builtins(farewell))
        if farewell.no_shutdown:
            self.core.is_retired = True
            return
        self.farewell = farewell
        self.request_stop(leave=False)

    def request_stop(self, *, leave: bool) -> None:
        """Ask the process to end."""
        self.leave_on_stop = leave
        self.core.leaving = True
        self.stop_requested.set()

    # -- calls to other nodes

    async def call(
        self,
        node: Snode,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
    ) -> Answer:
        """A call to another node's control network. Raise `Unreachable`, or the error that it answered."""
        timeout_s = self.core.call_timeout_s if timeout_s is None else timeout_s
        return await self.core.peers.call(node.control.url, method, path, query=query, body=body, timeout_s=timeout_s)

    # -- own settings

    async def set_own_config(self, values: dict[str, str], *, transient: bool) -> None:
        """Override settings on this node only. Raise `BadRequest`, or `Unsupported` for what cannot be transient."""
        await self._take_config(self.config.with_overrides(values, transient=transient))

    async def set_transient(self, values: dict[str, str]) -> None:
        """Take a change of the whole cluster that lasts until the restart. Raise as `set_own_config` does."""
        await self._take_config(self.config.with_transient(values))

    async def reset_own_config(self) -> None:
        """Back to what the cluster agreed on."""
        await self._take_config(self.config.without_overrides())

    async def _take_config(self, config: NodeConfig) -> None:
        if config.overrides != self.config.overrides:
            await self.offload(overrides.save, self.env.disk, config.local.confdir, config.overrides)
        async with self.state.aside():
            self._show_config(config)

    def follow(self, parts: Iterable[Sealed], own: Mapping[str, str], transient: Mapping[str, str]) -> None:
        """Know what the process of this node knows that is in the cluster: see `State.mirror`, and its own settings."""
        self.state.mirror(parts)
        self._show_config(dataclasses.replace(self.config, overrides=own, transient=transient))

    # -- callbacks

    async def _apply_bmd(self, old: BMD, new: BMD) -> None:
        await self.role.apply_bmd(old, new)

    def _on_metadata(self, old: Metadata, new: Metadata) -> None:
        if new.smap is not old.smap or new.secret is not old.secret:
            self.known_keys = {}
        if new.smap is not old.smap:
            self.placement = Placement(new.smap)
            self.role.follow_map(new.smap)
            self.membership.follow_map(new.smap)
        if new.keys is not old.keys or new.secret is not old.secret:
            self.keyring = self._keyring(new)
        if new.config is not old.config:
            self._show_config(self.config.with_shared(new.config))

    def _keyring(self, meta: Metadata) -> KeyRing:
        replaced_s = meta.secret.replaced_s

        def is_in_grace() -> bool:
            grace_s = float(self.config.cluster.auth.intra_cluster.rotation_grace)
            return 0 <= self.env.clock.now_ns() / 1e9 - replaced_s < grace_s

        return KeyRing(meta.keys, meta.secret.all, is_in_grace)

    def _show_config(self, config: NodeConfig) -> None:
        before, after = self.config.cluster.auth, config.cluster.auth
        if before.signature != after.signature and before.signature.key and self.is_loaded:
            grace_s = float(after.intra_cluster.rotation_grace)
            self.former = Former(before.signature, self.env.clock.now_ns() / 1e9 + grace_s)
        self.config = config
        self.issuers.begin()
        for callback in self.on_config:
            callback(config)
