"""The rest of a large answer, read from its connection without an HTTP client between: each byte is copied once.

The client parses the head and then gives the connection up. What it has read of the body comes first, then what the
socket gives, in a thread and into one buffer. Under TLS, of bodies without a length and of encoded ones there is none.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from concurrent.futures import Executor

import aiohttp

from ais.base.errors import Unreachable
from ais.base.waiting import to_its_end

BUFFER_BYTES = 512 << 10
STEP_BYTES = 4 << 20
"""What a thread reads before others have their turn."""

Take = Callable[[memoryview], object]


class Detached:
    """Of one answer; `run` once, or `close`."""

    def __init__(self, cname: str, sock: socket.socket, first: bytes, left: int, timeout_s: float) -> None:
        """`first` was read already, `left` bytes follow."""
        self._cname = cname
        self._socket = sock
        self._first = first
        self._left = left
        self._timeout_s = timeout_s

    async def run(self, pool: Executor, take: Take, took: Callable[[int], None]) -> None:
        """Give all bytes to `take`, in `pool` and in order, and tell how many after each step.

        Raise `Unreachable` when they do not come, and what `take` raises. Nothing is read any more then.
        """
        buffer = memoryview(bytearray(BUFFER_BYTES))
        try:
            is_dry = False
            while self._first or self._left:
                if is_dry:
                    await self._readable()
                before = self._left + len(self._first)
                step = pool.submit(self._step, buffer, take)
                is_dry = await to_its_end(asyncio.wrap_future(step))
                took(before - self._left)
        finally:
            self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _step(self, buffer: memoryview, take: Take) -> bool:
        """Read what there is, within bounds. True: there is no more now."""
        first, self._first = self._first, b""
        if first:
            take(memoryview(first))
        end = max(self._left - STEP_BYTES, 0)
        while self._left > end:
            filled, is_dry = self._fill(buffer)
            if filled:
                take(buffer[:filled])
            if is_dry:
                return True
        return False

    def _fill(self, buffer: memoryview) -> tuple[int, bool]:
        filled = 0
        while filled < len(buffer) and self._left:
            try:
                count = self._socket.recv_into(buffer[filled:], min(len(buffer) - filled, self._left))
            except BlockingIOError:
                return filled, True
            except OSError as error:
                raise Unreachable(f"{self._cname} broke off at its backend: {error}") from None
            if not count:
                raise Unreachable(f"{self._cname} broke off at its backend: {self._left} bytes did not come")
            filled += count
            self._left -= count
        return filled, False

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._socket.fileno(), _settle, ready)
        try:
            async with asyncio.timeout(self._timeout_s):
                await ready
        except TimeoutError:
            raise Unreachable(f"{self._cname}: nothing came from its backend for {self._timeout_s:g} s") from None
        finally:
            loop.remove_reader(self._socket.fileno())


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def detach(response: aiohttp.ClientResponse, cname: str, timeout_s: float) -> Detached | None:
    """The body of an answer of which nothing was read; None, with nothing changed, when it has to be read as usual.

    Raise `Unreachable` when it has broken off already.
    """
    transport = response.connection.transport if response.connection is not None else None
    is_plain = transport is not None and transport.get_extra_info("sslcontext") is None
    has_length = response.content_length is not None and "Transfer-Encoding" not in response.headers
    if transport is None or not is_plain or not has_length or "Content-Encoding" in response.headers:
        return None
    assert response.content_length is not None
    first = bytearray()
    try:
        while piece := response.content.read_nowait():  # nothing else runs until the connection is given up
            first += piece
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"{cname} broke off at its backend: {error}") from None
    left = response.content_length - len(first)
    sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    sock.setblocking(False)
    response.close()
    return Detached(cname, sock, bytes(first), left, timeout_s)
