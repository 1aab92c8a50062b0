"""Where a bucket lives on a mountpath: `@<provider>/[#ns | @uuid#ns/]<bucket>`, in it a directory per content type.

The bucket's ID is recorded on its directory, so that a directory left by a destroyed bucket of the same name is known.
"""

import contextlib
import errno
import functools
import os
from collections.abc import Iterator

from ais.api.bucket import GLOBAL, Bck
from ais.base.errors import AisError
from ais.env.disk import Disk
from ais.fs import trash

OBJECTS = "%ob"
WORK = "%wk"
UPLOADS = "%mp"
VERSIONS = "%ve"
COPIES = "%cp"
INDEXES = "%ix"
KEPT_COPIES = f"{COPIES}/{VERSIONS}"
"""Copies of what is on shelves."""
SLICES = "%ec"
SLICES_ASIDE = "%es"
KEPT_SLICES = f"{SLICES}/{VERSIONS}"
"""Slices of what is on shelves."""
UPLOAD_INFO = "upload"
OBJECT_XATTR = "user.ais.obj"
_ID_XATTR = "user.ais.bid"
_COPIES_XATTR = "user.ais.copies"
_CODING_XATTR = "user.ais.coding"


def bucket_path(root: str, bck: Bck) -> str:
    """The bucket's directory below the mountpath `root`."""
    if bck.namespace == GLOBAL:
        return f"{root}/@{bck.provider}/{bck.name}"
    uuid = f"@{bck.namespace.uuid}" if bck.namespace.uuid else ""
    return f"{root}/@{bck.provider}/{uuid}#{bck.namespace.name}/{bck.name}"


@functools.lru_cache(maxsize=4096)
def object_directories(root: str, bck: Bck) -> tuple[str, str]:
    """The directories of a bucket's objects and of its work files below the mountpath `root`."""
    path = bucket_path(root, bck)
    return f"{path}/{OBJECTS}", f"{path}/{WORK}"


def create_bucket(disk: Disk, root: str, bck: Bck, bid: int) -> bool:
    """Make the bucket's directories; idempotent. One with another ID goes to the trash first: then return True.

    The mountpath itself is never made. Raise `OSError`.
    """
    path = bucket_path(root, bck)
    recorded = read_bid(disk, path)
    is_stale = recorded is not None and recorded != bid
    if is_stale:
        trash.discard(disk, root, path)
    _make_directories(disk, root, path)
    if recorded != bid:
        disk.setxattr(path, _ID_XATTR, str(bid).encode())
    for content in (WORK, OBJECTS):
        _make_directories(disk, path, f"{path}/{content}")
    return is_stale


def make_copies_root(disk: Disk, root: str) -> None:
    """Make the directory `root` (`%cp` of a bucket) for copies, if need be; what it will hold is looked after."""
    try:
        disk.mkdir(root)
    except FileExistsError:
        return
    disk.setxattr(root, _COPIES_XATTR, b"1")


def make_directory(disk: Disk, path: str) -> None:
    """Make a directory unless it is there."""
    try:
        disk.mkdir(path)
    except FileExistsError:
        return


def content_root(root: str, content: str) -> str:
    """The directory for `content` beside that of a bucket's objects, `root`, or of its versions."""
    bucket, _, own = root.rpartition("/")
    return f"{bucket}/{content}/{VERSIONS}" if own == VERSIONS else f"{bucket}/{content}"


def unmark_copies(disk: Disk, root: str, bck: Bck) -> None:
    """From now on nobody looks after the copies of a bucket on a mountpath."""
    try:
        disk.removexattr(f"{bucket_path(root, bck)}/{COPIES}", _COPIES_XATTR)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise


def drop_copies(disk: Disk, root: str, bck: Bck, *, only_unmarked: bool = False) -> None:
    """Throw away a bucket's copies on a mountpath; `only_unmarked`: unless somebody looked after them all the time."""
    path = f"{bucket_path(root, bck)}/{COPIES}"
    if only_unmarked:
        try:
            disk.getxattr(path, _COPIES_XATTR)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
    trash.discard(disk, root, path)


def begin_coding(disk: Disk, root: str, bck: Bck, coding_id: int) -> None:
    """Objects of a bucket have slices, since it was given this ID: those of before are thrown away.

    Where nobody noted what they are of, they stay; so for who has heard less than what is noted. Raise `OSError`.
    """
    path = bucket_path(root, bck)
    try:
        recorded = int(disk.getxattr(path, _CODING_XATTR))
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    else:
        if recorded >= coding_id:  # they grow
            return
        for content in (SLICES, SLICES_ASIDE):
            trash.discard(disk, root, f"{path}/{content}")
    disk.setxattr(path, _CODING_XATTR, str(coding_id).encode())


def _make_directories(disk: Disk, root: str, path: str) -> None:
    """Make `path` and what is missing between it and `root`, which must be there."""
    made = root
    for name in path[len(root) + 1 :].split("/"):
        made += f"/{name}"
        with contextlib.suppress(FileExistsError):
            disk.mkdir(made)


def read_bid(disk: Disk, path: str) -> int | None:
    """The ID recorded on a bucket's directory; None when there is no directory or no readable ID."""
    try:
        return int(disk.getxattr(path, _ID_XATTR))
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise


def scan_buckets(disk: Disk, root: str) -> Iterator[tuple[Bck, str]]:
    """Every bucket with a directory on the mountpath, and that directory."""
    for provider in subdirectories(disk, root, ("@",)):
        base = f"{root}/{provider}"
        for entry in subdirectories(disk, base):
            is_namespace = entry[0] in "@#"
            for name in subdirectories(disk, f"{base}/{entry}") if is_namespace else (entry,):
                try:
                    bck = Bck.parse(name, provider[1:], entry if is_namespace else "")
                except AisError:
                    continue
                yield bck, bucket_path(root, bck)


def work_directories(disk: Disk, root: str) -> Iterator[str]:
    """The work directories of all buckets on the mountpath."""
    return (f"{path}/{WORK}" for _, path in scan_buckets(disk, root))


def dead_uploads(disk: Disk, root: str) -> Iterator[str]:
    """Directories of uploads that were begun, completed or aborted when the process was killed or the power went."""
    for path in (f"{path}/{UPLOADS}" for _, path in scan_buckets(disk, root)):
        for upload_id in subdirectories(disk, path):
            try:
                is_there = disk.lstat(f"{path}/{upload_id}/{UPLOAD_INFO}").st_size > 0
            except FileNotFoundError:
                is_there = False
            if not is_there:
                yield f"{path}/{upload_id}"


def subdirectories(disk: Disk, path: str, prefixes: tuple[str, ...] = ("",)) -> list[str]:
    """Names of the directories in a directory, which may be missing."""
    try:
        with disk.scandir(path) as entries:
            return [e.name for e in entries if e.name.startswith(prefixes) and e.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def has_file(disk: Disk, path: str) -> bool:
    """Whether there is a file anywhere below a directory, which may be missing."""
    waiting = [path]
    while waiting:
        try:
            with disk.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        return True
                    waiting.append(entry.path)
        except FileNotFoundError:
            continue
    return False


def fsync_directory(disk: Disk, path: str) -> None:
    """Make the entries of a directory durable."""
    fd = disk.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        disk.fsync(fd)
    finally:
        disk.close(fd)
