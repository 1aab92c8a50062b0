"""The first part of a sort: which records the shards hold, and where their bytes lie. Blocks."""

from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from ais.api.dsort import Algorithm, Key, Part, Record
from ais.base.errors import Conflict
from ais.dsort import keys
from ais.shard import reading
from ais.shard.formats import Format
from ais.shard.reading import BadShard, Content

RECORD_OVERHEAD_BYTES = 40
PART_OVERHEAD_BYTES = 20


class Stopped(Conflict):
    """The job was aborted meanwhile."""


class Found(NamedTuple):
    """Of one shard: its records, bytes of their files, and how many of these were unpacked to the disk."""

    records: list[Record]
    size: int
    unpacked: int


class _Open:
    """A record while its shard is read."""

    __slots__ = ("key", "parts", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.key: Key | None = None
        self.parts: list[Part] = []


def extract(
    shard: str,
    file: IO[bytes],
    kind: Format,
    algorithm: Algorithm,
    unpack: Callable[[], IO[bytes]],
    duplicate: Callable[[str], None],
    is_stopped: Callable[[], bool],
) -> Found:
    """Read a shard. What is not in it as it is goes to the file that `unpack` opens.

    Of files with equal names the first counts, as for every reader; `duplicate` is told, and may raise. Raise
    `BadShard`, `BadRequest` (a key that is none), `Stopped`.
    """
    found: dict[str, _Open] = {}
    seen: set[str] = set()
    size = unpacked = 0
    out: IO[bytes] | None = None
    wanted = algorithm.extension if algorithm.kind == "content" else ""
    try:
        for position, (member, content) in enumerate(_named(reading.members(file, kind), shard)):
            if is_stopped():
                raise Stopped("the sort was stopped")
            if member.name in seen:
                duplicate(f"record {member.name} of {shard} is duplicated")
                continue
            seen.add(member.name)
            name, extension = keys.split(member.name)
            one = found.setdefault(name, _Open(position))
            is_key = bool(wanted) and extension == wanted
            if is_key and member.size > keys.KEY_BYTES_MAX:
                raise BadShard(f"{member.name} of {shard} is too large for a sorting key ({member.size} bytes)")
            chunks: list[bytes] = []
            offset = member.offset
            if offset is None:
                out = out or unpack()
                offset = unpacked
                for chunk in content():
                    if is_stopped():
                        raise Stopped("the sort was stopped")
                    out.write(chunk)
                    if is_key:
                        chunks.append(chunk)
                unpacked += member.size
            elif is_key:
                chunks = list(content())
            if is_key:
                one.key = keys.of_content(b"".join(chunks), algorithm.content_key_type, f"{member.name} of {shard}")
            one.parts.append(Part(extension, offset, member.size, member.offset is None))
            size += member.size
        if out is not None:
            out.flush()
    finally:
        if out is not None:
            out.close()
    return Found(_records(shard, found, algorithm), size, unpacked)


def _named(members: Iterator[tuple[reading.Member, Content]], shard: str) -> Iterator[tuple[reading.Member, Content]]:
    """The members; the error of a bad shard says which one."""
    try:
        yield from members
    except BadShard as error:
        raise BadShard(f"{shard}: {error}") from None


def _records(shard: str, found: dict[str, _Open], algorithm: Algorithm) -> list[Record]:
    key_of = keys.by_name(algorithm)
    records = []
    for name, one in found.items():
        if algorithm.kind == "content":
            if one.key is None:
                raise BadShard(f"record {name} of {shard} has no file {algorithm.extension} that holds its sorting key")
            key = one.key
        else:
            key = key_of(shard, name)
        records.append(Record(key, shard, one.position, name, one.parts))
    return records


def weight(record: Record) -> int:
    """About how many bytes it is on disk."""
    key_bytes = len(record.key) if isinstance(record.key, str) else 8
    return (
        RECORD_OVERHEAD_BYTES
        + key_bytes
        + len(record.name)
        + len(record.shard)
        + PART_OVERHEAD_BYTES * len(record.parts)
    )


def order(record: Record) -> tuple[Key, str, int]:
    """The place of a record among all: by its key, then as it was."""
    return record.key, record.shard, record.position
