"""Everything Amazon's API reference names: served, or refused with the exact code, and the object never touched by it.

Source of the names: Amazon S3 API reference, all actions ("Request Syntax") and "Common Request Headers".
"""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from harness import s3raw
from harness.s3access import Access, boto, remove_bucket
from harness.s3raw import Request, call, code, sign
from harness.wire import Answer, RawConnection

BUCKET = "surface"
KEY = "kept"
PLACES = {"bucket": f"/{BUCKET}", "object": f"/{BUCKET}/{KEY}"}
KEPT = b"kept as it is" * 100
BODY = b"not the object, and no document either"
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
NONE = ""
REFUSED = ("NotImplemented",)

SUB_RESOURCES = [
    *("abac", "accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption", "intelligent-tiering"),
    *("inventory", "legal-hold", "lifecycle", "location", "logging", "metadataConfiguration", "metadataInventoryTable"),
    *("metadataJournalTable", "metadataTable", "metrics", "notification", "object-lock", "ownershipControls", "policy"),
    *("policyStatus", "publicAccessBlock", "renameObject", "replication", "requestPayment", "restore", "retention"),
    *("select", "session", "tagging", "torrent", "uploadId", "uploads", "versioning", "versions", "website"),
]

SERVED: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "bucket": {
        "abac": {"GET": (NONE,), "PUT": ("MalformedXML",)},
        "accelerate": {"GET": (NONE,), "PUT": ("MalformedXML",)},
        "encryption": {
            "GET": ("ServerSideEncryptionConfigurationNotFoundError",),
            "PUT": ("MalformedXML", "NotImplemented"),
            "DELETE": (NONE,),
        },
        "logging": {"GET": (NONE,), "PUT": ("MalformedXML",)},
        "notification": {"GET": (NONE,), "PUT": ("MalformedXML",)},
        "object-lock": {
            "GET": ("ObjectLockConfigurationNotFoundError",),
            "PUT": ("MalformedXML", "InvalidBucketState", "NotImplemented"),
        },
        "replication": {
            "GET": ("ReplicationConfigurationNotFoundError",),
            "PUT": ("MalformedXML",),
            "DELETE": (NONE,),
        },
        "requestPayment": {"GET": (NONE,), "PUT": ("MalformedXML",)},
        "website": {"GET": ("NoSuchWebsiteConfiguration",), "PUT": ("MalformedXML",), "DELETE": (NONE,)},
        **{
            name: {"GET": (NONE,), "PUT": ("InvalidConfigurationId",), "DELETE": ("InvalidConfigurationId",)}
            for name in ("analytics", "inventory", "metrics", "intelligent-tiering")
        },
        "acl": {"GET": (NONE,), "PUT": ("MalformedACLError", "MalformedXML")},
        "cors": {"GET": ("NoSuchCORSConfiguration",), "PUT": ("MalformedXML",), "DELETE": (NONE,)},
        "delete": {"POST": ("MalformedXML",)},
        "lifecycle": {"GET": ("NoSuchLifecycleConfiguration",), "PUT": ("MalformedXML",), "DELETE": (NONE,)},
        "location": {"GET": (NONE,)},
        "ownershipControls": {
            "GET": (NONE, "OwnershipControlsNotFoundError"),
            "PUT": ("MalformedXML",),
            "DELETE": (NONE,),
        },
        **{
            name: {"GET": ("MetadataConfigurationNotFound",), **dict.fromkeys(("PUT", "POST", "DELETE"), REFUSED)}
            for name in ("metadataConfiguration", "metadataTable")
        },
        "policy": {"GET": ("NoSuchBucketPolicy",), "PUT": ("MalformedPolicy",), "DELETE": (NONE,)},
        "policyStatus": {"GET": ("NoSuchBucketPolicy",)},
        "publicAccessBlock": {
            "GET": (NONE, "NoSuchPublicAccessBlockConfiguration"),
            "PUT": ("MalformedXML",),
            "DELETE": (NONE,),
        },
        "tagging": {"GET": ("NoSuchTagSet",), "PUT": ("MalformedXML",), "DELETE": (NONE,)},
        "uploads": {"GET": (NONE,)},
        "versioning": {"GET": (NONE,), "PUT": ("MalformedXML",)},
        "versions": {"GET": (NONE,)},
    },
    "object": {
        "acl": {"GET": (NONE,), "PUT": ("MalformedACLError", "MalformedXML")},
        "retention": {"GET": ("InvalidRequest",), "PUT": ("InvalidRequest",)},
        "legal-hold": {"GET": ("InvalidRequest",), "PUT": ("InvalidRequest",)},
        "attributes": {"GET": ("InvalidArgument", "InvalidRequest")},
        "tagging": {"GET": (NONE,), "PUT": ("MalformedXML",), "DELETE": (NONE,)},
        "uploadId": {
            "GET": ("NoSuchUpload",),
            "PUT": ("InvalidArgument", "NoSuchUpload"),
            "POST": ("MalformedXML", "NoSuchUpload"),
            "DELETE": ("NoSuchUpload",),
        },
        "uploads": {"POST": (NONE,)},
    },
}
"""Place, sub-resource, method: the codes a request may get that has `BODY` as its document; NONE is success."""

