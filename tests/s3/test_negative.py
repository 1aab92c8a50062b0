"""Requests that must be refused: the exact S3 code and status, and the object they aimed at as it was.

Source of codes and statuses: Amazon S3 API reference, "Error responses".
"""

import base64
import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from harness import s3raw
from harness.s3access import Access, boto, new_access, remove_bucket
from harness.s3raw import STREAMING, STREAMING_TRAILER, STREAMING_UNSIGNED, Request, call, code, presign, send, sign
from harness.wire import Answer, Api, RawConnection

from ais.testing import Cluster

BUCKET = "negative"
KEY = "dir/kept"
PATH = f"/{BUCKET}/{KEY}"
KEPT = bytes(range(256)) * 100
BODY = b"what must not be stored" * 1000
PIECES = (BODY[:8192], BODY[8192:16384], BODY[16384:])
MINUTE_S = 60


@pytest.fixture(scope="module")
def kept(s3: Access) -> Iterator[Access]:
    """The endpoint, with an object that no refused request may change."""
    client = boto(s3)
    client.create_bucket(Bucket=BUCKET)
    store(s3)
    yield s3
    remove_bucket(client, BUCKET)


def store(access: Access) -> None:
    """Put the object there."""
    facts = {"Metadata": {"color": "red"}, "ContentType": "text/plain", "Tagging": "a=1"}
    boto(access).put_object(Bucket=BUCKET, Key=KEY, Body=KEPT, **facts)


@pytest.fixture
def unchanged(kept: Access) -> Iterator[None]:
    """After the test the bucket holds what it held before: no other key, no other upload, the same object."""
    before = state(kept)
    yield
    after = state(kept)
    if after != before:
        store(kept)  # one failure is enough
    assert after == before


@pytest.fixture
def upload(kept: Access) -> Iterator[str]:
    """The ID of an upload of the same key with two small parts, aborted afterwards."""
    client = boto(kept)
    upload_id = client.create_multipart_upload(Bucket=BUCKET, Key=KEY)["UploadId"]
    for number in (1, 2):
        client.upload_part(Bucket=BUCKET, Key=KEY, UploadId=upload_id, PartNumber=number, Body=BODY)
    yield upload_id
    client.abort_multipart_upload(Bucket=BUCKET, Key=KEY, UploadId=upload_id)


def part_etags(access: Access, upload: str) -> dict[int, str]:
    """The parts an upload has."""
    parts = boto(access).list_parts(Bucket=BUCKET, Key=KEY, UploadId=upload)["Parts"]
    return {part["PartNumber"]: part["ETag"] for part in parts}


def complete(access: Access, upload: str, parts: list[tuple[int, str]], path: str = PATH) -> Answer:
    """Complete an upload from `(number, ETag)`."""
    listed = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    return call(access, "POST", path, f"uploadId={upload}", body=body)


def state(access: Access) -> dict[str, object]:
    """All there is to see of the bucket and its object."""
    client = boto(access)
    shown = ("ETag", "LastModified", "ContentType", "Metadata", "ContentLength", "VersionId")
    try:
        found = client.get_object(Bucket=BUCKET, Key=KEY)
        there = {name: found.get(name) for name in shown} | {"is whole": found["Body"].read() == KEPT}
        there["tags"] = client.get_object_tagging(Bucket=BUCKET, Key=KEY)["TagSet"]
    except client.exceptions.NoSuchKey:
        there = {}
    return {
        "keys": [one["Key"] for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())],
        "uploads": [one["UploadId"] for one in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())],
        **there,
    }


class Case(NamedTuple):
    """A request to send, and what it must be answered."""

    build: Callable[[Access], Request]
    code: str
    status: int


CASES: list[Case] = []


def refused(expected_code: str, status: int) -> Callable[[Callable[[Access], Request]], Callable[[Access], Request]]:
    """Add the request a function builds to the table."""

    def add(build: Callable[[Access], Request]) -> Callable[[Access], Request]:
        CASES.append(Case(build, expected_code, status))
        return build

    return add


