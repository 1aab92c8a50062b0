"""Comparing a whole object with its checksum before a piece of it becomes a part of another one.

A large object is copied in thousands of parts: it is read once, by one of the requests, while the others wait; a file
that was found intact is remembered as long as it stays the same.
"""

import asyncio
import os
from functools import partial

from ais.api.bucket import Bck
from ais.base.seen import Seen
from ais.core.store import OpenObject, Store
from ais.target.uploads import in_pool

FILES_MAX = 4096


class Verified:
    """What this target has compared lately. To be used on one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._intact = Seen(FILES_MAX)
        self._running: dict[int, asyncio.Task[None]] = {}

    async def require(self, bck: Bck, name: str, opened: OpenObject) -> None:
        """Return when the object was found intact. Raise `ContentDamaged`, `DiskFailure`."""
        stat = opened.stat
        key = hash((bck, name, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
        if key in self._intact:
            return
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._compare(bck, name, opened))
            task.add_done_callback(lambda _: self._running.pop(key, None))
        await asyncio.shield(task)
        self._intact.again(key)

    async def _compare(self, bck: Bck, name: str, opened: OpenObject) -> None:
        """With a descriptor of its own: whoever asked first may leave before the others."""
        held = OpenObject(os.dup(opened.fd), opened.stat, opened.meta, opened.spot, opened.mountpath, None)
        try:
            await in_pool(opened.mountpath.pool, partial(self._store.verify, bck, name, held))
        finally:
            os.close(held.fd)
