"""A real cluster whose nodes can be killed, frozen, cut off and robbed of their mountpaths."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import psutil

from ais.base.errors import AisError, NotReady
from ais.config import environment
from ais.playground import probe, process
from ais.playground.plan import NodePlan, Plan
from ais.playground.playground import Playground
from ais.testing import free_ports
from harness.faults import damage
from harness.faults.links import Cut, Links
from harness.faults.schedule import PLAIN, PRIMARY, Fault, Kind, Shape
from harness.nodes import require_signatures

INJECT = Path(__file__).parent / "inject"
AWAY = ".away"
BARE = ".bare"
READY_S = 90.0
DAMAGE_PAUSE_S = 0.2


class Broken(Exception):
    """The cluster did not come back, or a node did what it must not."""


class Stage:
    """The cluster. One per process: what its nodes inherit is set in this process' environment."""

    def __init__(
        self, directory: Path, shape: Shape, *, plant: str = "", settings: dict[str, str] | None = None
    ) -> None:
        self.shape = shape
        self._playground = Playground(directory, with_parent=True)
        self._settings = settings or {}
        self._plant = plant
        self._lock = asyncio.Lock()
        self._down: set[str] = set()
        """Nodes that a fault keeps down."""
        self._pids: dict[str, int] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Of a node: one fault at a time ends or starts it."""
        self.links = Links(lambda: self._pids)
        self.nodes: dict[str, NodePlan] = {}
        self.bare: list[str] = []
        """What was made where a mountpath was not mounted: it is gone when that is mounted again."""
        self.damaged: list[str] = []
        """Files that were damaged, and how."""

    @property
    def proxies(self) -> list[str]:
        """URLs of all proxies, running or not."""
        return [node.url for node in self.nodes.values() if node.role == "proxy"]

    @property
    def targets(self) -> list[str]:
        """URLs of all targets, running or not."""
        return [node.url for node in self.nodes.values() if node.role == "target"]

    async def open(self) -> None:
        """Start everything; on return the cluster is ready."""
        count = self.shape.proxies + self.shape.targets
        first = free_ports(3 * count)
        relays, real = range(first + count, first + 2 * count), range(first + 2 * count, first + 3 * count)
        control = f"http://127.0.0.1:{relays[0]}"
        settings = {"proxy.primary_url": control, "proxy.original_url": control, **self._settings}
        workers = environment.for_tests().workers
        self._playground.create(
            Plan(self.shape.proxies, self.shape.targets, self.shape.mountpaths, first, None, settings, workers=workers)
        )
        self.nodes = {node.name: node for node in self._playground.nodes}
        for node, relay, port in zip(self.nodes.values(), relays, real, strict=True):
            local = json.loads(node.local_file.read_text())
            local["host_net"]["port_intra_control"] = str(relay)
            node.local_file.write_text(json.dumps(local))
            node.local_file.with_name("harness.json").write_text(json.dumps({"listen": {str(relay): port}}))
            await self.links.open(node.name, relay, port)
        os.environ["PYTHONPATH"] = str(INJECT)
        os.environ["HARNESS_PLANT"] = self._plant
        await self.start(*self.nodes)
        await self.wait_ready(READY_S)
        await asyncio.to_thread(require_signatures, [f"http://127.0.0.1:{port}" for port in real])

    async def close(self) -> None:
        """Stop everything."""
        for node in self.nodes.values():
            self._playground.send_signal(node, SIGCONT)
        for node in self.nodes.values():
            self._playground.send_signal(node, SIGKILL)
        for node in self.nodes.values():
            await asyncio.to_thread(self._playground.wait_ended, node)
        await self.links.close()

    async def start(self, *names: str) -> None:
        """Start nodes that do not run."""
        async with contextlib.AsyncExitStack() as stack:
            for lock in (*(self._turns[name] for name in sorted(names)), self._lock):
                await stack.enter_async_context(lock)
            await asyncio.to_thread(self._playground.start, only=list(names))
            for name in names:
                self._pids[name] = int(self.nodes[name].pid_file.read_text())

    async def end(self, name: str, how: Signals) -> None:
        """Signal a node to end and wait for it; another fault starts it again only after that."""
        node = self.nodes[name]
        async with self._turns[name]:
            self._playground.send_signal(node, how)
            await asyncio.to_thread(self._playground.wait_ended, node, 60.0)

    async def keep_running(self) -> None:
        """For ever: start again what ended by itself (a supervisor would), unless a fault keeps it down."""
        while True:
            await asyncio.sleep(1)
            for name, node in self.nodes.items():
                if name not in self._down and not await asyncio.to_thread(self._runs, node):
                    await self.start(name)

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until all nodes are in the map of all nodes. Raise `Broken` with the last reason."""
        deadline = time.monotonic() + timeout_s
        problem = "it did not answer"
        while time.monotonic() < deadline:
            try:
                await asyncio.to_thread(self._playground.wait_ready, 2.0)
            except (NotReady, AisError) as error:
                problem = str(error)
                await asyncio.sleep(0.2)
            else:
                return
        raise Broken(f"the cluster is not whole {timeout_s:g} s after the last fault: {problem}")

    def log_files(self) -> list[Path]:
        """What the nodes wrote."""
        found = []
        for node in self.nodes.values():
            found += [node.output_file, *sorted(node.log_dir.glob("*.log"))]
        return [path for path in found if path.exists()]

    async def inject(self, fault: Fault, until: Callable[[], Awaitable[None]]) -> None:
        """Begin a fault, wait with `until`, end it."""
        names = tuple(dict.fromkeys([await self._name(node) for node in fault.nodes]))
        match fault.kind:
            case Kind.KILL | Kind.STOP:
                await self._with_down(names, SIGKILL if fault.kind is Kind.KILL else SIGTERM, until)
            case Kind.FREEZE:
                frozen = await asyncio.to_thread(self._freeze, names)
                try:
                    await until()
                finally:
                    for one in frozen:
                        process.end(one, SIGCONT)
            case Kind.CUT_SWALLOW | Kind.CUT_RESET | Kind.CUT_PAIR:
                await self._with_cut(fault.kind, names, until)
            case Kind.LOSE_MOUNTPATH | Kind.EMPTY_MOUNTPATH:
                await self._without_mountpath(fault, until)
            case Kind.DAMAGE:
                damaging = asyncio.create_task(self._damage(fault))
                try:
                    await until()
                finally:
                    damaging.cancel()

    def _freeze(self, names: tuple[str, ...]) -> list[psutil.Process]:
        """Stop nodes, and then their workers: a stopped node starts no more."""
        nodes = [node for name in names if (node := process.find(self.nodes[name])) is not None]
        for node in nodes:
            process.end(node, SIGSTOP)
        workers: list[psutil.Process] = []
        for node in nodes:
            with contextlib.suppress(psutil.NoSuchProcess):
                workers += node.children()
        for worker in workers:
            process.end(worker, SIGSTOP)
        return nodes + workers

    async def _with_down(self, names: tuple[str, ...], how: Signals, until: Callable[[], Awaitable[None]]) -> None:
        self._down |= set(names)
        try:
            await asyncio.gather(*(self.end(name, how) for name in names))
            await until()
        finally:
            self._down -= set(names)
            await self.start(*names)

    async def _with_cut(self, kind: Kind, names: tuple[str, ...], until: Callable[[], Awaitable[None]]) -> None:
        others = names[1:] if kind is Kind.CUT_PAIR else [name for name in self.nodes if name != names[0]]
        links = {(names[0], other) for other in others} | {(other, names[0]) for other in others}
        await self.links.cut(links, Cut.RESET if kind is Kind.CUT_RESET else Cut.SWALLOW)
        try:
            await until()
        finally:
            await self.links.heal(links)

    async def _without_mountpath(self, fault: Fault, until: Callable[[], Awaitable[None]]) -> None:
        name = fault.nodes[0]
        path = self.nodes[name].mountpaths[fault.mountpath]
        away = path.with_name(path.name + AWAY)
        path.rename(away)
        if fault.kind is Kind.EMPTY_MOUNTPATH:
            path.mkdir()
        self._down.add(name)
        try:
            if fault.restarts:
                await self.end(name, SIGKILL)
                await self.start(name)
            await until()
        finally:
            bare = path.with_name(path.name + BARE)
            if path.exists():
                path.rename(bare)
            away.rename(path)
            self._down.discard(name)
            if bare.exists():
                self.bare += [f"{one} ({fault})" for one in bare.rglob("*")]
                shutil.rmtree(bare)

    async def _damage(self, fault: Fault) -> None:
        """For ever: damage files on one mountpath of each target, so that the other copy is always whole."""
        source = random.Random(f"damage {fault.at_s}")
        targets = [node for node in self.nodes.values() if node.role == "target"]
        while True:
            await asyncio.sleep(DAMAGE_PAUSE_S)
            bad = source.choice(targets).mountpaths[-1]
            files = await asyncio.to_thread(damage.files_of, bad, PLAIN)
            if files:
                path, kind = source.choice(files), source.choice(list(damage.Damage))
                damage.damage(source, path, kind)
                self.damaged.append(f"{kind.value}: {path}")

    async def _name(self, node: str) -> str:
        return node if node != PRIMARY else await asyncio.to_thread(self._primary)

    def _primary(self) -> str:
        """Name of the node that a running node takes for the primary."""
        for node in self.nodes.values():
            smap = probe.get_json(f"{node.url}/v1/daemon?what=smap", None)
            url = ((smap or {}).get("proxy_si") or {}).get("public_net", {}).get("direct_url", "")
            for other in self.nodes.values():
                if other.url == url:
                    return other.name
        return next(iter(self.nodes))

    def _runs(self, node: NodePlan) -> bool:
        return process.find(node) is not None
