"""Buckets at an S3 backend, through a whole cluster in this process; moto is the backend."""

import asyncio
import io
import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from harness import gate as faults
from harness.backends import conform
from harness.gate import gate_before
from harness.http import until
from harness.remote import CALM, Remote
from yarl import URL

from ais.api.bucket import Bck
from ais.backend.interface import Place
from ais.backend.s3 import S3
from ais.config.sections import Space

Run = Callable[[Any], Any]
LARGE = bytes(range(251)) * 10_000


def test_first_use_makes_it_known(remote: Any, run: Run) -> None:
    """A bucket that only the backend has is read, and then in the metadata; one that nobody has stays unknown."""

    async def scenario() -> None:
        async with remote() as bucket:
            primary = bucket.cluster.primary
            assert (await primary.ask("GET", "/v1/cluster?what=backends")).json == ["aws"]
            assert (await primary.act("GET", "/v1/buckets?provider=aws&presence=2", "list")).json == []
            assert bucket.name in [
                one["name"] for one in (await primary.act("GET", "/v1/buckets?provider=aws", "list")).json
            ]
            assert await bucket.get("d/o0") == b"content 0"
            known = primary.node.bmd.get(Bck(bucket.name, "aws"))
            assert known.props.extra.aws.cloud_region == "us-east-1"
            assert (await primary.ask("HEAD", "/v1/buckets/nowhere?provider=aws")).status == 404
            assert (await primary.act("POST", "/v1/buckets/nowhere?provider=aws", "create-bck")).status == 501
            assert (await bucket.act("POST", "create-bck")).status == 409
            destroyed = await bucket.act("DELETE", "destroy-bck")
            assert (destroyed.status, destroyed.error["tcode"]) == (405, "ErrUnsupp")
            assert (await bucket.act("DELETE", "evict-remote-bck", more="&keep_bck_md=True")).status == 200
            assert await bucket.cached() == []
            assert (await bucket.act("DELETE", "evict-remote-bck")).status == 200
            assert primary.node.bmd.get(Bck(bucket.name, "aws")) is None
            assert await bucket.there("d/o0") == b"content 0"

    run(scenario())


def test_a_cold_get_is_one_request_whoever_asks(remote: Any, run: Run) -> None:
    """Sixteen clients that ask for an object at once get it, large or small, and the backend sends it once."""

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.put("large", LARGE)
            for key, content in (("d/o1", b"content 1"), ("large", LARGE)):
                before = bucket.cold_gets
                assert set(await asyncio.gather(*(bucket.get(key) for _ in range(16)))) == {content}
                await bucket.settled()
                assert bucket.cold_gets == before + 1
            disable = await bucket.cluster.primary.ask("PUT", "/v1/cluster/disable-bend/aws")
            assert disable.status == 200, disable.body
            assert (await bucket.ask("GET", "d/o3"))[0] == 400
            _, _, headers = await bucket.ask("GET", "large")
            assert headers["Ais-Checksum-Value"]
            assert "source=aws" in headers.getall("Ais-Custom-Md")
            assert (await bucket.cluster.primary.ask("PUT", "/v1/cluster/enable-bend/aws")).status == 200
            assert (await bucket.cluster.primary.ask("PUT", "/v1/cluster/enable-bend/gcp")).status == 400
            assert await bucket.get("d/o2", Range="bytes=1-3") == b"ont"
            status, body, _ = await bucket.ask("GET", "d/none")
            assert (status, json.loads(body)["tcode"]) == (404, "ErrNotFound")

    run(scenario())


