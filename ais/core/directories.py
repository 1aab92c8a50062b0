"""Directories that files came into, to be made durable together: many files mean few of them."""

import contextlib
import os

from ais.env.disk import Disk
from ais.fs import layout


class Directories:
    """Their entries are not durable yet."""

    def __init__(self) -> None:
        self._paths: set[str] = set()

    def add(self, root: str, path: str) -> None:
        """A file got this path below a directory that is there for long."""
        parent = os.path.dirname(path)
        while len(parent) >= len(root) and parent not in self._paths:
            self._paths.add(parent)
            parent = os.path.dirname(parent)

    def sync(self, disk: Disk) -> None:
        """Make their entries durable. Raise `OSError`."""
        for directory in sorted(self._paths, key=len, reverse=True):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile, with what was in it
                layout.fsync_directory(disk, directory)
