"""Ports of test clusters: what one program has, no other one gets, also while the node on it is down."""

import subprocess
import sys

import pytest

from ais.base.errors import Conflict
from ais.playground import ports

_TAKE = "from ais.playground import ports; ports.PORTS = range({}, {}); print(ports.take(1), flush=True); input()"


def test_two_programs_never_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two ports, nobody listening, each program gets another one; a third gets one when a program has ended."""
    first = ports.take(2)
    ports.give_back(range(first, first + 2))
    monkeypatch.setattr(ports, "PORTS", range(first, first + 2))
    command = [sys.executable, "-c", _TAKE.format(first, first + 2)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        theirs = int(other.stdout.readline())
        ours = ports.take(1)
        assert {ours, theirs} == {first, first + 1}
        with pytest.raises(Conflict):
            ports.take(1)
        other.stdin.close()
    assert ports.take(1) == theirs
    ports.give_back(range(first, first + 2))
