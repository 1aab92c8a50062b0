"""A running node: everything put together, started in order, and taken down in the opposite order."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

import structlog
from structlog.typing import FilteringBoundLogger

from ais.auth import nodes, pairs
from ais.auth.pairs import PairKeys
from ais.base import bounds
from ais.base.bounds import Bounds
from ais.base.errors import AisError, BadRequest, MountpathNotFound
from ais.config.cluster import ClusterConfig
from ais.config.limits import Limits as ClientLimits
from ais.config.node import NodeConfig
from ais.core.store import Store
from ais.env import Env
from ais.env.disk import Disk
from ais.fs import record
from ais.fs.locks import SoleStripes, Stripes
from ais.fs.volume import Volume, VolumeLimits
from ais.meta import store
from ais.meta.smap import Snode
from ais.net.certificates import Certificates, Files
from ais.net.client import PeerClient
from ais.net.handshakes import HandshakeLimits
from ais.net.memory import Memory
from ais.net.server import HttpServer, Limits
from ais.node import routes as node_routes
from ais.node.certificate import CertificateWatch
from ais.node.node import Node
from ais.node.trust import Trust
from ais.proxy.proxy import Proxy
from ais.stats import log
from ais.stats.log_file import LogFile
from ais.stats.tracker import Tracker
from ais.target.target import Target
from ais.workers.locks import SharedStore
from ais_node import identity, listeners, local
from ais_node.arguments import Arguments
from ais_node.crew import Crew
from ais_node.listeners import Layout
from ais_node.settings import Settings
from ais_node.stopping import Stopping
from ais_node.ticker import Ticker

DRAIN_TIMEOUT_S = 30.0


async def run(arguments: Arguments, settings: Settings) -> bool:
    """Run a node until it is told to stop; return whether it shall start again.

    Raise an `AisError` when it cannot start or join.
    """
    env, config = Env(), settings.config
    async with contextlib.AsyncExitStack() as stack:
        crew = Crew.of(config.local, stack)
        opens = crew.stripes if crew is not None else SoleStripes
        volume = await asyncio.to_thread(_open_volume, env, settings, opens) if arguments.role == "target" else None
        if volume:
            stack.callback(volume.close)
        else:
            stack.enter_context(identity.claimed(config.local.confdir))
        layout = listeners.lay_out(config, lambda: identity.own_host(config.cluster.proxy.primary_url))
        own = own_key(arguments, settings)
        node_id = volume.node_id if volume else _proxy_id(env, settings)
        snode = _snode(arguments.role, node_id, layout, config, own.publics if own else ())
        log_file = _open_log(config, snode, stack)
        certificates = make_certificates(config.cluster)
        client_tls = certificates.client if certificates else None
        trust = make_trust(arguments, settings, env, snode, own)
        peers = PeerClient(client_tls, trust.sign)
        stack.push_async_callback(peers.close)
        node = _make_node(settings, env, snode, peers, volume, log_file)
        node.is_closed, node.pairs = trust.is_closed, own
        node.read_join_secret = _join_secret_reader(arguments, settings, node, trust)
        trust.follow(node)
        ticker = Ticker(node, lambda: [mountpath.path for mountpath in volume.available] if volume else [])
        stack.callback(ticker.close)
        role = (
            Target(node, volume, _store(volume, env, crew), peers, trust)
            if volume
            else make_proxy(node, peers, trust, settings)
        )
        node.role = role
        stopping = Stopping(node.stop_requested, node.log)
        stack.enter_context(stopping.obeying_signals())
        if arguments.until_stdin_closes:
            stack.enter_context(stopping.obeying_stdin())
        if isinstance(role, Target):
            await role.prepare_disk()
        makes = listeners.Servers(
            role,
            lambda networks: [*node_routes.routes(node, networks, trust), *role.routes(networks)],
            trust,
            node,
            limits(settings, node.config),
            client_tls,
            budget := memory(node.config),
        )
        listener_tls = certificates.listener if certificates else None
        if crew is None:
            servers = await listeners.open_all(layout, makes, listener_tls)
        else:
            servers = crew.open(layout, makes, node, role, volume, log_file, listener_tls)
        here = local.path_of(config.local.confdir, arguments.role)
        if (own_socket := await local.open_socket(makes, here, node.log)) is not None:
            servers.append(own_socket)
            stack.callback(Path(here).unlink, missing_ok=True)
        follow_limits(settings, node, servers, budget)
        watch_certificates(node, certificates, peers, servers)
        node.tasks.keep("statistics", ticker.run)
        await _live(node, role, servers, volume, crew)
        await asyncio.to_thread(_forget, node, env, volume, config.local.confdir)
        if node.core.restart_as:
            identity.write_proxy_id(config.local.confdir, node.core.restart_as)
        return bool(node.core.restart_as)


async def _live(
    node: Node, role: Proxy | Target, servers: list[HttpServer], volume: Volume | None, crew: Crew | None
) -> None:
    """From the open listeners to the closed ones."""
    try:
        if await _joined(node):
            if volume:
                await asyncio.to_thread(volume.set_cluster_uuid, node.smap.uuid)
                await asyncio.to_thread(_remember_mountpaths, node, volume)
            role.start()
            if crew is not None:
                crew.start()
            node.log.info("ready", url=node.snode.public.url)
            await node.stop_requested.wait()
        await node.leave()
        if crew is not None:
            await crew.drain(DRAIN_TIMEOUT_S)
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(server.drain(DRAIN_TIMEOUT_S))
    finally:
        if crew is not None:
            await crew.stop()
        if isinstance(role, Target):
            await role.stop()
        await node.stop()
        for server in servers:
            await server.close()
        node.log.info("stopped")


def _remember_mountpaths(node: Node, volume: Volume) -> None:
    paths = [mountpath.path for mountpath in volume.available]
    identity.remember_mountpaths(node.config.local.confdir, volume.node_id, paths)


def _forget(node: Node, env: Env, volume: Volume | None, confdir: str) -> None:
    """After a decommission: remove what nobody needs any more. A target that keeps its data is refused with it."""
    farewell = node.farewell
    if farewell is None or not (farewell.is_last or farewell.rm_user_data or volume is None):
        return
    if volume is not None:
        volume.leave_cluster(remove_data=farewell.rm_user_data)
        identity.forget_mountpaths(confdir, volume.node_id)
    store.forget(env.disk, confdir)
    node.log.warning("the cluster is forgotten", data_removed=farewell.rm_user_data)


async def _joined(node: Node) -> bool:
    """Enter the cluster; False when the node was told to stop before it got in."""
    entering = asyncio.create_task(node.start(), name="enter the cluster")
    stopped = asyncio.create_task(node.stop_requested.wait(), name="stop while entering")
    try:
        await asyncio.wait((entering, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if not entering.done():
            entering.cancel()
    if entering.done():
        entering.result()
        return True
    with contextlib.suppress(asyncio.CancelledError):
        await entering
    return False


def _join_secret(arguments: Arguments, settings: Settings) -> bytes:
    """That of the command line, the environment or the configuration; empty when there is none. Raise `BadRequest`."""
    path = _join_secret_path(arguments, settings)
    secret = settings.environment.join_secret.encode()
    if path and secret:
        raise BadRequest("a join secret is given twice, as a file and in AIS_INIT_TOKEN: give one of them")
    return nodes.read_secret(path) if path else secret


def _join_secret_reader(
    arguments: Arguments, settings: Settings, node: Node, trust: Trust
) -> Callable[[], bool] | None:
    """What reads the file with the join secret again and signs with it; None where there is no such file."""
    path = _join_secret_path(arguments, settings)
    if not path:
        return None
    return lambda: trust.renew(nodes.read_secret(path), float(node.config.cluster.auth.intra_cluster.rotation_grace))


def _join_secret_path(arguments: Arguments, settings: Settings) -> str:
    return arguments.join_secret or settings.config.cluster.auth.intra_cluster.node_join_secret_path


def own_key(arguments: Arguments, settings: Settings) -> PairKeys | None:
    """The node's own key, made when it is first started with a join secret. Raise `BadRequest`."""
    confdir = settings.config.local.confdir
    identity.make_confdir(confdir)
    return pairs.load(confdir) or (pairs.create(confdir) if _join_secret(arguments, settings) else None)


