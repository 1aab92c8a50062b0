"""Objects that grow by appends: a work file that outlives the request, named to the client by a handle.

Handle: `<target id>|<work file id>|<size>`. The size is what the client was told is stored; an append first cuts the
work file to it, so that a repeated request never adds its bytes twice. The object appears at the flush. Work files are
swept at start-up: after a restart the handle is unknown and the client begins again.

An attribute of the work file keeps the CRC-32C of what it held after each of the last appends; the flush compares.

In a bucket that encrypts each append is a stream of its own (`ais.core.sealing`), with the key of the object to be,
which another attribute keeps as it is kept with the object. Sizes are those of the file then.
"""

import contextlib
import errno
import fcntl
import os
import re
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec
from awscrt import checksums as crt

from ais.api import checksum
from ais.base.errors import BadRequest, Busy, ChecksumMismatch, ContentDamaged
from ais.base.units import is_whole
from ais.core import sealing, workfile
from ais.core.meta import ObjectMeta
from ais.core.publish import Condition, Publisher
from ais.core.sealing import Seal, Sealer
from ais.core.workfile import Buffer, Digests, Staged
from ais.env.disk import Disk, write_all
from ais.fs.failures import translate
from ais.fs.locks import WHOLE_FILE

T = TypeVar("T")
MARK = "ap-"
_SUMS_XATTR = "user.ais.append"
_SEAL_XATTR = "user.ais.append-seal"
_SUMS_MAX = 64
"""A request that is repeated later than so many others finds its handle unknown."""
_ID = re.compile(MARK + r"[0-9a-f]{16}-[0-9a-z.]{1,64}")


@dataclass(frozen=True, slots=True)
class Handle:
    """An append handle; `str()` is its wire form."""

    target_id: str
    work_id: str
    size: int

    def __str__(self) -> str:
        return f"{self.target_id}|{self.work_id}|{self.size}"

    @classmethod
    def parse(cls, text: str) -> "Handle":
        """Read the wire form. Raise `BadRequest`."""
        target_id, work_id, size = (*text.split("|"), "", "")[:3]
        if text.count("|") != 2 or not _ID.fullmatch(work_id) or not is_whole(size):
            raise BadRequest(f'invalid append handle "{text[:100]}"')
        return cls(target_id, work_id, int(size))

    @staticmethod
    def new_work_id(key: int, work_name: str) -> str:
        """The work file ID of an object whose digest is `key`."""
        return f"{MARK}{key:016x}-{work_name}"

    def is_for(self, key: int) -> bool:
        """Whether the handle was given for the object whose digest is `key`."""
        return self.work_id.startswith(f"{MARK}{key:016x}-")


