"""The disk: the system calls that storage code makes, on one object that tests replace by one that fails.

Most attributes are the functions of `os` themselves, so that the seam costs the data path nothing. They raise
`OSError`; `ais.fs` and `ais.core` translate it. Paths are `str` or `bytes`; descriptors are plain ints owned by the
caller.

On tmpfs and btrfs a name that is renamed over goes to the end of its directory, which a reader that is under way does
not see any more: it misses the name, although it was there all the time. So renames tell those who read (`watch`).
"""

import ctypes
import errno
import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from ais.env.attributes import attribute_getter
from ais.env.changes import Changes
from ais.env.files import files_below

_rename = os.rename
_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_SYNC_FILE_RANGE_WRITE = 2
_FS_IOC_FIEMAP = 0xC020660B
_FIEMAP_FLAG_SYNC = 1


def exchange(path: str, other: str) -> None:
    """Swap two directory entries in one atomic step (`renameat2`); Python has no call for it."""
    if _LIBC.renameat2(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path, None, other)


def write_out(fd: int) -> None:
    """Bring a file's content and size to the disk, but not further: what is renamed afterwards cannot become durable
    before it. Costs a write; `fdatasync` would cost a flush of the disk, too.
    """
    request = struct.pack("=QQLLLL", 0, (1 << 64) - 1, _FIEMAP_FLAG_SYNC, 0, 0, 0)
    try:
        fcntl.ioctl(fd, _FS_IOC_FIEMAP, request)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):
            raise
        os.fdatasync(fd)


def boot_id() -> str:
    """Tells one run of this machine from the next."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_writing(fd: int, offset: int, size: int) -> None:
    """Let the disk begin with dirty pages of a file; wait for nothing, promise nothing (`sync_file_range`)."""
    _LIBC.sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(size), _SYNC_FILE_RANGE_WRITE)


def sync_filesystem(path: str) -> None:
    """Have all that was changed on a directory's filesystem on the disk. Blocks. Raise `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(fd):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    finally:
        os.close(fd)


class Disk:
    """Direct system calls. A test subclasses it and overrides the calls that should fail or stall."""

    _watched: dict[str, tuple[set[str], ...]]
    _watching: threading.Lock

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        """With nobody reading a directory."""
        disk = super().__new__(cls)
        disk._watched, disk._watching = {}, threading.Lock()
        return disk

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
    sync_filesystem = staticmethod(sync_filesystem)
    start_writing = staticmethod(start_writing)
    write_out = staticmethod(write_out)
    boot_id = staticmethod(boot_id)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    lstat = staticmethod(os.lstat)
    access = staticmethod(os.access)
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
    getxattr = staticmethod(attribute_getter())
    setxattr = staticmethod(os.setxattr)
    removexattr = staticmethod(os.removexattr)
    files_below = staticmethod(files_below)
    follow = Changes

    def rename(self, source: str, target: str) -> None:
        """Rename a file or directory, replacing what has the name."""
        if self._watched:
            self._tell(target)
        _rename(source, target)

    def exchange(self, path: str, other: str) -> None:
        """Swap two directory entries in one atomic step."""
        if self._watched:
            self._tell(path)
            self._tell(other)
        exchange(path, other)

    @contextmanager
    def entered(self, directory: str) -> Iterator[str]:
        """For a block, a path of the directory that is at this one now, whatever takes its place. Raise `OSError`."""
        fd = self.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{fd}"
        finally:
            self.close(fd)

    @contextmanager
    def watch(self, directory: str) -> Iterator[set[str]]:
        """For a block, collect the entries of a directory to which this process renames anything."""
        entries: set[str] = set()
        with self._watching:
            self._watched[directory] = (*self._watched.get(directory, ()), entries)
        try:
            yield entries
        finally:
            with self._watching:
                others = tuple(one for one in self._watched[directory] if one is not entries)
                if others:
                    self._watched[directory] = others
                else:
                    del self._watched[directory]

    def _tell(self, path: str) -> None:
        """Before the rename: who does not hear of it has finished reading, or begins after it."""
        directory, _, entry = path.rpartition("/")
        for entries in self._watched.get(directory, ()):
            entries.add(entry)

    @staticmethod
    def scandir(path: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """`os.scandir` of a path given as text."""
        return os.scandir(path)


def write_all(disk: Disk, fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write all bytes at the descriptor's position. Raise `OSError`."""
    written = disk.write(fd, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[disk.write(fd, rest) :]
