"""The documents of a bucket over S3: set, read back from another gateway, removed; refused when they are wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ais.api import codec
from ais.base.units import Size
from ais.config.limits import Limits
from ais.config.sections import Auth

Run = Callable[[Any], Any]
AUTH = Auth(enabled=True)
TAGS = [{"Key": "team", "Value": "x/y z"}, {"Key": "empty", "Value": ""}]
RULES = [
    {
        "ID": "old",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "b"}], "ObjectSizeGreaterThan": 10}},
        "Expiration": {"Days": 30},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 2},
    },
    {
        "ID": "parts",
        "Status": "Disabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
    },
]
CORS = [
    {
        "AllowedOrigins": ["https://app.example"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 60,
    }
]
BLOCK = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": False,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": False,
}
OWNERSHIP = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def _policy(effect: str, action: str | list[str], principal: Any = "*", **more: Any) -> str:
    resources = ["arn:aws:s3:::abc", "arn:aws:s3:::abc/*"]
    statement = {"Effect": effect, "Principal": principal, "Action": action, "Resource": resources, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize(
    ("name", "put", "got", "missing"),
    [
        ("bucket_tagging", {"Tagging": {"TagSet": TAGS}}, {"TagSet": TAGS}, "NoSuchTagSet"),
        ("bucket_cors", {"CORSConfiguration": {"CORSRules": CORS}}, {"CORSRules": CORS}, "NoSuchCORSConfiguration"),
        (
            "bucket_lifecycle_configuration",
            {"LifecycleConfiguration": {"Rules": RULES}},
            {"Rules": RULES},
            "NoSuchLifecycleConfiguration",
        ),
        (
            "bucket_policy",
            {"Policy": _policy("Allow", "s3:GetObject")},
            {"Policy": _policy("Allow", "s3:GetObject")},
            "NoSuchBucketPolicy",
        ),
        (
            "public_access_block",
            {"PublicAccessBlockConfiguration": BLOCK},
            {"PublicAccessBlockConfiguration": BLOCK},
            "NoSuchPublicAccessBlockConfiguration",
        ),
    ],
)
def test_documents_come_back(
    serve: Any, run: Run, name: str, put: dict[str, Any], got: dict[str, Any], missing: str
) -> None:
    """Set through one gateway, read from another as boto3 sent it, deleted twice, then missing by its own code."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=1) as cluster:
            s3, other = cluster.s3(proxy=1), cluster.s3()
            await s3("create_bucket", Bucket="abc")
            assert await other.refused(f"get_{name}", Bucket="abc") == (404, missing)
            await s3(f"put_{name}", Bucket="abc", **put)
            found = await other(f"get_{name}", Bucket="abc")
            assert {key: found[key] for key in got} == got
            delete = "delete_bucket_lifecycle" if "lifecycle" in name else f"delete_{name}"
            for _ in range(2):
                gone = await s3(delete, Bucket="abc")
                assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
            assert await other.refused(f"get_{name}", Bucket="abc") == (404, missing)
            assert await other.refused(f"get_{name}", Bucket="absent") == (404, "NoSuchBucket")
            assert await s3.refused(f"put_{name}", Bucket="absent", **put) == (404, "NoSuchBucket")

    run(scenario())


def test_versioning_ownership_and_acl(serve: Any, run: Run) -> None:
    """Versioning starts empty and can be suspended, never unset; ownership and ACL are what they always are."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            s3 = cluster.s3()
            await s3("create_bucket", Bucket="abc")
            assert "Status" not in await s3("get_bucket_versioning", Bucket="abc")
            for status in ("Enabled", "Suspended"):
                await s3("put_bucket_versioning", Bucket="abc", VersioningConfiguration={"Status": status})
                assert (await s3("get_bucket_versioning", Bucket="abc"))["Status"] == status
            await s3("put_bucket_ownership_controls", Bucket="abc", OwnershipControls=OWNERSHIP)
            assert (await s3("get_bucket_ownership_controls", Bucket="abc"))["OwnershipControls"] == OWNERSHIP
            acl = await s3("get_bucket_acl", Bucket="abc")
            assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]
            assert acl["Owner"]["ID"] == acl["Grants"][0]["Grantee"]["ID"] == "ais"
            await s3("put_bucket_acl", Bucket="abc", ACL="private")
            same = {"Owner": acl["Owner"], "Grants": acl["Grants"]}
            await s3("put_bucket_acl", Bucket="abc", AccessControlPolicy=same)
            unsupported = (400, "AccessControlListNotSupported")
            assert await s3.refused("put_bucket_acl", Bucket="abc", ACL="public-read") == unsupported
            assert await s3.refused("put_bucket_acl", Bucket="abc", GrantRead="id=x") == unsupported
            wider = {"Owner": acl["Owner"], "Grants": [*acl["Grants"], {**acl["Grants"][0], "Permission": "READ"}]}
            assert await s3.refused("put_bucket_acl", Bucket="abc", AccessControlPolicy=wider) == unsupported

    run(scenario())


@pytest.mark.parametrize(
    ("sub_resource", "body", "expected"),
    [
        ("versioning", b"<VersioningConfiguration><Status>On</Status></VersioningConfiguration>", "MalformedXML"),
        ("tagging", b"<Tagging></Tagging>", "MalformedXML"),
        ("lifecycle", b"<LifecycleConfiguration/>", "MalformedXML"),
        ("cors", b"not xml", "MalformedXML"),
        ("policy", b"{", "MalformedPolicy"),
        ("policy", _policy("Allow", "s3:GetObject").replace("abc", "other").encode(), "MalformedPolicy"),
        ("publicAccessBlock", b"<PublicAccessBlockConfiguration><X/></PublicAccessBlockConfiguration>", "MalformedXML"),
        ("acl", b"<AccessControlPolicy", "MalformedACLError"),
        ("tagging", b'<!DOCTYPE x [<!ENTITY a "b">]><Tagging>&a;</Tagging>', "MalformedXML"),
        ("tagging", b"x" * 70_000, "MaxMessageLengthExceeded"),
    ],
)
def test_wrong_documents_change_nothing(serve: Any, run: Run, sub_resource: str, body: bytes, expected: str) -> None:
    """400 with the exact code, and the bucket's properties are the same bytes as before."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            s3 = cluster.s3()
            await s3("create_bucket", Bucket="abc")
            (before,) = cluster.primary.node.bmd
            answer = await s3.send("PUT", f"/abc?{sub_resource}", body)
            assert (answer.status, answer.code) == (400, expected)
            (after,) = cluster.primary.node.bmd
            assert after.raw == before.raw

    run(scenario())


