"""Compare the S3 API with that of an earlier state of this code in one run; see bench/README.md for the method.

usage: python bench/macro/s3_before.py PYTHON [--rounds 6] [--seconds 1] [--sizes 4096,...] [--methods PUT,GET]
                                       [--dir D]

PYTHON is the interpreter of a virtual environment in which the other state is installed, as for `before.py`; as there,
two clusters run of each state, in the order before, now, now, before. The paths are those of `s3.py`.
"""

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import s3
from servers import Served


def compare(states: list[s3.Bench], path: str, method: str, size: int, rounds: int, seconds: int) -> str:
    """Measure one path; a line with rates, CPU per request and the ratios of both, over 1 where now is better."""
    samples: list[list[s3.Sample]] = [[] for _ in states]
    for turn in range(rounds):
        for index in sorted(range(len(states)), reverse=turn % 2 == 1):
            samples[index].append(states[index].run(path, method, size, seconds))
    first, now, again, last = samples
    rates = [(b.rate + c.rate) / ((a.rate + d.rate) or 1) for a, b, c, d in zip(first, now, again, last, strict=True)]
    before_us, now_us = (
        statistics.median(sample.cpu_us for sample in both) for both in ([*first, *last], [*now, *again])
    )
    errors = sum(sample.errors for runs in samples for sample in runs)
    scenario = f"{method} {size // s3.KIB} KiB, {path}"
    return (
        f"{scenario}: rate {statistics.median(rates):.3f} ({min(rates):.2f}-{max(rates):.2f}),"
        f" CPU {before_us:.1f} -> {now_us:.1f} us: {before_us / (now_us or 1):.3f}, {errors} errors"
    )


def main() -> None:
    """Compare what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="interpreter of the other state")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--sizes", default=",".join(map(str, s3.SIZES)))
    parser.add_argument("--methods", default="PUT,GET")
    parser.add_argument("--dir", type=Path, default=Path.cwd(), help="where the clusters keep their files")
    arguments = parser.parse_args()
    codes = [arguments.python, sys.executable]
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix=".bench-") as scratch, ExitStack() as stack:
        states = []
        for index, python in enumerate([*codes, *reversed(codes)]):
            directory = Path(scratch) / str(index)
            directory.mkdir()
            states.append(
                stack.enter_context(s3.Bench(directory, Served(python, directory / "ais", {"auth.enabled": "true"})))
            )
        for size in map(int, arguments.sizes.split(",")):
            for state in states:
                state.fill(size)
            for method in arguments.methods.split(","):
                for path in s3.PATHS:
                    print(
                        compare(states, path, method, size, arguments.rounds, arguments.seconds),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