def put(path: str = PATH, query: str = "", body: bytes = BODY, **headers: str) -> Request:
    """An unsigned PUT; `_` in header names stands for `-`."""
    return Request("PUT", path, query, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def signed(access: Access, request: Request) -> Request:
    """The request with a right signature."""
    sign(request, access)
    return request


def presigned(access: Access, method: str = "GET", **options: float) -> Request:
    """A right presigned request for the object."""
    request = Request(method, PATH, body=BODY if method == "PUT" else b"")
    presign(request, access, **options)
    return request


def streamed(access: Access, *, length: int | None = len(BODY), pieces: tuple[bytes, ...] = PIECES) -> Request:
    """A signed body in signed chunks, without trailer. The chunks are in the body, one after the other."""
    headers = {"Content-Encoding": "aws-chunked"}
    if length is not None:
        headers["x-amz-decoded-content-length"] = str(length)
    request = Request("PUT", PATH, headers=headers)
    seal = sign(request, access, payload=STREAMING)
    request.body = b"".join(s3raw.signed_chunks(seal, pieces))
    return request


def with_trailer(access: Access, payload: str, trailer: str, *, announced: str = "x-amz-checksum-sha256") -> Request:
    """A body in chunks with a trailer `name:value`."""
    headers = {
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(BODY)),
        "x-amz-trailer": announced,
    }
    request = Request("PUT", PATH, headers=headers)
    seal = sign(request, access, payload=payload)
    if payload == STREAMING_TRAILER:
        chunks = s3raw.signed_chunks(seal, PIECES, trailer)
    else:
        chunks = s3raw.unsigned_chunks(PIECES, trailer)
    request.body = b"".join(chunks)
    return request


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


RIGHT_TRAILER = f"x-amz-checksum-sha256:{b64(hashlib.sha256(BODY).digest())}"
WRONG_TRAILER = f"x-amz-checksum-sha256:{b64(hashlib.sha256(KEPT).digest())}"


# Who asks


@refused("InvalidAccessKeyId", 403)
def wrong_key(access: Access) -> Request:
    return signed(dataclasses.replace(access, key_id="AKIANOSUCHKEY0000000"), put())


@refused("SignatureDoesNotMatch", 403)
def wrong_secret(access: Access) -> Request:
    return signed(dataclasses.replace(access, secret=access.secret[::-1]), put())


@refused("AccessDenied", 403)
def unsigned(access: Access) -> Request:
    return put()


@refused("SignatureDoesNotMatch", 403)
def wrong_signature_version_2(access: Access) -> Request:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    return put(Authorization=f"AWS {access.key_id}:{b64(bytes(20))}", Date=date)


@refused("RequestTimeTooSkewed", 403)
def old_signature_version_2(access: Access) -> Request:
    return put(Authorization=f"AWS {access.key_id}:{b64(bytes(20))}", Date="Wed, 21 Oct 2015 07:28:00 GMT")


@refused("AccessDenied", 403)
def signature_version_2_without_a_date(access: Access) -> Request:
    return put(Authorization=f"AWS {access.key_id}:{b64(bytes(20))}")


@refused("InvalidArgument", 400)
def broken_signature_version_2(access: Access) -> Request:
    return put(Authorization=f"AWS {access.key_id}")


@refused("AccessDenied", 403)
def expired_signature_version_2(access: Access) -> Request:
    return put(query=f"AWSAccessKeyId={access.key_id}&Signature=x&Expires=1")


@refused("SignatureDoesNotMatch", 403)
def wrong_presigned_version_2(access: Access) -> Request:
    return put(query=f"AWSAccessKeyId={access.key_id}&Signature=x&Expires={int(time.time()) + MINUTE_S}")


@refused("AuthorizationHeaderMalformed", 400)
def broken_credential(access: Access) -> Request:
    request = signed(access, put())
    request.headers["Authorization"] = request.headers["Authorization"].replace("/s3/", "/")
    return request


@refused("AuthorizationHeaderMalformed", 400)
def authorization_without_signature(access: Access) -> Request:
    request = signed(access, put())
    request.headers["Authorization"] = request.headers["Authorization"].partition(", Signature=")[0]
    return request


@refused("MissingSecurityHeader", 400)
def without_payload_hash(access: Access) -> Request:
    request = signed(access, put())
    del request.headers["x-amz-content-sha256"]
    return request


# What was changed after signing


@refused("SignatureDoesNotMatch", 403)
def changed_header(access: Access) -> Request:
    request = signed(access, put(x_amz_meta_color="red"))
    request.headers["x-amz-meta-color"] = "blue"
    return request


@refused("AccessDenied", 403)
def added_header(access: Access) -> Request:
    request = signed(access, put())
    request.headers["x-amz-meta-color"] = "blue"
    return request


@refused("AccessDenied", 403)
def dropped_header(access: Access) -> Request:
    request = signed(access, put(x_amz_meta_color="red"))
    del request.headers["x-amz-meta-color"]
    return request


