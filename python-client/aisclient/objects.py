"""One object: read, written, described, removed. Written once for both drivers."""

import os
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import quote

from aisclient import checksums, parallel
from aisclient.attributes import ObjectAttributes, message
from aisclient.body import Body, Content, Meter, OnProgress
from aisclient.connection import Answer
from aisclient.driver import Driver
from aisclient.errors import ErrObjNotFound, RangeNotSatisfiable, Unreachable
from aisclient.names import Bck
from aisclient.transport import Transport, header_lines
from aisclient.uploads import Upload

PROPS = "name,size,version,checksum,atime,location,copies,custom,last-modified,etag"


class AsyncObject:
    """Made by `AsyncBucket.object`."""

    __slots__ = ("_transport", "bck", "name")

    def __init__(self, transport: Transport, bck: Bck, name: str) -> None:
        self._transport, self.bck, self.name = transport, bck, name

    @property
    def driver(self) -> Driver:
        """How it waits."""
        return self._transport.driver

    @property
    def url(self) -> str:
        """`ais://bucket/name`."""
        return f"{self.bck.url}/{self.name}"

    async def get(self, byte_range: str = "", *, archpath: str = "", verify: bool = True) -> bytes:
        """The content, or the part that `byte_range` names as HTTP does (`bytes=0-99`, `bytes=100-`, `bytes=-100`),
        or a file of a shard.

        Raise `ErrObjNotFound`, `ErrBckNotFound`, `RangeNotSatisfiable`, `ChecksumMismatch`, `Unreachable`.
        """

        async def attempt() -> bytes:
            answer = await self._ask("GET", byte_range, archpath)
            is_whole = answer.status == 200 and not archpath
            kind = answer.headers.get("ais-checksum-type", "") if verify and is_whole else ""
            hasher = checksums.hasher(kind)
            with answer:
                data = await answer.read_all(hasher)
            self._check(kind, answer.headers.get("ais-checksum-value", ""), hasher)
            return data

        return await self._transport.persist(attempt, self.url)

    async def read_into(self, buffer: bytearray | memoryview, start: int = 0, *, verify: bool = True) -> int:
        """Fill `buffer` with what begins at byte `start`; how many bytes there were: fewer at the
        end of the object, none beyond it. Raise as `get` does.
        """
        view = memoryview(buffer).cast("B")
        if not len(view):
            return 0

        async def attempt() -> int:
            try:
                answer = await self._ask("GET", f"bytes={start}-{start + len(view) - 1}")
            except RangeNotSatisfiable:
                return 0
            found = ObjectAttributes.of(answer.headers, answer.custom)
            is_whole = start == 0 and found.size <= len(view)
            hasher = checksums.hasher(found.checksum_type) if verify and is_whole else None
            with answer:
                done = await answer.read_into(view, hasher)
            self._check(found.checksum_type, found.checksum_value, hasher)
            return done

        return await self._transport.persist(attempt, self.url)

    async def stream(
        self, byte_range: str = "", *, archpath: str = "", piece_bytes: int = 1 << 20, verify: bool = True
    ) -> AsyncGenerator[bytes]:
        """The content in pieces; memory does not grow with it. Goes on where it was when the connection breaks, as long
        as it is still the same object. Raise as `get` does; `ChecksumMismatch` comes after the last piece.
        """
        retry, failed, done = self._transport.settings.retry, 0, 0
        answer = await self._ask("GET", byte_range, archpath)
        first = ObjectAttributes.of(answer.headers, answer.custom)
        is_whole = answer.status == 200 and not archpath
        hasher = checksums.hasher(first.checksum_type) if verify and is_whole else None
        try:
            while True:
                try:
                    data = await answer.read(piece_bytes)
                except OSError as error:
                    answer.close()
                    failed += 1
                    if failed >= retry.attempts or not is_whole:
                        raise Unreachable(f"{self.url}: {error} after {done} bytes") from error
                    await self._transport.driver.sleep(retry.delay_s(failed))
                    answer = await self._ask("GET", f"bytes={done}-")
                    if not first.is_same_content(ObjectAttributes.of(answer.headers, answer.custom)):
                        raise Unreachable(f"{self.url} was replaced while it was read") from error
                    continue
                if not data:
                    break
                done += len(data)
                if hasher is not None:
                    hasher.update(data)
                yield data
        finally:
            answer.close()
        self._check(first.checksum_type, first.checksum_value, hasher)

    async def get_parallel(
        self, *, num_workers: int = 4, part_bytes: int = parallel.PART_BYTES, on_progress: OnProgress | None = None
    ) -> bytearray:
        """The content, by several ranged reads at a time. Raise as `get` does."""
        return await parallel.read(self, num_workers, part_bytes, on_progress)

    async def download(
        self,
        path: str | os.PathLike[str],
        *,
        num_workers: int = 4,
        part_bytes: int = parallel.PART_BYTES,
        on_progress: OnProgress | None = None,
    ) -> ObjectAttributes:
        """Write the content to a file, which is there when it is whole. Raise as `get` does, and `OSError`."""
        return await parallel.download(self, path, num_workers, part_bytes, on_progress)

    async def head(self, props: str = PROPS) -> ObjectAttributes:
        """Raise `ErrObjNotFound`, `ErrBckNotFound`."""
        answer = await self._ask("HEAD", "", more=f"&props={props}")
        return ObjectAttributes.of(answer.headers, answer.custom)

    async def exists(self) -> bool:
        """Raise `ErrBckNotFound`."""
        try:
            await self.head("name")
        except ErrObjNotFound:
            return False
        return True

    async def put(
        self,
        content: Content,
        *,
        size: int | None = None,
        custom_metadata: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> ObjectAttributes:
        """Store an object, new or over an existing one; it is visible, whole, when this returns.

        Bytes are sent with their checksum, and refused when they arrive otherwise; of what is hashed while it is sent,
        the checksum is compared with what was stored. Raise `ChecksumMismatch`, `ErrBckNotFound`, `Unreachable`.
        """
        body = Body.of(content, size, on_progress)
        lines = {}
        if isinstance(content, bytes | bytearray | memoryview):
            lines["Ais-Checksum-Type"] = checksums.DEFAULT
            lines["Ais-Checksum-Value"] = checksums.of(content)
        else:
            body.is_hashed = True
        return await self._put(body, header_lines(lines) + _custom(custom_metadata))

    async def put_file(
        self,
        path: str | os.PathLike[str],
        *,
        num_workers: int = 4,
        part_bytes: int = parallel.UPLOAD_PART_BYTES,
        custom_metadata: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> ObjectAttributes:
        """Store a file; one of more than `part_bytes` in parts, several at a time. Raise as `put`, and `OSError`."""
        size = os.stat(path).st_size
        if size > part_bytes and not custom_metadata:
            return await parallel.upload(self, path, size, num_workers, part_bytes, on_progress)
        body = Body.of_path(path, 0, size, Meter(on_progress, size))
        body.is_hashed = True
        return await self._put(body, _custom(custom_metadata))

    async def delete(self, *, missing_ok: bool = False) -> None:
        """Raise `ErrObjNotFound` unless `missing_ok`, `ErrBckNotFound`."""
        try:
            answer = await self._transport.send("DELETE", self._target(), is_repeatable=True)
        except ErrObjNotFound:
            if not missing_ok:
                raise
        else:
            await answer.drain()

    async def copy(self, to: "AsyncObject") -> None:
        """Copy it inside the cluster. Raise `ErrObjNotFound`, `ErrBckNotFound`."""
        target = self._target(f"&object_to={quote(to.bck.uname + to.name, safe='')}")
        await self._transport.call("PUT", target, is_repeatable=True)

    async def rename(self, to: str) -> None:
        """Give it another name in its bucket. Raise `ErrObjNotFound`, `OutcomeUnknown`."""
        body = message("rename-obj", to)
        await self._transport.call("POST", self._target(), message=body, is_repeatable=False)

    async def set_custom_props(self, custom_metadata: Mapping[str, str], *, replace_existing: bool = False) -> None:
        """Add custom metadata, or replace all there is."""
        target = self._target("&set-new-custom=true" if replace_existing else "")
        body = message("", "", dict(custom_metadata))
        await self._transport.call("PATCH", target, message=body, is_repeatable=True)

    async def append(self, data: bytes, handle: str = "") -> str:
        """Add bytes to what will be the object; the handle for the next call. Begins with what the object is now."""
        target = self._target(f"&append_type=append&append_handle={quote(handle, safe='')}")
        answer = await self._transport.send(
            "PUT", target, body=Body.of(data), is_repeatable=False, is_stored=True
        )  # fmt: skip
        await answer.drain()
        return answer.headers.get("ais-append-handle", "")

    async def flush(self, handle: str) -> None:
        """Make what was appended the object."""
        target = self._target(f"&append_type=flush&append_handle={quote(handle, safe='')}")
        await self._transport.call("PUT", target, is_repeatable=False)

    def multipart_upload(self) -> Upload:
        """An upload in parts that is not under way yet."""
        return Upload(self._transport, self.bck, self.name)

    async def _put(self, body: Body, headers: bytes) -> ObjectAttributes:
        answer = await self._transport.send(
            "PUT", self._target(), headers=headers, body=body, is_repeatable=True, is_stored=True
        )
        await answer.drain()
        stored = ObjectAttributes.of(answer.headers, answer.custom)
        if body.hasher is not None and stored.checksum_type in ("xxhash", checksums.DEFAULT):
            sent = body.hasher.hexdigest()
            if stored.checksum_value and sent != stored.checksum_value:
                raise checksums.mismatch(stored.checksum_type, sent, stored.checksum_value, self.url)
        return stored

    async def _ask(self, method: str, byte_range: str = "", archpath: str = "", more: str = "") -> Answer:
        if archpath:
            more += f"&archpath={quote(archpath, safe='')}"
        headers = header_lines({"Range": byte_range}) if byte_range else b""
        return await self._transport.read(method, self._target(more), self.bck.uname + self.name, headers=headers)

    def _check(self, kind: str, value: str, hasher: checksums.Hasher | None) -> None:
        if hasher is not None and (found := hasher.hexdigest()) != value:
            raise checksums.mismatch(kind, value, found, self.url)

    def _target(self, more: str = "") -> str:
        return self.bck.object_target(self.name, more)


def _custom(metadata: Mapping[str, str] | None) -> bytes:
    return b"".join(header_lines({"Ais-Custom-Md": f"{key}={value}"}) for key, value in (metadata or {}).items())
