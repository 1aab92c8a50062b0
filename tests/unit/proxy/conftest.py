"""Real proxies on real nodes behind real HTTP servers.

Targets are nodes with a role that lists names it was given, or, with `storage`, real ones on temporary mountpaths.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from harness import loop
from harness.remote import remote_bucket
from harness.s3 import S3

from ais.api import actions, codec, listing
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.listing import Entry, EntryFlag, LsoMsg, Page
from ais.api.messages import ActMsg
from ais.api.summary import BsummResult, ObjCount, ObjSize, SummaryMsg, TotalSize
from ais.api.xact import ArgsMsg, QueryMsg, Snap
from ais.auth import keys as auth_keys
from ais.base.errors import AisError, XactionNotFound
from ais.config.cluster import ClusterConfig
from ais.config.local import LocalConfig
from ais.config.node import NodeConfig
from ais.config.sections import ProxyURLs
from ais.core.store import Store
from ais.env import Env
from ais.fs.volume import Volume
from ais.meta.bmd import BMD
from ais.meta.smap import NetInfo, Smap, Snode
from ais.net.app import error_reply, make_app
from ais.net.client import PeerClient
from ais.net.http import Network, Request
from ais.net.server import HttpServer
from ais.node import routes as node_routes
from ais.node.node import Node
from ais.proxy.proxy import Proxy
from ais.stats.tracker import Tracker
from ais.target.target import Target

ALL_NETWORKS = Network.PUBLIC | Network.CONTROL | Network.DATA
ENDED = "2024-01-01T00:00:00Z"


@dataclass
class NamesRole:
    """A target role without storage: names per bucket, summaries that need two polls, xactions that end when told."""

    names: dict[str, list[str]] = field(default_factory=dict)
    failure: AisError | None = None
    fetched: int = 0
    pages: int = 0
    snaps: dict[str, Snap] = field(default_factory=dict)
    xactions_end: bool = True
    queries: int = 0
    summaries: dict[str, tuple[SummaryMsg, int]] = field(default_factory=dict)

    async def prepare_bmd(self, old: BMD, new: BMD) -> None:
        if self.failure:
            raise self.failure

    async def abort_bmd(self, old: BMD, new: BMD) -> None: ...

    def follow_map(self, smap: Smap) -> None: ...

    async def has_objects(self) -> bool:
        return False

    def serve(self) -> None: ...

    async def load_bmd(self, bmd: BMD) -> None: ...

    async def apply_bmd(self, old: BMD, new: BMD) -> None: ...

    def status(self) -> dict[str, Any]:
        return {}

    def daemon_value(self, what: str) -> object | None:
        return {"available": ["/mp1"], "waiting_dd": [], "disabled": []} if what == "mountpaths" else None

    def state_flags(self) -> int:
        return 0

    def route(self, _request: Request) -> None: ...

    def error_reply(self, _request: Request, _error: BaseException) -> None: ...

    def routes(self, _networks: Network) -> list[web.RouteDef]:
        return [
            web.get("/v1/buckets", self.buckets),
            web.get("/v1/buckets/{bucket}", self.buckets),
            web.put("/v1/xactions", self.change_xactions),
            web.get("/v1/xactions", self.list_xactions),
        ]

    async def buckets(self, request: web.Request) -> web.Response:
        if self.failure:
            raise self.failure
        message = ActMsg.parse(await request.read())
        bucket = request.match_info.get("bucket", "")
        if message.action == actions.LIST:
            return web.Response(body=listing.encode_page(self.page(bucket, message.value_as(LsoMsg))))
        return self.summary(bucket, message.value_as(SummaryMsg), is_start=message.name == "start")

    def page(self, bucket: str, message: LsoMsg) -> Page:
        rest = [name for name in sorted(self.names[bucket]) if name > message.after and name.startswith(message.prefix)]
        taken = rest[: message.pagesize]
        self.fetched += len(taken)
        self.pages += 1
        entries = [Entry(name, s=len(name), f=int(EntryFlag.PRESENT)) for name in taken]
        return Page(message.uuid, taken[-1] if len(rest) > len(taken) else "", entries)

    def summary(self, bucket: str, message: SummaryMsg, *, is_start: bool) -> web.Response:
        if is_start:
            self.summaries[message.uuid] = (message, 0)
            return web.Response(status=202)
        if message.uuid not in self.summaries:
            raise XactionNotFound(message.uuid)
        begun, polls = self.summaries[message.uuid]
        self.summaries[message.uuid] = (begun, polls + 1)
        if not polls:
            return web.Response(status=202)
        names = [name for name in self.names.get(bucket, ()) if name.startswith(begun.prefix)]
        sizes = [len(name) for name in names]
        result = BsummResult(
            bucket,
            "ais",
            ObjCount=ObjCount(U64(len(names))),
            ObjSize=ObjSize(min(sizes, default=0), 0, max(sizes, default=0)),
            TotalSize=TotalSize(U64(10), U64(sum(sizes)), U64(0), U64(100)),
        )
        return web.Response(status=200 if polls > 1 else 206, body=codec.to_json([result]))

    async def change_xactions(self, request: web.Request) -> web.Response:
        message = ActMsg.parse(await request.read())
        args = message.value_as(ArgsMsg)
        if message.action == actions.START and args.id not in self.snaps:
            self.snaps[args.id] = Snap(id=args.id, kind=args.kind, start_time=ENDED, bck=args.bck or Bck(""))
        if message.action == actions.STOP:
            self.end_xactions()
        return web.Response()

    async def list_xactions(self, request: web.Request) -> web.Response:
        query = codec.from_json(await request.read(), QueryMsg)
        self.queries += 1
        if self.xactions_end:
            self.end_xactions()
        wanted = [
            snap
            for snap in self.snaps.values()
            if (not query.id or snap.id in query.id.split(","))
            and (not query.kind or snap.kind == query.kind)
            and not (query.show_active and snap.is_finished)
        ]
        return web.Response(body=codec.to_json(wanted))

    def end_xactions(self) -> None:
        for uuid, snap in self.snaps.items():
            self.snaps[uuid] = Snap(id=uuid, kind=snap.kind, start_time=snap.start_time, end_time=ENDED, bck=snap.bck)


@dataclass
class Member:
    """One node that serves."""

    node: Node
    role: Any
    server: HttpServer
    http: aiohttp.ClientSession

    @property
    def id(self) -> str:
        return self.node.snode.id

    @property
    def url(self) -> str:
        return self.node.snode.public.url

    async def ask(self, method: str, path: str, body: Any = None, **kwargs: Any) -> "Reply":
        """A client's request; `body` as JSON; redirects are not followed."""
        data = codec.to_json(body) if body is not None else b""
        url = self.url + path
        async with self.http.request(method, url, data=data, allow_redirects=False, **kwargs) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def act(self, method: str, path: str, action: str, value: Any = None, **kwargs: Any) -> "Reply":
        """A request with a control message."""
        return await self.ask(method, path, {"action": action, "name": "", "value": value}, **kwargs)

    async def stop(self) -> None:
        await self.node.stop()
        await self.server.close()


