"""Compare an ais target with nginx on one core; see bench/README.md for the method.

usage: python bench/macro/run.py [--rounds 5] [--seconds 3] [--only get,put,redirect,beside] [--sizes 4096,...]
                                 [--names N] [--dir D] [--put-dir D]
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import report
from load import Load, finish, start
from servers import Ais, Nginx

KIB, MIB = 1 << 10, 1 << 20
SIZES = (4 * KIB, 64 * KIB, MIB, 64 * MIB)
NAMES = {4 * KIB: 500, 16 * KIB: 500, 64 * KIB: 500, 256 * KIB: 100, MIB: 32, 64 * MIB: 4}
FRESH_BYTES_MAX = 4 * KIB
"""PUTs up to this size each make a new object; larger ones would not fit into memory and overwrite."""
WARM_UP_S = 1.0
SERVER_CORE, LOAD_CORE = 0, 1
TMPFS = Path("/dev/shm")


@dataclass(frozen=True)
class Measured:
    """One scenario against one server: medians over the rounds, and the rate of each round."""

    scenario: str
    server: str
    rates: tuple[float, ...]
    rate: float
    cpu_us: float
    p50_us: float
    p99_us: float
    errors: int


def load_of(server: Nginx | Ais, scenario: str, size_bytes: int, connections: int = 32) -> Load:
    """The requests of a scenario, as this server names things."""
    prefix, suffix = server.prefix(scenario, size_bytes)
    body = size_bytes if scenario == "put" else 0
    method = "PUT" if scenario == "put" else "GET"
    count = 0 if scenario == "put" and size_bytes <= FRESH_BYTES_MAX else NAMES[size_bytes]
    return Load(method, prefix, count, body, suffix, connections)


def turns(servers: Sequence[Nginx | Ais], rounds: int) -> Iterator[Nginx | Ais]:
    """The servers by turns; who begins changes with each round."""
    for number in range(rounds):
        yield from servers if number % 2 == 0 else reversed(servers)


def measure(servers: list[Nginx | Ais], scenario: str, size_bytes: int, rounds: int, seconds: float) -> list[Measured]:
    """Run one scenario interleaved over the servers, after a warm-up of each that does not count."""
    connections = 8 if size_bytes == 64 * MIB else 32
    samples: dict[str, list[tuple[float, float, float, float, int]]] = {server.name: [] for server in servers}
    for server in servers:
        finish(start(server.url(scenario), load_of(server, scenario, size_bytes, connections), WARM_UP_S, LOAD_CORE))
    for server in turns(servers, rounds):
        before = server.cpu_s()
        load = load_of(server, scenario, size_bytes, connections)
        result = finish(start(server.url(scenario), load, seconds, LOAD_CORE))
        cpu_us = (server.cpu_s() - before) / max(result.requests, 1) * 1e6
        samples[server.name].append((result.rate, cpu_us, result.p50_us, result.p99_us, result.errors))
    name = scenario if scenario == "redirect" else f"{scenario} {report.size(size_bytes)}"
    return [_median(name, server, runs) for server, runs in samples.items()]


def _median(scenario: str, server: str, runs: list[tuple[float, float, float, float, int]]) -> Measured:
    rates, *others, errors = zip(*runs, strict=True)
    cpu_us, p50_us, p99_us = map(statistics.median, others)
    return Measured(scenario, server, rates, statistics.median(rates), cpu_us, p50_us, p99_us, sum(errors))


def beside(servers: list[Nginx | Ais], rounds: int, seconds: float) -> list[Measured]:
    """4 KiB GETs alone, then beside four connections that move 64 MiB objects."""
    runs: dict[tuple[str, str], list[tuple[float, float, float, float, int]]] = {}
    for server in turns(servers, rounds):
        for other in ("alone", "beside 4 x put 64 MiB", "beside 4 x get 64 MiB"):
            heavy = None
            if other != "alone":
                scenario = other.split()[3]
                load = load_of(server, scenario, 64 * MIB, connections=4)
                heavy = start(server.url(scenario), load, seconds + 2, LOAD_CORE)
            small = finish(start(server.url("get"), load_of(server, "get", 4 * KIB), seconds, LOAD_CORE))
            if heavy is not None:
                finish(heavy)
            sample = (small.rate, 0.0, small.p50_us, small.p99_us, small.errors)
            runs.setdefault((other, server.name), []).append(sample)
    return [_median(f"get 4 KiB {other}", name, samples) for (other, name), samples in runs.items()]


@contextmanager
def running(directory: Path, sizes: Iterable[int]) -> Iterator[list[Nginx | Ais]]:
    """Both servers, with files of these sizes to read, below a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=".bench-") as scratch, ExitStack() as stack:
        servers: list[Nginx | Ais] = []
        for kind in (Nginx, Ais):
            servers.append(kind(Path(scratch) / kind.name, SERVER_CORE))
            stack.callback(servers[-1].close)
        for size_bytes in sizes:
            for server in servers:
                server.fill(size_bytes, NAMES[size_bytes])
        yield servers


def run(servers: list[Nginx | Ais], scenario: str, sizes: list[int], rounds: int, seconds: float) -> Iterator[Measured]:
    """All there is of one scenario."""
    if scenario == "beside":
        yield from beside(servers, rounds, seconds)
    elif scenario == "redirect":
        yield from measure(servers, scenario, 4 * KIB, rounds, seconds)
    else:
        for size_bytes in sizes:
            yield from measure(servers, scenario, size_bytes, rounds, seconds)


def main() -> None:
    """Run what was asked for, print and keep the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="get,put,redirect,beside")
    parser.add_argument("--dir", type=Path, default=Path(), help="where both servers have the files that GETs read")
    parser.add_argument("--put-dir", type=Path, default=TMPFS, help="where both servers write in the scenario put")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--names", type=int, default=NAMES[4 * KIB], help="4 KiB objects that GETs cycle through")
    arguments = parser.parse_args()
    NAMES[4 * KIB] = arguments.names
    only, sizes = arguments.only.split(","), [int(one) for one in arguments.sizes.split(",")]
    measured: list[Measured] = []
    places = ((arguments.put_dir, ("put",)), (arguments.dir, ("get", "redirect", "beside")))
    for directory, scenarios in places:
        asked = [scenario for scenario in scenarios if scenario in only]
        if not asked:
            continue
        with running(directory.resolve(), {4 * KIB, 64 * MIB, *sizes}) as servers:
            for scenario in asked:
                for one in run(servers, scenario, sizes, arguments.rounds, arguments.seconds):
                    report.progress([one])
                    measured.append(one)
    results = Path(__file__).parent.parent / "results"
    results.mkdir(exist_ok=True)
    (results / "macro.json").write_text(json.dumps([vars(one) for one in measured], indent=1))
    (results / "macro.md").write_text(report.table(measured))
    report.plot(measured, results / "macro.png")
    print("\n" + report.table(measured))
    print(f"written: {results}/macro.md, macro.json, macro.png")


if __name__ == "__main__":
    main()
