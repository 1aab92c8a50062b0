"""Get-batch beside single GETs, by the published SDK, in one run: ratios of objects per second.

    python bench/macro/batch.py [--objects 10000] [--rounds 3]

Both are asked from one process, one after the other, round by round. 1.0 means: as fast as the loop over single GETs.
"""

import argparse
import os
import statistics
import time

from aistore.sdk import Client

from ais.testing import Cluster

BYTES_HELD_MAX = 4 << 30


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--objects", type=int, default=10_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with Cluster(proxies=1, targets=3) as cluster:
        client = Client(cluster.endpoint)
        for size in (10 << 10, 1 << 20):
            compare(client, size, min(given.objects, BYTES_HELD_MAX // size), given.rounds)


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
        f" first object after {statistics.median(first) * 1000:.0f} ms"
    )
    bucket.delete()


if __name__ == "__main__":
    main()
