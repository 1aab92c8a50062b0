"""What it costs to list a bucket: names per second, CPU time per name at the gateway and the targets, memory.

    python bench/macro/listing.py [--names 20000] [--targets 1] [--mountpaths 1] [--rounds 3] [--tree flat|deep]
                                  [--ways native,sized,v2,v1,versions,uploads,probe] [--dir D]

Empty objects are laid on the disks as PUTs leave them, where placement wants them: making a million by requests would
take an hour. One client goes through the bucket page by page on one connection; it finds where to go on with one search
in the body, and reads nothing else of it (`--parse`: it decodes every page as applications do). The first round begins
with nodes that were started anew and have listed nothing.
"""

import argparse
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import msgspec
import psutil
from harness.laying import lay
from servers import cpu_of

from ais.api.bucket import Bck
from ais.testing import Cluster, Node

BUCKET = Bck("bench")
NATIVE_PAGE = 10_000
PROBES = 200
UPLOADS = 2000
FILES_OF_A_DIRECTORY = 1000


class Answer(NamedTuple):
    """One page: how many names, where the next one begins (empty: there is none)."""

    names: int
    token: str


class Sample(NamedTuple):
    """One pass through the bucket by one way, or `PROBES` requests for one name."""

    names: int
    seconds: float
    first_s: float
    client_s: float
    cpu_s: dict[str, float]


