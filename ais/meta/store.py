"""Node and cluster metadata on disk: small files, replaced as a whole, never half written.

Format (big endian), described in docs/on_disk_layout.md: 8 bytes kind (`ais.smap`, ...), u16 format version, u64 term,
u32 payload length, u64 XXH64 of all that and the payload, then the payload (JSON). For the term see `ais.meta.stamp`.
"""

import errno
import os
import struct
from typing import NamedTuple

import xxhash

from ais.base.errors import CorruptMetadata, DiskFailure
from ais.env.disk import Disk, write_all

_HEADER = struct.Struct(">8sHQI")
_CHECKSUM = struct.Struct(">Q")
_START = _HEADER.size + _CHECKSUM.size
FORMAT_VERSION = 1
PAYLOAD_BYTES_MAX = 1 << 30

SMAP = ".ais.smap"
BMD = ".ais.bmd"
CONFIG = ".ais.conf"
VOTE = ".ais.vote"
VMD = ".ais.vmd"
KEYS = ".ais.keys"
SECRET = ".ais.secret"  # noqa: S105 - a file name

_KINDS = {
    SMAP: b"ais.smap",
    BMD: b"ais.bmd\0",
    CONFIG: b"ais.conf",
    VOTE: b"ais.vote",
    VMD: b"ais.vmd\0",
    KEYS: b"ais.keys",
    SECRET: b"ais.secr",
}
_MODES = {SECRET: 0o600}
"""Permissions of the files that not everybody may read."""


class Record(NamedTuple):
    """What a file holds: the term it was written in and the encoded value."""

    term: int
    payload: bytes


def encode(file_name: str, record: Record) -> bytes:
    """The bytes of the file `file_name` for a record."""
    header = _HEADER.pack(_KINDS[file_name], FORMAT_VERSION, record.term, len(record.payload))
    return header + _CHECKSUM.pack(xxhash.xxh64_intdigest(header + record.payload)) + record.payload


def decode(file_name: str, content: bytes, path: str) -> Record:
    """The record in a file's bytes. Raise `CorruptMetadata` naming `path`."""
    if len(content) < _START:
        raise CorruptMetadata(f"{path} is truncated: {len(content)} bytes")
    kind, version, term, length = _HEADER.unpack_from(content)
    (checksum,) = _CHECKSUM.unpack_from(content, _HEADER.size)
    payload = content[_START:]
    if kind != _KINDS[file_name]:
        raise CorruptMetadata(f"{path} is not a {file_name} file of ais")
    if version != FORMAT_VERSION:
        raise CorruptMetadata(
            f"{path} has format version {version}, this ais reads {FORMAT_VERSION}: start the version that wrote it"
        )
    if length != len(payload) or checksum != xxhash.xxh64_intdigest(content[: _HEADER.size] + payload):
        raise CorruptMetadata(f"{path} is damaged: its checksum does not match")
    return Record(term, payload)


def is_marked(disk: Disk, directory: str) -> bool:
    """Whether a directory is a mountpath of ours: it has volume metadata. The directory of a lost disk has none."""
    try:
        disk.lstat(os.path.join(directory, VMD))
    except OSError:
        return False
    return True


def save(
    disk: Disk, directories: tuple[str, ...], file_name: str, record: Record, *, only_marked: bool = False
) -> None:
    """Write the file into each directory; on return all copies are durable.

    A directory that fails does not stop the others; with `only_marked`, one without volume metadata is left alone.
    Raise `DiskFailure` when not one copy could be written.
    """
    content = encode(file_name, record)
    failures: list[OSError] = []
    for directory in directories:
        try:
            with disk.entered(directory) as root:
                if only_marked and not is_marked(disk, root):
                    raise FileNotFoundError(errno.ENOENT, "its disk is not there", directory)
                _replace(disk, root, file_name, content)
        except OSError as error:
            failures.append(error)
    if len(failures) == len(directories):
        raise DiskFailure(f"cannot write {file_name}: {failures[0] if failures else 'no directory to write to'}")


def load(disk: Disk, directories: tuple[str, ...], file_name: str) -> list[Record]:
    """All readable copies, in the order of the directories; empty when the file is nowhere.

    Raise `CorruptMetadata` when there are copies but not one is intact: the caller must not take that for "none".
    """
    records: list[Record] = []
    corrupt: CorruptMetadata | None = None
    for directory in directories:
        path = os.path.join(directory, file_name)
        try:
            records.append(decode(file_name, _read(disk, path), path))
        except FileNotFoundError:
            continue
        except OSError as error:
            corrupt = CorruptMetadata(f"cannot read {path}: {error}")
        except CorruptMetadata as error:
            corrupt = error
    if corrupt and not records:
        raise corrupt
    return records


def remove(disk: Disk, directory: str, file_name: str) -> None:
    """Remove the copy in a directory, if there is one. Raise `DiskFailure`."""
    try:
        disk.unlink(os.path.join(directory, file_name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise DiskFailure(f"cannot remove {directory}/{file_name}: {error}") from error


def _replace(disk: Disk, directory: str, file_name: str, content: bytes) -> None:
    path = os.path.join(directory, file_name)
    temporary = path + ".tmp"
    fd = disk.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODES.get(file_name, 0o644))
    try:
        write_all(disk, fd, content)
        disk.fsync(fd)
    finally:
        disk.close(fd)
    disk.rename(temporary, path)
    directory_fd = disk.open(directory, os.O_RDONLY)
    try:
        disk.fsync(directory_fd)
    finally:
        disk.close(directory_fd)


def _read(disk: Disk, path: str) -> bytes:
    fd = disk.open(path, os.O_RDONLY)
    try:
        size = disk.fstat(fd).st_size
        if size > PAYLOAD_BYTES_MAX:
            raise CorruptMetadata(f"{path} is too large for metadata: {size} bytes")
        parts = []
        while chunk := disk.read(fd, 1 << 20):
            parts.append(chunk)
        return b"".join(parts)
    finally:
        disk.close(fd)


def forget(disk: Disk, directory: str) -> None:
    """Remove all cluster metadata in a directory. Raise `DiskFailure`."""
    for name in _KINDS:
        try:
            disk.unlink(f"{directory}/{name}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DiskFailure(f"{directory}/{name} cannot be removed: {error.strerror}") from error
