"""Content to slices, stripe by stripe: at most a few stripes are in memory, coding and checksums happen in a pool."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Executor
from typing import Protocol

from ais.api.bucket import Bck
from ais.base.errors import DiskFailure
from ais.core.workfile import Digests
from ais.ec import code
from ais.ec import slice as slices
from ais.ec.reading import SliceReader
from ais.ec.slice import Slice
from ais.fs.failures import disk_failures

_STRIPES_AT_ONCE = 2
_QUEUED_MAX = 2


class Paced(Protocol):
    """Gives numbers of stripes one by one, and lets the job that is at work rest in between."""

    def __call__(self, firsts: Iterable[int], /) -> AsyncIterator[int]: ...


async def at_once(firsts: Iterable[int]) -> AsyncIterator[int]:
    """Where a client waits."""
    for first in firsts:
        yield first


class Pipe:
    """From the one who codes to the one who sends a slice; when that one is gone, everything is passed over."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED_MAX)
        self._is_closed = False

    async def put(self, data: bytes) -> None:
        """Hand over the next bytes; empty: that was all."""
        while not self._is_closed:
            try:
                async with asyncio.timeout(1.0):
                    await self._queue.put(data)
                    return
            except TimeoutError:
                continue

    async def chunks(self, head: bytes) -> AsyncIterator[bytes]:
        """What to send."""
        yield head
        while data := await self._queue.get():
            yield data

    def close(self) -> None:
        """Nobody sends any more."""
        self._is_closed = True
        while not self._queue.empty():
            self._queue.get_nowait()


Pipes = dict[int, Pipe]
"""By the index of the slice that goes through."""


async def cut_file(
    pool: Executor,
    fd: int,
    path: str,
    header: Slice,
    pipes: Pipes,
    digests: Digests | None = None,
    paced: Paced = at_once,
) -> None:
    """Fill the pipes from the file of an object. `digests`: what its content is compared with, before it all is sent.

    Raise `DiskFailure`, `ContentDamaged`.
    """
    loop = asyncio.get_running_loop()
    async for first in paced(range(0, header.stripes, _STRIPES_AT_ONCE)):
        count = min(_STRIPES_AT_ONCE, header.stripes - first)
        made = await loop.run_in_executor(pool, _cut, fd, path, header, first, count, set(pipes), digests)
        if digests is not None and first + count == header.stripes:
            digests.verify(*Bck.parse_uname(header.uname))
        await _fill(pipes, made)
    await _finish(pipes)


async def cut_again(pool: Executor, reader: SliceReader, paced: Paced, pipes: Pipes) -> None:
    """Fill the pipes from other slices of the object. Raise `CorruptMetadata`."""
    loop, header = asyncio.get_running_loop(), reader.header
    try:
        async for first in paced(range(0, header.stripes, _STRIPES_AT_ONCE)):
            made = await reader.stripes(first, min(_STRIPES_AT_ONCE, header.stripes - first))
            await _fill(pipes, await loop.run_in_executor(pool, _seal, header, first, made, set(pipes)))
        await _finish(pipes)
    finally:
        await reader.close()


async def _fill(pipes: Pipes, made: dict[int, bytes]) -> None:
    for index, pipe in pipes.items():
        await pipe.put(made[index])


async def _finish(pipes: Pipes) -> None:
    for pipe in pipes.values():
        await pipe.put(b"")


def _cut(
    fd: int, path: str, header: Slice, first: int, count: int, indices: set[int], digests: Digests | None
) -> dict[int, bytes]:
    """The sealed blocks of some stripes, by slice. Blocks."""
    stripes: list[Sequence[code.Block]] = []
    for stripe in range(first, first + count):
        length = header.block_bytes(stripe)
        offset, end = stripe * header.stripe_bytes, min((stripe + 1) * header.stripe_bytes, header.meta.size)
        with disk_failures(path):
            body = os.pread(fd, end - offset, offset)
        if len(body) != end - offset:
            raise DiskFailure(f"{path}: the object is shorter than recorded")
        if digests is not None:
            digests.update(body)
        view = memoryview(body.ljust(length * header.data, b"\0"))
        stripes.append([view[index * length : (index + 1) * length] for index in range(header.data)])
    return _seal(header, first, stripes, indices)


def _seal(header: Slice, first: int, stripes: Sequence[Sequence[code.Block]], indices: set[int]) -> dict[int, bytes]:
    made: dict[int, list[code.Block]] = {index: [] for index in indices}
    for stripe, data in enumerate(stripes, first):
        blocks = list(data)
        if any(index >= header.data for index in indices):
            blocks += code.encode(data, header.parity)
        for index, out in made.items():
            out += slices.seal(stripe, blocks[index]), blocks[index]
    return {index: b"".join(out) for index, out in made.items()}
