"""Reading shards: one pass over the members of an archive, with memory that does not depend on what the archive claims.

Members are regular files; directories, links and devices are passed over, and so are names that are absolute or climb
(`..`): whoever extracts what we list must not write outside of where he meant to. Of equal names the first counts.
"""

import contextlib
import errno
import gzip
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, Protocol

import lz4.frame

from ais.base.errors import BadRequest
from ais.shard.formats import Format

CHUNK_BYTES = 1 << 20
EXTENSION_BYTES_MAX = 1 << 20
"""Of a tar header's extension (long name, pax records): it is held in memory."""
DIRECTORY_BYTES_MAX = 64 << 20
"""Of a zip's central directory, likewise."""
_BLOCK = 512
_ZIP_LOCAL_HEADER = struct.Struct("<26xHH")
_FAULTS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,  # lz4, and a zip member that is encrypted
    NotImplementedError,
    UnicodeError,
    ValueError,
    OverflowError,
)


class BadShard(BadRequest):
    """The content is not an archive of the format it is taken for, or a damaged one."""


class Member(NamedTuple):
    """One file in an archive.

    `offset`: where its bytes lie in the archive as they are, None when they are compressed or scattered.
    """

    name: str
    size: int
    offset: int | None


Content = Callable[[], Iterator[bytes]]
"""The bytes of a member; to be taken before the next member is."""


def clean_name(name: str) -> str:
    """A member's name as requests give it: without a leading `/` or `./`. Empty: not a name that may be served."""
    while name.startswith(("/", "./")):
        name = name[1:] if name[0] == "/" else name[2:]
    return "" if "\0" in name or ".." in name.split("/") or name.endswith("/") else name


def members(file: IO[bytes], kind: Format) -> Iterator[tuple[Member, Content]]:
    """All members from the start of a seekable file. Blocks. Raise `BadShard`, and `OSError` of the file."""
    if kind is Format.ZIP:
        return _translated(_zip_members(file))
    return _translated(_tar_members(file, kind))


def find(file: IO[bytes], kind: Format, name: str) -> tuple[Member, Content] | None:
    """The first member of that name; reads no further than that. Raise as `members`."""
    wanted, found = clean_name(name), members(file, kind)
    for member, content in found:
        if member.name == wanted:
            return member, _Kept(found, content)
    return None


class _Kept:
    """The content of a member that was found; it keeps the archive open, which the end of the search would close."""

    def __init__(self, archive: Iterator[tuple[Member, Content]], content: Content) -> None:
        self._archive = archive
        self._content = content

    def __call__(self) -> Iterator[bytes]:
        yield from self._content()


def _translated(found: Iterator[tuple[Member, Content]]) -> Iterator[tuple[Member, Content]]:
    while True:
        with faults_named():
            one = next(found, None)
        if one is None:
            return
        yield one[0], _guarded(one[1])


def _guarded(content: Content) -> Content:
    def guarded() -> Iterator[bytes]:
        chunks = content()
        while True:
            with faults_named():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    return guarded


@contextlib.contextmanager
def faults_named() -> Iterator[None]:
    """Turn what the libraries raise for a bad archive into `BadShard`."""
    try:
        yield
    except BadRequest:
        raise
    except _FAULTS as error:
        raise BadShard(f"not a whole archive: {error or type(error).__name__}") from None


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class _Bounded:
    """A file that refuses to be read in pieces as large as an archive's header may claim."""

    def __init__(self, file: _Readable, limit: int) -> None:
        self._file = file
        self._limit = limit
        self.last = b""
        """The block that was read last: where a tar ends, it tells whether it should."""

    def read(self, size: int = -1) -> bytes:
        if size > self._limit:
            raise BadShard(f"not a whole archive: a header of {size} bytes (at most {self._limit})")
        data = self._file.read(self._limit + 1 if size < 0 else size)
        if len(data) > self._limit:
            raise BadShard(f"not a whole archive: a header of more than {self._limit} bytes")
        if size == _BLOCK:
            self.last = data
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise BadShard("not a whole archive: it says of something that it lies before its beginning") from None

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def tar_end(file: IO[bytes], kind: Format) -> int:
    """Where the members of a tar end, in bytes of the unpacked archive. Blocks; raise as `members`."""
    with faults_named(), _Tar(file, kind) as tar:
        while tar.next() is not None:
            pass
        return tar.end


