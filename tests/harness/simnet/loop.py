"""An event loop that decides with a seed whose turn it is, and that never waits: its clock jumps to the next timer."""

import asyncio
import random
import selectors
import socket
from collections.abc import Callable
from typing import Any

SOCKET_BYTES = 4608
"""The smallest buffer Linux gives: it doubles it."""
HIGH_WATER_BYTES = 4096


class _Selector(selectors.EpollSelector):
    """Of the sockets that are ready, some are, in any order; with none ready, time passes."""

    loop: "SimLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        rng = self.loop.rng
        if ready:
            rng.shuffle(ready)
            if rng.random() < 0.3:
                ready = ready[: rng.randint(1, len(ready))]
        elif timeout is None or timeout > 0:
            assert timeout is not None, "nothing will ever happen again"
            self.loop.now += timeout
        return ready


class _Listener:
    """What `create_server` returns, as far as `HttpServer` looks at it."""

    def __init__(self, listening: dict[int, Callable[[], asyncio.BaseProtocol]], port: int) -> None:
        self._listening, self._port = listening, port
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def close(self) -> None:
        self._listening.pop(self._port, None)


class SimLoop(asyncio.SelectorEventLoop):
    """One process's network: `create_server` and `create_connection` meet in it. Threads are turns that come later."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.rng = random.Random()
        self.now = 0.0
        self.errors: list[dict[str, Any]] = []
        self._listening: dict[int, Callable[[], asyncio.BaseProtocol]] = {}
        self._ports = 0
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self._failed(context))

    def _failed(self, context: dict[str, Any]) -> None:
        """Keep what went wrong in a callback. CPython's transport, which production does not use, ends a second time
        when it is closed by its protocol because it may write again."""
        is_second_end = "_call_connection_lost" in str(context.get("handle"))
        if not is_second_end or not isinstance(context.get("exception"), AttributeError):
            self.errors.append(context)

    def time(self) -> float:
        """The loop's own clock."""
        return self.now

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Listen on a port of this loop."""
        self._ports = self._ports % 60_000 + 1
        self._listening[self._ports] = protocol_factory
        return _Listener(self._listening, self._ports)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Connect to a port of this loop, some turns later."""
        for _turn in range(self.rng.choice((0, 0, 1, 3))):
            await asyncio.sleep(0)
        ours = self.dial(port)
        protocol = protocol_factory()
        transport = _Transport(self, ours, protocol, is_tls=False)
        await asyncio.sleep(0)
        return transport, protocol

    def dial(self, port: int, *, is_tls: bool = False) -> socket.socket:
        """A raw connection to a port. `is_tls`: the server has no descriptor to write to and no half-close."""
        ours, theirs = socket.socketpair()
        for one in (ours, theirs):
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        _Transport(self, theirs, self._listening[port](), is_tls=is_tls)
        return ours

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Run at once, say so some turns later."""
        future = self.create_future()
        try:
            result, error = func(*args), None
        except Exception as raised:  # noqa: BLE001 - handed on
            result, error = None, raised

        def tell(turns: int) -> None:
            if turns:
                self.call_soon(tell, turns - 1)
            elif not future.done():
                future.set_result(result) if error is None else future.set_exception(error)

        tell(self.rng.choice((1, 1, 2, 5)))
        return future


class _Transport(asyncio.selector_events._SelectorSocketTransport):
    """asyncio's own, with a low high-water mark."""

    def __init__(self, loop: SimLoop, sock: socket.socket, protocol: asyncio.BaseProtocol, *, is_tls: bool) -> None:
        loop._ports = loop._ports % 60_000 + 1
        extra = {"peername": ("127.0.0.1", loop._ports), "sslcontext": object() if is_tls else None}
        self._is_tls = is_tls
        super().__init__(loop, sock, protocol, None, extra)  # type: ignore[call-arg]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        super().set_write_buffer_limits(HIGH_WATER_BYTES if high is None else high, low)

    def can_write_eof(self) -> bool:
        return not self._is_tls