def make_trust(
    arguments: Arguments,
    settings: Settings,
    env: Env,
    snode: Snode,
    own: PairKeys | None,
    *,
    is_quiet: bool = False,
) -> Trust:
    """How nodes know each other. Raise `BadRequest`."""
    trust = Trust(_join_secret(arguments, settings), snode.id, lambda: env.clock.now_ns() / 1e9, own)
    if not trust.is_closed and settings.config.cluster.auth.client_auth_required:
        raise BadRequest("auth.client_auth_required=true needs a --join-secret: who could tell a node from a client?")
    if not trust.is_closed and settings.config.cluster.auth.enabled and not is_quiet:
        structlog.get_logger().warning(
            "auth.enabled keeps nobody out who says that he is a node: give all nodes a --join-secret"
        )
    if not trust.is_closed and not is_quiet:
        structlog.get_logger().warning(
            "the cluster is open: whoever reaches its control network can join it and change it; give all nodes a"
            " --join-secret"
        )
    return trust


def _store(volume: Volume, env: Env, crew: Crew | None) -> Store:
    return Store(volume, env) if crew is None else SharedStore(volume, env)


def _open_volume(env: Env, settings: Settings, stripes: Callable[[Disk, str], Stripes]) -> Volume:
    """The target's mountpaths. Raise as `Volume.load_or_create` does."""
    config = settings.config
    paths = config.local.mountpaths
    if not paths:
        raise MountpathNotFound("a target needs at least one mountpath: set fspaths in the local configuration")
    if not any(store.is_marked(env.disk, path) for path in paths):
        identity.require_mounted(config.local.confdir, [record.clean_path(path) for path in paths])
    return Volume.load_or_create(
        env, paths, settings.environment.daemon_id or None, limits=volume_limits(config), stripes=stripes
    )


