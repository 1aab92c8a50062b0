"""Every secret of a closed cluster is replaced under load, and nobody notices; what is stolen is worthless after."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from harness.nodekeys import NodeKeys
from harness.nodes import eventually
from harness.rotation import Load, ask, close, one_key_each, rotate, smap_of
from harness.wire import message, request

from ais.auth import nodes, pairs
from ais.playground.plan import SECRET_FILE
from ais.testing import Cluster, Node


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three gateways, three targets, on one port each; clients need tokens."""
    with Cluster(proxies=3, targets=3, mountpaths=1, dir=tmp_path_factory.mktemp("rotation")) as running:
        close(running)
        yield running


def root_of(cluster: Cluster) -> Path:
    return cluster.proxies[0].plan.directory.parent


def file_of(node: Node, name: str) -> Path:
    return node.plan.directory / "conf" / name


def test_all_secrets_under_load(cluster: Cluster) -> None:
    """The cluster's secret, the key of each node and the join secret are replaced: no request of clients fails."""
    everybody = {node.id for node in (*cluster.proxies, *cluster.targets)}
    before, secret = one_key_each(cluster), file_of(cluster.proxies[0], ".ais.secret").read_bytes()
    with Load(cluster) as load:
        assert rotate(cluster, "cluster") == dict.fromkeys(everybody, True)
        assert rotate(cluster, "nodes") == dict.fromkeys(everybody, True)
        assert rotate(cluster, "join") == dict.fromkeys(everybody, False)
        (root_of(cluster) / SECRET_FILE).write_text("another join secret of this cluster\n")
        assert rotate(cluster, "join") == dict.fromkeys(everybody, True)
        at_least = load.count + 20
        eventually(lambda: one_key_each(cluster), within_s=60)
        eventually(lambda: load.count > at_least or load.failures, within_s=60)
    assert not load.failures, "\n".join(load.failures[:10])
    after = one_key_each(cluster)
    assert all(before[one] != after[one] for one in everybody)
    assert len({file_of(node, ".ais.secret").read_bytes() for node in (*cluster.proxies, *cluster.targets)}) == 1
    assert file_of(cluster.proxies[0], ".ais.secret").read_bytes() != secret
    for node in (*cluster.proxies, *cluster.targets):
        (kept,) = file_of(node, pairs.FILE).read_text().split()
        assert pairs.PairKeys(bytes.fromhex(kept)).publics == tuple(after[node.id])


def test_a_stolen_key_is_worth_nothing_after_its_replacement(cluster: Cluster) -> None:
    """What a thief signs with the key of a target is refused from the end of the grace on: at others, and as others."""
    target, other = cluster.targets[0], cluster.targets[1]
    stolen = NodeKeys.of(root_of(cluster), smap_of(cluster))

    def speak(caller: Node, to: Node) -> int:
        path = "/v1/metasync?part=bmd"
        lines = {"Ais-Caller-Id": caller.id, **stolen.sign(caller.id, to.id, "GET", path, b"")}
        return request(to.url, "GET", path, headers=lines).status

    assert (speak(target, other), speak(other, target)) == (200, 200)
    assert rotate(cluster, "nodes", target.id) == {target.id: True}
    eventually(lambda: (speak(target, other), speak(other, target)) == (403, 403), within_s=60)
    one_key_each(cluster)


def test_a_join_secret_ends(cluster: Cluster, tmp_path: Path) -> None:
    """The secret before is good until the grace is over, and not after."""
    path, gateway = root_of(cluster) / SECRET_FILE, cluster.proxies[0]
    old = nodes.join_key(nodes.read_secret(str(path)))

    def who() -> int:
        proof = nodes.Proof.make("stranger", time.time(), b"")
        tag = proof.sign(old, "GET", "/v1/cluster/keepalive")
        lines = {"Ais-Node-Auth": str(proof._replace(tag=tag))}
        return request(gateway.url, "GET", "/v1/cluster/keepalive", headers=lines).status

    assert who() == 200
    path.write_text("a third join secret of this cluster\n")
    assert all(rotate(cluster, "join").values())
    eventually(lambda: who() == 403, within_s=30)


def test_a_stolen_target_is_never_primary_and_out_when_removed(cluster: Cluster) -> None:
    """With a target's key nobody votes, takes over or tells of another primary; after `rm` nobody is told anything."""
    target, gateway = cluster.targets[2], cluster.proxies[0]
    keys, smap = NodeKeys.of(root_of(cluster), smap_of(cluster)), smap_of(cluster)

    def speak(method: str, path: str, content: object = None) -> int:
        body = msgspec.msgpack.encode(content) if content else b""
        lines = {"Ais-Caller-Id": target.id, **keys.sign(target.id, gateway.id, method, path, body)}
        return request(gateway.url, method, path, body=body, headers=lines).status

    vote = {"uuid": smap["uuid"], "term": 99, "candidate": smap["tmap"][target.id], "stamps": {}}
    for method, path in (("POST", "/v1/vote"), ("POST", "/v1/vote/take-over"), ("PUT", "/v1/metasync")):
        assert speak(method, path, vote) == 403
    assert speak("GET", "/v1/metasync?part=bmd") == 200
    cluster.kill(target)
    assert ask(cluster.endpoint, "PUT", "/v1/cluster", message("rm-unsafe", value={"sid": target.id})).status == 200
    assert speak("GET", "/v1/metasync?part=bmd") == 403
    assert smap_of(cluster)["proxy_si"]["daemon_id"] in {proxy.id for proxy in cluster.proxies}
