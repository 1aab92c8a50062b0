"""Whether a mountpath can tell that something is not on it: it is the directory we took into use, with its buckets.

An unmounted disk leaves an empty directory behind, and a file that is missing there says nothing about the object.
"""

import contextlib
import stat

from ais.api.bucket import Bck
from ais.base.errors import IntegrityError, NotReady
from ais.env.disk import Disk
from ais.fs import layout, record, trash

ADVICE = "mount its disk again, or disable or detach the mountpath if it is gone for good"
NODE_XATTR = "user.ais.daemon_id"
PATH_XATTR = "user.ais.mountpath"
Identity = tuple[int, int]
"""Device and inode of a mountpath's directory."""


def identity_of(disk: Disk, path: str) -> Identity:
    """Of the directory that is at `path` now. Raise `OSError`."""
    found = disk.stat(path)
    return found.st_dev, found.st_ino


def place_of(disk: Disk, root: str) -> str:
    """The path of the mountpath whose directory this is; empty: it was none yet, or before that was noted."""
    try:
        return disk.getxattr(root, PATH_XATTR).decode()
    except OSError:
        return ""


def misplaced(path: str, place: str) -> IntegrityError:
    """The error for a mountpath's directory that lies where another one belongs."""
    return IntegrityError(
        f"the disk of mountpath {place} is mounted at {path}: mount it where it was, for objects lie where the path of"
        " their mountpath says"
    )


def verify(disk: Disk, path: str, node_id: str, known: Identity | None) -> Identity:
    """The identity of the mountpath `path` of this target; another one than `known` when its disk was mounted anew.

    Raise `NotReady` when the directory is gone, or is not ours.
    """
    try:
        found = identity_of(disk, path)
    except OSError as error:
        raise NotReady(f"mountpath {path} cannot be reached ({error.strerror}): {ADVICE}") from None
    if found == known:
        return known
    copy = record.load_copy(disk, path)
    if copy is None or copy.node_id != node_id or place_of(disk, path) not in ("", path):
        raise not_ours(path)
    return found


def not_ours(path: str) -> NotReady:
    """The error for a directory that lies where a mountpath was."""
    return NotReady(f"{path} is not the directory that was taken into use as mountpath: {ADVICE}")


def require_bucket(disk: Disk, root: str, bck: Bck, bid: int) -> None:
    """Raise `NotReady` unless the bucket's directory on the mountpath `root` is there and of this very bucket."""
    path = layout.bucket_path(root, bck)
    try:
        recorded = layout.read_bid(disk, path)
        disk.lstat(f"{path}/{layout.OBJECTS}")
    except FileNotFoundError:
        recorded = None
    except OSError as error:
        raise NotReady(f"mountpath {root} cannot be read ({error.strerror}): {ADVICE}") from None
    if recorded != bid:
        raise NotReady(f'the directory of bucket "{bck.cname()}" on mountpath {root} is missing: {ADVICE}')


def leave(disk: Disk, path: str, aside: str) -> None:
    """Remove what is ours on a mountpath; with a name, move the buckets below `decommissioned.<aside>` instead.

    What else lies there stays. Raise `OSError`.
    """
    kept = f"{path}/decommissioned.{aside}"
    for entry in disk.listdir(path):
        source = f"{path}/{entry}"
        if entry.startswith("@"):
            if aside:
                layout.make_directory(disk, kept)
                disk.rename(source, f"{kept}/{entry}")
            else:
                trash.remove_tree(disk, source)
        elif entry == trash.DIRECTORY or (entry.startswith(".ais.") and stat.S_ISDIR(disk.lstat(source).st_mode)):
            trash.remove_tree(disk, source)
        elif entry.startswith(".ais."):
            disk.unlink(source)
    for attribute in (NODE_XATTR, PATH_XATTR):
        with contextlib.suppress(OSError):
            disk.removexattr(path, attribute)
