"""Many objects of a bucket as one archive, by one signed request: in order, and only what the caller may read."""

import io
import json
import tarfile
from typing import Any

import pytest
from harness.s3access import Access, boto, new_access, remove_bucket
from harness.s3raw import call, code
from harness.wire import Answer, fresh_name

from ais.testing import Cluster

NAMES = [f"d/o{number}" for number in range(40)]
EVERYBODY: Any = "*"


def _content(name: str) -> bytes:
    return name.encode() * 100


def _shard() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("member")
        info.size = 6
        tar.addfile(info, io.BytesIO(b"inside"))
    return out.getvalue()


@pytest.fixture(scope="module")
def bucket(s3: Access) -> Any:
    """Alice's, with objects and a shard."""
    name, client = fresh_name("batch"), boto(s3)
    client.create_bucket(Bucket=name)
    for key in NAMES:
        client.put_object(Bucket=name, Key=key, Body=_content(key))
    client.put_object(Bucket=name, Key="s.tar", Body=_shard())
    yield name
    remove_bucket(client, name)


@pytest.fixture(scope="module")
def bob(s3_cluster: Cluster) -> Access:
    """Another user."""
    return new_access(s3_cluster, "bob-of-batches")


def _ask(access: Access, bucket: str, entries: list[dict[str, Any]], **more: Any) -> Answer:
    body = json.dumps({"in": entries, **more}).encode()
    return call(access, "POST", f"/{bucket}", "ais-batch=", body=body)


def _named(*names: str) -> list[dict[str, Any]]:
    return [{"objname": name} for name in names]


def _members(answer: Answer) -> list[tuple[str, bytes]]:
    assert answer.status == 200, answer.body[:500]
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        return [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]


def test_whole_and_in_order(bucket: str, every_node: list[Access]) -> None:
    """Objects, ranges and members of shards come in the order asked for, whichever node is asked."""
    names = NAMES[::-1]
    entries = [
        *_named(*names),
        {"objname": NAMES[0], "start": 2, "length": 5},
        {"objname": "s.tar", "archpath": "member", "bucket": bucket},
    ]
    expected = [(name, _content(name)) for name in names]
    expected += [(NAMES[0], _content(NAMES[0])[2:7]), ("s.tar/member", b"inside")]
    for node in every_node:
        answer = _ask(node, bucket, entries)
        assert answer.header("Content-Type") == "application/x-tar"
        assert answer.header("x-amz-request-id")
        assert _members(answer) == expected


def test_what_is_missing(bucket: str, s3: Access) -> None:
    """A missing key is an error, or an empty file that says so."""
    answer = _ask(s3, bucket, _named(NAMES[0], "none"))
    assert (answer.status, code(answer)) == (404, "NoSuchKey")
    assert b"none" in answer.body
    found = _members(_ask(s3, bucket, _named(NAMES[0], "none"), coer=True))
    assert found == [(NAMES[0], _content(NAMES[0])), ("__404__/none", b"")]


def test_only_what_may_be_read(bucket: str, s3: Access, bob: Access) -> None:
    """Each key is authorized by itself; who may not list is not told which keys there are."""
    client = boto(s3)
    assert _ask(bob, bucket, _named(NAMES[0])).status == 403
    statement = {"Effect": "Allow", "Principal": EVERYBODY, "Action": "s3:GetObject"}
    policy = {"Version": "2012-10-17", "Statement": [statement | {"Resource": f"arn:aws:s3:::{bucket}/d/o1*"}]}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    try:
        assert [name for name, _ in _members(_ask(bob, bucket, _named("d/o1", "d/o11")))] == ["d/o1", "d/o11"]
        assert _ask(bob, bucket, _named("d/o1", "d/o2")).status == 403
        assert _ask(bob, bucket, _named("d/o1", "d/o1none")).status == 403
        assert _ask(bob, bucket, _named("d/o1"), coer=True).status == 403
    finally:
        client.delete_bucket_policy(Bucket=bucket)


def test_what_is_refused(bucket: str, s3: Access) -> None:
    """Other buckets, objects with lists of their own, and messages that are none; nothing is begun."""
    client, other = boto(s3), fresh_name("batch-acl")
    client.create_bucket(Bucket=other, ObjectOwnership="ObjectWriter")
    try:
        client.put_object(Bucket=other, Key="k", Body=b"x")
        assert _ask(s3, other, _named("k")).status == 403
    finally:
        client.delete_object(Bucket=other, Key="k")
        remove_bucket(client, other)
    entries = [{"objname": "k", "bucket": "elsewhere"}]
    assert code(_ask(s3, bucket, entries)) == "InvalidArgument"
    assert code(_ask(s3, bucket, [])) == "InvalidRequest"
    assert code(_ask(s3, bucket, _named("k"), mime=".rar")) == "InvalidRequest"
    assert code(_ask(s3, "nosuch-bucket", _named("k"))) == "NoSuchBucket"
    assert code(call(s3, "GET", f"/{bucket}", "ais-batch=")) == "MethodNotAllowed"