class Connection:
    """Keeps one connection to a node, sends requests as they are and reads answers that have a length."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._buffer = bytearray(1 << 20)

    def ask(self, method: str, target: str, headers: str = "", body: bytes = b"") -> bytes:
        """The body of the answer. Raise `SystemExit` unless it is 200."""
        head = f"{method} {target} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        have, end = 0, -1
        while end < 0:
            have += self._receive(have)
            end = self._buffer.find(b"\r\n\r\n", 0, have)
        lines = bytes(self._buffer[:end]).lower()
        found = re.search(rb"\r\ncontent-length: (\d+)", lines)
        if not lines.startswith(b"http/1.1 200") or found is None:
            raise SystemExit(f"{method} {target}: {bytes(self._buffer[:have])!r}")
        if method == "HEAD":
            return b""
        whole = end + 4 + int(found[1])
        if len(self._buffer) < whole:
            self._buffer.extend(bytes(whole - len(self._buffer)))
        while have < whole:
            have += self._receive(have)
        return bytes(self._buffer[end + 4 : whole])

    def _receive(self, have: int) -> int:
        if have == len(self._buffer):
            self._buffer.extend(bytes(have))
        with memoryview(self._buffer) as view:
            count = self._socket.recv_into(view[have:])
        if not count:
            raise SystemExit("the connection was closed")
        return count


class _Head(msgspec.Struct):
    """What a page begins with; of its entries only their number."""

    UUID: str
    ContinuationToken: str
    Entries: list[msgspec.Raw] | None


_read_head = msgspec.msgpack.Decoder(_Head).decode


def native(props: str, *, parses: bool) -> Callable[[Connection, str], Answer]:
    """The native API, pages of 10,000."""
    uuid = ""

    def page(connection: Connection, token: str) -> Answer:
        nonlocal uuid
        value = {"uuid": uuid if token else "", "continuation_token": token, "props": props, "pagesize": NATIVE_PAGE}
        message = json.dumps({"action": "list", "value": value}).encode()
        headers = "Accept: application/msgpack\r\nContent-Type: application/json\r\n"
        body = connection.ask("GET", f"/v1/buckets/{BUCKET.name}?provider=ais", headers, message)
        if parses:
            msgspec.msgpack.decode(body)
        head = _read_head(body)
        uuid = head.UUID
        return Answer(len(head.Entries or ()), head.ContinuationToken)

    return page


def s3(query: str, counted: bytes, markers: dict[str, str], *, parses: bool) -> Callable[[Connection, str], Answer]:
    """A listing over S3, 1000 a page. `markers`: parameters of the next page by the elements that hold them."""
    patterns = {name: re.compile(f"<{element}>([^<]*)</{element}>".encode()) for name, element in markers.items()}

    def page(connection: Connection, token: str) -> Answer:
        body = connection.ask("GET", f"/{BUCKET.name}?{query}{token}")
        if parses:
            ElementTree.fromstring(body)
        count = body.count(counted)
        if b"<IsTruncated>true<" not in body:
            return Answer(count, "")
        found = {name: pattern.search(body) for name, pattern in patterns.items()}
        given = {name: match[1].decode() for name, match in found.items() if match is not None}
        if not given:  # ListObjects without a delimiter: the last key is the marker
            given = {"marker": body[body.rindex(b"<Key>") + 5 : body.rindex(b"</Key>")].decode()}
        return Answer(count, "".join(f"&{name}={quote(value, safe='')}" for name, value in given.items()))

    return page


def ways(*, parses: bool) -> dict[str, Callable[[Connection, str], Answer]]:
    """Every way to list all of a bucket."""
    versions = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}
    uploads = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}
    return {
        "native": native("name", parses=parses),
        "sized": native("name,size", parses=parses),
        "v2": s3("list-type=2", b"<Key>", {"continuation-token": "NextContinuationToken"}, parses=parses),
        "v1": s3("", b"<Key>", {"marker": "NextMarker"}, parses=parses),
        "versions": s3("versions", b"<Key>", versions, parses=parses),
        "uploads": s3("uploads", b"<Key>", uploads, parses=parses),
    }


class Bench:
    """A cluster with one gateway, and a bucket that is filled behind its back."""

    def __init__(self, scratch: Path, targets: int, mountpaths: int) -> None:
        self.cluster = Cluster(1, targets, mountpaths, dir=scratch / "ais")

    def __enter__(self) -> "Bench":
        self.cluster.__enter__()
        self.make(BUCKET.name)
        return self

    def __exit__(self, *_: object) -> None:
        for target in self.cluster.targets:  # at once: the cluster would go through its trash
            subprocess.run(["rm", "-rf", *(path / f"@{BUCKET.provider}" for path in target.mountpaths)])
        self.cluster.__exit__(None, None, None)

    @property
    def nodes(self) -> list[Node]:
        return self.cluster.nodes

    def make(self, bucket: str) -> None:
        """A bucket."""
        connection = Connection(self.cluster.endpoint)
        connection.ask("POST", f"/v1/buckets/{bucket}", body=b'{"action":"create-bck"}')

    def fill(self, names: Iterator[str], bucket: str = BUCKET.name, content: bytes = b"") -> int:
        """Put the first name over S3, and lay the others where they belong, each as that one; how many."""
        first = next(names)
        Connection(self.cluster.endpoint).ask("PUT", f"/{bucket}/{first}", body=content)
        return 1 + lay(self.cluster.targets, bucket, names, first)

    def begin_uploads(self, count: int) -> None:
        """Begin uploads in parts that stay unfinished."""
        connection = Connection(self.cluster.endpoint)
        for number in range(count):
            connection.ask("POST", f"/{BUCKET.name}/u{number:06}?uploads")

    def restart(self) -> None:
        """Start all nodes anew: nothing is remembered, memory counts from here."""
        self.cluster.stop()
        self.cluster.start()
        self.cluster.wait_ready()

    def run(self, page: Callable[[Connection, str], Answer]) -> Sample:
        """One client goes through the bucket."""
        connection = Connection(self.cluster.endpoint)
        before, started, own = self._cpu(), time.perf_counter(), time.process_time()
        names, token, first_s = 0, "", 0.0
        while True:
            answer = page(connection, token)
            first_s = first_s or time.perf_counter() - started
            names, token = names + answer.names, answer.token
            if not token:
                break
        seconds, client_s = time.perf_counter() - started, time.process_time() - own
        return Sample(names, seconds, first_s, client_s, self._since(before))

    def probe(self, method: str, target: str) -> Sample:
        """Ask for one name again and again."""
        connection = Connection(self.cluster.endpoint)
        before, started, own = self._cpu(), time.perf_counter(), time.process_time()
        first_s = 0.0
        for _ in range(PROBES):
            connection.ask(method, target)
            first_s = first_s or time.perf_counter() - started
        seconds, client_s = time.perf_counter() - started, time.process_time() - own
        return Sample(PROBES, seconds, first_s, client_s, self._since(before))

    def memory(self) -> str:
        """The most that each node had, MiB."""
        peaks = []
        for node in self.nodes:
            status = Path(f"/proc/{node.pid}/status").read_text()
            peak = re.search(r"VmHWM:\s+(\d+)", status)
            assert peak is not None
            peaks.append(
                f"{node.name} {int(peak[1]) >> 10} MiB (now {psutil.Process(node.pid).memory_info().rss >> 20})"
            )
        return ", ".join(peaks)

    def _cpu(self) -> dict[str, float]:
        return {node.name: cpu_of([node.pid]) for node in self.nodes}

    def _since(self, before: dict[str, float]) -> dict[str, float]:
        return {name: seconds - before[name] for name, seconds in self._cpu().items()}


def flat(count: int) -> Iterator[str]:
    """All names in one directory, as a data set has them; spread over it in no order."""
    return (f"{(number * 7919) % count:08}.sample.jpg" for number in range(count))


def deep(count: int) -> Iterator[str]:
    """Directories of a thousand names, two levels down."""
    return (
        f"{number // 100_000:04}/{number // FILES_OF_A_DIRECTORY:06}/{number:08}.sample.jpg" for number in range(count)
    )


def row(way: str, samples: list[Sample]) -> str:
    """A line of the table: medians; the first page of the first round stands by itself."""
    rate = statistics.median(one.names / one.seconds for one in samples)
    client = statistics.median(one.client_s / one.names for one in samples) * 1e6
    cold, warm = samples[0].first_s, statistics.median(one.first_s for one in samples[1:] or samples)
    gateway, targets = (
        statistics.median(sum(s for name, s in one.cpu_s.items() if name[0] == kind) / one.names for one in samples)
        * 1e6
        for kind in "pt"
    )
    return (
        f"| {way} | {samples[0].names:,} | {rate:,.0f} | {gateway:.2f} | {targets:.2f} | {client:.2f} |"
        f" {cold * 1e3:.1f} | {warm * 1e3:.1f} |"
    )


def main() -> None:
    """Fill, list by every way in turn, print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=20_000)
    parser.add_argument("--targets", type=int, default=1)
    parser.add_argument("--mountpaths", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tree", choices=("flat", "deep"), default="flat")
    parser.add_argument("--ways", default="native,sized,v2,v1,versions,uploads,probe")
    parser.add_argument("--parse", action="store_true", help="the client decodes what it gets")
    parser.add_argument("--dir", type=Path, default=None, help="where the cluster keeps its files")
    given = parser.parse_args()
    title = f"{given.names:,} names, {given.tree}, {given.targets} x {given.mountpaths} mountpaths"
    lines = [
        f"| {title} | names | names/s | µs gateway | µs targets | µs client | first page cold, ms | warm, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    asked = given.ways.split(",")
    with (
        tempfile.TemporaryDirectory(dir=given.dir, prefix=".bench-") as scratch,
        Bench(Path(scratch), given.targets, given.mountpaths) as bench,
    ):
        started = time.perf_counter()
        count = bench.fill((deep if given.tree == "deep" else flat)(given.names))
        print(f"{count:,} objects made in {time.perf_counter() - started:.0f} s", flush=True)
        if "uploads" in asked:
            bench.begin_uploads(min(given.names, UPLOADS))
        bench.restart()
        found: dict[str, list[Sample]] = {}
        every = ways(parses=given.parse)
        middle = next(
            name
            for number, name in enumerate((deep if given.tree == "deep" else flat)(given.names))
            if number == count // 2
        )
        for _ in range(given.rounds):
            for way in asked:
                if way == "probe":
                    query = f"/{BUCKET.name}?list-type=2&max-keys=1&prefix={quote(middle, safe='')}"
                    found.setdefault("HEAD of an object", []).append(bench.probe("HEAD", f"/{BUCKET.name}/{middle}"))
                    found.setdefault("v2 of max-keys=1", []).append(bench.probe("GET", query))
                else:
                    found.setdefault(way, []).append(bench.run(every[way]))
                print(f"{way}: {[f'{one.names / one.seconds:,.0f}/s' for one in found.get(way, ())]}", flush=True)
        lines += [row(way, samples) for way, samples in found.items()]
        print("\n".join(lines), bench.memory(), sep="\n", flush=True)
    results = Path(__file__).parent.parent / "results"
    results.mkdir(exist_ok=True)
    (results / "listing.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
