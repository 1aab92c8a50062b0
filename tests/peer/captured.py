"""Recorded runs of AIStore's CLI: `$ command`, `[stdin]`, `[exit N]`, `[stdout]`, `[stderr]`."""

import ast
import os
import re
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = os.environ.get("AIS_PEER_CAPTURES", "")
_FORM = re.compile(
    r"\$ (?P<command>[^\n]*)\n(?:\[stdin\] (?P<stdin>[^\n]*)\n)?\[exit (?P<code>\d+)\]\n"
    r"\[stdout\]\n(?P<out>.*)\[stderr\]\n(?P<err>.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Run:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Capture:
    """A recorded run."""

    number: int
    name: str
    command: str
    stdin: str
    run: Run


def read_all() -> list[Capture]:
    """All recorded runs in their order; none without `AIS_PEER_CAPTURES`."""
    return [_read(path) for path in sorted(Path(DIRECTORY).glob("[0-9]*.txt"))] if DIRECTORY else []


def _read(path: Path) -> Capture:
    found = _FORM.fullmatch(path.read_text(errors="replace"))
    assert found is not None, f"{path} is not a recorded run"
    stdin = ast.literal_eval(found["stdin"]) if found["stdin"] else ""
    return Capture(
        int(path.name[:3]), path.stem, found["command"], stdin, Run(int(found["code"]), found["out"], found["err"])
    )
