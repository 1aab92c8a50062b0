"""Calls about objects (wire contract §10). Content streams in both directions: memory does not grow with its size."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import BinaryIO, NamedTuple, Protocol
from urllib.parse import quote

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from ais.api import actions, checksum, query
from ais.api import headers as header
from ais.api.bucket import Bck
from ais.api.errors import RemoteError
from ais.api.promotion import ACTION, PromoteMsg
from ais.base.errors import ChecksumMismatch, Unreachable
from ais.client import paths
from ais.client.body import CHUNK_BYTES, Body, BytesBody, Meter, OnBytes, ignore_bytes
from ais.client.transport import RETRY_DELAY_S, RETRY_DELAY_S_MAX, RETRY_FACTOR, Transport

ALL_PROPS = "name,size,version,checksum,atime,location,copies,ec,custom,chunked,last-modified,etag"


class ObjectAttributes(msgspec.Struct, frozen=True):
    """What an answer's headers tell about an object; what they do not tell is empty."""

    size: int = 0
    checksum_kind: str = checksum.NONE
    checksum: str = ""
    version: str = ""
    atime_ns: int = 0
    custom: dict[str, str] = {}
    is_present: bool = True
    location: str = ""
    copies: int = 0
    last_modified: str = ""
    etag: str = ""


LOCKED = 423
"""Status of the answer about an object that somebody writes."""


class Claim(NamedTuple):
    """A checksum the sender vouches for: the object becomes visible only if its content has it."""

    kind: str
    value: str


class Sink(Protocol):
    """Where downloaded bytes go, in order."""

    def write(self, data: bytes, /) -> object: ...


class Reader:
    """An object being read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.attributes = attributes_of(response.headers)
        self.is_whole = response.status == 200
        self.length = response.content_length
        self.content_range = response.headers.get("Content-Range", "")
        self.response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content in pieces of at most 256 KiB. Raise `Unreachable` when the connection breaks."""
        try:
            async for piece in self.response.content.iter_chunked(CHUNK_BYTES):
                yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"lost the connection while reading {self.response.url.path}: {error}") from error

    async def copy_to(self, sink: Sink, *, context: str, verify: bool = True, on_bytes: OnBytes = ignore_bytes) -> int:
        """Write the content to `sink` and give its length.

        Raise `ChecksumMismatch` (after all was written) when a whole object does not have its checksum and `verify`.
        """
        kind = self.attributes.checksum_kind if verify and self.is_whole else checksum.NONE
        hasher = checksum.new_hasher(kind) if kind in checksum.KINDS else None
        count = 0
        async for piece in self.chunks():
            if hasher is not None:
                hasher.update(piece)
            sink.write(piece)
            count += len(piece)
            on_bytes(len(piece))
        if self.length is not None and count != self.length:
            raise Unreachable(f"{context}: the connection ended after {count} of {self.length} bytes")
        if hasher is not None and hasher.hexdigest() != self.attributes.checksum:
            raise ChecksumMismatch(kind, self.attributes.checksum, hasher.hexdigest(), context)
        return count