@refused("SignatureDoesNotMatch", 403)
def changed_host(access: Access) -> Request:
    request = signed(access, put())
    request.headers["Host"] = f"other.{access.host}"
    return request


@refused("SignatureDoesNotMatch", 403)
def changed_query(access: Access) -> Request:
    request = signed(access, Request("DELETE", PATH, "x-id=DeleteObject"))
    request.query = "x-id=GetObject"
    return request


@refused("SignatureDoesNotMatch", 403)
def added_query(access: Access) -> Request:
    request = signed(access, put(body=b"<Tagging><TagSet/></Tagging>"))
    request.query = "tagging"
    return request


@refused("SignatureDoesNotMatch", 403)
def changed_path(access: Access) -> Request:
    request = signed(access, put(f"{PATH}.other"))
    request.path = PATH
    return request


@refused("SignatureDoesNotMatch", 403)
def changed_method(access: Access) -> Request:
    request = signed(access, Request("GET", PATH))
    request.method = "DELETE"
    return request


@refused("XAmzContentSHA256Mismatch", 400)
def changed_body(access: Access) -> Request:
    request = signed(access, put())
    request.body = BODY[::-1]
    return request


@refused("InvalidArgument", 400)
def nonsense_as_payload_hash(access: Access) -> Request:
    request = put()
    sign(request, access, payload="nonsense")
    return request


# When


@refused("RequestTimeTooSkewed", 403)
def clock_behind(access: Access) -> Request:
    request = put()
    sign(request, access, time_s=time.time() - 16 * MINUTE_S)
    return request


@refused("RequestTimeTooSkewed", 403)
def clock_ahead(access: Access) -> Request:
    request = put()
    sign(request, access, time_s=time.time() + 16 * MINUTE_S)
    return request


@refused("AccessDenied", 403)
def expired_presign(access: Access) -> Request:
    return presigned(access, "PUT", expires_s=10, time_s=time.time() - MINUTE_S)


@refused("AccessDenied", 403)
def presigned_for_later(access: Access) -> Request:
    return presigned(access, "PUT", time_s=time.time() + 16 * MINUTE_S)


@refused("AuthorizationQueryParametersError", 400)
def presigned_for_eight_days(access: Access) -> Request:
    return presigned(access, "PUT", expires_s=8 * 24 * 3600)


@refused("SignatureDoesNotMatch", 403)
def presigned_with_more_time(access: Access) -> Request:
    request = presigned(access, "PUT", expires_s=600)
    request.query = request.query.replace("X-Amz-Expires=600", "X-Amz-Expires=6000")
    return request


@refused("SignatureDoesNotMatch", 403)
def presigned_get_sent_as_delete(access: Access) -> Request:
    request = presigned(access)
    request.method = "DELETE"
    return request


@refused("AuthorizationQueryParametersError", 400)
def presigned_without_date(access: Access) -> Request:
    request = presigned(access, "PUT")
    request.query = "&".join(part for part in request.query.split("&") if not part.startswith("X-Amz-Date"))
    return request


@refused("InvalidArgument", 400)
def signed_and_presigned(access: Access) -> Request:
    return signed(access, presigned(access, "PUT"))


# Bodies in chunks


@refused("IncompleteBody", 400)
def truncated_chunk(access: Access) -> Request:
    request = streamed(access)
    request.body = request.body[:-1000]
    return request


@refused("IncompleteBody", 400)
def missing_last_chunk(access: Access) -> Request:
    request = streamed(access)
    request.body = request.body[: request.body.rindex(b"0;chunk-signature")]
    return request


@refused("SignatureDoesNotMatch", 403)
def wrong_chunk_signature(access: Access) -> Request:
    request = streamed(access)
    place = request.body.rindex(b"chunk-signature=", 0, len(request.body) - 100) + len("chunk-signature=")
    request.body = request.body[:place] + b"0" * 64 + request.body[place + 64 :]
    return request


@refused("SignatureDoesNotMatch", 403)
def changed_chunk_data(access: Access) -> Request:
    request = streamed(access)
    request.body = request.body.replace(b"must not", b"must now", 1)
    return request


@refused("SignatureDoesNotMatch", 403)
def replayed_chunk(access: Access) -> Request:
    repeated = (PIECES[0], *PIECES)
    request = streamed(access, length=len(b"".join(repeated)))
    end = request.body.index(b"\r\n", 100 + len(PIECES[0])) + 2
    request.body = request.body[:end] + request.body
    return request


