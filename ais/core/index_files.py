"""Files beside the objects of a bucket that say where something lies in them: `%ix/<digest of the object's name>`.

They may be lost at any time, and be of an object that is not there any more: whoever uses one compares it with its
object, and they can be made again. So nothing is synced, and they do not follow an object to another mountpath.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from hashlib import blake2b

from ais.api.bucket import Bck
from ais.core import workfile
from ais.core.meta import ObjectMeta
from ais.core.spots import Spot
from ais.env.disk import Disk, write_all
from ais.fs import layout

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
EXTENSIONS = (".tar", ".zip")
"""Of the objects that may have such a file."""

CreateWork = Callable[[Bck, Spot], tuple[str, int]]


def may_have(name: str) -> bool:
    """Whether objects of that name may have such a file."""
    return name.lower().endswith(EXTENSIONS)


def identity(meta: ObjectMeta) -> str:
    """What stands for the content of an object."""
    promised = meta.promised
    if promised is not None:
        return f"{promised[0]}:{promised[1]}"
    return f"stamp:{meta.stamp[0]}.{meta.stamp[1]}"


class IndexFiles:
    """The files. All methods block and raise `OSError`; `create_work` opens a work file."""

    def __init__(self, disk: Disk, create_work: CreateWork) -> None:
        self._disk = disk
        self._create_work = create_work

    def open(self, spot: Spot, name: str) -> int | None:
        """Descriptor of an object's file, the caller's; None when there is none."""
        try:
            return self._disk.open(self.path(spot, name), _READ)
        except FileNotFoundError:
            return None

    def write(self, bck: Bck, spot: Spot, name: str, content: bytes) -> None:
        """Put a file in place of the one that is there. Raise what `create_work` raises, too."""
        work, fd = self._create_work(bck, spot)
        path = self.path(spot, name)
        try:
            write_all(self._disk, fd, content)
            with contextlib.suppress(FileExistsError):
                self._disk.mkdir(os.path.dirname(path))
            self._disk.rename(work, path)
        except BaseException:
            workfile.discard(self._disk, work)
            raise
        finally:
            self._disk.close(fd)

    def remove(self, spot: Spot, name: str) -> bool:
        """Remove an object's file; whether there was one."""
        return self.remove_path(self.path(spot, name))

    def remove_path(self, path: str) -> bool:
        """Remove one that `all_in` gave; whether it was there."""
        try:
            self._disk.unlink(path)
        except FileNotFoundError:
            return False
        return True

    def all_in(self, bucket_path: str) -> Iterator[str]:
        """The paths of all files of a bucket on one mountpath."""
        directory = f"{bucket_path}/{layout.INDEXES}"
        try:
            names = self._disk.listdir(directory)
        except FileNotFoundError:
            return
        for name in names:
            yield f"{directory}/{name}"

    @staticmethod
    def path(spot: Spot, name: str) -> str:
        """Where an object's file is."""
        digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        return f"{os.path.dirname(spot.root)}/{layout.INDEXES}/{digest}"