class Appender:
    """One append or flush request. Any thread may call, one at a time; `keep`, `flush` or `abort` ends it."""

    def __init__(
        self,
        publisher: Publisher,
        disk: Disk,
        staged: Staged,
        target_id: str,
        sums: list["Sum"] | None = None,
        seal: Seal | None = None,
    ) -> None:
        """`sums`: of a work file kept before, the last one that of its present content; None: the file is new.

        `seal`: of what is encrypted.
        """
        self._publisher = publisher
        self._disk = disk
        self._staged = staged
        self._target_id = target_id
        self._size_before = staged.size
        self._sums = sums or []
        self._crc32c = self._sums[-1].crc32c if self._sums else 0
        self._seal = seal
        self._sealer: Sealer | None = None
        self._content_bytes, self._streams = (self._sums[-1].content, self._sums[-1].streams) if self._sums else (0, 0)
        self._is_new = sums is None
        self._is_open = True
        self._claimed: Digests | None = None

    def expect(self, size: int | None) -> None:
        """Say how many bytes are written next, until `expect` is called again: encrypted content has to know.

        Raise `BadRequest` when it does not, `OutOfSpace` or `DiskFailure`.
        """
        if self._seal is None:
            return
        self._end_stream()
        if size is None:
            cname = self._staged.bck.cname(self._staged.name)
            raise BadRequest(f"{cname} is encrypted: an append needs Content-Length")
        if size:
            self._streams += 1
            self._sealer = Sealer(self._seal.key, size=size, part=self._streams)

    def claim(self, claimed: tuple[str, str]) -> None:
        """What `keep` compares with what this request appends."""
        self._claimed = Digests(checksum.NONE, claimed)

    def write(self, data: Buffer) -> None:
        """Append the next bytes; the buffer is the caller's again on return.

        Raise `OutOfSpace` or `DiskFailure`, which has ended the request as `abort` would.
        """
        if self._claimed is not None:
            self._claimed.update(data)
        if self._seal is None:
            self._write(data)
        elif data:
            assert self._sealer is not None
            self._content_bytes += len(data)
            self._write(self._sealer.seal(data))

    def _end_stream(self) -> None:
        sealer, self._sealer = self._sealer, None
        if sealer is not None:
            self._write(sealer.finish())

    def _write(self, data: Buffer) -> None:
        try:
            write_all(self._disk, self._staged.fd, data)
        except OSError as error:
            self.abort()
            raise translate(error, self._staged.path) from error
        self._crc32c = crt.crc32c(data, self._crc32c)
        self._staged.size += len(data)

    def keep(self) -> str:
        """End the request and keep what was appended; return the handle for the next one.

        Raise `DiskFailure`; `ChecksumMismatch` when it is not what was claimed: nothing of it stays.
        """
        if self._claimed is not None:
            try:
                self._claimed.verify(self._staged.bck, self._staged.name)
            except ChecksumMismatch:
                self.abort()
                raise
        self._end_stream()
        now = Sum(self._staged.size, self._crc32c, self._content_bytes, self._streams)
        sums = [*self._sums, now][-_SUMS_MAX:]
        try:
            if self._is_new and self._seal is not None:
                self._disk.setxattr(self._staged.fd, _SEAL_XATTR, msgspec.msgpack.encode(self._seal.facts))
            self._disk.setxattr(self._staged.fd, _SUMS_XATTR, msgspec.msgpack.encode(sums))
        except OSError as error:
            self.abort()
            raise translate(error, self._staged.path) from error
        self._close()
        return str(Handle(self._target_id, os.path.basename(self._staged.path), self._staged.size))

    def flush(
        self,
        custom: dict[str, str] | None = None,
        claimed: tuple[str, str] | None = None,
        condition: Condition | None = None,
    ) -> ObjectMeta:
        """Make the object of all that was appended. `custom` None keeps the custom metadata of the one it replaces.

        Blocks while the content is read and hashed. Raise as `Writer.commit`; the work file is gone then.
        """
        staged = self._staged
        staged.custom = custom
        self._end_stream()
        try:
            digests = Digests(staged.rules.checksum_kind, claimed if self._seal is None else None)
            found = 0
            for chunk in workfile.read_content(self._disk, staged.fd, staged.size):
                digests.update(chunk)
                found = crt.crc32c(chunk, found)
            if found != self._crc32c:
                cname = staged.bck.cname(staged.name)
                raise ContentDamaged("crc32c", f"{self._crc32c:08x}", f"{found:08x}", f"what was appended to {cname}")
            if self._seal is not None:
                staged.facts = self._sealed_facts(self._seal, claimed)
            self._disk.fdatasync(staged.fd)
            staged.checksum, staged.is_claimed = digests.verify(staged.bck, staged.name), digests.is_claimed
            stored = self._publisher.publish(staged, condition)
        except OSError as error:
            self._discard()
            raise translate(error, staged.path) from error
        except BaseException:
            self._discard()
            raise
        self._close()
        return stored

    def _sealed_facts(self, seal: Seal, claimed: tuple[str, str] | None) -> dict[str, str]:
        """How the content is found again, which is read and compared with what is claimed."""
        staged, size = self._staged, self._content_bytes
        facts = {**seal.facts, sealing.SIZE: str(size)}
        pread = sealing.opener(ObjectMeta(staged.size, facts=facts), staged.fd, seal.key)
        kind = staged.rules.checksum_kind
        digests = Digests(kind, claimed)
        for at in range(0, size, workfile.COPY_BYTES):
            digests.update(pread(workfile.COPY_BYTES, at))
        value = digests.verify(staged.bck, staged.name)
        return facts | ({sealing.CHECKSUM: f"{kind}:{value}"} if value else {})

    def abort(self) -> None:
        """Forget what this request appended. Does nothing after the end."""
        if not self._is_open:
            return
        if self._is_new:
            self._discard()
            return
        with contextlib.suppress(OSError):  # the next append cuts to its handle's size again
            self._disk.ftruncate(self._staged.fd, self._size_before)
        self._close()

    def _discard(self) -> None:
        workfile.discard(self._disk, self._staged.path)
        self._close()

    def _close(self) -> None:
        self._is_open = False
        self._disk.close(self._staged.fd)


class Sum(NamedTuple):
    """What a work file held after an append."""

    size: int
    crc32c: int
    content: int = 0
    """Bytes of content in encrypted streams, of which there are so many."""
    streams: int = 0


class Kept(NamedTuple):
    """A work file opened again; the last of `sums` is that of its content. `seal`: facts of encrypted content."""

    fd: int
    sums: list[Sum]
    seal: dict[str, str]


def reopen(disk: Disk, path: str, size: int) -> Kept | None:
    """Open a kept work file for one request, cut to `size`, positioned at its end.

    None when it is gone, or holds nothing that had this size lately.

    Raise `Busy` while another request has it.
    """
    try:
        fd = disk.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translate(error, path) from error
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, WHOLE_FILE)
        found = disk.fstat(fd)
        kept = (_read_attribute(disk, fd, _SUMS_XATTR, _decoder) or []) if found.st_nlink else []
        sums = [one for one in kept if one.size <= size]
        if sums and sums[-1].size == size:
            if found.st_size != size:
                disk.ftruncate(fd, size)
            os.lseek(fd, size, os.SEEK_SET)
            return Kept(fd, sums, _read_attribute(disk, fd, _SEAL_XATTR, _seals) or {})
    except BlockingIOError:
        disk.close(fd)
        raise Busy("another request is appending with the same handle") from None
    except OSError as error:
        disk.close(fd)
        raise translate(error, path) from error
    disk.close(fd)
    return None


def _read_attribute(disk: Disk, fd: int, name: str, decoder: "msgspec.msgpack.Decoder[T]") -> T | None:
    try:
        return decoder.decode(disk.getxattr(fd, name))
    except msgspec.DecodeError:
        return None
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise


def drop_idle(disk: Disk, directory: str, mtime_ns_min: int) -> None:
    """Remove the append work files of a work directory that were last written before a time. Raise `OSError`."""
    for entry in disk.listdir(directory):
        path = f"{directory}/{entry}"
        with contextlib.suppress(FileNotFoundError):
            if entry.startswith(MARK) and disk.lstat(path).st_mtime_ns < mtime_ns_min:
                disk.unlink(path)


_decoder = msgspec.msgpack.Decoder(list[Sum])
_seals = msgspec.msgpack.Decoder(dict[str, str])
