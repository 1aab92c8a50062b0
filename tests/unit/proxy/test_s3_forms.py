"""Browser uploads by POST: a form is stored as its policy and its fields want it, or leaves nothing behind."""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree

import pytest
from harness.http import until
from harness.s3 import S3, RawAnswer

from ais.config.sections import Auth

Run = Callable[[Any], Any]
AUTH = Auth(enabled=True)
BOUNDARY = "----ais-form-boundary"
CONTENT = os.urandom(100_000) + f"\r\n--{BOUNDARY[:-1]}".encode() + os.urandom(50)


def _form(fields: Mapping[str, str], content: bytes | None = CONTENT, filename: str = "cat.jpg") -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if content is not None:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        parts.append(head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + content + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def _post(s3: S3, body: bytes, bucket: str = "abc", **headers: str) -> RawAnswer:
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **headers}
    return await S3(s3.url).send("POST", f"/{bucket}", body, kind)


def _signed(s3: S3, key: str = "up/${filename}", **options: Any) -> dict[str, str]:
    """The fields of a form that this user's key signed."""
    fields: dict[str, str] = s3.boto3.generate_presigned_post("abc", key, **options)["fields"]
    return fields


def _leftovers(cluster: Any) -> list[str]:
    """Objects and work files on the targets."""
    directories = [directory for target in cluster.targets for directory in target.node.state.directories]
    walked = (found for directory in directories for found in os.walk(directory + "/@ais"))
    return [os.path.join(top, name) for top, _, names in walked for name in names]


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, CONTENT * 30], ids=["0", "1", "100K", "3M"])
def test_a_signed_form_is_stored(serve: Any, run: Run, content: bytes) -> None:
    """Byte for byte under the name of the file, with metadata, type and tags of the fields, as the signer's object."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=2, storage=True, auth=AUTH) as cluster:
            ann = await cluster.user("ann", proxy=1)
            await ann("create_bucket", Bucket="abc")
            given = {"Content-Type": "image/png", "x-amz-meta-who": "ann", "tagging": TAGGING}
            fields = _signed(ann, Fields=given, Conditions=[{name: value} for name, value in given.items()])
            answer = await _post(ann, _form(fields, content, "C:\\pictures\\cat & dog.jpg"))
            assert (answer.status, answer.body) == (204, b"")
            assert answer.headers["Location"] == f"{ann.url}/abc/up/cat%20%26%20dog.jpg"
            found = await ann("get_object", Bucket="abc", Key="up/cat & dog.jpg")
            assert answer.headers["ETag"] == found["ETag"]
            assert await asyncio.to_thread(found["Body"].read) == content
            assert (found["ContentType"], found["Metadata"], found["TagCount"]) == ("image/png", {"who": "ann"}, 1)

    run(scenario())


def test_a_form_may_ask_for_encryption(serve: Any, run: Run) -> None:
    """A field of the form encrypts as the header of a PUT does."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True, auth=AUTH) as cluster:
            ann = await cluster.user("ann")
            await ann("create_bucket", Bucket="abc")
            fields = {"x-amz-server-side-encryption": "AES256"}
            signed = _signed(ann, "k", Fields=fields, Conditions=[fields])
            assert (await _post(ann, _form(signed))).status == 204
            found = await ann("get_object", Bucket="abc", Key="k")
            assert await asyncio.to_thread(found["Body"].read) == CONTENT
            assert found["ServerSideEncryption"] == "AES256"

    run(scenario())


TAGGING = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"


