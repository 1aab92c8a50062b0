"""What a second worker brings: a target with one on one core beside a target with two on two cores, in one run.

usage: python bench/macro/workers.py [--rounds 5] [--seconds 2] [--size 4096]

Load generators take CPU too, and there are two cores. So it is told in two ways. By CPU: one worker is pinned to a core
with the generator on the other one; two workers share both cores with two generators; from the CPU per request, and the
share that the busier worker had, follows what two cores would do without generators. By rates: both share both cores
with two generators, so the ratio is what is left of a second core that the generators use as well.
"""

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import psutil
import run
from load import Load, finish, start
from servers import Ais, cpu_of

from ais.testing import Cluster

CORES = (0, 1)


class Workers(Ais):
    """A cluster whose nodes have so many workers."""

    def __init__(self, directory: Path, count: int) -> None:
        self.name = f"{count} workers"
        self._cluster = Cluster(proxies=1, targets=1, mountpaths=1, dir=directory, workers=str(count))
        self._cluster.__enter__()
        [self._proxy], [self._target] = self._cluster.proxies, self._cluster.targets
        self._call("POST", f"/v1/buckets/{self.bucket}", b'{"action":"create-bck"}')

    @property
    def processes(self) -> list[int]:
        """Of the target."""
        return [self.target_pid, *(one.pid for one in psutil.Process(self.target_pid).children(recursive=True))]

    def run_on(self, cores: tuple[int, ...]) -> None:
        """Bind all processes of the target, with their threads."""
        for pid in self.processes:
            for thread in psutil.Process(pid).threads():
                psutil.Process(thread.id).cpu_affinity(list(cores))


def one_run(server: Workers, load: Load, cores: tuple[int, ...], seconds: float) -> tuple[float, list[float]]:
    """Requests per second with a generator on each of these cores, and CPU seconds of each process for each request."""
    before = {pid: cpu_of([pid]) for pid in server.processes}
    results = [finish(one) for one in [start(server.url("get"), load, seconds, core) for core in cores]]
    requests = sum(one.requests for one in results)
    assert not any(one.errors for one in results)
    return sum(one.rate for one in results), [(cpu_of([pid]) - was) / requests for pid, was in before.items()]


def main() -> None:
    """Print both ratios, of each round and their medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--size", type=int, default=4 * run.KIB)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path().resolve(), prefix=".bench-") as scratch, ExitStack() as stack:
        servers = []
        for count in (1, 2):
            servers.append(Workers(Path(scratch) / str(count), count))
            stack.callback(servers[-1].close)
            servers[-1].fill(arguments.size, run.NAMES[arguments.size])
        one, two = servers
        load = run.load_of(one, "get", arguments.size)
        by_cpu, by_rate = [], []
        for _ in range(arguments.rounds):
            one.run_on(CORES[:1])
            alone_rate, alone_s = one_run(one, load, CORES[1:], arguments.seconds)
            one.run_on(CORES)
            shared_rate, _ = one_run(one, load, CORES, arguments.seconds)
            both_rate, both_s = one_run(two, load, CORES, arguments.seconds)
            busiest = max(both_s)
            by_cpu.append(sum(alone_s) / busiest)
            by_rate.append(both_rate / shared_rate)
            print(
                f"1 worker: {sum(alone_s) * 1e6:.1f} us of CPU a request, {alone_rate:,.0f}/s with a core of its own,"
                f" {shared_rate:,.0f}/s beside generators; 2 workers: {sum(both_s) * 1e6:.1f} us, the busiest process"
                f" {busiest / sum(both_s):.2f} of it, {both_rate:,.0f}/s",
                flush=True,
            )
    print(f"2 workers to 1 by CPU {statistics.median(by_cpu):.2f}, by rates {statistics.median(by_rate):.2f}")


if __name__ == "__main__":
    main()
