"""Conditions, one by one and under concurrent writers."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from harness.s3access import Access, boto
from harness.s3raw import call, code
from harness.wire import Answer

FIRST, SECOND = b"first" * 1000, b"second" * 1000
OTHER_ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'
HOUR = timedelta(hours=1)
HELD = object()


def racing(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Results of `work(0..count-1)`, all begun at the same moment."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def outcome(operation: Callable[..., Any], **arguments: Any) -> tuple[Any, ...]:
    """`(HELD, answer)`, or the code and status of the refusal."""
    try:
        return HELD, operation(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]


def started_upload(client: Any, bucket: str, key: str, data: bytes) -> dict[str, Any]:
    """What completes an upload of `data` in one part."""
    upload_id = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = client.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=1, Body=data)
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    return {"Bucket": bucket, "Key": key, "UploadId": upload_id, "MultipartUpload": {"Parts": parts}}


# Racing writers


@pytest.mark.parametrize("nodes", ["one node", "every node"])
def test_one_of_fifty_creates(s3: Access, s3_bucket: str, every_node: list[Access], nodes: str) -> None:
    """Of 50 clients that put a key if it is not there exactly one succeeds, and its bytes are the object's."""
    doors = [s3] if nodes == "one node" else every_node

    def put(number: int) -> Answer:
        body = f"client {number}".encode() * 100
        return call(doors[number % len(doors)], "PUT", f"/{s3_bucket}/once", headers={"If-None-Match": "*"}, body=body)

    answers = racing(50, put)
    winners = [number for number, answer in enumerate(answers) if answer.status == 200]
    refusals = {(code(answer), answer.status) for answer in answers if answer.status != 200}
    assert len(winners) == 1
    assert refusals <= {("PreconditionFailed", 412), ("ConditionalRequestConflict", 409)}
    assert call(s3, "GET", f"/{s3_bucket}/once").body == f"client {winners[0]}".encode() * 100


def test_one_of_many_completes(s3: Access, s3_bucket: str) -> None:
    """Of 10 uploads in parts that are completed if the key is not there exactly one becomes the object."""
    client = boto(s3)
    uploads = [started_upload(client, s3_bucket, "once", f"upload {number}".encode()) for number in range(10)]
    outcomes = racing(10, lambda number: outcome(client.complete_multipart_upload, IfNoneMatch="*", **uploads[number]))
    winners = [number for number, one in enumerate(outcomes) if one[0] is HELD]
    assert len(winners) == 1
    assert {one for one in outcomes if one[0] is not HELD} <= {
        ("PreconditionFailed", 412),
        ("ConditionalRequestConflict", 409),
    }
    assert client.get_object(Bucket=s3_bucket, Key="once")["Body"].read() == f"upload {winners[0]}".encode()


def test_concurrent_completes_of_one_upload(s3: Access, s3_bucket: str) -> None:
    """An upload completed by 10 clients at once is there once and whole; who is late hears the same or NoSuchUpload."""
    client = boto(s3)
    upload = started_upload(client, s3_bucket, "k", FIRST)
    outcomes = racing(10, lambda _: outcome(client.complete_multipart_upload, **upload))
    answers = [one[1] for one in outcomes if one[0] is HELD]
    assert answers
    assert len({answer["ETag"] for answer in answers}) == 1
    assert {one for one in outcomes if one[0] is not HELD} <= {("NoSuchUpload", 404)}
    assert client.get_object(Bucket=s3_bucket, Key="k")["Body"].read() == FIRST
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_bucket)


def test_compare_and_swap_loses_no_update(s3: Access, s3_bucket: str, every_node: list[Access]) -> None:
    """A counter that 12 clients raise with If-Match, each through another node, has counted every success."""
    call(s3, "PUT", f"/{s3_bucket}/counter", body=b"0")

    def count_up(number: int) -> int:
        door, done, tries = every_node[number % len(every_node)], 0, 0
        while done < 8:
            tries += 1
            read = call(door, "GET", f"/{s3_bucket}/counter")
            condition = {"If-Match": read.header("ETag") or ""}
            put = call(door, "PUT", f"/{s3_bucket}/counter", headers=condition, body=str(int(read.body) + 1).encode())
            assert (put.status, code(put)) in (
                (200, ""),
                (412, "PreconditionFailed"),
                (409, "ConditionalRequestConflict"),
            )
            done += put.status == 200
        return tries

    tries = racing(12, count_up)
    assert call(s3, "GET", f"/{s3_bucket}/counter").body == str(12 * 8).encode()
    assert sum(tries) > 12 * 8, "no two clients ever met: nothing was proved"


