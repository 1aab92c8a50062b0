"""What moves objects beside what copies files, and what clients notice of it, in one run.

usage: python bench/macro/moving.py [--small 200000] [--large 200] [--dir D]

One gateway and three targets share the machine with the clients. Objects of 4 KiB, then of 64 MiB:

    rebalance   a target gets its third of them, with nobody else there; then it gives them back while clients read
    resilver    a target gets a second mountpath, with nobody else there; then that is emptied while clients read

Beside it: `cp -r` of the same files into another directory of the same disk, with the same cold or warm page cache.
Clients are two connections that read small objects of another bucket, each some 50 times a second, straight from all
targets; their p99 is told idle and during each move.
"""

import argparse
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ais.meta.placement import Candidates
from ais.meta.smap import digest
from ais.testing import Cluster, Node

KIB, MIB = 1 << 10, 1 << 20
READ, MOVED = "read", "moved"
READ_OBJECTS = 300
IDLE_S = 20.0
SOON_S = 3600.0
PAUSE_S = 0.02
WARM_UP_S = 1.0
"""Of reads that do not count: each reader connects to every target."""


class Bench:
    """The cluster."""

    def __init__(self, directory: Path) -> None:
        self._scratch = directory / "cp"
        self.cluster = Cluster(1, 3, 1, dir=directory / "ais")

    def ask(self, method: str, path: str, action: str, value: Any = None, node: Node | None = None) -> bytes:
        """Ask the gateway to do something, or a target by it."""
        headers = {"Ais-Node-Id": node.id} if node is not None else {}
        return request(self.cluster.endpoint, method, path, json.dumps({"action": action, "value": value}), headers)

    def smap(self) -> dict[str, Any]:
        """The cluster map."""
        return dict(json.loads(request(self.cluster.endpoint, "GET", "/v1/daemon?what=smap")))

    def settled(self) -> None:
        """Wait until no name is on the move."""
        wait(lambda: not self.smap().get("ext"))

    def maintenance(self, node: Node, *, begins: bool) -> None:
        """Take a target out of service, or back in, and wait for what moves."""
        self.ask("PUT", "/v1/cluster", f"{'start' if begins else 'stop'}-maintenance", {"sid": node.id})
        self.settled()

    def mountpath(self, node: Node, method: str, action: str, path: Path) -> None:
        """Attach a mountpath, or have one emptied and detached, and wait for what moves."""
        before = self.resilvers(node)
        self.ask(method, "/v1/reverse/daemon/mountpaths", action, str(path), node)
        wait(lambda: self.resilvers(node) > before)

    def resilvers(self, node: Node) -> int:
        """How many have ended well on a target."""
        body = json.dumps({"kind": "resilver"})
        snaps = json.loads(request(self.cluster.endpoint, "GET", "/v1/cluster?what=qryxstats", body)).get(node.id) or []
        return sum(not one["end-time"].startswith("0001") and not one["aborted"] for one in snaps)

    def create(self, bucket: str) -> None:
        """Make a bucket."""
        self.ask("POST", f"/v1/buckets/{bucket}?provider=ais", "create-bck")

    def destroy(self, bucket: str) -> None:
        """Remove it."""
        self.ask("DELETE", f"/v1/buckets/{bucket}?provider=ais", "destroy-bck")

    def fill(self, bucket: str, count: int, size: int, targets: list[Node]) -> None:
        """Put objects."""
        body, numbers = os.urandom(size), iter(range(count))

        def work() -> None:
            client = Client(targets)
            for number in numbers:
                client.ask("PUT", bucket, f"d{number % 100}/o{number}", body)

        together(work, 4)

    def copied(self, root: Path) -> float:
        """Seconds that `cp -r` takes of what is below a directory."""
        began_s = time.perf_counter()
        subprocess.run(["cp", "-r", str(root), str(self._scratch)], check=True)
        took_s = time.perf_counter() - began_s
        shutil.rmtree(self._scratch)
        return took_s


class Client:
    """Keeps a connection to each target."""

    def __init__(self, targets: list[Node]) -> None:
        self._urls = {node.id: node.url for node in targets}
        self._owners = Candidates([digest(one) for one in self._urls])
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def ask(self, method: str, bucket: str, name: str, body: bytes | None = None) -> None:
        """Ask the owner of a name."""
        url = list(self._urls.values())[self._owners.best(digest(f"ais/@#/{bucket}/{name}"))]
        path = f"/v1/objects/{bucket}/{name}?provider=ais&pid=bench&utm={time.time_ns()}"
        for _ in range(4):  # while names get other owners: one that is not, sends us on
            split = urllib.parse.urlsplit(url)
            connection = self._connections.setdefault(url, http.client.HTTPConnection(split.hostname or "", split.port))
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (301, 307):
                assert answer.status == 200, answer.status
                return
            to = urllib.parse.urlsplit(answer.getheader("Location") or "")
            url, path = f"{to.scheme}://{to.netloc}", f"{to.path}?{to.query}"
        raise AssertionError(f"{name} has no owner")


