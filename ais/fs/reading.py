"""Reading a directory so that a name which is there all the time is seen, on every file system.

What a rename moved while the directory was read may have been passed over: those entries are looked up one by one at
the end (`Disk.watch`). This process is the only one that writes below its mountpaths.
"""

import itertools
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ais.env.disk import Disk


class Entry(Protocol):
    """What is used of an `os.DirEntry`."""

    @property
    def name(self) -> str: ...
    def is_file(self, *, follow_symlinks: bool = True) -> bool: ...
    def is_dir(self, *, follow_symlinks: bool = True) -> bool: ...


class _Renamed:
    """An entry that was looked up by itself; never a symbolic link that is followed."""

    def __init__(self, name: str, mode: int) -> None:
        self.name = name
        self._mode = mode

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return stat.S_ISREG(self._mode)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return stat.S_ISDIR(self._mode)


@contextmanager
def entries_of(disk: Disk, path: str) -> Iterator[Iterator[Entry]]:
    """The entries of a directory; some may come twice. Raise `OSError`."""
    with disk.watch(path) as renamed, disk.scandir(path) as entries:
        yield itertools.chain(entries, _look_up(disk, path, renamed))


def names_in(disk: Disk, path: str) -> set[str]:
    """The names of all entries of a directory. Raise `OSError`."""
    with entries_of(disk, path) as entries:
        return {entry.name for entry in entries}


def _look_up(disk: Disk, path: str, renamed: set[str]) -> Iterator[Entry]:
    for name in tuple(renamed):
        try:
            mode = disk.lstat(f"{path}/{name}").st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield _Renamed(name, mode)
