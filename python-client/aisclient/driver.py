"""What the client asks of its surroundings, once with blocking sockets and threads, once with asyncio.

Everything above is written once, as coroutines. With the blocking driver none of them ever waits, so that `run` drives
each from its beginning to its end without an event loop.
"""

import asyncio
import contextlib
import select
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Buffer = bytes | bytearray | memoryview


class Wire(Protocol):
    """One TCP connection. All but `is_stale` raise `OSError`."""

    async def send(self, data: Buffer) -> None: ...

    async def recv_into(self, view: memoryview) -> int:
        """How many bytes came; 0 at the end."""
        ...

    def is_stale(self) -> bool:
        """Whether something came while nothing was asked: the other side has closed it."""
        ...

    def close(self) -> None: ...


class Driver(Protocol):
    """Connections, waiting, and several things at a time."""

    async def connect(self, host: str, port: int, tls: ssl.SSLContext | None, timeout_s: float) -> Wire: ...

    async def sleep(self, seconds: float) -> None: ...

    async def blocking(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what may wait for a disk."""
        ...

    def ordered(
        self, function: Callable[[T], Coroutine[Any, Any, R]], items: Iterable[T], at_once: int
    ) -> AsyncIterator[R]:
        """Results in the order of `items`, `at_once` being worked on. Leaving early drops the rest."""
        ...


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine of the blocking driver."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine of the blocking driver waited")


class BlockingWire:
    """Over a blocking socket."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self._socket = sock
        if not isinstance(sock, ssl.SSLSocket):  # the kernel's deadline saves asking before each call
            sock.settimeout(None)
            deadline = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1_000_000))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, deadline)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, deadline)

    async def send(self, data: Buffer) -> None:
        try:
            self._socket.sendall(data)
        except BlockingIOError:
            raise TimeoutError("timed out") from None

    async def recv_into(self, view: memoryview) -> int:
        try:
            return self._socket.recv_into(view)
        except BlockingIOError:
            raise TimeoutError("timed out") from None

    def is_stale(self) -> bool:
        try:
            waiting = select.poll()
            waiting.register(self._socket, select.POLLIN)
            return bool(waiting.poll(0))
        except (OSError, ValueError):
            return True

    def close(self) -> None:
        self._socket.close()


class BlockingDriver:
    """Sockets that block, threads for what goes on beside."""

    async def connect(self, host: str, port: int, tls: ssl.SSLContext | None, timeout_s: float) -> Wire:
        sock = socket.create_connection((host, port), timeout_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return BlockingWire(tls.wrap_socket(sock, server_hostname=host) if tls else sock, timeout_s)
        except BaseException:
            sock.close()
            raise

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no loop here

    async def blocking(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)

    async def ordered(
        self, function: Callable[[T], Coroutine[Any, Any, R]], items: Iterable[T], at_once: int
    ) -> AsyncIterator[R]:
        if at_once <= 1:
            for item in items:
                yield await function(item)
            return
        executor = ThreadPoolExecutor(at_once, thread_name_prefix="aisclient")
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(executor.submit(lambda one: run(function(one)), item))
                if len(waiting) >= at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


class AsyncioWire:
    """Over asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float) -> None:
        self._reader, self._writer, self._timeout_s = reader, writer, timeout_s

    async def send(self, data: Buffer) -> None:
        self._writer.write(data)
        async with asyncio.timeout(self._timeout_s):
            await self._writer.drain()

    async def recv_into(self, view: memoryview) -> int:
        async with asyncio.timeout(self._timeout_s):
            data = await self._reader.read(len(view))
        view[: len(data)] = data
        return len(data)

    def is_stale(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is gone
            self._writer.transport.abort()  # over TLS, an orderly end waits for the other side


class AsyncioDriver:
    """The running event loop."""

    async def connect(self, host: str, port: int, tls: ssl.SSLContext | None, timeout_s: float) -> Wire:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=1 << 20)
        return AsyncioWire(reader, writer, timeout_s)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def blocking(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.to_thread(function, *arguments)

    async def ordered(
        self, function: Callable[[T], Coroutine[Any, Any, R]], items: Iterable[T], at_once: int
    ) -> AsyncIterator[R]:
        waiting: deque[asyncio.Task[R]] = deque()
        try:
            for item in items:
                waiting.append(asyncio.ensure_future(function(item)))
                if len(waiting) >= at_once:
                    yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
