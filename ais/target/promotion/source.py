"""Which files may be promoted, and finding them: below the roots of the configuration, and never through a link.

All functions block.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import xxhash

from ais.api.promotion import Found
from ais.base.errors import AccessDenied, BadRequest, DiskFailure, InvalidSource, SourceNotFound

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIGEST_MASK = (1 << 64) - 1


class Entry(NamedTuple):
    """A file. `problem`: why it cannot be promoted; empty: it can."""

    path: str
    relative: str
    problem: str = ""


def check(path: str, roots: Iterable[str], mountpaths: Iterable[str]) -> None:
    """Raise `InvalidSource` unless a path may be promoted, links followed; `SourceNotFound`."""
    if not os.path.isabs(path):
        raise InvalidSource(path, "must be an absolute path")
    if os.path.normpath(path) != path.rstrip("/") or "\0" in path:
        raise InvalidSource(path, "must not contain '.' or '..' path elements")
    allowed = list(roots)
    if not any(_is_below(path, root) for root in allowed):
        raise InvalidSource(path, f"must be under {' or '.join(allowed) or 'promote_roots, and there are none'}")
    real = os.path.realpath(path)
    if not any(_is_below(real, os.path.realpath(root)) for root in allowed):
        raise InvalidSource(path, "leads elsewhere by a symbolic link")
    if any(_is_below(real, one) or _is_below(one, real) for one in map(os.path.realpath, mountpaths)):
        raise InvalidSource(path, "is part of a mountpath: what is in it is stored already")
    if not os.path.lexists(path):
        raise SourceNotFound(f"stat {path}: no such file or directory")


def look(path: str, *, recursive: bool, deletes: bool) -> Found:
    """What is there. Raise `SourceNotFound`, `BadRequest` when there is nothing to promote, `AccessDenied`."""
    try:
        if stat.S_ISREG(os.lstat(path).st_mode):
            _check_deletable(os.path.dirname(path), deletes)
            return Found(False, 1, f"{_hash(path, os.path.basename(path)):016x}")
    except FileNotFoundError:
        raise SourceNotFound(f"stat {path}: no such file or directory") from None
    except OSError as error:
        raise DiskFailure(f"{path}: {error}") from None
    count = digest = 0
    checked = ""
    for entry in files(path, recursive=recursive):
        if (directory := os.path.dirname(entry.path)) != checked:
            _check_deletable(directory, deletes)
            checked = directory
        count += 1
        digest = (digest + _hash(entry.path, entry.relative)) & _DIGEST_MASK
    if not count:
        raise BadRequest(f'directory "{path}" is empty' + ("" if recursive else ": its subdirectories need rcr=true"))
    return Found(True, count, f"{digest:016x}")


def files(path: str, *, recursive: bool) -> Iterator[Entry]:
    """All files of a directory, in no order; what cannot be promoted with its problem. Raise `DiskFailure`."""
    pending = [""]
    while pending:
        below = pending.pop()
        try:
            with os.scandir(os.path.join(path, below)) as found:
                entries = list(found)
        except OSError as error:
            raise DiskFailure(f"{os.path.join(path, below)}: {error}") from None
        for one in entries:
            relative = os.path.join(below, one.name)
            if one.is_dir(follow_symlinks=False):
                if recursive:
                    pending.append(relative)
            elif one.is_file(follow_symlinks=False):
                yield Entry(one.path, relative, "" if _is_text(relative) else "its name is not UTF-8")
            else:
                kind = "a symbolic link" if one.is_symlink() else "no regular file"
                yield Entry(one.path, relative, f"it is {kind}")


def open_file(path: str, root: str) -> int:
    """A descriptor of a regular file that is where it seems to be. Raise `OSError`, `BadRequest`."""
    fd = os.open(path, _OPEN)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BadRequest(f"{path} is no regular file")
        if not _is_below(os.readlink(f"/proc/self/fd/{fd}"), os.path.realpath(root)):
            raise BadRequest(f"{path} leads elsewhere by a symbolic link")
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_same(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether nobody wrote to a file or put another one in its place."""
    return (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)


def _check_deletable(directory: str, deletes: bool) -> None:
    if deletes and not os.access(directory, os.W_OK | os.X_OK):
        raise AccessDenied(f"files in {directory} cannot be deleted, the node may not write there: nothing was done")


def _is_below(path: str, root: str) -> bool:
    return path == root.rstrip("/") or path.startswith(root.rstrip("/") + "/")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hash(path: str, relative: str) -> int:
    try:
        found = os.lstat(path)
    except OSError:
        return 0
    return xxhash.xxh64_intdigest(os.fsencode(f"{relative}\0{found.st_size}\0{found.st_mtime_ns}"))
