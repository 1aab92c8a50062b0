"""Encryption at rest: by the cluster's keys, a named key, the client's own; byte-exact, and unreadable on the disks."""

import base64
import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError
from harness.s3access import Access, boto

from ais.testing import Cluster

MIB = 1 << 20
MARK = b"nobody may read this"
KEY, OTHER_KEY = os.urandom(16).hex(), os.urandom(16).hex()


def customer(key: str, prefix: str = "") -> dict[str, Any]:
    """A client's own key as boto3 takes it, which adds its MD5."""
    return {f"{prefix}SSECustomerAlgorithm": "AES256", f"{prefix}SSECustomerKey": key}


KINDS: dict[str, dict[str, Any]] = {
    "none": {},
    "SSE-S3": {"ServerSideEncryption": "AES256"},
    "SSE-KMS": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "backups"},
    "SSE-KMS context": {
        "ServerSideEncryption": "aws:kms",
        "SSEKMSEncryptionContext": base64.b64encode(b'{"a": "b"}').decode(),
    },
    "SSE-C": customer(KEY),
}
ENCRYPTED = [kind for kind in KINDS if kind != "none"]


def to_read(kind: str) -> dict[str, Any]:
    """What a reader must bring."""
    return KINDS[kind] if kind == "SSE-C" else {}


def said(answer: dict[str, Any]) -> tuple[str | None, str | None]:
    """What an answer says about encryption."""
    return answer.get("ServerSideEncryption"), answer.get("SSECustomerAlgorithm")


EXPECTED = {
    "none": (None, None),
    "SSE-S3": ("AES256", None),
    "SSE-KMS": ("aws:kms", None),
    "SSE-KMS context": ("aws:kms", None),
    "SSE-C": (None, "AES256"),
}


def content(size: int) -> bytes:
    """Bytes of their own, with a mark that can be searched for."""
    return (MARK + random.Random(size).randbytes(size))[:size] if size >= len(MARK) else bytes(size)


def files_of(cluster: Cluster) -> Iterator[Path]:
    """Every file that a node of the cluster has."""
    for node in cluster.targets:
        for mountpath in node.mountpaths:
            yield from (path for path in Path(mountpath).parent.rglob("*") if path.is_file())


