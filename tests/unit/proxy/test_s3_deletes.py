"""Deleting over S3: a bucket only when it is empty, whatever is written meanwhile; many keys in one request."""

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from harness.http import until

from ais.api import codec
from ais.api.bucket import Bck
from ais.config.sections import Auth
from ais.meta.bmd import BMD

Run = Callable[[Any], Any]
AUTH = Auth(enabled=True)
TURNS = 12
WRITERS = 8


async def _put(cluster: Any, bucket: str, name: str) -> int:
    """A native PUT straight to the owner; the status."""
    proxy = cluster.primary
    redirect = await proxy.ask("PUT", f"/v1/objects/{bucket}/{name}")
    if redirect.status != 307:
        return int(redirect.status)
    async with proxy.http.put(redirect.headers["Location"], data=b"content") as answer:
        return int(answer.status)


async def _held(cluster: Any, bucket: str, name: str) -> bool:
    async with cluster.primary.http.get(f"{cluster.primary.url}/v1/objects/{bucket}/{name}") as answer:
        return bool(answer.status == 200)


def test_a_bucket_with_anything_in_it_stays(serve: Any, run: Run) -> None:
    """An object, a kept version, a delete marker: 409 each time and writes go on; empty again, it goes."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            s3 = cluster.s3()
            await s3("create_bucket", Bucket="abc")
            not_empty = (409, "BucketNotEmpty")
            assert await _put(cluster, "abc", "deep/er/k") == 200
            assert await s3.refused("delete_bucket", Bucket="abc") == not_empty
            assert await _put(cluster, "abc", "more") == 200
            for key in ("deep/er/k", "more"):
                await s3("delete_object", Bucket="abc", Key=key)
            await s3("put_bucket_versioning", Bucket="abc", VersioningConfiguration={"Status": "Enabled"})
            put = await s3("put_object", Bucket="abc", Key="k", Body=b"x")
            marker = await s3("delete_object", Bucket="abc", Key="k")
            assert await s3.refused("delete_bucket", Bucket="abc") == not_empty
            await s3("delete_object", Bucket="abc", Key="k", VersionId=put["VersionId"])
            assert await s3.refused("delete_bucket", Bucket="abc") == not_empty
            await s3("delete_object", Bucket="abc", Key="k", VersionId=marker["VersionId"])
            await s3("delete_bucket", Bucket="abc")
            assert await s3.refused("head_bucket", Bucket="abc") == (404, "404")

    run(scenario())


def test_no_acknowledged_object_goes_with_its_bucket(serve: Any, run: Run) -> None:
    """Writers race with DeleteBucket: either nothing was acknowledged, or the bucket stays with all of it."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            s3 = cluster.s3()
            outcomes = set()

            async def late(name: str, steps: int) -> int:
                for _ in range(steps):
                    await asyncio.sleep(0)
                return await _put(cluster, "abc", name)

            for turn in range(TURNS):
                await s3("create_bucket", Bucket="abc")
                names = [f"k{index}" for index in range(WRITERS)]
                acknowledged = [name for name in names[:1] if turn == 0 and await _put(cluster, "abc", name) == 200]
                deletion = asyncio.create_task(cluster.primary.ask("DELETE", "/abc"))
                if turn == TURNS - 1:
                    await deletion
                statuses = await asyncio.gather(*(late(name, turn * 10 * index) for index, name in enumerate(names)))
                status = (await deletion).status
                outcomes.add(status)
                acknowledged += [name for name, status in zip(names, statuses, strict=True) if status == 200]
                if status == 204:
                    assert acknowledged == []
                else:
                    assert all([await _held(cluster, "abc", name) for name in acknowledged])
                    listed = {"Objects": [{"Key": name} for name in names]}
                    await s3("delete_objects", Bucket="abc", Delete=listed)
                    await s3("delete_bucket", Bucket="abc")
            assert outcomes == {204, 409}

    run(scenario())


def test_an_upload_that_began_before_the_deletion_is_refused(serve: Any, run: Run) -> None:
    """Its body ends while the bucket is marked: 409. The primary drops a mark that no deletion of its own made."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            node, target = cluster.primary.node, cluster.targets[0]
            await cluster.create("abc")
            body = asyncio.Queue[bytes]()

            async def slowly() -> Any:
                yield b"x" * 1000
                yield await body.get()

            redirect = await cluster.primary.ask("PUT", "/v1/objects/abc/k")
            url = redirect.headers["Location"]
            upload = asyncio.create_task(_status(cluster.primary.http.put(url, data=slowly())))
            await until(lambda: any("%wk/" in path for path in _files(target)))

            def mark(bmd: BMD) -> BMD:
                return bmd.with_props(Bck("abc"), bmd.require(Bck("abc")).props.with_s3(deleting="mark"))

            await node.change_bmd(mark)
            assert await _put(cluster, "abc", "other") == 409
            body.put_nowait(b"y")
            assert await upload == 409
            await until(lambda: not target.node.bmd.require(Bck("abc")).props.of_s3.deleting)
            assert await _put(cluster, "abc", "k") == 200

    run(scenario())


async def _status(request: Any) -> int:
    async with request as answer:
        return int(answer.status)


def _files(target: Any) -> list[str]:
    walked = (found for directory in target.node.state.directories for found in os.walk(directory))
    return [os.path.join(top, name) for top, _, names in walked for name in names]


def test_many_keys_at_once(serve: Any, run: Run) -> None:
    """1000 keys over three targets, those that are not there too: all gone, each reported, nothing else touched."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=3, storage=True) as cluster:
            s3 = cluster.s3(proxy=1)
            await cluster.create("abc")
            names = [f"dir/{index} & <x>" for index in range(20)]
            for name in [*names, "kept"]:
                await s3("put_object", Bucket="abc", Key=name, Body=b"x")
            absent = [f"absent{index}" for index in range(980)]
            listed = {"Objects": [{"Key": key} for key in (*names, *absent)]}
            answer = await s3("delete_objects", Bucket="abc", Delete=listed)
            assert [one["Key"] for one in answer["Deleted"]] == [*names, *absent]
            assert "Errors" not in answer
            for name in names:
                assert await s3.refused("head_object", Bucket="abc", Key=name) == (404, "404")
            await s3("head_object", Bucket="abc", Key="kept")
            quiet = await s3("delete_objects", Bucket="abc", Delete={"Objects": [{"Key": "kept"}], "Quiet": True})
            assert "Deleted" not in quiet
            assert await s3.refused("head_object", Bucket="abc", Key="kept") == (404, "404")

    run(scenario())


