"""Jobs that go on when their target was restarted: what each was told, one file of a job in `.ais.tasks` until it ends.

The directory lies on the first mountpath that is available when a job starts. A file that was begun and not finished is
passed over: its job was not acknowledged.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from ais.base.errors import DiskFailure
from ais.env.disk import Disk, write_all
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath

DIRECTORY = ".ais.tasks"
_BYTES_MAX = 1 << 30
_NEW, _PLACE = ".new", ".place"


class Task(NamedTuple):
    """What a job was told and how far it is, as its kind understands it."""

    uuid: str
    kind: str
    body: bytes
    place: bytes = b""


class Unfinished:
    """The files. All methods block. `mountpaths` that are available, the preferred one first."""

    def __init__(self, disk: Disk, mountpaths: Callable[[], Sequence[Mountpath]]) -> None:
        self._disk = disk
        self._mountpaths = mountpaths

    def keep(self, task: Task) -> None:
        """Remember a job; on return it is on the disk. Raise `DiskFailure`, `NotReady`."""
        self._write(task.uuid, msgspec.msgpack.encode((task.kind, task.body)))

    def mark(self, uuid: str, place: bytes) -> None:
        """Remember how far it is. Raise `DiskFailure`, `NotReady`."""
        self._write(uuid + _PLACE, place)

    def _write(self, name: str, content: bytes) -> None:
        found = next((one for one in self._mountpaths() if one.is_own), None)
        if found is None:
            raise DiskFailure("no mountpath is available")
        with disk_failures(found.path), found.entered() as root:
            directory = f"{root}/{DIRECTORY}"
            path = f"{directory}/{name}"
            with contextlib.suppress(FileExistsError):
                self._disk.mkdir(directory)
                layout.fsync_directory(self._disk, root)
            fd = self._disk.open(path + _NEW, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                write_all(self._disk, fd, content)
                self._disk.fsync(fd)
            finally:
                self._disk.close(fd)
            self._disk.rename(path + _NEW, path)
            layout.fsync_directory(self._disk, directory)

    def drop(self, uuid: str) -> None:
        """The job has ended; on return that is on the disk."""
        for mountpath in self._mountpaths():
            directory = f"{mountpath.path}/{DIRECTORY}"
            for name in (uuid, uuid + _PLACE):
                with contextlib.suppress(OSError):
                    self._disk.unlink(f"{directory}/{name}")
            with contextlib.suppress(OSError):
                layout.fsync_directory(self._disk, directory)

    def load(self) -> list[Task]:
        """All that did not end."""
        return [task for one in self._mountpaths() for task in self._load(f"{one.path}/{DIRECTORY}")]

    def _load(self, directory: str) -> list[Task]:
        try:
            with self._disk.scandir(directory) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError:
            return []
        found = []
        for name in names:
            if name.endswith(_PLACE) and name.removesuffix(_PLACE) in names:
                continue
            if name.endswith((_NEW, _PLACE)):
                with contextlib.suppress(OSError):
                    self._disk.unlink(f"{directory}/{name}")
                continue
            with contextlib.suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
                kind, body = msgspec.msgpack.decode(self._read(f"{directory}/{name}"), type=tuple[str, bytes])
                found.append(Task(name, kind, body, self._place(f"{directory}/{name}")))
        return found

    def _place(self, path: str) -> bytes:
        with contextlib.suppress(OSError):
            return self._read(path + _PLACE)
        return b""

    def _read(self, path: str) -> bytes:
        fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._disk.pread(fd, min(self._disk.fstat(fd).st_size, _BYTES_MAX), 0)
        finally:
            self._disk.close(fd)
