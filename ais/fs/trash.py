"""Removal in two steps: a rename into `<mountpath>/.$deleted`, which is instant, and the slow deletion later."""

import contextlib
import errno
import itertools
import os

from ais.env.disk import Disk

DIRECTORY = ".$deleted"
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)
_serial = itertools.count()


def discard(disk: Disk, root: str, path: str) -> bool:
    """Move a directory into the trash of its mountpath `root`; False when it or the mountpath does not exist.

    The trash may be emptied at the same time.
    """
    bin_path = f"{root}/{DIRECTORY}"
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        disk.mkdir(bin_path)
    while True:
        try:
            disk.rename(path, f"{bin_path}/{os.path.basename(path)}.{os.getpid():x}.{next(_serial):x}")
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _NOT_EMPTY:  # of an earlier process with this ID
                raise
        else:
            return True


def empty(disk: Disk, root: str) -> None:
    """Delete what lies in the trash of a mountpath. Blocks for as long as that takes; may be killed and repeated."""
    remove_contents(disk, f"{root}/{DIRECTORY}")


def remove_contents(disk: Disk, path: str) -> None:
    """Delete everything in a directory; it may be missing, and others may delete in it at the same time."""
    for subdirectory in _unlink_files(disk, path):
        remove_tree(disk, subdirectory)


def remove_tree(disk: Disk, path: str) -> None:
    """Delete a directory and everything below it, however deep (names may have a thousand levels)."""
    stack = [path]
    while stack:
        subdirectories = _unlink_files(disk, stack[-1])
        if subdirectories:
            stack += subdirectories
            continue
        try:
            disk.rmdir(stack[-1])
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                raise
            continue  # whoever wrote there when it was moved has just finished
        stack.pop()


def _unlink_files(disk: Disk, path: str) -> list[str]:
    """Unlink the files of a directory; return its subdirectories."""
    subdirectories = []
    try:
        with disk.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    subdirectories.append(entry.path)
                else:
                    _unlink(disk, entry.path)
    except FileNotFoundError:
        return []
    return subdirectories


def _unlink(disk: Disk, path: str) -> None:
    try:
        disk.unlink(path)
    except FileNotFoundError:
        return
