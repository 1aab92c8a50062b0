"""Copying a shard so that members can be added behind its own: what is in it stays as it is."""

import gzip
import shutil
import zipfile
from collections.abc import Callable
from typing import IO

import lz4.frame

from ais.shard import reading
from ais.shard.formats import Format
from ais.shard.reading import CHUNK_BYTES, BadShard
from ais.shard.writing import Buffer, Out, ShardWriter, TarWriter, ZipWriter, tar_writer


def copy_members(file: IO[bytes], kind: Format, out: Out) -> ShardWriter:
    """Write the whole content of a shard to `out`; return the writer that stands behind its last member.

    Blocks. Raise `BadShard`, and `OSError` of the file.
    """
    if kind is Format.ZIP:
        with reading.faults_named():
            return _copy_zip(file, ZipWriter(out))
    end = reading.tar_end(file, kind)
    file.seek(0)
    writer = tar_writer(kind, out)
    with reading.faults_named():
        if kind is Format.TGZ:
            with gzip.GzipFile(fileobj=file, mode="rb") as plain:
                _copy(plain.read, end, writer)
        elif kind is Format.LZ4:
            with lz4.frame.LZ4FrameFile(file, mode="rb") as unpacked:
                _copy(unpacked.read, end, writer)
        else:
            _copy(file.read, end, writer)
    return writer


def _copy(read: Callable[[int], Buffer], size: int, writer: TarWriter) -> None:
    while size:
        chunk = read(min(CHUNK_BYTES, size))
        if not chunk:
            raise BadShard("not a whole archive: it became shorter while it was read")
        writer.copy(chunk)
        size -= len(chunk)


def _copy_zip(file: IO[bytes], writer: ZipWriter) -> ZipWriter:
    with reading.open_zip(file) as archive:
        for info in archive.infolist():
            with archive.open(info) as source, writer.archive.open(_same(info), "w") as copy:
                shutil.copyfileobj(source, copy, CHUNK_BYTES)
    return writer


def _same(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """A new entry with the same name and attributes: opening one for writing changes it."""
    new = zipfile.ZipInfo(info.filename, info.date_time)
    new.compress_type, new.external_attr, new.create_system = info.compress_type, info.external_attr, info.create_system
    new.comment, new.file_size = info.comment, info.file_size
    return new
