"""Compare this code with an earlier state of it in one run; see bench/README.md for the method.

usage: python bench/macro/before.py PYTHON [--rounds 20] [--seconds 1] [--only get,put,redirect] [--sizes 4096,...]
                                    [--dir D] [--put-dir D]

PYTHON is the interpreter of a virtual environment in which the other state is installed (`git worktree add`,
`make install`). Of each state two clusters run, in the order before, now, now, before: of two clusters of the same code
the one that was started later is some 5 % slower at small PUTs.
"""

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import run
from servers import Ais, Served, pin


class State(Ais):
    """A cluster of whatever code an interpreter has."""

    def __init__(self, name: str, python: str, directory: Path) -> None:
        self.name = name
        self._served = Served(python, directory).__enter__()
        [self._proxy], [self._target] = self._served.proxies, self._served.targets
        self._pids = [self._proxy.pid, self._target.pid]
        pin(self._pids, run.SERVER_CORE)
        self._call("POST", f"/v1/buckets/{self.bucket}", b'{"action":"create-bck"}')

    def close(self) -> None:
        """Stop it."""
        self._served.__exit__()


def compare(python: str, scenario: str, size_bytes: int, directory: Path, rounds: int, seconds: int) -> str:
    """Measure one scenario; a line with rates, CPU per request and the ratios of both, over 1 where now is better."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=".bench-") as scratch, ExitStack() as stack:
        states = []
        codes = [("before", python), ("now", sys.executable)]
        for index, (name, interpreter) in enumerate([*codes, *reversed(codes)]):
            states.append(State(f"{name} {index}", interpreter, Path(scratch) / str(index)))
            stack.callback(states[-1].close)
        for state in states:
            for filled in {4 * run.KIB, size_bytes}:
                state.fill(filled, run.NAMES[filled])
        first, now, again, last = run.measure(states, scenario, size_bytes, rounds, seconds)
    before_rate, now_rate = (first.rate + last.rate) / 2, (now.rate + again.rate) / 2
    before_us, now_us = (first.cpu_us + last.cpu_us) / 2, (now.cpu_us + again.cpu_us) / 2
    rounds_each = zip(first.rates, now.rates, again.rates, last.rates, strict=True)
    median = statistics.median((b + c) / (a + d) for a, b, c, d in rounds_each)
    errors = sum(one.errors for one in (first, now, again, last))
    return (
        f"{first.scenario}: before {before_rate:,.0f}/s {before_us:.1f} us, now {now_rate:,.0f}/s {now_us:.1f} us:"
        f" rate {now_rate / before_rate:.3f} (median of rounds {median:.3f}), CPU {before_us / now_us:.3f},"
        f" {errors} errors"
    )


def main() -> None:
    """Compare what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="interpreter of the other state")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--only", default="get,put,redirect")
    parser.add_argument("--sizes", default=",".join(map(str, run.SIZES[:3])))
    parser.add_argument("--dir", type=Path, default=Path(), help="where the files are that GETs read")
    parser.add_argument("--put-dir", type=Path, default=run.TMPFS, help="where PUTs write")
    arguments = parser.parse_args()
    for scenario in arguments.only.split(","):
        directory = arguments.put_dir if scenario == "put" else arguments.dir
        sizes = [4 * run.KIB] if scenario == "redirect" else [int(one) for one in arguments.sizes.split(",")]
        for size_bytes in sizes:
            line = compare(
                arguments.python, scenario, size_bytes, directory.resolve(), arguments.rounds, arguments.seconds
            )
            print(line, flush=True)


if __name__ == "__main__":
    main()
