"""Bytes of shards for whoever makes output shards: of this target's, or asked of another one."""

import asyncio
import os
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from ais.api.dsort import Wanted
from ais.base.errors import Conflict, DiskFailure
from ais.core.meta import ObjectMeta
from ais.core.store import OpenObject, Store
from ais.fs.volume import Volume
from ais.target.dsort.files import Files
from ais.target.opening import Opening
from ais.target.view import BucketView

PIECE_BYTES_MAX = 1 << 20
"""Of one `Wanted`."""
BATCH_BYTES_MAX = 4 << 20
BATCH_PIECES_MAX = 512


class Identity(NamedTuple):
    """Which write of a shard was read."""

    size: int
    checksum: str
    stamp: tuple[int, int]

    @classmethod
    def of(cls, meta: ObjectMeta) -> "Identity":
        return cls(meta.size, meta.checksum, meta.stamp)


class Contents:
    """Reads of this target's shards. `known` says which write of each was read before."""

    def __init__(
        self, view: BucketView, volume: Volume, store: Store, opening: Opening, files: Files, uuid: str
    ) -> None:
        self.known: dict[str, Identity] = {}
        self._view = view
        self._volume = volume
        self._store = store
        self._opening = opening
        self._files = files
        self._uuid = uuid

    async def read(self, wanted: Sequence[Wanted]) -> list[bytes]:
        """The bytes of each. Raise `Conflict` when a shard has changed, and as `Opening.open`."""
        groups = [(shard, list(found)) for shard, found in groupby(wanted, lambda one: one.shard)]
        opened: dict[str, OpenObject] = {}
        try:
            for shard, found in groups:
                if shard not in opened and not all(one.is_unpacked for one in found):
                    opened[shard] = await self._open(shard)
            return await asyncio.to_thread(self._read, groups, opened)
        finally:
            for one in opened.values():
                os.close(one.fd)

    async def _open(self, shard: str) -> OpenObject:
        if self._view.needs_care:
            opened = await self._opening.open(self._view, shard)
        else:
            opened = self._store.open(self._view.bck, shard)
        if self.known.get(shard) != Identity.of(opened.meta):
            os.close(opened.fd)
            raise Conflict(f"{self._view.bck.cname(shard)} was overwritten while it was sorted: start again")
        return opened

    def _read(self, groups: list[tuple[str, list[Wanted]]], opened: dict[str, OpenObject]) -> list[bytes]:
        found = []
        for shard, pieces in groups:
            unpacked = -1
            try:
                for one in pieces:
                    if one.is_unpacked and unpacked < 0:
                        unpacked = os.open(self._unpacked(shard), os.O_RDONLY | os.O_CLOEXEC)
                    found.append(_pread(unpacked if one.is_unpacked else opened[shard].fd, one))
            except OSError as error:
                raise DiskFailure(f"{self._view.bck.cname(shard)}: {error.strerror}") from None
            finally:
                if unpacked >= 0:
                    os.close(unpacked)
        return found

    def _unpacked(self, shard: str) -> str:
        place = self._volume.place(self._view.uname + shard)
        return self._files.unpacked(place.path, self._uuid, shard)


def _pread(fd: int, wanted: Wanted) -> bytes:
    data = os.pread(fd, wanted.size, wanted.offset) if wanted.size else b""
    while len(data) < wanted.size:
        more = os.pread(fd, wanted.size - len(data), wanted.offset + len(data))
        if not more:
            raise DiskFailure(f"{wanted.shard} is shorter than it was")
        data += more
    return data
