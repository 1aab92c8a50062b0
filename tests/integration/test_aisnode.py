"""`aisnode` as an operator meets it: how it ends, and what it says."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness.nodes import eventually, files_of
from harness.wire import Api

from ais.testing import Cluster, Node, free_ports

TIMEOUT_S = 60
BODY = bytes(range(256)) * 4096


def write(directory: Path, cluster: dict[str, object], **local: object) -> list[str]:
    """Configuration files of one node, and the command that runs it (the role is still to be added)."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cluster.json").write_text(json.dumps(cluster))
    base = {"confdir": str(directory / "conf"), "log_dir": str(directory / "log")}
    (directory / "local.json").write_text(json.dumps(base | local))
    files = ["--config", str(directory / "cluster.json"), "--local-config", str(directory / "local.json")]
    return [sys.executable, "-m", "ais_node.main", *files]


def at(port: int) -> dict[str, str]:
    """A loopback address."""
    return {"hostname": "127.0.0.1", "port": str(port)}


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a node that is expected to end by itself."""
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)


def refused(command: list[str], status: int, *parts: str) -> None:
    """The node ends with this status and one sentence that contains the parts."""
    ended = run(command)
    assert ended.returncode == status, ended
    assert ended.stderr.startswith("aisnode: ")
    assert ended.stderr.count("\n") == 1
    for part in parts:
        assert part in ended.stderr


def test_a_busy_port_is_status_3(tmp_path: Path) -> None:
    """The message names the port and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = write(tmp_path, {}, host_net=at(port))
        refused([*command, "--role", "proxy"], 3, f"port {port} is in use", "host_net.port")


def test_no_mountpath_is_status_4(tmp_path: Path) -> None:
    """A target without mountpaths, and one whose directory is missing, do not start."""
    command = write(tmp_path / "none", {}, host_net=at(0))
    refused([*command, "--role", "target"], 4, "at least one mountpath", "fspaths")
    missing = tmp_path / "unmounted"
    command = write(tmp_path / "one", {}, host_net=at(0), fspaths={str(missing): ""})
    refused([*command, "--role", "target"], 4, str(missing))


def test_nobody_to_join_is_status_6(tmp_path: Path) -> None:
    """A node that finds no primary gives up after `join_startup_time` and says whom it asked."""
    (tmp_path / "mp").mkdir()
    nobody = f"http://127.0.0.1:{free_ports(1)}"
    cluster = {"proxy": {"primary_url": nobody}, "timeout": {"join_startup_time": "1s"}}
    command = write(tmp_path, cluster, host_net=at(0), fspaths={str(tmp_path / "mp"): ""})
    refused([*command, "--role", "target"], 6, nobody, "could not join its cluster within 1s")


def test_no_primary_configured_is_status_2(tmp_path: Path) -> None:
    """A target that knows no proxy says which setting is missing."""
    (tmp_path / "mp").mkdir()
    command = write(tmp_path, {}, host_net=at(0), fspaths={str(tmp_path / "mp"): ""})
    refused([*command, "--role", "target"], 2, "proxy.primary_url", "AIS_PRIMARY_EP")