@refused("SignatureDoesNotMatch", 403)
def swapped_chunks(access: Access) -> Request:
    request = streamed(access, pieces=(PIECES[0], PIECES[1]), length=2 * 8192)
    size = request.body.index(PIECES[0]) + 8192 + 2
    request.body = request.body[size : 2 * size] + request.body[:size] + request.body[2 * size :]
    return request


@refused("SignatureDoesNotMatch", 403)
def chunks_without_signatures(access: Access) -> Request:
    request = streamed(access)
    request.body = b"".join(s3raw.unsigned_chunks(PIECES, "")).replace(b"0\r\n\r\n\r\n", b"0\r\n\r\n")
    return request


@refused("MissingContentLength", 411)
def missing_decoded_length(access: Access) -> Request:
    return streamed(access, length=None)


@refused("IncompleteBody", 400)
def decoded_length_too_long(access: Access) -> Request:
    return streamed(access, length=len(BODY) + 1)


@refused("IncompleteBody", 400)
def decoded_length_too_short(access: Access) -> Request:
    return streamed(access, length=len(BODY) - 1)


@refused("BadDigest", 400)
def wrong_trailer_of_an_unsigned_body(access: Access) -> Request:
    return with_trailer(access, STREAMING_UNSIGNED, WRONG_TRAILER)


@refused("BadDigest", 400)
def wrong_trailer_rightly_signed(access: Access) -> Request:
    return with_trailer(access, STREAMING_TRAILER, WRONG_TRAILER)


@refused("SignatureDoesNotMatch", 403)
def trailer_changed_after_signing(access: Access) -> Request:
    request = with_trailer(access, STREAMING_TRAILER, WRONG_TRAILER)
    request.body = request.body.replace(WRONG_TRAILER.encode(), RIGHT_TRAILER.encode())
    return request


@refused("MalformedTrailerError", 400)
def announced_trailer_missing(access: Access) -> Request:
    request = with_trailer(access, STREAMING_UNSIGNED, RIGHT_TRAILER)
    request.body = request.body.replace(RIGHT_TRAILER.encode() + b"\r\n", b"")
    return request


@refused("MalformedTrailerError", 400)
def trailer_without_a_colon(access: Access) -> Request:
    return with_trailer(access, STREAMING_UNSIGNED, RIGHT_TRAILER.replace(":", " "))


@refused("MalformedTrailerError", 400)
def another_trailer_than_announced(access: Access) -> Request:
    return with_trailer(access, STREAMING_UNSIGNED, RIGHT_TRAILER, announced="x-amz-checksum-sha1")


# Digests


@refused("BadDigest", 400)
def wrong_content_md5(access: Access) -> Request:
    return signed(access, put(Content_MD5=b64(hashlib.md5(KEPT).digest())))


@refused("InvalidDigest", 400)
def malformed_content_md5(access: Access) -> Request:
    return signed(access, put(Content_MD5="nonsense"))


@refused("BadDigest", 400)
def wrong_checksum(access: Access) -> Request:
    return signed(access, put(x_amz_checksum_sha1=b64(hashlib.sha1(KEPT).digest())))


@refused("InvalidRequest", 400)
def malformed_checksum(access: Access) -> Request:
    return signed(access, put(x_amz_checksum_crc32="nonsense"))


@refused("InvalidRequest", 400)
def two_checksums(access: Access) -> Request:
    sha1, sha256 = hashlib.sha1(BODY).digest(), hashlib.sha256(BODY).digest()
    return signed(access, put(x_amz_checksum_sha1=b64(sha1), x_amz_checksum_sha256=b64(sha256)))


@refused("InvalidRequest", 400)
def another_checksum_than_named(access: Access) -> Request:
    digest = b64(hashlib.sha1(BODY).digest())
    return signed(access, put(x_amz_checksum_sha1=digest, x_amz_sdk_checksum_algorithm="SHA256"))


# What is asked for


@refused("MetadataTooLarge", 400)
def oversize_metadata(access: Access) -> Request:
    return signed(access, put(x_amz_meta_a="x" * 1500, x_amz_meta_b="y" * 600))


@refused("KeyTooLongError", 400)
def oversize_key(access: Access) -> Request:
    return signed(access, put(f"/{BUCKET}/{'k' * 1025}"))


@refused("NoSuchBucket", 404)
def bucket_that_is_not_there(access: Access) -> Request:
    return signed(access, put(f"/{BUCKET}-not-there/{KEY}"))


@refused("NoSuchKey", 404)
def key_that_is_not_there(access: Access) -> Request:
    return signed(access, Request("GET", f"{PATH}.not-there"))


