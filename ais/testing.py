"""A real cluster for tests and notebooks, gone without a trace afterwards.

    with Cluster(proxies=1, targets=3) as cluster:
        print(cluster.endpoint)

As a pytest fixture, one cluster per test session: `pytest_plugins = ["ais.testing"]` in `conftest.py`, then

    def test_something(ais_cluster): ...

When a test fails, the report carries the ends of the nodes' logs.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import Any, Self

from ais.base.errors import AisError, NotFound, NotReady
from ais.config import environment
from ais.playground import ports, process
from ais.playground.plan import TLS, NodePlan, Plan
from ais.playground.playground import START_TIMEOUT_S, Playground

__all__ = ["TLS", "Cluster", "Node", "free_ports"]


@dataclass(frozen=True)
class Node:
    """One node of a running cluster."""

    name: str
    """`p1`, `p2`, ..., `t1`, ..."""
    id: str
    """As in the cluster map; stays the same over restarts."""
    role: str
    """`proxy` or `target`."""
    url: str
    mountpaths: tuple[Path, ...]
    plan: NodePlan

    @property
    def pid(self) -> int:
        """Its process now. Raise `NotFound` when it does not run."""
        found = process.find(self.plan)
        if found is None:
            raise NotFound(f"{self.name} is not running")
        return int(found.pid)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return process.find(self.plan) is not None

    def log_tail(self) -> str:
        """The end of its output and of its current log."""
        logs = sorted(self.plan.log_dir.glob("*.log"))
        parts = [process.output_tail(path) for path in (self.plan.output_file, *logs)]
        return "\n".join(part for part in parts if part)


class Cluster:
    """A context manager: real processes on loopback ports, ready inside the block, stopped and removed after it.

    `port=0` takes free ports. `dir` keeps the data there after the block; without it a temporary directory is used.
    `workers` is that setting of all nodes (else `AIS_TEST_WORKERS` in the environment, else its default);
    `config_overrides` are cluster settings by dotted name, with values as text; `local` are local settings of all nodes
    by name; `ids` are IDs of nodes by name.
    """

    def __init__(
        self,
        proxies: int = 1,
        targets: int = 3,
        mountpaths: int = 2,
        port: int = 0,
        *,
        tls: TLS | None = None,
        dir: Path | str | None = None,
        config_overrides: Mapping[str, str] | None = None,
        local: Mapping[str, Any] | None = None,
        ids: Mapping[str, str] | None = None,
        workers: str = "",
    ) -> None:
        self._local = dict(local or {})
        self._shape = (proxies, targets, mountpaths)
        self._workers = workers or environment.for_tests().workers
        self._port, self._tls, self._settings, self._node_ids = port, tls, dict(config_overrides or {}), dict(ids or {})
        self._temporary = tempfile.TemporaryDirectory(prefix="ais-") if dir is None else None
        self.directory = Path(self._temporary.name if self._temporary else dir or "")
        self._playground = Playground(self.directory / "cluster", with_parent=True)
        self._ids: dict[str, str] = {}
        self._ports = range(0)
        """Taken for this cluster."""

    def __enter__(self) -> Self:
        try:
            self._create()
            self.start()
            self.wait_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(self.logs())
        try:
            self.stop()
        except NotFound:
            pass
        finally:
            ports.give_back(self._ports)
            if self._temporary:
                self._temporary.cleanup()

    @property
    def endpoint(self) -> str:
        """URL of the first proxy that runs; of the first one when none does."""
        return next((node.url for node in self.proxies if node.alive), self.proxies[0].url)

    @property
    def nodes(self) -> list[Node]:
        """All nodes, proxies first, dead ones included."""
        return [
            Node(plan.name, self._ids.get(plan.name, ""), plan.role, plan.url, plan.mountpaths, plan)
            for plan in self._playground.nodes
        ]

    @property
    def proxies(self) -> list[Node]:
        """The proxies."""
        return [node for node in self.nodes if node.role == "proxy"]

    @property
    def targets(self) -> list[Node]:
        """The targets."""
        return [node for node in self.nodes if node.role == "target"]

    def start(self) -> None:
        """Start the nodes that do not run; does not wait until they are ready."""
        self._playground.start()

    def stop(self) -> None:
        """Shut the whole cluster down; its data stays until the end of the block."""
        self._playground.stop()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until every node is in the cluster map of every node. Raise `NotReady` with the nodes' logs."""
        try:
            self._playground.wait_ready(timeout_s)
        except NotReady as error:
            raise NotReady(f"{error}\n{self.logs()}") from None
        self._ids = self._playground.ids()

    def kill(self, node: Node) -> None:
        """`kill -9` of one node; on return the process is gone."""
        self.signal(node, SIGKILL)
        self.wait_ended(node)

    def terminate(self, node: Node) -> int | None:
        """Stop one node the orderly way, as `SIGTERM` does; its exit status."""
        self.signal(node, SIGTERM)
        return self.wait_ended(node)

    def signal(self, node: Node, how: Signals) -> None:
        """Send a signal to one node."""
        self._playground.send_signal(node.plan, how)

    def wait_ended(self, node: Node) -> int | None:
        """Wait until the node's process has ended; its exit status."""
        return self._playground.wait_ended(node.plan)

    def restart(self, node: Node) -> None:
        """Start a node again (ending it first if it runs); on return it answers, but need not be in the cluster yet."""
        if node.alive:
            self.terminate(node)
        self._playground.start(only=[node.name])
        self._playground.wait_answers(node.plan)

    def logs(self) -> str:
        """The ends of all nodes' logs, for a failure report."""
        try:
            nodes = self.nodes
        except AisError:
            return ""
        return "".join(f"---- {node.name} {node.id}\n{node.log_tail()}\n" for node in nodes)

    def _create(self) -> None:
        proxies, targets, mountpaths = self._shape
        count = proxies + targets
        if not self._port:
            first = ports.take(count)
            self._ports = range(first, first + count)
        port = self._port or self._ports.start
        process.check_ports(range(port, port + count), range(port, port + count))
        self._playground.create(
            Plan(
                proxies,
                targets,
                mountpaths,
                port,
                self._tls,
                self._settings,
                self._node_ids,
                self._workers,
                self._local,
            )
        )


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row; nobody else who asks here gets them while this process runs."""
    return ports.take(count)


try:
    import pytest
except ImportError:
    pass
else:

    @pytest.fixture(scope="session")
    def ais_cluster() -> Iterator[Cluster]:
        """One proxy and three targets, shared by the tests of a session."""
        with Cluster() as cluster:
            yield cluster

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Add the logs of the cluster a failing test used to its report."""
        outcome: Any = yield
        report = outcome.get_result()
        if report.when == "call" and report.failed:
            for value in getattr(item, "funcargs", {}).values():
                if isinstance(value, Cluster):
                    report.sections.append(("logs of the cluster", value.logs()))
