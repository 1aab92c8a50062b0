"""The routes that gateways and targets have by their own tables, read from a gateway and a target that serve nobody."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import structlog

from ais.config.local import LocalConfig
from ais.config.node import NodeConfig
from ais.core.store import Store
from ais.env import Env
from ais.fs.volume import Volume
from ais.meta.smap import PROXY, TARGET, NetInfo, Snode
from ais.net.client import PeerClient
from ais.net.http import Network
from ais.node import routes as node_routes
from ais.node.node import Node
from ais.node.trust import Trust
from ais.proxy.proxy import Proxy
from ais.stats.tracker import Tracker
from ais.target.target import Target

ALL = Network.PUBLIC | Network.CONTROL | Network.DATA
Table = dict[tuple[str, Network], list[tuple[str, str]]]


async def tables(directory: Path) -> Table:
    """By role and the networks of a listener: methods and paths as they are declared."""
    with contextlib.ExitStack() as stack:
        found: Table = {}
        for kind in (PROXY, TARGET):
            net = NetInfo.make("http", "127.0.0.1", 1)
            env, snode = Env(), Snode.make(kind, f"{kind[0]}aaaaaaaa", net, net, net)
            peers, trust = PeerClient(), Trust(b"a secret of some thirty-two bytes", snode.id, lambda: 0.0)
            node = Node(
                env=env,
                config=NodeConfig(NodeConfig().cluster, LocalConfig(confdir=str(directory))),
                snode=snode,
                directories=(str(directory),),
                network=peers,
                stats=Tracker(kind, env.clock),
                log=structlog.get_logger(),
            )
            role: Proxy | Target = Proxy(node, peers, trust)
            if kind == TARGET:
                (mountpath := directory / "mp").mkdir()
                volume = Volume.load_or_create(env, [str(mountpath)], snode.id)
                stack.callback(volume.close)
                role = Target(node, volume, Store(volume, env), peers, trust)
            for networks in (Network.PUBLIC, Network.CONTROL, Network.DATA, ALL):
                routes = [*node_routes.routes(node, networks, trust), *role.routes(networks)]
                found[kind, networks] = list(dict.fromkeys(_methods_of(routes)))
        return found


def _methods_of(routes: list[object]) -> Iterator[tuple[str, str]]:
    for route in routes:
        yield route.method, route.path  # type: ignore[attr-defined]
