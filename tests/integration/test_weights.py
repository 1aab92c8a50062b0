"""Targets of different weights: names, copies and slices follow, and clients that compute owners are redirected."""

from collections.abc import Iterator

import pytest
from aistore.sdk import Client
from harness.joining import objects_on
from harness.nodes import eventually
from harness.wire import Api, follow, message, object_path, request

from ais.api import codec
from ais.meta.placement import Placement
from ais.meta.smap import Smap
from ais.testing import Cluster

FAST = {"keepalivetracker.proxy.interval": "500ms", "keepalivetracker.target.interval": "500ms"}
NAMES = sorted(f"d{number % 3}/o{number:03}" for number in range(60))
BUCKETS = {
    "plain": {},
    "mirrored": {"mirror": {"enabled": True, "copies": 2}},
    "coded": {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1, "objsize_limit": 0}},
    "sliced": {
        "ec": {"enabled": True, "data_slices": 1, "parity_slices": 1, "objsize_limit": 0},
        "protection": {"slices_only": True},
    },
}
SOON_S = 180


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A proxy and three targets."""
    with Cluster(proxies=1, targets=3, mountpaths=2, config_overrides=FAST) as running:
        yield running


def set_weights(api: Api, weights: dict[str, int]) -> None:
    answer = api.call("PUT", "/v1/cluster", body=message("set-weights", value={"weights": weights}))
    assert (answer.status, answer.body[:1]) == (200, b"g")
    eventually(lambda: not (api.smap().get("ext") or {}).get("id"), within_s=SOON_S)


def is_well(api: Api) -> bool:
    found = api.call("GET", "/v1/cluster", {"what": "protection"}).json()
    ours = [one for one in found["buckets"] if one["bck"]["name"] in BUCKETS]
    assert all(one["state"] == "ok" and one["objects"] == len(NAMES) for one in ours), ours
    return len(ours) == len(BUCKETS)


def test_everything_follows_weights(cluster: Cluster) -> None:
    """Objects, copies and slices are where the weights say, all of them, also back at equal weights."""
    api, sdk = Api(cluster.endpoint), Client(cluster.endpoint)
    for bucket, props in BUCKETS.items():
        assert api.create(bucket, props).status == 200
        for name in NAMES:
            assert api.put(bucket, name, f"{bucket} {name}".encode()).status == 200
    heavy, light, _ = (node.id for node in cluster.targets)
    unweighted = Placement(codec.from_json(codec.to_json(api.smap()), Smap))
    for weights in ({heavy: 400, light: 25}, {heavy: 100, light: 100}):
        set_weights(api, weights)
        smap = codec.from_json(codec.to_json(api.smap()), Smap)
        owners = Placement(smap)
        assert {one: smap.tmap[one].share for one in weights} == weights
        for bucket in BUCKETS:
            assert api.names(bucket) == NAMES
            for node in cluster.targets:
                held = {path.name for path in objects_on(node.plan) if bucket in path.parts}
                owned = {name for name in NAMES if owners.owner(f"ais/@#/{bucket}/{name}").id == node.id}
                assert held == {name.partition("/")[2] for name in owned}
        eventually(lambda: is_well(api), within_s=SOON_S)
        if owners.is_weighted:
            elsewhere = [
                name
                for name in NAMES
                if owners.owner(f"ais/@#/plain/{name}") != unweighted.owner(f"ais/@#/plain/{name}")
            ]
            assert elsewhere
        for bucket in BUCKETS:
            for name in NAMES:
                reader = sdk.bucket(bucket).object(name).get_reader(direct=True)
                assert reader.read_all() == f"{bucket} {name}".encode()
                assert reader.attributes.size == len(f"{bucket} {name}")


def test_a_request_at_the_wrong_target(cluster: Cluster) -> None:
    """A target whose name it is not by its weight redirects all, before anything is stored or restored."""
    api = Api(cluster.endpoint)
    bucket = "wrong"
    assert api.create(bucket, BUCKETS["coded"]).status == 200
    first, *others = (node.id for node in cluster.targets)
    set_weights(api, {first: 100_000})
    owners = Placement(codec.from_json(codec.to_json(api.smap()), Smap))
    name = next(one for one in NAMES if owners.owner(f"ais/@#/{bucket}/{one}").id == first)
    assert api.put(bucket, name, b"stored").status == 200
    right = owners.owner(f"ais/@#/{bucket}/{name}").public.url
    for other in others:
        for method, status in (("GET", 301), ("HEAD", 307), ("PUT", 307), ("DELETE", 307)):
            url, body = url_of(api, other), b"again" if method == "PUT" else b""
            answer = request(url, method, object_path(bucket, name), body=body)
            assert (answer.status, (answer.header("Location") or "")[: len(right)]) == (status, right)
            if method == "GET":
                assert follow(answer, method).body == b"stored"
    assert api.get(bucket, name).body == b"stored"
    set_weights(api, {first: 100})


def url_of(api: Api, node_id: str) -> str:
    return str(api.smap()["tmap"][node_id]["public_net"]["direct_url"])


@pytest.mark.parametrize(
    ("weights", "status", "what"),
    [
        ({}, 400, "needs"),
        ({"nobody": 10}, 404, "nobody"),
        ({"TARGET": 0}, 400, "maintenance"),
        ({"TARGET": 100_001}, 400, "1..100000"),
        ({"PROXY": 10}, 400, "is a proxy"),
        ({"TARGET": 200, "nobody": 10}, 404, "nobody"),
    ],
)
def test_weights_that_are_none(cluster: Cluster, weights: dict[str, int], status: int, what: str) -> None:
    """A weight out of range, of nobody or of a proxy is refused, and nothing changes."""
    api = Api(cluster.endpoint)
    ids = {"TARGET": cluster.targets[0].id, "PROXY": cluster.proxies[0].id}
    asked = {ids.get(one, one): weight for one, weight in weights.items()}
    before = weights_of(api)
    answer = api.call("PUT", "/v1/cluster", body=message("set-weights", value={"weights": asked}))
    assert answer.status == status
    assert what in answer.error["message"]
    assert weights_of(api) == before


def weights_of(api: Api) -> dict[str, int]:
    return {node_id: snode["weight"] for node_id, snode in api.smap()["tmap"].items() if "weight" in snode}
