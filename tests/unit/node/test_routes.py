"""The node's endpoints on real listeners: which network has which, and what HTTP adds."""

import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from harness import loop

from ais.config.local import LocalConfig
from ais.config.node import NodeConfig
from ais.env import Env
from ais.meta.bmd import BMD
from ais.meta.smap import NetInfo, Smap, Snode
from ais.net.app import error_reply, make_app
from ais.net.client import PeerClient
from ais.net.http import Network
from ais.net.server import HttpServer, Limits
from ais.node.node import Node
from ais.node.routes import routes
from ais.stats.tracker import Tracker


class IdleRole:
    """A role without buckets."""

    def serve(self) -> None: ...

    async def has_objects(self) -> bool:
        return False

    def follow_map(self, smap: Smap) -> None: ...

    async def load_bmd(self, bmd: BMD) -> None: ...

    async def prepare_bmd(self, old: BMD, new: BMD) -> None: ...

    async def abort_bmd(self, old: BMD, new: BMD) -> None: ...

    async def apply_bmd(self, old: BMD, new: BMD) -> None: ...

    def status(self) -> dict[str, Any]:
        return {}

    def daemon_value(self, what: str) -> object | None:
        return None

    def state_flags(self) -> int:
        return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Live:
    """A node that listens for the public and for other nodes on two ports."""

    def __init__(self, root: Path, kind: str, node_id: str, primary_url: str) -> None:
        directory = root / node_id
        directory.mkdir()
        public, control = (NetInfo.make("http", "127.0.0.1", free_port()) for _ in range(2))
        self.peers = PeerClient()
        self.servers: list[HttpServer] = []
        environment = {"proxy.primary_url": primary_url or public.url}
        self.node = Node(
            env=Env(),
            config=NodeConfig(local=LocalConfig(confdir=str(directory)), environment=environment),
            snode=Snode.make(kind, node_id, public, control, control),
            directories=(str(directory),),
            network=self.peers,
            stats=Tracker(kind, Env().clock),
            log=structlog.get_logger(),
        )
        self.node.role = IdleRole()

    async def __aenter__(self) -> "Live":
        name = self.node.snode.name
        for net, networks in ((self.node.snode.public, Network.PUBLIC), (self.node.snode.control, Network.CONTROL)):
            app = make_app(routes(self.node, networks), name)
            server = HttpServer(
                lambda _: None, app, lambda request, error: error_reply(request, error, name), Limits(), networks
            )
            await server.start(net.host, int(net.port), None)
            self.servers.append(server)
        await self.node.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.node.stop()
        for server in self.servers:
            await server.close()
        await self.peers.close()


def test_two_processes_worth_of_nodes_over_http(tmp_path: Path) -> None:
    """A target joins over real sockets; each listener has its own paths; errors, browsers and metrics look right."""

    async def scenario() -> None:
        async with (
            Live(tmp_path, "proxy", "p1aaaaaa", "") as proxy,
            Live(tmp_path, "target", "t1aaaaaa", proxy.node.snode.public.url) as target,
            aiohttp.ClientSession() as http,
        ):
            assert set(proxy.node.smap.nodes) == {"p1aaaaaa", "t1aaaaaa"}

            async def ask(method: str, url: str, **kwargs: Any) -> tuple[int, bytes]:
                async with http.request(method, url, **kwargs) as response:
                    return response.status, await response.read()

            public, control = target.node.snode.public.url, target.node.snode.control.url
            status, body = await ask("GET", public + "/v1/daemon?what=smap")
            assert (status, body[-1:], json.loads(body)["proxy_si"]["daemon_id"]) == (200, b"\n", "p1aaaaaa")
            assert (await ask("GET", public + "/v1/health"))[0] == 200
            status, body = await ask("GET", public + "/metrics")
            assert (status, b"ais_target_get_count" in body) == (200, True)
            for method, path in (("PUT", "/v1/metasync"), ("POST", "/v1/vote"), ("POST", "/v1/cluster/leave")):
                assert (await ask(method, public + path))[0] in (400, 404)
                assert b"not a valid" in (await ask(method, control + path))[1]
            status, body = await ask("PUT", public + "/v1/daemon", json={"action": "shutdown"})
            assert (status, b"/v1/reverse/daemon" in body) == (403, True)
            assert (await ask("PUT", control + "/v1/daemon", json={"action": "reset-stats"}))[0] == 200
            proxy_public = proxy.node.snode.public.url
            assert (await ask("PUT", proxy_public + "/v1/daemon", json={"action": "reset-stats"}))[0] == 200
            status, body = await ask(
                "GET", proxy_public + "/v1/daemon?what=snode", headers={"User-Agent": "Mozilla/5.0"}
            )
            assert body.startswith(b'{\n    "public_net"')
            assert not target.node.stop_requested.is_set()

    loop.run(scenario())