DIGEST = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
HEADERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "x-amz-acl": ("public-read", ("AccessControlListNotSupported",)),
    "x-amz-bucket-object-lock-enabled": ("true", (NONE, *REFUSED)),
    "x-amz-bypass-governance-retention": ("true", (NONE,)),
    "x-amz-checksum-algorithm": ("SHA256", (NONE,)),
    "x-amz-checksum-crc32": ("AAAAAA==", ("BadDigest",)),
    "x-amz-checksum-crc32c": ("AAAAAA==", ("BadDigest",)),
    "x-amz-checksum-crc64nvme": ("AAAAAAAAAAA=", ("BadDigest",)),
    "x-amz-checksum-md5": ("AAAAAAAAAAAAAAAAAAAAAA==", ("BadDigest", "InvalidRequest", *REFUSED)),
    "x-amz-checksum-mode": ("ENABLED", (NONE,)),
    "x-amz-checksum-sha1": (base64.b64encode(bytes(20)).decode(), ("BadDigest",)),
    "x-amz-checksum-sha256": (DIGEST, (NONE,)),
    "x-amz-checksum-sha512": (base64.b64encode(bytes(64)).decode(), ("BadDigest", "InvalidRequest", *REFUSED)),
    "x-amz-checksum-type": ("FULL_OBJECT", (NONE,)),
    "x-amz-checksum-xxhash64": ("AAAAAAAAAAA=", ("BadDigest", "InvalidRequest", *REFUSED)),
    "x-amz-client-token": ("token", (NONE, *REFUSED)),
    "x-amz-confirm-remove-self-bucket-access": ("true", (NONE,)),
    "x-amz-copy-source": (f"/{BUCKET}/not-there", ("NoSuchKey",)),
    "x-amz-copy-source-if-match": ('"x"', (NONE, "InvalidArgument", "InvalidRequest")),
    "x-amz-copy-source-if-modified-since": ("Wed, 21 Oct 2015 07:28:00 GMT", (NONE, "InvalidArgument")),
    "x-amz-copy-source-if-none-match": ('"x"', (NONE, "InvalidArgument")),
    "x-amz-copy-source-if-unmodified-since": ("Wed, 21 Oct 2015 07:28:00 GMT", (NONE, "InvalidArgument")),
    "x-amz-copy-source-range": ("bytes=0-1", (NONE, "InvalidArgument")),
    "x-amz-copy-source-server-side-encryption-customer-algorithm": ("AES256", (NONE,)),
    "x-amz-copy-source-server-side-encryption-customer-key": (
        base64.b64encode(bytes(32)).decode(),
        (NONE, "InvalidArgument"),
    ),
    "x-amz-copy-source-server-side-encryption-customer-key-MD5": (
        base64.b64encode(bytes(16)).decode(),
        (NONE, "InvalidArgument"),
    ),
    "x-amz-create-session-mode": ("ReadOnly", (NONE, *REFUSED)),
    "x-amz-expected-bucket-owner": ("123456789012", (NONE, "AccessDenied")),
    "x-amz-grant-full-control": ("id=abc", ("AccessControlListNotSupported",)),
    "x-amz-grant-read": ("id=abc", ("AccessControlListNotSupported",)),
    "x-amz-grant-read-acp": ("id=abc", ("AccessControlListNotSupported",)),
    "x-amz-grant-write": ("id=abc", ("AccessControlListNotSupported",)),
    "x-amz-grant-write-acp": ("id=abc", ("AccessControlListNotSupported",)),
    "x-amz-if-match-initiated-time": ("Wed, 21 Oct 2015 07:28:00 GMT", (NONE, *REFUSED)),
    "x-amz-if-match-last-modified-time": ("Wed, 21 Oct 2015 07:28:00 GMT", (NONE, *REFUSED)),
    "x-amz-if-match-size": ("1", (NONE, *REFUSED)),
    "x-amz-max-parts": ("1", (NONE,)),
    "x-amz-meta-color": ("blue", (NONE,)),
    "x-amz-metadata-directive": ("COPY", (NONE, "InvalidArgument")),
    "x-amz-mfa": ("serial 123456", REFUSED),
    "x-amz-mp-object-size": ("1", (NONE,)),
    "x-amz-object-attributes": ("ETag", (NONE,)),
    "x-amz-object-lock-legal-hold": ("ON", ("InvalidRequest",)),
    "x-amz-object-lock-mode": ("GOVERNANCE", ("InvalidRequest",)),
    "x-amz-object-lock-retain-until-date": ("2035-01-01T00:00:00Z", ("InvalidRequest",)),
    "x-amz-object-ownership": ("BucketOwnerEnforced", (NONE, *REFUSED)),
    "x-amz-optional-object-attributes": ("RestoreStatus", (NONE, *REFUSED)),
    "x-amz-part-number-marker": ("1", (NONE,)),
    "x-amz-rename-source": (f"/{BUCKET}/{KEY}", REFUSED),
    "x-amz-request-payer": ("requester", (NONE,)),
    "x-amz-sdk-checksum-algorithm": ("SHA256", (NONE, "InvalidRequest")),
    "x-amz-security-token": (
        "token",
        (NONE, "InvalidToken", "ExpiredToken", "AccessDenied", "InvalidRequest", *REFUSED),
    ),
    "x-amz-server-side-encryption": ("AES256", (NONE, "InvalidArgument")),
    "x-amz-server-side-encryption-aws-kms-key-id": ("key", ("InvalidArgument",)),
    "x-amz-server-side-encryption-bucket-key-enabled": ("true", (NONE,)),
    "x-amz-server-side-encryption-context": ("e30=", ("InvalidArgument",)),
    "x-amz-server-side-encryption-customer-algorithm": ("AES256", (NONE, "InvalidArgument")),
    "x-amz-server-side-encryption-customer-key": (base64.b64encode(bytes(32)).decode(), (NONE, "InvalidArgument")),
    "x-amz-server-side-encryption-customer-key-MD5": (base64.b64encode(bytes(16)).decode(), (NONE, "InvalidArgument")),
    "x-amz-skip-destination-validation": ("true", (NONE, *REFUSED)),
    "x-amz-source-expected-bucket-owner": ("123456789012", (NONE, "AccessDenied")),
    "x-amz-storage-class": ("GLACIER", ("InvalidStorageClass", *REFUSED)),
    "x-amz-tagging": ("a=b", (NONE,)),
    "x-amz-tagging-directive": ("COPY", (NONE, "InvalidArgument")),
    "x-amz-transition-default-minimum-object-size": ("varies_by_storage_class", (NONE, *REFUSED)),
    "x-amz-website-redirect-location": ("/other", (NONE,)),
    "x-amz-write-offset-bytes": ("1", REFUSED),
}
"""Name: a value, and the codes a PUT of the object may get with it; NONE is success."""


