"""Listing objects (`wire.md` §11): the request, its flags and properties, the page and its two encodings.

A page's continuation token is the last name in it; the next page holds names strictly greater. Between proxy and target
the same messages are used; a target's token is empty exactly when it has nothing more.
"""

from enum import IntEnum, IntFlag, StrEnum
from typing import Any

import msgspec

from ais.api import codec
from ais.api.codec import U64
from ais.base import names
from ais.base.errors import BadRequest, Unsupported

PAGE_SIZE_DEFAULT = 10_000
PAGE_SIZE_MAX = 100_000
"""Larger pages are cut to this: a page lives in memory as a whole."""


class Flag(IntFlag):
    """Bits of the request's `flags`."""

    CACHED = 1 << 0
    MISSING = 1 << 1
    DELETED = 1 << 2
    ARCHIVE_DIRS = 1 << 3
    NAME_ONLY = 1 << 4
    NAME_SIZE = 1 << 5
    BUCKET_PRESENT = 1 << 6
    DONT_HEAD_REMOTE = 1 << 7
    DONT_ADD_REMOTE = 1 << 8
    NOT_CACHED = 1 << 9
    ONLY_REMOTE_PROPS = 1 << 10
    NO_RECURSION = 1 << 11
    DIFF = 1 << 12
    NO_DIRS = 1 << 13
    IS_S3 = 1 << 14
    INVENTORY = 1 << 15


class Kind(StrEnum):
    """What proxies ask targets to list. Entries of the S3 kinds carry what S3 shows instead of `props`."""

    NATIVE = ""
    OBJECTS = "objects"
    VERSIONS = "versions"
    UPLOADS = "uploads"


class EntryStatus(IntEnum):
    """What the lowest five bits of an entry's `flags` say."""

    OK = 0
    MISPLACED_NODE = 1
    MISPLACED_MOUNTPATH = 2
    IS_COPY = 3
    COPY_OF_MISSING = 4


class EntryFlag(IntFlag):
    """The other bits of an entry's `flags`."""

    PRESENT = 1 << 6
    IN_ARCHIVE = 1 << 7
    IS_DIR = 1 << 8
    IS_ARCHIVE = 1 << 9
    VERSION_CHANGED = 1 << 10
    VERSION_REMOVED = 1 << 11
    HEAD_FAILED = 1 << 12
    CHUNKED = 1 << 13
    LATEST = 1 << 14
    """Of a version: the one that the key stands for."""
    DELETE_MARKER = 1 << 15


_IS_DIR = int(EntryFlag.IS_DIR)
STATUS_MASK = 0x1F
PROPS = (
    "name",
    "size",
    "version",
    "checksum",
    "atime",
    "cached",
    "status",
    "copies",
    "ec",
    "custom",
    "location",
    "chunked",
)
_FLAGS_SERVED = (
    Flag.CACHED
    | Flag.ARCHIVE_DIRS
    | Flag.MISSING
    | Flag.DELETED
    | Flag.NAME_ONLY
    | Flag.NAME_SIZE
    | Flag.BUCKET_PRESENT
    | Flag.DONT_HEAD_REMOTE
    | Flag.DONT_ADD_REMOTE
    | Flag.NOT_CACHED
    | Flag.ONLY_REMOTE_PROPS
    | Flag.NO_RECURSION
    | Flag.DIFF
    | Flag.NO_DIRS
    | Flag.IS_S3
    | Flag.INVENTORY
)
_NOT_OF_INVENTORY = (
    Flag.NOT_CACHED | Flag.MISSING | Flag.DELETED | Flag.ARCHIVE_DIRS | Flag.ONLY_REMOTE_PROPS | Flag.DIFF
)


class LsoMsg(msgspec.Struct, frozen=True):
    """The value of action `list` on a bucket. `delimiter` and `kind` are between our nodes: `normalise` sets them."""

    uuid: str = ""
    props: str = ""
    time_format: str = ""
    prefix: str = ""
    start_after: str = ""
    continuation_token: str = ""
    target: str = ""
    flags: U64 = U64(0)
    pagesize: int = 0
    delimiter: str = ""
    kind: Kind = Kind.NATIVE

    @property
    def after(self) -> str:
        """The greatest name the client has seen: the page starts behind it."""
        return max(self.start_after, self.continuation_token)

    def wants(self, prop: str) -> bool:
        """Whether entries should carry `prop`, one of `PROPS`."""
        return prop in self.props

    def has(self, flag: Flag) -> bool:
        """Whether `flag` is set."""
        return bool(self.flags & flag)


class Entry(msgspec.Struct, omit_defaults=True, gc=False):
    """One name of a page; the field names are the msgpack keys.

    Those from `e` on are for S3: entity tag, time of last change in Unix nanoseconds, algorithm and type of the
    checksum, who began an upload. The name of a version or upload is its key, a NUL, and what sorts it among others of
    that key.
    """

    n: str
    cs: str = ""
    a: str = ""
    v: str = ""
    t: str = ""
    m: str = ""
    s: int = 0
    c: int = 0
    f: int = 0
    e: str = ""
    i: int = 0
    k: str = ""
    y: str = ""
    u: str = ""

    @property
    def is_dir(self) -> bool:
        """Whether this is a common prefix: a virtual directory of a non-recursive listing."""
        return bool(self.f & _IS_DIR)

    @property
    def status(self) -> int:
        """An `EntryStatus`."""
        return self.f & STATUS_MASK


class Page(msgspec.Struct):
    """One page; the field names are the msgpack keys."""

    UUID: str
    ContinuationToken: str
    Entries: list[Entry] | None
    Flags: int = 0


