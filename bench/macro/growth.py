"""What a request costs while something grows tenfold, step by step: CPU time of the nodes, not time on the clock.

usage: python bench/macro/growth.py [--only names,buckets,targets,connections,size,depth,directories,parts]
                                    [--rounds 2] [--seconds 1] [--names 100000] [--buckets 1000] [--targets 10]
                                    [--connections 1000] [--kib 10000] [--depth 100] [--directories 10000]
                                    [--parts 100] [--dir D]

Each number is that of the last step; a million names, and a thousand parts, take minutes more. Every step stands ready
before the first request; then all are asked by turns, round by round, and of each the least of its rounds counts: other
jobs only make it dearer. What a step should cost is what the one before did; where a request has more of something to
do (*), a fixed part and one for each, as the first and the last step give them. A knee is more than 1.5 times that.

A gateway and its targets share a core, the client has the other. GETs are of 1 KiB, at the owner, of names drawn at
random; pages are of 100 names, over S3, through a gateway, from a random name on. What is uploaded in parts, or put
over names that are there, lies on tmpfs, everything else in `--dir`.
"""

import argparse
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import listing
from listing import Connection, flat
from load import Load, finish, start
from run import KIB, LOAD_CORE, MIB, SERVER_CORE, TMPFS
from servers import cpu_of, pin

KNEE = 1.5
IDLE = 0.05
"""Of a core, for each node."""
SAMPLE = 30_000
"""Names that are asked for in one run, at most."""
PAGE = "list-type=2&max-keys=100"
PART_BYTES = 5 * MIB
"""The least that S3 takes."""
TARGETS = (1, 3, 10)
NAMES = 10_000
"""In a bucket, where their number does not grow."""
Costs = Iterator[tuple[str, float]]
"""Microseconds of CPU for each request, by what was asked."""


class Step(NamedTuple):
    """Something of one size, and what asks it for all there is to ask."""

    grows: str
    size: int
    costs: Callable[[], Costs]


class Field(listing.Bench):
    """A cluster on one core, what lies in it, and requests to it."""

    def __init__(self, scratch: Path, seconds: float, targets: int = 1) -> None:
        super().__init__(scratch, targets, 1)
        self._scratch = scratch
        self._seconds = seconds

    def __enter__(self) -> "Field":
        super().__enter__()
        self.gateway, self.owner = self.cluster.endpoint, self.cluster.targets[0].url
        self.pids = [node.pid for node in self.nodes]
        pin(self.pids, SERVER_CORE)
        return self

    def rest(self) -> None:
        """Wait until the nodes have looked at what was laid (a census counts every bucket) and do next to nothing."""
        used = IDLE + 1.0
        while used > IDLE:
            before = cpu_of(self.pids)
            time.sleep(1)
            used = (cpu_of(self.pids) - before) / len(self.pids)

    def filled(self, bucket: str, names: Iterator[str]) -> "Field":
        """With one more bucket, of objects of 1 KiB."""
        self.make(bucket)
        self.fill(names, bucket, bytes(KIB))
        return self

    def cost(self, url: str, method: str, paths: Sequence[str], *, connections: int = 8, size_bytes: int = 0) -> float:
        """Ask for one after the other, again and again. A redirect is the gateway's alone."""
        lines = self._scratch / "requests"
        lines.write_text("\n".join(paths))
        pids = self.pids[:1] if url == self.gateway and paths[0].startswith("/v1/objects/") else self.pids
        before = cpu_of(pids)
        load = Load(method, f"@{lines}", 0, size_bytes, connections=connections)
        result = finish(start(url, load, self._seconds, LOAD_CORE))
        assert not result.errors, (method, paths[0], result)
        return (cpu_of(pids) - before) / result.requests * 1e6

    def read(self, bucket: str, names: Sequence[str], connections: int = 8) -> float:
        """GETs at the owner."""
        paths = [f"/v1/objects/{bucket}/{name}" for name in some(names)]
        return self.cost(self.owner, "GET", paths, connections=connections)

    def heads(self, bucket: str, names: Sequence[str]) -> float:
        """HEADs at the owner on one connection: wrk would wait for their bodies."""
        connection, paths = Connection(self.owner), [f"/v1/objects/{bucket}/{name}" for name in some(names)]
        before, count, until = cpu_of(self.pids), 0, time.perf_counter() + self._seconds
        while time.perf_counter() < until:
            connection.ask("HEAD", paths[count % len(paths)])
            count += 1
        return (cpu_of(self.pids) - before) / count * 1e6

    def write_new(self, bucket: str, beside: str) -> float:
        """PUTs of 1 KiB at the owner, of names that are not there, in the directory of this one."""
        directory, serial = beside.rpartition("/")[0], time.time_ns()
        names = [f"{directory}/new{serial}-{number}".lstrip("/") for number in range(SAMPLE)]
        return self.write(bucket, names, KIB)

    def write(self, bucket: str, names: Sequence[str], size_bytes: int, connections: int = 8) -> float:
        """PUTs at the owner."""
        paths = [f"/v1/objects/{bucket}/{name}?pid=bench&utm=1" for name in names]
        return self.cost(self.owner, "PUT", paths, connections=connections, size_bytes=size_bytes)

    def page(self, bucket: str, names: Sequence[str], more: str = "") -> float:
        """Pages from one of these names on."""
        return self.cost(
            self.gateway, "GET", [f"/{bucket}?{PAGE}&start-after={name}{more}" for name in some(names, 1000)]
        )


