"""Damaged files, kept aside in the bucket they are of: `%qu/<time in ns>.<serial>`, and in an attribute what they are.

An object's file keeps its place until something good replaces it, so it is linked here first; copies and slices are
moved. Nobody reads what is here, and it goes with its bucket.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator

import msgspec

from ais.api.bucket import Bck
from ais.env import Env
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.volume import Volume

DIRECTORY = "%qu"
_XATTR = "user.ais.damaged"


class Damaged(msgspec.Struct, frozen=True, kw_only=True):
    """One file in quarantine. `content`: what kind of file it is (`%ob`, `%ve`, `%cp`, `%ec`)."""

    bucket: str
    name: str = ""
    content: str = ""
    reason: str = ""
    time_ns: int = 0
    size: int = 0
    path: str = ""


class Quarantine:
    """The damaged files of one volume. Methods block."""

    def __init__(self, volume: Volume, env: Env) -> None:
        self._volume = volume
        self._disk = env.disk
        self._clock = env.clock
        self._serial = itertools.count()

    def link(self, root: str, path: str) -> str:
        """Keep a file that is about to be replaced; where. Raise `OSError`."""
        kept = self._new_path(root)
        self._disk.link(path, kept, follow_symlinks=False)
        return kept

    def move(self, root: str, path: str) -> str:
        """Take a file out of its place; where it is now. Raise `OSError`."""
        kept = self._new_path(root)
        self._disk.rename(path, kept)
        return kept

    def drop(self, kept: str) -> None:
        """The file was not replaced after all."""
        with contextlib.suppress(OSError):
            self._disk.unlink(kept)

    def describe(self, kept: str, found: Damaged) -> None:
        """Write down what it is, once it has no other name. Raise `OSError`."""
        self._disk.setxattr(kept, _XATTR, msgspec.json.encode(found))

    def listing(self) -> list[Damaged]:
        """Everything that is kept. Raise `DiskFailure`."""
        return list(self._all())

    def clear(self, bck: Bck | None, before_ns: int, *, dry_run: bool = False) -> tuple[int, int]:
        """Delete what was put here before a time; number of files and their bytes. Raise `DiskFailure`."""
        count = size = 0
        for found in self._all(bck):
            if found.time_ns < before_ns:
                count, size = count + 1, size + found.size
                if not dry_run:
                    self.drop(found.path)
        return count, size

    def _all(self, bck: Bck | None = None) -> Iterator[Damaged]:
        for mountpath in self._volume.available:
            with disk_failures(mountpath.path):
                for one, directory in list(layout.scan_buckets(self._disk, mountpath.path)):
                    if bck is None or one == bck:
                        yield from self._in(one, f"{directory}/{DIRECTORY}")

    def _in(self, bck: Bck, directory: str) -> Iterator[Damaged]:
        try:
            entries = sorted(self._disk.listdir(directory))
        except FileNotFoundError:
            return
        for entry in entries:
            path, time_ns = f"{directory}/{entry}", entry.partition(".")[0]
            with contextlib.suppress(FileNotFoundError):
                size = self._disk.lstat(path).st_size
                yield msgspec.structs.replace(
                    self._description(path, bck),
                    size=size,
                    path=path,
                    time_ns=int(time_ns) if time_ns.isdecimal() else 0,
                )

    def _description(self, path: str, bck: Bck) -> Damaged:
        try:
            return msgspec.json.decode(self._disk.getxattr(path, _XATTR), type=Damaged)
        except (OSError, msgspec.DecodeError):
            return Damaged(bucket=bck.cname(), reason="the target stopped while it was repaired")

    def _new_path(self, root: str) -> str:
        """`root`: a directory of the bucket, such as its `%ob`, on the mountpath of the file."""
        directory = f"{os.path.dirname(root)}/{DIRECTORY}"
        layout.make_directory(self._disk, directory)
        return f"{directory}/{self._clock.now_ns()}.{os.getpid():x}.{next(self._serial):x}"