@refused("InvalidBucketName", 400)
def bucket_name_in_capitals(access: Access) -> Request:
    return signed(access, put("/Negative_Bucket", body=b""))


@refused("BucketAlreadyOwnedByYou", 409)
def bucket_that_is_there(access: Access) -> Request:
    location = (
        b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
    )
    return signed(access, put(f"/{BUCKET}", body=location))


@refused("BucketNotEmpty", 409)
def deletion_of_a_bucket_with_objects(access: Access) -> Request:
    return signed(access, Request("DELETE", f"/{BUCKET}"))


@refused("InvalidRange", 416)
def range_behind_the_end(access: Access) -> Request:
    return signed(access, Request("GET", PATH, headers={"Range": f"bytes={len(KEPT)}-"}))


@refused("PreconditionFailed", 412)
def put_if_nothing_is_there(access: Access) -> Request:
    return signed(access, put(If_None_Match="*"))


@refused("PreconditionFailed", 412)
def put_if_something_else_is_there(access: Access) -> Request:
    return signed(access, put(If_Match='"d41d8cd98f00b204e9800998ecf8427e"'))


@refused("InvalidRequest", 400)
def copy_onto_itself(access: Access) -> Request:
    return signed(access, put(body=b"", x_amz_copy_source=PATH))


@refused("NoSuchKey", 404)
def copy_of_nothing(access: Access) -> Request:
    return signed(access, put(body=b"", x_amz_copy_source=f"{PATH}.not-there"))


@refused("NoSuchBucket", 404)
def copy_out_of_nowhere(access: Access) -> Request:
    return signed(access, put(body=b"", x_amz_copy_source=f"/{BUCKET}-not-there/{KEY}"))


@refused("InvalidArgument", 400)
def copy_of_a_bucket(access: Access) -> Request:
    return signed(access, put(body=b"", x_amz_copy_source=f"/{BUCKET}"))


@refused("InvalidArgument", 400)
def copy_with_an_unknown_directive(access: Access) -> Request:
    return signed(access, put(body=b"", x_amz_copy_source=PATH, x_amz_metadata_directive="FORGET"))


@refused("InvalidArgument", 400)
def malformed_tagging_header(access: Access) -> Request:
    return signed(access, put(x_amz_tagging="a=1&a=2"))


@refused("InvalidArgument", 400)
def max_keys_below_zero(access: Access) -> Request:
    return signed(access, Request("GET", f"/{BUCKET}", "list-type=2&max-keys=-1"))


@refused("InvalidArgument", 400)
def unknown_encoding_type(access: Access) -> Request:
    return signed(access, Request("GET", f"/{BUCKET}", "list-type=2&encoding-type=base64"))


@refused("InvalidArgument", 400)
def made_up_continuation_token(access: Access) -> Request:
    return signed(access, Request("GET", f"/{BUCKET}", "list-type=2&continuation-token=made-up%21"))


# Which version, and of whom

NOT_VERSIONS = ("", "made-up", "0" * 31, "%00")


def _add_versions() -> None:
    """Each operation that names a version, with what cannot be one."""
    for method, query in (("DELETE", ""), ("GET", ""), ("PUT", "tagging&"), ("DELETE", "tagging&"), ("GET", "acl&")):
        for text in NOT_VERSIONS:

            def build(access: Access, method: str = method, query: str = f"{query}versionId={text}") -> Request:
                body = b"<Tagging><TagSet/></Tagging>" if method == "PUT" else b""
                return signed(access, Request(method, PATH, query, body=body))

            build.__name__ = f"{method}?{query}versionId={text}"
            CASES.append(Case(build, "InvalidArgument", 400))


_add_versions()


@refused("InvalidArgument", 400)
def copy_of_the_empty_version(access: Access) -> Request:
    return signed(access, put(f"{PATH}.copy", body=b"", x_amz_copy_source=f"{PATH}?versionId="))


@refused("AccessDenied", 403)
def copy_from_anothers_bucket(access: Access) -> Request:
    headers = {"x_amz_copy_source": PATH, "x_amz_source_expected_bucket_owner": "bob"}
    return signed(access, put(f"{PATH}.copy", body=b"", **headers))


@refused("PreconditionFailed", 412)
def deletion_of_another_size(access: Access) -> Request:
    return signed(access, Request("DELETE", PATH, headers={"x-amz-if-match-size": str(len(KEPT) + 1)}))


@refused("PreconditionFailed", 412)
def deletion_of_another_time(access: Access) -> Request:
    headers = {"x-amz-if-match-last-modified-time": "Wed, 21 Oct 2015 07:28:00 GMT"}
    return signed(access, Request("DELETE", PATH, headers=headers))


