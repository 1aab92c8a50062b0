"""The playground as people use it: start, status, stop, start again, clean; and what goes wrong."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from harness.nodes import eventually
from harness.wire import Api

from ais.base.errors import BadRequest, Busy, Conflict, NotFound, NotReady
from ais.playground import process
from ais.playground.plan import Plan
from ais.playground.playground import Playground
from ais.testing import Cluster, free_ports


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Playground]:
    """A playground of one proxy and one target, not yet started; stopped afterwards."""
    playground = Playground(tmp_path / "here", with_parent=True)
    playground.create(Plan(1, 1, 1, free_ports(2)))
    yield playground
    playground.stop()


def test_life(small: Playground) -> None:
    """Start, be ready, stop, start again with identity and data, stop, remove without a trace."""
    told: list[str] = []
    small.start(told.append)
    small.wait_ready()
    first = small.status()
    assert [(node.name, node.role, node.state, node.is_primary) for node in first] == [
        ("p1", "proxy", "ready", True),
        ("t1", "target", "ready", False),
    ]
    api = Api(small.plan.endpoint)
    api.create("kept")
    assert api.put("kept", "o", b"bytes").status == 200
    small.stop(progress=told.append)
    assert [node.state for node in small.status()] == ["stopped", "stopped"]
    small.start()
    small.wait_ready()
    assert [node.id for node in small.status()] == [node.id for node in first]
    assert Api(small.plan.endpoint).get("kept", "o").body == b"bytes"
    with pytest.raises(Conflict, match="p1, t1 are running"):
        small.clean()
    small.stop()
    small.clean()
    assert not small.directory.exists()
    assert told[0].startswith("started p1 (proxy, pid ")
    assert told[-1] == "stopped"
    small.create(Plan(1, 0, 1, free_ports(1)))


def test_starting_again_only_starts_what_is_missing(small: Playground) -> None:
    """`start` of a running playground leaves living nodes alone and brings back a dead one."""
    small.start()
    small.wait_ready()
    proxy, target = small.status()
    small.send_signal(small.nodes[1], signal.SIGKILL)
    small.wait_ended(small.nodes[1])
    told: list[str] = []
    small.start(told.append)
    small.wait_ready()
    assert [line.split()[1] for line in told] == ["t1"]
    assert [node.id for node in small.status()] == [proxy.id, target.id]
    assert small.status()[0].pid == proxy.pid


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    """Before anything is created the message names the port, who has it, and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        playground = Playground(tmp_path / "here")
        with pytest.raises(Conflict) as caught:
            playground.ensure(proxies=1, targets=1, mountpaths=1, port=port)
    assert f"port {port} is in use by " in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)
    assert "--port" in str(caught.value)
    assert not (tmp_path / "here").exists()


def test_another_shape_is_refused(small: Playground) -> None:
    """A directory with data is not silently turned into another cluster."""
    assert small.ensure(targets=1) == small.plan
    with pytest.raises(Conflict, match=r"differs in targets"):
        small.ensure(targets=2)


def test_strange_directories_are_left_alone(tmp_path: Path) -> None:
    """Nothing is created in, or removed from, a directory that holds something else."""
    (tmp_path / "precious").write_text("x")
    playground = Playground(tmp_path)
    with pytest.raises(Conflict, match="not empty"):
        playground.ensure(port=free_ports(5))
    with pytest.raises(NotFound, match="no playground"):
        playground.clean()
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("shape", [(0, 1, 1, 9000), (1, -1, 1, 9000), (1, 1, 0, 9000), (1, 1, 1, 65535)])
def test_impossible_shapes(shape: tuple[int, int, int, int]) -> None:
    """Counts and ports out of range are refused by name."""
    with pytest.raises(BadRequest, match=r"proxies|targets|mountpaths|port"):
        Plan(*shape)