def test_head_tells_what_is_where(remote: Any, run: Run) -> None:
    """HEAD of what is not here answers from the backend and fetches nothing; `presence` says who may be asked.

    A summary counts what is there too, unless it is told not to.
    """

    async def scenario() -> None:
        async with remote() as bucket:
            _, _, headers = await bucket.ask("HEAD", "d/o0")
            assert (headers["Ais-Present"], headers["Content-Length"]) == ("false", "9")
            await bucket.get("d/o1")
            assert (await bucket.ask("HEAD", "d/o1"))[2]["Ais-Present"] == "true"
            assert await bucket.cached() == ["d/o1"]
            for cached, remote_count in ((True, "0"), (False, "4")):
                value = {"prefix": "d/", "cached": cached, "present": True}
                value["uuid"] = (await bucket.act("GET", "summary-bck", value)).body.decode()
                while (counted := await bucket.act("GET", "summary-bck", value)).status != 200:
                    assert counted.status in (202, 206), counted.body
                found = counted.json[0]
                assert found["ObjCount"] == {"obj_count_present": "1", "obj_count_remote": remote_count}
                assert found["TotalSize"]["size_all_remote_objs"] == str(9 * int(remote_count))
            query = bucket.query
            for presence, absent, present in ((0, 200, 200), (2, 404, 200), (3, 404, 200), (5, 200, 404)):
                bucket.query = f"{query}&presence={presence}"
                assert (await bucket.ask("HEAD", "d/o0"))[0] == absent
                assert (await bucket.ask("HEAD", "d/o1"))[0] == present

    run(scenario())


def test_changes_go_to_the_backend_first(remote: Any, run: Run) -> None:
    """PUT and DELETE are there when they are acknowledged; one that the backend refuses leaves nothing here."""

    async def scenario() -> None:
        async with remote() as bucket:
            for content in (b"new", LARGE):
                status, body, headers = await bucket.ask("PUT", "n", data=io.BytesIO(content))
                assert status == 200, body
                assert await bucket.there("n") == content
                assert await bucket.get("n") == content
                assert any(one.startswith("ETag=") for one in headers.getall("Ais-Custom-Md"))
            assert bucket.cold_gets == 0
            assert (await bucket.ask("DELETE", "n"))[0] == 200
            assert await bucket.there("n") is None
            assert (await bucket.ask("GET", "n"))[0] == 404
            bad = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "0" * 32}
            assert (await bucket.ask("PUT", "d/o0", data=b"bad", headers=bad))[0] == 500
            assert await bucket.there("d/o0") == b"content 0"
            for one in (await bucket.at_origin("list_objects_v2"))["Contents"]:
                await bucket.at_origin("delete_object", Key=one["Key"])
            await bucket.at_origin("delete_bucket")
            assert (await bucket.ask("PUT", "d/o9", data=b"lost"))[0] == 404
            assert await bucket.cached() == []

    run(scenario())


def test_prefetch_evict_and_listing_agree(remote: Any, run: Run) -> None:
    """What jobs fetch and evict, by prefix, list and template, is what a listing says is here."""

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.job("POST", "prefetch-listrange", {"template": "d/o{0..1}"})
            assert await bucket.cached() == ["d/o0", "d/o1"]
            found = await bucket.listed("name,size,cached,checksum")
            assert [one.get("flags", 0) for _, one in sorted(found.items())] == [64, 64, 0, 0]
            assert {one["size"] for one in found.values()} == {"9"}
            assert sorted(await bucket.listed("name,cached,checksum", flags=1 << 9)) == ["d/o2", "d/o3"]
            assert list(await bucket.listed("name,size", flags=1 << 11)) == ["d/"]
            assert sorted(await bucket.listed("name", continuation_token="d/o1")) == ["d/o2", "d/o3"]
            await bucket.job("POST", "prefetch-listrange", {"template": ""})
            assert len(await bucket.cached()) == 4
            await bucket.job("DELETE", "evict-listrange", {"objnames": ["d/o3"]})
            assert (await bucket.ask("DELETE", "d/o2", "evict-listrange"))[0] == 200
            assert await bucket.cached() == ["d/o0", "d/o1"]
            await bucket.put("d/o0", b"changed")
            await bucket.at_origin("delete_object", Key="d/o1")
            await bucket.get("d/o2")
            for props in ("name,size,custom", "name,custom"):
                diff = await bucket.listed(props, flags=1 << 12)
                assert {name: one.get("flags", 0) >> 10 & 3 for name, one in diff.items() if one.get("flags")} == {
                    "d/o0": 1,
                    "d/o1": 2,
                    "d/o2": 0,
                }
                assert any("size" in one for one in diff.values()) == ("size" in props)
            await bucket.job("DELETE", "delete-listrange", {"objnames": ["d/o3"]})
            assert await bucket.there("d/o3") is None

    run(scenario())


