"""Buckets that keep versions while targets come and go: every version, marker, tag and lock follows its name."""

import json
import os
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from harness.joining import another_target
from harness.meanwhile import Meanwhile
from harness.nodes import eventually
from harness.wire import Api, message

from ais.testing import Cluster

FAST = {"keepalivetracker.proxy.interval": "500ms", "keepalivetracker.target.interval": "500ms"}
NAMES = [f"d{number % 5}/o{number:03}" for number in range(100)]
LEAVING = 20
"""How many names are changed while everything moves."""
SOON_S = 90
BUCKET = "versioned"
Listed = list[tuple[str, str, bool, bool]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One proxy, two targets of two mountpaths."""
    with Cluster(proxies=1, targets=2, mountpaths=2, config_overrides=FAST) as running:
        yield running


def client_of(url: str, attempts: int = 12) -> Any:
    """An S3 client that repeats what fails with 5xx, as S3 clients do."""
    config = Config(
        signature_version=UNSIGNED,
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    return boto3.client("s3", endpoint_url=f"{url}/s3", region_name="us-east-1", config=config)


def listed(s3: Any, page: int = 37) -> Listed:
    """(key, version ID, is latest, is a marker) of all versions, in the order of the listing."""
    found: Listed = []
    for part in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": page}):
        both = [(one, False) for one in part.get("Versions", ())] + [
            (one, True) for one in part.get("DeleteMarkers", ())
        ]
        found += [(one["Key"], one["VersionId"], one["IsLatest"], is_marker) for one, is_marker in both]
    return sorted(found)


class Load(Meanwhile):
    """Changes some names all the time and knows what they must be; reads the versions of the others."""

    def __init__(self, url: str, expected: dict[tuple[str, str], bytes | None]) -> None:
        self.url, self.expected = url, expected
        self.changed = NAMES[:LEAVING]
        self.latest: dict[str, bytes | None] = {}
        self.problems: list[str] = []
        self.rounds = [0, 0, 0]
        super().__init__(*(partial(self._run, one) for one in range(3)))

    def _run(self, which: int) -> None:
        s3 = client_of(self.url)
        steps = (self._change, self._read, self._list)
        while not self.ended.is_set():
            try:
                steps[which](s3)
                self.rounds[which] += 1
            except Exception as error:  # noqa: BLE001 - told at the end
                self.problems.append(f"{steps[which].__name__}: {error!r}")
                return

    def _change(self, s3: Any) -> None:
        name = random.choice(self.changed)
        if random.random() < 0.3:
            answer = s3.delete_object(Bucket=BUCKET, Key=name)
            self.expected[name, answer["VersionId"]] = self.latest[name] = None
        elif random.random() < 0.3:
            mine = [one for one in self.expected if one[0] == name]
            key = random.choice(mine)
            if len(mine) > 1 and self.expected[key] is not None:
                del self.expected[key]
                s3.delete_object(Bucket=BUCKET, Key=name, VersionId=key[1])
        else:
            data = random.randbytes(3000)
            answer = s3.put_object(Bucket=BUCKET, Key=name, Body=data)
            self.expected[name, answer["VersionId"]] = self.latest[name] = data
        time.sleep(0.01)

    def _read(self, s3: Any) -> None:
        name, version_id = key = random.choice([one for one in list(self.expected) if one[0] not in self.changed])
        wanted = self.expected[key]
        if wanted is None:
            return
        found = s3.get_object(Bucket=BUCKET, Key=name, VersionId=version_id)["Body"].read()
        if found != wanted:
            self.problems.append(f"{key}: {found[:20]!r}")

    def _list(self, s3: Any) -> None:
        still = [one for one in listed(s3) if one[0] not in self.changed]
        wanted = sorted(one for one in list(self.expected) if one[0] not in self.changed)
        if [one[:2] for one in still] != wanted:
            self.problems.append(f"listing: {set(wanted) ^ {one[:2] for one in still}}")
        heads = [one[0] for one in still if one[2]]
        if heads != sorted(set(heads)) or len(heads) != len(NAMES) - LEAVING:
            self.problems.append(f"listing: {len(heads)} latest versions of {len(set(heads))} names")


def check(s3: Any, expected: dict[tuple[str, str], bytes | None]) -> None:
    """Every version is there with its content, and nothing else."""
    found = listed(s3)
    assert [one[:2] for one in found] == sorted(expected)
    for name, version_id, _, is_marker in found:
        wanted = expected[name, version_id]
        assert is_marker == (wanted is None)
        if wanted is not None:
            assert s3.get_object(Bucket=BUCKET, Key=name, VersionId=version_id)["Body"].read() == wanted


def test_join_and_decommission(cluster: Cluster) -> None:
    """A target joins a cluster whose bucket keeps versions, under load, and leaves again: clients notice neither."""
    s3, api = client_of(cluster.endpoint), Api(cluster.endpoint)
    s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    expected: dict[tuple[str, str], bytes | None] = {}
    for number, name in enumerate(NAMES):
        for serial in range(1 + number % 4):
            data = f"{name} {serial}".encode()
            answer = s3.put_object(Bucket=BUCKET, Key=name, Body=data, Tagging=f"serial={serial}", Metadata={"n": name})
            expected[name, answer["VersionId"]] = data
        if number % 7 == 3:
            expected[name, s3.delete_object(Bucket=BUCKET, Key=name)["VersionId"]] = None
    locked = [key for key in expected if key[0] in NAMES[LEAVING:] and expected[key] is not None]
    until = datetime.now(UTC) + timedelta(days=2)
    for name, version_id in locked:
        s3.put_object_retention(
            Bucket=BUCKET, Key=name, VersionId=version_id, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
        )
    before = {one for one in listed(s3) if one[0] in NAMES[LEAVING:]}
    with Load(cluster.endpoint, expected) as load, another_target(cluster) as (plan, node_id):
        eventually(lambda: not api.smap().get("ext"), within_s=SOON_S)
        held = {
            path.relative_to(plan.directory)
            for path in plan.directory.glob("mp*/@ais/*/%[ov][be]/**/*")
            if path.is_file()
        }
        assert len(expected) / 3 * 0.5 < len(held) < len(expected) / 3 * 1.7
        assert api.call("PUT", "/v1/cluster", body=message("decommission-node", value={"sid": node_id})).status == 200
        eventually(lambda: node_id not in api.smap()["tmap"], within_s=SOON_S)
        assert [path for path in plan.directory.glob("mp*/@ais/*/%[ov][be]/**/*") if path.is_file()] == []
    assert not load.problems, load.problems[:5]
    assert all(load.rounds), load.rounds
    check(s3, expected)
    assert {one for one in listed(s3) if one[0] in NAMES[LEAVING:]} == before
    for name, version_id in locked[:20]:
        tags = s3.get_object_tagging(Bucket=BUCKET, Key=name, VersionId=version_id)["TagSet"]
        assert tags == [{"Key": "serial", "Value": expected[name, version_id].split()[1].decode()}]
        assert s3.head_object(Bucket=BUCKET, Key=name, VersionId=version_id)["Metadata"] == {"n": name}
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(Bucket=BUCKET, Key=name, VersionId=version_id)


def test_damage_is_said_and_holds_the_rebalance(cluster: Cluster) -> None:
    """What is damaged stays, the job says how much and which, a node is not taken out as if it were empty; deleted, or
    covered by the versions of others, it does not hold anything up any more."""
    api, s3 = Api(cluster.endpoint), client_of(cluster.endpoint)
    assert api.create("d").status == 200
    names = [f"o{number:02}" for number in range(30)]
    for name in names:
        assert api.put("d", name, name.encode() * 10).status == 200
    node = cluster.targets[0]
    mine = sorted(path for mountpath in node.plan.mountpaths for path in mountpath.glob("@ais/d/%ob/*"))
    content, metadata = mine[0], mine[1]
    content.write_bytes(bytes(len(content.read_bytes())))
    os.setxattr(metadata, "user.ais.obj", b"AISO\x02nonsense")
    shelves = [path for mountpath in node.plan.mountpaths for path in mountpath.glob(f"@ais/{BUCKET}/%ve/*/*/%=/*")]
    kept = next(path for path in shelves if path.stat().st_size and "/".join(path.parts[-4:-2]) in NAMES[:LEAVING])
    kept.write_bytes(bytes(kept.stat().st_size))
    name, version_id = "/".join(kept.parts[-4:-2]), kept.name

    def snap() -> dict[str, Any]:
        answer = api.call("GET", "/v1/cluster", {"what": "qryxstats"}, body=json.dumps({"kind": "rebalance"}).encode())
        return max(answer.json()[node.id], key=lambda one: one["start-time"])

    assert api.call("PUT", "/v1/cluster", body=message("start-maintenance", value={"sid": node.id})).status == 200

    def said() -> bool:
        found = snap()
        return found["err"].startswith("3 damaged objects stay") and found["ext"] == {"damaged": 3, "failed": 0}

    eventually(said, within_s=SOON_S)
    left = [path for mountpath in node.plan.mountpaths for path in mountpath.glob("@ais/d/%ob/*")]
    assert sorted(left) == [content, metadata]
    assert api.smap()["ext"]
    for damaged in (content, metadata):
        answer = api.get("d", damaged.name)
        assert (answer.status, f"t[{node.id}]" in answer.body.decode()) == (500, True)
        assert api.delete("d", damaged.name).status == 200
        assert api.get("d", damaged.name).status == 404
    with pytest.raises(ClientError, match="InternalError"):
        client_of(cluster.endpoint, attempts=1).delete_object(Bucket=BUCKET, Key=name)
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": name}, {"Key": "nothing"}]})
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [(name, "InternalError")]
    assert [one["Key"] for one in answer["Deleted"]] == ["nothing"]
    assert api.smap()["ext"]
    s3.delete_object(Bucket=BUCKET, Key=name, VersionId=version_id)
    eventually(lambda: not api.smap().get("ext"), within_s=SOON_S)
    assert (name, version_id) not in [one[:2] for one in listed(s3)]
    assert not snap()["err"]
    assert api.names("d") == [name for name in names if name not in (content.name, metadata.name)]
