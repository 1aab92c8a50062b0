"""One file of another server made an object: asked for again when that may help, from where it broke off if it can be.

What is here already, from the same link, is asked for only if it has changed. Nothing becomes visible before its last
byte is here, as many as the server announced, with the checksum that it told.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp

from ais.api.download import DownloadTask, Wanted, shown
from ais.base.errors import (
    AisError,
    Busy,
    ChecksumMismatch,
    NotReady,
    ObjectNotFound,
    TooSlow,
    Unreachable,
)
from ais.core.writer import Writer
from ais.net.egress import Egress
from ais.target.download.throttle import Throttle
from ais.target.front import Misplaced
from ais.target.parts import Parts
from ais.target.uploads import in_pool, in_pool_to_end
from ais.target.view import BucketView

ATTEMPTS_MAX = 10
STALL_S = 60.0
"""Longest wait for the head of an answer, and for each piece of its body."""
PIECE_BYTES = 1 << 20
_PAUSE_S, _PAUSE_S_MAX, _RETRY_AFTER_S_MAX = 0.2, 30.0, 300.0
_FINAL = frozenset((400, 401, 402, 403, 404, 405, 406, 407, 410, 451))
"""What a server will answer the next time too."""
SOURCE, LINK, ETAG, MODIFIED = "source", "orig_url", "ETag", "LastModified"
"""Custom metadata of what was downloaded, as AIStore names it."""
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class _Refused(AisError):
    """The server's answer. `is_final`: asking again is useless; `after_s`: when it wants to be asked again."""

    def __init__(self, message: str, *, is_final: bool, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.after_s = after_s


class Transfer:
    """One file on its way. `total` -1: unknown so far."""

    def __init__(self, parts: Parts, task: DownloadTask, wanted: Wanted, throttle: Throttle, started_ns: int) -> None:
        self.wanted = wanted
        self.downloaded, self.total = 0, -1
        self.started_ns = started_ns
        self._parts = parts
        self._task = task
        self._throttle = throttle
        self._writer: Writer | None = None
        self._etag = ""

    async def run(self, view: BucketView, egress: Egress) -> bool:
        """Download it; False: it is here already as it is there. Raise why it cannot be had."""
        attempt, after_s = 1, 0.0
        try:
            while True:
                try:
                    return await self._attempt(view, egress)
                except Misplaced:
                    raise
                except _Refused as error:
                    if error.is_final or attempt == ATTEMPTS_MAX:
                        raise
                    after_s = error.after_s
                except (Unreachable, TooSlow, ChecksumMismatch, NotReady, Busy):
                    if attempt == ATTEMPTS_MAX:
                        raise
                await self._parts.host.env.clock.sleep(after_s or min(_PAUSE_S * 2**attempt, _PAUSE_S_MAX))
                attempt, after_s = attempt + 1, 0.0
        finally:
            await asyncio.shield(self._drop())

    async def _known(self, view: BucketView) -> dict[str, str]:
        """Headers that ask for the file only if it is another one than the object there is."""
        store, name = self._parts.store, self.wanted.name
        pool = self._parts.volume.place(view.uname + name).pool
        try:
            custom = (await in_pool(pool, lambda: store.head(view.bck, name))).meta.custom
        except ObjectNotFound:
            return {}
        link = self.wanted.link
        if custom.get(LINK) != shown(link):
            return {}
        if ETAG in custom:
            return {"If-None-Match": custom[ETAG]}
        # a query is not kept, it may be secret: with another one the same time may be that of another file
        return {"If-Modified-Since": custom[MODIFIED]} if MODIFIED in custom and link == shown(link) else {}

    async def _attempt(self, view: BucketView, egress: Egress) -> bool:
        view = self._parts.front.current(view)
        await self._parts.moves.settle(view, self.wanted.name)
        await self._parts.protected.ensure(view, self.wanted.name)
        asked, known = dict(self._task.headers), await self._known(view)
        if self._writer is not None and not self._etag:
            await self._drop()
        if self._writer is not None:
            asked |= {"Range": f"bytes={self._writer.size}-", "If-Range": self._etag}
        else:
            asked |= known
        link = self.wanted.link
        try:
            async with asyncio.timeout(self._task.timeout_s), egress.get(link, asked, STALL_S) as response:
                if response.status == HTTPStatus.NOT_MODIFIED and known:
                    return False
                await self._begin(view, response)
                await self._receive(response)
        except TimeoutError:
            raise TooSlow(f"{shown(link)} was not received within {self._task.timeout_s:g} s") from None
        await self._finish()
        return True

    async def _begin(self, view: BucketView, response: aiohttp.ClientResponse) -> None:
        """Have a writer that is where the body begins. Raise `_Refused`."""
        status, writer = response.status, self._writer
        if status == HTTPStatus.PARTIAL_CONTENT and writer is not None:
            if self._goes_on(response.headers, writer.size):
                self.downloaded = writer.size
                return
            await self._drop()
            raise Unreachable(f"{shown(self.wanted.link)}: the server gave something else than the rest of the file")
        await self._drop()
        if status != HTTPStatus.OK:
            raise _refusal(status, self.wanted.link, response.headers.get("Retry-After", ""))
        etag, modified = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
        self._etag = "" if etag.startswith("W/") else etag
        self.total = response.content_length if response.content_length is not None else -1
        custom = {SOURCE: "web", LINK: shown(self.wanted.link), ETAG: etag, MODIFIED: modified}
        content = {key: value for key, value in custom.items() if value and value.isprintable()}
        claimed = claim_of(response.headers)

        def begin() -> None:
            self._writer = self._parts.store.writer(
                view.bck, self.wanted.name, view.rules, custom=content, claimed=claimed, size_hint=max(0, self.total)
            )

        await in_pool_to_end(self._parts.volume.place(view.uname + self.wanted.name).pool, begin)

    def _goes_on(self, headers: Mapping[str, str], position: int) -> bool:
        """Whether what comes is the rest of the file that began: there are servers that do not know If-Range.

        They have to say of which file (RFC 9110, 15.3.7).
        """
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or int(found[1]) != position or headers.get("ETag") != self._etag:
            return False
        return found[3] == "*" or self.total < 0 or int(found[3]) == self.total

    async def _receive(self, response: aiohttp.ClientResponse) -> None:
        piece = bytearray()
        async for data in response.content.iter_any():
            self.downloaded += len(data)
            await self._throttle.take(len(data))
            piece += data
            if len(piece) >= PIECE_BYTES:
                await self._write(piece)
                piece = bytearray()
        await self._write(piece)

    async def _write(self, piece: bytearray) -> None:
        writer, clock = self._writer, self._parts.host.env.clock
        assert writer is not None
        started_s = clock.monotonic()
        await in_pool_to_end(writer.mountpath.pool, lambda: writer.write(memoryview(piece)))
        await self._parts.pace.rest(clock.monotonic() - started_s)

    async def _finish(self) -> None:
        writer = self._writer
        assert writer is not None
        if 0 <= self.total != writer.size:
            raise Unreachable(f"{shown(self.wanted.link)} ended after {writer.size} of {self.total} bytes")
        try:
            await in_pool_to_end(writer.mountpath.pool, writer.commit)
        finally:
            self._writer = None

    async def _drop(self) -> None:
        """Begin anew, if there was something."""
        writer, self._writer = self._writer, None
        self.downloaded = 0 if writer is not None else self.downloaded
        if writer is not None:
            await in_pool_to_end(writer.mountpath.pool, writer.abort)


def _refusal(status: int, link: str, retry_after: str) -> _Refused:
    if status == HTTPStatus.NOT_FOUND:
        return _Refused(f"ErrNotFound: {shown(link)} does not exist", is_final=True)
    after_s = min(float(retry_after), _RETRY_AFTER_S_MAX) if retry_after.isdecimal() and len(retry_after) < 9 else 0.0
    return _Refused(f"failed to download {shown(link)}: status {status}", is_final=status in _FINAL, after_s=after_s)


def claim_of(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """The checksum of the whole body that a server told, as kind and hexadecimal digits: Content-MD5, x-goog-hash."""
    if headers.get("Content-Encoding", "identity") != "identity":
        return None
    told = {"md5": headers.get("Content-MD5", "")}
    for part in headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        told[kind] = told.get(kind) or value
    for kind, size in (("md5", 16), ("crc32c", 4)):
        try:
            digest = base64.b64decode(told.get(kind, ""), validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(digest) == size:
            return kind, digest.hex()
    return None
