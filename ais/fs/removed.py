"""What was removed or replaced while a mountpath was out of use, so that it does not bring it back.

Each mountpath in use has the file `.ais.removed`: a line for each such object, with the generation of the volume's
record, the bucket and the path below `%ob`; of a version that was removed for good its place on the shelf, `%ve/...`;
of a slice of another target's object `%ec/...`. When a mountpath comes back, what was removed since it went is unlinked
on it before it is used; a version that is to be kept, and lies nowhere else, is put on the shelf before. One that was
removed for good may still be the latest there, so that is looked at too. `%ve/.../deleted` says of no version that it
was removed: something came on top of the latest one, which goes on the shelf. One that comes into use gets the lines of
the others: any of them may go before the next one returns. The files go when all known mountpaths are in use and
everything is in its place.

A line ends with the version of the cluster map: names may have gone to other targets before a mountpath returns, so
these note what they remove too (`Volume.notes_for_others`). In generation 0 are lines that another target handed on.

Of a path one line is needed, the last one, so a file that grew long is compacted; one that is still too long is
emptied, and says so: what went before that cannot return any more.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Self
from urllib.parse import quote, unquote

from ais.api.bucket import Bck
from ais.base.errors import AisError, Conflict
from ais.env.disk import Disk, write_all
from ais.fs import layout
from ais.fs.mountpath import Mountpath
from ais.fs.names import SELF

FILE_NAME = ".ais.removed"
BYTES_MAX = 64 << 20
"""Of a file after it was compacted."""
COMPACTED_BYTES = 8 << 20
"""A file that is longer, and twice as long as after the last time, is compacted."""
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_PIECE = 1 << 20
_ID = re.compile(r"[0-9a-f]{32}")
_NULL, _DELETED = "null", "deleted"
"""Entries of a shelf (`ais.core.versions`)."""
_EVERYTHING = "*"
"""In the place of bucket and path: anything may have been removed."""


class Line(NamedTuple):
    """One that was noted. `map_version` 0: it is not known."""

    generation: int
    uname: str
    path: str
    map_version: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what is none, as what a crash left."""
        generation, *names = text.split(" ")
        if not generation.isdecimal() or len(names) not in (2, 3) or not all(names):
            return None
        if len(names) == 3 and not names[2].isdecimal():
            return None
        return cls(int(generation), unquote(names[0]), unquote(names[1]), int(names[2]) if len(names) == 3 else 0)

    def __str__(self) -> str:
        return f"{self.generation} {quote(self.uname)} {quote(self.path)} {self.map_version}"

    @property
    def is_everything(self) -> bool:
        return self.uname == _EVERYTHING


def note(disk: Disk, mountpaths: Iterable[Mountpath], lines: Iterable[Line], *, fsync: bool = False) -> None:
    """Add lines on each mountpath, durable when `fsync`. Raise `OSError`, or `NotReady` when one is not there."""
    data = "".join(f"{line}\n" for line in lines).encode()
    for mountpath in mountpaths:
        with mountpath.entered() as root, _appending(disk, root) as fd:
            disk.write(fd, data)
            if fsync:
                disk.fsync(fd)
                layout.fsync_directory(disk, root)


@contextlib.contextmanager
def _appending(disk: Disk, root: str) -> Iterator[int]:
    """The file, which is not replaced meanwhile."""
    path = f"{root}/{FILE_NAME}"
    while True:
        fd = disk.open(path, _APPEND, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            if _is_at(disk, fd, path):
                yield fd
                return
        finally:
            disk.close(fd)


def _is_at(disk: Disk, fd: int, path: str) -> bool:
    try:
        found = disk.stat(path)
    except FileNotFoundError:
        return False
    own = disk.fstat(fd)
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)


class OfVersions(NamedTuple):
    """Who can tell the versions of an object on a mountpath that comes back (`ais.core.returning`)."""

    keep: Callable[[Disk, Sequence[str], str, Bck, str, bool], None]
    drop_null: Callable[[Disk, str, Bck, str], None]


def shelved(path: str, version_id: str) -> str:
    """The path of a line about a version of the object at `path`."""
    return f"{layout.VERSIONS}/{path}/{SELF}/{version_id}"


def null_version(path: str) -> str:
    """The path of the line about the null version of the object at `path`."""
    return shelved(path, _NULL)


def covered(path: str) -> str:
    """The path of the line that says that something came on top of the latest version of the object at `path`."""
    return shelved(path, _DELETED)


class Went(NamedTuple):
    """When a mountpath went out of use: the generation, and the version of the cluster map if it was given up."""

    generation: int
    map_version: int | None = None

    def is_before(self, line: Line) -> bool:
        """Whether what is noted was removed since."""
        if line.generation:
            return line.generation > self.generation
        return self.map_version is not None and line.map_version >= self.map_version


