"""Checksums of content, by the cluster's names for them."""

import hashlib
from collections.abc import Callable
from typing import Protocol

import xxhash

from aisclient.errors import ChecksumMismatch

DEFAULT = "xxhash2"
Buffer = bytes | bytearray | memoryview


class Hasher(Protocol):
    """What every kind offers."""

    def update(self, data: Buffer, /) -> object: ...

    def hexdigest(self) -> str: ...


_KINDS: dict[str, Callable[[], Hasher]] = {
    "xxhash": xxhash.xxh64,
    DEFAULT: xxhash.xxh64,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
}

try:
    import google_crc32c
except ImportError:
    pass
else:

    class _Crc32c:
        def __init__(self) -> None:
            self._value = 0

        def update(self, data: Buffer) -> None:
            self._value = google_crc32c.extend(self._value, bytes(data))

        def hexdigest(self) -> str:
            return f"{self._value:08x}"

    _KINDS["crc32c"] = _Crc32c


def hasher(kind: str) -> Hasher | None:
    """A fresh hasher; None for `none` and for a kind that is not installed here (crc32c without google-crc32c)."""
    make = _KINDS.get(kind)
    return make() if make else None


def mismatch(kind: str, expected: str, found: str, what: str) -> ChecksumMismatch:
    """The error of content that has another checksum."""
    return ChecksumMismatch(f"{what}: damaged on its way: {kind} is {found}, should be {expected}")


def of(data: Buffer) -> str:
    """The default checksum of bytes."""
    return xxhash.xxh64_hexdigest(data)
