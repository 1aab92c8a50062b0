"""Access keys on real processes: a dead primary, a stopped cluster, and what lies on the disks meanwhile."""

import base64
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.nodes import eventually
from harness.wire import Api

from ais.api import codec
from ais.auth.keys import ClusterSecret
from ais.meta import store
from ais.playground import probe
from ais.testing import Cluster, Node

KEYS = "/v1/auth/keys"


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two proxies and two targets that may die."""
    with Cluster(proxies=2, targets=2, mountpaths=2, dir=tmp_path_factory.mktemp("keys")) as running:
        yield running


def primary_id(node: Node) -> str:
    """Whom a node takes for the primary."""
    return str(Api(node.url).smap()["proxy_si"]["daemon_id"])


def listed(node: Node) -> dict[str, str]:
    """Users by key, as a proxy lists them."""
    return {key["id"]: key["user"] for key in Api(node.url).call("GET", KEYS).json()}


def create(node: Node, user: str) -> dict[str, str]:
    """A new key."""
    answer = Api(node.url).call("POST", KEYS, body=json.dumps({"user": user}).encode())
    assert answer.status == 200, answer
    return answer.json()


def secret_file(node: Node) -> Path:
    return node.plan.directory / "conf" / store.SECRET


def cluster_secret(node: Node) -> bytes:
    """What a node has on disk."""
    path = secret_file(node)
    return codec.from_json(store.decode(store.SECRET, path.read_bytes(), str(path)).payload, ClusterSecret).secret


def test_keys_survive_the_primary_and_a_restart_of_everything(mortal: Cluster) -> None:
    """Made at another proxy, a key is listed by the new primary after kill -9 of the old one, and by all proxies after
    the whole cluster was stopped and started; the cluster secret stays the same on every node."""
    old = next(node for node in mortal.proxies if node.id == primary_id(mortal.proxies[0]))
    other = next(node for node in mortal.proxies if node.id != old.id)
    made = {key["id"]: key["user"] for key in (create(other, "ann"), create(old, "bob"))}
    assert listed(old) == listed(other) == made
    (secret,) = {cluster_secret(node) for node in mortal.nodes}
    mortal.kill(old)
    eventually(lambda: primary_id(other) == other.id, within_s=20)
    assert listed(other) == made
    eventually(lambda: Api(other.url).call("GET", "/v1/health", {"prr": "true"}).status == 200, within_s=20)
    third = create(other, "ann")
    made[third["id"]] = "ann"
    mortal.restart(old)
    eventually(lambda: listed(old) == made, within_s=30)
    mortal.stop()
    mortal.start()
    mortal.wait_ready()
    for proxy in mortal.proxies:
        assert listed(proxy) == made
    assert {cluster_secret(node) for node in mortal.nodes} == {secret}


def test_no_secret_on_a_disk_or_in_a_log(mortal: Cluster) -> None:
    """The cluster secret lies in one file per node that only its owner may read; no other file of any node, mountpaths
    and logs included, has it or a key's secret in it."""
    key = create(mortal.proxies[0], "eve")
    shared = cluster_secret(mortal.nodes[0])
    needles = (shared, base64.b64encode(shared), shared.hex().encode(), key["secret"].encode())
    for node in mortal.nodes:
        places = (node.plan.directory, *node.mountpaths)
        files = {path for place in places for path in place.rglob("*") if path.is_file()}
        assert {path for path in files if any(needle in path.read_bytes() for needle in needles)} == {secret_file(node)}
        assert stat.S_IMODE(secret_file(node).stat().st_mode) == 0o600
        kept = list(node.mountpaths) if node.role == "target" else [secret_file(node).parent]
        assert all(key["id"].encode() in (place / store.KEYS).read_bytes() for place in kept)


def test_authentication_is_switched_on_while_nodes_run(mortal: Cluster) -> None:
    """`auth.enabled` is a setting like others: set at one proxy, every node has it."""
    for value in ("true", "false"):
        gateway = mortal.proxies[1]
        setting = f"{gateway.url}/v1/cluster/set-config?auth.enabled={value}"
        assert probe.call("PUT", setting, None, via=gateway.plan.socket)[0] == 200
        configs = [probe.get_json(f"{node.url}/v1/daemon?what=config", None, node.plan.socket) for node in mortal.nodes]
        assert {config["auth"].get("enabled", False) for config in configs} == {value == "true"}
        assert {Api(node.url).call("GET", "/v1/daemon", {"what": "smap"}).status for node in mortal.nodes} == {
            401 if value == "true" else 200
        }
