"""Receiving one object: bytes go to a work file and through the hashers, then `commit` makes the object."""

from ais.core import sealing, workfile
from ais.core.meta import ObjectMeta, check_custom
from ais.core.publish import Condition, Publisher
from ais.core.sealing import Seal, Sealer
from ais.core.workfile import Buffer, Digests, Staged
from ais.env.disk import Disk, write_all
from ais.fs.failures import translate
from ais.fs.locks import StripeBusy
from ais.fs.mountpath import Mountpath


class Writer:
    """One object being written. Any thread may call, one at a time; `commit` or `abort` ends it.

    Nothing is visible before `commit` returns, and nothing is left when it raises (but see `StripeBusy`).
    """

    __slots__ = ("_digests", "_disk", "_is_open", "_is_verified", "_publisher", "_staged")

    def __init__(self, publisher: Publisher, disk: Disk, staged: Staged, digests: Digests) -> None:
        self._publisher = publisher
        self._disk = disk
        self._staged = staged
        self._digests = digests
        self._is_verified = False
        self._is_open = True

    @property
    def mountpath(self) -> Mountpath:
        """Where the bytes go: blocking steps belong into its pool."""
        return self._staged.spot.mountpath

    @property
    def path(self) -> str:
        """The work file, as long as the writer is open."""
        return self._staged.path

    def verify(self) -> None:
        """Before anybody else is given what was written: all of it is there. Raise as `commit`, and end as that does.

        Blocks for nothing.
        """
        try:
            self._settle()
        except BaseException:
            self.abort()
            raise

    def rewrite(self, custom: dict[str, str], facts: dict[str, str], version: str) -> None:
        """Metadata that came to be known while the object was written, and its version. Raise `BadRequest`."""
        staged = self._staged
        custom = {**(staged.custom or {}), **custom}
        check_custom(custom)
        staged.custom, staged.facts, staged.version = custom, {**staged.facts, **facts}, version

    def describe(self, facts: dict[str, str]) -> None:
        """What follows from the content, once all of it was written (`ObjectMeta.facts`)."""
        self._staged.facts = facts

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._staged.size

    @property
    def claim(self) -> tuple[str, str]:
        """Kind and value of the checksum of all that was written, once it is verified."""
        return self._staged.rules.checksum_kind, self._staged.checksum

    def write(self, data: Buffer) -> None:
        """Take the next bytes; the buffer is the caller's again on return.

        Raise `OutOfSpace` or `DiskFailure`, which has ended the writer.
        """
        self._digests.update(data)
        try:
            write_all(self._disk, self._staged.fd, data)
        except OSError as error:
            self.abort()
            raise translate(error, self._staged.path) from error
        self._staged.size += len(data)

    def begin_writing_out(self) -> None:
        """Have the disk begin with what was written, and do not wait. Raise `OSError`."""
        self._disk.start_writing(self._staged.fd, 0, self._staged.size)

    def write_out(self) -> None:
        """Have the content on the disk before it gets its name. Raise `OSError`."""
        self._disk.write_out(self._staged.fd)

    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta:
        """Verify the claimed checksum and make the object; return its metadata.

        `condition` is called under the object's lock with the stored metadata and may raise to refuse. With `wait`
        false, `StripeBusy` says that the lock is taken: call again. Any other exception has ended the writer:
        `ChecksumMismatch`, `BucketNotFound`, `OutOfSpace`, `DiskFailure`, `BadRequest` and those of `condition`.
        """
        staged = self._staged
        try:
            self._settle()
            stored = self._publish(staged, condition, wait)
        except StripeBusy:
            raise
        except BaseException:
            self.abort()
            raise
        self._close()
        return stored

    def _settle(self) -> None:
        if not self._is_verified:
            self._staged.checksum = self._digests.verify(self._staged.bck, self._staged.name)
            self._is_verified = True

    def _publish(self, staged: Staged, condition: Condition | None, wait: bool) -> ObjectMeta:
        return self._publisher.publish(staged, condition, wait)

    def abort(self) -> None:
        """Remove the work file. Does nothing after the end."""
        if self._is_open:
            workfile.discard(self._disk, self._staged.path)
            self._close()

    def _close(self) -> None:
        self._is_open = False
        fd, self._staged.fd = self._staged.fd, -1  # its number may be another file's from now on
        self._disk.close(fd)


class SealedWriter(Writer):
    """The same for content that is encrypted: sizes, claims and the checksum that clients see are those of the content.

    The object's own checksum is that of its file.
    """

    __slots__ = ("_content", "_content_bytes", "_kind", "_seal", "_sealer")

    def __init__(
        self, publisher: Publisher, disk: Disk, staged: Staged, content: Digests, kind: str, seal: Seal
    ) -> None:
        """`content`: of what is written here, a checksum of this `kind`."""
        super().__init__(publisher, disk, staged, Digests(staged.rules.checksum_kind, None))
        self._content = content
        self._kind = kind
        self._seal = seal
        self._sealer = Sealer(seal.key, size=None)
        self._content_bytes = 0

    @property
    def size(self) -> int:
        """Bytes of content written so far."""
        return self._content_bytes

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the content, as `Writer.write`."""
        self._content.update(data)
        self._content_bytes += len(data)
        super().write(self._sealer.seal(data))

    def _settle(self) -> None:
        if not self._is_verified:
            staged = self._staged
            value = self._content.verify(staged.bck, staged.name)
            super().write(self._sealer.finish())
            said = {sealing.CHECKSUM: f"{self._kind}:{value}"} if value else {}
            size = {sealing.SIZE: str(self._content_bytes)}
            staged.facts = {**staged.facts, **self._seal.facts, **size, **said}
        super()._settle()


class Arrival(Writer):
    """A version that another target sends, the latest of its name or one below; `commit` as `Publisher.arrive`."""

    __slots__ = ("_is_head", "_meta")

    def __init__(
        self, publisher: Publisher, disk: Disk, staged: Staged, digests: Digests, meta: ObjectMeta, *, is_head: bool
    ) -> None:
        super().__init__(publisher, disk, staged, digests)
        self._meta = meta
        self._is_head = is_head

    def _publish(self, staged: Staged, _condition: Condition | None, wait: bool) -> ObjectMeta:
        return self._publisher.arrive(staged, self._meta, is_head=self._is_head, wait=wait)
