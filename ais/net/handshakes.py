"""A listener for TLS that counts handshakes: whoever begins them and does not go on keeps nobody else waiting.

Each address has a number of handshakes in progress; more of its connections wait their turn. A handshake that stands
still gives way to one that waits. An honest client is through within milliseconds, whatever others do.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ais.config.limits import Limits

Shake = Callable[[socket.socket], Awaitable[None]]
"""Serve a connection: returns when its handshake is done. Raise `OSError` when it fails."""
ACCEPTS_PER_TURN = 64
NO_DESCRIPTORS_PAUSE_S = 0.2
_SET = Limits()


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """Bounds of one listener."""

    per_address_max: int = _SET.handshakes_per_address
    """Handshakes in progress of one address: each holds some 300 KiB and up to a millisecond of CPU time."""
    waiting_per_address_max: int = _SET.handshakes_waiting
    """Connections of one address that wait for that: a rack of loaders behind one address may start at once."""
    stalled_s: float = float(_SET.handshake_stalled)
    """After this a handshake is given up for one that waits: a thousand times what it takes."""
    timeout_s: float = float(_SET.handshake_timeout)
    """After this a client that does not go on is let go of, whether others wait or not."""


@dataclass(slots=True)
class _Address:
    shaking: OrderedDict["asyncio.Task[None]", float] = field(default_factory=OrderedDict)
    """Handshakes in progress, the oldest first, and when they began (the loop's clock)."""
    waiting: deque[socket.socket] = field(default_factory=deque)


class Handshakes:
    """Has connections shake hands, each when it is its turn, until it is closed."""

    def __init__(self, shake: Shake, limits: HandshakeLimits, dropped: Callable[[], None] = lambda: None) -> None:
        """`dropped` is called for each connection that was closed without having had its turn."""
        self._loop = asyncio.get_running_loop()
        self._shake, self._dropped = shake, dropped
        self.limits = limits
        self._addresses: dict[str, _Address] = {}
        self._giving_way: asyncio.TimerHandle | None = None

    @property
    def shaking(self) -> int:
        """Handshakes in progress."""
        return sum(len(one.shaking) for one in self._addresses.values())

    @property
    def waiting(self) -> int:
        """Connections that wait for theirs."""
        return sum(len(one.waiting) for one in self._addresses.values())

    def close(self) -> None:
        """Give up what has not shaken hands."""
        if self._giving_way is not None:
            self._giving_way.cancel()
        for one in self._addresses.values():
            while one.waiting:
                self._drop(one.waiting.popleft())
            for task in tuple(one.shaking):
                task.cancel()

    def take(self, connection: socket.socket, host: str) -> None:
        """A new connection, from this address."""
        one = self._addresses.setdefault(host, _Address())
        if len(one.shaking) < self.limits.per_address_max:
            self._begin(connection, host, one)
        elif len(one.waiting) < self.limits.waiting_per_address_max:
            one.waiting.append(connection)
            self._give_way_later()
        else:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        connection.close()
        self._dropped()

    def _begin(self, connection: socket.socket, host: str, one: _Address) -> None:
        task = self._loop.create_task(self._run(connection))
        one.shaking[task] = self._loop.time()
        task.add_done_callback(lambda done: self._ended(done, host, one))

    async def _run(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                await self._shake(connection)
        except BaseException:
            connection.close()
            raise

    def _ended(self, task: "asyncio.Task[None]", host: str, one: _Address) -> None:
        del one.shaking[task]
        while one.waiting and len(one.shaking) < self.limits.per_address_max:
            self._begin(one.waiting.popleft(), host, one)
        if not one.shaking:
            self._addresses.pop(host, None)

    def _give_way_later(self) -> None:
        if self._giving_way is None:
            self._giving_way = self._loop.call_later(self.limits.stalled_s / 2, self._give_way)

    def _give_way(self) -> None:
        """End handshakes that stand still where others wait."""
        self._giving_way = None
        overdue = self._loop.time() - self.limits.stalled_s
        is_needed = False
        for one in self._addresses.values():
            is_needed = is_needed or bool(one.waiting)
            for _, (task, began) in zip(range(len(one.waiting)), tuple(one.shaking.items()), strict=False):
                if began <= overdue:
                    task.cancel()
        if is_needed:
            self._give_way_later()


class TlsListener:
    """Accepts on sockets that listen, until it is closed."""

    def __init__(self, sockets: list[socket.socket], shake: Shake, limits: HandshakeLimits) -> None:
        self._loop = asyncio.get_running_loop()
        self.sockets, self.handshakes = sockets, Handshakes(shake, limits)
        for sock in sockets:
            sock.setblocking(False)
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def close(self) -> None:
        """Accept no more, and give up what has not shaken hands."""
        for sock in self.sockets:
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock.fileno())
                sock.close()
        self.handshakes.close()

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                connection, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors are left: try again when some may be
                self._loop.remove_reader(sock.fileno())
                self._loop.call_later(NO_DESCRIPTORS_PAUSE_S, self._listen_again, sock)
                return
            connection.setblocking(False)
            self.handshakes.take(connection, str(address[0]))

    def _listen_again(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), self._accept, sock)
