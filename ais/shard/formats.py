"""The archive formats, and how a shard's is found out: by what the client says, its name, its first bytes."""

import enum

from ais.base.errors import BadRequest, UnknownExtension, UnknownMime


class Format(enum.Enum):
    """Values are the extensions, which are also the names that requests use."""

    TAR = ".tar"
    TGZ = ".tgz"
    ZIP = ".zip"
    LZ4 = ".tar.lz4"

    @property
    def content_type(self) -> str:
        """What HTTP calls it."""
        return _CONTENT_TYPES[self]


_CONTENT_TYPES = {
    Format.TAR: "application/x-tar",
    Format.TGZ: "application/gzip",
    Format.ZIP: "application/zip",
    Format.LZ4: "application/x-lz4",
}
_BY_EXTENSION = {
    ".tar.gz": Format.TGZ,
    ".tar.lz4": Format.LZ4,
    ".tar": Format.TAR,
    ".tgz": Format.TGZ,
    ".zip": Format.ZIP,
}
_BY_MIME = {
    **_BY_EXTENSION,
    **{extension[1:]: found for extension, found in _BY_EXTENSION.items()},
    **{content_type: found for found, content_type in _CONTENT_TYPES.items()},
    "application/tar": Format.TAR,
    "application/tar+gzip": Format.TGZ,
    "application/x-gzip": Format.TGZ,
    "application/x-tgz": Format.TGZ,
    "application/x-zip-compressed": Format.ZIP,
    "application/tar+lz4": Format.LZ4,
}
MAGIC_BYTES = 512
"""How much of a shard `by_magic` looks at."""
_TAR_MAGIC_AT = 257


def by_mime(mime: str) -> Format:
    """The format that a request names: an extension or a content type. Raise `BadRequest`."""
    found = _BY_MIME.get(mime.lower())
    if found is None:
        raise UnknownMime(f'unknown mime type "{mime[:100]}": expected one of {list(_BY_EXTENSION)}')
    return found


def by_name(name: str) -> Format | None:
    """The format that an object's extension says."""
    lower = name.lower()
    return next((found for extension, found in _BY_EXTENSION.items() if lower.endswith(extension)), None)


def by_magic(start: bytes) -> Format | None:
    """The format that the first `MAGIC_BYTES` of the content show."""
    if start[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return Format.TAR
    if start.startswith(b"\x1f\x8b"):
        return Format.TGZ
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Format.ZIP
    if start.startswith(b"\x04\x22\x4d\x18"):
        return Format.LZ4
    return None


def detect(name: str, mime: str, start: bytes) -> Format:
    """The format of an existing shard. Raise `BadRequest` when nothing tells."""
    found = by_mime(mime) if mime else by_name(name) or by_magic(start)
    if found is None:
        raise BadRequest(f'unrecognized or unsupported file format: "{name}"')
    return found


def require(name: str, mime: str) -> Format:
    """The format of a shard that is to be written. Raise `UnknownMime` when neither `mime` nor the name tells."""
    found = by_mime(mime) if mime else by_name(name)
    if found is None:
        extension = "." + name.rpartition(".")[2] if "." in name else ""
        raise UnknownExtension(f'unknown filename extension ("{name}", "{extension}"): use {list(_BY_EXTENSION)}')
    return found
