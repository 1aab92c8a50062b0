"""Content of an object as an answer, for both APIs: sent from its file by the kernel, or decrypted on the way."""

import asyncio
import os
from collections.abc import AsyncGenerator
from functools import partial

from ais.base.waiting import to_its_end
from ais.core import sealing
from ais.core.store import OpenObject
from ais.net.http import FileReply, Reply, StreamReply
from ais.target.uploads import in_pool_to_end

AT_ONCE_BYTES_MAX = 64 << 10
"""Some 20 us to decrypt."""
SHORT_BYTES_MAX = 1 << 20
"""Some 0.4 ms: what hashing and writing a body of that size takes in place, too."""
_SHORT_SEGMENTS = 4


def reply(opened: OpenObject, status: int, block: bytes, start: int, length: int) -> Reply | FileReply | StreamReply:
    """An answer with a range of the content. It owns the object's descriptor, but when this raises.

    Raise `CorruptMetadata` for encrypted content that is not as it was written.
    """
    key = opened.key
    if key is None:
        return FileReply(status, block, opened.fd, start, length, opened.mountpath.pool)
    content = _at_once(opened, key, start, length)
    if content is None:
        return StreamReply(status, block, _Served(opened, key, start, length), length)
    os.close(opened.fd)
    return Reply(status, block, content)


def _at_once(opened: OpenObject, key: bytes, start: int, length: int) -> bytes | None:
    """A short range of the content, if it is in the page cache: a thread would take longer. None: take `chunks`.

    Raise `CorruptMetadata`.
    """
    found = sealing.known_streams(opened.meta) if length <= AT_ONCE_BYTES_MAX else None
    if found is None:
        return None
    read = sealing.reader(opened.fd, key, os.RWF_NOWAIT)
    try:
        return b"".join(map(read, sealing.plan(found, start, length)))
    except OSError:
        return None


async def chunks(opened: OpenObject, key: bytes, start: int, length: int) -> AsyncGenerator[memoryview, None]:
    """A range of the content: a short one in small pieces on the spot, so that the first is on its way while the next
    is decrypted; else read and decrypted in the mountpath's pool, a piece ahead of whoever takes them.

    Raise `CorruptMetadata` for what is not as it was sealed.
    """
    fd, pool, found = opened.fd, opened.mountpath.pool, sealing.known_streams(opened.meta)
    if found is None:
        found = await in_pool_to_end(pool, lambda: sealing.streams(opened.meta, fd))
    if length <= SHORT_BYTES_MAX:
        now = sealing.reader(fd, key, os.RWF_NOWAIT)
        for piece in sealing.plan(found, start, length, _SHORT_SEGMENTS):
            try:
                yield now(piece)
            except OSError:
                yield await in_pool_to_end(pool, partial(sealing.reader(fd, key), piece))
        return
    read, ahead = sealing.reader(fd, key), None
    try:
        for piece in sealing.plan(found, start, length):
            ready, ahead = ahead, pool.submit(read, piece)
            if ready is not None:
                yield await to_its_end(asyncio.wrap_future(ready))
        if ahead is not None:
            yield await to_its_end(asyncio.wrap_future(ahead))
    finally:
        if ahead is not None and not ahead.cancel():
            await asyncio.gather(asyncio.wrap_future(ahead), return_exceptions=True)


class _Served:
    """The same as an answer: it owns the descriptor, which is closed also when nobody takes the first piece."""

    def __init__(self, opened: OpenObject, key: bytes, start: int, length: int) -> None:
        self._fd = opened.fd
        self._chunks = chunks(opened, key, start, length)

    def __aiter__(self) -> "_Served":
        return self

    async def __anext__(self) -> memoryview:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Close the descriptor."""
        await self._chunks.aclose()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