@refused("InvalidArgument", 400)
def deletion_of_no_size(access: Access) -> Request:
    return signed(access, Request("DELETE", PATH, headers={"x-amz-if-match-size": "big"}))


@refused("InvalidArgument", 400)
def deletion_of_no_time(access: Access) -> Request:
    return signed(access, Request("DELETE", PATH, headers={"x-amz-if-match-last-modified-time": "yesterday"}))


# XML bodies

LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY l0 "lol">'
    + b"".join(b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10) for level in range(1, 10))
    + b"]>"
)
OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE t [<!ENTITY outside SYSTEM "file:///etc/passwd">]>'
XML_BODIES = {
    "malformed": b"<Tagging><TagSet><Tag>",
    "empty": b"",
    "not XML": b"\x00\xff",
    "another document": b"<Other/>",
    "billion laughs": LAUGHS + b"<Tagging><TagSet><Tag><Key>&l9;</Key><Value>v</Value></Tag></TagSet></Tagging>",
    "outside entity": OUTSIDE + b"<Tagging><TagSet><Tag><Key>k</Key><Value>&outside;</Value></Tag></TagSet></Tagging>",
}
XML_TARGETS = {
    "object tagging": ("PUT", PATH, "tagging="),
    "bucket tagging": ("PUT", f"/{BUCKET}", "tagging="),
    "lifecycle": ("PUT", f"/{BUCKET}", "lifecycle="),
    "cors": ("PUT", f"/{BUCKET}", "cors="),
    "versioning": ("PUT", f"/{BUCKET}", "versioning="),
    "delete": ("POST", f"/{BUCKET}", "delete="),
    "complete": ("POST", PATH, "uploadId={upload}"),
}


PARTS = {
    "wrong ETag": ([(1, "d41d8cd98f00b204e9800998ecf8427e")], "InvalidPart"),
    "part that was not uploaded": ([(1, ""), (3, "d41d8cd98f00b204e9800998ecf8427e")], "InvalidPart"),
    "wrong order": ([(2, ""), (1, "")], "InvalidPartOrder"),
    "a part twice": ([(1, ""), (1, "")], "InvalidPartOrder"),
    "small part before the last": ([(1, ""), (2, "")], "EntityTooSmall"),
    "no part": ([], "MalformedXML"),
}


def test_right_requests_are_taken(kept: Access) -> None:
    """The same requests, unbroken, store their bytes: what is refused below is refused for what was broken."""
    right = (
        signed(kept, put()),
        presigned(kept, "PUT"),
        streamed(kept),
        with_trailer(kept, STREAMING_TRAILER, RIGHT_TRAILER),
        with_trailer(kept, STREAMING_UNSIGNED, RIGHT_TRAILER),
    )
    try:
        for request in right:
            store(kept)
            answer = send(kept, request)
            assert (answer.status, code(answer)) == (200, ""), request
            assert call(kept, "GET", PATH).body == BODY
    finally:
        store(kept)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("case", CASES, ids=[case.build.__name__ for case in CASES])
def test_refused(kept: Access, case: Case) -> None:
    """A wrong request is answered with its code and status."""
    answer = send(kept, case.build(kept))
    assert (code(answer), answer.status) == (case.code, case.status), answer


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("target", XML_TARGETS)
@pytest.mark.parametrize("body", XML_BODIES)
def test_xml_refused(kept: Access, upload: str, target: str, body: str) -> None:
    """No document that is not exactly the one asked for is taken, and no entity is ever expanded."""
    method, path, query = XML_TARGETS[target]
    data = XML_BODIES[body]
    headers = {"Content-MD5": b64(hashlib.md5(data).digest())}
    answer = call(kept, method, path, query.format(upload=upload), headers=headers, body=data)
    assert answer.status == 400
    assert code(answer) in ({"MalformedXML"} if data else {"MalformedXML", "MissingRequestBodyError"})


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("parts", PARTS)
def test_complete_refused(kept: Access, upload: str, parts: str) -> None:
    """An upload is not completed from parts that are wrong, missing, out of order or too small; it stays as it was."""
    uploaded = part_etags(kept, upload)
    listed, expected = PARTS[parts]
    answer = complete(kept, upload, [(number, etag or uploaded[number]) for number, etag in listed])
    assert (code(answer), answer.status) == (expected, 400)
    assert part_etags(kept, upload) == uploaded


