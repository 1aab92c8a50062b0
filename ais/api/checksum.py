"""Checksum kinds (`wire.md` §18): name, hasher, and how the digest is written."""

import hashlib
from collections.abc import Callable
from typing import Protocol

import google_crc32c
import xxhash

from ais.base.errors import BadRequest

NONE = "none"
CRC32C = "crc32c"
DEFAULT = "xxhash2"


class Hasher(Protocol):
    """What every kind offers; `update` releases the GIL for large buffers."""

    def update(self, data: bytes | memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


class _Crc32c:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = google_crc32c.extend(self._value, bytes(data) if isinstance(data, memoryview) else data)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


_HASHERS: dict[str, Callable[[], Hasher]] = {
    "xxhash": xxhash.xxh64,
    "xxhash2": xxhash.xxh64,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    CRC32C: _Crc32c,
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
}
KINDS = (NONE, *_HASHERS)


def check_kind(kind: str) -> None:
    """Raise `BadRequest` unless `kind` is one we compute."""
    if kind not in KINDS:
        raise BadRequest(f'invalid checksum type "{kind}": must be one of {list(KINDS)}')


def compute(kind: str, data: bytes | memoryview) -> str:
    """The checksum of data that is here as a whole; empty for `none`. Raise as `new_hasher`."""
    if kind == DEFAULT:
        return xxhash.xxh64_hexdigest(data)
    hasher = new_hasher(kind)
    if hasher is None:
        return ""
    hasher.update(data)
    return hasher.hexdigest()


def new_hasher(kind: str) -> Hasher | None:
    """A fresh hasher, or None for `none`. Raise `BadRequest` for an unknown kind."""
    if kind == NONE:
        return None
    try:
        return _HASHERS[kind]()
    except KeyError:
        check_kind(kind)
        raise