def volume_limits(config: NodeConfig) -> VolumeLimits:
    """Settings that the volume keeps."""
    return VolumeLimits(out_of_space_pct=float(config.cluster.space.out_of_space))


def _proxy_id(env: Env, settings: Settings) -> str:
    return identity.proxy_id(settings.config.local.confdir, settings.environment.daemon_id, env.rng)


def make_proxy(node: Node, peers: PeerClient, trust: Trust, settings: Settings, sharers: int = 1) -> Proxy:
    """The role of a gateway, in one of `sharers` processes that serve its clients."""
    return Proxy(node, peers, trust, local_cidr=settings.environment.cluster_cidr, sharers=sharers)


def _snode(role: str, node_id: str, layout: Layout, config: NodeConfig, keys: tuple[str, ...]) -> Snode:
    electable = not config.cluster.proxy.non_electable
    return Snode.make(role, node_id, layout.public, layout.control, layout.data, electable=electable, keys=keys)


def _open_log(config: NodeConfig, snode: Snode, stack: contextlib.AsyncExitStack) -> LogFile | None:
    """Send the log where the settings say: to a file in `log_dir`, or to standard error."""
    settings, directory = config.cluster.log, config.local.log_dir
    file = None
    if directory and not settings.to_stderr:
        name = f"aisnode.{snode.kind}.{snode.id}"
        file = LogFile(directory, name, int(settings.max_size), int(settings.max_total))
        stack.callback(file.close)
    log.configure(settings.level, file)
    stack.push(_log_failure)
    return file


def _log_failure(_kind: object, error: BaseException | None, _trace: object) -> None:
    """Write what ended the node to its log, while that is still open."""
    if isinstance(error, AisError):
        structlog.get_logger().error("cannot run", error=str(error))
    elif error is not None:
        structlog.get_logger().error("node failed", exc_info=error)


