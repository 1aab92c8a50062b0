"""S3 on a gateway: buckets are created, listed, found and deleted; requests on objects go to their owners."""

from collections.abc import Callable
from typing import Any

import pytest
from harness.s3 import S3

from ais.api.bucket import Bck
from ais.base.errors import NotReady
from ais.config.sections import Auth, Net
from ais.net.http import Forward, Headers, Network, Peer, Request
from ais.proxy.changes import BucketChanges
from ais.s3 import via
from ais.s3.errors import S3Error
from ais.s3.via import Via

Run = Callable[[Any], Any]
AUTH = Auth(enabled=True)
PEER = Peer("10.0.0.7:5000", Network.PUBLIC, "http")


def _names(listed: dict[str, Any]) -> list[str]:
    return [bucket["Name"] for bucket in listed["Buckets"]]


def test_a_bucket_from_creation_to_deletion(serve: Any, run: Run) -> None:
    """Through a gateway that is not primary: created with its region, found, listed natively too, deleted."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=2, storage=True) as cluster:
            s3 = cluster.s3(proxy=1)
            where = {"LocationConstraint": "eu-west-1"}
            assert (await s3("create_bucket", Bucket="abc", CreateBucketConfiguration=where))["Location"] == "/abc"
            await s3("create_bucket", Bucket="plain")
            found = (await s3("head_bucket", Bucket="abc"))["ResponseMetadata"]["HTTPHeaders"]
            assert found["x-amz-bucket-region"] == "eu-west-1"
            assert found["x-amz-request-id"]
            assert found["x-amz-id-2"]
            assert (await s3("get_bucket_location", Bucket="abc"))["LocationConstraint"] == "eu-west-1"
            assert (await s3("get_bucket_location", Bucket="plain"))["LocationConstraint"] is None
            assert await s3.refused("create_bucket", Bucket="abc") == (409, "BucketAlreadyOwnedByYou")
            native = await cluster.proxies[1].act("GET", "/v1/buckets?provider=ais", "list")
            assert {one["name"] for one in native.json} == {"abc", "plain"}
            deleted = await s3("delete_bucket", Bucket="abc")
            assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
            assert await s3.refused("head_bucket", Bucket="abc") == (404, "404")
            assert await s3.refused("delete_bucket", Bucket="abc") == (404, "NoSuchBucket")

    run(scenario())


def test_buckets_are_listed_in_pages(serve: Any, run: Run) -> None:
    """Sorted, by prefix and region, with tokens; a bucket that was made natively is there, system buckets are not."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            s3 = cluster.s3()
            for name in ("ccc", "aaa", "bbb", "xyz"):
                await s3("create_bucket", Bucket=name)
            await cluster.create("native")
            await cluster.create(".sys-inventory")
            listed = await s3("list_buckets")
            assert _names(listed) == ["aaa", "bbb", "ccc", "native", "xyz"]
            assert listed["Owner"]["ID"] == "ais"
            first = await s3("list_buckets", MaxBuckets=2)
            assert _names(first) == ["aaa", "bbb"]
            second = await s3("list_buckets", MaxBuckets=3, ContinuationToken=first["ContinuationToken"])
            assert _names(second) == ["ccc", "native", "xyz"]
            assert "ContinuationToken" not in second
            assert _names(await s3("list_buckets", Prefix="x")) == ["xyz"]
            assert _names(await s3("list_buckets", BucketRegion="eu-west-1")) == []
            assert await s3.refused("list_buckets", MaxBuckets=10_001) == (400, "InvalidArgument")
            unknown = await s3.send("GET", "/?acl", headers={"x-amz-date": "x"})
            assert (unknown.status, unknown.code) == (501, "NotImplemented")

    run(scenario())


