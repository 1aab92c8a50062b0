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

    __slots__ = ("_disk", "_fd", "_is_resting", "_lock_args", "_opening", "_root", "_threads", "_unlock_args", "turns")

    _use = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, STRIPES, 1, 0)
    """The byte behind those of the stripes, together with the others that use the mountpath."""

    def __init__(self, disk: Disk, root: str) -> None:
        """Open the locks of a mountpath. Raise `OSError`, or `Busy` when its only process holds them."""
        self._disk, self._root = disk, root
        self._opening = threading.Lock()
        self._is_resting = False
        self._threads = [threading.Lock() for _ in range(STRIPES)]
        self.turns = [0] * STRIPES
        """By stripe (`stripe_of`): how often a writer of this process has held it. Counted before it is given back."""
        self._lock_args = [_flock(fcntl.F_WRLCK, stripe) for stripe in range(STRIPES)]
        self._unlock_args = [_flock(fcntl.F_UNLCK, stripe) for stripe in range(STRIPES)]
        self._fd = self._open(os.O_CREAT)

    def acquire(self, digest: int, wait: bool = True) -> None:
        """Take the stripe of a name's digest. Raise `StripeBusy` when it is taken and `wait` is false.

        Raise `OSError` when the file was closed (`rest`) and is not there any more.
        """
        stripe = digest & _MASK
        if not self._threads[stripe].acquire(wait):
            raise StripeBusy
        try:
            if self._fd < 0:
                self._reopen()
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

    def rest(self) -> None:
        """Close the file as soon as no stripe is held, unless `wake` comes before; blocks until then."""
        self._is_resting = True
        for lock in self._threads:
            lock.acquire()
        try:
            with self._opening:
                if self._is_resting:
                    self.close()
        finally:
            for lock in self._threads:
                lock.release()

    def wake(self) -> None:
        """Have the file open again. Raise as the constructor."""
        self._is_resting = False
        self._reopen()

    def close(self) -> None:
        """Close the file; no stripe may be held."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._disk.close(fd)

    def _reopen(self) -> None:
        with self._opening:
            if self._fd < 0:
                self._fd = self._open()

    def _open(self, flags: int = 0) -> int:
        """Open the file, not making it unless `flags` say so: the disk may not be mounted any more."""
        fd = self._disk.open(f"{self._root}/{FILE_NAME}", os.O_RDWR | os.O_CLOEXEC | flags, 0o644)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, self._use)
        except BlockingIOError:
            self._disk.close(fd)
            raise Busy(
                f"mountpath {self._root} is used by another process: stop that node, or give this one other mountpaths"
            ) from None
        return fd


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