def apply(
    disk: Disk,
    mountpaths: Sequence[str],
    returning: str,
    went: Went,
    of_versions: OfVersions,
    of_others: Iterable[Line] = (),
) -> None:
    """Unlink on `returning` what was removed since it went, and what other targets have removed since.

    Blocks. Raise `OSError`, or `Conflict` when more was removed than is known.
    """
    mine = [line for line in all_lines(disk, mountpaths) if went.is_before(line)]
    for line in (*mine, *of_others):
        if line.is_everything:
            raise Conflict(
                f"more was removed since {returning} went out of use than is kept in mind, and would return with it:"
                " empty it, then attach it"
            )
        try:
            bck, _ = Bck.parse_uname(line.uname)
        except AisError:
            continue
        bucket, path, entry = layout.bucket_path(returning, bck), line.path, ""
        if path.startswith(f"{layout.SLICES}/"):
            _unlink(disk, f"{bucket}/{path}")
            continue
        if path.startswith(f"{layout.VERSIONS}/"):
            shelf, _, entry = path.rpartition("/")
            path = shelf[len(layout.VERSIONS) + 1 : -len(SELF) - 1]
        if entry not in ("", _DELETED):
            _unlink_version(disk, bucket, path, entry)
            if entry == _NULL:
                of_versions.drop_null(disk, returning, bck, path)
            continue
        of_versions.keep(disk, mountpaths, returning, bck, path, entry == _DELETED)
        _unlink(disk, f"{bucket}/{layout.OBJECTS}/{path}")


def all_lines(disk: Disk, mountpaths: Iterable[str]) -> Iterator[Line]:
    """What was noted on any of these. Raise `OSError`."""
    for text in dict.fromkeys(text for one in mountpaths for text in _lines(disk, f"{one}/{FILE_NAME}")):
        if (line := Line.parse(text)) is not None:
            yield line


def of_objects(lines: Iterable[Line], since: int) -> Iterator[Line]:
    """Those that tell other targets what was removed by that version of the cluster map or later."""
    for line in lines:
        if line.map_version >= since and not line.path.startswith(f"{layout.SLICES}/"):
            yield line._replace(generation=0)


def add(disk: Disk, mountpath: Mountpath, lines: Iterable[Line]) -> None:
    """Add lines, durably. Raise as `note`."""
    with mountpath.entered() as root, _appending(disk, root) as fd:
        write_all(disk, fd, "".join(f"{line}\n" for line in lines).encode())
        disk.fsync(fd)
        layout.fsync_directory(disk, root)


def compact(disk: Disk, mountpath: Mountpath, known_bytes: int) -> int:
    """Keep the last line of each path; return how long the file is, at most `BYTES_MAX`.

    It is looked at when it is twice as long as `known_bytes`. Blocks. Raise as `note`.
    """
    with mountpath.entered() as root:
        path = f"{root}/{FILE_NAME}"
        try:
            fd = disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            if disk.fstat(fd).st_size < max(COMPACTED_BYTES, 2 * known_bytes):
                return known_bytes
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not _is_at(disk, fd, path):
                return known_bytes
            data = _compacted(all_lines(disk, [root]))
            new = f"{path}.new"
            to = disk.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                write_all(disk, to, data)
                disk.fsync(to)
            finally:
                disk.close(to)
            disk.rename(new, path)
            layout.fsync_directory(disk, root)
            return len(data)
        finally:
            disk.close(fd)


def _compacted(lines: Iterable[Line]) -> bytes:
    last: dict[tuple[str, str, bool], Line] = {}
    generation = map_version = 0
    for line in lines:
        key = (line.uname, line.path, line.generation > 0)
        before = last.get(key, line)
        generation, map_version = max(generation, line.generation), max(map_version, line.map_version)
        last[key] = line._replace(
            generation=max(line.generation, before.generation), map_version=max(line.map_version, before.map_version)
        )
    data = "".join(f"{line}\n" for line in last.values()).encode()
    if len(data) <= BYTES_MAX:
        return data
    return f"{Line(generation, _EVERYTHING, _EVERYTHING, map_version)}\n".encode()


def carry(disk: Disk, mountpaths: Iterable[str], to: str) -> None:
    """Add to the file of one mountpath what others have noted, durably. Raise `OSError`."""
    path = f"{to}/{FILE_NAME}"
    known = set(_lines(disk, path))
    missing = dict.fromkeys(
        line for one in mountpaths for line in _lines(disk, f"{one}/{FILE_NAME}") if line not in known
    )
    if not missing:
        return
    with _appending(disk, to) as fd:
        write_all(disk, fd, "".join(f"{line}\n" for line in missing).encode())
        disk.fsync(fd)
    layout.fsync_directory(disk, to)


def clear(disk: Disk, mountpath: str) -> None:
    """Forget everything. Raise `OSError`."""
    with contextlib.suppress(FileNotFoundError):
        disk.unlink(f"{mountpath}/{FILE_NAME}")


def _lines(disk: Disk, path: str) -> "list[str]":
    try:
        fd = disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        content, offset = bytearray(), 0
        while piece := disk.pread(fd, _PIECE, offset):
            content += piece
            offset += len(piece)
    finally:
        disk.close(fd)
    return content.decode(errors="replace").splitlines()


def _unlink_version(disk: Disk, bucket: str, path: str, version_id: str) -> None:
    """Unlink a version on the shelf, and where it may be the latest: an object, or the delete marker there, whose
    attribute has its ID as it is.
    """
    current, shelf = f"{bucket}/{layout.OBJECTS}/{path}", f"{bucket}/{layout.VERSIONS}/{path}/{SELF}"
    _unlink(disk, f"{shelf}/{version_id}")
    for latest in (current, f"{current}/{SELF}", f"{shelf}/{_DELETED}"):
        try:
            if _ID.fullmatch(version_id) and version_id.encode() in disk.getxattr(latest, layout.OBJECT_XATTR):
                disk.unlink(latest)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise


def _unlink(disk: Disk, path: str) -> None:
    for candidate in (f"{path}/{SELF}", path):
        try:
            disk.unlink(candidate)
            return
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
