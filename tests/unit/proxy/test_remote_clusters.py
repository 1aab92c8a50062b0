"""Another cluster of ours, attached: its buckets are read and written through here as `ais://@alias/bucket`."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from harness.backends import conform
from harness.remote import CALM, Remote

from ais.api.bucket import Bck, Namespace
from ais.backend import ais as remote_ais
from ais.backend.ais import RemoteAis
from ais.backend.interface import Place
from ais.meta.bmd import inherited_props, new_bid

Run = Callable[[Any], Any]
LARGE = bytes(range(251)) * 10_000
AT = "?provider=ais&namespace=%40rem%23"


def _url(cluster: Any) -> str:
    return str(cluster.primary.url)


async def _attach(http: aiohttp.ClientSession, cluster: Any, alias: str, url: str, action: str = "attach") -> Any:
    headers = {"Ais-Remote-Ais-Alias": alias, "Ais-Remote-Ais-Url": url}
    async with http.put(f"{_url(cluster)}/v1/cluster/{action}?what=remote", headers=headers) as answer:
        return answer.status, await answer.text()


def test_a_cluster_is_a_backend(serve: Any, run: Run) -> None:
    """Over AIStore's API, a cluster of ours passes what every backend has to do."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True, **CALM) as cluster:
            await cluster.create("mine")
            backend = RemoteAis("rem", _url(cluster))
            try:
                here = Namespace("rem")
                place, missing = Place(Bck("mine", "ais", here)), Place(Bck("none", "ais", here))
                await conform(backend, place, missing, large=LARGE)
            finally:
                await backend.close()

    run(scenario())


@asynccontextmanager
async def _attached(serve: Any) -> AsyncIterator[tuple[Remote, Remote]]:
    """A bucket of another cluster, here and there."""
    async with (
        serve(targets=1, storage=True, prefix="far", **CALM) as far,
        serve(targets=1, storage=True, **CALM) as near,
        aiohttp.ClientSession() as http,
    ):
        await far.create("rb")
        assert await _attach(http, near, "rem", _url(far)) == (200, "")
        bucket, there = (Remote(cluster, "rb", None, http) for cluster in (near, far))
        bucket.query, there.query = AT, "?provider=ais"
        yield bucket, there


def test_s3_clients_see_it(serve: Any, run: Run) -> None:
    """By its name, as other remote buckets: boto3 lists it, what it has, reads, writes, copies and deletes there."""

    async def scenario() -> None:
        async with _attached(serve) as (bucket, there):
            assert (await there.ask("PUT", "d/o1", data=b"from there"))[0] == 200
            await bucket.ask("HEAD", "d/o1")
            s3 = bucket.cluster.s3()
            assert [one["Name"] for one in (await s3("list_buckets"))["Buckets"]] == ["rb"]
            named = {"Bucket": "rb"}
            await s3("head_bucket", **named)
            await s3("put_object", **named, Key="d/o2", Body=b"from S3", ContentType="text/x", Metadata={"k": "v"})
            await s3("copy_object", **named, Key="e", CopySource="rb/d/o2")
            assert await there.get("d/o2") == await there.get("e") == b"from S3"
            for _ in range(2):
                found = await s3("get_object", **named, Key="e")
                assert (found["ContentType"], found["Metadata"]) == ("text/x", {"k": "v"})
                await bucket.job("DELETE", "evict-listrange", {"objnames": ["e"]})
            listed, more = [], {}
            while True:
                page = await s3("list_objects_v2", **named, MaxKeys=2, **more)
                listed += [one["Key"] for one in page["Contents"]]
                if not page["IsTruncated"]:
                    break
                more = {"ContinuationToken": page["NextContinuationToken"]}
            assert listed == ["d/o1", "d/o2", "e"]
            rolled = await s3("list_objects_v2", **named, Delimiter="/")
            assert ([one["Prefix"] for one in rolled["CommonPrefixes"]], len(rolled["Contents"])) == (["d/"], 1)
            keys = {"Objects": [{"Key": name} for name in listed]}
            assert len((await s3("delete_objects", **named, Delete=keys))["Deleted"]) == 3
            assert await there.listed() == {}

    run(scenario())