def some(names: Sequence[str], most: int = SAMPLE) -> list[str]:
    """Drawn anew, in no order."""
    return random.sample(names, min(most, len(names)))


def tens(last: int) -> list[int]:
    """1, 10, 100, ... up to it."""
    return [10**power for power in range(len(str(last)))]


def names_steps(field: Field, most: int) -> Iterator[Step]:
    """Names in one directory of one bucket."""
    for count in tens(most)[2:]:
        names, bucket = sorted(flat(count)), f"names{count}"
        field.filled(bucket, iter(names))

        def costs(bucket: str = bucket, names: Sequence[str] = names) -> Costs:
            yield "GET", field.read(bucket, names)
            yield "HEAD", field.heads(bucket, names)
            yield "PUT of a new name", field.write_new(bucket, names[0])
            yield "page of 100", field.page(bucket, names)
            probes = [f"/{bucket}?list-type=2&max-keys=1&prefix={name}" for name in some(names, 1000)]
            yield "page of 1", field.cost(field.gateway, "GET", probes)

        yield Step("names in a bucket", count, costs)


def buckets_steps(enter: Callable[[Field], Field], scratch: Path, seconds: float, most: int) -> Iterator[Step]:
    """Buckets of one object each, a cluster for each step."""
    for count in tens(most):
        field = enter(Field(scratch / f"buckets{count}", seconds))
        buckets = [f"b{number}" for number in range(count)]
        for bucket in buckets:
            field.filled(bucket, iter(["o"]))

        def costs(field: Field = field, buckets: Sequence[str] = buckets) -> Costs:
            paths = [f"/v1/objects/{bucket}/o" for bucket in some(buckets)]
            yield "GET", field.cost(field.owner, "GET", paths)
            yield "redirect", field.cost(field.gateway, "GET", paths)
            yield "S3 GET through a gateway", field.cost(field.gateway, "GET", [f"/{one}/o" for one in some(buckets)])
            yield "make and destroy one*", of_a_bucket(field)

        yield Step("buckets", count, costs)


def of_a_bucket(field: Field, times: int = 5) -> float:
    """To create and destroy it."""
    connection, before = Connection(field.gateway), cpu_of(field.pids)
    for _ in range(times):
        connection.ask("POST", "/v1/buckets/passing", body=b'{"action":"create-bck"}')
        connection.ask("DELETE", "/v1/buckets/passing", body=b'{"action":"destroy-bck"}')
    return (cpu_of(field.pids) - before) / times * 1e6


def targets_steps(enter: Callable[[Field], Field], scratch: Path, seconds: float, most: int) -> Iterator[Step]:
    """Targets, all on one core."""
    for count in (one for one in TARGETS if one <= most):
        names = sorted(flat(NAMES))
        field = enter(Field(scratch / f"targets{count}", seconds, count)).filled("names", iter(names))

        def costs(field: Field = field, names: Sequence[str] = names) -> Costs:
            paths = [f"/v1/objects/names/{name}" for name in some(names)]
            yield "redirect", field.cost(field.gateway, "GET", paths)
            yield (
                "S3 GET through a gateway",
                field.cost(field.gateway, "GET", [f"/names/{name}" for name in some(names)]),
            )
            yield "page of 100*", field.page("names", names)

        yield Step("targets", count, costs)


