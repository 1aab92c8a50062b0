"""Disks that know what is not on them yet."""

import os
import threading
from typing import Any

from ais.env.disk import Disk


class Recorder(Disk):
    """Knows which directories and files changed since they were synced."""

    def __init__(self) -> None:
        self.dirty: set[str] = set()
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def _touch(self, call: str, *paths: str) -> None:
        with self._lock:
            self.calls.append(call)
            self.dirty.update(paths)

    def _clean(self, call: str, path: str) -> None:
        with self._lock:
            self.calls.append(call)
            self.dirty.discard(path)

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        with self._lock:
            moved = {path for path in self.dirty if path.startswith(source)}
            self.dirty -= moved
            self.dirty |= {target + path[len(source) :] for path in moved}
        self._touch("rename", os.path.dirname(source), os.path.dirname(target))

    def exchange(self, path: str, other: str) -> None:
        super().exchange(path, other)
        self._touch("exchange", os.path.dirname(path), os.path.dirname(other))

    def unlink(self, path: str) -> None:  # type: ignore[override]
        os.unlink(path)
        self.dirty.discard(path)
        self._touch("unlink", os.path.dirname(path))

    def rmdir(self, path: str) -> None:  # type: ignore[override]
        os.rmdir(path)
        self.dirty.discard(path)
        self._touch("rmdir", os.path.dirname(path))

    def mkdir(self, path: str, mode: int = 0o777) -> None:  # type: ignore[override]
        os.mkdir(path, mode)
        self._touch("mkdir", os.path.dirname(path))

    def link(self, source: str, target: str, **options: Any) -> None:  # type: ignore[override]
        os.link(source, target, **options)
        self._touch("link", os.path.dirname(target))

    def write(self, fd: int, data: Any) -> int:  # type: ignore[override]
        self._touch("write", os.readlink(f"/proc/self/fd/{fd}"))
        return os.write(fd, data)

    def pwrite(self, fd: int, data: Any, offset: int) -> int:  # type: ignore[override]
        self._touch("pwrite", os.readlink(f"/proc/self/fd/{fd}"))
        return os.pwrite(fd, data, offset)

    def setxattr(self, path: Any, name: str, value: bytes) -> None:  # type: ignore[override]
        os.setxattr(path, name, value)
        self._touch("setxattr", os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else path)

    def fsync(self, fd: int) -> None:  # type: ignore[override]
        os.fsync(fd)
        self._clean("fsync", os.readlink(f"/proc/self/fd/{fd}"))

    def fdatasync(self, fd: int) -> None:  # type: ignore[override]
        os.fdatasync(fd)
        self._clean("fdatasync", os.readlink(f"/proc/self/fd/{fd}"))

    def sync_filesystem(self, path: str) -> None:  # type: ignore[override]
        """As if every directory that this is asked for had one of its own."""
        with self._lock:
            self.calls.append("sync_filesystem")
            self.dirty = {one for one in self.dirty if not one.startswith(f"{path}/")}

    def write_out(self, fd: int) -> None:  # type: ignore[override]
        self.calls.append("write_out")

    def unsynced(self) -> list[str]:
        """What a power loss could still take back, work files aside."""
        with self._lock:
            dirty = set(self.dirty)
        return sorted(path for path in dirty if "/@ais/" in path and "/%wk" not in path)


class Careful(Recorder):
    """Knows what of other mountpaths was not on the disk when an object's file was removed."""

    def __init__(self) -> None:
        super().__init__()
        self.at_risk: list[str] = []

    def write_out(self, fd: int) -> None:  # type: ignore[override]
        super().write_out(fd)
        self.dirty.discard(os.readlink(f"/proc/self/fd/{fd}"))  # its name cannot become durable before it

    def unlink(self, path: str) -> None:  # type: ignore[override]
        mountpath, _, inside = path.partition("/@ais/b/")
        if inside.startswith(("%ob", "%ve", "%ec")) and os.path.lexists(path):
            self.at_risk += [one for one in self.unsynced() if not one.startswith(f"{mountpath}/")]
        super().unlink(path)
