"""The contents that are stored: each is unique, made again from its number, and recognised when it comes back."""

import hashlib
import random
from dataclasses import dataclass
from typing import NamedTuple

import xxhash

PIECE = 64
"""Every so many bytes a content says whose it is, so that a mixture can be told."""


class Object(NamedTuple):
    """What one name holds: a content by number, and custom metadata as sorted pairs."""

    content: int
    custom: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """How a content is made: of its own bytes, or of the bytes of others one after the other."""

    id: int
    size: int
    parts: tuple[int, ...] = ()


class Contents:
    """All contents of a run."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._all: list[Content] = []
        self._by_digest: dict[bytes, int] = {}
        self._joined: dict[tuple[int, ...], int] = {}

    def new(self, size: int) -> int:
        """A content nobody stored yet; the empty one is always the same. Sizes below 40 bytes cannot be unique."""
        if not size and (empty := self.find(b"")) is not None:
            return empty
        return self._add(Content(len(self._all), size))

    def joined(self, parts: tuple[int, ...]) -> int:
        """The content that is these contents one after the other; the same number for the same parts."""
        flat = tuple(leaf for part in parts for leaf in (self._all[part].parts or (part,)) if self._all[leaf].size)
        if not flat:
            return parts[0]
        if len(flat) == 1:
            return flat[0]
        if flat not in self._joined:
            size = sum(self._all[part].size for part in flat)
            self._joined[flat] = self._add(Content(len(self._all), size, flat))
        return self._joined[flat]

    def size(self, content: int) -> int:
        """Bytes."""
        return self._all[content].size

    def data(self, content: int) -> bytes:
        """The bytes."""
        one = self._all[content]
        if one.parts:
            return b"".join(self.data(part) for part in one.parts)
        head = f"|{self._seed}.{one.id}|".encode()
        piece = head + random.Random(f"{self._seed}.{one.id}").randbytes(PIECE - len(head))
        return (piece * (one.size // PIECE + 1))[: one.size]

    def find(self, data: bytes) -> int | None:
        """Which content these bytes are; None when nobody stored them."""
        return self._by_digest.get(hashlib.blake2b(data, digest_size=16).digest())

    def md5(self, content: int) -> str:
        """Hexadecimal MD5: the entity tag of a single S3 PUT."""
        return hashlib.md5(self.data(content)).hexdigest()

    def xxhash2(self, content: int) -> str:
        """The native checksum of the default kind."""
        return xxhash.xxh64_hexdigest(self.data(content))

    def describe(self, data: bytes) -> str:
        """Bytes nobody stored, in words: whose pieces they are of."""
        pieces: list[str] = []
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            who = (
                "zeros"
                if not piece.strip(b"\0")
                else piece.split(b"|")[1].decode("utf-8", "replace")[:20]
                if piece.count(b"|") > 1
                else "?"
            )
            if not pieces or pieces[-1].split(" x ")[0] != who:
                pieces.append(f"{who} x 1")
            else:
                pieces[-1] = f"{who} x {int(pieces[-1].split(' x ')[1]) + 1}"
        return f"{len(data)} bytes: " + ", ".join(pieces[:8]) + (", ..." if len(pieces) > 8 else "")

    def _add(self, content: Content) -> int:
        self._all.append(content)
        self._by_digest[hashlib.blake2b(self.data(content.id), digest_size=16).digest()] = content.id
        return content.id
