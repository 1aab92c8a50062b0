"""Where the members of a shard lie: a table in a file of its own, so that one member is found by two reads.

A table is made from one pass over the shard and holds for the content whose identity it names, and for no other. Each
page has a checksum of its own. What is stale or damaged is as good as no table: the shard is read from its beginning.

Format (`docs/on_disk_layout.md`): a page with the header, then pages of records. The page of a name follows from its
digest, so that only this one is read.
"""

import struct
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import groupby
from typing import NamedTuple

import google_crc32c
import msgspec

from ais.base.errors import BadRequest

PAGE_BYTES = 4096
MEMBERS_MAX = 1_000_000
"""More are not indexed: all records are in memory while a table is made, some 80 bytes each."""
_HEADER = b"AISX\x01"
_HEAD = struct.Struct(">5sLH")
_PAGE = struct.Struct(">LH")
_RECORD = struct.Struct(">16sQQ")
_PER_PAGE = (PAGE_BYTES - _PAGE.size) // _RECORD.size
_PER_PAGE_WANTED = 72
_ORDER = struct.Struct(">16sL")
_SCATTERED = (1 << 64) - 1
"""Offset of a member whose bytes do not lie in the shard as they are."""

Pread = Callable[[int, int], bytes]
"""Reads (size, offset) of a table."""


class Damaged(Exception):
    """Not a table, or a damaged one."""


class TooManyMembers(BadRequest):
    """A shard with more members than are indexed."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What a table is of. Fields may be appended.

    `identity` stands for the content of the shard (`ais.target.shard_index`), `kind` is its format's extension.
    """

    name: str
    kind: str
    size: int
    identity: str
    pages: int
    members: int


class Place(NamedTuple):
    """A member's bytes in its shard. `offset` None: it is there, and must be unpacked."""

    offset: int | None
    size: int


def digest(name: str) -> bytes:
    """What stands for a name."""
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def build(name: str, kind: str, size: int, identity: str, members: Iterable[tuple[str, int, int | None]]) -> bytes:
    """The table of members (name, size, offset) in the order of the shard; of equal names the first counts.

    Raise `TooManyMembers`, and what iterating raises.
    """
    records: list[bytes] = []
    for number, (member, length, offset) in enumerate(members):
        if number >= MEMBERS_MAX:
            raise TooManyMembers(f"{name} has more than {MEMBERS_MAX} files: it is not indexed")
        place = _RECORD.pack(digest(member), _SCATTERED if offset is None else offset, length)
        records.append(_ORDER.pack(place[:16], number) + place[16:])
    records.sort()
    firsts = [next(same) for _, same in groupby(records, key=lambda record: record[:16])]
    pages = len(firsts) // _PER_PAGE_WANTED + 1
    while (packed := _pages(firsts, pages)) is None:
        pages += pages // 4 + 1
    header = Header(name, kind, size, identity, pages, len(firsts))
    return _packed_header(header) + packed


def _pages(records: list[bytes], count: int) -> bytes | None:
    """All pages; None when one does not hold what belongs there."""
    filled = [b""] * count
    for number, group in groupby(records, key=lambda record: _page_of(record, count)):
        found = list(group)
        if len(found) > _PER_PAGE:
            return None
        filled[number] = b"".join(record[:16] + record[_ORDER.size :] for record in found)
    return b"".join(_packed_page(records) for records in filled)


def _page_of(key: bytes, count: int) -> int:
    return int.from_bytes(key[:8]) * count >> 64


def _packed_page(records: bytes) -> bytes:
    body = (len(records) // _RECORD.size).to_bytes(2) + records.ljust(PAGE_BYTES - _PAGE.size, b"\0")
    return int(google_crc32c.value(body)).to_bytes(4) + body


def _packed_header(header: Header) -> bytes:
    fields = msgspec.msgpack.encode(header)
    start = _HEAD.pack(_HEADER, google_crc32c.value(fields), len(fields)) + fields
    return start.ljust(PAGE_BYTES, b"\0")


def read_header(pread: Pread) -> Header:
    """What a table is of. Raise `Damaged`, `OSError`."""
    start = pread(PAGE_BYTES, 0)
    if len(start) < PAGE_BYTES or not start.startswith(_HEADER):
        raise Damaged("not the index of a shard")
    _, checksum, length = _HEAD.unpack_from(start)
    fields = start[_HEAD.size : _HEAD.size + length]
    if google_crc32c.value(fields) != checksum:
        raise Damaged("the header of an index does not have its checksum")
    try:
        return msgspec.msgpack.decode(fields, type=Header)
    except msgspec.ValidationError as error:
        raise Damaged(str(error)) from None


def find(pread: Pread, header: Header, name: str) -> Place | None:
    """Where a member lies; None: there is none of that name. One read. Raise `Damaged`, `OSError`."""
    wanted = digest(name)
    page = pread(PAGE_BYTES, PAGE_BYTES * (1 + _page_of(wanted, header.pages)))
    if len(page) < PAGE_BYTES:
        raise Damaged("an index is cut short")
    checksum, count = _PAGE.unpack_from(page)
    if google_crc32c.value(page[4:]) != checksum:
        raise Damaged("a page of an index does not have its checksum")
    for at in range(_PAGE.size, _PAGE.size + count * _RECORD.size, _RECORD.size):
        if page.startswith(wanted, at):
            _, offset, size = _RECORD.unpack_from(page, at)
            if offset == _SCATTERED:
                return Place(None, size)
            if offset + size > header.size:
                raise Damaged("an index points behind the end of its shard")
            return Place(offset, size)
    return None