class Objects:
    """Made by `Client`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def put(
        self,
        bck: Bck,
        name: str,
        body: Body,
        *,
        claim: Claim | None = None,
        custom: Mapping[str, str] | None = None,
        skip_version_check: bool = False,
        on_bytes: OnBytes = ignore_bytes,
    ) -> ObjectAttributes:
        """Store an object, new or over an existing one; it is visible, whole, when this returns.

        Raise `ChecksumMismatch` when the content is not what `claim` says, `OutOfSpace`, `BucketNotFound`.
        """
        wanted = paths.query_of(bck) | ({query.SKIP_VC: "true"} if skip_version_check else {})
        headers: CIMultiDict[str] = CIMultiDict()
        if claim is not None:
            headers[header.CHECKSUM_TYPE], headers[header.CHECKSUM_VALUE] = claim
        for key, value in (custom or {}).items():
            headers.add(header.CUSTOM_MD, f"{key}={value}")
        async with self._transport.open(
            "PUT", paths.of_object(bck, name), wanted, headers=headers, body=body, on_bytes=on_bytes, repeatable=True
        ) as response:
            return attributes_of(response.headers)

    @asynccontextmanager
    async def get(
        self, bck: Bck, name: str, *, byte_range: str = "", inside: Mapping[str, str] | None = None
    ) -> AsyncIterator[Reader]:
        """Open an object for reading. `byte_range` is HTTP's, such as `0-99`, `100-` or `-100` (the last 100); `inside`
        chooses of a shard (`archpath`, or `archregx` with `archmode`, and `archmime`).

        Raise `ObjectNotFound`, `BucketNotFound`, `RangeNotSatisfiable`.
        """
        headers = {"Range": f"bytes={byte_range}"} if byte_range else {}
        path, wanted = paths.of_object(bck, name), paths.query_of(bck) | dict(inside or {})
        async with self._transport.open("GET", path, wanted, headers=headers) as response:
            yield Reader(response)

    async def download(
        self,
        bck: Bck,
        name: str,
        file: BinaryIO,
        *,
        byte_range: str = "",
        inside: Mapping[str, str] | None = None,
        verify: bool = True,
        on_bytes: OnBytes = ignore_bytes,
    ) -> int:
        """Write an object into a seekable file at its position; the length. A broken connection begins it again.

        Raise as `get` does, and `ChecksumMismatch`; the file's content is then of no use.
        """
        start, delay_s = file.tell(), RETRY_DELAY_S
        for attempt in range(self._transport.retries + 1):
            meter = Meter(on_bytes)
            try:
                async with self.get(bck, name, byte_range=byte_range, inside=inside) as reader:
                    return await reader.copy_to(file, context=bck.cname(name), verify=verify, on_bytes=meter)
            except Unreachable:
                if attempt == self._transport.retries or not meter.moved:
                    raise
            meter.take_back()
            file.seek(start)
            file.truncate()
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * RETRY_FACTOR, RETRY_DELAY_S_MAX)
        raise AssertionError("the last attempt returns or raises")

    async def read(self, bck: Bck, name: str, *, byte_range: str = "") -> bytes:
        """The content of an object that fits in memory, verified. Raise as `get` does, and `ChecksumMismatch`."""
        collected = _Collector()
        async with self.get(bck, name, byte_range=byte_range) as reader:
            await reader.copy_to(collected, context=bck.cname(name))
        return bytes(collected.data)

    async def head(self, bck: Bck, name: str, props: str = ALL_PROPS) -> ObjectAttributes:
        """An object's attributes; `props` names which. Raise `ObjectNotFound`, `BucketNotFound`."""
        wanted = paths.query_of(bck) | {query.PROPS: props}
        async with self._transport.open("HEAD", paths.of_object(bck, name), wanted) as response:
            return attributes_of(response.headers)

    async def delete(self, bck: Bck, name: str) -> None:
        """Remove an object. Raise `ObjectNotFound`, `BucketNotFound`."""
        await self._transport.call("DELETE", paths.of_object(bck, name), paths.query_of(bck))

    async def rename(self, bck: Bck, name: str, to: str) -> None:
        """Give an object another name in its bucket."""
        message = paths.action(actions.RENAME_OBJECT, to)
        await self._transport.call("POST", paths.of_object(bck, name), paths.query_of(bck), json=message)

    async def promote(self, bck: Bck, message: PromoteMsg) -> str:
        """Make objects of files on the targets' disks; the job's ID, empty when it is done. Raise `InvalidSource`."""
        body = paths.action(ACTION, message.source, message)
        path = f"{paths.OBJECTS}/{quote(bck.name)}"
        _, answer = await self._transport.call("POST", path, paths.query_of(bck), json=body)
        return answer.decode().strip()

    async def copy(self, bck: Bck, name: str, to_bck: Bck, to: str) -> None:
        """Copy an object inside the cluster. Raise `ObjectNotFound`, `BucketNotFound`."""
        wanted = paths.query_of(bck) | {query.OBJECT_TO: to_bck.uname + to}
        await self._transport.call("PUT", paths.of_object(bck, name), wanted, repeatable=True)

    async def is_locked(self, bck: Bck, name: str) -> bool:
        """Whether somebody writes the object now."""
        message = paths.action(actions.CHECK_LOCK)
        path = paths.of_object(bck, name)
        try:
            await self._transport.call("POST", path, paths.query_of(bck), json=message)
        except RemoteError as error:
            if error.status == LOCKED:
                return True
            raise
        return False

    async def set_custom(self, bck: Bck, name: str, custom: Mapping[str, str], *, replace: bool = False) -> None:
        """Add custom metadata, or `replace` all there is."""
        wanted = paths.query_of(bck) | ({query.SET_NEW_CUSTOM: "true"} if replace else {})
        message = paths.action("", value=custom)
        await self._transport.call("PATCH", paths.of_object(bck, name), wanted, json=message, repeatable=True)

    async def append(self, bck: Bck, name: str, data: bytes, handle: str = "") -> str:
        """Add bytes to what will be the object; the handle for the next call. Not repeated when an answer is lost."""
        wanted = paths.query_of(bck) | {query.APPEND_TYPE: "append", query.APPEND_HANDLE: handle}
        async with self._transport.open(
            "PUT", paths.of_object(bck, name), wanted, body=BytesBody(data), repeatable=False
        ) as response:
            return str(response.headers.get(header.APPEND_HANDLE, ""))

    async def flush(self, bck: Bck, name: str, handle: str) -> None:
        """Make what was appended visible as the object."""
        wanted = paths.query_of(bck) | {query.APPEND_TYPE: "flush", query.APPEND_HANDLE: handle}
        await self._transport.call("PUT", paths.of_object(bck, name), wanted)


class _Collector:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data


def attributes_of(headers: CIMultiDictProxy[str]) -> ObjectAttributes:
    """What response headers tell about an object."""
    pairs = (text.partition("=") for text in headers.getall(header.CUSTOM_MD, ()))
    return ObjectAttributes(
        size=int(headers.get("Content-Length") or 0),
        checksum_kind=headers.get(header.CHECKSUM_TYPE, checksum.NONE),
        checksum=headers.get(header.CHECKSUM_VALUE, ""),
        version=headers.get(header.VERSION, ""),
        atime_ns=int(headers.get(header.ATIME) or 0),
        custom={key: value for key, _, value in pairs},
        is_present=headers.get(header.PRESENT, "true") == "true",
        location=headers.get(header.LOCATION, ""),
        copies=int(headers.get(header.MIRROR_COPIES) or 0),
        last_modified=headers.get("Last-Modified", ""),
        etag=headers.get("ETag", "").strip('"'),
    )
