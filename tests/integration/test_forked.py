"""Nodes of `ais.testing.Cluster` are forked from one process; nothing else tells them from nodes that were started."""

import io
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM

import psutil
import pytest
from harness.nodes import eventually
from harness.wire import Api

from ais.playground.forked import Child
from ais.playground.plan import Plan
from ais.playground.playground import Playground
from ais.testing import Cluster, free_ports

SOON_S = 60


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A proxy and a target."""
    with Cluster(proxies=1, targets=1, mountpaths=1) as running:
        yield running


def test_they_share_a_parent_and_nothing_else(cluster: Cluster) -> None:
    """Each has its own session, output and command line, and no descriptor of its siblings or of the parent."""
    proxy, target = (psutil.Process(node.pid) for node in cluster.nodes)
    assert proxy.ppid() == target.ppid()
    for node, process in zip(cluster.nodes, (proxy, target), strict=True):
        words = process.cmdline()
        assert words[:5] == [sys.executable, "-m", "ais_node.main", "--role", node.role]
        assert str(node.plan.local_file) in words
        assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[3] == str(process.pid)
        open_files = {
            file: _readlink(Path(f"/proc/{process.pid}/fd/{file}")) for file in os.listdir(f"/proc/{process.pid}/fd")
        }
        assert open_files["1"] == open_files["2"] == str(node.plan.output_file)
        siblings = [str(one.plan.directory) for one in cluster.nodes if one.name != node.name]
        others = [path for path in open_files.values() if path.startswith(tuple(siblings))]
        assert not others, others


def test_how_they_end_is_known(cluster: Cluster) -> None:
    """The exit status comes back: 0 after SIGTERM, minus the signal after another; and they start again."""
    target = cluster.targets[0]
    assert cluster.terminate(target) == 0
    assert not target.alive
    cluster.restart(target)
    cluster.wait_ready()
    cluster.signal(target, SIGKILL)
    assert cluster.wait_ended(target) == -SIGKILL
    cluster.restart(target)
    cluster.wait_ready()


def test_all_threads_that_ask_learn_the_same() -> None:
    """The status is told once: whoever asks while another one is told waits for that."""
    read, write = os.pipe()
    for status in [3, 0] * 100:
        ours, theirs = socket.socketpair()
        child = Child(1, io.FileIO(os.dup(write), "wb"), ours)
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(child.wait if number % 2 else partial(_polled, child)) for number in range(8)]
            theirs.sendall(struct.pack("=i", status))
            theirs.close()
            assert [one.result() for one in asked] == [status] * 8
        child.stdin.close()
    os.close(read)
    os.close(write)


def _polled(child: Child) -> int:
    while (status := child.poll()) is None:
        pass
    return status


def test_a_started_node_is_found_at_once(cluster: Cluster) -> None:
    """Whoever asks right after the start finds it: "not alive" would be taken for "has ended"."""
    target = cluster.targets[0]
    for _ in range(10):
        cluster.kill(target)
        cluster.start()
        assert target.alive
    cluster.wait_ready()


def test_the_environment_is_that_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork has the variables of now. Where Python itself must be told one (`PYTHONPATH`), it is one of a process that
    was told the same."""
    playground = Playground(tmp_path / "here", with_parent=True)
    playground.create(Plan(1, 3, 1, free_ports(4)))
    told = (("the-first", None), ("the-second", tmp_path), ("the-third", tmp_path), ("the-fourth", None))
    parents = []
    try:
        for node, (pod, path) in zip(playground.nodes, told, strict=True):
            with monkeypatch.context() as patch:
                patch.setenv("MY_POD", pod)
                if path is not None:
                    patch.setenv("PYTHONPATH", str(path))
                playground.start(only=[node.name])
        playground.wait_ready()
        for node, (pod, path) in zip(playground.nodes, told, strict=True):
            parent = psutil.Process(int(node.pid_file.read_text())).parent()
            assert parent is not None
            assert "ais_node.forkserver" in parent.cmdline()
            assert parent.environ().get("PYTHONPATH") == (str(path) if path else os.environ.get("PYTHONPATH"))
            assert Api(node.url).call("GET", "/v1/daemon?what=node_status").json()["k8s_pod_name"] == pod
            parents.append(parent.pid)
    finally:
        playground.stop()
    assert parents[0] == parents[3] != parents[1] == parents[2]


@pytest.mark.parametrize("how", [SIGKILL, SIGTERM])
def test_they_end_with_their_parent(tmp_path: Path, how: int) -> None:
    """When the program that started them is gone, so are the nodes and what forked them."""
    code = (
        "import sys, psutil\nfrom ais.testing import Cluster\n"
        "with Cluster(proxies=1, targets=1, mountpaths=1, dir=sys.argv[1], workers='1') as c:\n"
        "    print(*(one.pid for one in psutil.Process().children(recursive=True)), flush=True)\n    input()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        found = [psutil.Process(int(word)) for word in program.stdout.readline().split()]
        assert len(found) == 3
        program.send_signal(how)
    eventually(lambda: not any(one.is_running() for one in found), within_s=SOON_S)


def _readlink(path: Path) -> str:
    """What a descriptor is of; empty when it was closed meanwhile."""
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""