def test_a_stale_pid_file_is_recognised(small: Playground) -> None:
    """After a reboot the recorded process ID may belong to anybody: that process is neither counted nor touched."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for node in small.nodes:
            node.pid_file.write_text(str(other.pid))
        assert {node.state for node in small.status()} == {"stopped"}
        small.stop()
        assert other.poll() is None
        small.start()
        small.wait_ready()
    finally:
        other.communicate(b"\n")


def test_a_node_that_cannot_start_says_why(small: Playground) -> None:
    """Waiting ends at once when a node has ended, with its last words."""
    small.nodes[1].local_file.write_text("{")
    small.start()
    with pytest.raises(NotReady, match=r"t1 is not running: aisnode: configuration file .* is not valid JSON"):
        small.wait_ready()


def test_two_commands_at_once(small: Playground) -> None:
    """A second command that changes the playground is refused while the first one works."""
    with small.locked(), pytest.raises(Busy, match="another command"):
        Playground(small.directory).start()


def test_nodes_that_hang_are_killed(small: Playground) -> None:
    """A node that does not react is killed in the end, and `stop` says so."""
    small.start()
    small.wait_ready()
    small.send_signal(small.nodes[1], signal.SIGSTOP)
    told: list[str] = []
    small.stop(timeout_s=3, progress=told.append)
    assert "t1 did not stop within 3 s and was killed" in told
    assert {node.state for node in small.status()} == {"stopped"}


def test_nodes_end_with_the_program_that_started_them(tmp_path: Path) -> None:
    """A test run that is killed leaves no node behind."""
    program = (
        "import os, signal\n"
        "from ais.testing import Cluster\n"
        f"with Cluster(proxies=1, targets=1, mountpaths=1, dir={str(tmp_path)!r}) as cluster:\n"
        "    print(*[node.pid for node in cluster.nodes], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    pids = [int(pid) for pid in ended.stdout.split()]
    assert len(pids) == 2
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids), within_s=20)


def test_a_cluster_leaves_nothing_behind() -> None:
    """After the block there is no process, no listener and no file."""
    with Cluster(proxies=1, targets=1, mountpaths=1) as cluster:
        pids, port, directory = [node.pid for node in cluster.nodes], cluster.nodes[0].plan.port, cluster.directory
        assert all(node.alive and node.id for node in cluster.nodes)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert process.is_free(port)
    assert not directory.exists()


def test_settings_of_a_cluster() -> None:
    """Settings given to a cluster are in force."""
    with Cluster(proxies=1, targets=0, config_overrides={"checksum.type": "md5"}) as cluster:
        config = Api(cluster.endpoint).call("GET", "/v1/daemon", {"what": "config"}).json()
        assert config["checksum"]["type"] == "md5"
        assert config["keepalivetracker"]["proxy"]["interval"] == "2s"


def test_however_its_directory_is_spelled_it_is_one_playground(small: Playground, tmp_path: Path) -> None:
    """Through `..` or a link, status sees the running nodes, and `clean` does not remove the data below them."""
    small.start()
    small.wait_ready()
    (tmp_path / "link").symlink_to(small.directory)
    (tmp_path / "other").mkdir()
    for spelling in (tmp_path / "link", tmp_path / "other" / ".." / "here"):
        same = Playground(spelling)
        assert [node.state for node in same.status()] == ["ready", "ready"]
        with pytest.raises(Conflict, match="are running"):
            same.clean()
    Playground(tmp_path / "other" / ".." / "here").stop()
    for node in small.nodes:
        small.wait_ended(node)
    assert [node.state for node in small.status()] == ["stopped", "stopped"]


def test_a_useless_directory_is_one_sentence() -> None:
    """A playground where nothing can be written is refused with what to do."""
    with pytest.raises(BadRequest, match=r"cannot use /proc/x: .* with --dir"):
        Playground(Path("/proc/x")).create(Plan(1, 0, 1, free_ports(1)))


def test_gateways_may_come_later_than_targets(small: Playground) -> None:
    """Targets wait for their gateway, longer than they once did."""
    small.start(only=["t1"])
    config = small.plan.cluster_config()
    assert config.timeout.join_startup_time >= 600
    eventually(lambda: small.status()[1].state == "starting", within_s=30)
    small.start(only=["p1"])
    small.wait_ready()
