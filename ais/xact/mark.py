"""A file on a mountpath that says that work is left: what a crash cut short is found by it at the next start."""

import contextlib
import os

from ais.base.errors import DiskFailure, NotReady
from ais.env.disk import Disk
from ais.fs.layout import fsync_directory
from ais.fs.volume import View, Volume


class Mark:
    """One such file, by its name (`.ais.uncopied`). Any thread may call; nothing is raised."""

    def __init__(self, volume: Volume, disk: Disk, name: str) -> None:
        self._volume = volume
        self._disk = disk
        self._name = name
        self._set_in: View | None = None
        """Among which mountpaths it was set: that with the file may have gone since."""

    def was_left(self) -> bool:
        """Whether it lies on any mountpath: the last run left something undone.

        So it may have where the power was lost: that takes the file on one disk and leaves what was synced on another.
        """
        for mountpath in self._volume.available:
            if mountpath.loss is not None:
                return True
            with contextlib.suppress(OSError):
                self._disk.lstat(f"{mountpath.path}/{self._name}")
                return True
        return False

    def set(self) -> None:
        """Something is left from now on. Costs a system call the first time only."""
        view = self._volume.view
        if self._set_in is view:
            return
        for mountpath in view.available:
            with contextlib.suppress(OSError, NotReady), mountpath.entered() as root:
                path = f"{root}/{self._name}"
                self._disk.close(self._disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
                self._set_in = view
                return

    def set_durably(self) -> None:
        """The same on every mountpath, and it survives a loss of power. Raise `DiskFailure` when it is nowhere."""
        self.set()
        marked = 0
        for mountpath in self._volume.available:
            with contextlib.suppress(OSError, NotReady), mountpath.entered() as root:
                self._disk.close(
                    self._disk.open(f"{root}/{self._name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
                )
                fsync_directory(self._disk, root)
                marked += 1
        if not marked:
            raise DiskFailure(f"{self._name} could not be written on any mountpath")

    def clear(self) -> None:
        """Nothing is left."""
        self._set_in = None
        for mountpath in self._volume.available:
            with contextlib.suppress(OSError):
                self._disk.unlink(f"{mountpath.path}/{self._name}")