def test_each_key_has_its_own_outcome(serve: Any, run: Run) -> None:
    """A wrong entity tag and a key that is too long fail alone; in a versioned bucket markers are reported."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            s3 = cluster.s3()
            await s3("create_bucket", Bucket="abc")
            for name in ("a", "b"):
                etag = (await s3("put_object", Bucket="abc", Key=name, Body=b"x"))["ETag"]
            objects = [{"Key": "a", "ETag": '"0123"'}, {"Key": "b", "ETag": etag}, {"Key": "k" * 1025}]
            answer = await s3("delete_objects", Bucket="abc", Delete={"Objects": objects})
            assert [one["Key"] for one in answer["Deleted"]] == ["b"]
            assert [one["Code"] for one in answer["Errors"]] == ["PreconditionFailed", "KeyTooLongError"]
            await s3("put_bucket_versioning", Bucket="abc", VersioningConfiguration={"Status": "Enabled"})
            answer = await s3("delete_objects", Bucket="abc", Delete={"Objects": [{"Key": "a"}]})
            (deleted,) = answer["Deleted"]
            assert deleted["DeleteMarker"] is True
            version = {"Key": "a", "VersionId": deleted["DeleteMarkerVersionId"]}
            (undone,) = (await s3("delete_objects", Bucket="abc", Delete={"Objects": [version]}))["Deleted"]
            assert undone == {**version, "DeleteMarker": True, "DeleteMarkerVersionId": version["VersionId"]}
            await s3("head_object", Bucket="abc", Key="a")

    run(scenario())


def test_keys_are_authorized_one_by_one(serve: Any, run: Run) -> None:
    """Another user may delete where the policy says so, and gets AccessDenied for the other keys."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True, auth=AUTH) as cluster:
            ann, bob = await cluster.user("ann"), await cluster.user("bob")
            await ann("create_bucket", Bucket="abc")
            for name in ("bob/a", "ann/a"):
                await ann("put_object", Bucket="abc", Key=name, Body=b"x")
            statement = {
                "Effect": "Allow",
                "Principal": {"AWS": "bob"},
                "Action": "s3:DeleteObject",
                "Resource": "arn:aws:s3:::abc/bob/*",
            }
            policy = codec.to_json({"Version": "2012-10-17", "Statement": [statement]}).decode()
            await ann("put_bucket_policy", Bucket="abc", Policy=policy)
            answer = await bob("delete_objects", Bucket="abc", Delete={"Objects": [{"Key": "bob/a"}, {"Key": "ann/a"}]})
            assert [one["Key"] for one in answer["Deleted"]] == ["bob/a"]
            assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("ann/a", "AccessDenied")]
            await ann("head_object", Bucket="abc", Key="ann/a")
            stranger, listed = cluster.s3(), {"Objects": [{"Key": "ann/a"}]}
            answer = await stranger("delete_objects", Bucket="abc", Delete=listed)
            assert [one["Code"] for one in answer["Errors"]] == ["AccessDenied"]
            await ann("delete_bucket_policy", Bucket="abc")
            assert await stranger.refused("delete_objects", Bucket="abc", Delete=listed) == (403, "AccessDenied")
            await ann("head_object", Bucket="abc", Key="ann/a")

    run(scenario())


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"<Delete><Object><Key>a</Key></Object></Delete>", {}, (400, "InvalidRequest")),
        (b"<Delete></Delete>", {"content-md5": ""}, (400, "MalformedXML")),
        (
            b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>",
            {"content-md5": ""},
            (400, "MalformedXML"),
        ),
        (b"<Delete><Object><Key></Key></Object></Delete>", {"content-md5": ""}, (400, "MalformedXML")),
        (b"<Delete><Object><Key>a</Key><Hue>1</Hue></Object></Delete>", {"content-md5": ""}, (400, "MalformedXML")),
        (
            b"<Delete><Object><Key>a</Key></Object></Delete>",
            {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="},
            (400, "BadDigest"),
        ),
        (b"x" * (4 << 20) + b"x", {"content-md5": ""}, (400, "MaxMessageLengthExceeded")),
    ],
)
def test_wrong_lists_delete_nothing(
    serve: Any, run: Run, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    """No checksum or a wrong one, no keys, too many, conditions that S3 does not have: the object stays."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            s3 = cluster.s3()
            await s3("create_bucket", Bucket="abc")
            await s3("put_object", Bucket="abc", Key="a", Body=b"x")
            md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
            sent = {name: value or md5 for name, value in headers.items()}
            answer = await s3.send("POST", "/abc?delete", body, sent)
            assert (answer.status, answer.code) == expected
            await s3("head_object", Bucket="abc", Key="a")

    run(scenario())
