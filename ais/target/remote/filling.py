"""Filling a work file while its content comes: what has come is written as the rest comes, and not in turns with it."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from ais.base.waiting import to_its_end
from ais.core.writer import Writer
from ais.target.remote.fetch import Fetch

AHEAD_BYTES_MAX = 2 << 20
"""What may have come and not be written yet."""


class Filling:
    """Of one fetch, once. `md5`: of the content, updated on the way: then the last piece waits for `release`."""

    def __init__(self, fetch: Fetch, writer: Writer, md5: Any) -> None:
        self._fetch = fetch
        self._writer = writer
        self._md5 = md5
        self._held = b""
        self._batch: list[bytes] = []
        self._ahead = 0
        self._job: asyncio.Future[int] | None = None

    async def run(self, chunks: AsyncIterator[bytes]) -> None:
        """Write all of it. Raise what reading and writing raise; nobody uses the writer any more then."""
        try:
            async for chunk in chunks:
                self._batch.append(chunk)
                self._ahead += len(chunk)
                self._offer(chunk)
                if self._job is None or self._job.done() or self._ahead >= AHEAD_BYTES_MAX:
                    await self._write()
            await self._write()
            await self._written()
        finally:
            if self._job is not None:  # what it raises comes second
                await to_its_end(asyncio.wait((self._job,)))

    def release(self) -> None:
        """Let everybody have the last piece, too."""
        self._fetch.offer(self._held)

    def _offer(self, chunk: bytes) -> None:
        if self._md5 is None:
            self._fetch.offer(chunk)
        else:
            self._fetch.offer(self._held)
            self._held = chunk

    async def _write(self) -> None:
        """Begin to write what has come, when what came before is written."""
        await self._written()
        step = partial(_write, self._writer, self._md5, self._batch)
        self._batch = []
        self._job = asyncio.wrap_future(self._writer.mountpath.pool.submit(step))

    async def _written(self) -> None:
        if self._job is not None:
            count = await to_its_end(self._job)
            self._job = None
            self._ahead -= count
            self._fetch.wrote(count)


def _write(writer: Writer, md5: Any, chunks: list[bytes]) -> int:
    for chunk in chunks:
        if md5 is not None:
            md5.update(chunk)
        writer.write(chunk)
    return sum(map(len, chunks))
