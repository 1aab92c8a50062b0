"""What every backend does. Calls wait for the network and never for a disk; bodies are streamed, a chunk at a time.

Errors are those of `ais.base.errors`: `RemoteBucketNotFound`, `ObjectNotFound`, `AccessDenied`, `RangeNotSatisfiable`,
`NotReady` when the backend says that it is overloaded, `Unreachable` for everything that a later attempt may mend, be
it no answer, an answer that breaks off, or content that is not what the backend says it is.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from email.utils import formatdate
from typing import NamedTuple, Protocol

import msgspec

from ais.api import checksum
from ais.api.bucket import Bck
from ais.backend.detached import Detached
from ais.base.errors import Unreachable
from ais.config.sections import BackendRate, Extra

CHUNK_BYTES = 1 << 20
"""What is read of a body at a time."""
_MD5 = re.compile(r"[0-9a-f]{32}")
SOURCE, ETAG, VERSION, MD5, CRC32C, LAST_MODIFIED = "source", "ETag", "version", "md5", "crc32c", "LastModified"
"""Keys of AIStore's custom metadata, which says what the object is at its backend."""
OF_BACKEND = frozenset({SOURCE, ETAG, VERSION, MD5, CRC32C, LAST_MODIFIED})
LINK = "backend-link"
"""Among the facts of an object of a linked bucket: by which link it came from the backend, or went there."""
CONTENT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
"""What an owner says of the content, beside metadata of his own."""
USER = "x-amz-meta-"
"""In front of the names that an owner gave to metadata of his own."""
_SPAN = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)")
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")


class Place(NamedTuple):
    """A bucket at a backend, and what its properties say about the way there."""

    bck: Bck
    extra: Extra = Extra()
    rate: BackendRate = BackendRate()


class RemoteObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object as its backend describes it. A listing gives no `content` headers and no `user` metadata."""

    name: str
    size: int = 0
    etag: str = ""
    """Without quotes."""
    version: str = ""
    """ID of the version, where the bucket keeps versions; the tag, where objects have one and no ID."""
    modified_s: float = 0.0
    content: dict[str, str] = {}
    """Content headers by lower-case name (`CONTENT_HEADERS`)."""
    user: dict[str, str] = {}
    """Metadata of its owner, by full header name (`x-amz-meta-*`); of other clusters, all there is."""
    claim: tuple[str, str] = (checksum.NONE, "")
    """Kind and value of a checksum of ours that its backend vouches for."""
    told_md5: str = ""
    """Of the content, in hexadecimal digits, where the backend says it apart from the tag."""
    crc32c: str = ""
    """Of the content, in base64."""

    @property
    def is_folder(self) -> bool:
        """Whether it is what tools put in the place of a directory; no object of ours can have such a name."""
        return self.name.endswith("/")

    @property
    def is_told_apart(self) -> bool:
        """Whether its backend says anything by which another object of the same name and size is known."""
        return bool(self.etag or self.version or self.modified_s)

    def is_same_as(self, other: "RemoteObject") -> bool:
        """Whether both are the same object, as far as its backend tells: without versions and tags by their time."""
        if (self.size, self.version) != (other.size, other.version):
            return False
        if self.etag and other.etag:
            return self.etag == other.etag
        return bool(self.version) or self.modified_s == other.modified_s

    @property
    def md5(self) -> str:
        """Of the content: what was told, or the tag when it looks like one; with keys of a key service it is none."""
        return self.told_md5 or (self.etag if _MD5.fullmatch(self.etag) else "")

    def custom(self, provider: str) -> dict[str, str]:
        """As custom metadata, with AIStore's keys."""
        found = {SOURCE: provider}
        if self.etag:
            found[ETAG] = self.etag
        if self.version and self.version != self.etag:
            found[VERSION] = self.version
        if self.md5:
            found[MD5] = self.md5
        if self.crc32c:
            found[CRC32C] = self.crc32c
        if self.modified_s:
            found[LAST_MODIFIED] = datetime.fromtimestamp(self.modified_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return found | self.user

    def facts(self, *, has_checksum: bool) -> dict[str, str]:
        """What the S3 API says about it (`ObjectMeta.facts`): its tag too, when no other checksum of ours is known.

        Otherwise the tag would be taken for the MD5, which not every backend means by it.
        """
        found = {"etag": self.etag} if self.etag and has_checksum else {}
        return found | self.content

    @property
    def http_date(self) -> str:
        """Of its last change."""
        return formatdate(self.modified_s, usegmt=True)


def by_owner(found: Mapping[str, str]) -> dict[str, str]:
    """Metadata that is not kept as headers (`RemoteObject.user`); without what no header can carry."""
    return {
        USER + key.lower(): value
        for key, value in found.items()
        if _NAME.fullmatch(key.lower()) and value.isprintable()
    }


def require_span(content_range: str, offset: int, length: int | None, cname: str) -> None:
    """Raise `Unreachable` unless an answer has the range that was asked for, as its `Content-Range` says."""
    found = _SPAN.fullmatch(content_range)
    if found is not None:
        first, last, size = (int(text) for text in found.groups())
        if (first, last) == (offset, size - 1 if length is None else min(offset + length, size) - 1):
            return
    raise Unreachable(f"{cname}: its backend sent another range than it was asked for")


class RemotePage(msgspec.Struct, frozen=True):
    """Objects and common prefixes in order of name, and whether more follow."""

    objects: list[RemoteObject]
    prefixes: list[str]
    has_more: bool

    @property
    def last(self) -> str:
        """The greatest name; empty when there is none."""
        return max([one.name for one in self.objects[-1:]] + self.prefixes[-1:], default="")


def is_common_prefix(name: str, prefix: str, delimiter: str) -> bool:
    """Whether a name of a page stands for all that begin with it. An object may be named as the prefix is."""
    return bool(delimiter) and name.endswith(delimiter) and name != prefix


class Download(NamedTuple):
    """An object, or a range of it, that is being read, in one of two ways."""

    found: RemoteObject
    chunks: AsyncIterator[bytes]
    """Ends behind the last byte, and raises when that does not come, or all of it is not what the backend says."""
    detach: Callable[[], Detached | None] = lambda: None
    """Instead of `chunks`, for large ones: None when these have to be used. Who reads compares `found.claim`."""


class Upload(Protocol):
    """Content to be sent: of a known size, read in any order and more than once."""

    @property
    def size(self) -> int: ...
    @property
    def claim(self) -> tuple[str, str]:
        """Kind and value of its checksum, for backends that compare such."""

    async def read(self, offset: int, length: int) -> bytes: ...


class Backend(Protocol):
    """A provider. Any number of calls at a time."""

    @property
    def is_read_only(self) -> bool:
        """Whether it takes no changes: nothing happens here either then."""

    async def buckets(self) -> list[Bck]:
        """All buckets that the credentials show."""

    async def head_bucket(self, place: Place) -> Extra:
        """What its properties should say about the way there. Raise `RemoteBucketNotFound`."""

    async def page(self, place: Place, prefix: str, after: str, limit: int, delimiter: str = "") -> RemotePage:
        """Up to `limit` names that begin with `prefix` and are greater than `after`."""

    async def head(self, place: Place, name: str) -> RemoteObject:
        """One object. Raise `ObjectNotFound`."""

    def get(
        self, place: Place, name: str, offset: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[Download]:
        """Read an object, or `length` bytes from `offset` on. Raise `ObjectNotFound`, `RangeNotSatisfiable`."""

    async def put(self, place: Place, name: str, content: Upload, user: dict[str, str]) -> RemoteObject:
        """Store an object, as a whole or not at all. `user`: metadata (clouds: `x-amz-meta-*`) and content headers."""

    async def delete(self, place: Place, name: str) -> None:
        """Remove an object; one that is not there is no error."""

    async def close(self) -> None:
        """End all connections."""
