"""`aisclient` beside the published SDK and wrk, in one run: ratios.

    python bench/macro/client.py [--rounds 3] [--objects 10000]

One target, one gateway; each is asked in turn, round by round, from one process (wrk: one thread, one connection). A
ratio is the median of those of the rounds, beside its lowest and highest.
"""

import argparse
import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable

from aisclient import Bucket, Client
from aistore.sdk import Bucket as SdkBucket
from aistore.sdk import Client as SdkClient

from ais.testing import Cluster

NAME = "bench"
SMALL, LARGE = 4 << 10, 64 << 20
SDK_SHARE = 10
"""The SDK reads this part of the names: it takes that long."""


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--objects", type=int, default=10_000)
    given = arguments.parse_args()
    with Cluster(proxies=1, targets=1, mountpaths=1) as cluster, Client(cluster.endpoint) as client:
        bucket = client.bucket(NAME).create()
        sdk = SdkClient(cluster.endpoint).bucket(NAME)
        small_objects(bucket, sdk, given.objects, given.rounds)
        large_object(bucket, sdk, cluster.targets[0].url, given.rounds)


def small_objects(bucket: Bucket, sdk: SdkBucket, count: int, rounds: int) -> None:
    """Objects of 4 KiB per second: one after the other, and by `get_many`."""
    content = os.urandom(SMALL)
    names = [f"o{i:06}" for i in range(count)]
    for name in names:
        bucket.object(name).put(content)
    few = names[: max(1, count // SDK_SHARE)]

    def single() -> None:
        for name in names:
            assert len(bucket.object(name).get()) == SMALL

    def many() -> None:
        assert sum(len(data or b"") for _, data in bucket.get_many(names)) == SMALL * count

    def of_sdk(*, direct: bool) -> None:
        for name in few:
            assert len(sdk.object(name).get_reader(direct=direct).read_all()) == SMALL

    report(
        "4 KiB objects/s",
        {
            "SDK": (len(few), lambda: of_sdk(direct=False)),
            "SDK direct": (len(few), lambda: of_sdk(direct=True)),
            "get": (count, single),
            "get_many": (count, many),
        },
        [("get", "SDK direct"), ("get_many", "SDK"), ("get_many", "SDK direct"), ("get_many", "get")],
        rounds,
    )


def large_object(bucket: Bucket, sdk: SdkBucket, target: str, rounds: int) -> None:
    """An object of 64 MiB, MiB per second; wrk reads and forgets it, the others verify its checksum or keep it."""
    bucket.object("large").put(os.urandom(LARGE))
    buffer, times, mib = bytearray(LARGE), 10, 10 * LARGE >> 20

    def repeat(call: Callable[[], object]) -> Callable[[], object]:
        return lambda: [call() for _ in range(times)]

    def wrk() -> float:
        url = f"{target}/v1/objects/{NAME}/large"
        shown = subprocess.run(["wrk", "-t1", "-c1", "-d2", url], capture_output=True, text=True, check=True).stdout
        found = re.search(r"Requests/sec:\s+([\d.]+)", shown)
        assert found, shown
        return float(found[1]) * LARGE / (1 << 20)

    report(
        "64 MiB, MiB/s",
        {
            "wrk": (0, wrk),
            "SDK direct": (mib, repeat(lambda: sdk.object("large").get_reader(direct=True).read_all())),
            "get": (mib, repeat(bucket.object("large").get)),
            "get, not verified": (mib, repeat(lambda: bucket.object("large").get(verify=False))),
            "read_into": (mib, repeat(lambda: bucket.object("large").read_into(buffer))),
            "read_into, not verified": (mib, repeat(lambda: bucket.object("large").read_into(buffer, verify=False))),
        },
        [("read_into", "wrk"), ("read_into, not verified", "wrk"), ("get", "wrk"), ("get", "SDK direct")],
        rounds,
    )


def report(
    title: str, ways: dict[str, tuple[int, Callable[[], object]]], pairs: list[tuple[str, str]], rounds: int
) -> None:
    """Run all ways in turn; print the median rate of each and the ratios. A way of 0 units tells its rate itself."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):  # the first warms up
        for name, (units, call) in ways.items():
            started = time.perf_counter()
            told = call()
            rate = told if not units and isinstance(told, float) else units / (time.perf_counter() - started)
            if number:
                rates[name].append(rate)
    print(f"{title}: " + ", ".join(f"{name} {statistics.median(found):,.0f}" for name, found in rates.items()))
    for one, other in pairs:
        ratios = [mine / theirs for mine, theirs in zip(rates[one], rates[other], strict=True)]
        print(f"  {one} / {other}: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
