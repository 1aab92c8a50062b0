"""Data that survives disks and targets: mirrored and erasure-coded buckets of a real cluster."""

import itertools
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from harness.nodes import eventually, files_of
from harness.wire import Api, fresh_name, request

from ais.meta.smap import Flag
from ais.testing import Cluster, Node

FAST = {
    "keepalivetracker.proxy.interval": "500ms",
    "keepalivetracker.target.interval": "500ms",
    "timeout.max_keepalive": "1s",
}
SOON_S = 90
EC = {"enabled": True, "data_slices": 2, "parity_slices": 2, "objsize_limit": 2000}
BODIES = {f"dir/o{number:03}": bytes([number]) * (number * 997 + 1) for number in range(24)}
BODIES["large"] = bytes(range(256)) * 9001


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One proxy and five targets that notice a silent node within seconds."""
    with Cluster(proxies=1, targets=5, mountpaths=2, config_overrides=FAST) as running:
        yield running


def act(api: Api, method: str, bucket: str, action: str, value: Any) -> str:
    """A change of a bucket; the ID of the job it started."""
    body = json.dumps({"action": action, "name": "", "value": value}).encode()
    answer = api.call(method, f"/v1/buckets/{bucket}?provider=ais", body=body)
    assert answer.status == 200, answer.error
    return answer.body.decode()


def ended(api: Api, uuid: str) -> dict[str, Any]:
    """The status of a job that has ended."""

    def status() -> dict[str, Any] | None:
        body = json.dumps({"id": uuid}).encode()
        answer = api.call("GET", "/v1/cluster?what=status", body=body)
        found = answer.json() if answer.status == 200 else {}
        return found if found.get("end_time") else None

    eventually(status, within_s=SOON_S)
    return status() or {}


def idle(api: Api, kind: str) -> bool:
    """Whether no job of a kind has anything to do."""
    answer = api.call("GET", "/v1/cluster?what=qryxstats", body=json.dumps({"kind": kind}).encode())
    return answer.status == 200 and all(snap["is_idle"] for snaps in answer.json().values() for snap in snaps)


def fill(api: Api, bucket: str) -> None:
    """Put all objects, half of them over S3."""
    for number, (name, body) in enumerate(BODIES.items()):
        if number % 2:
            assert request(api.url, "PUT", f"/s3/{bucket}/{name}", body=body).status == 200
        else:
            assert api.put(bucket, name, body).status == 200


def check(api: Api, bucket: str) -> None:
    """Every object, and a range of each, over both APIs, is what was put."""
    for name, body in BODIES.items():
        answer = api.get(bucket, name)
        assert (answer.status, answer.body == body) == (200, True), (name, answer.status, answer.body[:300])
        last = min(len(body) - 1, 70_000)
        part = request(api.url, "GET", f"/s3/{bucket}/{name}", headers={"Range": f"bytes=0-{last}"})
        assert (part.status, part.body == body[: last + 1]) == (206, True), (name, part.status, part.body[:300])


def is_away(api: Api, node: Node) -> bool:
    """Whether the cluster has noticed that a target is gone."""
    return bool(int(api.smap()["tmap"][node.id].get("flags", 0)) & Flag.AWAY)


def slices(cluster: Cluster, bucket: str) -> list[str]:
    """Names of the slices' files on all targets."""
    paths = files_of([path for node in cluster.targets for path in node.mountpaths], "ec")
    return sorted(path.name for path in paths if bucket in path.parts)


def coded(cluster: Cluster) -> tuple[Api, str]:
    """An erasure-coded bucket with all objects coded."""
    api, bucket = Api(cluster.endpoint), fresh_name()
    assert api.create(bucket).status == 200
    assert ended(api, act(api, "PATCH", bucket, "set-bprops", {"ec": EC}))["err"] == ""
    fill(api, bucket)
    eventually(lambda: idle(api, "ec-put"), within_s=SOON_S)
    return api, bucket


def test_any_two_targets_may_be_gone(cluster: Cluster) -> None:
    """EC 2+2 on five targets: each two killed in turn, every read is right; with empty disks, all slices come back."""
    api, bucket = coded(cluster)
    expected = slices(cluster, bucket)
    assert len(expected) == sum(2 if len(body) < 2000 else 4 for body in BODIES.values())
    pairs = list(itertools.combinations(cluster.targets, 2))
    for number, pair in enumerate(pairs[::3]):
        for node in pair:
            cluster.kill(node)
        eventually(lambda pair=pair: all(is_away(api, node) for node in pair), within_s=SOON_S)
        check(api, bucket)
        if number == 0:
            for node in pair:
                for path in node.mountpaths:
                    for content in ("%ob", "%ec"):
                        shutil.rmtree(path / "@ais" / bucket / content)
                        (path / "@ais" / bucket / content).mkdir()
        for node in pair:
            cluster.restart(node)
        cluster.wait_ready()
        eventually(lambda pair=pair: not any(is_away(api, node) for node in pair), within_s=SOON_S)
        eventually(lambda: slices(cluster, bucket) == expected, within_s=SOON_S)
        check(api, bucket)
    names = [path.name for path in files_of([p for n in cluster.targets for p in n.mountpaths], "ob")]
    assert {name.rsplit("/")[-1] for name in BODIES} <= set(names)
