"""What the brokers have in common: a thread with a listener that can be away, TLS, a user."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, Self

import uvloop

from ais.net.tls import server_context
from ais.playground.plan import TLS
from harness.receiver import Taken


class Refused(Exception):
    """The connection ends."""


class Server(Taken):
    """One broker. `loses`: so many messages more are kept, and the connection cut before that is said."""

    def __init__(self, *, tls: TLS | None = None, user: str = "", password: str = "") -> None:
        """With `tls` it wants certificates of clients too. Without a user anybody may publish."""
        super().__init__()
        self.tls = None if tls is None else server_context(tls.certificate, tls.key, tls.ca, 4)
        self.user, self.password = user, password
        self.loses = 0
        self.port = 0
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener: asyncio.Server | None = None
        self._connected: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        """Listen, where it did before."""
        self._wait(self._start())

    def stop(self) -> None:
        """Be away: nobody is connected."""
        self._wait(self._stop())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, up to its end."""
        raise NotImplementedError

    @property
    def context(self) -> ssl.SSLContext | None:
        """What the listener begins with."""
        return self.tls

    def is_known(self, user: str, password: str) -> bool:
        """Whether somebody may come in."""
        return (user, password) == (self.user, self.password)

    def keep(self, body: bytes) -> bool:
        """See `take`. Raise `Refused` for one that is kept and not acknowledged."""
        is_taken = self.take(body)
        if is_taken and self.loses:
            self.loses -= 1
            raise Refused
        return is_taken

    async def _start(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self.context)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for writer in self._connected.values():
            writer.transport.abort()
        await asyncio.gather(*self._connected)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connected[task] = writer
        try:
            with contextlib.suppress(Refused, OSError, EOFError):
                await self.serve(reader, writer)
        finally:
            del self._connected[task]
            writer.close()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
