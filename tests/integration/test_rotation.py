"""Every secret of a closed cluster is replaced under load, and nobody notices; what is stolen is worthless after."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import msgspec
import pytest
from harness.nodekeys import NodeKeys
from harness.nodes import eventually
from harness.s3access import Access
from harness.s3raw import call
from harness.wire import Answer, message, request

from ais.auth import nodes, pairs
from ais.playground.plan import SECRET_FILE
from ais.testing import Cluster, Node

SECRET = "a secret of more than thirty-two bytes"
TOKEN = jwt.encode({"sub": "root", "admin": True, "exp": 1 << 40}, SECRET, algorithm="HS256")
GRACE_S = 2
SETTINGS = {
    "auth": {
        "client_auth_required": True,
        "signature": {"key": SECRET, "method": "hmac"},
        "intra_cluster": {"rotation_grace": f"{GRACE_S}s"},
    }
}


def ask(url: str, method: str, target: str, body: bytes = b"") -> Answer:
    return request(url, method, target, body=body, headers={"Authorization": f"Bearer {TOKEN}"})


def smap_of(cluster: Cluster) -> dict:
    return ask(cluster.endpoint, "GET", "/v1/daemon?what=smap").json()


def rotate(cluster: Cluster, kind: str, sid: str = "") -> dict[str, bool]:
    answer = ask(cluster.proxies[-1].url, "PUT", "/v1/cluster", message("rotate-secrets", kind, {"sid": sid}))
    assert answer.status == 200, answer
    return answer.json()


def keys_of(cluster: Cluster) -> dict[str, list[str]]:
    smap = smap_of(cluster)
    return {one: node["pub_keys"] for one, node in {**smap["pmap"], **smap["tmap"]}.items()}


def one_key_each(cluster: Cluster) -> dict[str, list[str]]:
    """The keys when all rotations have ended."""
    found = keys_of(cluster)
    assert all(len(keys) == 1 for keys in found.values()), found
    return found


class Load:
    """Writes and reads by redirect and by S3 through every gateway; what failed is in `failures`."""

    def __init__(self, cluster: Cluster) -> None:
        self._urls = [proxy.url for proxy in cluster.proxies]
        key = ask(cluster.endpoint, "POST", "/v1/auth/keys", json.dumps({"user": "ann"}).encode()).json()
        self._s3 = [Access(url, key["id"], key["secret"]) for url in self._urls]
        self.failures: list[str] = []
        self.count = 0
        self._ended = threading.Event()

    def _redirected(self, url: str, method: str, name: str, body: bytes = b"") -> bytes:
        target = f"/v1/objects/b/{name}?provider=ais"
        location = ask(url, method, target).header("Location") or ""
        base, _, path = location.partition("/v1/")
        answer = request(base, method, f"/v1/{path}", body=body)
        assert answer.status == 200, (method, location, answer)
        return answer.body

    def _native(self, number: int) -> None:
        url, name = self._urls[number % len(self._urls)], f"n{number % 20}"
        self._redirected(url, "PUT", name, name.encode())
        assert self._redirected(url, "GET", name) == name.encode()

    def _by_s3(self, number: int) -> None:
        access, name = self._s3[number % len(self._s3)], f"s{number % 20}"
        for method, body in (("PUT", name.encode()), ("GET", b"")):
            answer = call(access, method, f"/s3/b/{name}", body=body)
            assert answer.status == 200, answer
        assert answer.body == name.encode()

    def _run(self, work: Callable[[int], None]) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            try:
                work(number)
                self.count += 1
            except Exception as error:  # noqa: BLE001 - every failure counts
                self.failures.append(f"{time.time():.3f} {error!r}"[:600])

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in (self._native, self._by_s3)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three gateways, three targets, on one port each; clients need tokens."""
    with Cluster(proxies=3, targets=3, mountpaths=1, dir=tmp_path_factory.mktemp("rotation")) as running:
        assert ask(running.endpoint, "PUT", "/v1/cluster", message("set-config", value=SETTINGS)).status == 200
        assert ask(running.endpoint, "POST", "/v1/buckets/b", message("create-bck")).status == 200
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
    eventually(lambda: one_key_each(cluster), within_s=60)
    assert (speak(target, other), speak(other, target)) == (403, 403)


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
