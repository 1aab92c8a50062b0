"""Clients x schemes x ways to store x checksums x sizes: what each client can express, and how it is tried.

boto3 and awscli choose every checksum. s3fs does too, but completes a multipart upload without naming the parts'
checksums, which S3 refuses when the object's is to be a composite of them: there crc64nvme, none and botocore's
`default` remain, where only the parts carry one. minio-py and pyarrow have no choice at all: `default`. A client
decides by the size whether an upload has parts; sizes that would not go the way asked for are left out.
"""

import base64
import functools
import hashlib
import io
import itertools
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import minio
import pyarrow.fs
import s3fs
import urllib3
from awscrt import checksums as crt
from boto3.s3.transfer import TransferConfig
from minio.commonconfig import CopySource

from harness import s3raw
from harness.s3access import REGION, Access, boto, tool

MIB = 1 << 20
PART = 5 * MIB
SMALL = (0, 1, PART + 1)
LARGE = 64 * MIB
SIZES = (*SMALL, LARGE)
SCHEMES = ("http", "https")
WAYS = ("put", "multipart", "copy")
CHOOSABLE = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256", "none")
DEFAULT = ("default",)


class Case(NamedTuple):
    """One combination."""

    client: str
    scheme: str
    way: str
    checksum: str
    size_bytes: int

    @property
    def name(self) -> str:
        """As the test's id."""
        return "-".join(map(str, self))


class Client(Protocol):
    """One client with one choice of checksum. `scratch` is a folder for its files."""

    checksums: ClassVar[tuple[str, ...]]

    def __init__(self, access: Access, checksum: str, scratch: Path) -> None: ...

    @staticmethod
    def can(way: str, checksum: str, size_bytes: int) -> bool:
        """Whether the client goes this way with an object of this size."""

    def put(self, bucket: str, key: str, data: bytes) -> None: ...

    def multipart(self, bucket: str, key: str, data: bytes) -> None: ...

    def copy(self, bucket: str, source: str, key: str) -> None: ...

    def get(self, bucket: str, key: str) -> bytes: ...


class Boto3:
    """botocore's calls for single PUTs and copies, the transfer manager for parts."""

    checksums = CHOOSABLE

    def __init__(self, access: Access, checksum: str, scratch: Path) -> None:
        chosen = checksum != "none"
        when = "when_supported" if chosen else "when_required"
        self._s3 = boto(access, request_checksum_calculation=when, response_checksum_validation=when)
        self._choice = {"ChecksumAlgorithm": checksum.upper()} if chosen else {}

    @staticmethod
    def can(way: str, checksum: str, size_bytes: int) -> bool:
        return True

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=bucket, Key=key, Body=data, **self._choice)

    def multipart(self, bucket: str, key: str, data: bytes) -> None:
        config = TransferConfig(multipart_threshold=1, multipart_chunksize=PART)
        self._s3.upload_fileobj(io.BytesIO(data), bucket, key, ExtraArgs=self._choice, Config=config)

    def copy(self, bucket: str, source: str, key: str) -> None:
        self._s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": source}, **self._choice)

    def get(self, bucket: str, key: str) -> bytes:
        data = io.BytesIO()
        self._s3.download_fileobj(bucket, key, data)
        return data.getvalue()


