"""Unfinished uploads that get another place: another mountpath of this target, or another target.

Parts come first, each into a file of its own, and are compared; then what the upload was begun with, which makes it be
there; then the old place lets go. Killed anywhere, one of both has all of it. Who writes a part meanwhile is told to
send it again. A part that is damaged is left behind: completing would fail all the same, and says which one is missing.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator

import structlog
from awscrt import checksums as crt

from ais.api.bucket import Bck
from ais.base.errors import AlreadyExists, BucketNotFound, HandleNotFound, NotReady, PartDamaged
from ais.core import upload_records, workfile
from ais.core.multipart import Uploads
from ais.core.upload_records import INFO, PART, Part, Upload, UploadInfo
from ais.core.workfile import Buffer
from ais.env.disk import Disk, write_all
from ais.fs import layout
from ais.fs.failures import disk_failures, translate
from ais.fs.mountpath import Mountpath

_log = structlog.get_logger()


class Leaving:
    """An upload while it is held: nobody adds a part, completes or aborts it. Methods block."""

    def __init__(self, uploads: Uploads, disk: Disk, upload: Upload) -> None:
        self._uploads = uploads
        self._disk = disk
        self.upload = upload
        self.parts = list(uploads.parts(upload).values())

    def open(self, part: Part) -> int:
        """The file of a part; the caller closes it. Raise `DiskFailure`, `HandleNotFound`."""
        with upload_records.ending_upload(self.upload):
            return self._disk.open(f"{self.upload.directory}/{part.file}", os.O_RDONLY | os.O_CLOEXEC)

    def is_intact(self, part: Part) -> bool:
        """Whether the bytes of a part are those that were acknowledged; told if not. Raise `DiskFailure`,
        `HandleNotFound`.
        """
        found, fd = 0, self.open(part)
        try:
            with disk_failures(self.upload.directory):
                is_long_enough = self._disk.fstat(fd).st_size >= part.offset + part.size
                if is_long_enough:
                    for chunk in workfile.read_content(self._disk, fd, part.size, part.offset):
                        found = crt.crc32c(chunk, found)
        finally:
            self._disk.close(fd)
        if is_long_enough and found == part.crc32c:
            return True
        _log.error("damaged part is left behind", upload=self.upload.id, part=part.number)
        return False

    def let_go(self, *, fsync: bool) -> None:
        """It is elsewhere, whole."""
        with disk_failures(self.upload.directory):
            self._uploads.remove(self.upload, fsync=fsync)


class ArrivingPart:
    """A part on its way into an upload that is not there yet; `finish` or `abort` ends it."""

    def __init__(
        self, moves: "UploadMoves", cname: str, directory: str, part: Part, file: str, fd: int, *, fsync: bool
    ) -> None:
        self._moves = moves
        self._cname = cname
        self._directory, self._part, self._file, self._fd, self._fsync = directory, part, file, fd, fsync
        self._crc32c = self._size = 0
        self._is_open = True

    def write(self, data: Buffer) -> None:
        """Take the next bytes. Raise `OutOfSpace`, `DiskFailure`."""
        self._crc32c = crt.crc32c(data, self._crc32c)
        try:
            self._moves.append(self._fd, data)
        except OSError as error:
            raise translate(error, self._directory) from error
        self._size += len(data)

    def finish(self) -> None:
        """Make it count. Raise `PartDamaged` when it is not what was acknowledged."""
        try:
            if (self._size, self._crc32c) != (self._part.size, self._part.crc32c):
                raise PartDamaged(self._cname, self._part.number)
            self._moves.record(self._directory, self._part, self._file, self._fd, fsync=self._fsync)
        except BaseException:
            self.abort()
            raise
        self._close()

    def abort(self) -> None:
        """Forget it. Does nothing after the end."""
        if self._is_open:
            self._moves.discard(f"{self._directory}/{self._file}")
            self._close()

    def _close(self) -> None:
        self._is_open = False
        self._moves.close(self._fd)


class UploadMoves:
    """Of one store. Methods block; all raise `DiskFailure`."""

    def __init__(self, uploads: Uploads, disk: Disk) -> None:
        self._uploads = uploads
        self._disk = disk

    @contextlib.contextmanager
    def held(self, upload: Upload) -> Iterator[Leaving]:
        """Hold an upload. Raise `HandleNotFound` when it has ended."""
        with disk_failures(upload.directory), self._uploads.exclusive(upload):
            yield Leaving(self._uploads, self._disk, upload)

    def begin_part(self, bck: Bck, upload_id: str, info: UploadInfo, part: Part, *, fsync: bool) -> ArrivingPart:
        """Begin to take a part. Raise `AlreadyExists` when the upload is here, `OutOfSpace`, `BucketNotFound`."""
        directory = self._directory(bck, upload_id, info, part.size)
        file = f"{part.number}.{self._uploads.new_work_name()}"
        with disk_failures(directory):
            fd = workfile.create(self._disk, f"{directory}/{file}", bck)
        return ArrivingPart(self, bck.cname(info.name), directory, part, file, fd, fsync=fsync)

    def arrive(self, bck: Bck, upload_id: str, info: UploadInfo, numbers: Iterable[int], *, fsync: bool) -> None:
        """All parts of these numbers are here: the upload is, too.

        Raise as `begin_part`, and `NotReady` when one is not: what there was of it went with a restart.
        """
        directory = self._directory(bck, upload_id, info, 0)
        with disk_failures(directory):
            if not all(self._disk.access(f"{directory}/{number}{PART}", os.F_OK) for number in numbers):
                raise NotReady(f'upload "{upload_id}" of {bck.cname(info.name)} has not arrived whole: try again')
            name = self._uploads.new_work_name()
            upload_records.write(self._disk, directory, INFO, info, name, fsync=fsync)
            if fsync:
                layout.fsync_directory(self._disk, os.path.dirname(directory))

    def bring_from(self, bck: Bck, mountpath: Mountpath) -> int:
        """Bring all uploads of a bucket from a mountpath that leaves to those that own their names; how many."""
        moved = 0
        for upload in self._uploads.on(bck, mountpath):
            with contextlib.suppress(HandleNotFound), self.held(upload) as leaving:
                with contextlib.suppress(AlreadyExists):
                    numbers = []
                    for part in leaving.parts:
                        if leaving.is_intact(part):
                            self._copy(leaving, part)
                            numbers.append(part.number)
                    self.arrive(bck, upload.id, upload.info, numbers, fsync=True)
                leaving.let_go(fsync=True)
                moved += 1
        return moved

    def append(self, fd: int, data: Buffer) -> None:
        """Write to the file of a part. Raise `OSError`."""
        write_all(self._disk, fd, data)

    def record(self, directory: str, part: Part, file: str, fd: int, *, fsync: bool) -> None:
        """Make a part count that has come."""
        with disk_failures(directory):
            if fsync:
                self._disk.fdatasync(fd)
            kept = Part(part.number, part.size, part.md5, part.crc32c, file, 0, part.modified_ns, part.digests)
            name = f"{part.number}{PART}"
            before = upload_records.read(self._disk, directory, name, Part)
            upload_records.write(self._disk, directory, name, kept, self._uploads.new_work_name(), fsync=fsync)
            if before is not None:
                self.discard(f"{directory}/{before.file}")

    def discard(self, path: str) -> None:
        """Remove a file."""
        workfile.discard(self._disk, path)

    def close(self, fd: int) -> None:
        """Close the file of a part."""
        self._disk.close(fd)

    def _copy(self, leaving: Leaving, part: Part) -> None:
        upload = leaving.upload
        arriving = self.begin_part(upload.bck, upload.id, upload.info, part, fsync=True)
        try:
            fd = leaving.open(part)
            try:
                for chunk in workfile.read_content(self._disk, fd, part.size, part.offset):
                    arriving.write(chunk)
            finally:
                self._disk.close(fd)
            arriving.finish()
        finally:
            arriving.abort()

    def _directory(self, bck: Bck, upload_id: str, info: UploadInfo, size: int) -> str:
        """Where an upload is to be, which must not be there yet."""
        directory = self._uploads.home(bck, info.name, upload_id, size)
        with disk_failures(directory):
            for path in (os.path.dirname(directory), directory):
                try:
                    layout.make_directory(self._disk, path)
                except FileNotFoundError:
                    raise BucketNotFound(bck.cname()) from None
            if self._disk.access(f"{directory}/{INFO}", os.F_OK):
                raise AlreadyExists(f'upload "{upload_id}" of {bck.cname(info.name)} is here already')
        return directory
