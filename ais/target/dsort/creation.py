"""The last part of a sort: output shards written one after the other, while the bytes of the next ones are fetched."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import NamedTuple

from ais.api.dsort import Part, Placed, Wanted
from ais.core.writer import Writer
from ais.shard.formats import Format
from ais.shard.writing import ShardWriter, shard_writer
from ais.target.dsort.content import BATCH_BYTES_MAX, BATCH_PIECES_MAX, PIECE_BYTES_MAX

AHEAD = 3
"""Batches that are fetched while one is written."""


class Piece(NamedTuple):
    """Some bytes of a file of a record."""

    placed: Placed
    part: Part
    wanted: Wanted
    is_first: bool
    is_last: bool


Fetch = Callable[[list[Piece]], Coroutine[None, None, list[bytes]]]
"""What brings the bytes of a batch, one for each piece."""


def pieces(placed: Iterator[Placed]) -> Iterator[Piece]:
    """Everything to write, in order."""
    for one in placed:
        for part in one.record.parts:
            at = 0
            while True:
                size = min(PIECE_BYTES_MAX, part.size - at)
                wanted = Wanted(one.record.shard, part.offset + at, size, part.is_unpacked)
                yield Piece(one, part, wanted, at == 0, at + size == part.size)
                at += size
                if at == part.size:
                    break


def batches(found: Iterator[Piece]) -> Iterator[list[Piece]]:
    """The same, as much at a time as is asked for at once."""
    batch: list[Piece] = []
    size = 0
    for piece in found:
        batch.append(piece)
        size += piece.wanted.size
        if size >= BATCH_BYTES_MAX or len(batch) >= BATCH_PIECES_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def ahead(found: Iterator[list[Piece]], fetch: Fetch) -> AsyncGenerator[tuple[list[Piece], list[bytes]], None]:
    """Each batch with its bytes, a few fetched ahead."""
    waiting: deque[tuple[list[Piece], asyncio.Task[list[bytes]]]] = deque()
    try:
        while True:
            while len(waiting) < AHEAD:
                batch = await asyncio.to_thread(next, found, None)
                if batch is None:
                    break
                waiting.append((batch, asyncio.create_task(fetch(batch))))
            if not waiting:
                return
            batch, task = waiting[0]
            data = await task
            waiting.popleft()
            yield batch, data
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


class Output:
    """One output shard while it is written. Blocks. `duplicate` is told of a file whose name is in it already."""

    def __init__(self, name: str, writer: Writer, kind: Format, mtime_s: int, duplicate: Callable[[str], None]) -> None:
        self.name = name
        self._names: set[str] = set()
        self._duplicate = duplicate
        self.writer = writer
        self._shard: ShardWriter = shard_writer(kind, writer.write)
        self._mtime_s = mtime_s

    def write(self, batch: list[Piece], data: list[bytes]) -> None:
        """Add pieces of this shard. Raise as `Writer.write`, and what `duplicate` raises."""
        for piece, content in zip(batch, data, strict=True):
            if piece.is_first:
                name = piece.placed.record.name + piece.part.extension
                if name in self._names:
                    self._duplicate(f"record {name} is duplicated in {piece.placed.shard}")
                self._names.add(name)
                self._shard.begin(name, piece.part.size, self._mtime_s)
            self._shard.write(content)
            if piece.is_last:
                self._shard.end()

    def commit(self) -> int:
        """Make it visible; return its size. Raise as `Writer.commit`."""
        self._shard.close()
        return self.writer.commit().size