@pytest.mark.usefixtures("unchanged")
def test_complete_of_an_unknown_upload(kept: Access, upload: str) -> None:
    """A made-up upload ID, and one of another key, are no upload."""
    etag = part_etags(kept, upload)[1]
    assert complete(kept, "made-up", [(1, etag)]).status == 404
    answer = complete(kept, upload, [(1, etag)], path=f"/{BUCKET}/another")
    assert (code(answer), answer.status) == ("NoSuchUpload", 404)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", ""])
def test_part_number_refused(kept: Access, upload: str, number: str) -> None:
    """Parts are numbered from 1 to 10,000."""
    uploaded = part_etags(kept, upload)
    answer = call(kept, "PUT", PATH, f"partNumber={number}&uploadId={upload}", body=BODY)
    assert (code(answer), answer.status) == ("InvalidArgument", 400)
    assert part_etags(kept, upload) == uploaded


@pytest.mark.usefixtures("unchanged")
def test_part_with_a_wrong_digest(kept: Access, upload: str) -> None:
    """A part whose bytes are not those claimed does not replace the part that is there."""
    uploaded = part_etags(kept, upload)
    headers = {"Content-MD5": b64(hashlib.md5(KEPT).digest())}
    answer = call(kept, "PUT", PATH, f"partNumber=1&uploadId={upload}", headers=headers, body=BODY)
    assert (code(answer), answer.status) == ("BadDigest", 400)
    assert part_etags(kept, upload) == uploaded


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([("k", "1"), ("k", "2")], {"InvalidTag"}),
        ([("k" * 129, "v")], {"InvalidTag"}),
        ([("k", "v" * 257)], {"InvalidTag"}),
        ([(f"k{number}", "v") for number in range(11)], {"BadRequest"}),
    ],
    ids=["a key twice", "long key", "long value", "eleven"],
)
def test_tags_refused(kept: Access, tags: list[tuple[str, str]], expected: set[str]) -> None:
    """An object has at most ten tags, with different keys of 128 and values of 256 characters."""
    body = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags)
    answer = call(kept, "PUT", PATH, "tagging=", body=f"<Tagging><TagSet>{body}</TagSet></Tagging>".encode())
    assert answer.status == 400
    assert code(answer) in expected


@pytest.mark.usefixtures("unchanged")
def test_deletion_of_too_many(kept: Access) -> None:
    """A multi-object delete names at most 1,000 keys; one more and none is deleted."""
    others = "".join(f"<Object><Key>k{number}</Key></Object>" for number in range(1000))
    body = f"<Delete><Object><Key>{KEY}</Key></Object>{others}</Delete>".encode()
    headers = {"Content-MD5": b64(hashlib.md5(body).digest())}
    answer = call(kept, "POST", f"/{BUCKET}", "delete=", headers=headers, body=body)
    assert (code(answer), answer.status) == ("MalformedXML", 400)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("<VersionId></VersionId>", "InvalidArgument"),
        ("<VersionId>made-up</VersionId>", "InvalidArgument"),
        ("<ETag>made-up</ETag>", "PreconditionFailed"),
        ("<ETag></ETag>", "PreconditionFailed"),
        ("<Size>1</Size>", "PreconditionFailed"),
        ("<Size></Size>", "InvalidArgument"),
        ("<LastModifiedTime>Wed, 21 Oct 2015 07:28:00 GMT</LastModifiedTime>", "PreconditionFailed"),
        ("<LastModifiedTime>yesterday</LastModifiedTime>", "InvalidArgument"),
    ],
)
def test_deletion_of_several_with_a_wrong_condition(kept: Access, element: str, expected: str) -> None:
    """A condition or a version ID that comes with a key of a multi-object delete counts, also an empty one."""
    body = f"<Delete><Object><Key>{KEY}</Key>{element}</Object></Delete>".encode()
    headers = {"Content-MD5": b64(hashlib.md5(body).digest())}
    answer = call(kept, "POST", f"/{BUCKET}", "delete=", headers=headers, body=body)
    assert answer.status == 200
    assert ElementTree.fromstring(answer.body).findtext("{*}Error/{*}Code") == expected


@pytest.mark.usefixtures("unchanged")
def test_abort_of_an_upload_begun_at_another_time(kept: Access, upload: str) -> None:
    """An upload that did not begin when the client says stays."""
    headers = {"x-amz-if-match-initiated-time": "Wed, 21 Oct 2015 07:28:00 GMT"}
    answer = call(kept, "DELETE", PATH, f"uploadId={upload}", headers=headers)
    assert (code(answer), answer.status) == ("PreconditionFailed", 412)
    assert part_etags(kept, upload)


