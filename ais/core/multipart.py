"""Uploads in parts: parts arrive in any order, side by side; `complete` makes the object in one step.

An upload is a directory `%mp/<upload ID>` beside the bucket's objects, on the mountpath that owns the object:

    upload          what was said at the start (`UploadInfo`)
    data            the object in the making: part N at offset (N-1) * slot
    slot            a symbolic link whose target is the size of a slot in bytes: that of the first part that came
    <N>.slot        somebody writes, or wrote, part N into `data`: nobody else may
    <N>.part        the record of part N (`Part`): its size and digests, and the file that holds it
    <N>.<serial>    a part that does not fit its slot, came a second time, or came without a size
    whole           the object in the making when it could not be made of `data` (`ais.core.assembly`)
    completing      of which parts the object is being made, and what it will be (`Ending`)

Clients send parts of one size, the last one smaller. Then every part lies where it belongs in the object, and nothing
is written a second time. A part counts from the rename of its record on: what was cut off, or written by a process that
was killed, is bytes nobody looks at.

Completing gives the object's name to a file that nobody can write into, whose bytes were compared with what was
acknowledged and are on the disk. `completing` is durable before anything is cut or renamed; killed after the rename,
the next one who asks finds the file gone, and learns from the record that the object was made.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ais.api.bucket import Bck
from ais.base.errors import AisError, BucketNotFound, Busy, HandleNotFound, NotReady
from ais.base.ids import new_id
from ais.core import assembly, upload_records, workfile
from ais.core.meta import ObjectMeta, run_lengths
from ais.core.part_writer import PartWriter
from ais.core.publish import Condition, Publisher
from ais.core.spots import Spot, SpotTable
from ais.core.upload_records import (
    DATA,
    ENDING,
    INFO,
    PART,
    WHOLE,
    Ending,
    Part,
    Upload,
    UploadInfo,
    ending_upload,
    gone,
)
from ais.core.workfile import Buffer, Staged, WriteRules
from ais.env import Env
from ais.fs import layout, trash
from ais.fs.failures import disk_failures
from ais.fs.locks import WHOLE_FILE, StripeBusy
from ais.fs.mountpath import Mountpath
from ais.fs.reading import names_in
from ais.fs.volume import Volume

__all__ = ["Part", "Upload", "UploadInfo", "Uploads"]

_SLOT = "slot"
_READ_WRITE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_WRITE_OUT_BYTES_MIN = 1 << 20
_ENDED_NS_MAX = 24 * 3600 * 10**9


class Uploads:
    """All unfinished uploads of one target. Every method makes system calls: call them from the mountpath's pool."""

    def __init__(self, volume: Volume, env: Env, spots: SpotTable, publisher: Publisher) -> None:
        self._volume = volume
        self._disk = env.disk
        self._clock = env.clock
        self._rng = env.rng
        self._spots = spots
        self._publisher = publisher

    def create(
        self, bck: Bck, name: str, custom: dict[str, str], details: dict[str, str], *, fsync: bool = False
    ) -> str:
        """Start an upload, durable when `fsync`; return its ID. Raise `BucketNotFound`, `OutOfSpace`, `DiskFailure`.

        IDs begin with the time, so that the uploads of one object sort by their start.
        """
        spot = self._spots.find(bck, name)
        self._volume.require_owned(spot.key)
        spot.mountpath.check_room(0, self._volume.limits.out_of_space_pct)
        created_ns = self._clock.now_ns()
        upload_id = f"{created_ns:016x}{new_id(self._rng)}{new_id(self._rng)}"
        root = _uploads_path(spot)
        directory = f"{root}/{upload_id}"
        with disk_failures(root):
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                self._disk.mkdir(root)
            try:
                self._disk.mkdir(directory)
            except FileNotFoundError:
                self._volume.require_whole(bck, spot.key)
                raise BucketNotFound(bck.cname()) from None
            info = UploadInfo(name, created_ns, custom, details)
            try:
                upload_records.write(self._disk, directory, INFO, info, self._publisher.new_work_name(), fsync=fsync)
                if fsync:
                    layout.fsync_directory(self._disk, root)
                    layout.fsync_directory(self._disk, os.path.dirname(root))
            except BaseException:
                with contextlib.suppress(OSError):
                    trash.remove_tree(self._disk, directory)
                raise
        return upload_id

    def find(self, bck: Bck, name: str, upload_id: str) -> Upload:
        """An unfinished upload of that object. Raise `HandleNotFound`, `CorruptMetadata`, `DiskFailure`."""
        spot = self._spots.find(bck, name)
        if upload_id.isascii() and upload_id.isalnum():
            home = f"{_uploads_path(spot)}/{upload_id}"
            for directory in (home, *(spot.on(one, home) for one in self._volume.view.available)):
                with disk_failures(directory):
                    info = upload_records.read(self._disk, directory, INFO, UploadInfo)
                    if info is not None and info.name == name:
                        return self._upload(upload_id, bck, info, directory, spot)
        self._volume.require_whole(bck, spot.key)
        raise HandleNotFound(f'upload "{upload_id[:64]}" of {bck.cname(name)} does not exist')

    def part_writer(self, upload: Upload, number: int, size: int | None, *, fsync: bool = False) -> PartWriter:
        """Begin to write part `number` of `size` bytes, None when unknown; it will be durable when `fsync`.

        Raise `OutOfSpace`, `HandleNotFound`.
        """
        _require_unfinished(upload)
        upload.spot.mountpath.check_room(size or 0, self._volume.limits.out_of_space_pct)
        try:
            with ending_upload(upload):
                placed = self._claim_slot(upload, number, size) if size else None
                return PartWriter(self, upload, number, *(placed or self._own_file(upload, number)), fsync)
        except BucketNotFound:
            raise gone(upload) from None

    def part_appender(self, upload: Upload, number: int, *, fsync: bool = False) -> PartWriter:
        """Begin to write part `number` again, after what there is of it. Raise as `part_writer`.

        Committing raises `Busy` when the part was written meanwhile: nothing that was appended gets lost.
        """
        with ending_upload(upload):
            before = upload_records.read(self._disk, upload.directory, f"{number}{PART}", Part)
        writer = self.part_writer(upload, number, None, fsync=fsync)
        writer.record = partial(self._record_after, before)
        try:
            if before is not None:
                self._repeat_part(upload, before, writer)
        except BaseException:
            writer.abort()
            raise
        return writer

    def parts(self, upload: Upload) -> dict[int, Part]:
        """The parts that are complete, by number, in order. Raise `HandleNotFound` and as `find`."""
        if upload.ending is not None:
            return {part.number: part for part in upload.ending.parts}
        with ending_upload(upload):
            names = [entry for entry in names_in(self._disk, upload.directory) if entry.endswith(PART)]
            found = [upload_records.read(self._disk, upload.directory, name, Part) for name in names]
        return {part.number: part for part in sorted(filter(None, found), key=lambda part: part.number)}

    def choose(
        self, bck: Bck, name: str, upload_id: str, choose: Callable[[Upload, dict[int, Part]], list[Part]]
    ) -> tuple[Upload, list[Part]]:
        """An upload, and the parts `choose` takes of it; raise what that does.

        `HandleNotFound` instead when parts are wrong because the upload is over: others were taken, or are gone.
        """
        upload = self.find(bck, name, upload_id)
        stored = self.parts(upload)
        now = self.find(bck, name, upload_id)
        try:
            return upload, choose(upload, stored)
        except AisError:
            if now.ending is not None:
                raise gone(now) from None
            raise

    def complete(
        self,
        upload: Upload,
        parts: Sequence[Part],
        rules: WriteRules,
        custom: dict[str, str],
        condition: Condition | None = None,
        facts: dict[str, str] | None = None,
        *,
        version: str | None = None,
    ) -> ObjectMeta:
        """Make the object of `parts`, in their order; return its metadata. Of several callers one wins.

        `version`: store exactly this one instead of the next.

        Asked again for the same parts after it was killed at the end, it returns what was made. Raise `HandleNotFound`
        when it was completed or aborted meanwhile, `NotReady` when a part was replaced meanwhile, `PartDamaged`, what
        `condition` raises (the upload stays as it was), and as `Writer.commit`.
        """
        if upload.ending is not None:
            return self._completed_before(upload, parts, rules)
        with disk_failures(upload.directory), self.exclusive(upload):
            stored = self.parts(upload)
            for part in parts:
                if stored.get(part.number) != part:
                    raise NotReady(f"part {part.number} of upload {upload.id} was replaced meanwhile: try again")
            while True:
                try:
                    meta = self._publish(
                        upload, parts, list(stored.values()), rules, custom, condition, facts or {}, version
                    )
                    break
                except StripeBusy:  # the object has another mountpath now
                    continue
            self.remove(upload, fsync=rules.fsync)
        return meta

    def read_parts(self, upload: Upload, parts: Sequence[Part]) -> Iterator[bytes]:
        """What an object of `parts` would have as content; it raises behind a part that is damaged.

        Raise `HandleNotFound`, `PartDamaged`, `DiskFailure`.
        """
        _require_unfinished(upload)
        with ending_upload(upload):
            yield from assembly.read(self._disk, upload, parts)

    def abort(self, upload: Upload, *, fsync: bool = False) -> None:
        """Forget an upload and its parts. Raise `HandleNotFound` when it is over already."""
        with disk_failures(upload.directory), self.exclusive(upload):
            self.remove(upload, fsync=fsync)
        _require_unfinished(upload)

    def list(self, bck: Bck) -> Iterator[tuple[str, UploadInfo]]:
        """(ID, info) of every unfinished upload of a bucket, in no order."""
        for mountpath in self._volume.view.available:
            for upload in self.on(bck, mountpath):
                yield upload.id, upload.info

    def departing(self, bck: Bck, name: str, upload_id: str) -> Upload | None:
        """An unfinished upload that is here, whoever owns its name; None when there is none. Raise `DiskFailure`."""
        if not (upload_id.isascii() and upload_id.isalnum()):
            return None
        found = (upload for one in self._volume.view.available for upload in self.on(bck, one, upload_id))
        return next((one for one in found if one.info.name == name), None)

    def on(self, bck: Bck, mountpath: Mountpath, upload_id: str = "") -> Iterator[Upload]:
        """The unfinished uploads of a bucket on a mountpath; with an ID, that one."""
        return (upload for upload in self._found(bck, mountpath, upload_id) if upload.ending is None)

    def home(self, bck: Bck, name: str, upload_id: str, size: int) -> str:
        """The directory that an upload has on the mountpath that owns its name. Raise `OutOfSpace`, `NotReady`."""
        spot = self._spots.find(bck, name)
        self._volume.require_owned(spot.key)
        spot.mountpath.check_room(size, self._volume.limits.out_of_space_pct)
        return f"{_uploads_path(spot)}/{upload_id}"

    def new_work_name(self) -> str:
        """A name no other file has."""
        return self._publisher.new_work_name()

    def drop_ended(self, bck: Bck) -> None:
        """Remove what is left of uploads that were completed when the process was killed, a day after they began."""
        for mountpath in self._volume.view.available:
            for upload in self._found(bck, mountpath):
                if upload.ending is not None and self._clock.now_ns() - upload.info.created_ns > _ENDED_NS_MAX:
                    with contextlib.suppress(HandleNotFound):
                        self.abort(upload)

    def record(self, upload: Upload, part: Part, *, fsync: bool) -> None:
        """Make a part count, in place of an earlier one of its number.

        Raise `HandleNotFound`, `DiskFailure`, `NotReady` while the upload is being completed without it.
        """
        with ending_upload(upload):
            fd = self._disk.open(f"{upload.directory}/{INFO}", os.O_RDWR | os.O_CLOEXEC)
            try:
                if not assembly.share(fd):
                    raise NotReady(f"upload {upload.id} is being completed: part {part.number} was not added")
                if not self._disk.fstat(fd).st_nlink:
                    raise gone(upload)
                self._replace_record(upload, part, fsync=fsync)
            finally:
                self._disk.close(fd)

    def _record_after(self, before: Part | None, upload: Upload, part: Part, *, fsync: bool) -> None:
        """The same for a part that goes on where `before` ended. Raise also `Busy` when it was written meanwhile."""
        with disk_failures(upload.directory), self.exclusive(upload):
            if upload_records.read(self._disk, upload.directory, f"{part.number}{PART}", Part) != before:
                raise _changed(upload, part.number)
            self._replace_record(upload, part, fsync=fsync)

    def _replace_record(self, upload: Upload, part: Part, *, fsync: bool) -> None:
        name = f"{part.number}{PART}"
        before = upload_records.read(self._disk, upload.directory, name, Part)
        aside = self._publisher.new_work_name()
        upload_records.write(self._disk, upload.directory, name, part, aside, fsync=fsync)
        if before is not None and before.file not in (DATA, part.file):
            workfile.discard(self._disk, f"{upload.directory}/{before.file}")

    def give_up(self, upload: Upload, number: int, file: str) -> None:
        """Let go of what a part that did not arrive whole was written to."""
        name = f"{number}.slot" if file == DATA else file
        workfile.discard(self._disk, f"{upload.directory}/{name}")

    def now_ns(self) -> int:
        """The time, Unix nanoseconds."""
        return self._clock.now_ns()

    def write_at(self, fd: int, data: Buffer, offset: int) -> None:
        """Write all of `data` at an offset. Raise `OSError`."""
        workfile.write_at(self._disk, fd, data, offset)

    def settle(self, fd: int, offset: int, size: int, *, fsync: bool) -> None:
        """A part was written: make it durable, or let the disk begin with what completing would wait for."""
        if fsync:
            self._disk.fdatasync(fd)
        elif size >= _WRITE_OUT_BYTES_MIN:
            self._disk.start_writing(fd, offset, size)

    def close(self, fd: int) -> None:
        """Close a part's descriptor."""
        self._disk.close(fd)

    def _publish(
        self,
        upload: Upload,
        parts: Sequence[Part],
        stored: Sequence[Part],
        rules: WriteRules,
        custom: dict[str, str],
        condition: Condition | None,
        facts: dict[str, str],
        version: str | None,
    ) -> ObjectMeta:
        spot = self._spots.find(upload.bck, upload.info.name)
        self._forget_whole(upload, f"{upload.directory}/{WHOLE}")
        made = assembly.assemble(self._disk, upload, spot, parts, stored, self._publisher.new_work_name())
        staged = Staged(upload.bck, upload.info.name, rules, spot, made.path, made.fd, custom, version, facts=facts)
        staged.size = sum(part.size for part in parts)
        staged.runs = run_lengths([part.size for part in parts])
        staged.before_rename = partial(self._begin_ending, upload, parts, made, staged.size)
        try:
            staged.checksum = assembly.compare(self._disk, made.fd, parts, rules.checksum_kind, upload)
            self._disk.fdatasync(made.fd)
            return self._publisher.publish(staged, condition)
        except BaseException:
            if made.path != f"{upload.directory}/{DATA}":
                self._forget_whole(upload, made.path)
            raise
        finally:
            self._disk.close(made.fd)

    def _begin_ending(
        self, upload: Upload, parts: Sequence[Part], made: assembly.Assembled, size: int, meta: ObjectMeta
    ) -> None:
        """Write down what is being made, then cut off what does not belong to it."""
        ending = Ending(tuple(parts), meta, made.path, made.ino)
        aside = self._publisher.new_work_name()
        upload_records.write(self._disk, upload.directory, ENDING, ending, aside, fsync=True)
        if self._disk.fstat(made.fd).st_size != size:
            self._disk.ftruncate(made.fd, size)

    def _forget_whole(self, upload: Upload, path: str) -> None:
        """Remove a file that was meant to become the object; before it, the record that would call it made."""
        try:
            self._disk.lstat(path)
        except FileNotFoundError:
            return
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(f"{upload.directory}/{ENDING}")
        self._disk.unlink(path)

    def _upload(self, upload_id: str, bck: Bck, info: UploadInfo, directory: str, spot: Spot) -> Upload:
        require_disk = partial(self._require_gone, bck, upload_id, directory, spot)
        return Upload(upload_id, bck, info, directory, spot, require_disk, self._ended(directory, spot, require_disk))

    def _require_gone(self, bck: Bck, upload_id: str, directory: str, spot: Spot) -> None:
        """What is missing in an upload's directory went with it. Raise `NotReady` when it is elsewhere, or its disk."""
        self._volume.require_whole(bck, spot.key)
        for mountpath in self._volume.view.available:
            other = f"{spot.on(mountpath, _uploads_path(spot))}/{upload_id}"
            if other != directory and self._disk.access(f"{other}/{INFO}", os.F_OK):
                raise NotReady(f'upload "{upload_id}" got another mountpath meanwhile: try again')

    def _ended(self, directory: str, spot: Spot, require_disk: Callable[[], None]) -> Ending | None:
        """How an upload ended whose object was made; None while it was not."""
        ending = upload_records.read(self._disk, directory, ENDING, Ending)
        if ending is None:
            return None
        if not ending.path.startswith(f"{directory}/"):  # a work file, which a restart has swept
            return ending if self._publisher.was_made(spot, ending.meta) else None
        try:
            is_made = self._disk.lstat(ending.path).st_ino != ending.ino
        except FileNotFoundError:
            require_disk()
            return ending
        if ending.meta.cut is not None:  # the object is another file, an empty one, and this one goes after it
            is_made = is_made or self._publisher.was_made(spot, ending.meta)
        return ending if is_made else None

    def _completed_before(self, upload: Upload, parts: Sequence[Part], rules: WriteRules) -> ObjectMeta:
        ending = upload.ending
        if ending is None or ending.parts != tuple(parts):
            raise gone(upload)
        with contextlib.suppress(HandleNotFound), disk_failures(upload.directory), self.exclusive(upload):
            self.remove(upload, fsync=rules.fsync)
        return ending.meta

    def _found(self, bck: Bck, mountpath: Mountpath, upload_id: str = "") -> Iterator[Upload]:
        """As `on`, also those that are over but for what they leave."""
        root = f"{layout.bucket_path(mountpath.path, bck)}/{layout.UPLOADS}"
        with disk_failures(root):
            for one in (upload_id,) if upload_id else layout.subdirectories(self._disk, root):
                info = upload_records.read(self._disk, f"{root}/{one}", INFO, UploadInfo)
                if info is not None:
                    yield self._upload(one, bck, info, f"{root}/{one}", self._spots.find(bck, info.name))

    def _claim_slot(self, upload: Upload, number: int, size: int) -> tuple[str, int, int] | None:
        """(file, offset, descriptor) of the part's slot in `data`; None when it does not fit or is taken."""
        slot = self._slot_bytes(upload, size)
        if size > slot:
            return None
        claim, path = f"{upload.directory}/{number}.slot", f"{upload.directory}/{DATA}"
        try:
            self._disk.close(self._disk.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        except FileExistsError:
            return None
        fd = self._disk.open(path, _READ_WRITE, 0o644)
        try:
            if assembly.share(fd) and self._disk.lstat(path).st_ino == self._disk.fstat(fd).st_ino:
                return DATA, (number - 1) * slot, fd
        except BaseException:
            self._disk.close(fd)
            raise
        self._disk.close(fd)
        workfile.discard(self._disk, claim)
        return None

    def _slot_bytes(self, upload: Upload, size: int) -> int:
        path = f"{upload.directory}/{_SLOT}"
        with contextlib.suppress(FileExistsError):
            self._disk.symlink(str(size), path)
        return int(self._disk.readlink(path))

    def _own_file(self, upload: Upload, number: int) -> tuple[str, int, int]:
        name = f"{number}.{self._publisher.new_work_name()}"
        return name, 0, workfile.create(self._disk, f"{upload.directory}/{name}", upload.bck)

    def _repeat_part(self, upload: Upload, part: Part, writer: PartWriter) -> None:
        with disk_failures(upload.directory):
            try:
                fd = self._disk.open(f"{upload.directory}/{part.file}", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise _changed(upload, part.number) from None
            try:
                for piece in workfile.read_content(self._disk, fd, part.size, part.offset):
                    writer.write(piece)
            finally:
                self._disk.close(fd)

    @contextlib.contextmanager
    def exclusive(self, upload: Upload) -> Iterator[None]:
        """Nobody else completes, aborts or adds a part meanwhile. Raise `HandleNotFound` when it ended before."""
        with ending_upload(upload):
            fd = self._disk.open(f"{upload.directory}/{INFO}", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, WHOLE_FILE)
            if not self._disk.fstat(fd).st_nlink:
                raise gone(upload)
            yield
        finally:
            self._disk.close(fd)

    def remove(self, upload: Upload, *, fsync: bool) -> None:
        """Remove an upload that somebody holds (`exclusive`) with all it has. Raise `OSError`."""
        workfile.discard(self._disk, f"{upload.directory}/{INFO}")  # from here on it does not exist
        if fsync:
            layout.fsync_directory(self._disk, upload.directory)
        entries = self._disk.listdir(upload.directory)
        for entry in sorted(entries, key=lambda entry: entry == ENDING):  # it explains why `data` is missing
            workfile.discard(self._disk, f"{upload.directory}/{entry}")
        with contextlib.suppress(OSError):  # a part that is just arriving leaves files: the next start sweeps them
            self._disk.rmdir(upload.directory)


def _uploads_path(spot: Spot) -> str:
    return f"{os.path.dirname(spot.work)}/{layout.UPLOADS}"


def _require_unfinished(upload: Upload) -> None:
    if upload.ending is not None:
        raise gone(upload)


def _changed(upload: Upload, number: int) -> Busy:
    cname = upload.bck.cname(upload.info.name)
    return Busy(f'part {number} of upload "{upload.id}" of {cname} was written meanwhile: append after that again')
