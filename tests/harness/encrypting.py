"""Kinds of encryption x clients: how boto3, awscli and rclone ask for each, write, copy and read with it."""

import base64
import io
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

from boto3.s3.transfer import TransferConfig

from ais.testing import Cluster
from harness.jobs import run_job
from harness.s3access import REGION, Access, boto, tool

PART = 5 << 20
KEY = secrets.token_hex(16)
"""The client's own; 32 bytes that are text, since awscli takes no others on its command line."""
VAULT_KEY = "matrix"
MARK = b"nobody may read this"
PLAIN_MARK = b"anybody may read this"
NONE, S3, KMS, VAULT, CUSTOMER = KINDS = ("none", "SSE-S3", "KMS local", "KMS Vault", "SSE-C")
ENCRYPTED = KINDS[1:]


def content(kind: str, size: int, seed: object = "") -> bytes:
    """Bytes in which a mark stands once in each KiB, so that a part of them is recognized wherever it lies."""
    mark = PLAIN_MARK if kind == NONE else MARK
    line = mark + f" {kind} {seed} ".encode()
    return b"".join(line + b"%08d" % number + bytes(1016 - len(line)) for number in range(-(-size // 1024)))[:size]


class Client(Protocol):
    """One client of one bucket. `scratch`: a folder for its files."""

    def __init__(self, access: Access, scratch: Path) -> None: ...

    def put(self, bucket: str, key: str, kind: str, data: bytes, *, in_parts: bool = False) -> None: ...

    def copy(self, bucket: str, source: str, source_kind: str, key: str, kind: str) -> None: ...

    def get(self, bucket: str, key: str, kind: str) -> bytes: ...

    def range(self, bucket: str, key: str, kind: str, start: int, length: int) -> bytes: ...


class Boto3:
    """See `Client`."""

    WRITES: ClassVar[dict[str, dict[str, Any]]] = {
        NONE: {},
        S3: {"ServerSideEncryption": "AES256"},
        KMS: {"ServerSideEncryption": "aws:kms"},
        VAULT: {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": VAULT_KEY},
        CUSTOMER: {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY},
    }
    READS: ClassVar[dict[str, dict[str, Any]]] = {CUSTOMER: WRITES[CUSTOMER]}
    SOURCES: ClassVar[dict[str, dict[str, Any]]] = {
        CUSTOMER: {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": KEY}
    }

    def __init__(self, access: Access, scratch: Path) -> None:
        self.s3 = boto(access, read_timeout=120)

    def put(self, bucket: str, key: str, kind: str, data: bytes, *, in_parts: bool = False) -> None:
        config = TransferConfig(multipart_threshold=1 if in_parts else 1 << 30, multipart_chunksize=PART)
        self.s3.upload_fileobj(io.BytesIO(data), bucket, key, ExtraArgs=self.WRITES[kind], Config=config)

    def copy(self, bucket: str, source: str, source_kind: str, key: str, kind: str) -> None:
        place = {"Bucket": bucket, "Key": key, "CopySource": {"Bucket": bucket, "Key": source}}
        self.s3.copy_object(**place, **self.SOURCES.get(source_kind, {}), **self.WRITES[kind])

    def get(self, bucket: str, key: str, kind: str, **more: str) -> bytes:
        found = self.s3.get_object(Bucket=bucket, Key=key, **self.READS.get(kind, {}), **more)
        body: bytes = found["Body"].read()
        return body

    def range(self, bucket: str, key: str, kind: str, start: int, length: int) -> bytes:
        return self.get(bucket, key, kind, Range=f"bytes={start}-{start + length - 1}")


class AwsCli:
    """See `Client`: `aws s3 cp`, and `aws s3api` for ranges."""

    _WRITES: ClassVar[dict[str, tuple[str, ...]]] = {
        NONE: (),
        S3: ("--sse", "AES256"),
        KMS: ("--sse", "aws:kms"),
        VAULT: ("--sse", "aws:kms", "--sse-kms-key-id", VAULT_KEY),
        CUSTOMER: ("--sse-c", "AES256", "--sse-c-key", KEY),
    }
    _SOURCES: ClassVar[dict[str, tuple[str, ...]]] = {
        CUSTOMER: ("--sse-c-copy-source", "AES256", "--sse-c-copy-source-key", KEY)
    }

    def __init__(self, access: Access, scratch: Path) -> None:
        self._file, self._settings = scratch / "aws-file", scratch / "aws-config"
        self._environment = {**os.environ, **access.environment(), "AWS_CONFIG_FILE": str(self._settings)}

    def put(self, bucket: str, key: str, kind: str, data: bytes, *, in_parts: bool = False) -> None:
        threshold = 1 if in_parts else 1 << 30
        settings = f"[default]\ns3 =\n  multipart_threshold = {threshold}\n  multipart_chunksize = {PART}\n"
        self._settings.write_text(settings)
        self._file.write_bytes(data)
        self._cp(str(self._file), f"s3://{bucket}/{key}", *self._WRITES[kind])

    def copy(self, bucket: str, source: str, source_kind: str, key: str, kind: str) -> None:
        more = (*self._SOURCES.get(source_kind, ()), *self._WRITES[kind])
        self._cp(f"s3://{bucket}/{source}", f"s3://{bucket}/{key}", *more)

    def get(self, bucket: str, key: str, kind: str) -> bytes:
        self._cp(f"s3://{bucket}/{key}", str(self._file), *(self._WRITES[kind] if kind == CUSTOMER else ()))
        return self._file.read_bytes()

    def range(self, bucket: str, key: str, kind: str, start: int, length: int) -> bytes:
        own = ("--sse-customer-algorithm", "AES256", "--sse-customer-key", KEY) if kind == CUSTOMER else ()
        place = ("--bucket", bucket, "--key", key, "--range", f"bytes={start}-{start + length - 1}")
        self._run("s3api", "get-object", *place, *own, str(self._file))
        return self._file.read_bytes()

    def _cp(self, *arguments: str) -> None:
        self._run("s3", "cp", "--only-show-errors", *arguments)

    def _run(self, *arguments: str) -> None:
        subprocess.run((tool("aws"), *arguments), env=self._environment, check=True, stdout=subprocess.DEVNULL)


class Rclone:
    """See `Client`: a remote for each kind. Copies between kinds go through the client, others are the server's."""

    _SETTINGS: ClassVar[dict[str, dict[str, str]]] = {
        NONE: {},
        S3: {"SERVER_SIDE_ENCRYPTION": "AES256"},
        KMS: {"SERVER_SIDE_ENCRYPTION": "aws:kms"},
        VAULT: {"SERVER_SIDE_ENCRYPTION": "aws:kms", "SSE_KMS_KEY_ID": VAULT_KEY},
        CUSTOMER: {
            "SSE_CUSTOMER_ALGORITHM": "AES256",
            "SSE_CUSTOMER_KEY_BASE64": base64.b64encode(KEY.encode()).decode(),
        },
    }

    def __init__(self, access: Access, scratch: Path) -> None:
        self._file = scratch / "rclone-file"
        self._environment = {**os.environ, "RCLONE_CONFIG": "/dev/null", "RCLONE_S3_NO_CHECK_BUCKET": "true"}
        for kind, settings in self._SETTINGS.items():
            own = {
                "TYPE": "s3",
                "PROVIDER": "Other",
                "ENDPOINT": access.url,
                "REGION": REGION,
                "ACCESS_KEY_ID": access.key_id,
                "SECRET_ACCESS_KEY": access.secret,
            }
            for name, value in (own | settings).items():
                self._environment[f"RCLONE_CONFIG_{_remote(kind)}_{name}"] = value

    def put(self, bucket: str, key: str, kind: str, data: bytes, *, in_parts: bool = False) -> None:
        self._file.write_bytes(data)
        cutoff = ("--s3-upload-cutoff", "0" if in_parts else "1G", "--s3-chunk-size", "5M")
        self._run("copyto", *cutoff, str(self._file), f"{_remote(kind)}:{bucket}/{key}")

    def copy(self, bucket: str, source: str, source_kind: str, key: str, kind: str) -> None:
        self._run("copyto", f"{_remote(source_kind)}:{bucket}/{source}", f"{_remote(kind)}:{bucket}/{key}")

    def get(self, bucket: str, key: str, kind: str) -> bytes:
        return self._run("cat", f"{_remote(kind)}:{bucket}/{key}")

    def range(self, bucket: str, key: str, kind: str, start: int, length: int) -> bytes:
        span = ("--offset", str(start), "--count", str(length))
        return self._run("cat", *span, f"{_remote(kind)}:{bucket}/{key}")

    def _run(self, *arguments: str) -> bytes:
        command = (tool("rclone"), "--retries", "1", *arguments)
        return subprocess.run(command, env=self._environment, check=True, stdout=subprocess.PIPE).stdout


def _remote(kind: str) -> str:
    return kind.replace(" ", "").replace("-", "").upper()


CLIENTS: dict[str, Callable[[Access, Path], Client]] = {"boto3": Boto3, "awscli": AwsCli, "rclone": Rclone}


def leaks(cluster: Cluster, words: set[bytes]) -> Iterator[str]:
    """Files of a cluster in which one of these words stands, in their bytes or their attributes."""
    for path in cluster.directory.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        held = path.read_bytes() + b"\0".join(os.getxattr(path, name) for name in os.listxattr(path))
        yield from (f"{path}: {word!r}" for word in words if word in held)


def spellings(key: bytes) -> set[bytes]:
    """How a key could stand in a file."""
    return {key, key.hex().encode(), base64.b64encode(key), base64.urlsafe_b64encode(key).rstrip(b"=")}


def rewrap(cluster: Cluster, *buckets: str) -> int:
    """Wrap the data keys of these buckets again (all of the cluster without any); how many were."""
    return run_job(cluster, "rewrap-keys", *buckets)
