"""Nodes whose clocks are set while they run: real processes that read how far in a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATCH = """
import os, time
_real, _here, _nodes = time.time_ns, os.path.dirname(__file__), {}
def _node():
    if os.getpid() not in _nodes:  # a node that was forked is one when its command line says so
        with open('/proc/self/cmdline') as file:
            parts = file.read().split('\\0')
        _nodes.update({os.getpid(): part.split('/')[-2] for part in parts if '/local.json' in part})
    return _nodes.get(os.getpid(), 'nobody')
def time_ns():
    try:
        with open(os.path.join(_here, _node())) as file:
            return _real() + int(file.read())
    except (OSError, ValueError):
        return _real()
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