# One condition at a time


@pytest.fixture
def there(s3: Access, s3_bucket: str) -> dict[str, Any]:
    """An object `k`: bucket, entity tag and time of last change."""
    client = boto(s3)
    client.put_object(Bucket=s3_bucket, Key="k", Body=FIRST)
    head = client.head_object(Bucket=s3_bucket, Key="k")
    return {"bucket": s3_bucket, "etag": head["ETag"], "modified": head["LastModified"]}


def conditions(there: dict[str, Any], prefix: str = "") -> list[tuple[dict[str, Any], bool, bool]]:
    """Conditions of a read as boto3 names them; whether they hold; whether they are about the reader's own copy."""
    etag, modified = there["etag"], there["modified"]
    return [
        ({f"{prefix}IfMatch": etag}, True, False),
        ({f"{prefix}IfMatch": OTHER_ETAG}, False, False),
        ({f"{prefix}IfNoneMatch": OTHER_ETAG}, True, True),
        ({f"{prefix}IfNoneMatch": etag}, False, True),
        ({f"{prefix}IfModifiedSince": modified - HOUR}, True, True),
        ({f"{prefix}IfModifiedSince": modified}, False, True),
        ({f"{prefix}IfUnmodifiedSince": modified}, True, False),
        ({f"{prefix}IfUnmodifiedSince": modified - HOUR}, False, False),
        ({f"{prefix}IfMatch": etag, f"{prefix}IfUnmodifiedSince": modified - HOUR}, True, False),
        ({f"{prefix}IfNoneMatch": etag, f"{prefix}IfModifiedSince": modified - HOUR}, False, True),
    ]


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_reads(s3: Access, there: dict[str, Any], operation: str) -> None:
    """GET and HEAD answer 304 to those who have it already and 412 to other conditions that do not hold."""
    for condition, holds, about_copy in conditions(there):
        got = outcome(getattr(boto(s3), operation), Bucket=there["bucket"], Key="k", **condition)
        if holds:
            assert (got[0], got[1]["ETag"]) == (HELD, there["etag"]), condition
        else:
            assert got[1] == (304 if about_copy else 412), condition


def test_not_modified_has_no_body(s3: Access, there: dict[str, Any]) -> None:
    """A 304 carries the entity tag and time, and not a byte."""
    answer = call(s3, "GET", f"/{there['bucket']}/k", headers={"If-None-Match": there["etag"]})
    assert (answer.status, answer.body, answer.header("ETag")) == (304, b"", there["etag"])
    assert answer.header("Last-Modified")


def test_copies(s3: Access, there: dict[str, Any]) -> None:
    """Whatever condition on the source does not hold is 412, and nothing is copied."""
    client, bucket = boto(s3), there["bucket"]
    for number, (condition, holds, _) in enumerate(conditions(there, "CopySource")):
        key, source = f"copy-{number}", {"Bucket": bucket, "Key": "k"}
        got = outcome(client.copy_object, Bucket=bucket, Key=key, CopySource=source, **condition)
        if holds:
            assert got[0] is HELD, condition
            assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == FIRST
        else:
            assert got == ("PreconditionFailed", 412), condition
            assert outcome(client.head_object, Bucket=bucket, Key=key)[1] == 404


def test_part_copies(s3: Access, there: dict[str, Any]) -> None:
    """The same for a part copied into an upload."""
    client, bucket = boto(s3), there["bucket"]
    upload_id = client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    upload = {"Bucket": bucket, "Key": "parts", "UploadId": upload_id}
    for number, (condition, holds, _) in enumerate(conditions(there, "CopySource"), start=1):
        source = {"Bucket": bucket, "Key": "k"}
        got = outcome(client.upload_part_copy, PartNumber=number, CopySource=source, **upload, **condition)
        uploaded = [part["PartNumber"] for part in client.list_parts(**upload).get("Parts", ())]
        assert (got[0] is HELD, number in uploaded) == (holds, holds), condition
        if not holds:
            assert got == ("PreconditionFailed", 412), condition