def test_a_bad_certificate_is_status_2(tmp_path: Path) -> None:
    """TLS settings that cannot work are found before anything listens."""
    http = {"use_https": True, "server_crt": str(tmp_path / "no.crt"), "server_key": str(tmp_path / "no.key")}
    command = write(tmp_path, {"net": {"http": http}}, host_net=at(0))
    refused([*command, "--role", "proxy"], 2, str(tmp_path / "no.crt"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_node_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    """A lone proxy founds a cluster, and ends with status 0 at the first signal."""
    port = free_ports(1)
    node = subprocess.Popen([*write(tmp_path, {}, host_net=at(port)), "--role", "proxy"], stderr=subprocess.PIPE)
    eventually(lambda: Api(f"http://127.0.0.1:{port}").smap()["proxy_si"], within_s=TIMEOUT_S)
    node.send_signal(how)
    _, stderr = node.communicate(timeout=TIMEOUT_S)
    assert (node.returncode, stderr) == (0, b"")


def begin_upload(target: Node) -> socket.socket:
    """Start a PUT at a target and send three quarters of its body; on return they are in a work file."""
    upload = socket.create_connection(("127.0.0.1", target.plan.port))
    head = f"PUT /v1/objects/slow/o?provider=ais&pid=p&utm=1 HTTP/1.1\r\nHost: t\r\nContent-Length: {len(BODY)}\r\n\r\n"
    upload.sendall(head.encode() + BODY[: len(BODY) // 4 * 3])
    eventually(lambda: list(files_of(target.mountpaths, "wk")), within_s=10)
    return upload


def test_a_running_upload_is_finished_before_the_end(tmp_path: Path) -> None:
    """After SIGTERM a target takes the rest of an upload it has begun, then ends with status 0."""
    with Cluster(proxies=1, targets=1, mountpaths=1, dir=tmp_path) as cluster:
        api, (target,) = Api(cluster.endpoint), cluster.targets
        api.create("slow")
        with begin_upload(target) as upload:
            cluster.signal(target, signal.SIGTERM)
            eventually(lambda: '"event": "stopping"' in target.log_tail(), within_s=10)
            upload.sendall(BODY[len(BODY) // 4 * 3 :])
            assert upload.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert cluster.wait_ended(target) == 0
        cluster.restart(target)
        cluster.wait_ready()
        assert api.get("slow", "o").body == BODY


def test_the_second_signal_ends_a_node_at_once(tmp_path: Path) -> None:
    """An operator who asks twice does not wait for clients; the work file is swept at the next start."""
    with Cluster(proxies=1, targets=1, mountpaths=1, dir=tmp_path) as cluster:
        (target,) = cluster.targets
        Api(cluster.endpoint).create("slow")
        with begin_upload(target):
            cluster.signal(target, signal.SIGTERM)
            eventually(lambda: '"event": "stopping"' in target.log_tail(), within_s=10)
            cluster.signal(target, signal.SIGTERM)
            assert cluster.wait_ended(target) == 128 + signal.SIGTERM
        cluster.restart(target)
        cluster.wait_ready()
        assert not list(files_of(target.mountpaths, "wk"))


def test_the_environment_reaches_the_cluster_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`AIS_DAEMON_ID` and `AIS_PORT` are what a container is configured with."""
    port = free_ports(1)
    monkeypatch.setenv("AIS_DAEMON_ID", "proxy-from-env")
    monkeypatch.setenv("AIS_PORT", str(port))
    node = subprocess.Popen([*write(tmp_path, {}, host_net=at(1)), "--role", "proxy"])
    try:
        api = Api(f"http://127.0.0.1:{port}")
        eventually(lambda: "proxy-from-env" in api.smap()["pmap"], within_s=TIMEOUT_S)
    finally:
        node.terminate()
        assert node.wait(TIMEOUT_S) == 0


def test_statistics_reach_statsd_and_the_log() -> None:
    """Every interval a node pushes its counters to StatsD, and writes what changed to its log."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(TIMEOUT_S)
        settings = {
            "statsd.host": "127.0.0.1",
            "statsd.port": str(server.getsockname()[1]),
            "periodic.stats_time": "200ms",
            "log.stats_time": "200ms",
        }
        with Cluster(proxies=1, targets=1, mountpaths=1, config_overrides=settings) as cluster:
            api, (target,) = Api(cluster.endpoint), cluster.targets
            api.create("counted")
            assert api.put("counted", "o", b"x" * 1000).status == 200
            wanted = {f"ais.target.{target.id}.put.n:1|c", f"ais.target.{target.id}.put.size:1000|c"}
            while wanted:
                wanted -= set(server.recv(65536).decode().splitlines())
            eventually(lambda: '"put.size": 1000' in target.log_tail(), within_s=10)
            stats = api.of_node(target.id, "node_stats").json()
            assert stats["tracker"]["put.n"] == 1


def test_settings_change_while_the_node_runs() -> None:
    """A new log level and new log limits are obeyed at once, without a restart."""
    with Cluster(proxies=1, targets=0) as cluster:
        api, (proxy,) = Api(cluster.endpoint), cluster.proxies
        query = {"log.level": "1", "log.max_size": "4KiB", "log.max_total": "16KiB"}
        assert api.call("PUT", "/v1/cluster/set-config", query).status == 200
        size = len(api.of_node(proxy.id, "log").body)
        assert api.call("PUT", "/v1/cluster/set-config", {"checksum.type": "md5"}).status == 200
        assert len(api.of_node(proxy.id, "log").body) == size
