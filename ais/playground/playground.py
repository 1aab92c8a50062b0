"""A playground: start, status, stop, clean. Blocking calls for programs and the command line; nothing is printed."""

import contextlib
import fcntl
import os
import ssl
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import psutil

from ais.api import codec
from ais.base.errors import BadRequest, Busy, Conflict, NotFound, NotReady, Unreachable
from ais.config.local import LocalConfig
from ais.meta.smap import Flag
from ais.playground import plan as plans
from ais.playground import probe, process
from ais.playground.plan import NodePlan, Plan

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.05

Progress = Callable[[str], None]
"""Told in a sentence what happens, as it happens."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How a node is. `state` is `ready`, `starting` (runs, but not yet in the cluster) or `stopped`."""

    name: str
    role: str
    url: str
    state: str
    id: str = ""
    """Empty while the node does not answer."""
    pid: int | None = None
    is_primary: bool = False


def quiet(_: str) -> None:
    """Progress that nobody wants to hear."""


class Playground:
    """The playground in a directory. State survives `stop` and `start`; `clean` removes it."""

    def __init__(self, directory: Path, *, with_parent: bool = False) -> None:
        """Nothing happens yet. `with_parent`: nodes started by this object end when this process does."""
        self.directory = directory.resolve()  # however it is spelled, it is one playground
        self._with_parent = with_parent
        self._children: dict[str, process.Started] = {}

    @property
    def plan(self) -> Plan:
        """What the directory holds. Raise `NotFound` when it holds no playground."""
        plan = plans.load(self.directory)
        if plan is None:
            raise NotFound(f"no playground in {self.directory}: start one with `ais playground start`")
        return plan

    @property
    def nodes(self) -> list[NodePlan]:
        """The nodes, proxies first."""
        return plans.nodes_of(self.plan, self.directory)

    def create(self, plan: Plan) -> None:
        """Lay out a new playground. Raise `Conflict` when there is one, or the directory is not empty."""
        if (existing := plans.load(self.directory)) is not None:
            raise Conflict(f"{self.directory} holds a playground already: {existing.describe()}")
        plans.check_empty(self.directory)
        with self.locked():
            plans.write(plan, self.directory)

    def ensure(
        self,
        *,
        proxies: int | None = None,
        targets: int | None = None,
        mountpaths: int | None = None,
        port: int | None = None,
    ) -> Plan:
        """The existing playground, or a new one with the defaults for what is None.

        Raise `Conflict` when the existing one has another shape than the one asked for.
        """
        asked = {"proxies": proxies, "targets": targets, "mountpaths": mountpaths, "port": port}
        existing = plans.load(self.directory)
        if existing is None:
            plan = Plan(
                plans.DEFAULT_PROXIES if proxies is None else proxies,
                plans.DEFAULT_TARGETS if targets is None else targets,
                plans.DEFAULT_MOUNTPATHS if mountpaths is None else mountpaths,
                plans.DEFAULT_PORT if port is None else port,
            )
            process.check_ports(plan.ports, plan.ports)
            self.create(plan)
            return plan
        if wrong := [name for name, value in asked.items() if value is not None and value != getattr(existing, name)]:
            raise Conflict(
                f"{self.directory} holds a playground with {existing.describe()}, which differs in {', '.join(wrong)}:"
                " start it as it is, choose another directory with --dir, or remove it with `ais playground clean`"
            )
        return existing

    def start(self, progress: Progress = quiet, *, only: Collection[str] | None = None) -> None:
        """Start the nodes that do not run (`only` those named, if given). Returns without waiting until they are ready.

        Raise `Conflict` when a port is taken.
        """
        plan = self.plan
        with self.locked():
            plans.lay_out(plan, self.directory)
            idle = [node for node in self.nodes if self._running(node) is None and (only is None or node.name in only)]
            process.check_ports([node.port for node in idle], plan.ports)
            for node in idle:
                self._reap(node)
                self._children[node.name] = process.spawn(node, with_parent=self._with_parent)
                progress(f"started {node.name} ({node.role}, pid {self._children[node.name].pid}) at {node.url}")

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S, progress: Progress = quiet) -> None:
        """Wait until every node knows every node and has its workers, and the primary says that the cluster is ready.

        Raise `NotReady` when a node ends instead, or when nothing has changed for `timeout_s`; the message says which
        node it is about and shows its output.
        """
        deadline = time.monotonic() + timeout_s
        waiting_for = ""
        while missing := self._not_ready():
            for node in self.nodes:
                if self._running(node) is None:
                    raise NotReady(f"{node.name} is not running: {self._last_words(node)}")
            if time.monotonic() > deadline:
                raise NotReady(f"for {timeout_s:.0f} s nothing has happened: waiting for {missing}")
            if missing != waiting_for:
                waiting_for, deadline = missing, time.monotonic() + timeout_s
                progress(f"waiting for {missing}")
            time.sleep(POLL_S)

    def wait_answers(self, node: NodePlan, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until one node answers requests. Raise `NotReady` when it ends instead, or after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not probe.is_ok(f"{node.url}/v1/health", self._tls):
            if self._running(node) is None:
                raise NotReady(f"{node.name} is not running: {self._last_words(node)}")
            if time.monotonic() > deadline:
                raise NotReady(f"{node.name} does not answer within {timeout_s:.0f} s: {self._last_words(node)}")
            time.sleep(POLL_S)

    def status(self) -> list[NodeStatus]:
        """How every node is. Raise `NotFound` when there is no playground."""
        return [self._status(node) for node in self.nodes]

    def stop(self, timeout_s: float = STOP_TIMEOUT_S, progress: Progress = quiet) -> None:
        """Shut the cluster down, data stays. Nodes that do not end in time are killed, and `progress` says so."""
        with self.locked():
            running = {node.name: found for node in self.nodes if (found := self._running(node)) is not None}
            if not running:
                return
            if self._shutdown():
                progress(f"shutting down {', '.join(running)}")
                self._wait_ended(timeout_s / 2)
            self._signal_running(SIGTERM)
            self._wait_ended(timeout_s / 2)
            for node in self._signal_running(SIGKILL):
                progress(f"{node.name} did not stop within {timeout_s:.0f} s and was killed")
            self._wait_ended(timeout_s)
            progress("stopped")

    def clean(self, progress: Progress = quiet) -> None:
        """Remove the playground and its data. Raise `Conflict` while a node runs."""
        plan = self.plan
        with self.locked():
            if running := [node.name for node in self.nodes if self._running(node)]:
                raise Conflict(f"{', '.join(running)} are running: stop the playground before removing it")
            for node in self.nodes:
                self._reap(node)
            plans.remove(plan, self.directory)
        progress(f"removed {self.directory}")

    def send_signal(self, node: NodePlan, how: Signals) -> None:
        """Send a signal to one node's process, if it runs."""
        if (found := self._running(node)) is not None:
            process.end(found, how)

    def wait_ended(self, node: NodePlan, timeout_s: float = STOP_TIMEOUT_S) -> int | None:
        """Wait until a node's process has ended; its exit status when this object started it.

        Raise `Busy` when it still runs after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while self._running(node) is not None:
            if time.monotonic() > deadline:
                raise Busy(f"{node.name} still runs after {timeout_s:.0f} s")
            time.sleep(POLL_S)
        return self._reap(node)

    def ids(self) -> dict[str, str]:
        """IDs of the nodes by name, as far as the cluster map has them now."""
        smap = self._smap()
        return {node.name: found for node in self.nodes if (found := _id_at(smap, node.url))}

    def _running(self, node: NodePlan) -> psutil.Process | None:
        child = self._children.get(node.name)
        if child is None:
            return process.find(node)
        try:
            return psutil.Process(child.pid) if child.poll() is None else None
        except psutil.NoSuchProcess:  # it ended between the two
            return None

    def _reap(self, node: NodePlan) -> int | None:
        """Forget a child that has ended, and release what it held."""
        child = self._children.pop(node.name, None)
        if child is None:
            return None
        if child.stdin:
            child.stdin.close()
        return child.wait()

    def _status(self, node: NodePlan) -> NodeStatus:
        found = self._running(node)
        if found is None:
            return NodeStatus(node.name, node.role, node.url, "stopped")
        smap = probe.get_json(f"{node.url}/v1/daemon?what=smap", self._tls, node.socket)
        node_id = _id_at(smap, node.url)
        is_primary = bool(smap) and bool(node_id) and _primary_of(smap) == node_id
        ready = bool(node_id) and probe.is_ok(f"{node.url}/v1/health?readiness=true", self._tls)
        return NodeStatus(
            node.name, node.role, node.url, "ready" if ready else "starting", node_id, found.pid, is_primary
        )

    def _not_ready(self) -> str:
        """What is still missing, in words; empty when the cluster is ready."""
        nodes = self.nodes
        for node in nodes:
            smap = probe.get_json(f"{node.url}/v1/daemon?what=smap", self._tls, node.socket)
            if smap is None:
                return f"{node.name} to answer"
            if absent := [other.name for other in nodes if not _is_present(smap, other.url)]:
                return f"{', '.join(absent)} in the cluster map of {node.name}"
        primary = next((node for node in nodes if _id_at(smap, node.url) == _primary_of(smap)), nodes[0])
        if not probe.is_ok(f"{primary.url}/v1/health?prr=true", self._tls):
            return f"the primary {primary.name} to be ready"
        return next((f"the workers of {node.name}" for node in nodes if not self._has_workers(node)), "")

    def _has_workers(self, node: NodePlan) -> bool:
        """Whether all of its workers serve; until then it serves alone."""
        count = LocalConfig(workers=self.plan.workers or "1").worker_count(len(os.sched_getaffinity(0)))
        return count == 1 or probe.workers(node.url, self._tls) >= count

    def _smap(self) -> dict[str, object] | None:
        answers = (probe.get_json(f"{node.url}/v1/daemon?what=smap", self._tls, node.socket) for node in self.nodes)
        return next(filter(None, answers), None)

    def _shutdown(self) -> bool:
        """Ask the cluster to stop itself; whether somebody took the request."""
        body = codec.to_json({"action": "shutdown"})
        for node in self.nodes:
            if node.role == "proxy" and self._running(node) is not None:
                with contextlib.suppress(Unreachable):
                    return probe.call("PUT", f"{node.url}/v1/cluster", self._tls, body, node.socket)[0] == 200
        return False

    def _signal_running(self, how: Signals) -> list[NodePlan]:
        hit = [node for node in self.nodes if self._running(node) is not None]
        for node in hit:
            self.send_signal(node, how)
        return hit

    def _wait_ended(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not any(self._running(node) is not None for node in self.nodes):
                for node in self.nodes:
                    self._reap(node)
                return
            time.sleep(POLL_S)

    def _last_words(self, node: NodePlan) -> str:
        return process.output_tail(node.output_file) or f"it wrote nothing, see {node.log_dir}"

    @property
    def _tls(self) -> ssl.SSLContext | None:
        return probe.tls_context(self.plan.tls)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One change of the playground at a time, also between processes. Raise `BadRequest`, `Busy`."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            file = (self.directory / "lock").open("w")
        except OSError as error:
            raise BadRequest(
                f"cannot use {self.directory}: {error.strerror}: choose a directory that can be written with --dir"
            ) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Busy(f"another command is changing the playground in {self.directory}") from None
            yield


def _id_at(smap: dict[str, object] | None, url: str) -> str:
    """ID of the node with this public URL in a cluster map; empty when there is none."""
    for kind in ("pmap", "tmap") if smap else ():
        members = smap.get(kind) if smap else None
        for node_id, snode in members.items() if isinstance(members, dict) else ():
            if snode.get("public_net", {}).get("direct_url") == url:
                return str(node_id)
    return ""


def _is_present(smap: dict[str, object], url: str) -> bool:
    """Whether a cluster map has a node with this public URL that is not away."""
    members = [one for kind in ("pmap", "tmap") if isinstance(found := smap.get(kind), dict) for one in found.values()]
    return any(
        one.get("public_net", {}).get("direct_url") == url and not int(one.get("flags", 0)) & Flag.AWAY
        for one in members
    )


def _primary_of(smap: dict[str, object] | None) -> str:
    primary = smap.get("proxy_si") if smap else None
    return str(primary.get("daemon_id", "")) if isinstance(primary, dict) else ""
