"""Answers that clients compare word by word: codes, headers and documents as Amazon gives them."""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from harness.s3access import Access, boto
from harness.s3raw import call, code

PARTS = [b"1" * (5 << 20), b"2" * (5 << 20), b"3"]
ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


def refusal(operation: Any, **arguments: Any) -> tuple[str, str]:
    """Code and message of the error that a request is answered with."""
    with pytest.raises(ClientError) as caught:
        operation(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums_of_parts(s3: Access, s3_bucket: str, algorithm: str) -> None:
    """What each part was sent with is listed, kept with the object, and given with the part."""
    client, place = boto(s3), {"Bucket": s3_bucket, "Key": "k"}
    created = client.create_multipart_upload(**place, ChecksumAlgorithm=algorithm)
    upload, field, parts = {**place, "UploadId": created["UploadId"]}, f"Checksum{algorithm}", []
    for number, body in enumerate(PARTS, 1):
        part = client.upload_part(**upload, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": part["ETag"], field: part[field]})
    assert [part[field] for part in client.list_parts(**upload)["Parts"]] == [part[field] for part in parts]
    if created["ChecksumType"] == "COMPOSITE":
        bare = [{name: value for name, value in part.items() if name != field} for part in parts]
        found, message = refusal(client.complete_multipart_upload, **upload, MultipartUpload={"Parts": bare})
        assert (found, "missing for part 1" in message) == ("InvalidRequest", True)
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    attributes = client.get_object_attributes(**place, ObjectAttributes=["ObjectParts", "Checksum"])
    assert [part[field] for part in attributes["ObjectParts"]["Parts"]] == [part[field] for part in parts]
    second = client.get_object(**place, PartNumber=2, ChecksumMode="ENABLED")
    assert (second[field], second["Body"].read()) == (parts[1][field], PARTS[1])


@pytest.mark.parametrize("name", ["sha512", "md5", "xxhash64", "xxhash3", "xxhash128"])
def test_other_algorithms(s3: Access, s3_bucket: str, name: str) -> None:
    """The newer algorithms are verified, kept and given back."""
    sizes = {"sha512": 64, "md5": 16, "xxhash64": 8, "xxhash3": 8, "xxhash128": 16}
    wrong = {f"x-amz-checksum-{name}": b64encode(bytes(sizes[name])).decode()}
    assert code(call(s3, "PUT", f"/{s3_bucket}/k", headers=wrong, body=b"data")) == "BadDigest"
    if name in ("sha512", "md5"):
        right = {f"x-amz-checksum-{name}": b64encode(hashlib.new(name, b"data").digest()).decode()}
        assert call(s3, "PUT", f"/{s3_bucket}/k", headers=right, body=b"data").status == 200
        answer = call(s3, "HEAD", f"/{s3_bucket}/k", headers={"x-amz-checksum-mode": "ENABLED"})
        assert answer.header(f"x-amz-checksum-{name}") == right[f"x-amz-checksum-{name}"]


def test_metadata_outside_ascii(s3: Access, s3_bucket: str) -> None:
    """User metadata comes back by RFC 2047, whether it was sent so or as it is."""
    for sent in ("grün €", "=?UTF-8?B?Z3LDvG4g4oKs?="):
        assert call(s3, "PUT", f"/{s3_bucket}/k", headers={"x-amz-meta-color": sent}, body=b"x").status == 200
        color = call(s3, "HEAD", f"/{s3_bucket}/k").header("x-amz-meta-color") or ""
        assert color.isascii()
        assert str(make_header(decode_header(color))) == "grün €"


def test_lifecycle_as_it_was_put(s3: Access, s3_bucket: str) -> None:
    """Rules come back as they were, with their minimum size; objects say when they go and by which rule."""
    client = boto(s3)
    rules = [
        {"ID": "old", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 1}},
        {"ID": "a b", "Status": "Enabled", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 10}},
    ]
    least = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    client.put_bucket_lifecycle_configuration(Bucket=s3_bucket, LifecycleConfiguration={"Rules": rules}, **least)
    found = client.get_bucket_lifecycle_configuration(Bucket=s3_bucket)
    assert found["Rules"] == rules
    assert found["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    said = client.put_object(Bucket=s3_bucket, Key="logs/1", Body=b"x")["Expiration"]
    assert client.head_object(Bucket=s3_bucket, Key="logs/1")["Expiration"] == said
    assert said.endswith('rule-id="old"')
    due = parsedate_to_datetime(said.split('"')[1])
    assert timedelta(days=1) <= due - datetime.now(UTC) <= timedelta(days=2)
    assert "Expiration" not in client.head_object(**put(client, s3_bucket, "other"))


def put(client: Any, bucket: str, key: str) -> dict[str, str]:
    """An object, and where it is."""
    client.put_object(Bucket=bucket, Key=key, Body=b"x")
    return {"Bucket": bucket, "Key": key}


def test_suspended_versioning(s3: Access, s3_bucket: str) -> None:
    """A PUT of a null version has no version ID; what reads it says null."""
    client = boto(s3)
    for status in ("Enabled", "Suspended"):
        client.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": status})
    assert "VersionId" not in client.put_object(Bucket=s3_bucket, Key="k", Body=b"x")
    assert client.get_object(Bucket=s3_bucket, Key="k")["VersionId"] == "null"


def test_delete_markers_are_no_copy_sources(s3: Access, s3_bucket: str) -> None:
    """One answer, whichever target has the marker."""
    client = boto(s3)
    client.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    marker = client.delete_object(Bucket=s3_bucket, Key="gone")["VersionId"]
    for key in ("a", "b", "c", "d"):
        copy = {"Bucket": s3_bucket, "Key": key}
        assert refusal(client.copy_object, **copy, CopySource=f"{s3_bucket}/gone")[0] == "NoSuchKey"
        named = refusal(client.copy_object, **copy, CopySource=f"{s3_bucket}/gone?versionId={marker}")
        assert named[0] == "InvalidRequest"


def test_messages_are_amazons(s3: Access, s3_bucket: str) -> None:
    """What is not there is named by the resource; no message speaks of the inside of this cluster."""
    for path in (f"/{s3_bucket}/absent", "/no-such-bucket-anywhere/k", f"/{s3_bucket}/k?versionId={'0' * 32}"):
        answer = call(s3, "GET", *path.split("?"))
        assert answer.status == 404
        assert b"ais://" not in answer.body


def test_ranges_of_nothing(s3: Access, s3_bucket: str) -> None:
    """An empty object has no range."""
    boto(s3).put_object(Bucket=s3_bucket, Key="empty", Body=b"")
    for spec in ("bytes=-1", "bytes=0-", "bytes=0-0"):
        answer = call(s3, "GET", f"/{s3_bucket}/empty", headers={"Range": spec})
        assert (answer.status, code(answer)) == (416, "InvalidRange")


def test_a_copy_onto_itself_that_changes_something(s3: Access, s3_bucket: str) -> None:
    """The storage class, encryption or redirect location are enough of a change; nothing is not."""
    client, place = boto(s3), put(boto(s3), s3_bucket, "k")
    source = {"CopySource": f"{s3_bucket}/k"}
    assert refusal(client.copy_object, **place, **source)[0] == "InvalidRequest"
    client.copy_object(**place, **source, StorageClass="STANDARD")
    client.copy_object(**place, **source, WebsiteRedirectLocation="/other")
    assert client.head_object(**place)["WebsiteRedirectLocation"] == "/other"
