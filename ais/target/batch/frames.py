"""How entries travel from the target that has them to the one that answers: our own stream, in the order asked for.

Each entry is a head, 12 bytes big-endian (signed 64: size; unsigned 16: HTTP status of an error, or 0; unsigned 16:
length of the error), then that error as JSON (`ais.api.errors.ErrorBody`), or the bytes.
"""

import struct
from collections.abc import AsyncIterator

from ais.api.errors import decode_error, encode_error, status_of
from ais.base.errors import AisError, Unreachable

_HEAD = struct.Struct(">qHH")
_ERROR_LEN_MAX = 2000


def head(size: int, error: AisError | None, node: str) -> bytes:
    """What goes before the bytes of an entry, or instead of them."""
    if error is None:
        return _HEAD.pack(size, 0, 0)
    error.args = (f"{node}: {error}"[:_ERROR_LEN_MAX],)
    body = encode_error(error, method="GET", url_path="", remote_addr="", node=node)
    return _HEAD.pack(0, status_of(error), len(body)) + body


class FrameReader:
    """Takes such a stream apart; holds no more than what came at once."""

    def __init__(self, chunks: AsyncIterator[bytes], url: str) -> None:
        self._chunks = chunks
        self._url = url
        self._data = b""
        self._at = 0

    async def head(self) -> tuple[int, AisError | None]:
        """The next entry: its size, or why there is none. Raise `Unreachable` when the stream breaks."""
        size, status, error_len = _HEAD.unpack(await self._exactly(_HEAD.size))
        if not status:
            return size, None
        return 0, decode_error(status, await self._exactly(error_len), self._url)

    async def take(self, most: int) -> bytes:
        """The next bytes, at least one and at most `most`. Raise `Unreachable` when the stream breaks."""
        if self._at == len(self._data):
            await self._more()
        piece = self._data[self._at : self._at + most]
        self._at += len(piece)
        return piece

    async def _exactly(self, count: int) -> bytes:
        while len(self._data) - self._at < count:
            await self._more()
        self._at += count
        return self._data[self._at - count : self._at]

    async def _more(self) -> None:
        chunk = await anext(self._chunks, None)
        if chunk is None:
            raise Unreachable(f"{self._url} ended before all entries of the batch had come")
        self._data = self._data[self._at :] + chunk
        self._at = 0
