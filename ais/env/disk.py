"""The disk: the system calls that storage code makes, on one object that tests replace by one that fails.

The attributes are the functions of `os` themselves, so that the seam costs the data path nothing. They raise `OSError`;
`ais.fs` and `ais.core` translate it. Paths are `str` or `bytes`; descriptors are plain ints owned by the caller.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_SYNC_FILE_RANGE_WRITE = 2


def exchange(path: str, other: str) -> None:
    """Swap two directory entries in one atomic step (`renameat2`); Python has no call for it."""
    if _LIBC.renameat2(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path, None, other)


def start_writing(fd: int, offset: int, size: int) -> None:
    """Let the disk begin with dirty pages of a file; wait for nothing, promise nothing (`sync_file_range`)."""
    _LIBC.sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(size), _SYNC_FILE_RANGE_WRITE)


class Disk:
    """Direct system calls. A test subclasses it and overrides the calls that should fail or stall."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    read = staticmethod(os.read)
    preadv = staticmethod(os.preadv)
    pread = staticmethod(os.pread)
    write = staticmethod(os.write)
    pwrite = staticmethod(os.pwrite)
    ftruncate = staticmethod(os.ftruncate)
    fsync = staticmethod(os.fsync)
    fdatasync = staticmethod(os.fdatasync)
    start_writing = staticmethod(start_writing)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    lstat = staticmethod(os.lstat)
    access = staticmethod(os.access)
    rename = staticmethod(os.rename)
    exchange = staticmethod(exchange)
    link = staticmethod(os.link)
    symlink = staticmethod(os.symlink)
    readlink = staticmethod(os.readlink)
    copy_file_range = staticmethod(os.copy_file_range)
    unlink = staticmethod(os.unlink)
    mkdir = staticmethod(os.mkdir)
    makedirs = staticmethod(os.makedirs)
    rmdir = staticmethod(os.rmdir)
    listdir = staticmethod(os.listdir)
    statvfs = staticmethod(os.statvfs)
    utime = staticmethod(os.utime)
    getxattr = staticmethod(os.getxattr)
    setxattr = staticmethod(os.setxattr)
    removexattr = staticmethod(os.removexattr)

    @staticmethod
    def scandir(path: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """`os.scandir` of a path given as text."""
        return os.scandir(path)