def test_answers_as_the_form_wants_them(serve: Any, run: Run) -> None:
    """200, 201 with a document, a redirect with bucket, key and tag; 204 for anything else. No policy without auth."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            s3 = cluster.s3()
            await s3("create_bucket", Bucket="abc")
            for wanted, status in (("200", 200), ("204", 204), ("999", 204)):
                answer = await _post(s3, _form({"key": "k", "success_action_status": wanted}))
                assert answer.status == status
            created = await _post(s3, _form({"key": "a b", "success_action_status": "201"}))
            assert created.status == 201
            root = ElementTree.fromstring(created.body)
            values = {one.tag.rpartition("}")[2]: one.text for one in root}
            etag = created.headers["ETag"]
            assert values == {"Location": f"{s3.url}/abc/a%20b", "Bucket": "abc", "Key": "a b", "ETag": etag}
            redirected = await _post(s3, _form({"key": "k", "success_action_redirect": "https://h/done?x=1"}))
            assert redirected.status == 303
            tag = etag.replace('"', "%22")
            assert redirected.headers["Location"] == f"https://h/done?x=1&bucket=abc&key=k&etag={tag}"
            nowhere = await _post(s3, _form({"key": "k", "success_action_redirect": "javascript:alert(1)"}))
            assert nowhere.status == 204

    run(scenario())


def _changed(fields: dict[str, str], **changes: str) -> dict[str, str]:
    return fields | {name.replace("_", "-"): value for name, value in changes.items()}


SIZES = [["content-length-range", 10, 200_000]]
CASES: dict[str, tuple[Callable[[S3], bytes], tuple[int, str]]] = {
    "no policy": (lambda s3: _form({"key": "k"}), (403, "AccessDenied")),
    "no key": (lambda s3: _form({"policy": "x"}), (400, "InvalidArgument")),
    "no signature": (lambda s3: _form({"key": "k", "policy": "x"}), (400, "InvalidArgument")),
    "wrong signature": (
        lambda s3: _form(_changed(_signed(s3), x_amz_signature="0" * 64)),
        (403, "SignatureDoesNotMatch"),
    ),
    "unknown key": (
        lambda s3: _form(_signed(S3(s3.url, "nobody", "x" * 20))),
        (403, "InvalidAccessKeyId"),
    ),
    "expired": (lambda s3: _form(_signed(s3, ExpiresIn=-1)), (403, "AccessDenied")),
    "other prefix": (lambda s3: _form(_changed(_signed(s3), key="elsewhere")), (403, "AccessDenied")),
    "extra field": (lambda s3: _form(_changed(_signed(s3), x_amz_meta_a="b")), (403, "AccessDenied")),
    "too large": (lambda s3: _form(_signed(s3, Conditions=SIZES), CONTENT * 10), (400, "EntityTooLarge")),
    "too small": (lambda s3: _form(_signed(s3, Conditions=SIZES), b"x"), (400, "EntityTooSmall")),
    "no file": (lambda s3: _form(_signed(s3), None), (400, "InvalidArgument")),
    "no end": (lambda s3: _form(_signed(s3))[:-20], (400, "MalformedPOSTRequest")),
    "file without a name": (
        lambda s3: _form(_signed(s3, "${filename}"), b"x", filename=""),
        (400, "InvalidArgument"),
    ),
    "no form": (lambda s3: b"nonsense", (400, "MalformedPOSTRequest")),
    "large fields": (lambda s3: _form(_changed(_signed(s3), x="y" * 21_000)), (400, "MaxPostPreDataLengthExceeded")),
    "not UTF-8": (lambda s3: _form({"key": "k"}).replace(b"\r\n\r\nk", b"\r\n\r\n\xff"), (400, "MalformedPOSTRequest")),
    "copy": (
        lambda s3: _form(_signed(s3, Fields=COPY, Conditions=[COPY])),
        (501, "NotImplemented"),
    ),
    "encryption": (
        lambda s3: _form(_signed(s3, Fields=ENCRYPTION, Conditions=[ENCRYPTION])),
        (501, "NotImplemented"),
    ),
    "wrong checksum": (
        lambda s3: _form(_signed(s3, Fields=CHECKSUM, Conditions=[CHECKSUM]), CONTENT * 20),
        (400, "BadDigest"),
    ),
}
COPY = {"x-amz-copy-source": "abc/other"}
ENCRYPTION = {"x-amz-server-side-encryption": "aws:kms:dsse"}
CHECKSUM = {"x-amz-checksum-crc32": "AAAAAA=="}


@pytest.mark.parametrize("case", CASES)
def test_a_refused_form_leaves_nothing(serve: Any, run: Run, case: str) -> None:
    """Each with the exact code; no object, no work file, nothing in flight."""

    async def scenario() -> None:
        make, expected = CASES[case]
        async with serve(targets=2, storage=True, auth=AUTH) as cluster:
            ann = await cluster.user("ann")
            await ann("create_bucket", Bucket="abc")
            answer = await _post(ann, make(ann))
            assert (answer.status, answer.code) == expected, answer.body
            await until(lambda: _leftovers(cluster) == [])

    run(scenario())


def test_the_signer_needs_the_right_to_write(serve: Any, run: Run) -> None:
    """Another user's form is refused, as is one for a missing bucket, and a body that is no form."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True, auth=AUTH) as cluster:
            ann, bob = await cluster.user("ann"), await cluster.user("bob")
            await ann("create_bucket", Bucket="abc")
            answer = await _post(ann, _form(_signed(bob)))
            assert (answer.status, answer.code) == (403, "AccessDenied")
            absent = await _post(ann, _form(_signed(bob)), bucket="absent")
            assert (absent.status, absent.code) == (404, "NoSuchBucket")
            plain = await _post(ann, b"key=k", **{"Content-Type": "application/x-www-form-urlencoded"})
            assert (plain.status, plain.code) == (412, "PreconditionFailed")
            assert _leftovers(cluster) == []

    run(scenario())


def test_a_browser_that_goes_away_leaves_nothing(serve: Any, run: Run) -> None:
    """Cut off in the middle of the file, when the owner has some of it: the work file goes."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            await cluster.s3()("create_bucket", Bucket="abc")
            body = _form({"key": "k"}, CONTENT * 30)
            head = f"POST /abc HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\nContent-Type: multipart/form-data;"
            async with cluster.connection() as (_, writer):
                writer.write(f"{head} boundary={BOUNDARY}\r\n\r\n".encode() + body[: len(body) // 2])
                await until(lambda: _leftovers(cluster))
            await until(lambda: _leftovers(cluster) == [])
            assert await cluster.s3().refused("head_object", Bucket="abc", Key="k") == (404, "404")

    run(scenario())
