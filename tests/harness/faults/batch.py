"""Many schedules, some at once, each in a process of its own: `python -m harness.faults.batch --seeds 1-50`.

Exit status 1 when one failed; its directory (report, logs) is named, those of the others are removed.
"""

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[2]
START_AND_END_S = 300.0
"""What a schedule takes at most beside its faults, on a busy machine."""


@dataclass(frozen=True)
class Result:
    """How one schedule ended."""

    seed: int
    passed: bool
    output: str
    directory: Path
    took_s: float

    @property
    def reason(self) -> str:
        """The first line of its report."""
        words = ("VIOLATION", "BROKEN", "HARNESS")
        return next((line for line in self.output.splitlines() if line.startswith(words)), "no report")[:300]


def run(seed: int, seconds: float, options: Iterable[str] = (), parent: Path | None = None) -> Result:
    """One schedule in a process of its own."""
    directory = Path(tempfile.mkdtemp(prefix=f"faults-{seed}-", dir=parent))
    command = [sys.executable, "-m", "harness.faults.run", "--seed", str(seed), "--seconds", f"{seconds:g}"]
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*command, "--out", str(directory), *options],
            cwd=TESTS,
            capture_output=True,
            text=True,
            timeout=seconds + START_AND_END_S,
            check=False,
        )
        passed, output = done.returncode == 0, done.stdout + done.stderr
    except subprocess.TimeoutExpired as error:
        passed, output = False, f"HARNESS did not end within {error.timeout:g} s\n{error.stdout!r}"
    if passed:
        shutil.rmtree(directory)
    else:
        (directory / "output.txt").write_text(output)
    return Result(seed, passed, output, directory, time.monotonic() - began)


def run_all(
    seeds: Iterable[int], seconds: float, parallel: int, options: Iterable[str] = (), parent: Path | None = None
) -> list[Result]:
    """Many schedules, `parallel` at a time; each result is told as it comes."""
    results = []
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        jobs = [pool.submit(run, seed, seconds, tuple(options), parent) for seed in seeds]
        for job in concurrent.futures.as_completed(jobs):
            one = job.result()
            results.append(one)
            told = "passed" if one.passed else f"FAILED {one.reason} ({one.directory})"
            sys.stdout.write(f"seed {one.seed}: {told}, {one.took_s:.0f} s\n")
            sys.stdout.flush()
    return sorted(results, key=lambda one: one.seed)


def seeds_of(text: str) -> list[int]:
    """`1-50` or `7,9,11`."""
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(one) for one in text.split(",")]


def main() -> int:
    """The command line; what it does not know goes to each schedule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-50")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1)
    known, options = parser.parse_known_args()
    results = run_all(seeds_of(known.seeds), known.seconds, known.parallel, options)
    failed = [one for one in results if not one.passed]
    sys.stdout.write(f"{len(results) - len(failed)} of {len(results)} passed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