def writes(client: Any, bucket: str) -> dict[str, Callable[..., tuple[Any, ...]]]:
    """What writes SECOND to a key under a condition."""

    def put(key: str, **condition: str) -> tuple[Any, ...]:
        return outcome(client.put_object, Bucket=bucket, Key=key, Body=SECOND, **condition)

    def complete(key: str, **condition: str) -> tuple[Any, ...]:
        return outcome(client.complete_multipart_upload, **started_upload(client, bucket, key, SECOND), **condition)

    def copy(key: str, **condition: str) -> tuple[Any, ...]:
        client.put_object(Bucket=bucket, Key="source", Body=SECOND)
        source = {"Bucket": bucket, "Key": "source"}
        return outcome(client.copy_object, Bucket=bucket, Key=key, CopySource=source, **condition)

    return {"put": put, "complete": complete, "copy": copy}


@pytest.mark.parametrize("way", ["put", "complete", "copy"])
def test_writes(s3: Access, there: dict[str, Any], way: str) -> None:
    """A write whose condition does not hold is refused and leaves the object; one whose condition holds replaces it."""
    client, bucket = boto(s3), there["bucket"]
    write = writes(client, bucket)[way]

    def content() -> bytes:
        return client.get_object(Bucket=bucket, Key="k")["Body"].read()

    assert write("k", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert write("k", IfMatch=OTHER_ETAG) == ("PreconditionFailed", 412)
    assert content() == FIRST
    assert write("k", IfMatch=there["etag"])[0] is HELD
    assert content() == SECOND
    assert write("absent", IfMatch=there["etag"]) == ("NoSuchKey", 404)
    assert outcome(client.head_object, Bucket=bucket, Key="absent")[1] == 404
    assert write("absent", IfNoneMatch="*")[0] is HELD
    assert client.get_object(Bucket=bucket, Key="absent")["Body"].read() == SECOND


def test_deletes(s3: Access, there: dict[str, Any]) -> None:
    """A delete with another entity tag is refused; with the right one the object goes."""
    client, bucket = boto(s3), there["bucket"]
    refused = outcome(client.delete_object, Bucket=bucket, Key="k", IfMatch=OTHER_ETAG)
    assert refused == ("PreconditionFailed", 412)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == FIRST
    assert outcome(client.delete_object, Bucket=bucket, Key="k", IfMatch=there["etag"])[0] is HELD
    assert outcome(client.head_object, Bucket=bucket, Key="k")[1] == 404


def test_delete_by_size_and_time(s3: Access, there: dict[str, Any]) -> None:
    """A delete that demands the size and the time which the object has is carried out."""
    client, bucket = boto(s3), there["bucket"]
    demanded = {"IfMatchSize": len(FIRST), "IfMatchLastModifiedTime": there["modified"]}
    assert outcome(client.delete_object, Bucket=bucket, Key="k", **demanded)[0] is HELD
    assert outcome(client.head_object, Bucket=bucket, Key="k")[1] == 404
    assert outcome(client.delete_object, Bucket=bucket, Key="k", **demanded) == ("NoSuchKey", 404)


def test_condition_that_a_write_does_not_have(s3: Access, there: dict[str, Any]) -> None:
    """If-None-Match with an entity tag, which S3 does not define for writes, is not silently ignored."""
    headers = {"If-None-Match": OTHER_ETAG}
    answer = call(s3, "PUT", f"/{there['bucket']}/k", headers=headers, body=SECOND)
    assert (code(answer), answer.status) == ("NotImplemented", 501)
    assert call(s3, "GET", f"/{there['bucket']}/k").body == FIRST


def test_unreadable_date_is_ignored(s3: Access, there: dict[str, Any]) -> None:
    """A date that cannot be read is no condition."""
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        assert call(s3, "GET", f"/{there['bucket']}/k", headers={name: "yesterday"}).body == FIRST
