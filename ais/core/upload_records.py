"""What is written down about an upload in parts: how it began, each part, and how it ends.

A record is the 4 bytes `AISU`, the format version 1 and a msgpack array, and is replaced as a whole by a rename.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from ais.api.bucket import Bck
from ais.base.errors import CorruptMetadata, HandleNotFound
from ais.core import workfile
from ais.core.meta import ObjectMeta
from ais.core.spots import Spot
from ais.env.disk import Disk, write_all
from ais.fs import layout
from ais.fs.failures import disk_failures

T = TypeVar("T")
INFO = layout.UPLOAD_INFO
PART = ".part"
ENDING = "completing"
DATA, WHOLE = "data", "whole"
_HEADER = b"AISU\x01"
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class UploadInfo(msgspec.Struct, frozen=True, array_like=True):
    """What an upload was started with. `details` belong to the caller; `created_ns` is Unix time."""

    name: str
    created_ns: int
    custom: dict[str, str] = {}
    details: dict[str, str] = {}


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One part as stored; `file` and `offset` say where. `digests` belong to the caller."""

    number: int
    size: int
    md5: bytes
    crc32c: int
    file: str
    offset: int
    modified_ns: int
    digests: dict[str, str] = {}


class Ending(msgspec.Struct, frozen=True, array_like=True):
    """The object that is about to be made: of which parts, what it will be, and the file that gets its name.

    Once that file has left its place, the object was made and the upload is over, whatever else is still there.
    """

    parts: tuple[Part, ...]
    meta: ObjectMeta
    path: str
    ino: int


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload and the directory it lives in; `ending` when it is over but for the removal of that directory."""

    id: str
    bck: Bck
    info: UploadInfo
    directory: str
    spot: Spot
    require_disk: Callable[[], None]
    """Raises `NotReady` when a file that is missing may lie on a disk that is not there."""
    ending: Ending | None = None


def write(disk: Disk, directory: str, name: str, value: msgspec.Struct, aside: str, *, fsync: bool) -> None:
    """Write a record under the unused name `aside` and rename it; durable when `fsync`. Raise `OSError`."""
    fd = disk.open(f"{directory}/{aside}", _CREATE, 0o644)
    try:
        write_all(disk, fd, _HEADER + msgspec.msgpack.encode(value))
        if fsync:
            disk.fsync(fd)
    finally:
        disk.close(fd)
    disk.rename(f"{directory}/{aside}", f"{directory}/{name}")
    if fsync:
        layout.fsync_directory(disk, directory)


def read(disk: Disk, directory: str, name: str, kind: type[T]) -> T | None:
    """A record; None when there is none, or an empty one: a power loss took it before it was on the disk.

    Raise `CorruptMetadata`, `OSError`.
    """
    path = f"{directory}/{name}"
    try:
        fd = disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        body = b"".join(workfile.read_content(disk, fd, disk.fstat(fd).st_size))
    finally:
        disk.close(fd)
    if not body:
        return None
    try:
        if body[:5] != _HEADER:
            raise CorruptMetadata(f"{path} is not the record of an upload")
        return msgspec.msgpack.decode(body[5:], type=kind)
    except msgspec.DecodeError as error:
        raise CorruptMetadata(f"{path} cannot be decoded: {error}") from None


@contextlib.contextmanager
def ending_upload(upload: Upload) -> Iterator[None]:
    """Translate the `OSError` that leaves the block: what is missing went when the upload was completed or aborted."""
    with disk_failures(upload.directory):
        try:
            yield
        except FileNotFoundError:
            raise gone(upload) from None


def gone(upload: Upload) -> HandleNotFound:
    """What to raise for an upload that is over. Raise `NotReady` when its disk is what is not there."""
    upload.require_disk()
    return HandleNotFound(f'upload "{upload.id}" of {upload.bck.cname(upload.info.name)} does not exist any more')
