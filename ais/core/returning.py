"""What becomes of an object's file that was deleted or replaced while its mountpath was out of use, when that returns.

`ais.fs.removed` removes it. Where versions are kept it is a version below what was put on top meanwhile, and may be the
only file of it: then it goes on the shelf first. Nobody uses the mountpath yet, and one system call does it: killed
before or after, the next attempt finds the same.
"""

import contextlib
from collections.abc import Iterable, Sequence

from ais.api.bucket import Bck
from ais.core import tree
from ais.core.spots import read_meta
from ais.core.versions import DELETED, NULL
from ais.env.disk import Disk
from ais.fs import layout
from ais.fs.names import SELF


def keep(disk: Disk, mountpaths: Sequence[str], returning: str, bck: Bck, path: str, is_covered: bool) -> None:
    """Put an object's file on the shelf of `returning` if none of `mountpaths`, which are in use, has that version.

    `path` is below `%ob`. Where one of these is null, that replaced this one. `is_covered`: something came on top of a
    version, which is kept; else a null version is one only where there are others: it may have been all there was, and
    was removed. Blocks. Raise `OSError`.
    """
    bucket = layout.bucket_path(returning, bck)
    root, shelf = f"{bucket}/{layout.OBJECTS}", f"{bucket}/{layout.VERSIONS}/{path}/{SELF}"
    file = tree.find(disk, f"{root}/{path}")
    meta = read_meta(disk, file[0]) if file is not None else None
    if file is None or meta is None:
        return
    known = {one for mountpath in mountpaths for one in _ids(disk, layout.bucket_path(mountpath, bck), path)}
    entry = meta.version_id or NULL
    if entry in known or (entry == NULL and not known and not is_covered):
        return
    shelves = f"{bucket}/{layout.VERSIONS}"
    layout.make_directory(disk, shelves)
    placed = tree.install(disk, file[0], shelves, f"{shelf}/{entry}")
    tree.fsync_parents(disk, bucket, placed)
    tree.prune(disk, root, file[0])
    tree.fsync_removal(disk, root, file[0])


def drop_null(disk: Disk, returning: str, bck: Bck, path: str) -> None:
    """Remove the null version of an object that is the latest one on `returning`. Blocks. Raise `OSError`."""
    bucket = layout.bucket_path(returning, bck)
    root, shelves = f"{bucket}/{layout.OBJECTS}", f"{bucket}/{layout.VERSIONS}"
    marker = f"{shelves}/{path}/{SELF}/{DELETED}"
    file = tree.find(disk, f"{root}/{path}")
    if file is not None and _is_null(disk, file[0]):
        tree.remove(disk, root, f"{root}/{path}", fsync=True)
    if _is_null(disk, marker):
        tree.remove(disk, shelves, marker, fsync=True)


def _is_null(disk: Disk, path: str) -> bool:
    meta = read_meta(disk, path)
    return meta is not None and not meta.version_id


def _ids(disk: Disk, bucket: str, path: str) -> Iterable[str]:
    """IDs of the versions of an object that a mountpath has."""
    shelf = f"{bucket}/{layout.VERSIONS}/{path}/{SELF}"
    entries: list[str] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        entries = disk.listdir(shelf)
    latest = [f"{bucket}/{layout.OBJECTS}/{path}", *([f"{shelf}/{DELETED}"] if DELETED in entries else [])]
    for one in latest:
        meta = read_meta(disk, one)
        if meta is not None:
            yield meta.version_id or NULL
    yield from (entry for entry in entries if entry != DELETED)
