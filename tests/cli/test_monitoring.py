"""`ais performance`, `ais show cluster cpu|memory`, the dashboard, logs, certificates, `ais advanced`."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ais_cli.main import cli
from click.testing import CliRunner
from harness.nodes import eventually
from harness.replicating import local, make_versioned, replicate, rule
from harness.s3access import Access, boto, remove_bucket
from harness.wire import fresh_name

from ais.testing import Cluster


@pytest.fixture
def target(cluster: Cluster) -> str:
    """A target as tables name it."""
    return f"t[{cluster.targets[0].id}]"


def test_counters(ais: Any, uri: str, cluster: Cluster, target: str) -> None:
    """What was put is counted under AIStore's titles, for all targets or one; --regex and --units choose."""
    ais("put", "-", f"{uri}/o", stdin=b"x" * 2000)
    shown = ais("performance", "counters").stdout.splitlines()
    assert shown[0].split()[0] == "TARGET"
    assert "PUT(n)" in shown[0]
    assert len(shown) == 1 + len(cluster.targets)
    header, *rows = ais("show", "performance", "counters", "--regex", "^put.size", "--units", "raw").stdout.splitlines()
    assert header.split() == ["TARGET", "PUT(size)"]
    assert sum(int(row.split()[1]) for row in rows if row.split()[1] != "-") >= 2000
    assert len(ais("cluster", "show", "stats", "counters", target, "-H", "-v").stdout.splitlines()) == 1
    assert "is a proxy" in ais("performance", "counters", f"p[{cluster.proxies[0].id}]", code=2).stderr


def test_speeds(ais: Any, uri: str, target: str) -> None:
    """Throughput and latency have a row for each target, or for one, and columns for what there was."""
    ais("put", "-", f"{uri}/o", stdin=b"x")
    assert "PUT(size)" in ais("performance", "throughput").stdout.splitlines()[0]
    assert "PUT(time)" in ais("performance", "latency").stdout.splitlines()[0]
    assert target in ais("performance", "throughput", target).stdout
    assert ais("performance", "intra-data").exit_code == 0
    assert ais("performance", "capacity", "-H").stdout.count("good") == 3


def test_replication(ais: Any, cluster: Cluster) -> None:
    """A destination that lost its versioning is told with what waits and why, and not any more when it has it again."""
    s3 = boto(Access(cluster.endpoint, "any", "anysecret"))
    source, target = fresh_name("from"), fresh_name("to")
    for name in (source, target):
        make_versioned(s3, name)
    replicate(s3, source, rule(local(target)))
    off, on = ({"Status": status} for status in ("Suspended", "Enabled"))
    s3.put_bucket_versioning(Bucket=target, VersioningConfiguration=off)
    s3.put_object(Bucket=source, Key="k", Body=b"1")

    def row() -> dict[str, Any]:
        found = json.loads(CliRunner().invoke(cli, ["show", "replication", "--json"]).stdout)
        return next(one for one in found["destinations"] if one["destination"] == local(target))

    eventually(lambda: "Versioning must be 'Enabled'" in row()["why"] and row()["waiting"] == 1, within_s=100)
    assert local(target) in ais("show", "replication", code=1).stdout
    s3.put_bucket_versioning(Bucket=target, VersioningConfiguration=on)
    eventually(lambda: (row()["waiting"], row()["why"]) == (0, ""), within_s=100)
    assert ais("show", "replication", "-H").stdout.split()[:3] == [local(target), "0", "-"]
    remove_bucket(s3, source)
    remove_bucket(s3, target)


def test_refresh(ais: Any) -> None:
    """--refresh with --count shows a view so many times."""
    shown = ais("show", "cluster", "smap", "--refresh", "0.01", "--count", "3").stdout
    assert shown.count("Primary Proxy") == 3


