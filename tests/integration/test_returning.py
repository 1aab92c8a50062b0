"""A mountpath that was detached with what it has and comes back after names got other owners."""

from collections.abc import Iterator

import pytest
from harness.joining import another_target, objects_on
from harness.meanwhile import Meanwhile
from harness.nodes import eventually
from harness.wire import Api, message

from ais.testing import Cluster

FAST = {"keepalivetracker.proxy.interval": "500ms", "keepalivetracker.target.interval": "500ms"}
NAMES = [f"d{number % 7}/o{number:03}" for number in range(240)]
SOON_S = 60
ENABLED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One target with two mountpaths."""
    with Cluster(proxies=1, targets=1, mountpaths=2, config_overrides=FAST) as running:
        yield running


def mountpath(cluster: Cluster, method: str, action: str, **query: str) -> None:
    """Change the first mountpath of the first target."""
    node, path = cluster.targets[0], "/v1/reverse/daemon/mountpaths"
    body = message(action, value=str(node.plan.mountpaths[0]))
    answer = Api(cluster.endpoint).call(method, path, query, body=body, headers={"Ais-Node-Id": node.id})
    assert answer.status == 200, answer.error


def settled(api: Api) -> None:
    eventually(lambda: "ext" not in api.smap(), within_s=SOON_S)


class Readers(Meanwhile):
    """Who asks for names all the time, and notes every 404."""

    def __init__(self, url: str, bucket: str, names: list[str]) -> None:
        self.missing: list[str] = []
        self._url, self._bucket, self._names = url, bucket, names
        super().__init__(self._read)

    def _read(self) -> None:
        api = Api(self._url)
        while not self.ended.is_set():
            for name in self._names:
                if api.get(self._bucket, name).status == 404:
                    self.missing.append(name)


@pytest.mark.parametrize("is_versioned", [False, True])
def test_what_returns_is_found_and_what_was_replaced_or_deleted_stays_so(cluster: Cluster, is_versioned: bool) -> None:
    """Whoever owns the names by now, and whoever removed them."""
    api = Api(cluster.endpoint)
    assert api.create("b").status == 200
    if is_versioned:
        assert api.call("PUT", "/s3/b", {"versioning": ""}, body=ENABLED).status == 200
    for name in NAMES:
        assert api.put("b", name, b"old " + name.encode()).status == 200
    mountpath(cluster, "DELETE", "detach-mp", dntres="true")
    gone = [name for name in NAMES if api.get("b", name).status == 404]
    assert len(gone) > 60
    with another_target(cluster) as (plan, _):
        settled(api)
        replaced, deleted, left = gone[::3], gone[1::3], gone[2::3]
        for name in (*replaced, *deleted):
            assert api.put("b", name, b"new " + name.encode()).status == 200
        for name in deleted:
            assert api.delete("b", name).status == 200
        moved = {str(path).partition("%ob/")[2] for path in objects_on(plan)}
        assert moved & set(replaced), "some belong to the target that joined"

        def check() -> None:
            assert {name: api.get("b", name).body for name in left} == {name: b"old " + name.encode() for name in left}
            assert {name: api.get("b", name).body for name in replaced} == {
                name: b"new " + name.encode() for name in replaced
            }
            assert {name: api.get("b", name).status for name in deleted} == dict.fromkeys(deleted, 404)
            assert sorted(api.names("b")) == sorted(set(NAMES) - set(deleted))

        mountpath(cluster, "PUT", "attach-mp")
        with Readers(cluster.endpoint, "b", left) as readers:
            check()
            settled(api)
            check()
            if is_versioned:
                versions = api.call("GET", "/s3/b", {"versions": ""}).body
                assert {versions.count(f"<Key>{name}</Key>".encode()) for name in replaced} == {2}
                assert {versions.count(f"<Key>{name}</Key>".encode()) for name in deleted} == {3}
        assert readers.missing == []
        eventually(lambda: "lacking" not in api.smap(), within_s=SOON_S)
