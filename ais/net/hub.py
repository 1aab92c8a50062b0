"""What the connections of one server share: the route, limits, buffers, the coarse clock, the set of connections."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ais.base.seen import Seen
from ais.net.encoding import Starts
from ais.net.handshakes import HandshakeLimits
from ais.net.head import HeadParser
from ais.net.http import Again, Network, OnError, Reply, Request, Route

if TYPE_CHECKING:
    from aiohttp import web

    from ais.net.connection import Connection
    from ais.net.upstream import Upstreams

KIB, MIB = 1 << 10, 1 << 20
TICK_S_MAX = 1.0
TICK_S_MIN = 0.05
HELD_ANSWERS_MAX = 32
"""Nobody waits for the work of more requests than that, even if more arrived together."""
REPEATS_MAX = 8192
"""Requests that come again after more different ones are not worth remembering."""
REPEATED_BYTES_MAX = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server. Times are checked by a sweep, so they are exact to a quarter (at most a second)."""

    head_bytes_max: int = 64 * KIB
    """Request line and headers; more is answered 431."""
    header_timeout_s: float = 30.0
    """From the first byte of a head to its end."""
    body_idle_timeout_s: float = 60.0
    """Without a byte of progress while a body comes in or an answer goes out."""
    keepalive_timeout_s: float = 120.0
    """Between two requests, and before the first."""
    buffer_bytes: int = 260 * KIB
    """Size of a receive buffer: what a sink gets per write at most. A round number and room for a head."""
    buffers_max: int = 256
    """Receive buffers for uploads in progress; beyond that an upload makes do with one of a sixteenth."""
    turn_bytes: int = 256 * KIB
    """What a connection may send or receive before the others have their turn."""
    connections_max: int = 10_000
    """Open connections; one more is answered 503."""
    handshakes: HandshakeLimits = field(default_factory=HandshakeLimits)
    """Of TLS, in progress."""
    drain_bytes_max: int = MIB
    """Rest of a body that nobody wants which is read so that the connection can be kept."""
    linger_bytes_max: int = 16 * MIB
    """The same before a connection is closed, so that the client gets to read the answer."""
    linger_timeout_s: float = 10.0
    """How long that may take."""

    @property
    def tick_s(self) -> float:
        """Interval of the sweep."""
        shortest = min(self.header_timeout_s, self.body_idle_timeout_s, self.keepalive_timeout_s, self.linger_timeout_s)
        return min(max(shortest / 4, TICK_S_MIN), TICK_S_MAX)


class BufferPool:
    """Receive buffers of one size, at most `count_max` of them out at a time, a few kept for reuse."""

    __slots__ = ("_count_max", "_free", "_out", "size_bytes")

    def __init__(self, size_bytes: int, count_max: int) -> None:
        self.size_bytes = size_bytes
        self._count_max = count_max
        self._out = 0
        self._free: list[bytearray] = []

    def take(self) -> bytearray | None:
        """A buffer, or None when all are out. Give it back with `give`."""
        if self._out >= self._count_max:
            return None
        self._out += 1
        return self._free.pop() if self._free else bytearray(self.size_bytes)

    def give(self, buffer: bytearray) -> None:
        """Return a buffer that `take` gave."""
        self._out -= 1
        if len(self._free) < self._count_max // 4:
            self._free.append(buffer)

    @property
    def out(self) -> int:
        """How many buffers are in use."""
        return self._out