def test_machine(ais: Any, cluster: Cluster, target: str) -> None:
    """Processor and memory of all nodes, or of one."""
    assert len(ais("show", "cluster", "cpu", "-H").stdout.splitlines()) == len(cluster.nodes)
    header, row = ais("show", "cluster", "memory", target, "--units", "raw").stdout.splitlines()
    assert header.split()[:2] == ["NODE", "TYPE"]
    assert int(row.split()[2]) > 1_000_000
    assert json.loads(ais("cluster", "show", "cpu", "-j").stdout)[cluster.targets[0].id]["load_avg"]


def test_dashboard(ais: Any, cluster: Cluster) -> None:
    """The dashboard tells health, speed and the cluster's summary."""
    shown = ais("show", "dashboard", "--verbose").stdout
    assert "Throughput" in shown
    assert "Cluster Map" in shown
    assert cluster.targets[0].id in shown
    assert json.loads(ais("cluster", "dashboard", "-j").stdout)["I/O Errors"].isdecimal()


def test_reset_stats(ais: Any, uri: str, target: str) -> None:
    """Counters are set to zero."""
    ais("put", "-", f"{uri}/o", stdin=b"x")
    ais("cluster", "reset-stats", target)
    row = ais("performance", "counters", target, "--regex", "^put.n$", "-H").stdout.split()
    assert row == [target, "-"]
    ais("cluster", "reset-stats", "--errors-only")


def test_logs(ais: Any, cluster: Cluster, target: str, tmp_path: Path) -> None:
    """A node's log is shown, fetched, archived, and begun anew; those of all nodes are downloaded."""
    assert '"event"' in ais("log", "show", target).stdout
    assert ais("show", "log", target, "--severity", "error").stdout.count('"level": "info"') == 0
    ais("log", "get", target, tmp_path)
    saved = tmp_path / f"{cluster.targets[0].id}.log"
    assert '"event"' in saved.read_text()
    assert "Overwrite" in ais("log", "get", target, saved, code=2).stderr
    ais("log", "get", target, tmp_path / "all.tgz", "--all")
    with tarfile.open(tmp_path / "all.tgz") as archive:
        assert archive.getnames()
    assert "whole files" in ais("log", "get", target, "--all", "--severity", "error", code=2).stderr
    ais("advanced", "rotate-logs", target)
    ais("cluster", "download-logs", tmp_path / "logs")
    assert len(list((tmp_path / "logs").iterdir())) == len(cluster.nodes)


def test_log_goes_on(ais: Any, uri: str, target: str) -> None:
    """A log that is looked at again shows each line once."""
    assert uri  # a new bucket gives each node something to log
    once = ais("log", "show", target).stdout.splitlines()
    twice = ais("log", "show", target, "--refresh", "0.01", "--count", "2").stdout.splitlines()
    assert len(twice) < 2 * len(once)
    assert len(set(twice)) == len(twice)


def test_no_certificates(ais: Any, target: str) -> None:
    """Without TLS there is no certificate to show or to check, and the answer says what to set."""
    assert "server_crt" in ais("tls", "show", target, code=3).stderr
    assert "server_crt" in ais("tls", "validate-certificates", code=3).stderr


def test_random_things(ais: Any, cluster: Cluster, target: str) -> None:
    """A random node is one of the cluster's, a random mountpath one of the target's."""
    assert ais("advanced", "random-node").stdout.strip() in {one.id for one in cluster.targets}
    assert ais("advanced", "random-node", "proxy").stdout.strip() in {one.id for one in cluster.proxies}
    found = ais("advanced", "random-mountpath", target).stdout.strip()
    assert found in map(str, cluster.targets[0].mountpaths)


def test_check_lock(ais: Any, uri: str) -> None:
    """Objects nobody writes are unlocked, one or many."""
    for name in "abc":
        ais("put", "-", f"{uri}/{name}", stdin=b"x")
    assert ais("advanced", "check-lock", f"{uri}/a").stdout.split()[-2:] == ["a", "unlocked"]
    assert ais("advanced", "check-lock", uri, "--limit", "2").stdout.count("unlocked") == 2
