"""Ports for the clusters of tests.

A node that is down has its port all the same: programs of one user that ask here never get the same port while the
first one keeps it. Each holds a lock on the byte with the port's number in one file, which goes with its process.
"""

import fcntl
import os
import random
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from ais.base.errors import Conflict
from ais.playground import process

PORTS = range(10_000, 32_000)
"""Where ports are looked for: below the range the system gives to outgoing connections."""
_ATTEMPTS_MAX = 1000


class _Kept:
    """What this process holds; a process forked of it holds nothing."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.ports: set[int] = set()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.fd = os.open(Path(tempfile.gettempdir()) / f"ais-ports-{os.getuid()}", flags, 0o600)

    def take(self, row: range) -> bool:
        """Hold these ports, if all of them are free."""
        if not self.ports.isdisjoint(row):
            return False
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, len(row), row.start)
        except OSError:
            return False
        if all(process.is_free(port) for port in row):
            self.ports.update(row)
            return True
        fcntl.lockf(self.fd, fcntl.LOCK_UN, len(row), row.start)
        return False

    def give_back(self, ports: Iterable[int]) -> None:
        """Hold these no more."""
        for port in self.ports.intersection(ports):
            self.ports.remove(port)
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, port)


_lock = threading.Lock()
_kept: _Kept | None = None


def take(count: int) -> int:
    """The first of `count` free ports in a row, kept until `give_back` or the end of the process. Raise `Conflict`."""
    global _kept
    with _lock:
        if _kept is None or _kept.owner != os.getpid():
            _kept = _Kept()
        for _ in range(_ATTEMPTS_MAX):
            first = random.choice(PORTS[: 1 - count or None])
            if _kept.take(range(first, first + count)):
                return first
    raise Conflict(f"no {count} free ports in a row between {PORTS.start} and {PORTS.stop}")


def give_back(ports: Iterable[int]) -> None:
    """Let others have these ports; those that were not taken here are left alone."""
    with _lock:
        if _kept is not None and _kept.owner == os.getpid():
            _kept.give_back(ports)