class _Tar:
    """The headers of a tar that may be compressed, one after the other."""

    def __init__(self, file: IO[bytes], kind: Format) -> None:
        self._opened = contextlib.ExitStack()
        plain: _Readable = file
        if kind is Format.TGZ:
            plain = self._opened.enter_context(gzip.GzipFile(fileobj=file, mode="rb"))
        elif kind is Format.LZ4:
            plain = self._opened.enter_context(lz4.frame.LZ4FrameFile(file, mode="rb"))
        self._file = _Bounded(plain, max(CHUNK_BYTES, EXTENSION_BYTES_MAX))
        self.archive = tarfile.TarFile(fileobj=self._file, mode="r", errorlevel=2)  # type: ignore[arg-type]

    @property
    def end(self) -> int:
        """Where the last header that was returned, and its content, end."""
        return int(self.archive.offset)

    def next(self) -> tarfile.TarInfo | None:
        """The next header; None at the end mark or the end of the file. Raise `BadShard` at anything else."""
        info: tarfile.TarInfo | None = self.archive.next()
        self.archive.members = []  # type: ignore[attr-defined]  # it keeps all it has seen
        last = self._file.last
        if info is None and (len(last) % _BLOCK or any(last)):
            raise BadShard("not a whole archive: it ends, or goes on with what is no header, before its end mark")
        return info

    def __enter__(self) -> "_Tar":
        return self

    def __exit__(self, *_: object) -> None:
        self.archive.close()
        self._opened.close()


def _tar_members(file: IO[bytes], kind: Format) -> Iterator[tuple[Member, Content]]:
    with _Tar(file, kind) as tar:
        while (info := tar.next()) is not None:
            name = clean_name(info.name) if info.isreg() else ""
            if name:
                is_plain = kind is Format.TAR and not info.issparse()
                yield Member(name, info.size, info.offset_data if is_plain else None), _tar_content(tar.archive, info)


def _tar_content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Content:
    def content() -> Iterator[bytes]:
        file = tar.extractfile(info)
        if file is None:
            raise BadShard(f"{info.name} is not a file")
        left = info.size
        while left:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise BadShard(f"not a whole archive: {info.name} is cut short")
            left -= len(chunk)
            yield chunk

    return content


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """A zip whose directory is read."""
    return zipfile.ZipFile(_Bounded(file, DIRECTORY_BYTES_MAX))


def _zip_members(file: IO[bytes]) -> Iterator[tuple[Member, Content]]:
    with open_zip(file) as archive:
        for info in archive.infolist():
            name = "" if info.is_dir() or not _is_regular(info) else clean_name(info.filename)
            if name:
                is_plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
                offset = _zip_offset(file, info) if is_plain else None
                yield Member(name, info.file_size, offset), _zip_content(archive, info)


def _is_regular(info: zipfile.ZipInfo) -> bool:
    """Whether Unix attributes, if there are any, say that it is a file: a zip may hold links."""
    kind = info.external_attr >> 16 & 0o170000
    return kind in (0, 0o100000)


def _zip_offset(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    if info.header_offset < 0:
        raise BadShard(f"not a whole archive: {info.filename} lies before its beginning")
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise BadShard(f"not a whole archive: {info.filename} has no header of its own")
    name_len, extra_len = _ZIP_LOCAL_HEADER.unpack(header)
    return info.header_offset + 30 + int(name_len) + int(extra_len)


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Content:
    def content() -> Iterator[bytes]:
        left = info.file_size
        with archive.open(info) as file:
            while left:
                chunk = file.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise BadShard(f"not a whole archive: {info.filename} is cut short")
                left -= len(chunk)
                yield chunk

    return content
