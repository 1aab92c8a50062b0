"""Bringing the parts of an upload into one file that has no writer, and comparing it with what was promised.

The upload's `data` file becomes the object when every part that lies in it belongs there and nobody is writing into it:
whoever does holds a read lock on it (`share`), and who makes the object of it a write lock. Otherwise the listed parts
are copied to a file of their own, so that a part which is still on its way, or was left out, ends up elsewhere.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from awscrt import checksums as crt

from ais.api import checksum
from ais.base.errors import PartDamaged
from ais.core import workfile
from ais.core.spots import Spot
from ais.core.upload_records import DATA, WHOLE, Part, Upload
from ais.core.workfile import Digests
from ais.env.disk import Disk
from ais.fs.locks import WHOLE_FILE

_SHARED = struct.Struct("hhqqi4x").pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
_CANNOT_COPY = (errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Assembled(NamedTuple):
    """A file that holds the object, perhaps followed by bytes to cut off; whoever has it closes `fd`."""

    path: str
    fd: int
    ino: int


def share(fd: int) -> bool:
    """Say that this descriptor will be written to; False when the file is becoming an object: write elsewhere."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _SHARED)
    except BlockingIOError:
        return False
    return True


def assemble(
    disk: Disk, upload: Upload, spot: Spot, parts: Sequence[Part], stored: Sequence[Part], spare: str
) -> Assembled:
    """Bring `parts` together, in their order, on the mountpath of `spot`; `stored` are all parts there are.

    `spare` is an unused name among that mountpath's work files. Raise `OSError`.
    """
    placed, offset = [], 0
    for part in parts:
        placed.append((part, offset))
        offset += part.size
    is_here = upload.directory.startswith(f"{os.path.dirname(spot.work)}/")
    belonging = {part.number for part, at in placed if (part.file, part.offset) == (DATA, at)}
    in_data = {part.number for part in stored if part.file == DATA}
    if is_here and in_data and in_data == belonging:
        fd = disk.open(f"{upload.directory}/{DATA}", os.O_RDWR | os.O_CLOEXEC)
        try:
            if _seize(fd):
                for part, at in placed:
                    if part.file != DATA:
                        _copy(disk, upload, part, fd, at)
                return Assembled(f"{upload.directory}/{DATA}", fd, disk.fstat(fd).st_ino)
        except BaseException:
            disk.close(fd)
            raise
        disk.close(fd)
    path = f"{upload.directory}/{WHOLE}" if is_here else f"{spot.work}/{spare}"
    fd = disk.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        for part, at in placed:
            _copy(disk, upload, part, fd, at)
        return Assembled(path, fd, disk.fstat(fd).st_ino)
    except BaseException:
        workfile.discard(disk, path)
        disk.close(fd)
        raise


def compare(disk: Disk, fd: int, parts: Sequence[Part], kind: str, upload: Upload) -> str:
    """Read the whole object and compare each part with what was acknowledged; return its checksum of that kind.

    Raise `PartDamaged`, `OSError`.
    """
    digests = Digests(checksum.NONE if kind == checksum.CRC32C else kind, None)
    offset = combined = 0
    for part in parts:
        found, end = 0, offset + part.size
        while offset < end:
            chunk = disk.pread(fd, min(workfile.COPY_BYTES, end - offset), offset)
            if not chunk:
                raise PartDamaged(upload.bck.cname(upload.info.name), part.number)
            found = crt.crc32c(chunk, found)
            digests.update(chunk)
            offset += len(chunk)
        if found != part.crc32c:
            raise PartDamaged(upload.bck.cname(upload.info.name), part.number)
        combined = crt.combine_crc32c(combined, found, part.size)
    if kind == checksum.CRC32C:
        return f"{combined:08x}"
    return digests.verify(upload.bck, upload.info.name)


def read(disk: Disk, upload: Upload, parts: Sequence[Part]) -> Iterator[bytes]:
    """The content of `parts`, in their order, compared with what was acknowledged; files of theirs stay as they are.

    Raise `PartDamaged`, `OSError`.
    """
    for part in parts:
        fd, found = disk.open(f"{upload.directory}/{part.file}", os.O_RDONLY | os.O_CLOEXEC), 0
        try:
            for chunk in workfile.read_content(disk, fd, part.size, part.offset):
                found = crt.crc32c(chunk, found)
                yield chunk
        finally:
            disk.close(fd)
        if found != part.crc32c:
            raise PartDamaged(upload.bck.cname(upload.info.name), part.number)


def _seize(fd: int) -> bool:
    """Whether nobody writes into the file, nor begins to while `fd` is open."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, WHOLE_FILE)
    except BlockingIOError:
        return False
    return True


def _copy(disk: Disk, upload: Upload, part: Part, target: int, offset: int) -> None:
    source = disk.open(f"{upload.directory}/{part.file}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        done = 0
        while done < part.size:
            count = _copy_some(disk, source, part.offset + done, target, offset + done, part.size - done)
            if not count:
                raise PartDamaged(upload.bck.cname(upload.info.name), part.number)
            done += count
    finally:
        disk.close(source)


def _copy_some(disk: Disk, source: int, start: int, target: int, offset: int, count: int) -> int:
    try:
        return disk.copy_file_range(source, target, count, start, offset)
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
    chunk = memoryview(disk.pread(source, min(workfile.COPY_BYTES, count), start))
    workfile.write_at(disk, target, chunk, offset)
    return len(chunk)
