"""Large objects: several ranged reads, or several parts, at a time."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aisclient import checksums
from aisclient.body import Meter, OnProgress
from aisclient.errors import AISError, OutcomeUnknown, Unreachable

if TYPE_CHECKING:
    from aisclient.attributes import ObjectAttributes
    from aisclient.objects import AsyncObject

PART_BYTES = 8 << 20
UPLOAD_PART_BYTES = 16 << 20
PARTS_MAX = 9999
ATTRIBUTES = "size,checksum,version,last-modified,etag"


async def read(obj: AsyncObject, num_workers: int, part_bytes: int, on_progress: OnProgress | None) -> bytearray:
    """All of an object. Raise `ChecksumMismatch` also when it was replaced meanwhile."""
    attributes = await obj.head(ATTRIBUTES)
    content = bytearray(attributes.size)
    view, meter = memoryview(content), Meter(on_progress, attributes.size)

    async def fetch(start: int) -> memoryview:
        part = view[start : start + part_bytes]
        await _fill(obj, part, start, meter)
        return part

    hasher = checksums.hasher(attributes.checksum_type)
    async for part in obj.driver.ordered(fetch, range(0, attributes.size, part_bytes), num_workers):
        if hasher is not None:
            hasher.update(part)
    await _check(obj, attributes, hasher)
    return content


async def download(
    obj: AsyncObject, path: str | os.PathLike[str], num_workers: int, part_bytes: int, on_progress: OnProgress | None
) -> ObjectAttributes:
    """All of an object into a file that appears when it is whole."""
    attributes = await obj.head(ATTRIBUTES)
    meter = Meter(on_progress, attributes.size)
    goal = Path(path)
    descriptor, aside = tempfile.mkstemp(prefix=f".{goal.name[:100]}.", dir=goal.parent)
    try:

        async def fetch(start: int) -> memoryview:
            part = memoryview(bytearray(min(part_bytes, attributes.size - start)))
            await _fill(obj, part, start, meter)
            await obj.driver.blocking(_write, descriptor, part, start)
            return part

        hasher = checksums.hasher(attributes.checksum_type)
        async for part in obj.driver.ordered(fetch, range(0, attributes.size, part_bytes), num_workers):
            if hasher is not None:
                hasher.update(part)
        await _check(obj, attributes, hasher)
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(descriptor, 0o666 & ~mask)
        os.replace(aside, goal)
    except BaseException:
        os.unlink(aside)
        raise
    finally:
        os.close(descriptor)
    return attributes


async def upload(
    obj: AsyncObject,
    path: str | os.PathLike[str],
    size: int,
    num_workers: int,
    part_bytes: int,
    on_progress: OnProgress | None,
) -> ObjectAttributes:
    """A file in parts. What cannot be finished is forgotten by the cluster too."""
    part_bytes = max(part_bytes, -(-size // PARTS_MAX))
    meter = Meter(on_progress, size)
    whole = checksums.hasher(checksums.DEFAULT)
    assert whole is not None
    sending = await obj.multipart_upload().create()

    async def send(start: int) -> bytes:
        data = await obj.driver.blocking(_read, path, start, min(part_bytes, size - start))
        await sending.put(start // part_bytes + 1, data, meter.part())
        return data

    try:
        async for data in obj.driver.ordered(send, range(0, size, part_bytes), num_workers):
            whole.update(data)
    except BaseException:
        await _forget(sending.abort())
        raise
    try:
        await sending.complete()
    except OutcomeUnknown:
        if (await obj.head(ATTRIBUTES)).checksum_value != whole.hexdigest():
            raise
    stored = await obj.head(ATTRIBUTES)
    if stored.checksum_type in ("xxhash", checksums.DEFAULT) and stored.checksum_value != whole.hexdigest():
        raise checksums.mismatch(stored.checksum_type, whole.hexdigest(), stored.checksum_value, obj.url)
    return stored


async def _fill(obj: AsyncObject, part: memoryview, start: int, meter: Meter) -> None:
    count = await obj.read_into(part, start, verify=False)
    if count != len(part):
        raise Unreachable(f"{obj.url} was replaced while it was read")
    meter.add(count)


async def _check(obj: AsyncObject, attributes: ObjectAttributes, hasher: checksums.Hasher | None) -> None:
    """Raise when the parts are not of one version of the object."""
    if hasher is None:
        if not attributes.is_same_content(await obj.head(ATTRIBUTES)):
            raise Unreachable(f"{obj.url} was replaced while it was read")
    elif hasher.hexdigest() != attributes.checksum_value:
        raise checksums.mismatch(attributes.checksum_type, attributes.checksum_value, hasher.hexdigest(), obj.url)


async def _forget(abort: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(AISError):
        await abort


def _read(path: str | os.PathLike[str], start: int, size: int) -> bytes:
    with open(path, "rb", 0) as file:
        data = os.pread(file.fileno(), size, start)
    if len(data) != size:
        raise ValueError(f"{os.fspath(path)} became shorter while it was sent")
    return data


def _write(descriptor: int, data: memoryview, start: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, start)
        data, start = data[count:], start + count
