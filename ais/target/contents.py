"""Content of an object as an answer, for both APIs: sent from its file by the kernel, or decrypted on the way."""

import os
from collections.abc import AsyncIterator
from functools import partial

from ais.core import sealing
from ais.core.store import OpenObject
from ais.net.http import FileReply, Reply, StreamReply
from ais.target.uploads import in_pool

AT_ONCE_BYTES_MAX = 64 << 10
"""Some 20 us to decrypt."""


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


async def chunks(opened: OpenObject, key: bytes, start: int, length: int) -> AsyncIterator[memoryview]:
    """A range of the content, read and opened in the mountpath's pool.

    Raise `CorruptMetadata` for what is not as it was sealed.
    """
    fd, pool = opened.fd, opened.mountpath.pool
    found = sealing.known_streams(opened.meta)
    if found is None:
        found = await in_pool(pool, lambda: sealing.streams(opened.meta, fd))
    read = sealing.reader(fd, key)
    for piece in sealing.plan(found, start, length):
        yield await in_pool(pool, partial(read, piece))


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
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
