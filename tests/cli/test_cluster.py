"""`ais show cluster`, `ais config`, `ais storage`, `ais job`, `ais wait` on a real cluster."""

import json
from pathlib import Path
from typing import Any

from ais.testing import Cluster


def test_nodes(ais: Any, cluster: Cluster) -> None:
    """Every node is in its table with AIStore's columns, below them a summary of the cluster."""
    shown = ais("show", "cluster").stdout
    lines = shown.splitlines()
    assert lines[0].split("  ")[0] == "PROXY"
    assert next(one for one in lines if one.startswith("TARGET")).split()[:2] == ["TARGET", "MEM"]
    for node in cluster.nodes:
        assert f"{node.role[0]}[{node.id}]" in shown
    assert "[P]" in shown
    assert "2 (0 unelectable)" in shown
    assert "5 online" in shown
    assert ais("cluster", "show").stdout.splitlines()[0] == lines[0]
    target = cluster.targets[0].id
    assert ais("show", "cluster", "target", f"t[{target}]", "-H").stdout.count("\n") == 1
    found = json.loads(ais("show", "cluster", "--json").stdout)
    assert set(found["status"]) == {node.id for node in cluster.nodes}
    assert "does not exist in the cluster map" in ais("show", "cluster", "nosuchnode", code=3).stderr


def test_metadata(ais: Any, cluster: Cluster, uri: str) -> None:
    """The cluster map and the bucket metadata are shown, of the cluster and of one node."""
    for words in ((), (f"t[{cluster.targets[0].id}]",)):
        assert cluster.endpoint in ais("show", "cluster", "smap", *words).stdout
        assert uri.removeprefix("ais://") in ais("show", "cluster", "bmd", *words).stdout
    assert json.loads(ais("show", "cluster", "smap", "-j").stdout)["tmap"].keys() == {one.id for one in cluster.targets}
    assert "providers" in json.loads(ais("show", "cluster", "bmd", "-j").stdout)


def test_settings(ais: Any, cluster: Cluster) -> None:
    """Settings are set for the cluster and for a node, shown with what differs, and reset."""
    node = f"t[{cluster.targets[0].id}]"
    assert '"mirror.copies" set to: "3" (was: "2")' in ais("config", "cluster", "mirror.copies=3").stdout
    assert "mirror.copies  3" in ais("config", "show", "cluster", "mirror.copies").stdout
    ais("config", "set", "mirror.copies", "2")
    ais("config", "node", node, "inherited", "log.level=4")
    assert ais("config", "node", node, "log.level", "-H").stdout.split() == ["log.level", "4", "3"]
    ais("config", "reset", node)
    assert ais("show", "config", node, "inherited", "log.level", "-H").stdout.split() == ["log.level", "3", "-"]
    assert "confdir" in ais("show", "config", node, "local").stdout
    assert json.loads(ais("show", "config", "cluster", "checksum", "-j").stdout)["checksum"]["type"] == "xxhash2"
    assert "Sections:" in ais("config", "cluster", "nonsense", code=2).stderr
    assert "are reset" in ais("config", "reset").stdout


def test_storage(ais: Any, cluster: Cluster) -> None:
    """Capacity and mountpaths of all targets, or of one."""
    assert ais("storage", "capacity", "-H").stdout.count("good") == len(cluster.targets)
    target = cluster.targets[0]
    shown = ais("show", "storage", "mountpath", f"t[{target.id}]").stdout
    assert all(str(path) in shown for path in target.mountpaths)
    assert shown.count("available") == 2
    assert "is a proxy" in ais("storage", "disk", cluster.proxies[0].id, code=2).stderr
    ais("storage", "disk")
    assert set(json.loads(ais("show", "storage", "mountpath", "-j").stdout)) == {one.id for one in cluster.targets}


def test_mountpath_life(ais: Any, cluster: Cluster, tmp_path: Path) -> None:
    """A mountpath is attached, disabled, enabled and detached; a directory that is not there is refused."""
    target, path = f"t[{cluster.targets[0].id}]", tmp_path / "mp"
    assert "does not exist" in ais("storage", "mountpath", "attach", f"{target}={path}", code=3).stderr
    path.mkdir()
    ais("storage", "mountpath", "attach", f"{target}={path}", "--label", "fast")
    assert "fast" in ais("storage", "mountpath", "show", target).stdout
    assert "disabled" in ais("storage", "mountpath", "disable", target, path, "-y", "--no-resilver").stdout
    assert "is disabled already" in ais("storage", "mountpath", "disable", f"{target}={path}", "--no-resilver").stdout
    assert "enabled" in ais("storage", "mountpath", "enable", f"{target}={path}").stdout
    ais("storage", "mountpath", "detach", f"{target}={path}", "--no-resilver")
    assert str(path) not in ais("storage", "mountpath", target).stdout


def test_jobs(ais: Any, uri: str) -> None:
    """Finished jobs are shown by --all and by ID; unknown ones are not found."""
    ais("bucket", "summary", uri)
    shown = ais("show", "job", "--all", "summary", uri).stdout
    assert "Finished" in shown
    uuid = shown.splitlines()[1].split()[1]
    assert uuid in ais("job", "show", uuid).stdout
    assert "finished" in ais("wait", uuid).stdout
    assert "known" in ais("show", "job", "nosuchjob1", code=3).stderr
    ais("wait", "nosuchjob1", code=3)
    assert "no such job" in ais("stop", "rename-bucket", code=3).stderr


def test_wait_for_the_cluster(ais: Any) -> None:
    """A ready cluster is not waited for."""
    assert ais("wait", "cluster", "--timeout", "5s").stdout == "The cluster is ready\n"


def test_other_clusters(ais: Any, uri: str) -> None:
    """One is attached, shown and detached, also while it does not answer; what is wrong is said."""
    assert "successfully attached" in ais("cluster", "remote-attach", "cli-far=http://127.0.0.1:1").stdout
    shown = ais("show", "remote-cluster", "-H").stdout.split()
    assert {"defunct", "cli-far", "[http://127.0.0.1:1]"} <= set(shown)
    assert json.loads(ais("remote-cluster", "show", "cluster", "--json").stdout)[0]["alias"] == "cli-far"
    assert "successfully detached" in ais("cluster", "remote-detach", "cli-far").stdout
    assert "failed to detach" in ais("cluster", "remote-detach", "cli-far", code=3).stderr
    assert "is not ALIAS=URL" in ais("cluster", "remote-attach", "cli-far", code=2).stderr
    assert "remote bucket" in ais("start", "blob-download", f"{uri}/x", code=2).stderr
    assert "is not configured" in ais("advanced", "disable-backend", "aws", code=2).stderr
