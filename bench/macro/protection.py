"""What protection costs: slices alone beside plain objects, and each level of acknowledgement, in one run.

usage: python bench/macro/protection.py [--rounds 5] [--seconds 2] [--dir D]

One gateway and five targets share the machine with the clients, as processes of one cluster. Requests go straight to
the owner of each object. Every round asks each bucket in turn, so a ratio compares requests of the same seconds;
figures are medians of the rounds. `1 client` shows what a request takes, `16 clients` what the machine gives.
"""

import argparse
import http.client
import json
import os
import statistics
import tempfile
import threading
import time
import urllib.parse
from collections import defaultdict
from pathlib import Path
from typing import Any

from ais.meta.placement import Candidates
from ais.meta.smap import digest
from ais.testing import Cluster

KIB, MIB = 1 << 10, 1 << 20
EC = {"enabled": True, "data_slices": 2, "parity_slices": 2, "objsize_limit": 1}
BUCKETS: dict[str, dict[str, Any]] = {
    "plain": {},
    "alone": {"ec": EC, "protection": {"slices_only": True}},
    "replica": {"ec": EC},
    "mirror": {"mirror": {"enabled": True, "copies": 2}},
}
GETS = ("plain", "alone")
PUTS = (
    ("plain", "cached"),
    ("plain", "synced"),
    ("mirror", "cached"),
    ("mirror", "all"),
    ("mirror", "all-synced"),
    ("replica", "cached"),
    ("replica", "all"),
    ("replica", "all-synced"),
    ("alone", "cached"),
    ("alone", "all"),
    ("alone", "all-synced"),
)
COUNTS = {4 * KIB: 64, 64 * KIB: 64, MIB: 16, 64 * MIB: 3}


class Bench:
    """The cluster and its clients."""

    def __init__(self, directory: Path, seconds: float) -> None:
        self._seconds = seconds
        self._cluster = Cluster(1, 5, 2, dir=directory / "ais")
        self._serial = 0

    def __enter__(self) -> "Bench":
        self._cluster.__enter__()
        self._urls = {node.id: node.url for node in self._cluster.targets}
        gateway = urllib.parse.urlsplit(self._cluster.endpoint)
        for bucket, patch in BUCKETS.items():
            for method, action, value in (("POST", "create-bck", None), ("PATCH", "set-bprops", patch)):
                connection = http.client.HTTPConnection(gateway.hostname or "", gateway.port)
                body = json.dumps({"action": action, "value": value})
                connection.request(method, f"/v1/buckets/{bucket}?provider=ais", body)
                answer = connection.getresponse()
                assert answer.status == 200, answer.read()
                connection.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.__exit__(None, None, None)

    def owner(self, bucket: str, name: str) -> str:
        """The URL of the target that owns a name."""
        return self._urls[_owner(tuple(self._urls), f"ais/@#/{bucket}/{name}")]

    def fill(self, size: int) -> None:
        """Objects to read."""
        for bucket in GETS:
            for number in range(COUNTS[size]):
                Client(self).put(bucket, f"get/{size}/{number}", os.urandom(size), "cached")

    def gets(self, bucket: str, size: int, clients: int) -> float:
        """Reads per second."""

        def step(client: "Client", turn: int) -> None:
            client.get(bucket, f"get/{size}/{turn % COUNTS[size]}", size)

        return self._rate(step, clients)

    def puts(self, bucket: str, level: str, size: int, clients: int) -> float:
        """Writes per second, of new names."""
        body = os.urandom(size)
        self._serial += 1
        serial = self._serial

        def step(client: "Client", turn: int) -> None:
            client.put(bucket, f"put/{serial}/{client.number}.{turn}", body, level)

        return self._rate(step, clients)

    def _rate(self, step: Any, clients: int) -> float:
        done = [0] * clients
        ends_s = time.perf_counter() + self._seconds

        def run(number: int) -> None:
            client = Client(self, number)
            while time.perf_counter() < ends_s:
                step(client, done[number] + number * 7)
                done[number] += 1

        threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
        started_s = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - started_s)


class Client:
    """Keeps a connection to each target."""

    def __init__(self, bench: Bench, number: int = 0) -> None:
        self.number = number
        self._bench = bench
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def get(self, bucket: str, name: str, size: int) -> None:
        """Read an object."""
        answer = self._ask("GET", bucket, name)
        assert (answer.status, sum(map(len, iter(lambda: answer.read(MIB), b"")))) == (200, size)

    def put(self, bucket: str, name: str, body: bytes, level: str) -> None:
        """Write an object."""
        headers = {} if level == "cached" else {"Ais-Ack": level}
        answer = self._ask("PUT", bucket, name, body, headers)
        assert answer.status == 200, answer.read()
        answer.read()

    def _ask(
        self, method: str, bucket: str, name: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        url = self._bench.owner(bucket, name)
        connection = self._connections.get(url)
        if connection is None:
            split = urllib.parse.urlsplit(url)
            connection = self._connections[url] = http.client.HTTPConnection(split.hostname or "", split.port)
        marks = f"pid=bench&utm={time.time_ns()}"
        connection.request(method, f"/v1/objects/{bucket}/{name}?provider=ais&{marks}", body, headers or {})
        return connection.getresponse()


def _owner(ids: tuple[str, ...], uname: str) -> str:
    return ids[Candidates([digest(one) for one in ids]).best(digest(uname))]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--dir", default=None, help="where the data goes; by default a temporary directory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as scratch, Bench(Path(scratch), arguments.seconds) as bench:
        print("| GET of slices alone (2+2) / plain | 1 client | ratio | 16 clients | ratio |\n|---|---|---|---|---|")
        for size in (64 * KIB, MIB, 64 * MIB):
            bench.fill(size)
            found: dict[tuple[str, int], list[float]] = defaultdict(list)
            for _ in range(arguments.rounds):
                for clients in (1, 16):
                    for bucket in GETS:
                        found[bucket, clients].append(bench.gets(bucket, size, clients))
            print(f"| {size // KIB} KiB {_row(found, GETS[1], GETS[0])} |", flush=True)
        for size in (4 * KIB, MIB):
            found = defaultdict(list)
            for _ in range(arguments.rounds):
                for clients in (1, 16):
                    for bucket, level in PUTS:
                        found[f"{bucket} {level}", clients].append(bench.puts(bucket, level, size, clients))
            print(f"\n| PUT {size // KIB} KiB | 1 client | ratio | 16 clients | ratio |\n|---|---|---|---|---|")
            for bucket, level in PUTS:
                print(f"| {bucket}, `{level}` {_row(found, f'{bucket} {level}', 'plain cached')} |", flush=True)


def _row(found: dict[tuple[str, int], list[float]], name: str, beside: str) -> str:
    cells = ""
    for clients in (1, 16):
        ratio = statistics.median(
            one / two for one, two in zip(found[name, clients], found[beside, clients], strict=True)
        )
        cells += f"| {statistics.median(found[name, clients]):.0f}/s | {ratio:.2f} "
    return cells.rstrip()


if __name__ == "__main__":
    main()
