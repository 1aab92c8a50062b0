"""Uploads in parts: parts arrive in any order, side by side; `complete` makes the object in one step.

An upload is a directory `%mp/<upload ID>` beside the bucket's objects, on the mountpath that owns the object:

    upload          what was said at the start (`UploadInfo`)
    data            the object in the making: part N at offset (N-1) * slot
    slot            a symbolic link whose target is the size of a slot in bytes: that of the first part that came
    <N>.slot        somebody writes, or wrote, part N into `data`: nobody else may
    <N>.part        the record of part N (`Part`): its size and digests, and the file that holds it
    <N>.<serial>    a part that does not fit its slot, came a second time, or came without a size

Clients send parts of one size, the last one smaller. Then every part lies where it belongs in the object, and
completing is a rename, whatever the size. Parts that lie elsewhere are copied into place first. A part counts from the
rename of its record on: what was cut off, or written by a process that was killed, is bytes nobody looks at.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from awscrt import checksums as crt

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import BucketNotFound, CorruptMetadata, HandleNotFound
from ais.base.ids import new_id
from ais.core import workfile
from ais.core.meta import ObjectMeta, run_lengths
from ais.core.publish import Condition, Publisher
from ais.core.spots import Spot, SpotTable
from ais.core.workfile import Buffer, Digests, Staged, WriteRules
from ais.env import Env
from ais.fs import layout
from ais.fs.failures import disk_failures, translate
from ais.fs.locks import WHOLE_FILE
from ais.fs.volume import Volume

T = TypeVar("T")
_INFO = layout.UPLOAD_INFO
_DATA, _SLOT, _PART = "data", "slot", ".part"
_HEADER = b"AISU\x01"
_READ_WRITE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_COMBINED = ("xxhash", "xxhash2", "crc32c")
"""Buckets with one of these kinds get the CRC-32C of a multipart object: it follows from the parts without reading."""


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


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished upload and the directory it lives in."""

    id: str
    bck: Bck
    info: UploadInfo
    directory: str
    spot: Spot


