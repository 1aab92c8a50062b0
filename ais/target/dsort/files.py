"""Where a sort keeps what it has found: a directory of its own on each mountpath, removed when it ends.

On the first mountpath: `shards` (what was read), `records` (sorted), `in.<n>` and `plan.<n>` (of the one who leads:
from target n, for target n), `plan` (what this target makes), `done` (the numbers of what it has made). On all:
files that were unpacked from shards.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence

from ais.fs.mountpath import Mountpath

DIRECTORY = ".ais.dsort"


class Files:
    """The paths of one job. What blocks says so."""

    def __init__(self, mountpaths: Sequence[Mountpath], uuid: str) -> None:
        self._mountpaths = mountpaths
        self._uuid = uuid
        self._roots = [f"{one.path}/{DIRECTORY}/{uuid}" for one in mountpaths]
        root = self._roots[0]
        self.shards, self.records, self.plan, self.done = (
            f"{root}/{name}" for name in ("shards", "records", "plan", "done")
        )
        self.sorting = f"{root}/sorting"
        self._root = root

    def records_of(self, number: int) -> str:
        """What target `number` sent."""
        return f"{self._root}/in.{number}"

    def plan_for(self, number: int) -> str:
        """What target `number` is to make."""
        return f"{self._root}/plan.{number}"

    def unpacked(self, mountpath: str, uuid: str, shard: str) -> str:
        """What was unpacked of a shard."""
        return f"{mountpath}/{DIRECTORY}/{uuid}/{hashlib.sha1(shard.encode(), usedforsecurity=False).hexdigest()}"

    @staticmethod
    def exists(path: str) -> bool:
        """Whether a file is complete. Blocks."""
        return os.path.exists(path)

    def make(self) -> None:
        """Create the directories. Blocks. Raise `OSError`, or `NotReady` when a mountpath is not there."""
        for mountpath in self._mountpaths:
            with mountpath.entered() as root:
                os.makedirs(f"{root}/{DIRECTORY}/{self._uuid}", exist_ok=True)

    def remove(self) -> None:
        """Remove everything. Blocks."""
        for root in self._roots:
            shutil.rmtree(root, ignore_errors=True)

    def made(self) -> set[int]:
        """The numbers of the shards that are made. Blocks."""
        try:
            with open(self.done, encoding="ascii") as file:
                return {int(line) for line in file.read().splitlines(keepends=True) if line.endswith("\n")}
        except FileNotFoundError:
            return set()

    def note_made(self, number: int) -> None:
        """Blocks."""
        with open(self.done, "a", encoding="ascii") as file:
            file.write(f"{number}\n")


def remove_others(mountpaths: Iterable[str], uuids: Iterable[str]) -> None:
    """Remove what jobs left that do not go on. Blocks."""
    kept = set(uuids)
    for path in mountpaths:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"{path}/{DIRECTORY}"):
                if name not in kept:
                    shutil.rmtree(f"{path}/{DIRECTORY}/{name}", ignore_errors=True)
