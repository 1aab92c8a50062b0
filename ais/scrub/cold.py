"""Reading files from the disk, whatever the page cache holds of them.

O_DIRECT: the bytes come from the device, and what clients have in the cache stays there. File systems without it
(tmpfs) are read through the cache after it was told to drop the file (POSIX_FADV_DONTNEED), and told so again
afterwards. Content that was not written back yet is, first.
"""

import errno
import mmap
import os
from collections.abc import Iterator

from ais.env.disk import Disk

PIECE_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_REFUSED = (errno.EINVAL, errno.EOPNOTSUPP)


def read(disk: Disk, path: str) -> Iterator[memoryview]:
    """The content of a file in pieces, each valid until the next is asked for. Raise `OSError`."""
    fd = disk.open(path, _READ)
    try:
        disk.fdatasync(fd)
        direct = _open_direct(disk, path)
        if direct is None:
            yield from _read(disk, fd, drop=True)
            return
        try:
            yield from _read(disk, direct, drop=False)
        finally:
            disk.close(direct)
    finally:
        disk.close(fd)


def forget(disk: Disk, path: str) -> None:
    """Have the next reader of a file get it from the disk. Raise `OSError`."""
    fd = disk.open(path, _READ)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        disk.close(fd)


def _open_direct(disk: Disk, path: str) -> int | None:
    try:
        return disk.open(path, _READ | os.O_DIRECT)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        return None


def _read(disk: Disk, fd: int, *, drop: bool) -> Iterator[memoryview]:
    if drop:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    offset, size = 0, disk.fstat(fd).st_size
    view = memoryview(mmap.mmap(-1, PIECE_BYTES))  # aligned as O_DIRECT wants it
    while offset < size and (count := disk.preadv(fd, [view], offset)):
        yield view[:count]
        offset += count
    if drop:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