@pytest.fixture(scope="module")
def kept(s3: Access) -> Iterator[Access]:
    """The endpoint, with a bucket that holds one object."""
    client = boto(s3)
    client.create_bucket(Bucket=BUCKET)
    store(s3)
    yield s3
    remove_bucket(client, BUCKET)


def store(access: Access) -> None:
    """Put the object there."""
    facts = {"Metadata": {"color": "red"}, "ContentType": "text/plain", "CacheControl": "no-cache"}
    boto(access).put_object(Bucket=BUCKET, Key=KEY, Body=KEPT, **facts)


def state(access: Access) -> tuple[Any, ...]:
    """The object with its metadata, and all keys of the bucket."""
    answer = call(access, "GET", PLACES["object"])
    volatile = ("date", "x-amz-request-id", "x-amz-id-2", "x-amz-tagging-count")
    facts = sorted((name.lower(), value) for name, value in answer.headers if name.lower() not in volatile)
    keys = [one["Key"] for one in boto(access).list_objects_v2(Bucket=BUCKET).get("Contents", ())]
    return answer.status, facts, answer.body, keys


@pytest.fixture(scope="module")
def states() -> list[tuple[Any, ...]]:
    """How the last test left the object and the bucket; nothing when it stored another one."""
    return []


@pytest.fixture
def touched(states: list[tuple[Any, ...]]) -> Iterator[None]:
    """The test stores the object anew."""
    yield
    states.clear()


