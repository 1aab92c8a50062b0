"""A real target behind a real HTTP server on temporary mountpaths, with the smallest node around it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
from yarl import URL

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.listing import LsoMsg, Page, decode_page, normalise
from ais.api.messages import ActMsg
from ais.auth.keys import AccessKeys, KeyRing
from ais.config.node import NodeConfig
from ais.core.store import Store
from ais.env import Env
from ais.env.clock import Clock, SystemClock
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.meta import rename
from ais.meta.bmd import BMD, apply_props, inherited_props
from ais.meta.placement import Placement
from ais.meta.smap import NetInfo, Smap, Snode
from ais.net.app import error_reply, make_app
from ais.net.client import PeerClient
from ais.net.http import Network
from ais.net.server import HttpServer
from ais.node.oidc import Issuers
from ais.stats.tracker import Tracker
from ais.target.target import Target

ALL_NETWORKS = Network.PUBLIC | Network.CONTROL | Network.DATA
MARKS = {"pid": "proxyPROXY", "utm": "1771000000000000000"}
BCK = Bck("b")
CLUSTER_SECRET = b"the secret that the nodes share."
ENCRYPTION = (
    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
    "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
)


@dataclass
class SmallNode:
    """What a target needs of a node, without membership."""

    snode: Snode
    stats: Tracker
    env: Env = field(default_factory=Env)
    config: NodeConfig = field(default_factory=NodeConfig)
    smap: Smap = field(default_factory=Smap)
    bmd: BMD = field(default_factory=lambda: BMD("bmdUUID01", 1))
    keyring: KeyRing = field(default_factory=lambda: KeyRing(AccessKeys(), (CLUSTER_SECRET,)))
    cluster_secret: bytes = CLUSTER_SECRET
    former: None = None
    known_keys: None = None
    _placed: tuple[Smap, Placement] | None = None

    @property
    def issuers(self) -> Issuers:
        """None are allowed."""
        return Issuers(cast(Any, self))

    def wire_key(self, _node_id: str) -> bytes:
        """Nodes without keys of their own sign with the cluster's secret."""
        return self.cluster_secret

    @property
    def cluster_secrets(self) -> tuple[bytes, ...]:
        """Never replaced."""
        return (self.cluster_secret,)

    @property
    def sure_ns(self) -> int:
        """There is no other clock."""
        return self.env.clock.now_ns()

    def wire_keys(self, _node_id: str) -> tuple[bytes, ...]:
        """All that others sign with."""
        return self.cluster_secrets

    async def set_directories(self, directories: tuple[str, ...]) -> None:
        """A node without metadata files."""

    def require_settled(self) -> None:
        """It always is."""

    @property
    def placement(self) -> Placement:
        """Owners by the present cluster map."""
        if self._placed is None or self._placed[0] is not self.smap:
            self._placed = self.smap, Placement(self.smap)
        return self._placed[1]


