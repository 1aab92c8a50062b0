"""Many objects of one bucket in the order asked for, some batches ahead of whoever takes them.

A batch is one request (`/v1/ml/moss`): a target collects the objects from all others and sends them as one tar.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from aisclient.body import Body
from aisclient.connection import Answer
from aisclient.errors import AISError, ErrObjNotFound

if TYPE_CHECKING:
    from aisclient.buckets import AsyncBucket

BATCH_NAMES_MIN, BATCH_NAMES_MAX = 16, 1024
BATCH_BYTES = 16 << 20
"""What a batch is to hold; how many names that is, the batches before it tell."""
_BLOCK = 512
_MISSING = "__404__/"


async def get_many(
    bucket: AsyncBucket, names: Iterable[str], ahead: int, *, missing_ok: bool
) -> AsyncGenerator[tuple[str, bytes | None]]:
    """See `AsyncBucket.get_many`."""
    batches = _Batches(names)

    async def fetch(batch: list[str]) -> list[tuple[str, bytes | None]]:
        found = await fetch_batch(bucket, batch)
        batches.learn(len(found), sum(len(data) for _, data in found if data is not None))
        return found

    async for found in bucket.driver.ordered(fetch, batches, ahead):
        for name, data in found:
            if data is None and not missing_ok:
                raise ErrObjNotFound(f"{bucket.bck.url}/{name} does not exist", 404, "ErrNotFound")
            yield name, data


class _Batches:
    """Names by batches, as many in each as fit."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names, self._size = iter(names), BATCH_NAMES_MIN * 4

    def learn(self, count: int, size_bytes: int) -> None:
        fitting = BATCH_BYTES * count // max(size_bytes, 1)
        self._size = max(BATCH_NAMES_MIN, min(BATCH_NAMES_MAX, fitting, self._size * 4))

    def __iter__(self) -> Iterator[list[str]]:
        while batch := [name for _, name in zip(range(self._size), self._names, strict=False)]:
            yield batch


async def fetch_batch(bucket: AsyncBucket, names: Sequence[str]) -> list[tuple[str, bytes | None]]:
    """Content by name, None where there is no object. Raise `AISError`, `Unreachable`."""
    transport, bck = bucket.transport, bucket.bck
    message = {"in": [{"objname": name} for name in names], "mime": ".tar", "coer": True, "onob": True, "strm": True}
    body = Body.of(msgspec.json.encode(message))
    target = f"/v1/ml/moss/{bck.quoted_name}?{bck.query}"

    async def attempt() -> list[tuple[str, bytes | None]]:
        with await transport.send("GET", target, body=body, is_repeatable=True) as answer:
            return await _read_tar(answer, names, bck.url)

    return await transport.persist(attempt, f"{bck.url}: a batch of {len(names)} objects")


class _Torn(OSError):
    """An archive that ended too early."""


async def _read_tar(answer: Answer, names: Sequence[str], where: str) -> list[tuple[str, bytes | None]]:
    source = _Source(answer)
    found: list[tuple[str, bytes | None]] = []
    for name in names:
        member, data = await _member(source)
        if member == name:
            found.append((name, data))
        elif member == _MISSING + name:
            found.append((name, None))
        else:
            raise AISError(f"{where}: a batch has {member!r} in the place of {name!r}")
    await source.finish()
    return found


async def _member(source: _Source) -> tuple[str, bytes]:
    """Name and content of the next file; its name may be in a header of its own (GNU, pax)."""
    long_name, long_size = "", -1
    while True:
        head = await source.take(_BLOCK)
        if head.count(0) == _BLOCK:
            raise _Torn("the archive ended before its last file")
        size = _size(head[124:136])
        kind = head[156:157]
        data = await source.take(size if long_size < 0 or kind not in b"0\0" else long_size)
        await source.take(-len(data) % _BLOCK)
        if kind == b"L":
            long_name = data.rstrip(b"\0").decode()
        elif kind == b"x":
            records = _pax(data)
            long_name = records.get("path", long_name)
            long_size = int(records.get("size", "-1"))
        elif kind in (b"0", b"\0"):
            prefix = head[345:500].rstrip(b"\0") if head[257:263] == b"ustar\0" else b""
            short = head[:100].rstrip(b"\0")
            return long_name or (prefix + b"/" + short if prefix else short).decode(), data


def _size(field: bytes) -> int:
    return int.from_bytes(field[1:], "big") if field[0] & 0x80 else int(field.rstrip(b"\0 ") or b"0", 8)


def _pax(data: bytes) -> dict[str, str]:
    records = {}
    while data:
        length = int(data[: data.index(b" ")])
        key, _, value = data[data.index(b" ") + 1 : length - 1].partition(b"=")
        records[key.decode()] = value.decode()
        data = data[length:]
    return records


class _Source:
    """Bytes of an answer, as many as are asked for."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self._data, self._start = answer, b"", 0

    async def take(self, size: int) -> bytes:
        end = self._start + size
        if end > len(self._data):
            pieces = [self._data[self._start :]]
            have = len(pieces[0])
            while have < size:
                piece = await self._answer.read(1 << 20)
                if not piece:
                    raise _Torn("the archive ended before its last file")
                pieces.append(piece)
                have += len(piece)
            self._data, self._start, end = b"".join(pieces), 0, size
        data = self._data[self._start : end]
        self._start = end
        return data

    async def finish(self) -> None:
        while await self._answer.read(1 << 20):
            pass