@pytest.mark.usefixtures("unchanged")
def test_deletion_with_a_wrong_digest(kept: Access) -> None:
    """A multi-object delete whose body was changed deletes nothing."""
    body = f"<Delete><Object><Key>{KEY}</Key></Object></Delete>".encode()
    headers = {"Content-MD5": b64(hashlib.md5(b"another body").digest())}
    answer = call(kept, "POST", f"/{BUCKET}", "delete=", headers=headers, body=body)
    assert (code(answer), answer.status) == ("BadDigest", 400)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_user(kept: Access, s3_cluster: Cluster, method: str) -> None:
    """A user whom neither ownership nor policy gives rights is denied, however well the request is signed."""
    answer = call(new_access(s3_cluster, "bob"), method, PATH, body=BODY if method == "PUT" else b"")
    assert (code(answer), answer.status) == ("AccessDenied", 403)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("method", "message"), [("PATCH", b'{"disabled": true}'), ("DELETE", b"")])
def test_key_taken_back(kept: Access, s3_cluster: Cluster, native_api: Api, method: str, message: bytes) -> None:
    """A key that was disabled or removed is as good as none from the next request on, at every node."""
    taken = new_access(s3_cluster, "alice")
    assert call(taken, "GET", PATH).status == 200
    assert native_api.call(method, f"/v1/auth/keys/{taken.key_id}", body=message).status == 200
    for node in s3_cluster.nodes:
        answer = call(dataclasses.replace(taken, url=node.url), "PUT", PATH, body=BODY)
        assert (code(answer), answer.status) == ("InvalidAccessKeyId", 403)


@pytest.mark.usefixtures("unchanged")
def test_head_is_refused_by_status(kept: Access) -> None:
    """HEAD has no body to name a code in: the status alone tells."""
    wrong = dataclasses.replace(kept, secret="wrong")
    for access, path, status in ((wrong, PATH, 403), (kept, f"{PATH}.not-there", 404), (kept, "/not-there/o", 404)):
        answer = call(access, "HEAD", path)
        assert (answer.status, answer.body) == (status, b"")


@pytest.mark.usefixtures("unchanged")
def test_put_without_a_length(kept: Access) -> None:
    """A body of unannounced length is not read."""
    request = signed(kept, put(body=b""))
    with RawConnection(kept.url) as connection:
        connection.send_head("PUT", PATH, [(k, v) for k, v in request.headers.items() if k != "Host"])
        answer = connection.answer()
    assert (code(answer), answer.status) == ("MissingContentLength", 411)


@pytest.mark.usefixtures("unchanged")
def test_put_of_more_than_5_gib(kept: Access) -> None:
    """What is announced as larger than a single PUT may be is refused before a byte of it is asked for."""
    request = put(body=b"", Content_Length=str(5 * 2**30 + 1), Expect="100-continue")
    sign(request, kept, payload=s3raw.UNSIGNED)
    with RawConnection(kept.url) as connection:
        connection.send_head("PUT", PATH, [(k, v) for k, v in request.headers.items() if k != "Host"])
        answer = connection.answer()
    assert (code(answer), answer.status) == ("EntityTooLarge", 400)


@pytest.mark.usefixtures("unchanged")
def test_wrong_signature_is_refused_before_the_body(kept: Access) -> None:
    """A client that waits for `100 Continue` gets the refusal instead, and has sent nothing for it."""
    request = put(body=b"", Content_Length=str(len(BODY)), Expect="100-continue")
    sign(request, dataclasses.replace(kept, secret="wrong"), payload=s3raw.UNSIGNED)
    with RawConnection(kept.url) as connection:
        connection.send_head("PUT", PATH, [(k, v) for k, v in request.headers.items() if k != "Host"])
        answer = connection.answer()
    assert (code(answer), answer.status) == ("SignatureDoesNotMatch", 403)


@pytest.mark.usefixtures("unchanged")
def test_errors_say_what_and_where(kept: Access) -> None:
    """An error is an XML document with message, resource and the request ID that the headers carry too."""
    answer = call(kept, "GET", f"{PATH}.not-there")
    assert answer.header("Content-Type") == "application/xml"
    root = ElementTree.fromstring(answer.body)
    assert root.tag == "Error"
    assert root.findtext("Message")
    assert root.findtext("Resource") == f"{PATH}.not-there"
    assert root.findtext("RequestId") == answer.header("x-amz-request-id")
    assert answer.header("x-amz-id-2")