def test_an_account_has_its_share(serve: Any, run: Run) -> None:
    """What is too much for every node's memory is refused, of whatever kind; others have their own."""
    rules = [{"ID": f"{n:0>250}", "Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}} for n in range(150)]
    lifecycle = {"LifecycleConfiguration": {"Rules": rules}}
    website = {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "x" * 900}}}
    too_many = (400, "TooManyBuckets")

    async def scenario() -> None:
        async with serve(targets=1, auth=AUTH, limits=Limits(account_metadata=Size(64 << 10))) as cluster:
            ann, bob = await cluster.user("ann"), await cluster.user("bob")
            for user, bucket in ((ann, "abc"), (ann, "def"), (bob, "ghi")):
                await user("create_bucket", Bucket=bucket)
            await ann("put_bucket_lifecycle_configuration", Bucket="abc", **lifecycle)
            assert await ann.refused("put_bucket_lifecycle_configuration", Bucket="def", **lifecycle) == too_many
            for n in range(100):
                if (refused := await _refused(ann, n)) is not None:
                    break
            assert refused == too_many
            tagging = {"Tagging": {"TagSet": [{"Key": f"{n}", "Value": "x" * 200} for n in range(40)]}}
            assert await ann.refused("put_bucket_tagging", Bucket="def", **tagging) == too_many
            await bob("put_bucket_lifecycle_configuration", Bucket="ghi", **lifecycle)
            await ann("delete_bucket_lifecycle", Bucket="abc")
            await ann("put_bucket_website", Bucket="def", **website)

    run(scenario())


async def _refused(user: Any, n: int) -> tuple[int, str] | None:
    """Why the n-th bucket is not made; None: it is."""
    try:
        await user("create_bucket", Bucket=f"more-{n}")
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    return None