def refusal(operation: Callable[..., Any], **arguments: Any) -> tuple[str, int]:
    """Code and status of the error that a request is answered with."""
    with pytest.raises(ClientError) as caught:
        operation(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture
def on_disk(s3_cluster: Cluster) -> Callable[[], bool]:
    """Whether the mark can be read in any file of the cluster."""

    def search() -> bool:
        return any(MARK in path.read_bytes() for path in files_of(s3_cluster))

    return search


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3 * MIB + 11])
def test_objects(s3: Access, s3_bucket: str, kind: str, size: int) -> None:
    """What was put comes back: whole, in ranges, by head, in lists, with its entity tag."""
    client, data = boto(s3), content(size)
    put = client.put_object(Bucket=s3_bucket, Key="k", Body=data, **KINDS[kind])
    place = {"Bucket": s3_bucket, "Key": "k", **to_read(kind)}
    assert said(put) == EXPECTED[kind]
    found = client.get_object(**place)
    assert found["Body"].read() == data
    assert (said(found), found["ContentLength"]) == (EXPECTED[kind], size)
    assert found["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert client.head_object(**place)["ContentLength"] == size
    (listed,) = client.list_objects_v2(Bucket=s3_bucket)["Contents"]
    assert listed["Size"] == size
    if kind != "SSE-C":  # botocore does not encode the key for this operation
        attributes = client.get_object_attributes(**place, ObjectAttributes=["ObjectSize"])
        assert attributes["ObjectSize"] == size
    rng = random.Random(1)
    for _ in range(5 if size > 1 else 0):
        first = rng.randrange(size - 1)
        last = rng.randrange(first, size)
        part = client.get_object(**place, Range=f"bytes={first}-{last}")
        assert part["Body"].read() == data[first : last + 1]
        assert part["ContentRange"] == f"bytes {first}-{last}/{size}"


@pytest.mark.parametrize("kind", KINDS)
def test_uploads_in_parts(s3: Access, s3_bucket: str, kind: str) -> None:
    """Parts, one of them sent twice, become one object; each part can be read by itself, and ranges across them."""
    client, first, last = boto(s3), content(5 * MIB), content(700_001)
    place = {"Bucket": s3_bucket, "Key": "k"}
    created = client.create_multipart_upload(**place, **KINDS[kind])
    assert said(created) == EXPECTED[kind]
    upload = {**place, "UploadId": created["UploadId"]}
    parts = []
    for number, body in ((1, last), (1, first), (2, last)):
        part = client.upload_part(**upload, PartNumber=number, Body=body, **to_read(kind))
        assert part["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    assert [part["Size"] for part in client.list_parts(**upload)["Parts"]] == [len(first), len(last)]
    done = client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts[1:]}, **to_read(kind))
    md5s = b"".join(hashlib.md5(body).digest() for body in (first, last))
    assert done["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-2"'
    place |= to_read(kind)
    assert client.get_object(**place)["Body"].read() == first + last
    second = client.get_object(**place, PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (last, 2)
    across = client.get_object(**place, Range=f"bytes={len(first) - 10}-{len(first) + 9}")
    assert across["Body"].read() == first[-10:] + last[:10]


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_copies(s3: Access, s3_bucket: str, source: str, target: str) -> None:
    """From each kind to each, on whichever target source and destination lie; and as a part of an upload."""
    client, data = boto(s3), content(200_000)
    client.put_object(Bucket=s3_bucket, Key="source", Body=data, **KINDS[source])
    from_it: dict[str, Any] = {"CopySource": f"{s3_bucket}/source"}
    if source == "SSE-C":
        from_it |= customer(KEY, "CopySource")
    for key in ("copy-1", "copy-2", "copy-3"):
        copied = client.copy_object(Bucket=s3_bucket, Key=key, **from_it, **KINDS[target])
        assert said(copied) == EXPECTED[target]
        found = client.get_object(Bucket=s3_bucket, Key=key, **to_read(target))
        assert (found["Body"].read(), said(found)) == (data, EXPECTED[target])
    place = {"Bucket": s3_bucket, "Key": "parts"}
    upload = {**place, "UploadId": client.create_multipart_upload(**place, **KINDS[target])["UploadId"]}
    span = "bytes=1000-150000"
    part = client.upload_part_copy(**upload, PartNumber=1, CopySourceRange=span, **from_it, **to_read(target))
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    client.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert client.get_object(**place, **to_read(target))["Body"].read() == data[1000:150001]


def test_nothing_is_readable(s3: Access, s3_bucket: str, on_disk: Callable[[], bool]) -> None:
    """No file of the cluster holds anything of encrypted objects; of a plain one it does."""
    client = boto(s3)
    assert not on_disk()
    for kind in ENCRYPTED:
        client.put_object(Bucket=s3_bucket, Key=f"small {kind}", Body=content(100), **KINDS[kind])
        client.put_object(Bucket=s3_bucket, Key=f"large {kind}", Body=content(2 * MIB), **KINDS[kind])
        place = {"Bucket": s3_bucket, "Key": f"parts {kind}"}
        upload = {**place, "UploadId": client.create_multipart_upload(**place, **KINDS[kind])["UploadId"]}
        client.upload_part(**upload, PartNumber=1, Body=content(MIB), **to_read(kind))
    assert not on_disk()
    client.put_object(Bucket=s3_bucket, Key="plain", Body=content(100))
    assert on_disk()


def test_what_was_changed_on_the_disk_is_an_error(s3: Access, s3_bucket: str, s3_cluster: Cluster) -> None:
    """A flipped bit of an encrypted object is never served."""
    client, data = boto(s3), content(300_000)
    client.put_object(Bucket=s3_bucket, Key="k", Body=data, ServerSideEncryption="AES256")
    (path,) = {path for path in files_of(s3_cluster) if str(path).endswith(f"/{s3_bucket}/%ob/k")}
    with path.open("r+b") as file:
        file.seek(100_000)
        byte = file.read(1)
        file.seek(100_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(HTTPClientError):
        client.get_object(Bucket=s3_bucket, Key="k")["Body"].read()
    assert client.get_object(Bucket=s3_bucket, Key="k", Range="bytes=0-9")["Body"].read() == data[:10]


def test_the_default_of_a_bucket(s3: Access, s3_bucket: str) -> None:
    """What says nothing is encrypted as the bucket says; what says something, as it says itself."""
    client = boto(s3)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k1"}}
    rule |= {"BucketKeyEnabled": True}
    wanted = {"Rules": [rule]}
    client.put_bucket_encryption(Bucket=s3_bucket, ServerSideEncryptionConfiguration=wanted)
    assert client.get_bucket_encryption(Bucket=s3_bucket)["ServerSideEncryptionConfiguration"] == wanted
    put = client.put_object(Bucket=s3_bucket, Key="k", Body=b"x")
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"], put["BucketKeyEnabled"]) == ("aws:kms", "k1", True)
    assert client.head_object(Bucket=s3_bucket, Key="k")["BucketKeyEnabled"]
    assert "BucketKeyEnabled" not in client.put_object(Bucket=s3_bucket, Key="k", Body=b"x", BucketKeyEnabled=False)
    assert (
        client.put_object(Bucket=s3_bucket, Key="k2", Body=b"x", **KINDS["SSE-S3"])["ServerSideEncryption"] == "AES256"
    )
    client.put_object(Bucket=s3_bucket, Key="k3", Body=b"x", **customer(KEY))
    client.delete_bucket_encryption(Bucket=s3_bucket)
    assert "ServerSideEncryption" not in client.put_object(Bucket=s3_bucket, Key="k4", Body=b"x")
    assert client.get_object(Bucket=s3_bucket, Key="k")["Body"].read() == b"x"
    code = refusal(client.get_bucket_encryption, Bucket=s3_bucket)
    assert code == ("ServerSideEncryptionConfigurationNotFoundError", 404)


def test_keys_of_clients(s3: Access, s3_bucket: str) -> None:
    """Without the key, with another, or with one for what is not encrypted so, nothing is read."""
    client = boto(s3)
    client.put_object(Bucket=s3_bucket, Key="k", Body=b"x", **customer(KEY))
    client.put_object(Bucket=s3_bucket, Key="plain", Body=b"x")
    place = {"Bucket": s3_bucket, "Key": "k"}
    assert refusal(client.get_object, **place) == ("InvalidRequest", 400)
    assert refusal(client.head_object, **place)[1] == 400
    assert refusal(client.get_object, **place, **customer(OTHER_KEY)) == ("AccessDenied", 403)
    assert refusal(client.get_object, Bucket=s3_bucket, Key="plain", **customer(KEY)) == ("InvalidRequest", 400)
    copy = {"Bucket": s3_bucket, "Key": "copy", "CopySource": f"{s3_bucket}/k"}
    assert refusal(client.copy_object, **copy) == ("InvalidRequest", 400)
    assert refusal(client.copy_object, **copy, **customer(OTHER_KEY, "CopySource")) == ("AccessDenied", 403)
    upload = {**place, "UploadId": client.create_multipart_upload(**place, **customer(KEY))["UploadId"]}
    assert refusal(client.upload_part, **upload, PartNumber=1, Body=b"x") == ("InvalidRequest", 400)
    wrong = refusal(client.upload_part, **upload, PartNumber=1, Body=b"x", **customer(OTHER_KEY))
    assert wrong == ("AccessDenied", 403)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"ServerSideEncryption": "AES128"}, "InvalidArgument"),
        ({"ServerSideEncryption": "aws:kms:dsse"}, "NotImplemented"),
        ({"ServerSideEncryption": "AES256", "SSEKMSKeyId": "k"}, "InvalidArgument"),
        ({"SSEKMSKeyId": "k"}, "InvalidArgument"),
        ({"ServerSideEncryption": "AES256", **customer(KEY)}, "InvalidArgument"),
        ({"SSECustomerAlgorithm": "AES256"}, "InvalidArgument"),
        ({"SSECustomerAlgorithm": "AES128", "SSECustomerKey": KEY}, "InvalidEncryptionAlgorithmError"),
        ({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY[:16]}, "InvalidArgument"),
        ({"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": "nonsense"}, "InvalidArgument"),
    ],
)
def test_refused(s3: Access, s3_bucket: str, more: dict[str, Any], expected: str) -> None:
    """What makes no sense is refused before anything is stored."""
    client = boto(s3)
    assert refusal(client.put_object, Bucket=s3_bucket, Key="k", Body=b"x", **more)[0] == expected
    assert "Contents" not in client.list_objects_v2(Bucket=s3_bucket)
