"""Nodes whose clocks are set while they run: real processes that read how far in a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATCH = """
import os, time
_parts = open('/proc/self/cmdline').read().split('\\0')
_name = next((part.split('/')[-2] for part in _parts if '/local.json' in part), '')
_real, _file = time.time_ns, os.path.join(os.path.dirname(__file__), _name or 'nobody')
def time_ns():
    try:
        with open(_file) as file:
            return _real() + int(file.read())
    except (OSError, ValueError):
        return _real()
if _name:
    time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9
"""


class Clocks:
    """Of the nodes that are started while `clocks` is open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def set_forward(self, node: str, seconds: float) -> None:
        """Set the clock of a node (`t1`) so far beyond what it is."""
        (self._directory / node).write_text(str(int(seconds * 1e9)))


@contextmanager
def clocks(directory: Path) -> Iterator[Clocks]:
    """Have all processes that are started from now on let their clocks be set."""
    (directory / "sitecustomize.py").write_text(_PATCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH", "")])))
        yield Clocks(directory)
