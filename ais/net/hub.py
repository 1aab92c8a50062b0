"""What the connections of one server share: the route, limits, buffers, the coarse clock, the set of connections."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ais.base.seen import Seen
from ais.config.limits import Limits as ClientLimits
from ais.net.encoding import Starts
from ais.net.handshakes import HandshakeLimits
from ais.net.head import HeadParser
from ais.net.http import Again, Network, OnError, Reply, Request, Retry, Route
from ais.net.memory import Memory

if TYPE_CHECKING:
    from aiohttp import web

KIB, MIB = 1 << 10, 1 << 20
_SET = ClientLimits()
TICK_S_MAX = 1.0
TICK_S_MIN = 0.05
HELD_ANSWERS_MAX = 32
"""Nobody waits for the work of more requests than that, even if more arrived together."""
REPEATS_MAX = 8192
"""Requests that come again after more different ones are not worth remembering."""
REPEATED_BYTES_MAX = 1024
SCARCE_BYTES = 16 * KIB
"""What is received at a time while buffers are scarce."""
_LONG_BODIES = (
    "/v1/archive",
    "/v1/buckets",
    "/v1/download",
    "/v1/dsort",
    "/v1/events",
    "/v1/groups",
    "/v1/metasync",
    "/v1/ml/",
    "/v1/objects",
    "/v1/promotions",
    "/v1/remote",
    "/v1/s3/",
    "/v1/sort",
    "/v1/txn",
    "/v1/xactions",
)
"""Routes whose messages may name many objects, or are cluster metadata."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server; the section `limits` of the configuration gives those that an operator may want to change.

    Times are checked by a sweep, so they are exact to a quarter (at most a second).
    """

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
    connections_max: int = _SET.connections
    """Open connections; one more is answered 503."""
    connections_per_address_max: int = _SET.connections_per_address
    """Of one address: for one more the idlest gives way, else it is answered 503."""
    message_bytes_max: int = int(_SET.message_size)
    """A control message; a longer one is answered 413 before it is read."""
    list_bytes_max: int = int(_SET.list_size)
    """The same of messages that may name many objects."""
    kept_body_timeout_s: float = float(_SET.body_timeout)
    """How long a body that is kept in memory may take to arrive."""
    handshakes: HandshakeLimits = field(default_factory=HandshakeLimits)
    """Of TLS, in progress."""
    drain_bytes_max: int = MIB
    """Rest of a body that nobody wants which is read so that the connection can be kept."""
    linger_bytes_max: int = 16 * MIB
    """The same before a connection is closed, so that the client gets to read the answer."""
    linger_timeout_s: float = 10.0
    """How long that may take."""

    def body_bytes_max(self, path: str) -> int:
        """Of a message to this route."""
        return self.list_bytes_max if path.startswith(_LONG_BODIES) else self.message_bytes_max

    @property
    def tick_s(self) -> float:
        """Interval of the sweep."""
        shortest = min(self.header_timeout_s, self.body_idle_timeout_s, self.keepalive_timeout_s, self.linger_timeout_s)
        return min(max(shortest / 4, TICK_S_MIN), TICK_S_MAX)


class BufferPool:
    """Receive buffers of one size, at most `count_max` of them out at a time, a few kept for reuse."""

    __slots__ = ("_count_max", "_free", "_out", "on_scarce", "size_bytes")

    def __init__(self, size_bytes: int, count_max: int) -> None:
        self.size_bytes = size_bytes
        self._count_max = count_max
        self._out = 0
        self._free: list[bytearray] = []
        self.on_scarce: Callable[[bool], None] = lambda _: None
        """Told when the last buffer is taken, and when one is back."""

    def take(self) -> bytearray | None:
        """A buffer, or None when all are out. Give it back with `give`."""
        if self._out >= self._count_max:
            return None
        self._out += 1
        if self._out == self._count_max:
            self.on_scarce(True)
        return self._free.pop() if self._free else bytearray(self.size_bytes)

    def give(self, buffer: bytearray) -> None:
        """Return a buffer that `take` gave."""
        if self._out == self._count_max:
            self.on_scarce(False)
        self._out -= 1
        if len(self._free) < self._count_max // 4:
            self._free.append(buffer)

    @property
    def out(self) -> int:
        """How many buffers are in use."""
        return self._out


class Member(Protocol):
    """A connection of a client, as its hub sees it."""

    host: str
    """The client's address, without its port."""
    tick: int
    """When something happened last."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is going on."""

    def release(self) -> None:
        """Send what is held."""

    def check_deadline(self) -> None:
        """End the connection when what it waits for is overdue."""

    def give_way(self) -> None:
        """Others need the place: close if nothing is going on."""

    def stop(self) -> None:
        """The server drains: close now if idle, else after the present answer."""

    def break_off(self) -> None:
        """Close at once."""


