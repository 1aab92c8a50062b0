"""Data that survives disks and targets: mirrored and erasure-coded buckets of a real cluster."""

import itertools
import json
import random
import shutil
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from harness.joining import another_target, objects_on
from harness.meanwhile import Meanwhile
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


def coded(cluster: Cluster, *, alone: bool = False) -> tuple[Api, str]:
    """An erasure-coded bucket with all objects coded."""
    api, bucket = Api(cluster.endpoint), fresh_name()
    assert api.create(bucket).status == 200
    patch = {"ec": EC, "protection": {"slices_only": alone}}
    assert ended(api, act(api, "PATCH", bucket, "set-bprops", patch))["err"] == ""
    fill(api, bucket)
    eventually(lambda: idle(api, "ec-put"), within_s=SOON_S)
    return api, bucket


@pytest.mark.parametrize("alone", [False, True])
def test_any_two_targets_may_be_gone(cluster: Cluster, alone: bool) -> None:
    """EC 2+2 on five targets: each two killed in turn, every read is right; with empty disks, all slices come back.

    With the whole object beside its slices, and with slices alone.
    """
    api, bucket = coded(cluster, alone=alone)
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


CHANGES: list[tuple[dict[str, Any], int]] = [
    ({"ec": {**EC, "parity_slices": 1}, "protection": {"slices_only": True}}, 3),
    ({"ec": EC, "force": True}, 4),
    ({"protection": {"slices_only": False}, "force": True}, 4),
    ({"protection": {"slices_only": True}, "force": True}, 4),
    ({"ec": {"enabled": False}, "protection": {"slices_only": False}, "force": True}, 0),
]
"""Properties, and how many slices each large object has then."""


def test_forms_change_under_load(cluster: Cluster) -> None:
    """2+1, 2+2, a replica beside them, slices alone, off: no request fails, no wrong bytes, every form is reached."""
    api, bucket = Api(cluster.endpoint), fresh_name()
    assert api.create(bucket).status == 200
    fill(api, bucket)
    with Load(cluster.endpoint, bucket) as load:
        for patch, count in CHANGES:
            before = load.done
            uuid = act(api, "PATCH", bucket, "set-bprops", patch)
            if uuid:
                assert ended(api, uuid)["err"] == ""
            eventually(lambda before=before: load.done > before + 50, within_s=SOON_S)
            eventually(lambda: idle(api, "ec-put"), within_s=SOON_S)
            check(api, bucket)
            found = slices(cluster, bucket)
            assert found.count("large") == count, (patch, found)
    assert load.failures == []
    assert load.done > 200
    check(api, bucket)


def test_two_copies_become_three_under_load() -> None:
    """Mirror 2 to 3 on three mountpaths: no request fails or gets wrong bytes, every object has its copies then."""
    with Cluster(proxies=1, targets=1, mountpaths=3) as cluster:
        api, bucket = Api(cluster.endpoint), fresh_name()
        assert api.create(bucket).status == 200
        act(
            api, "PATCH", bucket, "set-bprops", {"mirror": {"enabled": True, "copies": 2}, "protection": {"ack": "all"}}
        )
        fill(api, bucket)
        disks = [path for node in cluster.targets for path in node.mountpaths]
        assert len([path for path in files_of(disks, "cp") if bucket in path.parts]) == len(BODIES)
        with Load(cluster.endpoint, bucket) as load:
            assert ended(api, act(api, "PATCH", bucket, "set-bprops", {"mirror": {"copies": 3}}))["err"] == ""
            eventually(lambda: load.done > 200, within_s=SOON_S)
        assert load.failures == []
        eventually(lambda: idle(api, "put-copies"), within_s=SOON_S)
        check(api, bucket)
        copies = [path for path in files_of(disks, "cp") if bucket in path.parts]
        assert len([path for path in copies if path.name.startswith(("o0", "large"))]) == 2 * len(BODIES)


def test_slices_alone_move_under_load() -> None:
    """A fourth target joins and is decommissioned again, 2+1 alone: no request fails, all slices where they belong."""
    with Cluster(proxies=1, targets=3, mountpaths=1, config_overrides=FAST) as cluster:
        api, bucket = Api(cluster.endpoint), fresh_name()
        assert api.create(bucket).status == 200
        patch = {"ec": {**EC, "parity_slices": 1}, "protection": {"slices_only": True}}
        assert ended(api, act(api, "PATCH", bucket, "set-bprops", patch))["err"] == ""
        fill(api, bucket)
        with Load(cluster.endpoint, bucket) as load:
            with another_target(cluster) as (plan, node_id):
                eventually(lambda: not api.smap().get("ext"), within_s=SOON_S)
                check(api, bucket)
                assert objects_on(plan)
                body = json.dumps({"action": "decommission-node", "value": {"sid": node_id}}).encode()
                assert api.call("PUT", "/v1/cluster", body=body).status == 200
                eventually(lambda: node_id not in api.smap()["tmap"], within_s=SOON_S)
            check(api, bucket)
        assert [one for one in load.failures if ": 503 " not in one and " 503 " not in one] == []
        check(api, bucket)
        count = sum(1 if len(body) < 2000 else 3 for body in BODIES.values())
        eventually(
            lambda: len([one for one in slices(cluster, bucket) if one[:2] in ("o0", "la")]) == count, within_s=SOON_S
        )


class Load(Meanwhile):
    """Clients that overwrite and read names of their own while something else happens."""

    def __init__(self, url: str, bucket: str) -> None:
        self.failures: list[str] = []
        self.done = 0
        self._url, self._bucket = url, bucket
        super().__init__(*(partial(self._run, number) for number in range(3)))

    def _run(self, number: int) -> None:
        api, rng = Api(self._url), random.Random(number)
        turn = 0
        while not self.ended.is_set():
            turn += 1
            name, body = f"load{number}/{turn % 5}", rng.randbytes(rng.choice((10, 3000, 700_001)))
            if number == 0:
                written = request(self._url, "PUT", f"/s3/{self._bucket}/{name}", body=body)
                read = request(self._url, "GET", f"/s3/{self._bucket}/{name}")
            else:
                written, read = api.put(self._bucket, name, body), api.get(self._bucket, name)
            if written.status != 200 or read.status != 200 or read.body != body:
                is_same = read.body == body
                self.failures.append(
                    f"{name} {len(body)}: {written.status} {read.status} {is_same} {read.body[:200]!r}"
                )
            self.done += 1
