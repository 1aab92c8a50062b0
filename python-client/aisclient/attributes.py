"""What is known about an object and a listed name."""

from collections.abc import Mapping
from typing import Any

import msgspec


class ObjectAttributes(msgspec.Struct, frozen=True):
    """Named as in AIStore's SDK; what an answer does not tell is empty."""

    size: int = 0
    checksum_type: str = ""
    checksum_value: str = ""
    obj_version: str = ""
    access_time: str = ""
    """Nanoseconds since 1970."""
    custom_metadata: dict[str, str] = {}
    present: bool = True
    location: str = ""
    mirror_copies: int = 0
    last_modified: str = ""
    etag: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str], custom: dict[str, str]) -> "ObjectAttributes":
        """From the headers of an answer, by lower-case name."""
        get = headers.get
        total = get("content-range", "").rpartition("/")[2]
        return cls(
            size=int(total if total.isdecimal() else get("content-length", "0")),
            checksum_type=get("ais-checksum-type", ""),
            checksum_value=get("ais-checksum-value", ""),
            obj_version=get("ais-version", ""),
            access_time=get("ais-atime", ""),
            custom_metadata=custom,
            present=get("ais-present", "true") == "true",
            location=get("ais-location", ""),
            mirror_copies=int(get("ais-mirror-copies", "0")),
            last_modified=get("last-modified", ""),
            etag=get("etag", "").strip('"'),
        )

    def is_same_content(self, other: "ObjectAttributes") -> bool:
        """Whether two answers are about the same version of an object."""
        return (self.size, self.obj_version, self.checksum_value, self.last_modified) == (
            other.size, other.obj_version, other.checksum_value, other.last_modified,
        )  # fmt: skip


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A listed name. Which fields are set is what `props` asked for."""

    name: str = msgspec.field(name="n", default="")
    size: int = msgspec.field(name="s", default=0)
    checksum: str = msgspec.field(name="cs", default="")
    atime: str = msgspec.field(name="a", default="")
    version: str = msgspec.field(name="v", default="")
    location: str = msgspec.field(name="t", default="")
    custom: str = msgspec.field(name="m", default="")
    copies: int = msgspec.field(name="c", default=0)
    flags: int = msgspec.field(name="f", default=0)

    @property
    def is_dir(self) -> bool:
        """A directory of a listing that does not go down; its name ends with `/`."""
        return bool(self.flags & _IS_DIR)

    @property
    def is_cached(self) -> bool:
        """Whether the cluster has the object, not only its remote backend."""
        return bool(self.flags & _IS_CACHED)


class Page(msgspec.Struct, frozen=True):
    """One page of a listing; `token` asks for the next, and is empty at the end."""

    uuid: str = msgspec.field(name="UUID", default="")
    token: str = msgspec.field(name="ContinuationToken", default="")
    found: list[Entry] | None = msgspec.field(name="Entries", default=None)
    flags: int = msgspec.field(name="Flags", default=0)

    @property
    def entries(self) -> list[Entry]:
        return self.found or []


_IS_CACHED, _IS_DIR = 1 << 6, 1 << 8
_page = msgspec.msgpack.Decoder(Page)


def decode_page(body: bytes) -> Page:
    """Raise `msgspec.DecodeError`."""
    return _page.decode(body)


def message(action: str, name: str = "", value: Any = None) -> bytes:
    """The JSON of a control request."""
    return msgspec.json.encode({"action": action, "name": name, "value": value})
