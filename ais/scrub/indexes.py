"""Indexes of shards that are of no use: their shard has other content, is elsewhere, or is gone."""

import os
from collections.abc import Iterable, Iterator

from ais.api.bucket import Bck
from ais.core import index_files, tree
from ais.core.spots import read_meta
from ais.core.store import Store
from ais.env.disk import Disk
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.shard import index


def of_nothing(store: Store, disk: Disk, bcks: Iterable[Bck]) -> Iterator[tuple[str, os.stat_result]]:
    """The paths of those in some buckets. Blocks. Raise `DiskFailure`."""
    for mountpath in store.volume.available:
        for bck in bcks:
            directory = layout.bucket_path(mountpath.path, bck)
            with disk_failures(directory):
                for path in store.indexes.all_in(directory):
                    try:
                        if not _holds(store, disk, bck, path):
                            yield path, disk.lstat(path)
                    except FileNotFoundError:
                        continue


def _holds(store: Store, disk: Disk, bck: Bck, path: str) -> bool:
    fd = disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header = index.read_header(lambda size, offset: disk.pread(fd, size, offset))
    except index.Damaged:
        return False
    finally:
        disk.close(fd)
    spot = store.spot(bck, header.name)
    own = tree.find(disk, spot.path)
    meta = read_meta(disk, own[0]) if own is not None else None
    is_placed = store.indexes.path(spot, header.name) == path
    return is_placed and meta is not None and header.identity == index_files.identity(meta)
