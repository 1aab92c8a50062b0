"""Nodes and disks of another cluster are refused, and say why; the cluster they knocked at does not change."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from harness.wire import Api, fresh_name

from ais.testing import Cluster

FOREIGN_NODE_EXIT_STATUS = 5


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Another cluster, stopped: its directories are what a confused operator starts from."""
    with Cluster(proxies=2, targets=1, mountpaths=1, dir=tmp_path_factory.mktemp("stranger")) as other:
        assert Api(other.endpoint).create("theirs").status == 200
        assert Api(other.endpoint).put("theirs", "o", b"theirs").status == 200
        other.stop()
        yield other


@pytest.mark.parametrize("role", ["target", "proxy"])
def test_node_of_another_cluster_is_refused(cluster, api: Api, stranger: Cluster, role: str):
    """Started with our configuration and its own disks, a foreign node ends with status 5 and names both clusters."""
    before = api.smap()
    # The first proxy founded their cluster and goes on as its primary whatever our configuration says.
    node = (stranger.targets if role == "target" else stranger.proxies)[-1]
    ours = cluster.directory / "cluster" / "cluster.json"
    command = [sys.executable, "-m", "ais_node.main", "--role", role, "--config", str(ours)]
    command += ["--join-secret", str(ours.parent / "join.secret")]
    ended = subprocess.run(
        [*command, "--local-config", str(node.plan.local_file)], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == FOREIGN_NODE_EXIT_STATUS, ended
    assert before["uuid"] in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert api.smap() == before


def test_foreign_cluster_is_unharmed(stranger: Cluster):
    """After knocking at the wrong door the other cluster starts again with its data."""
    stranger.start()
    stranger.wait_ready(30)
    assert Api(stranger.endpoint).get("theirs", "o").body == b"theirs"
    stranger.stop()


def test_mountpath_of_another_target_is_refused(cluster, api: Api, stranger: Cluster):
    """A disk of another cluster, and one of another target of ours, cannot be attached; neither can a nested one."""
    target, neighbour = cluster.targets[:2]
    (foreign,) = stranger.targets
    nested = target.mountpaths[0] / "below"
    nested.mkdir()
    try:
        for path in (foreign.mountpaths[0], neighbour.mountpaths[0], nested, target.mountpaths[0].parent):
            answer = api.act(
                "PUT",
                "/v1/reverse/daemon/mountpaths",
                "attach-mp",
                value=str(path),
                headers={"Ais-Node-Id": target.id},
            )
            assert 400 <= answer.status < 500, (path, answer)
            assert str(path) in answer.error["message"]
        mountpaths = api.of_node(target.id, "mountpaths").json()
        assert set(mountpaths["available"]) == {str(path) for path in target.mountpaths}
    finally:
        nested.rmdir()
    name = fresh_name()
    assert api.create(name).status == 200
    assert api.destroy(name).status == 200