def test_sizes_of_pages_and_parts(remote: Any, run: Run) -> None:
    """Those that the bucket says are what its backend is asked for."""

    async def scenario() -> None:
        async with remote() as bucket:
            sizes = {"extra": {"aws": {"max_pagesize": 3, "multipart_size": "5MiB"}}}
            assert (await bucket.act("PATCH", "set-bprops", sizes)).status == 200
            page = (await bucket.act("GET", "list", {"props": "name", "flags": "0"})).json
            assert ([one["name"] for one in page["entries"]], page["continuation_token"]) == (
                ["d/o0", "d/o1", "d/o2"],
                "d/o2",
            )
            async with bucket.http.get(f"{bucket.cluster.primary.url}/s3/{bucket.name}?list-type=2") as answer:
                listed = await answer.text()
            assert (listed.count("<Key>"), "<IsTruncated>true" in listed) == (3, True)
            assert (await bucket.ask("PUT", "large", data=io.BytesIO(bytes(11 << 20))))[0] == 200
            assert (await bucket.at_origin("head_object", Key="large"))["ETag"].strip('"').endswith("-3")

    run(scenario())


def test_what_changed_at_the_backend_is_seen_when_asked_for(remote: Any, run: Run) -> None:
    """`latest-ver` and `validate_warm_get` give what the backend has now; without them what is here is served."""

    async def scenario() -> None:
        async with remote() as bucket:
            assert await bucket.get("d/o0") == b"content 0"
            await bucket.put("d/o0", b"changed")
            assert await bucket.get("d/o0") == b"content 0"
            bucket.query += "&latest-ver=true"
            assert await bucket.get("d/o0") == b"changed"
            bucket.query = "?provider=aws"
            patched = await bucket.act("PATCH", "set-bprops", {"versioning": {"validate_warm_get": True}})
            assert patched.status == 200, patched.body
            await bucket.put("d/o0", b"changed again")
            assert await bucket.get("d/o0") == b"changed again"
            await bucket.at_origin("delete_object", Key="d/o0")
            assert (await bucket.ask("GET", "d/o0"))[0] == 404
            assert await bucket.cached() == []

    run(scenario())


def test_a_bucket_of_ours_is_linked(remote: Any, run: Run) -> None:
    """With `backend_bck` an ais bucket reads and writes through; what cannot be linked is refused."""

    async def scenario() -> None:
        async with remote() as bucket:
            primary, link = bucket.cluster.primary, {"name": bucket.name, "provider": "aws"}
            wrong = {"backend_bck": {**link, "name": "nowhere"}}
            assert (await primary.act("POST", "/v1/buckets/linked", "create-bck", wrong)).status == 404
            assert (await primary.act("POST", "/v1/buckets/linked", "create-bck", {"backend_bck": link})).status == 200
            linked = Remote(bucket.cluster, bucket.name, bucket.origin, bucket.http)
            linked.name, linked.query = "linked", ""
            assert await linked.get("d/o0") == b"content 0"
            assert (await linked.ask("PUT", "mine", data=b"mine"))[0] == 200
            assert await bucket.there("mine") == b"mine"
            assert sorted(await linked.listed()) == ["d/o0", "d/o1", "d/o2", "d/o3", "mine"]
            assert await linked.cached() == ["d/o0", "mine"]

    run(scenario())


