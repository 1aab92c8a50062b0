"""The content of an inventory: objects of a bucket in order of name, in compressed chunks, behind these where each is.

Each chunk is a msgpack array of `RemoteObject`, each entry of the index is first and last name, offset, length and how
many names; what follows says where the index is. So a page is two short reads and one chunk, whatever the bucket has.
"""

import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from ais.backend.interface import RemoteObject, RemotePage, is_common_prefix
from ais.base.errors import IntegrityError

_TRAILER = struct.Struct(">QQ8s")
_MAGIC = b"aisinv01"
_AFTER_ALL = "\U0010ffff"

Pread = Callable[[int, int], bytes]
"""So many bytes from an offset on."""


class _Chunk(NamedTuple):
    first: str
    last: str
    offset: int
    length: int
    names: int


_index = msgspec.msgpack.Decoder(list[_Chunk])
_objects = msgspec.msgpack.Decoder(list[RemoteObject])


class Packer:
    """Makes the content of objects that come in order."""

    def __init__(self, names_per_chunk: int) -> None:
        self.count = 0
        self._names_per_chunk = names_per_chunk
        self._waiting: list[RemoteObject] = []
        self._chunks: list[_Chunk] = []
        self._offset = 0

    @property
    def chunks(self) -> int:
        """How many there are so far."""
        return len(self._chunks)

    def add(self, objects: list[RemoteObject]) -> bytes:
        """What is to be written by then."""
        self.count += len(objects)
        self._waiting += objects
        out = b""
        while len(self._waiting) >= self._names_per_chunk:
            out += self._pack(self._waiting[: self._names_per_chunk])
            del self._waiting[: self._names_per_chunk]
        return out

    def finish(self) -> bytes:
        """The rest."""
        rest = self._pack(self._waiting) if self._waiting else b""
        index = msgspec.msgpack.encode(self._chunks)
        return rest + index + _TRAILER.pack(self._offset, len(index), _MAGIC)

    def _pack(self, objects: list[RemoteObject]) -> bytes:
        packed = zlib.compress(msgspec.msgpack.encode(objects), 1)
        self._chunks.append(_Chunk(objects[0].name, objects[-1].name, self._offset, len(packed), len(objects)))
        self._offset += len(packed)
        return packed


def page(pread: Pread, size: int, prefix: str, after: str, limit: int, delimiter: str = "") -> RemotePage:
    """As of `Backend.page`, of the content that `pread` reads. Raise `IntegrityError` when it is none."""
    objects: list[RemoteObject] = []
    prefixes: list[str] = []
    if is_common_prefix(after, prefix, delimiter):
        after += _AFTER_ALL  # else it comes again
    try:
        index = _read_index(pread, size)
        while True:
            for one in _behind(pread, index, prefix, after):
                if not one.name.startswith(prefix):
                    return RemotePage(objects, prefixes, has_more=False)
                if len(objects) + len(prefixes) == limit:
                    return RemotePage(objects, prefixes, has_more=True)
                end = one.name.find(delimiter, len(prefix)) if delimiter else -1
                if end >= 0:
                    prefixes.append(one.name[: end + len(delimiter)])
                    after = prefixes[-1] + _AFTER_ALL
                    break
                objects.append(one)
            else:
                return RemotePage(objects, prefixes, has_more=False)
    except (msgspec.DecodeError, struct.error, zlib.error) as error:
        raise IntegrityError(f"an inventory is damaged ({error}): destroy it and create it anew") from None


def _read_index(pread: Pread, size: int) -> list[_Chunk]:
    offset, length, magic = _TRAILER.unpack(pread(_TRAILER.size, max(size - _TRAILER.size, 0)))
    if magic != _MAGIC:
        raise struct.error("it is of another kind")
    return _index.decode(pread(length, offset))


def _behind(pread: Pread, index: list[_Chunk], prefix: str, after: str) -> Iterator[RemoteObject]:
    """Objects that may have the prefix, from the first behind `after` on."""
    start = max(prefix, after)
    for chunk in index[bisect_left(index, start, key=lambda one: one.last) :]:
        objects = _objects.decode(zlib.decompress(pread(chunk.length, chunk.offset)))
        for one in objects[bisect_left(objects, start, key=lambda one: one.name) :]:
            if one.name > after:
                yield one
