"""A whole cluster in one process: real nodes, a network and a clock that the test commands, one seed for everything."""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest
import structlog

from ais.api.codec import U64
from ais.base.errors import AisError, BadRequest, Unreachable
from ais.base.units import Duration
from ais.config.cluster import ClusterConfig
from ais.config.local import LocalConfig
from ais.config.node import NodeConfig
from ais.config.sections import Keepalive, KeepaliveTracker, ProxyURLs, Timeout
from ais.env import Env
from ais.env.disk import Disk
from ais.env.network import Answer
from ais.meta.bmd import BMD
from ais.meta.smap import NetInfo, Smap, Snode
from ais.node import service
from ais.node.node import Node
from ais.stats.tracker import Tracker

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

INTERVAL_S = 2.0
FACTOR = 3


class VirtualSelector(selectors.SelectSelector):
    """Waiting costs no time: the clock jumps to the next timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation waits for something that never happens")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in simulated time."""

    def __init__(self) -> None:
        self.virtual = VirtualSelector()
        super().__init__(self.virtual)

    def time(self) -> float:
        return self.virtual.now


class VirtualClock:
    """The clock of the simulated nodes."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000 + int(self._loop.time() * 1e9)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class FastDisk(Disk):
    """Real files without waiting for the platters."""

    fsync = staticmethod(lambda fd: None)


class FakeRole:
    """A role that remembers the buckets it has and can be told to veto."""

    def __init__(self) -> None:
        self.veto: AisError | None = None
        self.broken: AisError | None = None
        self.prepared: list[int] = []
        self.buckets: set[str] = set()

    async def prepare_bmd(self, old: BMD, new: BMD) -> None:
        self.prepared.append(new.version)
        if self.veto:
            raise self.veto

    async def abort_bmd(self, old: BMD, new: BMD) -> None:
        if new.version in self.prepared:
            self.prepared.remove(new.version)

    def follow_map(self, smap: Smap) -> None: ...

    async def has_objects(self) -> bool:
        return False

    def serve(self) -> None: ...

    async def load_bmd(self, bmd: BMD) -> None:
        self.buckets = {bucket.bck.name for bucket in bmd}

    async def apply_bmd(self, old: BMD, new: BMD) -> None:
        if self.broken:
            raise self.broken
        self.buckets = {bucket.bck.name for bucket in new}

    def status(self) -> dict[str, Any]:
        return {}

    def daemon_value(self, what: str) -> object | None:
        return None

    def state_flags(self) -> int:
        return 0


class SimNode:
    """One simulated machine: its disk stays when its process is killed."""

    def __init__(self, world: "World", kind: str, node_id: str, port: int) -> None:
        self.world, self.kind, self.id, self.port = world, kind, node_id, port
        self.directory = world.root / node_id
        self.directory.mkdir(parents=True, exist_ok=True)
        self.confdir = self.directory if kind == "proxy" else world.root / "conf" / node_id
        self.confdir.mkdir(parents=True, exist_ok=True)
        self.primary_url = world.primary_url
        self.advertised_port = 0
        self.node: Node | None = None
        self.role = FakeRole()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.start_error: AisError | None = None

    @property
    def url(self) -> str:
        return f"http://{self.id}:{self.port}"

    @property
    def alive(self) -> Node:
        assert self.node is not None, f"{self.id} is dead"
        return self.node

    def boot(self) -> None:
        """Start a process; it enters the cluster in the background."""
        assert self.node is None
        net = NetInfo.make("http", self.id, self.advertised_port or self.port)
        clock = self.world.clock
        node = self.node = Node(
            env=Env(clock, FastDisk(), random.Random(f"{self.id}{self.world.seed}{clock.monotonic()}")),
            config=NodeConfig(self.world.config(self.primary_url), LocalConfig(confdir=str(self.confdir))),
            snode=Snode.make(self.kind, self.id, net, net, net),
            directories=(str(self.directory),),
            network=SimNetwork(self.world, self),
            stats=Tracker(self.kind, clock),
            log=structlog.wrap_logger(self.world.logger, processors=[self.world.note]),
            offload=self.world.offload,
        )
        self.role = FakeRole()
        node.role = self.role
        self.run(self._start(node))

    async def _start(self, node: Node) -> None:
        self.start_error = None
        try:
            await node.start()
        except AisError as error:
            self.start_error = error
            self.world.trace.append(f"{self.world.clock.monotonic():9.3f} {self.id} ends: {error}")
            asyncio.get_running_loop().call_soon(self._restart, node)

    def _restart(self, node: Node) -> None:
        """What systemd does with a process that ended with an error."""
        if self.node is node:
            self.kill()
            asyncio.get_running_loop().call_later(1.0, lambda: None if self.node else self.boot())

    def run(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run something that ends when this process is killed."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def kill(self) -> None:
        """kill -9."""
        assert self.node is not None
        for task in [*self.tasks, *self.node.tasks.tasks, *self.node.changes.tasks]:
            task.cancel()
        self.node = None

    async def terminate(self) -> None:
        """SIGTERM."""
        node = self.alive
        await node.leave()
        await node.stop()
        self.kill()


class SimNetwork:
    """The network as one node sees it."""

    def __init__(self, world: "World", source: SimNode) -> None:
        self._world, self._source = world, source

    async def call(
        self,
        method: str,
        url: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float,
    ) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._call(method, url, query or {}, body)
        except TimeoutError:
            raise Unreachable(f"{url} did not answer within {timeout_s:g}s") from None

    async def _call(self, method: str, url: str, query: dict[str, str], body: bytes) -> Answer:
        world = self._world
        base, _, path = url.removeprefix("http://").partition("/")
        target = next((node for node in world.nodes.values() if node.url == f"http://{base}"), None)
        await world.travel(self._source.id, target.id if target else "")
        if target is None or target.node is None:
            raise Unreachable(f"{url}: connection refused")
        process = target.node
        task = target.run(service.handle(process, method, "/" + path, query, body))
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and target.node is not process:
                raise Unreachable(f"{url}: connection reset") from None
            raise
        await world.travel(target.id, self._source.id)
        return answer


class World:
    """All machines, the network between them, and what happened."""

    primary_url = "http://p1aaaaaa:80"

    def __init__(self, root: Path, seed: int, loop: VirtualLoop, overrides: dict[str, Any]) -> None:
        self.root, self.seed, self.clock = root, seed, VirtualClock(loop)
        self.rng = random.Random(seed)
        self.nodes: dict[str, SimNode] = {}
        self.cut: set[tuple[str, str]] = set()
        self.trace: list[str] = []
        self.logger = structlog.ReturnLogger()
        self.slow_disk_s = 0.002
        self._overrides = overrides

    def config(self, primary_url: str) -> ClusterConfig:
        tracker = KeepaliveTracker(interval=Duration(INTERVAL_S), factor=FACTOR)
        timeout = Timeout(startup_time=Duration(10), join_startup_time=Duration(60), max_keepalive=Duration(3))
        return ClusterConfig(
            keepalivetracker=Keepalive(proxy=tracker, target=tracker),
            timeout=timeout,
            proxy=ProxyURLs(primary_url=primary_url),
            config_version=U64(0),
        )

    def note(self, _logger: Any, method: str, event: dict[str, Any]) -> str:
        values = " ".join(f"{name}={value}" for name, value in sorted(event.items()) if name not in ("event", "node"))
        line = f"{self.clock.monotonic():9.3f} {event.get('node', '')} {event['event']} {values}"
        if method != "debug":
            self.trace.append(line)
        return line

    async def offload(self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        await asyncio.sleep(self.rng.uniform(0, self.slow_disk_s))
        return call(*args, **kwargs)

    async def travel(self, source: str, target: str) -> None:
        """One message on its way; a message into a cut link never arrives."""
        await asyncio.sleep(self.rng.uniform(0.0005, 0.01))
        if (source, target) in self.cut:
            await asyncio.sleep(1e6)

    def add(self, kind: str, node_id: str) -> SimNode:
        node = self.nodes[node_id] = SimNode(self, kind, node_id, 80)
        return node

    def twin(self, node_id: str, port: int) -> SimNode:
        """Another machine that claims the ID of a node, at another port."""
        node = SimNode(self, self.nodes[node_id].kind, node_id, port)
        node.directory = self.root / f"twin-{node_id}"
        node.confdir = node.directory
        node.directory.mkdir()
        self.nodes[f"twin of {node_id}"] = node
        return node

    def cluster(self, proxies: int, targets: int) -> None:
        """Boot that many nodes: p1aaaaaa, p2aaaaaa, ..., t1aaaaaa, ..."""
        for number in range(1, proxies + 1):
            self.add("proxy", f"p{number}aaaaaa").boot()
        for number in range(1, targets + 1):
            self.add("target", f"t{number}aaaaaa").boot()

    def __getitem__(self, short: str) -> SimNode:
        return self.nodes[short + "aaaaaa"]

    @property
    def running(self) -> list[Node]:
        return [node.node for node in self.nodes.values() if node.node is not None]

    def authorities(self) -> list[str]:
        """Nodes that may change metadata now."""
        return [node.snode.id for node in self.running if node.has_authority]

    def rivals(self) -> list[str]:
        """Nodes that may change the same cluster's metadata at the same time."""
        found = [(node.smap.uuid, node.snode.id) for node in self.running if node.has_authority]
        uuids = [uuid for uuid, _ in found]
        return [node for uuid, node in found if uuids.count(uuid) > 1]

    def primary(self) -> Node:
        """The primary that has authority."""
        return next(node for node in self.running if node.has_authority)

    def partition(self, *groups: str) -> None:
        """Cut all links between the groups, given as `"p1 t1"`; nodes not named stay connected to all."""
        sides = [[self[short].id for short in group.split()] for group in groups]
        for index, side in enumerate(sides):
            others = [node for other in sides[:index] + sides[index + 1 :] for node in other]
            self.cut |= {(a, b) for a in side for b in others} | {(b, a) for a in side for b in others}

    def heal(self) -> None:
        self.cut.clear()

    async def until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Wait in simulated time; return how long it took."""
        start = self.clock.monotonic()
        while not condition():
            assert self.clock.monotonic() - start < timeout_s, (
                f"{what} did not happen in {timeout_s}s:\n" + self.story()
            )
            await asyncio.sleep(0.05)
        return self.clock.monotonic() - start

    def converged(self) -> bool:
        """All running nodes are in one cluster map with one primary that has authority, and know the same."""
        running = self.running
        stamps = {node.state.current.stamps for node in running}
        everybody = {node.snode.id for node in running}
        return (
            len(self.authorities()) == 1
            and len(stamps) == 1
            and all(set(node.smap.present) == everybody and node.is_settled for node in running)
        )

    async def settled(self, timeout_s: float = 60) -> float:
        return await self.until(self.converged, timeout_s, "convergence")

    def story(self) -> str:
        states = [
            f"{node.snode.id}: {node.state.current.stamps} primary={node.smap.primary_id} term={node.term}"
            f" reign={node.is_primary} authority={node.has_authority} ready={node.is_ready}"
            f" nodes={sorted(node.smap.present)} away={sorted(node.smap.away)}"
            for node in self.running
        ]
        return "\n".join([*self.trace[-60:], *states])


Scenario = Callable[[World], Coroutine[Any, Any, T]]


@pytest.fixture
def simulate(tmp_path: Path) -> Callable[..., Any]:
    """Run a scenario in a fresh world; the same seed gives the same history."""
    worlds = iter(range(1_000_000))

    def run(scenario: Scenario[T], *, seed: int = 1, **overrides: Any) -> T:
        loop = VirtualLoop()
        world = World(tmp_path / f"world{next(worlds)}", seed, loop, overrides)
        try:
            return loop.run_until_complete(_with_watch(world, scenario))
        finally:
            loop.run_until_complete(_end_all())
            loop.close()

    return run


async def _end_all() -> None:
    pending = asyncio.all_tasks() - {asyncio.current_task()}
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


async def _with_watch(world: World, scenario: Scenario[T]) -> T:
    """Check all the time that no two primaries have authority at once."""

    async def watch() -> None:
        while True:
            found = world.rivals()
            assert not found, f"two primaries with authority: {found}\n" + world.story()
            await asyncio.sleep(0.01)

    watcher = asyncio.get_running_loop().create_task(watch())
    work = asyncio.get_running_loop().create_task(scenario(world))
    await asyncio.wait([watcher, work], return_when=asyncio.FIRST_COMPLETED)
    if watcher.done():
        work.cancel()
        watcher.result()
    watcher.cancel()
    return await work


__all__ = ["BadRequest", "FakeRole", "SimNode", "World"]