def test_what_was_here_before_a_bucket_was_linked_stays(remote: Any, run: Run) -> None:
    """Its backend never had it: asked for as the backend has it now, it is served and kept. New custom metadata of what
    the backend has leaves what tells the two apart."""

    async def scenario() -> None:
        async with remote() as bucket:
            primary, link = bucket.cluster.primary, {"name": bucket.name, "provider": "aws"}
            assert (await primary.act("POST", "/v1/buckets/linked", "create-bck")).status == 200
            linked = Remote(bucket.cluster, bucket.name, bucket.origin, bucket.http)
            linked.name, linked.query = "linked", ""
            assert (await linked.ask("PUT", "only", data=b"nowhere else"))[0] == 200
            assert (await linked.act("PATCH", "set-bprops", {"backend_bck": link})).status == 200
            assert await linked.get("d/o0") == b"content 0"
            linked.query = "?set-new-custom=true"
            patched = {"action": "", "value": {"mine": "yes"}}
            assert (await linked.ask("PATCH", "d/o0", json=patched))[0] == 200
            await bucket.put("d/o0", b"changed")
            linked.query = "?latest-ver=true"
            assert await linked.get("only") == b"nowhere else"
            assert await linked.get("d/o0") == b"changed"
            linked.query = ""
            assert await linked.get("only") == b"nowhere else"

    run(scenario())


def test_custom_metadata_that_the_backend_says(remote: Any, run: Run) -> None:
    """Nobody else sets it: it tells that the object is the backend's, may be evicted, and whether it is outdated."""

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.get("d/o0")
            _, _, headers = await bucket.ask("HEAD", "d/o0")
            told = dict(one.split("=", 1) for one in headers.getall("Ais-Custom-Md"))
            for query in ("", "&set-new-custom=true"):
                bucket.query = f"?provider=aws{query}"
                for wrong in ({"source": "mine"}, {"ETag": "x"}, {"crc32c": "x"}):
                    status, body, _ = await bucket.ask("PATCH", "d/o0", json={"action": "", "value": wrong})
                    assert (status, next(iter(wrong)).encode() in body) == (400, True), body
                for right in ({"mine": "yes"}, told | {"mine": "yes"}):
                    assert (await bucket.ask("PATCH", "d/o0", json={"action": "", "value": right}))[0] == 200
            bucket.query = "?provider=aws"
            _, _, headers = await bucket.ask("HEAD", "d/o0")
            kept = dict(one.split("=", 1) for one in headers.getall("Ais-Custom-Md"))
            assert kept == told | {"mine": "yes"}
            assert (await bucket.ask("DELETE", "d/o0", "evict-listrange"))[0] == 200

    run(scenario())


def test_what_an_earlier_link_brought_stays(remote: Any, run: Run) -> None:
    """Of a bucket that was unlinked and is linked again, to the same one or another: what is here was changed here
    alone since then, or may be what the other backend never had. What comes by the new link can go."""

    async def scenario() -> None:
        async with remote() as bucket:
            link = {"name": bucket.name, "provider": "aws"}
            assert (await bucket.cluster.primary.act("POST", "/v1/buckets/linked", "create-bck")).status == 200
            linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
            linked.query = ""

            async def set_link(to: dict[str, str]) -> None:
                assert (await linked.act("PATCH", "set-bprops", {"backend_bck": to})).status == 200

            await set_link(link)
            for name in ("d/o0", "d/o1"):
                await linked.get(name)
            await set_link({"name": "", "provider": ""})
            assert (await linked.ask("PUT", "d/o1", data=b"written here alone"))[0] == 200
            await set_link(link)
            assert await linked.get("d/o2") == b"content 2"
            assert (await linked.ask("DELETE", "d/o1", "evict-listrange"))[0] == 409
            await linked.job("DELETE", "evict-remote-bck", None)
            assert await linked.cached() == ["d/o0", "d/o1"]
            await bucket.at_origin("delete_object", Key="d/o0")
            linked.query = "?latest-ver=true"
            assert await linked.get("d/o0") == b"content 0"
            assert await linked.get("d/o1") == b"written here alone"
            assert (await linked.ask("PUT", "d/o1", data=b"written there"))[0] == 200
            assert await bucket.there("d/o1") == b"written there"
            linked.query = ""
            assert (await linked.ask("DELETE", "d/o1", "evict-listrange"))[0] == 200
            assert await linked.get("d/o1") == b"written there"

    run(scenario())


