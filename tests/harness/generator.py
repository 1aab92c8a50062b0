"""A web server with one file of any size, made as it is read; it counts the bytes that it sent."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from aiohttp import web

from harness.answering import answering
from harness.loop import run

T = TypeVar("T")
PIECE = bytes(range(256)) * 4096
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


class Generator:
    """The file is `PIECE` (1 MiB) over and over, `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size, self.url, self.sent = size, "", 0

    def content(self, start: int, length: int) -> bytes:
        """A part of the file."""
        offset = start % len(PIECE)
        return (PIECE * (length // len(PIECE) + 2))[offset : offset + length]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a GET, of a range too."""
        headers = {"ETag": '"generated"', "Content-Type": "application/octet-stream"}
        start, end, status = 0, self.size - 1, 200
        if match := _RANGE.fullmatch(request.headers.get("Range", "")):
            start, end, status = int(match[1]), min(int(match[2] or end), end), 206
            headers["Content-Range"] = f"bytes {start}-{end}/{self.size}"
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(end - start + 1)})
        await response.prepare(request)
        while start <= end:
            offset = start % len(PIECE)
            piece = PIECE[offset : offset + min(len(PIECE) - offset, end - start + 1)]
            await response.write(piece)
            start += len(piece)
            self.sent += len(piece)
        return response


@asynccontextmanager
async def generating(size: int) -> AsyncIterator[Generator]:
    """The server while it runs; the file is at `url`/file."""
    found = Generator(size)
    async with answering(found.handle) as found.url:
        yield found


@contextmanager
def in_thread(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """An asynchronous context on a loop of its own, for tests whose nodes are processes."""
    started, stop, box = threading.Event(), asyncio.Event(), list[Any]()

    async def serve() -> None:
        async with make() as made:
            box.extend((made, asyncio.get_running_loop()))
            started.set()
            await stop.wait()

    def work() -> None:
        try:
            run(serve())
        finally:
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    try:
        yield box[0]
    finally:
        box[1].call_soon_threadsafe(stop.set)
        thread.join()