def test_custom_metadata_goes_along(serve: Any, run: Run) -> None:
    """All of it: what was written with an object is still there when that was evicted; what the other cluster has from
    elsewhere is its own."""

    async def scenario() -> None:
        async with _attached(serve) as (bucket, there):
            said = [("Ais-Custom-Md", f"{key}={value}") for key, value in (("k", "v"), ("x-amz-meta-n", "m"))]
            assert (await bucket.ask("PUT", "o", data=b"content", headers=said))[0] == 200
            assert await _custom(there, "o") == {"k": "v", "x-amz-meta-n": "m"}
            assert (await bucket.ask("DELETE", "o", "evict-listrange"))[0] == 200
            for _ in range(2):
                found = await _custom(bucket, "o")
                assert (found["k"], found["x-amz-meta-n"], found["source"]) == ("v", "m", "ais")
                await bucket.get("o")

    run(scenario())


async def _custom(bucket: Remote, name: str) -> dict[str, str]:
    status, _, headers = await bucket.ask("HEAD", name)
    assert status == 200
    pairs = (one.partition("=") for one in headers.getall("Ais-Custom-Md", ()))
    return {key: value for key, _, value in pairs}


@pytest.mark.parametrize("kind", ["xxhash2", "none"])
def test_what_was_deleted_there_and_written_again(serve: Any, run: Run, kind: str) -> None:
    """It has the same size and, as the first of its name once more, the same version; it is another object."""

    async def scenario() -> None:
        async with _attached(serve) as (bucket, there):
            assert (await there.act("PATCH", "set-bprops", {"checksum": {"type": kind}})).status == 200
            for content in (b"the first", b"the other"):
                assert (await there.ask("PUT", "o", data=content))[0] == 200
                bucket.query = f"{AT}&latest-ver=true"
                assert await bucket.get("o") == content
                assert (await there.ask("DELETE", "o"))[0] == 200
                if kind == "none":  # then the time tells, in seconds
                    await asyncio.sleep(1.1)

    run(scenario())


def test_ranges_with_checksums_of_their_own(serve: Any, run: Run) -> None:
    """Where the other cluster tells the checksum of a range, it is not that of the object: ranges are read, and objects
    in parts, and what was changed in between is still noticed."""

    async def scenario() -> None:
        async with _attached(serve) as (bucket, there):
            ranged = {"checksum": {"enable_read_range": True}}
            assert (await there.act("PATCH", "set-bprops", ranged)).status == 200
            assert (await there.ask("PUT", "large", data=io.BytesIO(LARGE)))[0] == 200
            assert await bucket.get("large", Range="bytes=1000000-1000099") == LARGE[1_000_000:1_000_100]
            assert await bucket.cached() == []
            in_parts = {"Ais-Blob-Download": "true", "Ais-Blob-Chunk": "256KiB"}
            assert await bucket.get("large", **in_parts) == LARGE
            assert await bucket.cached() == ["large"]
            backend, place = RemoteAis("rem", _url(there.cluster)), Place(Bck("rb", "ais", Namespace("rem")))
            try:
                before = await backend.head(place, "large")
                assert (await there.ask("PUT", "large", data=io.BytesIO(LARGE[::-1])))[0] == 200
                async with backend.get(place, "large", 5, 7) as download:
                    assert not download.found.is_same_as(before)
            finally:
                await backend.close()

    run(scenario())


def test_a_detachment_that_was_not_finished(serve: Any, run: Run) -> None:
    """A primary that was killed between its two steps has left buckets: they go when the cluster is detached again, or
    another one gets its name."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True, **CALM) as near, aiohttp.ClientSession() as http:
            node, left = near.primary.node, Bck("rb", "ais", Namespace("rem"))
            for url, action in (("", "detach"), ("http://127.0.0.1:1", "attach")):
                props = inherited_props(left, node.config.cluster, new_bid("ais", node.term, node.bmd.version + 1))
                await node.change_bmd(lambda bmd, props=props: bmd.with_bucket(left, props))
                assert (await _attach(http, near, "rem", url, action))[0] == 200
                assert list(node.bmd) == []
            for status in (200, 404):
                assert (await _attach(http, near, "rem", "", "detach"))[0] == status

    run(scenario())


def test_a_cluster_that_does_not_answer(serve: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and says nothing: it is attached and shown as what it is, and so are the others, soon."""
    monkeypatch.setattr(remote_ais, "DESCRIBE_TIMEOUT_S", 0.3)

    async def scenario() -> None:
        mute = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{mute.sockets[0].getsockname()[1]}"
        async with (
            mute,
            serve(targets=1, storage=True, prefix="far", **CALM) as far,
            serve(targets=1, storage=True, **CALM) as near,
            aiohttp.ClientSession() as http,
        ):
            assert await _attach(http, near, "mute", url) == (200, "")
            assert await _attach(http, near, "rem", _url(far)) == (200, "")
            found = (await near.primary.ask("GET", "/v1/cluster?what=remote")).json["a"]
            uuid = far.primary.node.smap.uuid
            assert {one["alias"]: one["uuid"] for one in found} == {"mute": "defunct", "rem": uuid}

    run(scenario())