def test_a_fetch_of_what_a_bucket_is_linked_to_no_more(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves nobody who asks for the object after the bucket was linked to another one, and is not kept."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                other = f"{bucket.name[:40]}-other"
                await asyncio.to_thread(bucket.origin.create_bucket, Bucket=other)
                await asyncio.to_thread(bucket.origin.put_object, Bucket=other, Key="d/o0", Body=b"other")
                props = [{"backend_bck": {"name": name, "provider": "aws"}} for name in (bucket.name, other)]
                created = await bucket.cluster.primary.act("POST", "/v1/buckets/linked", "create-bck", props[0])
                assert created.status == 200, created.body
                linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
                linked.query = ""
                gate.fault = faults.HUNG
                before = asyncio.create_task(linked.ask("GET", "d/o0"))
                await until(lambda: sum(gate.reads.values()) == 1)
                assert (await linked.act("PATCH", "set-bprops", props[1])).status == 200
                after = asyncio.create_task(linked.get("d/o0"))
                await until(lambda: sum(gate.reads.values()) == 2)
                gate.fault = ""
                assert await after == b"other"
                await before
                assert await linked.get("d/o0") == b"other"

    run(scenario())


def test_what_would_not_reach_the_backend_is_refused(remote: Any, run: Run) -> None:
    """No change is made here alone: the client hears 501 and nothing has happened."""

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.get("d/o0")
            shard = await bucket.act("PUT", "archive", {"archname": "a.tar", "objnames": ["d/o0"]})
            moved = await bucket.act("POST", "move-bck", more="&bck_to=ais/@%23/other/")
            rename = json.dumps({"action": "rename-obj", "name": "x"})
            refused = [(shard.status, shard.body), (moved.status, moved.body)]
            status, body, _ = await bucket.ask("POST", "d/o0", data=rename)
            assert (status, json.loads(body)["tcode"]) == (501, "ErrUnsupp")
            query = bucket.query
            for more in ("&append_type=append", "&archpath=x"):
                bucket.query = query + more
                refused.append((await bucket.ask("PUT", "d/o0.tar", data=b"x"))[:2])
            bucket.query = query
            assert [status for status, _ in refused] == [501] * 4, refused
            assert all(b"remote bucket" in body for _, body in refused), refused
            assert await bucket.cached() == ["d/o0"]

    run(scenario())


def test_s3_clients_see_it_by_name(remote: Any, run: Run) -> None:
    """Over S3 a remote bucket that is known is listed, read and deleted from; what we cannot do is NotImplemented."""

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.get("d/o0")
            url = f"{bucket.cluster.primary.url}/s3/{bucket.name}"

            async def s3(method: str, path: str = "", **kwargs: Any) -> tuple[int, str, Any]:
                async with bucket.http.request(method, url + path, **kwargs) as answer:
                    return answer.status, await answer.text(), answer.headers

            status, body, _ = await s3("GET", "?list-type=2&prefix=d/")
            assert (status, body.count("<Key>d/o")) == (200, 4)
            async with bucket.http.get(f"{bucket.cluster.primary.url}/s3") as answer:
                assert f"<Name>{bucket.name}</Name>" in await answer.text()
            status, _, headers = await s3("HEAD", "/d/o3")
            assert (status, headers["Content-Length"]) == (200, "9")
            assert await bucket.cached() == ["d/o0"]
            assert (await s3("GET", "/d/o3"))[:2] == (200, "content 3")
            assert await bucket.cached() == ["d/o0", "d/o3"]
            assert (await s3("GET", "/none"))[0] == 404
            assert (await s3("DELETE", "/d/o3"))[0] == 204
            assert await bucket.there("d/o3") is None
            for method, path in (("PUT", "/d/o0?tagging"), ("PUT", "?versioning"), ("PUT", "/d/o0?acl")):
                assert (await s3(method, path, data=b"<x/>"))[0] == 501

    run(scenario())


def test_head_over_s3_says_the_same_whether_the_object_is_here(remote: Any, run: Run) -> None:
    """A range, a part, what an answer is to say of the content, and conditions on it."""
    asked: list[tuple[str, dict[str, str]]] = [
        ("", {}),
        ("", {"Range": "bytes=2-4"}),
        ("", {"Range": "bytes=-3"}),
        ("", {"Range": "bytes=99-"}),
        ("", {"Range": "bytes=2-4", "If-Range": '"other"'}),
        ("?partNumber=1", {}),
        ("?response-content-type=text/plain", {}),
        ("?partNumber=2", {}),
        ("?partNumber=1", {"Range": "bytes=2-4"}),
        ("", {"If-Match": '"other"'}),
    ]

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.ask("HEAD", "d/o0")
            said = []
            for _ in range(2):
                for more, headers in asked:
                    url = URL(f"{bucket.cluster.primary.url}/s3/{bucket.name}/d/o0{more}", encoded=True)
                    async with bucket.http.head(url, headers=headers) as answer:
                        names = ("Content-Length", "Content-Range", "ETag", "Last-Modified", "Content-Type")
                        said.append((more, headers, answer.status, [answer.headers.get(name) for name in names]))
                assert len(said) == len(asked) or await bucket.cached() == ["d/o0"]
                await bucket.get("d/o0")
            assert said[: len(asked)] == said[len(asked) :]

    run(scenario())


def test_cached_objects_are_read_the_short_way_over_s3(remote: Any, run: Run) -> None:
    """As those of our own buckets; never when they were replaced, evicted, or are to be compared."""

    async def scenario() -> None:
        async with remote() as bucket:
            url = f"{bucket.cluster.primary.url}/s3/{bucket.name}/d/o0"
            await bucket.get("d/o1")
            remembered = [target.node.role._s3._usual._entries for target in bucket.cluster.targets]

            async def read() -> bytes:
                async with bucket.http.get(url) as answer:
                    assert answer.status == 200
                    return await answer.read()

            async def read_until_remembered(content: bytes) -> None:
                async with asyncio.timeout(20):
                    while not any(f"/s3/{bucket.name}/d/o0" in entries for entries in remembered):
                        assert await read() == content
                        await asyncio.sleep(0.02)
                for _ in range(4):
                    assert await read() == content

            await read_until_remembered(b"content 0")
            assert (await bucket.ask("PUT", "d/o0", data=b"written"))[0] == 200
            await read_until_remembered(b"written")
            await bucket.put("d/o0", b"changed")
            assert await read() == b"written"
            assert (await bucket.ask("DELETE", "d/o0", "evict-listrange"))[0] == 200
            await read_until_remembered(b"changed")
            assert (await bucket.act("PATCH", "set-bprops", {"versioning": {"synchronize": True}})).status == 200
            await bucket.put("d/o0", b"newest")
            assert await read() == b"newest"

    run(scenario())


def test_what_signs_a_url_asks_for_nothing_else(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Presigned, or with the name of the operation as other clients than boto3 send it: ranges of large objects that
    are not here are read alone, and objects are sent while they come."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.put("large", LARGE)
                await bucket.ask("HEAD", "large")
                s3 = await bucket.cluster.user("admin", admin=True)
                named = {"Bucket": bucket.name, "Key": "large"}
                signed = s3.boto3.generate_presigned_url("get_object", Params=named)
                for url in (signed, f"{s3.url}/{bucket.name}/large?x-id=GetObject"):
                    gate.reads.clear()
                    async with bucket.http.get(URL(url, encoded=True), headers={"Range": "bytes=5-9"}) as answer:
                        assert (answer.status, await answer.read()) == (206, LARGE[5:10])
                    assert gate.reads == {"large bytes=5-9": 1}
                    gate.fault = faults.SLOW  # half of it
                    async with bucket.http.get(URL(url, encoded=True)) as answer:
                        assert answer.status == 200
                        assert await answer.content.readexactly(1000) == LARGE[:1000]
                    gate.fault = ""
                    await bucket.settled()

    run(scenario())


def test_when_an_object_was_changed(remote: Any, run: Run) -> None:
    """It is the backend's time that HEAD and conditions go by, whether the object is here or not, as listings do."""

    async def scenario() -> None:
        async with remote() as bucket:
            url = f"{bucket.cluster.primary.url}/s3/{bucket.name}/d/o0"
            await bucket.get("d/o1")
            changed = (await bucket.at_origin("head_object", Key="d/o0"))["LastModified"]
            await asyncio.sleep(1.1)  # it comes in another second than it was written
            native = f"{bucket.query}&props=last-modified"
            for _ in range(2):
                async with bucket.http.head(url) as answer:
                    assert parsedate_to_datetime(answer.headers["Last-Modified"]) == changed
                    date = answer.headers["Last-Modified"]
                bucket.query, query = native, bucket.query
                _, _, headers = await bucket.ask("HEAD", "d/o0")
                bucket.query = query
                assert parsedate_to_datetime(headers["Last-Modified"]) == changed
                for condition, status in (("If-Unmodified-Since", 200), ("If-Modified-Since", 304)):
                    async with bucket.http.get(url, headers={condition: date}) as answer:
                        assert answer.status == status
                copied = {"x-amz-copy-source": f"/{bucket.name}/d/o0", "x-amz-copy-source-if-unmodified-since": date}
                async with bucket.http.put(f"{url}.copy", headers=copied) as answer:
                    assert answer.status == 200, await answer.text()
                assert await bucket.get("d/o0") == b"content 0"

    run(scenario())


def test_another_cluster_of_ours_is_a_backend(serve: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own S3 passes what every backend has to do."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True, **CALM) as cluster:
            await cluster.create("mine")
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"{cluster.primary.url}/s3")
            backend = S3()
            try:
                place, missing = Place(Bck("mine", "aws")), Place(Bck("none", "aws"))
                await conform(backend, place, missing, large=bytes(range(256)) * 70_000)
            finally:
                await backend.close()

    assert aws
    run(scenario())


def test_lru_evicts_what_is_here(remote: Any, run: Run) -> None:
    """Above the watermarks, what was not used lately and its backend has; asked for again it is fetched again. A bucket
    without a backend is refused, one with `lru.enabled` off is left alone."""

    async def scenario() -> None:
        space = Space(cleanupwm=0, lowwm=0, highwm=0)
        async with remote(space=space) as bucket:
            primary = bucket.cluster.primary
            for number in range(4):
                await bucket.get(f"d/o{number}")
            assert (await bucket.act("PATCH", "set-bprops", {"lru": {"enabled": False}})).status == 200
            await lru(primary)
            assert len(await bucket.cached()) == 4
            patch = {"lru": {"enabled": True, "dont_evict_time": "1h"}}
            assert (await bucket.act("PATCH", "set-bprops", patch)).status == 200
            await lru(primary)
            assert len(await bucket.cached()) == 4
            assert (await bucket.act("PATCH", "set-bprops", {"lru": {"dont_evict_time": "0s"}})).status == 200
            await lru(primary)
            assert await bucket.cached() == []
            assert await bucket.get("d/o1") == b"content 1"
            await primary.act("POST", "/v1/buckets/own", "create-bck")
            value = {"kind": "lru", "bck": {"name": "own"}}
            refused = await primary.act("PUT", "/v1/cluster", "start", value)
            assert (refused.status, refused.error["tcode"]) == (400, "ErrNotRemoteBck")

    run(scenario())


async def lru(primary: Any) -> None:
    """The job, to its end."""
    started = await primary.act("PUT", "/v1/cluster", "start", {"kind": "lru"})
    assert started.status == 200, started.body
    async with asyncio.timeout(60):
        while True:
            status = await primary.ask("GET", "/v1/cluster?what=status", {"id": started.body.decode()})
            if status.json["end_time"]:
                return
            await asyncio.sleep(0.05)