class Uploads:
    """All unfinished uploads of one target. Every method makes system calls: call them from the mountpath's pool."""

    def __init__(self, volume: Volume, env: Env, spots: SpotTable, publisher: Publisher) -> None:
        self._volume = volume
        self._disk = env.disk
        self._clock = env.clock
        self._rng = env.rng
        self._spots = spots
        self._publisher = publisher

    def create(self, bck: Bck, name: str, custom: dict[str, str], details: dict[str, str]) -> str:
        """Start an upload; return its ID. Raise `BucketNotFound`, `OutOfSpace`, `DiskFailure`.

        IDs begin with the time, so that the uploads of one object sort by their start.
        """
        spot = self._spots.find(bck, name)
        spot.mountpath.check_room(0, self._volume.limits.out_of_space_pct)
        created_ns = self._clock.now_ns()
        upload_id = f"{created_ns:016x}{new_id(self._rng)}{new_id(self._rng)}"
        root = _uploads_path(spot)
        with disk_failures(root):
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                self._disk.mkdir(root)
            try:
                self._disk.mkdir(f"{root}/{upload_id}")
            except FileNotFoundError:
                raise BucketNotFound(bck.cname()) from None
            info = UploadInfo(name, created_ns, custom, details)
            self._write_record(f"{root}/{upload_id}", _INFO, info)
        return upload_id

    def find(self, bck: Bck, name: str, upload_id: str) -> Upload:
        """An unfinished upload of that object. Raise `HandleNotFound`, `CorruptMetadata`, `DiskFailure`."""
        spot = self._spots.find(bck, name)
        if upload_id.isascii() and upload_id.isalnum():
            home = f"{_uploads_path(spot)}/{upload_id}"
            for directory in (home, *(spot.on(one, home) for one in self._volume.view.available)):
                with disk_failures(directory):
                    info = self._read_record(directory, _INFO, UploadInfo)
                if info is not None and info.name == name:
                    return Upload(upload_id, bck, info, directory, spot)
        raise HandleNotFound(f'upload "{upload_id[:64]}" of {bck.cname(name)} does not exist')

    def part_writer(self, upload: Upload, number: int, size: int | None) -> "PartWriter":
        """Begin to write part `number` of `size` bytes, None when unknown. Raise `OutOfSpace`, `HandleNotFound`."""
        upload.spot.mountpath.check_room(size or 0, self._volume.limits.out_of_space_pct)
        try:
            with _failures(upload):
                placed = self._claim_slot(upload, number, size) if size else None
                return PartWriter(self, upload, number, *(placed or self._own_file(upload, number)))
        except BucketNotFound:
            raise _gone(upload) from None

    def parts(self, upload: Upload) -> dict[int, Part]:
        """The parts that are complete, by number, in order. Raise `HandleNotFound` and as `find`."""
        with _failures(upload):
            names = [entry for entry in self._disk.listdir(upload.directory) if entry.endswith(_PART)]
            found = [self._read_record(upload.directory, name, Part) for name in names]
        return {part.number: part for part in sorted(filter(None, found), key=lambda part: part.number)}

    def complete(
        self,
        upload: Upload,
        parts: Sequence[Part],
        rules: WriteRules,
        custom: dict[str, str],
        condition: Condition | None = None,
        facts: dict[str, str] | None = None,
    ) -> ObjectMeta:
        """Make the object of `parts`, in their order; return its metadata. Of several callers one wins.

        Raise `HandleNotFound` when it was completed or aborted meanwhile, what `condition` raises (the upload stays as
        it was), and as `Writer.commit`.
        """
        with disk_failures(upload.directory), self._exclusive(upload):
            path = self._assemble(upload, parts)
            size = sum(part.size for part in parts)
            fd = self._disk.open(path, _READ_WRITE, 0o644)
            kind = "crc32c" if rules.checksum_kind in _COMBINED else rules.checksum_kind
            staged = Staged(
                upload.bck,
                upload.info.name,
                msgspec.structs.replace(rules, checksum_kind=kind),
                upload.spot,
                path,
                fd,
                custom,
                size=size,
                runs=run_lengths([part.size for part in parts]),
                facts=facts or {},
            )
            try:
                self._disk.ftruncate(fd, size)
                staged.checksum = self._checksum(kind, fd, parts, size, upload)
                stored = self._publisher.publish(staged, condition)
            finally:
                self._disk.close(staged.fd)
            self._remove(upload)
        return stored

    def abort(self, upload: Upload) -> None:
        """Forget an upload and its parts. Raise `HandleNotFound` when it is gone already."""
        with disk_failures(upload.directory), self._exclusive(upload):
            self._remove(upload)

    def list(self, bck: Bck) -> Iterator[tuple[str, UploadInfo]]:
        """(ID, info) of every unfinished upload of a bucket, in no order."""
        for mountpath in self._volume.view.available:
            root = f"{layout.bucket_path(mountpath.path, bck)}/{layout.UPLOADS}"
            with disk_failures(root):
                for upload_id in layout.subdirectories(self._disk, root):
                    info = self._read_record(f"{root}/{upload_id}", _INFO, UploadInfo)
                    if info is not None:
                        yield upload_id, info

    def record(self, upload: Upload, part: Part) -> None:
        """Make a part count, in place of an earlier one of its number. Raise `HandleNotFound`, `DiskFailure`."""
        name = f"{part.number}{_PART}"
        with _failures(upload):
            before = self._read_record(upload.directory, name, Part)
            self._write_record(upload.directory, name, part)
        if before is not None and before.file not in (_DATA, part.file):
            workfile.discard(self._disk, f"{upload.directory}/{before.file}")

    def give_up(self, upload: Upload, number: int, file: str) -> None:
        """Let go of what a part that did not arrive whole was written to."""
        name = f"{number}.slot" if file == _DATA else file
        workfile.discard(self._disk, f"{upload.directory}/{name}")

    def now_ns(self) -> int:
        """The time, Unix nanoseconds."""
        return self._clock.now_ns()

    def write_at(self, fd: int, data: Buffer, offset: int) -> None:
        """Write all of `data` at an offset. Raise `OSError`."""
        rest = memoryview(data)
        while rest:
            written = self._disk.pwrite(fd, rest, offset)
            rest, offset = rest[written:], offset + written

    def close(self, fd: int) -> None:
        """Close a part's descriptor."""
        self._disk.close(fd)

    def _claim_slot(self, upload: Upload, number: int, size: int) -> tuple[str, int, int] | None:
        """(file, offset, descriptor) of the part's slot in `data`; None when it does not fit or is taken."""
        slot = self._slot_bytes(upload, size)
        if size > slot:
            return None
        try:
            claim = f"{upload.directory}/{number}.slot"
            self._disk.close(self._disk.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        except FileExistsError:
            return None
        return _DATA, (number - 1) * slot, self._disk.open(f"{upload.directory}/{_DATA}", _READ_WRITE, 0o644)

    def _slot_bytes(self, upload: Upload, size: int) -> int:
        path = f"{upload.directory}/{_SLOT}"
        with contextlib.suppress(FileExistsError):
            self._disk.symlink(str(size), path)
        return int(self._disk.readlink(path))

    def _own_file(self, upload: Upload, number: int) -> tuple[str, int, int]:
        name = f"{number}.{self._publisher.new_work_name()}"
        return name, 0, workfile.create(self._disk, f"{upload.directory}/{name}", upload.bck)

    def _assemble(self, upload: Upload, parts: Sequence[Part]) -> str:
        """Bring all parts into one file, each where it belongs; return its path."""
        offsets = [0]
        for part in parts:
            offsets.append(offsets[-1] + part.size)
        placed = list(zip(parts, offsets, strict=False))
        misplaced = [(part, offset) for part, offset in placed if (part.file, part.offset) != (_DATA, offset)]
        if not misplaced:
            return f"{upload.directory}/{_DATA}"
        # Parts that only fill gaps are copied into `data`. One that lies in `data` at another offset cannot be moved
        # there without overwriting its neighbours, perhaps half of them when the process is killed: begin a new file.
        is_shifted = any(part.file == _DATA for part, _ in misplaced)
        name = self._publisher.new_work_name() if is_shifted else _DATA
        path = f"{upload.directory}/{name}"
        target = self._disk.open(path, _READ_WRITE, 0o644)
        try:
            for part, offset in placed if is_shifted else misplaced:
                self._copy_part(upload, part, target, offset)
        finally:
            self._disk.close(target)
        return path

    def _copy_part(self, upload: Upload, part: Part, target: int, offset: int) -> None:
        source = self._disk.open(f"{upload.directory}/{part.file}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            done = 0
            while done < part.size:
                left = part.size - done
                count = self._disk.copy_file_range(source, target, left, part.offset + done, offset + done)
                if not count:
                    raise OSError(errno.EIO, "part is shorter than recorded", part.file)
                done += count
        finally:
            self._disk.close(source)

    def _checksum(self, kind: str, fd: int, parts: Sequence[Part], size: int, upload: Upload) -> str:
        if kind == "crc32c":
            value = 0
            for part in parts:
                value = crt.combine_crc32c(value, part.crc32c, part.size)
            return f"{value:08x}"
        digests = Digests(kind, None)
        if kind != checksum.NONE:
            workfile.hash_content(self._disk, fd, size, digests)
        return digests.verify(upload.bck, upload.info.name)

    @contextlib.contextmanager
    def _exclusive(self, upload: Upload) -> Iterator[None]:
        """Nobody else completes or aborts the upload meanwhile. Raise `HandleNotFound` when somebody did before."""
        with _failures(upload):
            fd = self._disk.open(f"{upload.directory}/{_INFO}", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, WHOLE_FILE)
            if not self._disk.fstat(fd).st_nlink:
                raise _gone(upload)
            yield
        finally:
            self._disk.close(fd)

    def _remove(self, upload: Upload) -> None:
        workfile.discard(self._disk, f"{upload.directory}/{_INFO}")  # from here on it does not exist
        for entry in self._disk.listdir(upload.directory):
            workfile.discard(self._disk, f"{upload.directory}/{entry}")
        with contextlib.suppress(OSError):  # a part that is just arriving leaves files: the next start sweeps them
            self._disk.rmdir(upload.directory)

    def _write_record(self, directory: str, name: str, value: msgspec.Struct) -> None:
        """Write a record aside and rename it. Raise `OSError`."""
        aside = f"{directory}/{self._publisher.new_work_name()}"
        fd = self._disk.open(aside, _READ_WRITE | os.O_EXCL, 0o644)
        try:
            workfile.write_all(self._disk, fd, _HEADER + msgspec.msgpack.encode(value))
        finally:
            self._disk.close(fd)
        self._disk.rename(aside, f"{directory}/{name}")

    def _read_record(self, directory: str, name: str, kind: type[T]) -> T | None:
        """A record; None when there is none. Raise `CorruptMetadata`, `OSError`."""
        path = f"{directory}/{name}"
        try:
            fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            body = b"".join(workfile.read_content(self._disk, fd, self._disk.fstat(fd).st_size))
        finally:
            self._disk.close(fd)
        try:
            if body[:5] != _HEADER:
                raise CorruptMetadata(f"{path} is not the record of an upload")
            return msgspec.msgpack.decode(body[5:], type=kind)
        except msgspec.DecodeError as error:
            raise CorruptMetadata(f"{path} cannot be decoded: {error}") from None


class PartWriter:
    """One part being written. Any thread may call, one at a time; `commit` or `abort` ends it."""

    def __init__(self, uploads: Uploads, upload: Upload, number: int, file: str, offset: int, fd: int) -> None:
        self._uploads = uploads
        self._upload = upload
        self._number = number
        self._file = file
        self._offset = offset
        self._fd = fd
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
        """Make the part count; return it. Raise `HandleNotFound`, `DiskFailure`."""
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
            self._uploads.record(self._upload, part)
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


def _uploads_path(spot: Spot) -> str:
    return f"{os.path.dirname(spot.work)}/{layout.UPLOADS}"


@contextlib.contextmanager
def _failures(upload: Upload) -> Iterator[None]:
    """Translate the `OSError` that leaves the block: what is missing went when the upload was completed or aborted."""
    with disk_failures(upload.directory):
        try:
            yield
        except FileNotFoundError:
            raise _gone(upload) from None


def _gone(upload: Upload) -> HandleNotFound:
    return HandleNotFound(f'upload "{upload.id}" of {upload.bck.cname(upload.info.name)} does not exist any more')
