"""Which entries of a directory were changed, by whatever process: inotify(7).

The kernel notes a change before the system call that makes it returns. So whoever was told that a change is done, and
asks then, hears of it; clocks have no part in that.
"""

import ctypes
import os
import struct

_MODIFY, _ATTRIBUTES, _CREATE, _DELETE, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x100, 0x200, 0x40, 0x80
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _OVERFLOW, _IGNORED = 0x400, 0x800, 0x2000, 0x4000, 0x8000
_NAMES = _CREATE | _DELETE | _MOVED_FROM | _MOVED_TO
_ONLY_DIRECTORIES = 0x01000000
_WATCHED = _MODIFY | _ATTRIBUTES | _NAMES | _DELETE_SELF | _MOVE_SELF | _ONLY_DIRECTORIES
_LOST = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _OVERFLOW | _IGNORED
_HEAD = struct.Struct("iIII")
_READ_BYTES = 1 << 16
_LIBC = ctypes.CDLL(None, use_errno=True)


class Changes:
    """The changes of one directory from now on. The kernel keeps 16384 (`fs.inotify.max_queued_events`), then says so.

    One thread at a time. Close it, or leave it to the garbage collector.
    """

    _fd = -1

    def __init__(self, path: str) -> None:
        """Raise `OSError`: it is no directory, or there are too many of these (`fs.inotify.max_user_instances`)."""
        self._fd = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), path)
        try:
            _checked(_LIBC.inotify_add_watch(self._fd, os.fsencode(path), _WATCHED), path)
        except BaseException:
            self.close()
            raise

    def take(self) -> set[str] | None:
        """Entries that came, went or were replaced since the last call, or whose content or attributes were changed by
        that name, but not by a memory map; None: that is not known, now or ever again.
        """
        entries: set[bytes] = set()
        while True:
            try:
                data = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                return set(map(os.fsdecode, entries))
            at = 0
            while at < len(data):
                _, mask, _, size = _HEAD.unpack_from(data, at)
                if mask & _LOST:
                    return None
                at += _HEAD.size + size
                if size:  # or it is about the directory itself
                    entries.add(data[at - size : at].rstrip(b"\0"))

    def close(self) -> None:
        """Once or more."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


def _checked(result: int, path: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return result
