"""The content of an open object for who reads it in pieces, also of an encrypted one. Reading blocks."""

import io
import os
from collections.abc import Callable
from functools import partial
from typing import IO, Any

from ais.core import sealing
from ais.core.store import OpenObject

_BUFFER_BYTES = 4 * sealing.SEGMENT_BYTES


def pread_of(opened: OpenObject, fd: int | None = None) -> Callable[[int, int], bytes]:
    """What reads a range, (size, offset), as `os.pread` does; of another descriptor of the same file when one is given.

    It raises `CorruptMetadata` for encrypted content that is not as it was written.
    """
    fd = opened.fd if fd is None else fd
    return partial(os.pread, fd) if opened.key is None else sealing.opener(opened.meta, fd, opened.key)


def file_of(opened: OpenObject, fd: int | None = None) -> IO[bytes]:
    """The content as a file that stands at its beginning. It closes a descriptor that is given, not the object's."""
    if opened.key is not None:
        return io.BufferedReader(_Sealed(opened, opened.key, fd), _BUFFER_BYTES)
    file = os.fdopen(opened.fd if fd is None else fd, "rb", closefd=fd is not None)
    file.seek(0)  # what was put together of slices was written through this descriptor
    return file


class _Sealed(io.RawIOBase):
    """A file of what is decrypted on the way."""

    def __init__(self, opened: OpenObject, key: bytes, fd: int | None) -> None:
        self._fd = fd
        self._size = sealing.size_of(opened.meta)
        self._pread = sealing.opener(opened.meta, opened.fd if fd is None else fd, key)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._pread(len(view), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        super().close()
