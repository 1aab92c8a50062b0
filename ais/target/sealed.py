"""Content that is encrypted in parts, each a stream of its own (`ais.core.sealing`)."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

from ais.base.errors import BadRequest
from ais.core.meta import ObjectMeta
from ais.core.multipart import Part
from ais.core.part_writer import PartWriter
from ais.core.publish import Condition
from ais.core.sealing import Sealer
from ais.core.workfile import Buffer
from ais.core.writer import Writer
from ais.fs.mountpath import Mountpath

CONTENT_MD5 = "content-md5"
"""Among the digests of an encrypted part: hexadecimal."""


def part_etag(part: Part) -> str:
    """The entity tag of a part, unquoted."""
    return part.digests.get(CONTENT_MD5) or part.md5.hex()


class ObjectWriter(Protocol):
    """What takes the content of an object: `ais.core.writer.Writer`, or one that seals."""

    @property
    def mountpath(self) -> Mountpath: ...
    def write(self, data: Buffer, /) -> None: ...
    def describe(self, facts: dict[str, str], /) -> None: ...
    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta: ...
    def abort(self) -> None: ...


class SealedParts:
    """A `Writer` for content that was uploaded in parts of these sizes: each is sealed as a stream of its own."""

    def __init__(self, writer: Writer, key: bytes, sizes: Sequence[int]) -> None:
        self._writer = writer
        self._key = key
        self._sizes = sizes
        self._part, self._left = 0, 0
        self._sealer: Sealer | None = None

    @property
    def mountpath(self) -> Mountpath:
        """Where the bytes go."""
        return self._writer.mountpath

    def describe(self, facts: dict[str, str]) -> None:
        """See `Writer`."""
        self._writer.describe(facts)

    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta:
        """Make the object, as `Writer.commit`."""
        return self._writer.commit(condition, wait)

    def abort(self) -> None:
        """Remove the work file."""
        self._writer.abort()

    def write(self, data: Buffer) -> None:
        """Seal and write the next bytes. Raise `BadRequest` when there are more than the parts have."""
        view = memoryview(data)
        while view:
            if self._sealer is None:
                self._begin()
            assert self._sealer is not None
            taken = view[: self._left]
            self._writer.write(self._sealer.seal(taken))
            view, self._left = view[len(taken) :], self._left - len(taken)
            if not self._left:
                self._writer.write(self._sealer.finish())
                self._sealer = None

    def _begin(self) -> None:
        if self._part >= len(self._sizes):
            raise BadRequest("content is longer than its parts")
        size, self._part = self._sizes[self._part], self._part + 1
        self._sealer, self._left = Sealer(self._key, size=size, part=self._part), size


class SealedPart:
    """A `PartWriter` for copied content that is sealed."""

    def __init__(self, writer: PartWriter, sealer: Sealer) -> None:
        self._writer = writer
        self._sealer = sealer
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, data: Buffer) -> None:
        """Seal and write the next bytes."""
        self._md5.update(data)
        self._writer.write(self._sealer.seal(memoryview(data)))

    def commit(self, digests: dict[str, str]) -> Part:
        """End the stream and keep the part, with the MD5 of its content."""
        self._writer.write(self._sealer.finish())
        return self._writer.commit({**digests, CONTENT_MD5: self._md5.hexdigest()})

    def abort(self) -> None:
        """Forget the part."""
        self._writer.abort()