def connections_steps(field: Field, most: int) -> Iterator[Step]:
    """Connections that ask as fast as they are answered."""
    names = sorted(flat(100))
    field.filled("connections", iter(names))
    for count in tens(most):

        def costs(count: int = count) -> Costs:
            yield "GET", field.read("connections", names, count)
            paths = [f"/v1/objects/connections/{name}" for name in names]
            yield "redirect", field.cost(field.gateway, "GET", paths, connections=count)
            yield "PUT", field.write("connections", names, KIB, count)

        yield Step("active connections", count, costs)


def size_steps(disk: Field, memory: Field, most: int) -> Iterator[Step]:
    """Objects of so many KiB: PUTs to memory, GETs from the page cache of a disk."""
    disk.make("sizes")
    memory.make("sizes")
    connection = Connection(disk.gateway)
    for kib in tens(most):
        names = [f"{kib}-{number}" for number in range(8)]
        for name in names:
            connection.ask("PUT", f"/sizes/{name}", body=bytes(kib * KIB))

        def costs(kib: int = kib, names: Sequence[str] = names) -> Costs:
            yield "PUT*", memory.write("sizes", names, kib * KIB)
            yield "GET*", disk.read("sizes", names)

        yield Step("KiB of an object", kib, costs)


def depth_steps(field: Field, most: int) -> Iterator[Step]:
    """Names of so many path elements, all in the last directory."""
    for depth in tens(most):
        bucket, above = f"depth{depth}", "d/" * (depth - 1)
        names = [above + name for name in sorted(flat(NAMES))]
        field.filled(bucket, iter(names))

        def costs(bucket: str = bucket, names: Sequence[str] = names) -> Costs:
            yield "GET", field.read(bucket, names)
            yield "PUT of a new name", field.write_new(bucket, names[0])
            yield "page of 100", field.page(bucket, names)

        yield Step("elements of a name", depth, costs)


def directories_steps(field: Field, most: int) -> Iterator[Step]:
    """As many names, spread over so many directories."""
    for count in tens(most):
        bucket = f"directories{count}"
        names = [f"{number * count // most:06}/{number:06}" for number in range(most)]
        field.filled(bucket, iter(names))

        def costs(bucket: str = bucket, names: Sequence[str] = names) -> Costs:
            yield "GET", field.read(bucket, names)
            yield "page of 100", field.page(bucket, names)
            yield "page of 100, delimiter /", field.page(bucket, names, "&delimiter=/")

        yield Step("directories of all names", count, costs)


def parts_steps(field: Field, most: int) -> Iterator[Step]:
    """Parts of an upload, 5 MiB each."""
    content = random.randbytes(PART_BYTES)

    def costs(count: int) -> Costs:
        connection, name = Connection(field.gateway), f"/{listing.BUCKET.name}/whole"
        begun = connection.ask("POST", f"{name}?uploads")
        upload = found(rb"<UploadId>([^<]*)<", begun)[0]
        before = cpu_of(field.pids)
        for number in range(1, count + 1):
            connection.ask("PUT", f"{name}?uploadId={upload}&partNumber={number}", body=content)
        uploaded = cpu_of(field.pids)
        etags = found(rb"<ETag>([^<]*)<", connection.ask("GET", f"{name}?uploadId={upload}"))
        told = cpu_of(field.pids)
        parts = (f"<Part><PartNumber>{at}</PartNumber><ETag>{one}</ETag></Part>" for at, one in enumerate(etags, 1))
        body = f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()
        connection.ask("POST", f"{name}?uploadId={upload}", body=body)
        yield "a part", (uploaded - before) / count * 1e6
        yield "list of the parts*", (told - uploaded) * 1e6
        yield "completion*", (cpu_of(field.pids) - told) * 1e6

    for count in tens(most):
        yield Step("parts of an upload", count, lambda count=count: costs(count))


