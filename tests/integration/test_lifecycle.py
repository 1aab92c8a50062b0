"""Nodes and clusters end as asked: with their data or without, for good or to come back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.nodes import eventually
from harness.wire import Api, message, request

from ais.testing import Cluster, Node

FAST = {"keepalivetracker.proxy.interval": "500ms", "keepalivetracker.target.interval": "500ms"}
NAMES = [f"o{number}" for number in range(40)]
SOON_S = 90


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One proxy, three targets."""
    with Cluster(proxies=1, targets=3, mountpaths=1, config_overrides=FAST) as running:
        yield running


def filled(cluster: Cluster, bucket: str) -> Api:
    """A bucket with all objects."""
    api = Api(cluster.endpoint)
    assert api.create(bucket).status == 200
    assert all(api.put(bucket, name, name.encode()).status == 200 for name in NAMES)
    return api


def check(api: Api, bucket: str) -> None:
    """All objects are there, whatever moves."""
    for name in NAMES:
        eventually(lambda name=name: api.get(bucket, name).status != 503, within_s=SOON_S)
        assert api.get(bucket, name).body == name.encode()


def settled(api: Api) -> None:
    eventually(lambda: not (api.smap().get("ext") or {}).get("id"), within_s=SOON_S)


def decommission(api: Api, node: Node, **value: bool) -> None:
    """Take a target out and wait until it is off the map."""
    answer = api.call("PUT", "/v1/cluster", body=message("decommission-node", value={"sid": node.id, **value}))
    assert answer.status == 200, answer.error
    eventually(lambda: node.id not in api.smap()["tmap"], within_s=SOON_S)


def ours_on(node: Node) -> list[str]:
    """What of ours lies on the mountpaths of a node."""
    return sorted(one.name for path in node.mountpaths for one in path.iterdir() if one.name[0] in "@.")


def test_a_node_that_is_left_running_stays_out_until_it_is_let_in(cluster: Cluster) -> None:
    """Decommissioned with no_shutdown it goes on running and does not come back by itself; join-by-admin lets it in."""
    api, node = filled(cluster, "stays"), cluster.targets[2]
    decommission(api, node, no_shutdown=True)
    check(api, "stays")
    for _ in range(20):
        assert node.id not in api.smap()["tmap"]
        time.sleep(0.1)
    assert node.alive
    snode = request(node.url, "GET", "/v1/daemon?what=snode")
    answer = api.call("POST", "/v1/cluster/join-by-admin", body=snode.body)
    assert (answer.status, answer.json()["daemon_id"]) == (200, node.id)
    assert node.id in api.smap()["tmap"]
    settled(api)
    check(api, "stays")
    again = api.call("POST", "/v1/cluster/join-by-admin", body=snode.body)
    assert (again.status, again.json()) == (200, {"daemon_id": node.id, "rebalance_id": ""})


def test_data_of_a_node_is_removed_after_it_has_moved(cluster: Cluster) -> None:
    """With rm_user_data nothing of ours is left on its mountpaths, what others put there is, and no object is lost."""
    api, node = filled(cluster, "moves"), cluster.targets[1]
    foreign = node.mountpaths[0] / "notes.txt"
    foreign.write_text("mine")
    decommission(api, node, rm_user_data=True)
    cluster.wait_ended(node)
    assert ours_on(node) == []
    assert foreign.read_text() == "mine"
    check(api, "moves")


@pytest.mark.parametrize(
    ("action", "value", "reason"),
    [
        ("decommission-node", {"rm_user_data": True, "skip_rebalance": True}, "move it first"),
        ("decommission-node", {"rm_user_data": True, "no_shutdown": True}, "goes on running"),
        ("shutdown-node", {"rm_user_data": True}, "decommission it"),
        ("start-maintenance", {"rm_user_data": True}, "decommission it"),
    ],
)
def test_what_would_lose_data_is_refused(cluster: Cluster, action: str, value: dict[str, bool], reason: str) -> None:
    """And nothing happens: the node is in the cluster as before."""
    api, node = Api(cluster.endpoint), cluster.targets[0]
    answer = api.call("PUT", "/v1/cluster", body=message(action, value={"sid": node.id, **value}))
    assert (answer.status // 100, reason in answer.error["message"]) in ((4, True), (5, True))
    assert int(api.smap()["tmap"][node.id].get("flags", 0)) == 0


def test_joining_what_is_no_node_is_refused(cluster: Cluster) -> None:
    """An address where nobody answers, and a node of another ID, are named in a 400."""
    api = Api(cluster.endpoint)
    answer = api.call("POST", "/v1/cluster/join-by-admin", body=b'{"daemon_id": "x", "daemon_type": "target"}')
    assert (answer.status, "failed to obtain node info" in answer.error["message"]) == (400, True)


@pytest.mark.parametrize("rm_user_data", [False, True])
def test_a_cluster_ends_with_or_without_its_data(rm_user_data: bool) -> None:
    """All nodes forget it and stop; objects are set aside as files, or gone; started again it is a new, empty one."""
    with Cluster(proxies=1, targets=2, mountpaths=1, config_overrides=FAST) as cluster:
        api = filled(cluster, "ends")
        uuid = api.smap()["uuid"]
        cluster.kill(cluster.targets[1])
        body = message("decommission", value={"rm_user_data": rm_user_data})
        refused = api.call("PUT", "/v1/cluster", body=body)
        assert (refused.status, cluster.targets[1].id in refused.error["message"]) == (503, True)
        cluster.restart(cluster.targets[1])
        cluster.wait_ready()
        assert api.call("PUT", "/v1/cluster", body=body).status == 200
        for node in (*cluster.targets, *cluster.proxies):
            cluster.wait_ended(node)
        aside = [path / f"decommissioned.{uuid}" for node in cluster.targets for path in node.mountpaths]
        found = {file.name: file.read_bytes() for path in aside for file in Path(path).rglob("%ob/*")}
        assert found == ({} if rm_user_data else {name: name.encode() for name in NAMES})
        assert [ours_on(node) for node in cluster.targets] == [[], []]
        cluster.start()
        cluster.wait_ready()
        assert api.smap()["uuid"] != uuid
        assert api.call("GET", "/v1/buckets").json() == []
        assert len(api.smap()["tmap"]) == 2