class AwsCli:
    """`aws s3 cp` of files, a process for each call."""

    checksums = CHOOSABLE

    def __init__(self, access: Access, checksum: str, scratch: Path) -> None:
        self._file, self._settings = scratch / "file", scratch / "config"
        self._environment = {**os.environ, **access.environment(), "AWS_CONFIG_FILE": str(self._settings)}
        self._choice = ("--checksum-algorithm", checksum.upper())
        if checksum == "none":
            self._choice = ()
            self._environment["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
            self._environment["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"

    @staticmethod
    def can(way: str, checksum: str, size_bytes: int) -> bool:
        return True

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self._upload(bucket, key, data, threshold_bytes=1 << 30)

    def multipart(self, bucket: str, key: str, data: bytes) -> None:
        self._upload(bucket, key, data, threshold_bytes=1)

    def copy(self, bucket: str, source: str, key: str) -> None:
        self._cp(f"s3://{bucket}/{source}", f"s3://{bucket}/{key}", *self._choice)

    def get(self, bucket: str, key: str) -> bytes:
        self._cp(f"s3://{bucket}/{key}", str(self._file))
        return self._file.read_bytes()

    def _upload(self, bucket: str, key: str, data: bytes, threshold_bytes: int) -> None:
        self._settings.write_text(
            f"[default]\ns3 =\n  multipart_threshold = {threshold_bytes}\n  multipart_chunksize = {PART}\n"
        )
        self._file.write_bytes(data)
        self._cp(str(self._file), f"s3://{bucket}/{key}", *self._choice)

    def _cp(self, *arguments: str) -> None:
        command = (tool("aws"), "s3", "cp", "--only-show-errors", *arguments)
        subprocess.run(command, env=self._environment, check=True)


class MinioPy:
    """minio-py, which has no checksum to choose."""

    checksums = DEFAULT

    def __init__(self, access: Access, checksum: str, scratch: Path) -> None:
        pool = urllib3.PoolManager(ca_certs=access.ca, retries=False)
        self._s3 = minio.Minio(
            access.host,
            access_key=access.key_id,
            secret_key=access.secret,
            secure=access.scheme == "https",
            region=REGION,
            http_client=pool,
        )

    @staticmethod
    def can(way: str, checksum: str, size_bytes: int) -> bool:
        return way != "multipart" or size_bytes > PART

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self._s3.put_object(bucket, key, io.BytesIO(data), len(data), part_size=max(PART, len(data)))

    def multipart(self, bucket: str, key: str, data: bytes) -> None:
        self._s3.put_object(bucket, key, io.BytesIO(data), len(data), part_size=PART)

    def copy(self, bucket: str, source: str, key: str) -> None:
        self._s3.copy_object(bucket, key, CopySource(bucket, source))

    def get(self, bucket: str, key: str) -> bytes:
        response = self._s3.get_object(bucket, key)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()


class S3Fs:
    """s3fs: `pipe_file` for single PUTs, a file written in blocks for parts."""

    checksums = (*CHOOSABLE, *DEFAULT)

    def __init__(self, access: Access, checksum: str, scratch: Path) -> None:
        when = "when_required" if checksum == "none" else "when_supported"
        self._fs = s3fs.S3FileSystem(
            key=access.key_id,
            secret=access.secret,
            endpoint_url=access.url,
            client_kwargs={"region_name": REGION, "verify": access.ca},
            config_kwargs={"request_checksum_calculation": when, "response_checksum_validation": when},
            s3_additional_kwargs={"ChecksumAlgorithm": checksum.upper()} if checksum in DIGESTS else {},
        )

    @staticmethod
    def can(way: str, checksum: str, size_bytes: int) -> bool:
        return way != "multipart" or (size_bytes > PART and checksum in ("crc64nvme", "none", *DEFAULT))

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self._fs.pipe_file(f"{bucket}/{key}", data, chunksize=1 << 30)

    def multipart(self, bucket: str, key: str, data: bytes) -> None:
        with self._fs.open(f"{bucket}/{key}", "wb", block_size=PART) as file:
            for start in range(0, len(data), PART):  # a part is what is there after a write
                file.write(data[start : start + PART])

    def copy(self, bucket: str, source: str, key: str) -> None:
        self._fs.cp_file(f"{bucket}/{source}", f"{bucket}/{key}")

    def get(self, bucket: str, key: str) -> bytes:
        return self._fs.cat_file(f"{bucket}/{key}")


class PyArrow:
    """pyarrow's S3FileSystem, which has no checksum to choose; a stream of less than 5 MiB is a single PUT."""

    checksums = DEFAULT

    def __init__(self, access: Access, checksum: str, scratch: Path) -> None:
        def connect(*, delayed: bool) -> pyarrow.fs.S3FileSystem:
            return pyarrow.fs.S3FileSystem(
                access_key=access.key_id,
                secret_key=access.secret,
                endpoint_override=access.host,
                scheme=access.scheme,
                region=REGION,
                allow_delayed_open=delayed,
                tls_ca_file_path=access.ca,
            )

        self._single, self._parts = connect(delayed=True), connect(delayed=False)

    @staticmethod
    def can(way: str, checksum: str, size_bytes: int) -> bool:
        return way != "put" or size_bytes < PART

    def put(self, bucket: str, key: str, data: bytes) -> None:
        with self._single.open_output_stream(f"{bucket}/{key}") as stream:
            stream.write(data)

    def multipart(self, bucket: str, key: str, data: bytes) -> None:
        with self._parts.open_output_stream(f"{bucket}/{key}") as stream:
            stream.write(data)

    def copy(self, bucket: str, source: str, key: str) -> None:
        self._parts.copy_file(f"{bucket}/{source}", f"{bucket}/{key}")

    def get(self, bucket: str, key: str) -> bytes:
        with self._parts.open_input_file(f"{bucket}/{key}") as file:
            return file.read()


CLIENTS: dict[str, type[Client]] = {
    "boto3": Boto3,
    "awscli": AwsCli,
    "minio-py": MinioPy,
    "s3fs": S3Fs,
    "pyarrow": PyArrow,
}


def all_cases() -> list[Case]:
    """Everything the clients can express."""
    return [case for client in CLIENTS for case in _cases_of(client)]


def some_cases() -> list[Case]:
    """For boto3 all small ones; each other client every way, sizes and schemes in turn; 64 MiB once."""
    cases = [case for case in _cases_of("boto3") if case.size_bytes != LARGE]
    for turn, client in enumerate(CLIENTS):
        if client != "boto3":
            cases += _in_turn(client, turn)
        large = (case for case in _cases_of(client) if (case.way, case.size_bytes) == ("multipart", LARGE))
        cases.append(next(case for case in large if case.scheme == SCHEMES[turn % len(SCHEMES)]))
    return cases


def _cases_of(client: str) -> Iterator[Case]:
    kind = CLIENTS[client]
    for scheme, way, checksum, size_bytes in itertools.product(SCHEMES, WAYS, kind.checksums, SIZES):
        if kind.can(way, checksum, size_bytes):
            yield Case(client, scheme, way, checksum, size_bytes)


def _in_turn(client: str, first: int) -> Iterator[Case]:
    """One case for each way, the schemes, checksums and sizes in turn."""
    kind = CLIENTS[client]
    for turn, way in enumerate(WAYS, first):
        scheme = SCHEMES[turn % len(SCHEMES)]
        possible = [
            (checksum, size_bytes)
            for checksum, size_bytes in itertools.product(kind.checksums, SMALL)
            if kind.can(way, checksum, size_bytes)
        ]
        wanted = kind.checksums[turn % len(kind.checksums)]
        matching = [one for one in possible if one[0] == wanted] or possible
        yield Case(client, scheme, way, *matching[turn % len(matching)])


def exercise(case: Case, access: Access, bucket: str, scratch: Path) -> None:
    """Store an object as the case says; it must read back the same by the client and from the plain bytes of a GET."""
    client = CLIENTS[case.client](access, case.checksum, scratch)
    data, key = content(case.size_bytes), f"dir/{case.name}"
    if case.way == "copy":
        store = client.put if client.can("put", case.checksum, case.size_bytes) else client.multipart
        store(bucket, f"{key}.source", data)
        client.copy(bucket, f"{key}.source", key)
    else:
        (client.put if case.way == "put" else client.multipart)(bucket, key, data)
    assert client.get(bucket, key) == data
    answer = s3raw.call(access, "GET", f"/{bucket}/{key}", headers={"x-amz-checksum-mode": "ENABLED"})
    assert answer.status == 200
    assert answer.body == data
    if case.checksum in DIGESTS:
        kept = answer.header(f"x-amz-checksum-{case.checksum}")
        assert kept in possible_checksums(case.checksum, data), answer.headers


def _crc(function: Callable[[bytes], int], size_bytes: int) -> Callable[[bytes], bytes]:
    return lambda data: function(data).to_bytes(size_bytes, "big")


DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": _crc(crt.crc32, 4),
    "crc32c": _crc(crt.crc32c, 4),
    "crc64nvme": _crc(crt.crc64nvme, 8),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


def possible_checksums(name: str, data: bytes) -> set[str]:
    """Of the whole object, and of its parts as a composite (`value-N`)."""
    digest = DIGESTS[name]
    parts = [data[start : start + PART] for start in range(0, len(data), PART)]
    composite = base64.b64encode(digest(b"".join(map(digest, parts)))).decode()
    return {base64.b64encode(digest(data)).decode(), f"{composite}-{len(parts)}"}


@functools.lru_cache(maxsize=len(SIZES))
def content(size_bytes: int) -> bytes:
    """The reproducible bytes of an object of this size."""
    return random.Random(size_bytes).randbytes(size_bytes)