def _make_node(
    settings: Settings, env: Env, snode: Snode, peers: PeerClient, volume: Volume | None, log_file: LogFile | None
) -> Node:
    config, logger = settings.config, cast(FilteringBoundLogger, structlog.get_logger())
    bounds.use(bounds_of(config.cluster.limits))
    for path, names in settings.unknown.items():
        logger.warning("unknown settings are ignored", file=path, settings=names)
    directories = tuple(mountpath.path for mountpath in volume.available) if volume else (config.local.confdir,)
    node = Node(
        env=env,
        config=config,
        snode=snode,
        directories=directories,
        network=peers,
        stats=Tracker(snode.kind, env.clock),
        log=logger,
        log_file=log_file,
        deployment=settings.environment.deployment,
        pod_name=settings.environment.pod_name,
    )
    node.on_config.append(lambda changed: follow_settings(changed, log_file, volume))
    return node


def follow_settings(config: NodeConfig, file: LogFile | None, volume: Volume | None) -> None:
    """Apply settings that the process itself holds."""
    bounds.use(bounds_of(config.cluster.limits))
    settings = config.cluster.log
    log.set_level(settings.level)
    if file:
        file.set_limits(int(settings.max_size), int(settings.max_total))
    if volume:
        volume.limits = volume_limits(config)


def limits(settings: Settings, config: NodeConfig, sharers: int = 1) -> Limits:
    """Bounds of the HTTP servers of a process that shares the node's with others: it gets its part of each number.

    Connections go to the process that has the fewest, so that those of one address are shared out too.
    """
    found, timeout_s, default = config.cluster.limits, settings.environment.header_timeout_s, Limits()
    return Limits(
        header_timeout_s=default.header_timeout_s if timeout_s is None else timeout_s,
        buffers_max=-(-default.buffers_max // sharers),
        connections_max=-(-found.connections // sharers),
        connections_per_address_max=-(-found.connections_per_address // sharers),
        message_bytes_max=int(found.message_size),
        list_bytes_max=int(found.list_size),
        kept_body_timeout_s=float(found.body_timeout),
        handshakes=HandshakeLimits(
            -(-found.handshakes_per_address // sharers),
            -(-found.handshakes_waiting // sharers),
            float(found.handshake_stalled),
            float(found.handshake_timeout),
        ),
    )


def memory(config: NodeConfig) -> Memory:
    """The budget for bodies that are kept."""
    found = config.cluster.limits
    return Memory(int(found.body_memory), float(found.body_wait))


def bounds_of(found: ClientLimits) -> Bounds:
    """Bounds of what is parsed in this process."""
    return Bounds(found.json_depth, found.json_values, found.xml_depth, found.xml_tags)


def follow_limits(
    settings: Settings, node: Node, servers: list[HttpServer], memory: Memory | None = None, sharers: int = 1
) -> None:
    """Have the servers of this process keep the limits that are set while they run."""

    def follow(config: NodeConfig) -> None:
        for server in servers:
            server.limit(limits(settings, config, sharers))
        if memory is not None:
            memory.limit(int(config.cluster.limits.body_memory), float(config.cluster.limits.body_wait))

    node.on_config.append(follow)


def make_certificates(config: ClusterConfig) -> Certificates | None:
    """What clients and other nodes are shown, and whom to trust; None without TLS. Raise `BadRequest`."""
    http = config.net.http
    if not http.use_https:
        return None
    return Certificates(
        Files(
            http.server_crt,
            http.server_key,
            http.client_ca_tls,
            http.client_auth_tls,
            http.skip_verify,
            http.domain_tls,
        )
    )


def watch_certificates(
    node: Node, certificates: Certificates | None, peers: PeerClient, servers: list[HttpServer]
) -> None:
    """Have the process use the files of its certificate when they change."""
    if certificates is None:
        return

    def use() -> None:
        peers.tls = certificates.client
        for server in servers:
            server.use_upstream_tls(certificates.client)

    node.certificates = CertificateWatch(node, certificates, use)
    node.stats.certificate_end_s = lambda: certificates.end_s
    node.tasks.keep("certificate", node.certificates.run)
