"""Remote buckets at full size: many objects, of which a target is killed in between, and one that is large."""

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
import xxhash
from harness.gate import Gate, gate_before
from harness.generator import generating, in_thread
from harness.nodes import eventually
from harness.wire import Api, message

from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.listing import LsoMsg
from ais.client.client import Client
from ais.testing import Cluster

OBJECTS = int(os.environ.get("REMOTE_OBJECTS", "20000"))
BYTES = int(os.environ.get("REMOTE_BYTES", str(4 << 30)))
CLIENTS = 16
NAME = "many-objects"
IN_FLIGHT_MAX = 64
"""Fetches of a target that its death may repeat."""


def _content(number: int) -> bytes:
    return b"object %06d of many" % number


def _act(cluster: Cluster, method: str, path: str, action: str, value: Any) -> str:
    answer = Api(cluster.endpoint).call(method, path, body=message(action, value=value))
    assert answer.status == 200, answer.body
    return answer.body.decode()


def _job(cluster: Cluster, uuid: str) -> None:
    def is_over() -> bool:
        body = json.dumps({"id": uuid}).encode()
        answer = Api(cluster.endpoint).call("GET", "/v1/cluster?what=qryxstats", body=body)
        if answer.status != 200:
            return False
        snaps = [snap for found in answer.json().values() for snap in found or ()]
        ended = not any(snap["end-time"].startswith("0001") for snap in snaps)
        assert not ended or not any(snap["err"] for snap in snaps), snaps
        return ended

    eventually(is_over, within_s=1800, every_s=0.5)


async def _read_all(endpoint: str) -> None:
    """Sixteen clients, of which two ask for each object at the same time."""

    async def read(client: Client, share: int) -> None:
        for number in range(share, OBJECTS, CLIENTS // 2):
            assert await client.objects.read(Bck(NAME, "aws"), f"o{number:06d}") == _content(number), number

    async with Client(endpoint) as client:
        await asyncio.gather(*(read(client, number // 2) for number in range(CLIENTS)))


async def _names(endpoint: str, flags: int = 0) -> int:
    async with Client(endpoint) as client:
        return len([one async for one in client.buckets.objects(Bck(NAME, "aws"), LsoMsg(flags=U64(flags)))])


def test_many_objects(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed, half of it prefetched while a target is killed, read twice, evicted, read: each is fetched once."""
    origin = boto3.client("s3", endpoint_url=aws)
    origin.create_bucket(Bucket=NAME)
    for number in range(OBJECTS):
        origin.put_object(Bucket=NAME, Key=f"o{number:06d}", Body=_content(number))
    with in_thread(lambda: gate_before(aws)) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
        with Cluster(1, 3, 2) as cluster:
            _act(cluster, "PUT", "/v1/cluster", "set-config", {"backend": {"aws": {}}})
            assert asyncio.run(_names(cluster.endpoint)) == OBJECTS
            assert sum(gate.reads.values()) == 0
            template = f"o{{000000..{OBJECTS // 2 - 1:06d}}}"
            path = f"/v1/buckets/{NAME}?provider=aws"
            uuid = _act(cluster, "POST", path, "prefetch-listrange", {"template": template})
            eventually(lambda: sum(gate.reads.values()) > OBJECTS // 10, within_s=600)
            victim = cluster.targets[0]
            cluster.kill(victim)
            cluster.restart(victim)
            cluster.wait_ready()
            _job(cluster, uuid)
            assert asyncio.run(_names(cluster.endpoint, 1)) == OBJECTS // 2
            _check(gate, OBJECTS // 2, IN_FLIGHT_MAX)
            for _ in range(2):
                asyncio.run(_read_all(cluster.endpoint))
            _check(gate, OBJECTS, IN_FLIGHT_MAX)
            _job(cluster, _act(cluster, "DELETE", path, "evict-listrange", {"template": ""}))
            assert asyncio.run(_names(cluster.endpoint, 1)) == 0
            gate.reads.clear()
            started_s = time.monotonic()
            asyncio.run(_read_all(cluster.endpoint))
            took_s = time.monotonic() - started_s
            _check(gate, OBJECTS, 0)
    print(f"{OBJECTS} objects read cold by {CLIENTS} clients in {took_s:.1f} s, one GET each at the backend")


def _check(gate: Gate, names: int, repeated_max: int) -> None:
    assert len(gate.reads) == names
    assert names <= sum(gate.reads.values()) <= names + repeated_max


def _rss_peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError(pid)


async def _read_through(url: str, into: Path | None = None) -> tuple[int, float, float]:
    """Bytes, seconds to the first and to the last of them, with the plain client library; hashed and stored, too."""
    started_s, first_s, count = time.monotonic(), 0.0, 0
    hasher = xxhash.xxh64()
    with open(into or os.devnull, "wb", buffering=0) as file:  # noqa: ASYNC230 - nothing else runs in this loop
        async for chunk in _pieces(url):
            first_s = first_s or time.monotonic() - started_s
            count += len(chunk)
            if into is not None:
                hasher.update(chunk)
                file.write(chunk)
    return count, first_s, time.monotonic() - started_s


async def _pieces(url: str) -> AsyncIterator[bytes]:
    async with aiohttp.ClientSession(read_bufsize=1 << 20) as http, http.get(url) as answer:
        assert answer.status == 200
        async for chunk in answer.content.iter_any():
            yield chunk


def test_a_large_object(tmp_path: Path) -> None:
    """A cold GET streams from the first bytes on and its memory is flat; a range reads what it needs."""
    local = {"egress_networks": ["127.0.0.0/8"]}
    with in_thread(lambda: generating(BYTES)) as origin, Cluster(1, 1, 1, local=local) as cluster:
        _act(cluster, "PUT", "/v1/cluster", "set-config", {"backend": {"ht": {}}})
        value = {"extra": {"http": {"original_url": origin.url}}}
        _act(cluster, "POST", "/v1/buckets/pages?provider=ht", "create-bck", value)
        url = f"{cluster.endpoint}/v1/objects/pages/file?provider=ht"
        start, length = BYTES // 2 + 7, 4 << 20
        asked = urllib.request.Request(url, headers={"Range": f"bytes={start}-{start + length - 1}"})
        with urllib.request.urlopen(asked) as answer:
            assert answer.read() == origin.content(start, length)
        assert origin.sent <= length + 1  # and one to look at it
        before = _rss_peak(cluster.targets[0].pid)
        cold = asyncio.run(_read_through(url))
        grown = _rss_peak(cluster.targets[0].pid) - before
        plain = asyncio.run(_read_through(f"{origin.url}/file"))
        kept = asyncio.run(_read_through(f"{origin.url}/file", tmp_path / "kept"))
        (tmp_path / "kept").unlink()
        sent = origin.sent
        warm = asyncio.run(_read_through(url))
        assert cold[0] == warm[0] == plain[0] == kept[0] == BYTES
        assert origin.sent == sent
        assert grown < 64 << 20
    reads = {"cold": cold, "plain": plain, "plain and kept": kept, "warm": warm}
    speeds = ", ".join(f"{what} {BYTES / one[2] / 1e6:.0f} MB/s" for what, one in reads.items())
    print(
        f"{BYTES >> 20} MiB: first byte {cold[1] * 1e3:.0f} ms, plain {plain[1] * 1e3:.0f} ms; {speeds}; memory grew "
        f"by {grown >> 20} MiB"
    )