@dataclass
class Reply:
    """What a client got."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return codec.parse_json(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error's JSON, from the body or from the header."""
        return dict(codec.parse_json(self.body or self.headers["Hdr-Error"]))


@dataclass
class Running:
    """A cluster in this process."""

    proxies: list[Member]
    targets: list[Member]
    join: Callable[[], Awaitable[Member]]
    """Start one more target."""

    @property
    def primary(self) -> Member:
        return self.proxies[0]

    async def create(self, name: str) -> None:
        """A bucket, over which the targets' names can be spread."""
        assert (await self.primary.act("POST", f"/v1/buckets/{name}", "create-bck")).status == 200

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to the primary."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.primary.url.rpartition(":")[2]))
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()

    def s3(self, proxy: int = 0) -> S3:
        """An S3 client that signs nothing."""
        return S3(self.proxies[proxy].url)

    async def user(self, name: str, proxy: int = 0, *, admin: bool = False) -> S3:
        """An S3 client with a new access key of this user."""
        node = self.primary.node
        key, secret = auth_keys.new_key(name, node.cluster_secret, node.env.clock.now_ns(), admin=admin)
        await node.change_keys(lambda keys: keys.with_key(key))
        return S3(self.proxies[proxy].url, key.id, secret)

    def spread(self, bucket: str, names: list[str]) -> None:
        """Give each target every n-th of these names."""
        for index, target in enumerate(self.targets):
            target.role.names[bucket] = names[index :: len(self.targets)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _on_error(role: Any, node_name: str) -> Callable[[Request, BaseException], Any]:
    def reply(request: Request, error: BaseException) -> Any:
        if not isinstance(error, AisError):
            raise error
        return role.error_reply(request, error) or error_reply(request, error, node_name)

    return reply


async def start_member(
    kind: str, number: int, root: Path, shared: ClusterConfig, stack: AsyncExitStack, *, storage: bool
) -> Member:
    """One node that has entered the cluster."""
    primary_url = shared.proxy.primary_url
    port = int(primary_url.rpartition(":")[2]) if (kind, number) == ("proxy", 0) else free_port()
    net = NetInfo.make("http", "127.0.0.1", port)
    snode = Snode.make(kind, f"{kind[0]}{number}aaaaaa", net, net, net)
    directory = root / snode.id
    directory.mkdir(parents=True)
    env = Env()
    volume = Volume.load_or_create(env, [str(directory)], snode.id) if storage and kind == "target" else None
    peers = PeerClient()
    stack.push_async_callback(peers.close)
    node = Node(
        env=env,
        config=NodeConfig(shared, LocalConfig(confdir=str(directory), egress_networks=["127.0.0.0/8"])),
        snode=snode,
        directories=(str(directory),),
        network=peers,
        stats=Tracker(kind, env.clock),
        log=structlog.get_logger(),
    )
    role: Any = NamesRole()
    if kind == "proxy":
        role = Proxy(node, peers)
    elif volume is not None:
        stack.callback(volume.close)
        role = Target(node, volume, Store(volume, env), peers)
        stack.push_async_callback(role.stop)
    node.role = role
    app = make_app([*node_routes.routes(node, ALL_NETWORKS), *role.routes(ALL_NETWORKS)], snode.name)
    server = HttpServer(role.route, app, _on_error(role, snode.name), networks=ALL_NETWORKS)
    await server.start("127.0.0.1", port)
    http = await stack.enter_async_context(aiohttp.ClientSession())
    member = Member(node, role, server, http)
    stack.push_async_callback(member.stop)
    await node.start()
    if isinstance(role, Proxy | Target):
        role.start()
    return member


Serve = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """`async with serve(proxies=2, targets=3) as cluster:`; the first proxy is primary. `config`: other sections.

    `prefix` is where another cluster of the same test has its files.
    """

    @asynccontextmanager
    async def serving(
        proxies: int = 1, targets: int = 2, *, storage: bool = False, prefix: str = "", **config: Any
    ) -> AsyncIterator[Running]:
        shared = ClusterConfig(proxy=ProxyURLs(primary_url=f"http://127.0.0.1:{free_port()}"), **config)
        async with AsyncExitStack() as stack:
            kinds = [("proxy", number) for number in range(proxies)] + [("target", number) for number in range(targets)]
            members = [
                await start_member(kind, number, tmp_path / prefix, shared, stack, storage=storage)
                for kind, number in kinds
            ]
            join = partial(start_member, "target", targets, tmp_path / prefix, shared, stack, storage=storage)
            yield Running(members[:proxies], members[proxies:], join)

    return serving


@pytest.fixture
def run() -> Callable[[Any], Any]:
    """Run a scenario to its end."""
    return loop.run


@pytest.fixture
def remote(serve: Any, aws: str, request: pytest.FixtureRequest) -> Any:
    """`async with remote() as bucket:`: two targets, and a bucket at moto with four objects."""
    name = request.node.name.split("[")[0].replace("_", "-")[:60]
    return partial(remote_bucket, serve, aws, name)
