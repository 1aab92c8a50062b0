"""`aws s3 cp` of 8 GiB up and down through a gateway, beside a native transfer of the same bytes. `make nightly`.

LARGE_GIB makes it smaller for a try.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import xxhash
from harness.nodes import Watch, resident_bytes
from harness.s3access import boto, new_access, tool
from harness.wire import Api, object_path

from ais.testing import Cluster

LARGE_GIB = float(os.environ.get("LARGE_GIB", "8"))
MIB = 1 << 20
GROWTH_MIB_MAX = 64


@pytest.fixture(scope="module")
def large() -> Iterator[Cluster]:
    """A cluster for large things: one proxy, three targets."""
    with Cluster(proxies=1, targets=3, mountpaths=2, config_overrides={"auth.enabled": "true"}) as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is gone after the test: pytest keeps its own."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@contextmanager
def measured(what: str, size_bytes: int) -> Iterator[None]:
    """Print how fast the block moved so many bytes."""
    began = time.monotonic()
    yield
    print(f"{what}: {size_bytes / 1e6 / (time.monotonic() - began):.0f} MB/s")


def write_file(path: Path, count: int) -> str:
    """Write `count` different MiB; their digest."""
    digest, block = xxhash.xxh64(), os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(count):
            part = number.to_bytes(8, "big") + block[8:]
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    """The digest of a file's content."""
    digest = xxhash.xxh64()
    with path.open("rb") as file:
        while part := file.read(4 * MIB):
            digest.update(part)
    return digest.hexdigest()


@pytest.mark.timeout(0)
def test_aws_s3_cp_in_constant_memory(large: Cluster, folder: Path) -> None:
    """8 GiB go up and down whole, and no node grows by more than 64 MiB; native speed is printed beside it."""
    access = new_access(large, "alice")
    boto(access).create_bucket(Bucket="large")
    boto(access).put_object(Bucket="large", Key="warm-up", Body=b"x" * MIB)
    source, back, count = folder / "source", folder / "back", int(LARGE_GIB * 1024)
    digest, size_bytes = write_file(source, count), count * MIB
    environment = {**os.environ, **access.environment()}

    def cp(origin: str, destination: str) -> None:
        command = [tool("aws"), "s3", "cp", "--only-show-errors", origin, destination]
        subprocess.run(command, env=environment, check=True)

    print(f"\n{count} MiB")
    move_natively(large, source, digest, size_bytes)
    before = {node.id: resident_bytes(node.pid) for node in large.nodes}
    with Watch(large.nodes) as watch:
        with measured("aws s3 cp up", size_bytes):
            cp(str(source), "s3://large/o")
        with measured("aws s3 cp down", size_bytes):
            cp("s3://large/o", str(back))
    assert digest_of(back) == digest
    grown = {node_id: (most - before[node_id]) // MIB for node_id, most in watch.most.items()}
    print(f"nodes grew by {grown} MiB")
    assert max(grown.values()) <= GROWTH_MIB_MAX


def move_natively(cluster: Cluster, source: Path, digest: str, size_bytes: int) -> None:
    """The same bytes up and down by redirects to the owner, one stream, removed afterwards."""
    root = new_access(cluster, "root", admin=True)
    api, path = Api(root.url, (root.key_id, root.secret)), object_path("large", "native")
    target, at = (
        api.call(method, path, {"provider": "ais"}, redirects=False).header("Location") for method in ("PUT", "GET")
    )
    with measured("native PUT", size_bytes), source.open("rb") as file:
        assert requests.put(target, data=file, timeout=600).status_code == 200
    read = xxhash.xxh64()
    with measured("native GET", size_bytes), requests.get(at, stream=True, timeout=600) as got:
        for part in got.iter_content(4 * MIB):
            read.update(part)
    assert read.hexdigest() == digest
    assert api.delete("large", "native").status == 200