class Hub:
    """Shared by all connections of a server. Belongs to one event loop."""

    upstreams: "Upstreams"
    """Connections to other nodes; whoever makes the hub sets it."""

    def __init__(
        self,
        route: Route,
        on_error: OnError,
        limits: Limits,
        networks: Network,
        loop: asyncio.AbstractEventLoop,
        cold_pool: Executor,
    ) -> None:
        self.route = route
        self.on_error = on_error
        self.limits = limits
        self.head_bytes_max = limits.head_bytes_max
        self.networks = networks
        self.loop = loop
        self.cold_pool = cold_pool
        """Reads file data outside the page cache for replies that bring no pool of their own."""
        self.app_server: web.Server | None = None
        self.parser = HeadParser()
        self.shared = bytearray(limits.buffer_bytes)
        """Every connection receives into it unless it is in the middle of an upload; valid during one callback."""
        self.shared_view = memoryview(self.shared)
        self.scratch = memoryview(bytearray(64 * KIB))
        """Small files are read into it on their way out."""
        self.buffers = BufferPool(limits.buffer_bytes, limits.buffers_max)
        self.connections: set[Connection] = set()
        self.repeats: dict[bytes, Again] = {}
        """By the bytes of a request without a body: how to answer it without looking into it (`Reply.repeat`)."""
        self._seen = Seen(REPEATS_MAX)
        """Hashes of requests that may be repeated, so that those that come once leave nothing else behind."""
        self.on_empty: Callable[[], None] | None = None
        """Called when the last connection is gone."""
        self.is_draining = False
        self._holding: list[Connection] = []
        self.tick = 0
        self._now_s = int(time.time())
        self.starts = Starts(self._now_s)
        """How replies begin in this second."""

    def sweep(self) -> None:
        """Advance the coarse clock and end the connections that are overdue. Call every `limits.tick_s`."""
        self.tick += 1
        self._refresh_date()
        for connection in tuple(self.connections):
            connection.check_deadline()
        self.upstreams.sweep()

    def hold(self, connection: "Connection") -> None:
        """Have a connection's answer sent when the requests that arrived at the same time are answered too.

        A send may wake the client, which on a machine with idle cores costs as much as the request; sends in a row
        find it awake.
        """
        holding = self._holding
        holding.append(connection)
        if len(holding) == 1:
            self.loop.call_soon(self._release)
        elif len(holding) == HELD_ANSWERS_MAX:
            self._release()

    def _release(self) -> None:
        holding, self._holding = self._holding, []
        for connection in holding:
            connection.release()

    def consider(self, head: bytes, request: Request, reply: Reply) -> None:
        """Find out how requests of these bytes are answered from now on, if they come again soon."""
        if reply.repeat is None or len(head) > REPEATED_BYTES_MAX:
            self.repeats.pop(head, None)
            return
        if self._seen.again(hash(head)) and (again := reply.repeat(request)) is not None:
            if len(self.repeats) >= REPEATS_MAX:
                self.repeats.clear()
            self.repeats[head] = again

    def swap_shared(self, buffer: bytearray) -> bytearray:
        """Receive into `buffer` instead of the shared one, which is returned: it is the caller's now."""
        before, self.shared = self.shared, buffer
        self.shared_view = memoryview(buffer)
        return before

    def replace_shared(self, view: memoryview) -> None:
        """`view` stays in use beyond the present callback: if it is the shared buffer, receive into another one."""
        if view is self.shared_view:
            self.shared = bytearray(self.limits.buffer_bytes)
            self.shared_view = memoryview(self.shared)

    def make_room(self, newcomer: "Connection") -> bool:
        """Close connections that were idle for longest, of the address that has most, if the newcomer's has far less.

        One client cannot keep all others out by opening connections. False: the newcomer is one too many.
        """
        counts = Counter(_host(one) for one in self.connections)
        host, count = counts.most_common(1)[0]
        if counts[_host(newcomer)] * 2 > count:
            return False
        idle = sorted((one for one in self.connections if one.is_idle and _host(one) == host), key=lambda one: one.tick)
        for one in idle[: 1 + count // 100]:
            one.give_way()
        return bool(idle)

    def forget(self, connection: "Connection") -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections and self.on_empty is not None:
            self.on_empty()

    def _refresh_date(self) -> None:
        now_s = int(time.time())
        if now_s != self._now_s:
            self._now_s = now_s
            self.starts = Starts(now_s)


def _host(connection: "Connection") -> str:
    return connection.peer.remote.rpartition(":")[0]
