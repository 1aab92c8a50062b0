"""What takes too long for CI: an object of 8 GiB, a bucket of a million names. Run by `make nightly`.

LARGE_GIB and NAMES make them smaller for a try.
"""

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import xxhash
from harness.load import put_empty
from harness.nodes import Watch, eventually, resident_bytes
from harness.wire import Api, object_path

from ais.testing import Cluster

LARGE_GIB = float(os.environ.get("LARGE_GIB", "8"))
NAMES = int(os.environ.get("NAMES", "1000000"))
SHARD_MEMBERS = int(os.environ.get("SHARD_MEMBERS", "1024"))
MIB = 1 << 20


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A cluster for large things: one proxy, three targets."""
    with Cluster(proxies=1, targets=3, mountpaths=2, dir=tmp_path_factory.mktemp("large")) as running:
        yield running


def blocks(count: int) -> Iterator[bytes]:
    """`count` blocks of 1 MiB, each different."""
    block = hashlib.sha256(b"large").digest() * (MIB // 32)
    for number in range(count):
        yield number.to_bytes(8, "big") + block[8:]


class Body:
    """A body of known length that is never in memory as a whole."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count * MIB

    def __iter__(self) -> Iterator[bytes]:
        return blocks(self._count)


@pytest.mark.timeout(0)
def test_large_object_in_constant_memory(large):
    """A PUT and a GET of 8 GiB: the bytes are right, and no node grows by more than 64 MiB."""
    count = int(LARGE_GIB * 1024)
    api = Api(large.endpoint)
    assert api.create("large").status == 200
    api.put("large", "warm-up", b"x" * MIB)
    before = {node.id: resident_bytes(node.pid) for node in large.nodes}
    target = api.call("PUT", object_path("large", "o"), {"provider": "ais"}, redirects=False).header("Location")
    digest = xxhash.xxh64()
    for block in blocks(count):
        digest.update(block)
    with Watch(large.nodes) as watch:
        began = time.monotonic()
        answer = requests.put(target, data=Body(count), timeout=600)
        assert answer.status_code == 200
        put_s = time.monotonic() - began
        assert answer.headers["Ais-Checksum-Value"] == digest.hexdigest()
        read = xxhash.xxh64()
        began = time.monotonic()
        with requests.get(f"{large.endpoint}{object_path('large', 'o')}", stream=True, timeout=600) as answer:
            for part in answer.iter_content(4 * MIB):
                read.update(part)
        get_s = time.monotonic() - began
    assert read.hexdigest() == digest.hexdigest()
    grown = {node_id: (most - before[node_id]) // MIB for node_id, most in watch.most.items()}
    print(f"\n{count} MiB: PUT {count / put_s:.0f} MiB/s, GET {count / get_s:.0f} MiB/s; nodes grew by {grown} MiB")
    assert max(grown.values()) <= 64
    assert api.destroy("large").status == 200


@pytest.mark.timeout(0)
def test_listing_a_million_names(large, tmp_path: Path):
    """A million names: each once and in order, no node above 300 MiB; names per second are printed."""
    api = Api(large.endpoint)
    assert api.create("million").status == 200
    names = [f"class-{number % 1000:04}/sample-{number:07}.jpg" for number in range(NAMES)]
    began = time.monotonic()
    put_empty(large.endpoint, "million", names)
    print(f"\n{NAMES} PUTs in {time.monotonic() - began:.0f} s")
    names.sort()
    for value in ({"props": "name"}, {"props": "name,size,checksum,version,atime"}):
        with Watch(large.nodes) as watch:
            began = time.monotonic()
            index = 0
            for index, entry in enumerate(api.entries("million", **value), start=1):
                assert entry["n"] == names[index - 1]
            took_s = time.monotonic() - began
        most = {node_id: size // MIB for node_id, size in watch.most.items()}
        print(f"{value['props']}: {index / took_s:.0f} names/s, resident memory at most {most} MiB")
        assert index == NAMES
        assert max(most.values()) < 300


def _shard(path: Path) -> None:
    """A tar of members of 1 MiB."""
    with tarfile.open(path, "w") as tar:
        for number, block in enumerate(blocks(SHARD_MEMBERS)):
            info = tarfile.TarInfo(f"m{number:06d}")
            info.size = MIB
            tar.addfile(info, io.BytesIO(block))


def _read(large: Cluster) -> int:
    """Bytes that the targets have read of files so far."""
    lines = [Path(f"/proc/{node.pid}/io").read_text().splitlines()[0] for node in large.targets]
    return sum(int(line.removeprefix("rchar: ")) for line in lines)


@pytest.mark.timeout(0)
def test_one_member_of_a_large_shard(large: Cluster, tmp_path: Path) -> None:
    """Without an index a shard is read up to the member; with one, so much as the member has, whatever its place."""
    api, path = Api(large.endpoint), tmp_path / "shard.tar"
    assert api.create("shards").status == 200
    _shard(path)
    with path.open("rb") as content:
        url = f"{large.endpoint}{object_path('shards', 'shard.tar')}"
        assert requests.put(url, data=content, timeout=600).status_code == 200
    for is_indexed in (False, True):
        if is_indexed:
            assert api.act("POST", "/v1/buckets/shards", "index-shard", value={}).status == 200
            eventually(lambda: _indexed(api) == "1", within_s=600, every_s=1)
        for number in (0, SHARD_MEMBERS // 2, SHARD_MEMBERS - 1):
            before = _read(large)
            found = requests.get(url, params={"archpath": f"m{number:06d}"}, timeout=600)
            read = _read(large) - before
            assert found.content[:8] == number.to_bytes(8, "big")
            assert len(found.content) == MIB
            most = 2 * MIB if is_indexed else (number + 2) * (MIB + 512) + MIB
            assert read <= most, (is_indexed, number, read)
            print(f"member {number}, {'with' if is_indexed else 'without'} index: {read} bytes were read")


def _indexed(api: Api) -> str:
    value = {"uuid": "", "prefix": ""}
    value["uuid"] = api.act("GET", "/v1/buckets/shards", "summary-shard", value=value).body.decode()
    answer = api.act("GET", "/v1/buckets/shards", "summary-shard", value=value)
    return str(answer.json().get("shards", "")) if answer.status == 200 else ""
