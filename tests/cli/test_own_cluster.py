"""What changes or ends a cluster: playground, set-primary, shutdown. Each on a cluster of its own."""

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness.wire import message, request

from ais.testing import Cluster


def test_set_primary_and_shutdown(ais_offline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another proxy becomes primary on request; shutdown asks first, then stops every node."""
    with Cluster(proxies=2, targets=1, mountpaths=1) as cluster:
        monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
        smap = json.loads(ais_offline("show", "cluster", "smap", "-j").stdout)
        primary = smap["proxy_si"]["daemon_id"]
        other = next(node.id for node in cluster.proxies if node.id != primary)
        assert "is the primary already" in ais_offline("cluster", "set-primary", primary).stdout
        assert f"p[{other}] is now the primary" in ais_offline("cluster", "set-primary", f"p[{other}]").stdout
        assert "is a target" in ais_offline("cluster", "set-primary", cluster.targets[0].id, code=2).stderr
        assert f"p[{other}][P]" in ais_offline("show", "cluster").stdout
        assert "confirm with --yes" in ais_offline("cluster", "shutdown", code=2).stderr
        assert "3 nodes told to stop" in ais_offline("cluster", "shutdown", "--yes").stdout


def check_nobody_else_gets_in(port: int, pids: list[int]) -> None:
    """It listens on loopback alone, and no page of another site makes a bucket: with its own origin, without one, by a
    form, or under a name that leads to this machine."""
    url, body = f"http://127.0.0.1:{port}", message("create-bck")
    listening = [one for pid in pids for one in psutil.Process(pid).net_connections("tcp") if not one.raddr]
    assert len(listening) >= len(pids)
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
    mozilla, rebound = {"User-Agent": "Mozilla/5.0"}, {"Host": f"evil.example:{port}", "User-Agent": "Mozilla/5.0"}
    for lines in (
        {**mozilla, "Origin": "http://evil.example"},
        {**mozilla, "Origin": "null", "Content-Type": "text/plain"},
        {**mozilla, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {**mozilla, "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        rebound,
        {**rebound, "Origin": f"http://evil.example:{port}", "Sec-Fetch-Site": "same-origin"},
    ):
        for method, path in (("POST", "/v1/buckets/evil"), ("PUT", "/s3/evil"), ("PUT", "/evil")):
            answer = request(url, method, path, body=body if method == "POST" else b"", headers=lines)
            assert answer.status == 403, (lines, method, path, answer)
    assert request(url, "HEAD", "/v1/buckets/evil").status == 404
    assert request(url, "POST", "/v1/buckets/ours", body=body, headers=mozilla).status == 200


def test_playground(ais_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A playground is started, keeps its data over stop and start, reports its state, is for this machine and its user
    alone, and is removed."""
    with Cluster(proxies=1, targets=0) as probe:
        port = int(probe.endpoint.rpartition(":")[2])
    where = ("--dir", tmp_path / "pg")
    shape = ("--proxies", 1, "--targets", 1, "--mountpaths", 1, "--port", port)
    assert "no playground" in ais_process("playground", "status", *where, code=3).stderr
    try:
        assert "The cluster is ready" in ais_process("playground", "start", *where, *shape, "--wait").stdout
        monkeypatch.setenv("AIS_ENDPOINT", f"http://127.0.0.1:{port}")
        ais_process("create", "kept")
        ais_process("put", "-", "kept/o", stdin="content")
        states = {
            one["name"]: one["state"] for one in json.loads(ais_process("playground", "status", *where, "-j").stdout)
        }
        assert states == {"p1": "ready", "t1": "ready"}
        pids = [int(file.read_text()) for file in (tmp_path / "pg").glob("*/pid")]
        assert len(pids) == 2
        check_nobody_else_gets_in(port, pids)
        assert "differs in targets" in ais_process("playground", "start", *where, "--targets", 2, code=1).stderr
        ais_process("playground", "stop", *where)
        assert "stopped" in ais_process("playground", "status", *where, code=1).stdout
        assert "not running" in ais_process("playground", "stop", *where).stderr
        ais_process("playground", "start", *where, "--wait", "--quiet")
        assert ais_process("object", "cat", "kept/o").stdout == "content"
    finally:
        ais_process("playground", "clean", *where, "--yes")
    assert not (tmp_path / "pg").exists()


def test_maintenance_and_rebalance(ais_offline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target goes into maintenance and comes back with its data moved both ways; a primary may not; a rebalance is
    started, waited for and shown; weights are set, shown and proposed.
    """
    with Cluster(proxies=1, targets=3, mountpaths=1) as cluster:
        monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
        ais_offline("create", "ais://b")
        for number in range(20):
            ais_offline("put", "-", f"ais://b/o{number}", stdin=b"x")
        target = f"t[{cluster.targets[0].id}]"
        shown = ais_offline("cluster", "add-remove-nodes", "start-maintenance", target).stdout
        assert f"{target} is going into maintenance" in shown
        ais_offline("wait", "rebalance")
        assert ais_offline("ls", "ais://b", "--count-only").stdout == "20\n"
        ais_offline("cluster", "add-remove-nodes", "stop-maintenance", target)
        ais_offline("wait", "rebalance")
        ais_offline("start", "rebalance", "--wait")
        assert "rebalance" in ais_offline("show", "rebalance", "--all").stdout
        assert ais_offline("ls", "ais://b", "--count-only").stdout == "20\n"
        assert f"{target} has weight 200" in ais_offline("cluster", "weights", "set", f"{target}=200").stdout
        assert json.loads(ais_offline("cluster", "weights", "--json").stdout)[cluster.targets[0].id] == 200
        assert "50.0%" in ais_offline("cluster", "weights").stdout
        proposed = ais_offline("cluster", "weights", "set", "--by-capacity", "--dry-run").stdout
        assert f"{target} would have weight 100" in proposed
        assert "TARGET_ID=WEIGHT" in ais_offline("cluster", "weights", "set", target, code=2).stderr
        ais_offline("wait", "rebalance")
        primary = f"p[{cluster.proxies[0].id}]"
        wrong = ais_offline("cluster", "add-remove-nodes", "start-maintenance", primary, code=2)
        assert "primary" in wrong.stderr
        gone = ais_offline("advanced", "remove-from-smap", target, code=2)
        assert "--yes" in gone.stderr
