"""When a mountpath's machine may have lost power: what was written shortly before may not be whole.

A mountpath remembers the boot in which it was last used (attribute `user.ais.boot`), and its lock file is touched once
a minute. Used in another boot for the first time, whatever was changed from a while before the last touch on may be
torn: shorter than its metadata says. Outside of these times such a file is damaged.
"""

import os

import msgspec

from ais.env.disk import Disk
from ais.fs.locks import FILE_NAME

_XATTR = "user.ais.boot"
BEAT_S = 60.0
_MARGIN_NS = 300 * 10**9
"""Between two touches, and until the kernel has written the time of the last one."""


class Loss(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of time, Unix ns: what was changed in it may have lost its content with the power."""

    begin_ns: int
    end_ns: int

    def covers(self, changed_ns: int) -> bool:
        """Whether a file changed at that time may be torn."""
        return self.begin_ns <= changed_ns <= self.end_ns


class _Record(msgspec.Struct, frozen=True, array_like=True):
    boot_id: str
    loss: Loss | None = None
    """Not looked through yet."""


def begin(disk: Disk, root: str, now_ns: int) -> Loss | None:
    """Note that a mountpath is used in this boot; return what may be torn on it. Raise `OSError`."""
    boot_id, known = disk.boot_id(), _load(disk, root)
    if known is not None and known.boot_id == boot_id:
        return known.loss
    loss = None
    if known is not None:
        touched_ns = disk.stat(f"{root}/{FILE_NAME}").st_mtime_ns
        begins_ns = touched_ns - _MARGIN_NS
        loss = Loss(min(begins_ns, known.loss.begin_ns) if known.loss else begins_ns, now_ns)
    _store(disk, root, _Record(boot_id, loss))
    return loss


def settle(disk: Disk, root: str) -> None:
    """Everything torn was found and removed. Raise `OSError`."""
    _store(disk, root, _Record(disk.boot_id()))


def beat(disk: Disk, root: str) -> None:
    """Say that the machine is on. Raise `OSError`."""
    disk.utime(f"{root}/{FILE_NAME}")


def _load(disk: Disk, root: str) -> _Record | None:
    try:
        return msgspec.json.decode(disk.getxattr(root, _XATTR), type=_Record)
    except (OSError, msgspec.DecodeError):
        return None


def _store(disk: Disk, root: str, record: _Record) -> None:
    disk.setxattr(root, _XATTR, msgspec.json.encode(record))
    fd = disk.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        disk.fsync(fd)
    finally:
        disk.close(fd)