class Readers:
    """Clients that read while the block lasts; how long each read took."""

    def __init__(self, bench: Bench, targets: list[Node]) -> None:
        self.took_s: list[float] = []
        self._bench, self._targets, self._ended = bench, targets, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(2)]

    def __enter__(self) -> "Readers":
        for one in self._threads:
            one.start()
        time.sleep(WARM_UP_S)
        self.took_s.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for one in self._threads:
            one.join()

    @property
    def p99_ms(self) -> float:
        """Of all reads."""
        return 1000 * sorted(self.took_s)[len(self.took_s) * 99 // 100]

    def _run(self, number: int) -> None:
        client = Client(self._targets)
        while not self._ended.wait(PAUSE_S):
            number = (number * 7919 + 104729) % READ_OBJECTS
            began_s = time.perf_counter()
            client.ask("GET", READ, f"d{number % 100}/o{number}")
            self.took_s.append(time.perf_counter() - began_s)


def request(url: str, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> bytes:
    """One request that must succeed; the body of the answer."""
    split = urllib.parse.urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(split.hostname or "", split.port)) as connection:
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (path, content)
        return content


def wait(claim: Callable[[], bool]) -> None:
    """Until it holds."""
    ends_s = time.monotonic() + SOON_S
    while not claim():
        assert time.monotonic() < ends_s
        time.sleep(0.05)


def together(work: Callable[[], None], count: int) -> None:
    """In so many threads."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def timed(work: Callable[[], None]) -> float:
    """Seconds that it takes."""
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def files(root: Path) -> Iterator[Path]:
    """Below a directory."""
    return (Path(path) / name for path, _, names in os.walk(root) for name in names)


def measure(bench: Bench, count: int, size: int, directory: Path) -> None:
    """Print the rows of one size."""
    targets, late = bench.cluster.targets[:2], bench.cluster.targets[2]
    bench.create(MOVED)
    bench.fill(MOVED, count, size, targets)
    with Readers(bench, targets) as idle:
        time.sleep(IDLE_S)
    took_s = timed(lambda: bench.maintenance(late, begins=False))
    root = late.mountpaths[0] / "@ais" / MOVED
    moved = sum(1 for _ in files(root))
    copied_s = bench.copied(root)
    with Readers(bench, targets) as busy:
        back_s = timed(lambda: bench.maintenance(late, begins=True))
    row("rebalance", size, moved, took_s, copied_s, back_s, idle, busy)

    node, spare = targets[0], directory / "spare"
    spare.mkdir()
    with Readers(bench, targets) as idle:
        time.sleep(IDLE_S)
    took_s = timed(lambda: bench.mountpath(node, "PUT", "attach-mp", spare))
    moved = sum(1 for _ in files(spare / "@ais" / MOVED))
    copied_s = bench.copied(spare / "@ais" / MOVED)
    with Readers(bench, targets) as busy:
        back_s = timed(lambda: bench.mountpath(node, "DELETE", "detach-mp", spare))
    row("resilver", size, moved, took_s, copied_s, back_s, idle, busy)
    shutil.rmtree(spare)
    bench.destroy(MOVED)


def row(
    what: str, size: int, moved: int, took_s: float, copied_s: float, back_s: float, idle: Readers, busy: Readers
) -> None:
    """Print one."""
    unit = f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"
    print(
        f"| {what}, {moved} x {unit} | {moved / took_s:.0f}/s | {moved / copied_s:.0f}/s | {copied_s / took_s:.2f} "
        f"| {moved / back_s:.0f}/s | {idle.p99_ms:.1f} ms | {busy.p99_ms:.1f} ms | {busy.p99_ms / idle.p99_ms:.1f} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=200_000, help="how many objects of 4 KiB")
    parser.add_argument("--large", type=int, default=200, help="how many objects of 64 MiB")
    parser.add_argument("--dir", default=None, help="where the data goes; by default a temporary directory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as scratch:
        bench = Bench(Path(scratch))
        with bench.cluster:
            bench.maintenance(bench.cluster.targets[2], begins=True)
            bench.create(READ)
            bench.fill(READ, READ_OBJECTS, 4 * KIB, bench.cluster.targets[:2])
            print("| | alone | `cp -r` | ratio | with clients | p99 idle | p99 | ratio |")
            print("|---|---|---|---|---|---|---|---|", flush=True)
            for count, size in ((arguments.small, 4 * KIB), (arguments.large, 64 * MIB)):
                measure(bench, count, size, Path(scratch))


if __name__ == "__main__":
    main()