@pytest.mark.parametrize(
    ("name", "headers", "body", "expected"),
    [
        ("Bad_Name", {}, b"", (400, "InvalidBucketName")),
        ("192.168.1.1", {}, b"", (400, "InvalidBucketName")),
        ("abc", {"x-amz-acl": "public-read"}, b"", (400, "InvalidBucketAclWithObjectOwnership")),
        ("abc", {"x-amz-grant-read": "id=x"}, b"", (400, "InvalidBucketAclWithObjectOwnership")),
        ("abc", {"x-amz-bucket-object-lock-enabled": "maybe"}, b"", (400, "InvalidArgument")),
        ("abc", {"x-amz-object-ownership": "Nobody"}, b"", (400, "InvalidArgument")),
        ("abc", {}, b"<Nonsense/>", (400, "MalformedXML")),
        ("abc", {}, b"x" * 70_000, (400, "MaxMessageLengthExceeded")),
        ("abc", {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, b"<x/>", (400, "BadDigest")),
        ("abc", {"x-amz-content-sha256": "0" * 64}, b"<x/>", (400, "XAmzContentSHA256Mismatch")),
        (
            "abc",
            {},
            b"<CreateBucketConfiguration><LocationConstraint>a b</LocationConstraint></CreateBucketConfiguration>",
            (400, "InvalidLocationConstraint"),
        ),
        (
            "abc",
            {},
            b"<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>",
            (400, "MalformedXML"),
        ),
    ],
)
def test_what_cannot_be_created(
    serve: Any, run: Run, name: str, headers: dict[str, str], body: bytes, expected: tuple[int, str]
) -> None:
    """A bad name, an ACL, object lock, a bad or corrupted document: refused, and there is no bucket afterwards."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            answer = await cluster.s3().send("PUT", f"/s3/{name}", body, headers)
            assert (answer.status, answer.code) == expected
            assert len(cluster.primary.node.bmd) == 0

    run(scenario())


def test_tags_may_come_with_a_bucket(serve: Any, run: Run) -> None:
    """`CreateBucketConfiguration` with tags: they are kept."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            tags = {"Tags": [{"Key": "team", "Value": "x"}]}
            await cluster.s3()("create_bucket", Bucket="abc", CreateBucketConfiguration=tags)
            bucket = cluster.primary.node.bmd.require(Bck("abc"))
            assert bucket.props.of_s3.tags == {"team": "x"}

    run(scenario())


def test_buckets_of_users(serve: Any, run: Run) -> None:
    """Each user sees and deletes their own buckets, administrators those of nobody too; strangers nothing at all."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True, auth=AUTH) as cluster:
            ann, bob, stranger = await cluster.user("ann"), await cluster.user("bob"), cluster.s3()
            await ann("create_bucket", Bucket="of-ann")
            await bob("create_bucket", Bucket="of-bob")
            root = await cluster.user("root", admin=True)
            await BucketChanges(cluster.primary.node).create(Bck("native"), None)
            assert _names(await ann("list_buckets")) == ["of-ann"]
            assert _names(await root("list_buckets")) == ["native"]
            assert await ann.refused("delete_bucket", Bucket="native") == (403, "AccessDenied")
            assert (await ann("list_buckets"))["Owner"]["ID"] == "ann"
            assert await ann.refused("create_bucket", Bucket="of-ann") == (409, "BucketAlreadyOwnedByYou")
            assert await ann.refused("create_bucket", Bucket="of-bob") == (409, "BucketAlreadyExists")
            assert await ann.refused("head_bucket", Bucket="of-bob") == (403, "403")
            assert await ann.refused("delete_bucket", Bucket="of-bob") == (403, "AccessDenied")
            owner = {"Bucket": "of-ann", "ExpectedBucketOwner": "bob"}
            assert await ann.refused("get_bucket_location", **owner) == (403, "AccessDenied")
            assert await ann.refused("delete_bucket", **owner) == (403, "AccessDenied")
            assert await stranger.refused("list_buckets") == (403, "AccessDenied")
            assert await stranger.refused("create_bucket", Bucket="fresh") == (403, "AccessDenied")
            assert await stranger.refused("head_bucket", Bucket="of-ann") == (403, "403")
            assert await stranger.refused("delete_bucket", Bucket="native") == (403, "AccessDenied")
            assert await ann("delete_bucket", Bucket="of-ann")
            assert {bucket.bck.name for bucket in cluster.primary.node.bmd} == {"of-bob", "native"}

    run(scenario())


def test_wrong_signatures_change_nothing(serve: Any, run: Run) -> None:
    """Unknown key, wrong secret, a body other than the signed one: each with its code, before anything is created."""

    async def scenario() -> None:
        async with serve(targets=1, auth=AUTH) as cluster:
            ann = await cluster.user("ann")
            wrong_key, wrong_secret = S3(ann.url, "nobody", "x" * 20), S3(ann.url, ann.key_id, "x" * 20)
            assert await wrong_key.refused("create_bucket", Bucket="abc") == (403, "InvalidAccessKeyId")
            assert await wrong_secret.refused("create_bucket", Bucket="abc") == (403, "SignatureDoesNotMatch")
            forged = await ann.send("PUT", "/abc", b"<x/>", forged=b"<y/>")
            assert (forged.status, forged.code) == (400, "XAmzContentSHA256Mismatch")
            assert len(cluster.primary.node.bmd) == 0

    run(scenario())


def test_requests_on_objects_go_to_the_owner(serve: Any, run: Run) -> None:
    """Whatever the sub-resource, with a note for the owner; a missing bucket is answered here, after authentication."""

    async def scenario() -> None:
        async with serve(proxies=1, targets=2, auth=AUTH) as cluster:
            ann = await cluster.user("ann")
            await ann("create_bucket", Bucket="abc")
            proxy = cluster.primary
            for method, target in (("PUT", "/abc/k%20x"), ("GET", "/s3/abc/k%20x?tagging"), ("POST", "/abc/k?uploads")):
                request = Request(method, target, Headers((("host", "h"),)), PEER)
                reply = proxy.role.route(request)
                key = "k x" if "%20" in target else "k"
                assert isinstance(reply, Forward)
                assert reply.url == proxy.node.placement.owner(f"ais/@#/abc/{key}").data.url
                name, _, value = reply.headers.decode().strip().partition(": ")
                sent = Request(method, target, Headers(((name.lower(), value),)), PEER)
                owner = proxy.node.placement.owner(f"ais/@#/abc/{key}").id
                here = (proxy.node.wire_keys, owner, proxy.node.env.clock.now_ns() / 1e9)
                note = via.read(sent, *here)
                assert note is not None
                assert (note.remote.partition(":")[0], note.scheme, note.user) == ("10.0.0.7", "http", None)
                with pytest.raises(S3Error, match="for nodes"):
                    via.read(Request(method, "/abc/other", sent.headers, PEER), *here)
            assert await cluster.s3().refused("get_object", Bucket="absent", Key="k") == (404, "NoSuchBucket")
            wrong = S3(ann.url, "nobody", "x" * 20)
            assert await wrong.refused("get_object", Bucket="absent", Key="k") == (403, "InvalidAccessKeyId")

    run(scenario())


def test_who_got_a_request_by_an_older_map_passes_it_on(serve: Any, run: Run) -> None:
    """With what the first node said of it, a few times at most; a change that was passed on once is taken once."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=1) as cluster:
            await cluster.s3()("create_bucket", Bucket="abc")
            proxy, sender = cluster.primary, cluster.proxies[1].node.snode
            owner = proxy.node.placement.owner("ais/@#/abc/k")
            now_s = int(proxy.node.env.clock.now_ns() / 1e9)

            def sent(method: str, hops: int) -> Request:
                note = Via("10.0.0.9:1", "https", "ann", 7, now_s, proxy.node.snode.id, sender.id, b"once", hops)
                value = via.header(note, proxy.node.wire_key(sender.id), method, "/abc/k")
                return Request(method, "/abc/k", Headers(((via.HEADER.lower(), value),)), PEER)

            for method, hops in (("GET", 0), ("GET", via.HOPS_MAX - 1), ("PUT", 0)):
                reply = proxy.role.route(sent(method, hops))
                assert isinstance(reply, Forward)
                name, _, value = reply.headers.decode().strip().partition(": ")
                passed = Request(method, "/abc/k", Headers(((name.lower(), value),)), PEER)
                note = via.read(passed, proxy.node.wire_keys, owner.id, now_s)
                assert note is not None
                assert (note.remote, note.scheme, note.user, note.bid) == ("10.0.0.9:1", "https", "ann", 7)
                assert note.hops == hops + 1
            with pytest.raises(NotReady, match="try again"):
                proxy.role.route(sent("GET", via.HOPS_MAX))
            with pytest.raises(S3Error, match="received before"):
                proxy.role.route(sent("PUT", 0))

    run(scenario())


def test_errors_of_the_http_layer_are_s3_errors(serve: Any, run: Run) -> None:
    """A forged note, a key that is not UTF-8, an unknown verb or sub-resource: XML with the request's IDs."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            s3 = cluster.s3()
            await s3("create_bucket", Bucket="abc")
            for method, target, headers, expected in (
                ("PUT", "/abc/k", {via.HEADER: "bm9uc2Vuc2UgYW5kIG1vcmU="}, (403, "AccessDenied")),
                ("GET", "/abc/%ff", {}, (400, "InvalidRequest")),
                ("PATCH", "/abc", {}, (405, "MethodNotAllowed")),
                ("GET", "/abc?session", {}, (501, "NotImplemented")),
                ("GET", "/abc?nonsense=1", {}, (501, "NotImplemented")),
                ("DELETE", "/s3", {}, (405, "MethodNotAllowed")),
            ):
                answer = await s3.send(method, target, headers=headers)
                assert (answer.status, answer.code) == expected, (method, target)
                assert answer.headers["Content-Type"] == "application/xml"
                assert answer.headers["x-amz-request-id"]
                assert answer.headers["x-amz-id-2"]
            head = await s3.send("HEAD", "/abc?website")
            assert (head.status, head.body) == (405, b"")

    run(scenario())


def test_native_requests_stay_native(serve: Any, run: Run) -> None:
    """Also with `net.s3_domain` set: only a Host that names a bucket makes a key of a native path."""

    async def scenario() -> None:
        async with serve(targets=1, net=Net(s3_domain="s3.local")) as cluster:
            await cluster.s3()("create_bucket", Bucket="abc")
            assert (await cluster.primary.ask("GET", "/v1/objects/abc/k")).status == 301
            missing = await cluster.primary.ask("GET", "/v1/objects/absent/k")
            assert missing.error["tcode"] == "ErrBckNotFound"
            assert (await cluster.primary.ask("GET", "/")).status == 400
            virtual = Request("GET", "/v1/objects/abc/k", Headers((("host", "abc.s3.local:80"),)), PEER)
            reply = cluster.primary.role.route(virtual)
            assert isinstance(reply, Forward)
            absent = await cluster.primary.ask("GET", "/v1/buckets", headers={"Host": "absent.s3.local"})
            assert b"<Code>NoSuchBucket</Code>" in absent.body

    run(scenario())