def test_a_public_policy_can_be_blocked(serve: Any, run: Run) -> None:
    """With `BlockPublicPolicy` a public policy is refused, a narrow one is not; the status tells them apart."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            s3 = cluster.s3()
            await s3("create_bucket", Bucket="abc")
            public, narrow = _policy("Allow", "s3:GetObject"), _policy("Allow", "s3:GetObject", {"AWS": "bob"})
            await s3("put_bucket_policy", Bucket="abc", Policy=public)
            assert (await s3("get_bucket_policy_status", Bucket="abc"))["PolicyStatus"] == {"IsPublic": True}
            await s3("put_public_access_block", Bucket="abc", PublicAccessBlockConfiguration=BLOCK)
            assert await s3.refused("put_bucket_policy", Bucket="abc", Policy=public) == (403, "AccessDenied")
            await s3("put_bucket_policy", Bucket="abc", Policy=narrow)
            assert (await s3("get_bucket_policy_status", Bucket="abc"))["PolicyStatus"] == {"IsPublic": False}
            await s3("delete_bucket_policy", Bucket="abc")
            assert await s3.refused("get_bucket_policy_status", Bucket="abc") == (404, "NoSuchBucketPolicy")

    run(scenario())


def test_the_policy_decides_who_else_may(serve: Any, run: Run) -> None:
    """Another user and a stranger get what the policy allows and no more; a denied owner can still repair it."""

    async def scenario() -> None:
        async with serve(targets=1, auth=AUTH) as cluster:
            ann, bob, stranger = await cluster.user("ann"), await cluster.user("bob"), cluster.s3()
            await ann("create_bucket", Bucket="abc")
            tagging = {"Tagging": {"TagSet": TAGS}}
            assert await bob.refused("put_bucket_tagging", Bucket="abc", **tagging) == (403, "AccessDenied")
            allowed = _policy("Allow", ["s3:PutBucketTagging", "s3:GetBucketTagging"], {"AWS": ["bob"]})
            await ann("put_bucket_policy", Bucket="abc", Policy=allowed)
            await bob("put_bucket_tagging", Bucket="abc", **tagging)
            assert (await bob("get_bucket_tagging", Bucket="abc"))["TagSet"] == TAGS
            assert await bob.refused("get_bucket_cors", Bucket="abc") == (403, "AccessDenied")
            assert await bob.refused("put_bucket_policy", Bucket="abc", Policy=allowed) == (403, "AccessDenied")
            assert await stranger.refused("get_bucket_tagging", Bucket="abc") == (403, "AccessDenied")
            await ann("put_bucket_policy", Bucket="abc", Policy=_policy("Allow", "s3:GetBucketTagging"))
            assert (await stranger("get_bucket_tagging", Bucket="abc"))["TagSet"] == TAGS
            restricted = {**BLOCK, "RestrictPublicBuckets": True}
            await ann("put_public_access_block", Bucket="abc", PublicAccessBlockConfiguration=restricted)
            assert await stranger.refused("get_bucket_tagging", Bucket="abc") == (403, "AccessDenied")
            await ann("put_bucket_policy", Bucket="abc", Policy=_policy("Deny", "s3:*"))
            assert await ann.refused("get_bucket_tagging", Bucket="abc") == (403, "AccessDenied")
            await ann("delete_bucket_policy", Bucket="abc")
            assert (await ann("get_bucket_tagging", Bucket="abc"))["TagSet"] == TAGS

    run(scenario())


def test_a_refused_document_is_not_read(serve: Any, run: Run) -> None:
    """No right, no such bucket, no such sub-resource: the answer comes before `100 Continue`."""

    async def scenario() -> None:
        async with serve(targets=1, auth=AUTH) as cluster:
            await (await cluster.user("ann"))("create_bucket", Bucket="abc")
            for target, status in (("/abc?tagging", b"403"), ("/abc?session", b"501"), ("/xyz?cors", b"404")):
                head = f"PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
                async with cluster.connection() as (reader, writer):
                    writer.write(head.encode())
                    assert (await reader.readline()).split()[1] == status

    run(scenario())


def test_browsers_may_read_the_answer(serve: Any, run: Run) -> None:
    """An origin with a rule gets its headers on answers, errors and preflights; another origin gets none."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            s3 = cluster.s3()
            await s3("create_bucket", Bucket="abc")
            await s3("put_bucket_cors", Bucket="abc", CORSConfiguration={"CORSRules": CORS})
            origin = {"Origin": "https://app.example"}
            for target, status in (("/abc?cors", 200), ("/abc?policy", 404), ("/abc?nonsense", 501)):
                answer = await s3.send("GET", target, headers=origin)
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
                assert answer.headers["Access-Control-Expose-Headers"] == "ETag"
            other = await s3.send("GET", "/abc?cors", headers={"Origin": "https://evil.example"})
            assert "Access-Control-Allow-Origin" not in other.headers
            asked = {**origin, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-amz-date"}
            preflight = await s3.send("OPTIONS", "/abc/k", headers=asked)
            assert preflight.status == 200
            assert preflight.headers["Access-Control-Allow-Headers"] == "x-amz-date"
            assert preflight.headers["Access-Control-Max-Age"] == "60"
            refused = await s3.send("OPTIONS", "/abc/k", headers={**asked, "Access-Control-Request-Method": "DELETE"})
            assert (refused.status, refused.code) == (403, "AccessForbidden")
            assert (await s3.send("OPTIONS", "/abc/k")).status == 400

    run(scenario())


def test_native_changes_keep_what_s3_set(serve: Any, run: Run) -> None:
    """Properties set and reset natively leave `s3` alone, and cannot write it; the native view shows it."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            s3, proxy = cluster.s3(), cluster.primary
            await s3("create_bucket", Bucket="abc")
            await s3("put_bucket_versioning", Bucket="abc", VersioningConfiguration={"Status": "Enabled"})
            patch = {"s3": {"versioning": "", "owner": "eve", "deleting": "x"}, "versioning": {"enabled": False}}
            assert (await proxy.act("PATCH", "/v1/buckets/abc", "set-bprops", patch)).status == 200
            assert (await proxy.act("PATCH", "/v1/buckets/abc", "reset-bprops")).status == 200
            props = codec.parse_json((await proxy.ask("HEAD", "/v1/buckets/abc")).headers["Ais-Bucket-Props"])
            assert props["s3"] == {"versioning": "Enabled"}
            created = await proxy.act("POST", "/v1/buckets/xyz", "create-bck", {"s3": {"owner": "eve"}})
            assert created.status == 200
            assert "s3" not in codec.parse_json(
                (await proxy.ask("HEAD", "/v1/buckets/xyz")).headers["Ais-Bucket-Props"]
            )

    run(scenario())