def found(pattern: bytes, document: bytes) -> list[str]:
    """What a pattern finds, as text."""
    return [one.decode() for one in re.findall(pattern, document)]


def ready(given: argparse.Namespace, stack: ExitStack) -> Iterator[Step]:
    """All that was asked for; what it needs is laid on the way."""
    only = given.only.split(",")

    fields: list[Field] = []

    def enter(field: Field) -> Field:
        fields.append(stack.enter_context(field))
        return field

    def scratch(directory: Path) -> Path:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(dir=directory.resolve(), prefix=".bench-")))

    on_disk = scratch(given.dir)
    disk = enter(Field(on_disk / "one", given.seconds))
    memory = enter(Field(scratch(TMPFS), given.seconds))
    makers: dict[str, Callable[[], Iterator[Step]]] = {
        "names": lambda: names_steps(disk, given.names),
        "buckets": lambda: buckets_steps(enter, on_disk, given.seconds, given.buckets),
        "targets": lambda: targets_steps(enter, on_disk, given.seconds, given.targets),
        "connections": lambda: connections_steps(disk, given.connections),
        "size": lambda: size_steps(disk, memory, given.kib),
        "depth": lambda: depth_steps(disk, given.depth),
        "directories": lambda: directories_steps(disk, given.directories),
        "parts": lambda: parts_steps(memory, given.parts),
    }
    for what in only:
        began = time.perf_counter()
        yield from makers[what]()
        print(f"{what}: ready in {time.perf_counter() - began:.0f} s", flush=True)
    for field in fields:
        field.rest()


def table(title: str, sizes: Sequence[int], costs: dict[str, list[float]]) -> str:
    """Of one thing that grows: costs, in brackets the ratio to the step before, a knee in bold."""
    lines = [f"| {title} | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|---" * (1 + len(sizes)) + "|"]
    for request, found in costs.items():
        fixed, more = of_a_line(sizes, found) if request.endswith("*") else (1.0, 0.0)
        expected = [fixed + more * size for size in sizes]
        cells = [f"{found[0]:,.0f}"]
        for at in range(1, len(sizes)):
            ratio = found[at] / found[at - 1]
            is_knee = ratio > KNEE * expected[at] / expected[at - 1]
            cells.append(f"**{found[at]:,.0f} ({ratio:.2f})**" if is_knee else f"{found[at]:,.0f} ({ratio:.2f})")
        lines.append(f"| {request} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def of_a_line(sizes: Sequence[int], costs: Sequence[float]) -> tuple[float, float]:
    """The fixed part of costs, and that for each unit, by the first and the last step."""
    more = max(0.0, costs[-1] - costs[0]) / max(1, sizes[-1] - sizes[0])
    return max(0.0, costs[0] - more * sizes[0]), more


def main() -> None:
    """Lay everything, ask round by round, print the tables and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="names,buckets,targets,connections,size,depth,directories,parts")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=1)
    for what, last in (("names", 100_000), ("buckets", 1000), ("targets", 10), ("connections", 1000)):
        parser.add_argument(f"--{what}", type=int, default=last)
    for what, last in (("kib", 10_000), ("depth", 100), ("directories", 10_000), ("parts", 100)):
        parser.add_argument(f"--{what}", type=int, default=last)
    parser.add_argument("--dir", type=Path, default=Path())
    given = parser.parse_args()
    wanted = given.connections + 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    least: dict[str, dict[str, dict[int, float]]] = {}
    with ExitStack() as stack:
        steps = list(ready(given, stack))
        for _ in range(given.rounds):
            for step in steps:
                for request, cost in step.costs():
                    known = least.setdefault(step.grows, {}).setdefault(request, {})
                    known[step.size] = min(cost, known.get(step.size, cost))
                    print(f"{step.grows} {step.size:,}: {request} {cost:,.1f} us", flush=True)
    tables = []
    for grows, requests in least.items():
        sizes = [step.size for step in steps if step.grows == grows]
        costs = {request: [each[size] for size in sizes] for request, each in requests.items()}
        tables.append(table(grows, sizes, costs))
    results = Path(__file__).parents[1] / "results"
    results.mkdir(exist_ok=True)
    (results / "growth.md").write_text("\n".join(tables))
    print("\n" + "\n".join(tables))


if __name__ == "__main__":
    main()
