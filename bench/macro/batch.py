"""Get-batch beside single GETs, by the published SDK, in one run: ratios of objects per second.

    python bench/macro/batch.py [--objects 10000] [--rounds 3]

Both are asked from one process, one after the other, round by round. 1.0 means: as fast as the loop over single GETs.
Then how much memory the nodes took meanwhile, and what a batch ends with while one target is frozen.
"""

import argparse
import http.client
import json
import os
import signal
import statistics
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psutil
from aistore.sdk import Client

from ais.testing import Cluster, Node

BYTES_HELD_MAX = 4 << 30
MAX_WAIT_S = 5


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--objects", type=int, default=10_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with Cluster(proxies=1, targets=3, config_overrides={"get_batch.max_wait": f"{MAX_WAIT_S}s"}) as cluster:
        client = Client(cluster.endpoint)
        for size in (10 << 10, 1 << 20):
            with memory(cluster.nodes):
                compare(client, size, min(given.objects, BYTES_HELD_MAX // size), given.rounds)
        frozen(cluster, client)


@contextmanager
def memory(nodes: Iterable[Node]) -> Iterator[None]:
    """Print by how much the nodes' resident memory grew within a block, at most."""
    processes = [psutil.Process(node.pid) for node in nodes]
    before, most, is_over = [one.memory_info().rss for one in processes], [0] * len(processes), threading.Event()

    def watch() -> None:
        while not is_over.wait(0.05):
            most[:] = [max(known, one.memory_info().rss) for known, one in zip(most, processes, strict=True)]

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        is_over.set()
        watching.join()
    grown = [f"{max(0, now - then) >> 20} MiB" for now, then in zip(most, before, strict=True)]
    print(f"    resident memory of the nodes grew by {', '.join(grown)}")


def frozen(cluster: Cluster, client: Client) -> None:
    """Print what a batch ends with, and when, while one target does not answer; asked of another, without retries."""
    bucket = client.bucket("frozen").create()
    names = [f"o{number:03}" for number in range(300)]
    for name in names:
        bucket.object(name).get_writer().put_content(bytes(20_000))
    victim = cluster.targets[0]
    cluster.signal(victim, signal.SIGSTOP)
    body = json.dumps({"in": [{"objname": name} for name in names], "mime": ".tar", "strm": True}).encode()
    try:
        url = f"{cluster.endpoint}/v1/ml/moss/frozen?provider=ais"
        while url.startswith((cluster.endpoint, victim.url)):
            url = ask(f"{cluster.endpoint}/v1/ml/moss/frozen?provider=ais", body)[1]
        started = time.perf_counter()
        status, _, said = ask(url, body)
        print(f"    with a frozen target after {time.perf_counter() - started:.1f} s: {status} {said[:200]!r}")
    finally:
        cluster.signal(victim, signal.SIGCONT)


def ask(url: str, body: bytes) -> tuple[int, str, bytes]:
    """Status, `Location` and body of one GET."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location", ""), answer.read()
    finally:
        connection.close()


def compare(client: Client, size: int, count: int, rounds: int) -> None:
    """Print one line for objects of `size` bytes."""
    bucket = client.bucket(f"batch{size}").create()
    names = [f"o{i:06}" for i in range(count)]
    content = os.urandom(size)
    for name in names:
        bucket.object(name).get_writer().put_content(content)
    single, batched, first = [], [], []
    for _ in range(rounds):
        started = time.perf_counter()
        for name in names[: max(200, count // 10)]:
            assert len(bucket.object(name).get_reader().read_all()) == size
        single.append(max(200, count // 10) / (time.perf_counter() - started))
        started, found = time.perf_counter(), 0
        for _, data in client.batch(names, bucket).get():
            if not found:
                first.append(time.perf_counter() - started)
            found += 1
            assert len(data) == size
        assert found == count
        batched.append(count / (time.perf_counter() - started))
    one, many = statistics.median(single), statistics.median(batched)
    print(
        f"{size >> 10} KiB x {count}: single {one:,.0f}/s, get-batch {many:,.0f}/s, ratio {many / one:.1f},"
        f" first object after {statistics.median(first) * 1000:.0f} ms of {count / many * 1000:,.0f}"
    )
    bucket.delete()


if __name__ == "__main__":
    main()
