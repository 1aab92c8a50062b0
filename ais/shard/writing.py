"""Writing shards: members one after the other, as a stream of bytes."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Protocol

import lz4.frame

from ais.base.errors import BadRequest
from ais.shard.formats import Format

Buffer = bytes | memoryview
Out = Callable[[Buffer], None]
_BLOCK = 512
_END_BYTES = 2 * _BLOCK
_NAME_LEN_MAX = 100
_SIZE_LIMIT = 8**11
_REST = b"0" + bytes(_NAME_LEN_MAX) + b"ustar  \0" + bytes(247)
_REST_SUM = sum(_REST) + 8 * ord(" ")
"""A header's checksum is that of the block with spaces in the checksum's place."""
_GZIP_WBITS = 31
_GZIP_LEVEL = 1
"""Shards hold mostly what is compressed already (images): the fastest level."""


class ShardWriter(Protocol):
    """Makes an archive of members of known sizes. Each member: `begin`, its bytes in pieces by `write`, `end`."""

    count: int
    """Members begun by this writer."""

    def begin(self, name: str, size: int, mtime_s: int) -> None: ...
    def write(self, data: Buffer) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None:
        """Write what ends the archive."""
        ...


def shard_writer(kind: Format, out: Out) -> ShardWriter:
    """A writer of that format that gives its bytes to `out`."""
    return ZipWriter(out) if kind is Format.ZIP else tar_writer(kind, out)


def tar_writer(kind: Format, out: Out) -> "TarWriter":
    """A writer of a tar, compressed as the format says."""
    return TarWriter(layer(kind, out))


def layer(kind: Format, out: Out) -> "Layer":
    """What compresses a tar as the format says."""
    layers: dict[Format, Callable[[Out], Layer]] = {Format.TGZ: _Gzip, Format.LZ4: _Lz4}
    return layers.get(kind, _Plain)(out)


class Layer(Protocol):
    """A stream of bytes on its way out."""

    def write(self, data: Buffer) -> None: ...
    def close(self) -> None: ...


class _Plain:
    def __init__(self, out: Out) -> None:
        self.write = out

    def close(self) -> None:
        pass


class _Gzip:
    def __init__(self, out: Out) -> None:
        self._out = out
        self._compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)

    def write(self, data: Buffer) -> None:
        if packed := self._compressor.compress(data):
            self._out(packed)

    def close(self) -> None:
        self._out(self._compressor.flush())


class _Lz4:
    def __init__(self, out: Out) -> None:
        self._out = out
        self._compressor = lz4.frame.LZ4FrameCompressor(content_checksum=True)
        out(self._compressor.begin())

    def write(self, data: Buffer) -> None:
        if packed := self._compressor.compress(data):
            self._out(packed)

    def close(self) -> None:
        self._out(self._compressor.flush())


class TarWriter:
    """A tar, through a layer that may compress it."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._left = self._padding = self.count = 0

    def copy(self, data: Buffer) -> None:
        """Write whole members as another tar has them."""
        self._layer.write(data)

    def begin(self, name: str, size: int, mtime_s: int) -> None:
        self.count += 1
        self._layer.write(tar_header(name, size, mtime_s))
        self._left, self._padding = size, -size % _BLOCK

    def write(self, data: Buffer) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise BadRequest("the content is longer than announced")
        self._layer.write(data)

    def end(self) -> None:
        if self._left:
            raise BadRequest("the content is shorter than announced")
        if self._padding:
            self._layer.write(bytes(self._padding))

    def close(self) -> None:
        self._layer.write(bytes(_END_BYTES))
        self._layer.close()


def tar_header(name: str, size: int, mtime_s: int) -> bytes:
    """The header blocks of a file in a tar."""
    raw = name.encode()
    if len(raw) <= _NAME_LEN_MAX and size < _SIZE_LIMIT and 0 <= mtime_s < _SIZE_LIMIT:
        return _plain_header(raw, size, mtime_s)
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, mtime_s, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _plain_header(name: bytes, size: int, mtime_s: int) -> bytes:
    """What `tarfile` makes of it, ten times as fast: a batch has thousands of small members."""
    start = b"%b0000644\0000000000\0000000000\0%011o\0%011o\0" % (name.ljust(_NAME_LEN_MAX, b"\0"), size, mtime_s)
    checksum = sum(start) + _REST_SUM
    return b"%b%06o\0 %b" % (start, checksum, _REST)


class _Sink:
    """The file that `zipfile` writes to; it cannot seek."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self.mode = "wb"

    def write(self, data: bytes, /) -> int:
        self._out(data)
        return len(data)

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass


class _Archive(zipfile.ZipFile):
    """One that is given up is given up: the library would write its end when the collector comes by."""

    def __del__(self) -> None:
        pass


class ZipWriter:
    """A zip whose members are stored as they are, so that one can be read without unpacking it."""

    def __init__(self, out: Out) -> None:
        self.archive = _Archive(_Sink(out), "w", zipfile.ZIP_STORED)
        self._member: IO[bytes] | None = None
        self._left = self.count = 0

    def begin(self, name: str, size: int, mtime_s: int) -> None:
        self.count += 1
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o100644 << 16
        info.file_size = size
        self._member = self.archive.open(info, "w", force_zip64=size >= zipfile.ZIP64_LIMIT)
        self._left = size

    def write(self, data: Buffer) -> None:
        assert self._member is not None
        self._left -= len(data)
        if self._left < 0:
            raise BadRequest("the content is longer than announced")
        self._member.write(data)

    def end(self) -> None:
        assert self._member is not None
        if self._left:
            raise BadRequest("the content is shorter than announced")
        self._member.close()

    def close(self) -> None:
        self.archive.close()