class Hub:
    """Shared by all connections of a server. Belongs to one event loop."""

    def __init__(
        self,
        route: Route,
        on_error: OnError,
        limits: Limits,
        networks: Network,
        loop: asyncio.AbstractEventLoop,
        cold_pool: Executor,
        memory: Memory,
        retry: Retry,
    ) -> None:
        self.route = route
        self.on_error = on_error
        self.retry = retry
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
        self.space = self.shared_view
        """What of it is received into: less while buffers are scarce, as what cannot be used yet has to be kept."""
        self._is_scarce = False
        self.scratch = memoryview(bytearray(64 * KIB))
        """Small files are read into it on their way out."""
        self.buffers = BufferPool(limits.buffer_bytes, limits.buffers_max)
        self.buffers.on_scarce = self._receive_less
        self.memory = memory
        self.connections: set[Member] = set()
        self._by_host: Counter[str] = Counter()
        self._leaving: set[Member] = set()
        """Those that were told to close and are not gone yet: they are not counted any more."""
        self.repeats: dict[bytes, Again] = {}
        """By the bytes of a request without a body: how to answer it without looking into it (`Reply.repeat`)."""
        self._seen = Seen(REPEATS_MAX)
        """Hashes of requests that may be repeated, so that those that come once leave nothing else behind."""
        self.on_empty: Callable[[], None] | None = None
        """Called when the last connection is gone."""
        self.on_sweep: Callable[[], None] = lambda: None
        """Called after each sweep: connections to other nodes have deadlines too."""
        self.is_draining = False
        self.is_closed = False
        """Connections that were accepted before and only come now are broken off."""
        self._holding: list[Member] = []
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
        self.on_sweep()

    def hold(self, connection: Member) -> None:
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
        before = self.shared
        self._receive_into(buffer)
        return before

    def replace_shared(self, view: memoryview) -> None:
        """`view` stays in use beyond the present callback: if it is the shared buffer, receive into another one."""
        if view is self.shared_view:
            self._receive_into(bytearray(self.limits.buffer_bytes))

    def _receive_into(self, buffer: bytearray) -> None:
        self.shared = buffer
        self.shared_view = memoryview(buffer)
        self._receive_less(self._is_scarce)

    def _receive_less(self, is_scarce: bool) -> None:
        self._is_scarce = is_scarce
        self.space = self.shared_view[:SCARCE_BYTES] if is_scarce else self.shared_view

    def admit(self, newcomer: Member) -> bool:
        """Count a new connection; when there are too many, those that were idle for longest are closed.

        One client cannot keep all others out by opening connections: beyond what an address may have, its own give way,
        beyond what all may have, those of the address with most, if the newcomer's has far less. False: the newcomer is
        one too many.
        """
        host, limits = newcomer.host, self.limits
        self.connections.add(newcomer)
        self._by_host[host] += 1
        if host and self._by_host[host] > limits.connections_per_address_max:  # without one: another process of ours
            return self._make_room(host, newcomer)
        if len(self.connections) - len(self._leaving) <= limits.connections_max:
            return True
        greatest, count = self._by_host.most_common(1)[0]
        return self._by_host[host] * 2 <= count and self._make_room(greatest, newcomer)

    def _make_room(self, host: str, newcomer: Member) -> bool:
        """Close a hundredth of the connections of an address: looking through all of them for each would be dear."""
        idle = [one for one in self.connections if one.host == host and one.is_idle and one is not newcomer]
        idle.sort(key=lambda one: one.tick)
        for one in idle[: 1 + self._by_host[host] // 100]:
            one.give_way()
            self._uncount(host)
            self._leaving.add(one)
        return bool(idle)

    def _uncount(self, host: str) -> None:
        self._by_host[host] -= 1
        if not self._by_host[host]:
            del self._by_host[host]

    def forget(self, connection: Member) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if connection in self._leaving:
            self._leaving.discard(connection)
        else:
            self._uncount(connection.host)
        if not self.connections and self.on_empty is not None:
            self.on_empty()

    def _refresh_date(self) -> None:
        now_s = int(time.time())
        if now_s != self._now_s:
            self._now_s = now_s
            self.starts = Starts(now_s)
