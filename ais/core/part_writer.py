"""Receiving one part of an upload: bytes go to its file and through the hashers, then `commit` makes the part count."""

import hashlib
from collections.abc import Callable
from typing import Protocol

from awscrt import checksums as crt

from ais.core.upload_records import Part, Upload, ending_upload
from ais.core.workfile import Buffer
from ais.fs.failures import translate


class Taking(Protocol):
    """Where parts are kept: `ais.core.multipart.Uploads`."""

    def write_at(self, fd: int, data: Buffer, offset: int) -> None: ...
    def settle(self, fd: int, offset: int, size: int, *, fsync: bool) -> None: ...
    def record(self, upload: Upload, part: Part, *, fsync: bool) -> None: ...
    def give_up(self, upload: Upload, number: int, file: str) -> None: ...
    def now_ns(self) -> int: ...
    def close(self, fd: int) -> None: ...


class PartWriter:
    """One part being written. Any thread may call, one at a time; `commit` or `abort` ends it."""

    def __init__(
        self, uploads: Taking, upload: Upload, number: int, file: str, offset: int, fd: int, fsync: bool
    ) -> None:
        self._uploads = uploads
        self._upload = upload
        self._number = number
        self._file = file
        self._offset = offset
        self._fd = fd
        self._fsync = fsync
        self.record: Callable[..., None] = uploads.record
        """Makes the part count."""
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = 0
        self._is_open = True
        self.size = 0

    def write(self, data: Buffer) -> None:
        """Take the next bytes; the buffer is the caller's again on return. Raise `OutOfSpace` or `DiskFailure`."""
        self._md5.update(data)
        self._crc32c = crt.crc32c(data, self._crc32c)
        try:
            self._uploads.write_at(self._fd, data, self._offset + self.size)
        except OSError as error:
            raise translate(error, self._upload.directory) from error
        self.size += len(data)

    def commit(self, digests: dict[str, str]) -> Part:
        """Make the part count; return it. Raise `HandleNotFound`, `NotReady`, `DiskFailure`."""
        part = Part(
            self._number,
            self.size,
            self._md5.digest(),
            self._crc32c,
            self._file,
            self._offset,
            self._uploads.now_ns(),
            digests,
        )
        try:
            with ending_upload(self._upload):
                self._uploads.settle(self._fd, self._offset, self.size, fsync=self._fsync)
            self.record(self._upload, part, fsync=self._fsync)
        except BaseException:
            self.abort()
            raise
        self._close()
        return part

    def abort(self) -> None:
        """Forget the part. Does nothing after the end."""
        if self._is_open:
            self._uploads.give_up(self._upload, self._number, self._file)
            self._close()

    def _close(self) -> None:
        self._is_open = False
        self._uploads.close(self._fd)