class LiveTarget:
    """One target that serves on a port of this machine."""

    def __init__(self, node: SmallNode, volume: Volume, peers: PeerClient, http: aiohttp.ClientSession) -> None:
        self.node, self.volume, self.peers, self.http = node, volume, peers, http
        self.target = Target(node, volume, Store(volume, node.env), peers)
        app = make_app(self.target.routes(ALL_NETWORKS), node.snode.name)
        self.server = HttpServer(
            self.target.route,
            app,
            lambda request, error: (
                self.target.error_reply(request, error) or error_reply(request, error, node.snode.name)
            ),
            networks=ALL_NETWORKS,
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.node.snode.public.url

    async def take(self, bmd: BMD) -> None:
        """What the node does with a new BMD."""
        await self.target.prepare_bmd(self.node.bmd, bmd)
        await self.target.apply_bmd(self.node.bmd, bmd)
        self.node.bmd = bmd

    async def create(self, bck: Bck = BCK, patch: dict[str, Any] | None = None) -> None:
        """A bucket with the default properties, some of them changed."""
        props = inherited_props(bck, self.node.config.cluster, U64((1 << 63) + self.node.bmd.version), 1)
        await self.take(self.node.bmd.with_bucket(bck, apply_props(props, patch, 1)))

    async def ask(self, method: str, name: str, *, bucket: str = "b", query: Any = None, **kwargs: Any) -> "Answer":
        """A request on an object, with redirect marks, as a client that a proxy sent here."""
        url = f"{self.url}/v1/objects/{bucket}/{name}"
        return await self.call(method, url, params={"provider": "ais", **(query or {}), **MARKS}, **kwargs)

    async def act(
        self, method: str, name: str, action: str, text: str = "", value: Any = None, **kwargs: Any
    ) -> "Answer":
        """The same with a control message."""
        return await self.ask(method, name, data=codec.to_json(ActMsg(action, text, value)), **kwargs)

    async def s3(self, method: str, path: str, **kwargs: Any) -> "Answer":
        """An S3 request; `path` is `bucket/key?query`, percent-encoded."""
        return await self.call(method, URL(f"{self.url}/s3/{path}", encoded=True), **kwargs)

    async def call(self, method: str, url: str | URL, **kwargs: Any) -> "Answer":
        """Any request; redirects are not followed."""
        async with self.http.request(method, url, allow_redirects=False, **kwargs) as response:
            return Answer(response.status, response.headers, await response.read())

    async def begin_rename(self, source: Bck, destination: Bck, target_ids: frozenset[str]) -> None:
        """The BMD in which a rename has begun."""
        begun = rename.Rename("renRENren1", source, destination, target_ids)
        await self.take(rename.begin(self.node.bmd, begun, term=1, now_ns=1))

    async def page(self, bck: Bck, **asked: Any) -> Page:
        """A page of what it has of a bucket, as a proxy asks for it."""
        message = normalise(LsoMsg(**{"uuid": "listLIST1", **asked}), is_ais=True)
        body = codec.to_json({"action": "list", "value": message})
        answer = await self.call("GET", f"{self.url}/v1/buckets/{bck.name}?provider=ais", data=body)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/msgpack")
        return decode_page(answer.body)

    async def names(self, bck: Bck, **asked: Any) -> list[str]:
        """All names in one page."""
        return [entry.n for entry in (await self.page(bck, **asked)).Entries or ()]

    async def stop(self) -> None:
        """End everything that was started."""
        await self.server.close()
        await self.target.stop()
        await self.peers.close()
        self.volume.close()

    def files(self) -> list[str]:
        """Every file on all mountpaths, those in the trash included."""
        found = (walked for one in self.volume.available for walked in os.walk(one.path))
        return [os.path.join(path, name) for path, _, names in found for name in names]

    def work_files(self) -> list[str]:
        """Those that lie in work directories."""
        return [path for path in self.files() if os.path.dirname(path).endswith("/%wk")]


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def message(self) -> str:
        """The error's text."""
        return str(codec.parse_json(self.body or self.headers["Hdr-Error"])["message"])


@asynccontextmanager
async def serving(
    root: Path, count: int = 1, disk: Disk | None = None, *, clock: Clock | None = None, is_starting: bool = False
) -> AsyncIterator[list[LiveTarget]]:
    """So many targets in one cluster, each with two mountpaths below `root`, all on one `disk`.

    `is_starting`: they take requests, but buckets are not shown before `target.serve`.
    """
    async with aiohttp.ClientSession() as http:
        targets = [
            await _start(root / f"t{index}", http, Env(disk=disk or Disk(), clock=clock or SystemClock()))
            for index in range(count)
        ]
        smap = Smap(uuid="clusterUUID")
        for live in targets:
            smap = smap.with_node(live.node.snode)
        for live in targets:
            live.node.smap = smap
            await live.target.prepare_disk()
            if not is_starting:
                live.target.serve()
            live.target.start()
        try:
            yield targets
        finally:
            for live in targets:
                await live.stop()


async def _start(root: Path, http: aiohttp.ClientSession, env: Env) -> LiveTarget:
    paths = [root / name for name in ("mp1", "mp2")]
    for path in paths:
        path.mkdir(parents=True, exist_ok=True)
    volume = Volume.load_or_create(env, [str(path) for path in paths])
    nothing = NetInfo()
    node = SmallNode(Snode.make("target", volume.node_id, nothing, nothing, nothing), Tracker("target", env.clock), env)
    live = LiveTarget(node, volume, PeerClient(), http)
    here = NetInfo.make("http", "127.0.0.1", await live.server.start("127.0.0.1", 0))
    node.snode = Snode.make("target", volume.node_id, here, here, here)
    return live


async def until(condition: Callable[[], bool]) -> None:
    """Let everything else run until `condition` holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread, or in the kernel
            await asyncio.sleep(0.002)
