"""What takes too long for CI: an object of 8 GiB, a bucket of a million names. Run by `make nightly`.

LARGE_GIB and NAMES make them smaller for a try.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import xxhash
from harness.load import put_empty
from harness.nodes import Watch, resident_bytes
from harness.wire import Api, object_path

from ais.testing import Cluster

LARGE_GIB = float(os.environ.get("LARGE_GIB", "8"))
NAMES = int(os.environ.get("NAMES", "1000000"))
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
