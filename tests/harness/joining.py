"""Another target for a running cluster of a test: a process of its own, with the cluster's configuration."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from ais.config import environment
from ais.playground import process
from ais.playground.plan import NodePlan
from ais.testing import Cluster, free_ports
from harness.nodes import eventually
from harness.wire import Api

SOON_S = 60


@contextlib.contextmanager
def another_target(cluster: Cluster, name: str = "extra", mountpaths: int = 1) -> Iterator[tuple[NodePlan, str]]:
    """A target that joins the cluster: its plan and its ID, when it is in the map. Ends with the block."""
    root = cluster.proxies[0].plan.directory.parent
    port, directory = free_ports(1), root / name
    paths = tuple(directory / f"mp{number}" for number in range(1, mountpaths + 1))
    for one in (directory / "conf", directory / "log", *paths):
        one.mkdir(parents=True)
    plan = NodePlan(name, "target", port, f"http://127.0.0.1:{port}", directory, paths)
    local = {
        "confdir": str(directory / "conf"),
        "log_dir": str(directory / "log"),
        "host_net": {"hostname": "127.0.0.1", "port": str(port)},
        "fspaths": {str(path): "" for path in paths},
        "workers": environment.for_tests().workers or "1",
    }
    plan.local_file.write_text(json.dumps(local))
    child = start(plan)
    try:
        eventually(lambda: _id_of(cluster, plan), within_s=SOON_S)
        yield plan, _id_of(cluster, plan)
    finally:
        end(child)


def start(plan: NodePlan) -> process.Started:
    """Start its process."""
    return process.spawn(plan, with_parent=True)


def end(child: process.Started) -> None:
    """End a process, and wait."""
    child.kill()
    if child.stdin:
        child.stdin.close()
    child.wait()


def _id_of(cluster: Cluster, plan: NodePlan) -> str:
    tmap = Api(cluster.endpoint).smap()["tmap"]
    return next((one for one, snode in tmap.items() if snode["public_net"]["direct_url"] == plan.url), "")


def objects_on(plan: NodePlan) -> list[Path]:
    """The files of objects on its mountpaths."""
    found = (path for one in plan.mountpaths for path in one.glob("@*/**/%ob/**/*"))
    return [path for path in found if path.is_file() and ".$deleted" not in path.parts]
