"""SSE-KMS with keys of Vault's transit engine: a server of its documented API, which is away, refuses, rotates."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from harness import transit
from harness.encrypting import rewrap
from harness.s3access import Access, boto
from harness.transit import Transit
from harness.wire import Api, object_path

from ais.testing import Cluster

BUCKET = "vault"
BODY = b"nobody reads this " * 10_000
SECRET = BODY[:30]
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "first"}


class Place(NamedTuple):
    """A cluster, its key service, the file with the token, a client."""

    cluster: Cluster
    vault: Transit
    token: Path
    s3: Any

    def put(self, key: str, name: str, body: bytes = BODY) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=name)

    def get(self, key: str, **more: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=key, **more)["Body"].read()
        return body

    def restart(self) -> None:
        """What nodes knew of keys they do not know any more."""
        for node in self.cluster.targets:
            self.cluster.restart(node)
        self.cluster.wait_ready()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    token = tmp_path_factory.mktemp("vault") / "token"
    token.write_text(f"{Transit.token}\n")
    with transit.running() as vault:
        vault.rotate("first")
        settings = {"auth.vault.url": vault.url, "auth.vault.token_file": str(token)}
        with Cluster(1, 1, 1, config_overrides=settings) as cluster:
            s3 = boto(Access(cluster.endpoint, "any", "anysecret"))
            s3.create_bucket(Bucket=BUCKET)
            yield Place(cluster, vault, token, s3)


def code(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_content_is_vaults_to_open(place: Place) -> None:
    """PUT, parts, copies, ranges: byte for byte, nothing readable on disk; Vault is asked for keys, not for objects."""
    before = len(place.vault.asked)
    for number in range(20):
        place.put(f"o{number}", "arn:aws:kms:us-east-1:000000000000:key/first", BODY + bytes([number]))
    upload = {"Bucket": BUCKET, "Key": "parts"}
    upload["UploadId"] = place.s3.create_multipart_upload(**upload, **KMS)["UploadId"]
    part = place.s3.upload_part(**upload, PartNumber=1, Body=BODY)["ETag"]
    place.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    place.s3.copy_object(Bucket=BUCKET, Key="local", CopySource=f"{BUCKET}/o0", ServerSideEncryption="AES256")
    place.s3.copy_object(Bucket=BUCKET, Key="back", CopySource=f"{BUCKET}/local", **KMS)
    assert len(place.vault.asked) - before <= 4 * len(place.cluster.targets)
    place.restart()
    for key, body in (("o7", BODY + bytes([7])), ("parts", BODY), ("local", BODY + b"\0"), ("back", BODY + b"\0")):
        assert place.get(key) == body
    assert place.get("o9", Range="bytes=70000-70010") == BODY[70_000:70_011]
    for node in place.cluster.targets:
        for path in node.mountpaths:
            assert not [one for one in path.rglob("*") if one.is_file() and SECRET in one.read_bytes()]


def test_natively(place: Place) -> None:
    """What is written and read natively waits for the key that has to be fetched, on the event loop and in threads."""
    bucket, api = "natively", Api(place.cluster.endpoint)
    place.s3.create_bucket(Bucket=bucket)
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "first"}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    place.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rules)
    place.restart()
    assert api.put(bucket, "put", BODY).status == 200
    place.restart()
    path = object_path(bucket, "put")
    appended = api.call("PUT", path, {"append_type": "append"}, body=BODY)
    assert appended.status == 200, appended.body
    handle = appended.header("Ais-Append-Handle")
    assert api.call("PUT", path, {"append_type": "flush", "append_handle": str(handle)}).status == 200
    place.restart()
    assert api.get(bucket, "put").body == BODY * 2
    place.restart()
    assert api.get(bucket, "put", {"Range": "bytes=180000-180009"}).body == BODY[:10]
    assert place.s3.get_object(Bucket=bucket, Key="put")["SSEKMSKeyId"] == "first"


def test_rotation_rewrites_nothing(place: Place) -> None:
    """What the key's first version sealed is read after a rotation; when Vault opens it no more, it is an error.

    Not so in a bucket whose data keys were wrapped again: there the first version is needed no more.
    """
    for name in ("rotated", "retired"):
        place.vault.rotate(name)
        place.put(f"old-{name}", name)
    place.s3.create_bucket(Bucket="moved")
    place.s3.copy_object(
        Bucket="moved", Key="k", CopySource=f"{BUCKET}/old-retired", **KMS | {"SSEKMSKeyId": "retired"}
    )
    for name in ("rotated", "retired"):
        place.vault.rotate(name)
    assert [rewrap(place.cluster, "moved") for _ in range(2)] == [1, 0]
    place.vault.oldest["retired"] = 2
    place.restart()
    assert place.s3.get_object(Bucket="moved", Key="k")["Body"].read() == BODY
    place.put("new", "rotated")
    assert place.get("old-rotated") == place.get("new") == BODY
    assert code(place.get, "old-retired") == "KMS.DisabledException"


def test_refusals(place: Place) -> None:
    """No such key, no right, no answer: an exact error, nothing stored; what has a key goes on meanwhile."""
    assert code(place.put, "x", "nosuch") == "KMS.NotFoundException"
    assert code(place.put, "x", "no/../name?") == "KMS.NotFoundException"
    place.vault.rotate("closed")
    place.token.write_text("s.another")
    assert code(place.put, "x", "closed") == "AccessDenied"
    place.token.write_text(Transit.token)
    place.vault.status = 503
    assert code(place.put, "x", "closed") == "ServiceUnavailable"
    place.vault.status = 0
    place.put("y", "closed")
    place.vault.status = 503
    assert place.get("y") == BODY
    place.vault.status = 0
    assert code(place.get, "x") == "NoSuchKey"
