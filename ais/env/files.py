"""Looking at many files below one directory: what `lstat` and `getxattr` say, in fewer steps of the interpreter.

`os.lstat` makes an object of twenty numbers for each file, `os.getxattr` asks for up to 64 KiB what is not within 128
bytes, which the kernel allocates and clears each time. Here the kernel writes what it finds into one buffer, one file
behind the other, and what is wanted of that is taken from there for all of them at once.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import compress, repeat
from typing import Literal

from ais.env.attributes import getxattr_into

_LIBC = ctypes.CDLL(None, use_errno=True)
_statx = _LIBC.statx
_statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
_NOFOLLOW, _BASIC_STATS = 0x100, 0x7FF
_STAT_BYTES = 256
"""Of `struct statx`, which is the same on every machine."""
_STAT = struct.Struct("=16xI8xH2xQQ16xqi4x16xqi4xqi4x")
"""What is used of it: number of names, mode, inode, size; of the last access, change and modification the seconds and
nanoseconds."""
_INODE, _SIZE, _ACCESSED, _CHANGED, _MODIFIED = 4, 5, 8, 12, 14
"""Where these are, counted in 8 bytes."""
_LINKS, _MODE = 4, 14
"""The same, in 4 bytes, and in 2."""
_VALUE_BYTES = 1024
"""Most attributes are no longer."""
FILES_MAX = 256
"""What is looked at in one go: the buffers stay in the processor's cache."""
_NOT_THERE = (FileNotFoundError, NotADirectoryError)
_NO_ATTRIBUTE = (errno.ENODATA, errno.ENOENT, errno.ENOTDIR)
_NOTHING = bytes(_STAT_BYTES)


class Files:
    """Files below one directory, which need not be there. For one thread.

    What was seen of those that were looked at last stands in lists, in the order in which they were asked for.
    """

    values: list[bytes | None]
    """An attribute of each, None where it has none; empty when it was not asked for."""

    def __init__(self, directory: str, fd: int, attribute: str) -> None:
        self._directory, self._fd, self._attribute = f"{directory}/", fd, attribute
        self._stats, self._slots = bytearray(), bytearray()
        self._count = 0

    def look(self, paths: list[str], *, with_values: bool) -> None:
        """At up to `FILES_MAX` relative paths; at the attribute of each right after the rest. Raise `OSError`."""
        self._count = count = len(paths)
        if len(self._stats) < max(1, count) * _STAT_BYTES:
            self._stats, self._slots = (bytearray(max(1, count) * size) for size in (_STAT_BYTES, _VALUE_BYTES))
        encoded = os.fsencode("\0".join(paths)).split(b"\0") if paths else []
        fd, places = self._fd, _places(self._stats, _STAT_BYTES, count)
        if with_values:
            begin, name, slots = os.fsencode(self._directory), os.fsencode(self._attribute), self._slots
            answers = [
                (
                    _statx(fd, path, _NOFOLLOW, _BASIC_STATS, place),
                    getxattr_into(begin + path, name, slot, _VALUE_BYTES),
                )
                for path, place, slot in zip(encoded, places, _places(slots, _VALUE_BYTES, count), strict=True)
            ]
            failed = [answer for answer, _ in answers]
            self._take_values(paths, [size for _, size in answers])
        else:
            failed = list(map(_statx, repeat(fd), encoded, repeat(_NOFOLLOW), repeat(_BASIC_STATS), places))
            self.values = []
        if any(failed):
            for at in compress(range(count), failed):
                self._stat_again(at, paths[at])

    def modes(self) -> list[int]:
        """0 where nothing has the name: the rest says nothing then."""
        return memoryview(self._stats).cast("H")[_MODE : self._count * _STAT_BYTES // 2 : _STAT_BYTES // 2].tolist()

    def links(self) -> list[int]:
        """How many names each has."""
        return self._column("I", _LINKS)

    def inodes(self) -> list[int]:
        """Numbers of inodes."""
        return self._column("Q", _INODE)

    def sizes(self) -> list[int]:
        """In bytes."""
        return self._column("Q", _SIZE)

    def accessed_ns(self) -> list[int]:
        """Last access, Unix ns."""
        return self._times_ns(_ACCESSED)

    def changed_ns(self) -> list[int]:
        """Last change of content or attributes, Unix ns."""
        return self._times_ns(_CHANGED)

    def modified_ns(self) -> list[int]:
        """Last change of content, Unix ns."""
        return self._times_ns(_MODIFIED)

    def _times_ns(self, at: int) -> list[int]:
        both = zip(self._column("q", at), self._column("i", 2 * at + 2), strict=True)
        return [seconds * 1_000_000_000 + rest for seconds, rest in both]

    def _column(self, code: Literal["Q", "q", "I", "i"], at: int) -> list[int]:
        words: memoryview[int] = memoryview(self._stats).cast(code)
        return words[at : self._count * _STAT_BYTES // words.itemsize : _STAT_BYTES // words.itemsize].tolist()

    def _take_values(self, paths: list[str], sizes: list[int]) -> None:
        slots = memoryview(self._slots)
        starts = range(0, len(slots), _VALUE_BYTES)
        self.values = [bytes(slots[at : at + size]) for at, size in zip(starts, sizes, strict=False)]
        if min(sizes, default=0) < 0:
            for at, size in enumerate(sizes):
                if size < 0:
                    self.values[at] = self._value(paths[at])

    def _value(self, path: str) -> bytes | None:
        """It is larger than others, or there is none."""
        try:
            return os.getxattr(self._directory + path, self._attribute)
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTE:
                raise
            return None

    def _stat_again(self, at: int, path: str) -> None:
        """Ask by the function that says why it failed."""
        place = at * _STAT_BYTES
        self._stats[place : place + _STAT_BYTES] = _NOTHING
        try:
            found = os.lstat(self._directory + path)
        except _NOT_THERE:
            return
        times = (divmod(one, 10**9) for one in (found.st_atime_ns, found.st_ctime_ns, found.st_mtime_ns))
        accessed, changed, modified = times
        _STAT.pack_into(
            self._stats,
            place,
            found.st_nlink,
            found.st_mode,
            found.st_ino,
            found.st_size,
            *accessed,
            *changed,
            *modified,
        )


@contextmanager
def files_below(directory: str, attribute: str) -> Iterator[Files]:
    """For a block: the files below a directory and one attribute of theirs. Raise `OSError`."""
    try:
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except _NOT_THERE:
        fd = -1  # nothing is found by it
    try:
        yield Files(directory, fd, attribute)
    finally:
        if fd >= 0:
            os.close(fd)


def _places(buffer: bytearray, step: int, count: int) -> range:
    """Addresses in memory."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    return range(start, start + step * count, step)
