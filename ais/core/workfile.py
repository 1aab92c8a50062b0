"""Work files: where content is collected before it is an object, on the mountpath and in the bucket it is meant for."""

import contextlib
import enum
import errno
import os
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import msgspec

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import BucketNotFound, ChecksumMismatch, ContentDamaged
from ais.core.announcing import Event
from ais.core.holds import Retention
from ais.core.meta import ObjectMeta
from ais.core.sealing import Wanted
from ais.core.spots import Spot
from ais.env.disk import Disk, write_all
from ais.fs.failures import translate

Buffer = bytes | memoryview
COPY_BYTES = 1 << 20
T = TypeVar("T")
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Paced(Protocol):
    """Gives the pieces of a large file one by one, and lets the job that is at work rest in between.

    Nothing that a client waits for is held meanwhile: no lock, and no thread of the mountpath's pool.
    """

    def __call__(self, pieces: Iterator[T]) -> Iterator[T]: ...


def at_once(pieces: Iterator[T]) -> Iterator[T]:
    """Where a client waits: under a lock, for one."""
    return pieces


class Keeping(enum.Enum):
    """Versions of a bucket: never kept, all kept, or kept while new ones replace the null version (S3's states)."""

    NONE = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


class WriteRules(msgspec.Struct, frozen=True):
    """What a bucket's properties say about writing: make one per version of the properties and keep it.

    `fsync`: content, metadata and directory entries are durable before the write is acknowledged. `all_copies`: so are
    stored all copies or slices that the bucket promises. `keeping`: what becomes of the version that is replaced or
    deleted (`ais.core.versions`). `indexes_shards`: of shards whoever
    makes indexes is told. `event`: somebody may want to know (`ais.core.announcing`). `sealing`: content is encrypted.
    `retention`: of new versions that bring none.
    """

    checksum_kind: str = checksum.DEFAULT
    versioning: bool = True
    fsync: bool = False
    all_copies: bool = False
    keeping: Keeping = Keeping.NONE
    indexes_shards: bool = False
    event: Event | None = None
    sealing: Wanted | None = None
    retention: Retention | None = None


class Staged(msgspec.Struct):
    """A work file and the object it shall become. Whoever opened it closes `fd`."""

    bck: Bck
    name: str
    rules: WriteRules
    spot: Spot
    path: str
    fd: int
    custom: dict[str, str] | None = None
    """None: keep that of the object which is replaced."""
    version: str | None = None
    """Store exactly this one instead of the next."""
    is_moved: bool = False
    """A node moves the object: also in a bucket that has another name by now."""
    after: tuple[int, int] = (0, 0)
    """The object came from another target, where it had this stamp: its new one is later."""
    size: int = 0
    checksum: str = ""
    times_ns: tuple[int, int] | None = None
    """Access and modification time that the object shall have; None: those of the write."""
    runs: tuple[tuple[int, int], ...] = ()
    """Parts of which it was made, as `ObjectMeta.runs`."""
    facts: dict[str, str] = {}
    """As `ObjectMeta.facts`."""
    version_id: str = ""
    """The ID that the version has elsewhere, where it came from, and shall have; empty: a new one."""
    epoch: int | None = None
    """Of the volume when it was begun: the name must have been this target's all the time. None: whenever."""
    is_claimed: bool = False
    """The client knew the checksum: if the object has it already, nothing need be written."""
    before_rename: Callable[[ObjectMeta], None] | None = None
    """Called under the object's lock when nothing can refuse it any more, with what it will be. Such a file is kept
    when it is refused, and whoever staged it takes it to another mountpath when the object has moved (`StripeBusy`)."""

    @property
    def is_new(self) -> bool:
        """Whether the version comes into being here, and is not one that was elsewhere."""
        return self.version is None and not self.version_id and not self.is_moved


class Digests:
    """The checksum that is stored and, if the client claims one of another kind, that one too."""

    __slots__ = ("_claimed", "_extra", "_hasher", "_mismatch")

    def __init__(self, kind: str, claimed: tuple[str, str] | None, *, is_stored: bool = False) -> None:
        """`is_stored`: what is claimed is what was stored with content that is read from a disk."""
        self._mismatch = ContentDamaged if is_stored else ChecksumMismatch
        self._hasher = checksum.new_hasher(kind)
        self._claimed = claimed if claimed and claimed[0] != checksum.NONE else None
        self._extra = checksum.new_hasher(self._claimed[0]) if self._claimed and self._claimed[0] != kind else None

    @property
    def is_claimed(self) -> bool:
        """Whether the client claimed a checksum of the kind that is stored."""
        return self._claimed is not None and self._extra is None

    def update(self, data: Buffer) -> None:
        """Hash the next bytes; releases the GIL for large buffers."""
        if self._hasher is not None:
            self._hasher.update(data)
        if self._extra is not None:
            self._extra.update(data)

    def verify(self, bck: Bck, name: str) -> str:
        """The checksum to store. Raise `ChecksumMismatch` when the claimed one is another; stored: `ContentDamaged`."""
        computed = self._hasher.hexdigest() if self._hasher is not None else ""
        if self._claimed is not None:
            kind, value = self._claimed
            found = self._extra.hexdigest() if self._extra is not None else computed
            if found != value.lower():
                raise self._mismatch(kind, value, found, bck.cname(name))
        return computed


def create(disk: Disk, path: str, bck: Bck) -> int:
    """Open a new work file. Raise `BucketNotFound` when the bucket has no directory for it."""
    try:
        return disk.open(path, _CREATE, 0o644)
    except FileNotFoundError:
        raise BucketNotFound(bck.cname()) from None
    except OSError as error:
        raise translate(error, path) from error


def discard(disk: Disk, path: str) -> None:
    """Unlink a work file; one that cannot be unlinked is left to the sweep at the next start."""
    with contextlib.suppress(OSError):
        disk.unlink(path)


def fsync_path(disk: Disk, path: str) -> None:
    """Make the content and metadata of a file durable. Raise `OSError`."""
    fd = disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        disk.fsync(fd)
    finally:
        disk.close(fd)


def write_at(disk: Disk, fd: int, data: Buffer, offset: int) -> None:
    """Write all bytes at an offset. Raise `OSError`."""
    rest = memoryview(data)
    while rest:
        written = disk.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written


def read_content(disk: Disk, fd: int, size: int, offset: int = 0) -> Iterator[bytes]:
    """`size` bytes of a file from `offset` on, in pieces. Raise `OSError`, also when the file is shorter."""
    end = offset + size
    while offset < end:
        chunk = disk.pread(fd, min(COPY_BYTES, end - offset), offset)
        if not chunk:
            raise OSError(errno.EIO, "file is shorter than recorded")
        yield chunk
        offset += len(chunk)


def copy_content(disk: Disk, source_fd: int, fd: int, size: int, paced: Paced = at_once) -> None:
    """Append the first `size` bytes of one file to another. Raise `OSError`."""
    for chunk in paced(read_content(disk, source_fd, size)):
        write_all(disk, fd, chunk)


def hash_content(disk: Disk, fd: int, size: int, digests: Digests, paced: Paced = at_once) -> None:
    """Hash the first `size` bytes of a file. Raise `OSError`."""
    for chunk in paced(read_content(disk, fd, size)):
        digests.update(chunk)