def test_attach_use_detach(serve: Any, run: Run) -> None:
    """Buckets of an attached cluster are created, listed, written, read and destroyed; detached, nothing is left."""

    async def scenario() -> None:
        async with (
            serve(targets=1, storage=True, prefix="far", **CALM) as far,
            serve(targets=2, storage=True, **CALM) as near,
            aiohttp.ClientSession() as http,
        ):
            primary = near.primary
            assert (await primary.act("POST", f"/v1/buckets/rb{AT}", "create-bck")).status == 404
            assert (await _attach(http, near, "", ""))[0] == 400
            status, said = await _attach(http, near, "rem", _url(far).replace("://", "://me:hidden@"))
            assert (status, "hidden" in said, "AIS_AUTHN_TOKEN_FILE" in said) == (400, False, True)
            assert (await _attach(http, near, "self", _url(near)))[0] == 409
            assert await _attach(http, near, "bad", "http://127.0.0.1:1") == (200, "")
            assert await _attach(http, near, "rem", _url(far)) == (200, "")
            assert (await _attach(http, near, "rem2", _url(far)))[0] == 409
            found = (await primary.ask("GET", "/v1/cluster?what=remote")).json["a"]
            uuid = far.primary.node.smap.uuid
            assert {one["alias"]: one["uuid"] for one in found} == {"bad": "defunct", "rem": uuid}
            for patch, status in (({"ht": {}}, 200), ({"ais": {}}, 409), ({"ais": {"rem": [_url(near)]}}, 409)):
                changed = await primary.act("PUT", "/v1/cluster", "set-config", {"backend": patch})
                assert changed.status == status, changed.body
            assert sorted(primary.node.config.cluster.backend) == ["ais", "ht"]
            assert (await primary.act("PUT", "/v1/cluster", "reset-config")).status == 200
            assert sorted(primary.node.config.cluster.backend) == ["ais"]

            assert (await primary.act("POST", f"/v1/buckets/rb{AT}", "create-bck")).status == 200
            assert (await primary.act("POST", f"/v1/buckets/rb{AT}", "create-bck")).status == 409
            bucket, there = (Remote(cluster, "rb", None, http) for cluster in (near, far))
            bucket.query, there.query = AT, "?provider=ais"
            assert (await there.ask("PUT", "d/o1", data=b"from there"))[0] == 200
            assert (await bucket.ask("PUT", "d/o2", data=b"from here"))[0] == 200
            assert (await bucket.ask("PUT", "large", data=io.BytesIO(LARGE)))[0] == 200
            assert await there.get("d/o2") == b"from here"
            assert await there.get("large") == LARGE
            assert await bucket.cached() == ["d/o2", "large"]
            assert await bucket.get("d/o1") == b"from there"
            assert sorted(await bucket.listed()) == ["d/o1", "d/o2", "large"]
            assert [one["name"] for one in (await primary.act("GET", f"/v1/buckets{AT}", "list")).json] == ["rb"]
            assert (await bucket.ask("DELETE", "d/o1"))[0] == 200
            assert (await there.ask("GET", "d/o1"))[0] == 404
            status, body, _ = await bucket.ask("GET", "none")
            assert (status, json.loads(body)["tcode"]) == (404, "ErrNotFound")

            assert (await primary.act("POST", f"/v1/buckets/rb2{AT}", "create-bck")).status == 200
            assert (await primary.act("DELETE", f"/v1/buckets/rb2{AT}", "destroy-bck")).status == 200
            assert far.primary.node.bmd.get(Bck("rb2")) is None
            assert (await _attach(http, near, "rem", "", "detach"))[0] == 200
            assert (await _attach(http, near, "rem", "", "detach"))[0] == 404
            assert [one.bck for one in primary.node.bmd] == []
            assert (await bucket.ask("GET", "d/o2"))[0] == 404
            assert await there.get("d/o2") == b"from here"

    run(scenario())