class _JsonEntry(msgspec.Struct, omit_defaults=True):
    """Fields that are zero or empty are left out."""

    name: str
    checksum: str = ""
    atime: str = ""
    version: str = ""
    location: str = ""
    custom_md: str = msgspec.field(default="", name="custom-md")
    size: U64 | msgspec.UnsetType = msgspec.UNSET
    copies: int = 0
    flags: int = 0


class _JsonPage(msgspec.Struct):
    uuid: str
    continuation_token: str
    entries: list[_JsonEntry] | None
    flags: int


_decoder = msgspec.msgpack.Decoder(Page)
_encoder = msgspec.msgpack.Encoder()


def encode_page(page: Page) -> bytes:
    """The msgpack form, which published clients require."""
    return _encoder.encode(page)


def decode_page(body: bytes) -> Page:
    """Read a msgpack page. Raise `BadRequest` when it is not one."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise BadRequest(f"not a listing page: {error}") from None


def page_to_json(page: Page) -> bytes:
    """The JSON form, for those who do not ask for msgpack."""
    entries = [
        _JsonEntry(e.n, e.cs, e.a, e.v, e.t, e.m, U64(e.s) if e.s else msgspec.UNSET, e.c, e.f)
        for e in page.Entries or ()
    ]
    return codec.to_json(_JsonPage(page.UUID, page.ContinuationToken, entries or None, page.Flags))


def page_from_json(value: Any) -> Page:
    """Rebuild a page from its parsed JSON form. Raise `BadRequest`."""
    page = codec.convert(value, _JsonPage)
    entries = [
        Entry(e.name, e.checksum, e.atime, e.version, e.location, e.custom_md, int(e.size or 0), e.copies, e.flags)
        for e in page.entries or ()
    ]
    return Page(page.uuid, page.continuation_token, entries, page.flags)


def parse(value: Any) -> LsoMsg:
    """The value of a client's `list`, as strict as AIStore is. Raise `BadRequest` naming the field."""
    if not isinstance(value, dict):
        raise BadRequest('listing objects needs a value, an object such as {"props": "name,size"}')
    return codec.convert_strictly(value, LsoMsg)


def normalise(message: LsoMsg, *, is_ais: bool) -> LsoMsg:
    """A valid request with its defaults filled in. Raise `BadRequest` for what can never be served, `Unsupported` else.

    Afterwards `props` is never empty, `flags` and `delimiter` agree, `pagesize` is positive, `prefix` has no final `*`.
    """
    flags = Flag(message.flags & 0xFFFF)
    _check_flags(message, flags, is_ais=is_ais)
    props, flags = _effective_props(message.props, flags)
    prefix = message.prefix.rstrip("*")
    for name in (prefix, message.start_after, message.continuation_token):
        names.check_object_prefix(name)
    if message.pagesize < 0:
        raise BadRequest(f"pagesize must not be negative, got {message.pagesize}")
    return msgspec.structs.replace(
        message,
        props=props,
        flags=U64(flags),
        prefix=prefix,
        pagesize=min(message.pagesize or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX),
        delimiter="/" if flags & Flag.NO_RECURSION else "",
        kind=Kind.NATIVE,
    )


def _check_flags(message: LsoMsg, flags: Flag, *, is_ais: bool) -> None:
    if message.flags < 0 or message.flags >> 16:
        raise BadRequest(f"invalid list-objects flags {int(message.flags)}: bits above 15 have no meaning")
    if unserved := flags & ~_FLAGS_SERVED:
        raise Unsupported(f"cannot list objects with flag {unserved.name} - operation not supported")
    if flags & Flag.INVENTORY and (unserved := flags & _NOT_OF_INVENTORY):
        raise BadRequest(f"invalid list via native bucket inventory: flags:{unserved.name}")
    if flags & Flag.INVENTORY and is_ais:
        raise BadRequest("buckets without a backend have no inventory: list them as they are")
    if is_ais and flags & Flag.NOT_CACHED:
        raise BadRequest("cannot list not-cached objects of an ais:// bucket: all its objects are in the cluster")
    if message.start_after and not is_ais:
        raise BadRequest("start_after is supported for ais:// buckets only")
    if flags & Flag.DIFF:
        if flags & (Flag.NAME_ONLY | Flag.NAME_SIZE | Flag.CACHED | Flag.NOT_CACHED) or "custom" not in message.props:
            raise BadRequest(
                "flag diff requires property custom, and excludes name-only, name-size, cached, not-cached"
            )
        if is_ais:
            raise BadRequest("flag diff compares with a remote backend: the bucket has none")


def _effective_props(props: str, flags: Flag) -> tuple[str, Flag]:
    """Properties and flags after defaults: an empty `props` depends on flag cached, name-only wins over all."""
    tokens = [token.strip() for token in props.split(",") if token.strip()]
    for token in tokens:
        if token not in PROPS:
            raise BadRequest(f'invalid property "{token}" in props list (expected one of {list(PROPS)})')
    if flags & Flag.NAME_ONLY or tokens == ["name"]:
        return "name", flags | Flag.NAME_ONLY
    if flags & Flag.NAME_SIZE or tokens in (["name", "size"], ["size", "name"]):
        return "name,size", flags | Flag.NAME_SIZE
    if not tokens:
        if flags & Flag.CACHED:
            return "name,size,checksum,atime", flags
        return "name,size,cached", flags | Flag.NAME_SIZE
    return ",".join(tokens), flags