@pytest.fixture
def untouched(kept: Access, states: list[tuple[Any, ...]]) -> Iterator[None]:
    """After the test the object and the keys of the bucket are what they were."""
    before = states.pop() if states else state(kept)
    yield
    after = state(kept)
    if after != before:
        store(kept)  # one failure is enough
    else:
        states.append(after)
    assert after == before


def expected(place: str, name: str, method: str) -> tuple[str, ...]:
    """The codes a request for a sub-resource may get."""
    served = SERVED[place].get(name)
    if served is None:
        return REFUSED
    return served.get(method, ("MethodNotAllowed",))


def ask(access: Access, method: str, path: str, query: str = "", **headers: str) -> Answer:
    """A right request whose body, if it has one, is no document."""
    body = BODY if method in ("PUT", "POST") else b""
    if body:
        headers = {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode(), **headers}
    return call(access, method, path, query, headers=headers, body=body)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [*SUB_RESOURCES, "foo", "Tagging", "y-idx"])
@pytest.mark.parametrize("place", PLACES)
def test_sub_resource(kept: Access, place: str, name: str, method: str) -> None:
    """A sub-resource is served or refused, an unknown one is not implemented, and none falls through to the object."""
    answer = ask(kept, method, PLACES[place], f"{name}=x" if name == "uploadId" else f"{name}=")
    if (place, name, method) == ("bucket", "ownershipControls", "DELETE"):
        enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        boto(kept).put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls=enforced)
    if method == "HEAD":
        assert answer.status in (405, 501)
        return
    assert code(answer) in expected(place, name, method), answer
    assert (answer.status < 300) == (code(answer) == NONE)
    if "NotImplemented" in code(answer):
        assert answer.status == 501


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("query", ["tagging", "tagging&foo=", "foo=bar", "acl&tagging", "uploads&uploadId=x"])
def test_put_with_a_query_never_stores_its_body(kept: Access, query: str) -> None:
    """A PUT with a query that is not the object's own is no PUT of the object."""
    answer = ask(kept, "PUT", PLACES["object"], query)
    assert 400 <= answer.status <= 501


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_sub_resource_without_equals_sign(kept: Access, method: str) -> None:
    """`?torrent` and `?torrent=` are the same."""
    request = Request(method, PLACES["object"], "torrent", body=BODY if method == "PUT" else b"")
    sign(request, kept)
    answer = s3raw.send(kept, request)
    assert (code(answer), answer.status) == ("NotImplemented", 501)


@pytest.mark.usefixtures("touched")
@pytest.mark.parametrize("name", HEADERS)
def test_header_on_put(kept: Access, name: str) -> None:
    """A header is honoured and the new bytes stored, or the PUT is refused and the object stays."""
    value, allowed = HEADERS[name]
    before = state(kept)
    answer = ask(kept, "PUT", PLACES["object"], **{name: value})
    after = state(kept)
    store(kept)
    assert code(answer) in allowed, answer
    if code(answer):
        assert 400 <= answer.status < 500 or (code(answer), answer.status) == ("NotImplemented", 501)
        assert after == before
    else:
        assert (answer.status, after[2], after[3]) == (200, BODY, [KEY])


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("place", PLACES)
def test_header_on_get(kept: Access, place: str, name: str) -> None:
    """A header on a read changes nothing, and is honoured, ignored or refused; never an internal error."""
    answer = ask(kept, "GET", PLACES[place], **{name: HEADERS[name][0]})
    assert answer.status in (200, 400, 403, 501), answer
    assert (answer.status == 200) == (code(answer) == NONE)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", [name for name, (_, allowed) in HEADERS.items() if allowed == REFUSED])
