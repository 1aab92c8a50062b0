"""The files of one bucket on one mountpath: moving a file to an object's path, finding it, removing it.

A path is a file, or a directory (then the object of that name, if any, is the entry `%=` inside), or missing. Readers
take no lock, so each step is one atomic system call and leaves every object where a reader looks for it:

    a file arrives where a directory is      rename onto `path/%=`
    a file arrives below a file `a`          under the lock of `a`: a directory with a hard link `%=` of it is prepared
                                             among the work files and exchanged with `a` (`make_directory`)
    the last entry of a directory goes       rmdir, upwards until one is not empty; a writer that meets ENOENT
                                             makes them again

Raises plain `OSError`s; the caller translates. The bucket's own directories are never made here: a bucket that was
destroyed does not come back.
"""

import contextlib
import errno
import os

from ais.env.disk import Disk
from ais.fs.layout import fsync_directory
from ais.fs.names import SELF

_IS_DIRECTORY = (errno.EISDIR, errno.ENOTEMPTY)
"""What rename answers when the target is a directory; the second one when the source lies in it."""
_NO_ATTRIBUTE = (errno.ENODATA, errno.ENOENT, errno.ENOTDIR)
_PLACES = ("", f"/{SELF}")
"""Where the file of an object is, behind its path."""
ATTEMPTS_MAX = 1000
"""Each is lost to another writer's success in the same directories; more in a row mean that something else is wrong."""


class BucketGone(Exception):
    """The bucket's directories, or the work file in them, are not there any more."""


class FileInTheWay(Exception):
    """An ancestor of the path is an object's file: `make_directory` it under its lock, then try again."""

    def __init__(self, root: str, path: str) -> None:
        self.root, self.path = root, path
        super().__init__(path)


def install(disk: Disk, source: str, root: str, path: str, *, fsync: bool = False) -> str:
    """Rename the file `source` to the object path `path` below `root`; return the path it got (`path` or `path/%=`).

    `fsync`: that is durable then. Raise `FileInTheWay` or `BucketGone`, with nothing changed.
    """
    for _ in range(ATTEMPTS_MAX):
        placed = path
        try:
            disk.rename(source, placed)
            break
        except FileNotFoundError:
            make_parents(disk, source, root, path)
            continue
        except NotADirectoryError:
            _find_file_in_the_way(disk, root, path)
            continue
        except OSError as error:
            if error.errno not in _IS_DIRECTORY:
                raise
        placed = f"{path}/{SELF}"
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            disk.rename(source, placed)
            break
    else:
        raise OSError(errno.EBUSY, "directories keep changing", path)
    if fsync:
        fsync_parents(disk, root, placed)
    return placed


def make_parents(disk: Disk, source: str, root: str, path: str) -> None:
    """Make the missing ancestors of `path`, as far as others do not remove them at the same time.

    Raise `BucketGone` when `source`, which shall go there, or `root` is missing.
    """
    if _lstat(disk, source) is None or _lstat(disk, root) is None:
        prune(disk, root, path)
        raise BucketGone
    for ancestor in _ancestors(root, path):
        try:
            disk.mkdir(ancestor)
        except FileExistsError:
            continue
        except (FileNotFoundError, NotADirectoryError):
            return


def make_directory(disk: Disk, path: str, spare: str) -> None:
    """Turn the object's file `path` into a directory that holds it as `%=`; the caller holds the object's lock.

    `spare` is an unused name among the work files. Nothing happens when `path` is a directory by now.
    """
    found = _lstat(disk, path)
    if found is None or not is_file(found):
        return
    try:
        disk.mkdir(spare)
        disk.link(path, f"{spare}/{SELF}", follow_symlinks=False)
        disk.exchange(spare, path)
        disk.unlink(spare)
    except FileNotFoundError:
        _remove_spare(disk, spare)
        raise BucketGone from None
    except OSError:
        _remove_spare(disk, spare)
        raise


def find(disk: Disk, path: str) -> tuple[str, os.stat_result] | None:
    """The file of the object whose path is `path`, and its stat; None when there is no such object."""
    for candidate in (path, f"{path}/{SELF}"):
        found = _lstat(disk, candidate)
        if found is None:
            return None
        if is_file(found):
            return candidate, found
    return None


def read_xattr(disk: Disk, path: str, attribute: str) -> bytes | None:
    """An attribute of the object's file; None when there is no such object or it has no such attribute."""
    if not disk.access(path, os.F_OK):  # a third of what the exception costs that says so
        return None
    for inside in _PLACES:
        try:
            return disk.getxattr(path + inside, attribute)
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTE:
                raise
    return None


def remove(disk: Disk, root: str, path: str, *, fsync: bool = False) -> bool:
    """Unlink the object's file and the directories that this empties; return False when there is no such object."""
    try:
        disk.unlink(path)
    except IsADirectoryError:
        path = f"{path}/{SELF}"
        try:
            disk.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    prune(disk, root, path)
    if fsync:
        fsync_removal(disk, root, path)
    return True


def fsync_removal(disk: Disk, root: str, path: str) -> None:
    """Make it durable that the entry `path` is gone, perhaps with some of its ancestors. Missing `root` is fine."""
    parent = os.path.dirname(path)
    while len(parent) >= len(root):
        try:
            fsync_directory(disk, parent)
        except (FileNotFoundError, NotADirectoryError):
            parent = os.path.dirname(parent)
            continue
        return


def prune(disk: Disk, root: str, path: str) -> None:
    """Remove the ancestors of `path` below `root` that are empty."""
    parent = os.path.dirname(path)
    while len(parent) > len(root):
        try:
            disk.rmdir(parent)
        except FileNotFoundError:
            pass
        except OSError:
            return
        parent = os.path.dirname(parent)


def fsync_parents(disk: Disk, root: str, path: str) -> None:
    """Make the entry `path` durable, and those of its ancestors up to `root`: any of them may be new."""
    parent = os.path.dirname(path)
    while len(parent) >= len(root):
        fsync_directory(disk, parent)
        parent = os.path.dirname(parent)


def is_file(found: os.stat_result) -> bool:
    """Whether a stat is of a regular file."""
    return is_regular(found.st_mode)


def is_regular(mode: int) -> bool:
    """The same of its mode."""
    return mode & 0o170000 == 0o100000


def _lstat(disk: Disk, path: str) -> os.stat_result | None:
    try:
        return disk.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _ancestors(root: str, path: str) -> list[str]:
    """The directories between `root` and `path`, outermost first, both excluded."""
    found = []
    parent = os.path.dirname(path)
    while len(parent) > len(root):
        found.append(parent)
        parent = os.path.dirname(parent)
    return found[::-1]


def _find_file_in_the_way(disk: Disk, root: str, path: str) -> None:
    for ancestor in _ancestors(root, path):
        found = _lstat(disk, ancestor)
        if found is None:
            return
        if is_file(found):
            raise FileInTheWay(root, ancestor)


def _remove_spare(disk: Disk, spare: str) -> None:
    with contextlib.suppress(OSError):
        disk.unlink(f"{spare}/{SELF}")
    with contextlib.suppress(OSError):
        disk.rmdir(spare)
