"""Which faults and how many schedules it takes to find each bug of `inject.plants`."""

import re
from dataclasses import dataclass
from pathlib import Path

from harness.faults import batch
from harness.faults.batch import Result


@dataclass(frozen=True)
class Plant:
    """How a bug is looked for, and by which words its report is known."""

    found_by: str
    """Regular expression in the first line of the report."""
    kinds: str = ""
    """Faults to run; empty: the bug shows without any."""
    seconds: float = 20
    schedules: int = 3
    """Seeds to try at most."""
    options: tuple[str, ...] = ()


PLANTS = {
    "acknowledge-before-rename": Plant("->"),
    "forget-deletes": Plant("GET|HEAD|LIST|DELETE|COPY|RENAME"),
    "ignore-conditions": Plant("if absent|if match"),
    "compare-outside-lock": Plant("if absent|if match|GET|HEAD|LIST", options=("--rush", "create_if_absent")),
    "list-without-new": Plant("LIST"),
    "send-changes-twice": Plant("versions|version|if absent|again", "CUT_SWALLOW", 40, 5),
    "silent-targets-leave": Plant("404|LIST|absent", "FREEZE,KILL", 40),
    "vouch-always": Plant("404", "FREEZE,CUT_SWALLOW,KILL", 40, 5),
    "late-destroy": Plant("changing"),
    "zeros-after-complete": Plant("bytes nobody stored"),
    "part-after-complete": Plant("bytes nobody stored"),
    "rename-over-newer": Plant("->", options=("--rush", "rename")),
    "damaged-bytes": Plant("bytes nobody stored|BAD DATA CHECKSUM|ErrBadCksum"),
    "lost-versions": Plant("version"),
    "write-by-name": Plant("written where no mountpath was", "EMPTY_MOUNTPATH"),
}


def find(name: str, parent: Path | None = None, first_seed: int = 1) -> Result | None:
    """Run schedules with a bug until one reports it; None when none does. Raise when one fails for another reason."""
    plant = PLANTS[name]
    options = ["--plant", name, *plant.options]
    options += ["--kinds", plant.kinds] if plant.kinds else ["--calm"]
    for seed in range(first_seed, first_seed + plant.schedules):
        one = batch.run(seed, plant.seconds, options, parent)
        if one.reason.startswith("VIOLATION") and re.search(plant.found_by, one.reason):
            return one
        if not one.passed and not one.reason.startswith("VIOLATION"):
            raise AssertionError(f"seed {seed} with {name} failed otherwise: {one.output}")
    return None
