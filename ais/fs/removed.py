"""What was removed or replaced while a mountpath was out of use, so that it does not bring it back.

Each mountpath in use has the file `.ais.removed`: a line for each such object, with the generation of the volume's
record, the bucket and the path below `%ob`; of a version that was removed for good its place on the shelf, `%ve/...`;
of a slice of another target's object `%ec/...`. When a mountpath comes back, what was removed since it went is unlinked
on it before it is used; a version that is to be kept, and lies nowhere else, is put on the shelf before. One that was
removed for good may still be the latest there, so that is looked at too: its attribute has its ID as it is. One that
comes into use gets the lines of the others: any of them may go before the next one returns. The files go when all known
mountpaths are in use and everything is in its place.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote, unquote

from ais.api.bucket import Bck
from ais.base.errors import AisError
from ais.env.disk import Disk, write_all
from ais.fs import layout
from ais.fs.mountpath import Mountpath
from ais.fs.names import SELF

FILE_NAME = ".ais.removed"
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_PIECE = 1 << 20
_ID = re.compile(r"[0-9a-f]{32}")
_DELETED = "deleted"


def note(
    disk: Disk, mountpaths: Iterable[Mountpath], generation: int, bck: Bck, path: str, *, fsync: bool = False
) -> None:
    """Add a line on each mountpath, durable when `fsync`. Raise `OSError`, or `NotReady` when one is not there."""
    line = f"{generation} {quote(bck.uname)} {quote(path)}\n".encode()
    for mountpath in mountpaths:
        with mountpath.entered() as root:
            fd = disk.open(f"{root}/{FILE_NAME}", _APPEND, 0o644)
            try:
                disk.write(fd, line)
                if fsync:
                    disk.fsync(fd)
            finally:
                disk.close(fd)
            if fsync:
                layout.fsync_directory(disk, root)


Keep = Callable[[Disk, Sequence[str], str, Bck, str], None]
"""Puts a version on the shelf (`ais.core.returning.keep`)."""


def apply(disk: Disk, mountpaths: Sequence[str], returning: str, since: int, keep: Keep) -> None:
    """Unlink on `returning` what was removed in a generation after `since`. Blocks. Raise `OSError`."""
    for mountpath in mountpaths:
        for line in _lines(disk, f"{mountpath}/{FILE_NAME}"):
            generation, _, rest = line.partition(" ")
            uname, _, path = rest.partition(" ")
            if not generation.isdecimal() or int(generation) <= since or not path:
                continue
            try:
                bck, _ = Bck.parse_uname(unquote(uname))
            except AisError:
                continue
            bucket, path = layout.bucket_path(returning, bck), unquote(path)
            if path.startswith(f"{layout.VERSIONS}/"):
                _unlink_version(disk, bucket, path)
            elif path.startswith(f"{layout.SLICES}/"):
                _unlink(disk, f"{bucket}/{path}")
            else:
                keep(disk, mountpaths, returning, bck, path)
                _unlink(disk, f"{bucket}/{layout.OBJECTS}/{path}")


def carry(disk: Disk, mountpaths: Iterable[str], to: str) -> None:
    """Add to the file of one mountpath what others have noted, durably. Raise `OSError`."""
    path = f"{to}/{FILE_NAME}"
    known = set(_lines(disk, path))
    missing = dict.fromkeys(
        line for one in mountpaths for line in _lines(disk, f"{one}/{FILE_NAME}") if line not in known
    )
    if not missing:
        return
    fd = disk.open(path, _APPEND, 0o644)
    try:
        write_all(disk, fd, "".join(f"{line}\n" for line in missing).encode())
        disk.fsync(fd)
    finally:
        disk.close(fd)
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


def _unlink_version(disk: Disk, bucket: str, path: str) -> None:
    """Unlink a version on the shelf, and where it may be the latest: an object, or the delete marker there."""
    shelf, _, version_id = path.rpartition("/")
    _unlink(disk, f"{bucket}/{path}")
    current = f"{bucket}/{layout.OBJECTS}{shelf[len(layout.VERSIONS) : -len(SELF) - 1]}"
    for latest in (current, f"{current}/{SELF}", f"{bucket}/{shelf}/{_DELETED}"):
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