def test_header_refused_before_the_body(kept: Access, name: str) -> None:
    """What is not implemented is refused while the client still waits for `100 Continue`."""
    request = Request("PUT", PLACES["object"], headers={name: HEADERS[name][0], "Expect": "100-continue"})
    request.headers["Content-Length"] = str(1 << 20)
    sign(request, kept, payload=s3raw.UNSIGNED)
    with RawConnection(kept.url) as connection:
        connection.send_head("PUT", request.path, [(k, v) for k, v in request.headers.items() if k != "Host"])
        answer = connection.answer()
    assert (code(answer), answer.status) == ("NotImplemented", 501)


def test_every_answer_has_request_ids(kept: Access) -> None:
    """Answers of success and of failure carry `x-amz-request-id` and `x-amz-id-2`."""
    for method, path in (("GET", "/"), ("GET", f"/{BUCKET}"), ("HEAD", f"/{BUCKET}/{KEY}"), ("GET", "/no-bucket/k")):
        answer = call(kept, method, path)
        assert answer.header("x-amz-request-id"), answer
        assert answer.header("x-amz-id-2"), answer


@pytest.mark.usefixtures("touched")
def test_canned_acl_of_the_owner(kept: Access) -> None:
    """The one canned ACL that a bucket with enforced ownership takes is taken, and shown for bucket and object."""
    assert ask(kept, "PUT", PLACES["object"], **{"x-amz-acl": "bucket-owner-full-control"}).status == 200
    store(kept)
    for answer in (ask(kept, "GET", path, "acl=") for path in PLACES.values()):
        assert answer.status == 200
        assert answer.body.count(b"<Grant>") == 1
        assert b"<Permission>FULL_CONTROL</Permission>" in answer.body


CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "tagging": ("bucket_tagging", {"Tagging": {"TagSet": [{"Key": "team", "Value": "a b"}]}}),
    "cors": (
        "bucket_cors",
        {"CORSConfiguration": {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example"]}]}},
    ),
    "lifecycle": (
        "bucket_lifecycle_configuration",
        {
            "LifecycleConfiguration": {
                "Rules": [
                    {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}},
                    {
                        "ID": "u",
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                    },
                ]
            }
        },
    ),
    "publicAccessBlock": (
        "public_access_block",
        {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            }
        },
    ),
    "ownershipControls": (
        "bucket_ownership_controls",
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
    ),
    "versioning": ("bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration_reads_as_written(s3: Access, s3_bucket: str, name: str) -> None:
    """What boto3 puts as a bucket's configuration it gets back."""
    call_name, document = CONFIGURATIONS[name]
    client = boto(s3)
    getattr(client, f"put_{call_name}")(Bucket=s3_bucket, **document)
    (content,) = document.values()
    answer = getattr(client, f"get_{call_name}")(Bucket=s3_bucket)
    shown = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    assert content in (shown, *shown.values()) or content.items() <= shown.items()


def test_policy_reads_as_written(s3: Access, s3_bucket: str) -> None:
    """A bucket policy comes back as the bytes it was put as."""
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",'
        f' "Resource": "arn:aws:s3:::{s3_bucket}/open/*"}}]}}'
    )
    client = boto(s3)
    client.put_object(Bucket=s3_bucket, Key="open/o", Body=b"for all")
    client.put_object(Bucket=s3_bucket, Key="closed/o", Body=b"for me")
    client.put_bucket_policy(Bucket=s3_bucket, Policy=policy)
    assert client.get_bucket_policy(Bucket=s3_bucket)["Policy"] == policy
    assert client.get_bucket_policy_status(Bucket=s3_bucket)["PolicyStatus"]["IsPublic"]
    assert s3raw.send(s3, Request("GET", f"/{s3_bucket}/open/o")).body == b"for all"
    assert s3raw.send(s3, Request("GET", f"/{s3_bucket}/closed/o")).status == 403
