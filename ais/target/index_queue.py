"""Indexes of shards in buckets that want them at once (`shard_index.on_write`), made one by one soon after each write.

What does not fit into the queue, fails, or was not made when the target stopped has no index, and is read without one;
the job `index-shard` makes up for it.
"""

import asyncio
import contextlib
import os

import structlog

from ais.api.bucket import Bck
from ais.base.errors import AisError
from ais.target.front import Front
from ais.target.opening import Opening
from ais.target.shard_index import ShardIndexes
from ais.target.uploads import in_pool_to_end

WAITING_MAX = 10_000


class IndexQueue:
    """Of one target."""

    def __init__(self, front: Front, opening: Opening, indexes: ShardIndexes) -> None:
        self._front = front
        self._opening = opening
        self._indexes = indexes
        self._waiting: asyncio.Queue[tuple[Bck, str]] = asyncio.Queue(WAITING_MAX)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._log = structlog.get_logger()

    def note(self, bck: Bck, name: str) -> None:
        """A shard was written. Any thread; returns at once."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._take, bck, name)

    def _take(self, bck: Bck, name: str) -> None:
        try:
            self._waiting.put_nowait((bck, name))
        except asyncio.QueueFull:
            self._log.warning("too many shards wait for an index: this one gets none", object=bck.cname(name))

    async def run(self) -> None:
        """Make indexes for ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            bck, name = await self._waiting.get()
            try:
                await self._index(bck, name)
            except AisError as error:
                self._log.info("a shard has no index", object=bck.cname(name), reason=str(error))

    async def _index(self, bck: Bck, name: str) -> None:
        opened = await self._opening.open(self._front.views.require(bck), name)
        try:
            await in_pool_to_end(opened.mountpath.pool, lambda: self._indexes.build(bck, name, opened))
        finally:
            os.close(opened.fd)
