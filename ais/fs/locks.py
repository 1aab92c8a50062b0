"""Locks between the writers of one object: stripes of one file per mountpath, shared by all processes of the target.

A name always falls on the same stripe; names that share a stripe wait for each other, which is harmless because a
stripe is held for a rename, never across the network. Threads of a process exclude each other by a `threading.Lock`
per stripe, processes by an OFD lock on the stripe's byte of `.ais.locks`; the kernel drops it when the process dies.
A process must open its own `Stripes` (after a fork, not before): OFD locks belong to the open file. The only process
of a target opens `SoleStripes`, which keep all others out once and for all instead of asking the kernel each time.

Readers take no lock. Who wants to know whether a name may have been written since it was read compares `turns`.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ais.base.errors import Busy
from ais.env.disk import Disk

STRIPES = 1024
FILE_NAME = ".ais.locks"
_MASK = STRIPES - 1
_FLOCK = struct.Struct("hhqqi4x")
WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
"""Argument of `F_OFD_SETLK`: all of a file, for writing."""


def probe_writing(disk: Disk, root: str) -> None:
    """Raise `OSError` unless the lock file of a mountpath can be opened, and so made when it is not there."""
    disk.close(disk.open(f"{root}/{FILE_NAME}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))


class StripeBusy(Exception):
    """Another writer holds the stripe and the caller did not want to wait. Never reaches a client."""


def _flock(kind: int, stripe: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, stripe, 1, 0)


class Stripes:
    """The stripes of one mountpath."""

    __slots__ = ("_fd", "_lock_args", "_threads", "_unlock_args", "turns")

    _use = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, STRIPES, 1, 0)
    """The byte behind those of the stripes, together with the others that use the mountpath."""

    def __init__(self, disk: Disk, root: str) -> None:
        """Open the locks of a mountpath. Raise `OSError`, or `Busy` when its only process holds them."""
        self._fd = disk.open(f"{root}/{FILE_NAME}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._threads = [threading.Lock() for _ in range(STRIPES)]
        self.turns = [0] * STRIPES
        """By stripe (`stripe_of`): how often a writer of this process has held it. Counted before it is given back."""
        self._lock_args = [_flock(fcntl.F_WRLCK, stripe) for stripe in range(STRIPES)]
        self._unlock_args = [_flock(fcntl.F_UNLCK, stripe) for stripe in range(STRIPES)]
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, self._use)
        except BlockingIOError:
            os.close(self._fd)
            raise Busy(
                f"mountpath {root} is used by another process: stop that node, or give this one other mountpaths"
            ) from None

    def acquire(self, digest: int, wait: bool = True) -> None:
        """Take the stripe of a name's digest. Raise `StripeBusy` when it is taken and `wait` is false."""
        stripe = digest & _MASK
        if not self._threads[stripe].acquire(wait):
            raise StripeBusy
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, self._lock_args[stripe])
        except BlockingIOError:
            self._threads[stripe].release()
            raise StripeBusy from None
        except BaseException:
            self._threads[stripe].release()
            raise

    def release(self, digest: int) -> None:
        """Give back what `acquire` took."""
        stripe = digest & _MASK
        self.turns[stripe] += 1
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, self._unlock_args[stripe])
        finally:
            self._threads[stripe].release()

    @contextmanager
    def held(self, digest: int) -> Iterator[None]:
        """Hold the stripe of a name's digest for a block."""
        self.acquire(digest)
        try:
            yield
        finally:
            self.release(digest)

    def wait_for_all(self) -> None:
        """Return when every stripe was free once: whoever holds one took it after this call."""
        for stripe in range(STRIPES):
            with self.held(stripe):
                pass

    def close(self) -> None:
        """Close the file; no stripe may be held."""
        os.close(self._fd)


class SoleStripes(Stripes):
    """The stripes of a mountpath that only this process uses: threads exclude each other, other processes are shut out.

    Opening raises `Busy` while another process has them open.
    """

    __slots__ = ()

    _use = WHOLE_FILE

    def acquire(self, digest: int, wait: bool = True) -> None:
        """See `Stripes`."""
        if not self._threads[digest & _MASK].acquire(wait):
            raise StripeBusy

    def release(self, digest: int) -> None:
        """See `Stripes`."""
        stripe = digest & _MASK
        self.turns[stripe] += 1
        self._threads[stripe].release()


def stripe_of(digest: int) -> int:
    """Which stripe a digest falls on; two names with one stripe must not be locked one after the other."""
    return digest & _MASK
