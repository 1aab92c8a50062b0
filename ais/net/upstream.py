"""Connections to other nodes: one pool for each peer, used by one relay at a time.

A request takes the connection that was used last, else waits in line while more are opened; whoever is first in line
gets the next one that is free, new or used. Connections close after half the time that servers keep idle ones.

Connections on which nothing moves, as while the peer asks a backend that does not answer, or a client takes nothing, do
not keep others waiting: more are opened beside them.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from ais.base.errors import AisError, NotReady, Unreachable
from ais.net.hub import Hub
from ais.net.wire import Wire

CONNECTIONS_PER_PEER_MAX = 256
"""Besides those on which nothing has moved for `STILL_S`."""
STILL_S = 0.25
ALL_PER_PEER_MAX = 2048
WAITING_PER_PEER_MAX = 1024
CONNECT_TIMEOUT_S = 5.0
Dial = Callable[[str], socket.socket | None]
"""A connected socket for a URL that is not reached over the network; None for one that is. Raise `OSError`."""


class Borrower(Protocol):
    """Who asks for a connection: it is given one, or told why there is none, then what comes on it."""

    def begin(self, upstream: "Upstream", *, is_used: bool) -> None:
        """A connection for the request; `is_used` when it served others before."""

    def fail(self, error: AisError) -> None:
        """There is no connection."""

    def wants_answer(self) -> bool:
        """Whether more of the answer could be used now."""

    def answered(self, view: memoryview) -> None:
        """Bytes of the answer, valid during the call."""

    def upstream_ended(self, *, is_clean: bool) -> None:
        """The connection is gone; `is_clean` when the peer closed it in order."""


class Upstream(Wire):
    """A connection to a peer. `relay` is whose answer comes on it; without one it is idle."""

    __slots__ = ("_pool", "moved_s", "relay")

    def __init__(self, hub: Hub, pool: "PeerPool") -> None:
        super().__init__(hub)
        self._pool = pool
        self.relay: Borrower | None = None
        self.moved_s = 0.0
        """When something of a request or its answer passed last, by the clock of the loop."""

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where to receive: the buffer all connections share."""
        return self.hub.shared

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of the answer came. A full buffer ends the turn."""
        if self.relay is None:
            self.discard()
            return
        self.moved()
        self.relay.answered(self.hub.shared_view[:nbytes])
        if nbytes == len(self.hub.shared) and self.relay is not None:
            self.yield_turn()

    def moved(self) -> None:
        """Something passes."""
        self.moved_s = self.hub.loop.time()

    def eof_received(self) -> bool:
        """The peer is done with this connection, and so are we."""
        self._end(is_clean=True)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        self._end(is_clean=False)
        self._pool.forget(self)

    def wants_bytes(self) -> bool:
        """Whether more of the answer could be used now."""
        return self.relay is None or self.relay.wants_answer()

    def begin_turn(self) -> None:
        """The other connections had their turn."""
        self.update_reading()

    def release(self) -> None:
        """The answer is complete and another request may follow."""
        self.relay = None
        self.touch()
        self.update_reading()
        self._pool.give(self)

    def discard(self) -> None:
        """Close at once, telling nobody."""
        self.relay = None
        self._pool.retire(self)
        self.break_off()

    def _end(self, *, is_clean: bool) -> None:
        relay = self.relay
        self.discard()
        if relay is not None:
            relay.upstream_ended(is_clean=is_clean)


class PeerPool:
    """The connections to one peer."""

    __slots__ = (
        "_connecting",
        "_host",
        "_hub",
        "_idle",
        "_is_tls",
        "_looking",
        "_open",
        "_port",
        "_upstreams",
        "_waiting",
        "netloc",
        "url",
    )

    def __init__(self, upstreams: "Upstreams", url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.netloc = parts.netloc
        self._upstreams = upstreams
        self._hub = upstreams.hub
        self._host, self._port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        self._is_tls = parts.scheme == "https"
        self._open: set[Upstream] = set()
        self._idle: list[Upstream] = []
        """Open ones that nobody uses, the one used last at the end."""
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[Borrower] = deque()
        self._looking: asyncio.TimerHandle | None = None

    def take(self, relay: Borrower) -> None:
        """Give `relay` a connection, now or later, through its `begin`, or call its `fail`.

        Raise `NotReady` when too many wait.
        """
        if self._idle:
            self._lend(self._idle.pop(), relay, is_used=True)
            return
        if len(self._waiting) >= WAITING_PER_PEER_MAX:
            raise NotReady(f"too many requests wait for {self.url}, try again later")
        self._waiting.append(relay)
        self._connect_more()

    def take_fresh(self, relay: Borrower) -> None:
        """The same for a relay whose idle connection turned out to be closed: no idle one, and first in line."""
        self._waiting.appendleft(relay)
        self._connect_more()

    def give_up(self, relay: Borrower) -> None:
        """`relay` does not wait any more."""
        if relay in self._waiting:
            self._waiting.remove(relay)

    def give(self, upstream: Upstream) -> None:
        """A connection is free."""
        if self._waiting:
            self._lend(upstream, self._waiting.popleft(), is_used=True)
        else:
            self._idle.append(upstream)

    def retire(self, upstream: Upstream) -> None:
        """A connection will not be used any more."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def forget(self, upstream: Upstream) -> None:
        """A connection is gone."""
        self._open.discard(upstream)
        self._connect_more()
        self._upstreams.forget_unused(self)

    @property
    def is_unused(self) -> bool:
        """Whether nothing is open, being opened or waiting."""
        return not (self._open or self._connecting or self._waiting)

    def close_idle(self, before_tick: int) -> None:
        """Close what was used last before a tick of the coarse clock."""
        while self._idle and self._idle[0].tick < before_tick:
            self._idle[0].discard()

    def close(self) -> None:
        """Break off everything."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        for task in self._connecting:
            task.cancel()
        for upstream in tuple(self._open):
            upstream.discard()

    def _lend(self, upstream: Upstream, relay: Borrower, *, is_used: bool) -> None:
        upstream.relay = relay
        upstream.moved()
        relay.begin(upstream, is_used=is_used)

    def _connect_more(self) -> None:
        wanted = len(self._waiting) - len(self._connecting)
        if wanted <= 0 or self._upstreams.is_closed:
            return
        room = self._room()
        if room < wanted and self._looking is None:
            self._looking = self._hub.loop.call_later(STILL_S, self._look_again)
        for _ in range(min(wanted, room)):
            task = self._hub.loop.create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connected)

    def _room(self) -> int:
        """How many more connections there may be now."""
        count = len(self._open) + len(self._connecting)
        if count < CONNECTIONS_PER_PEER_MAX:
            return CONNECTIONS_PER_PEER_MAX - count
        since_s = self._hub.loop.time() - STILL_S
        still = sum(one.relay is not None and one.moved_s <= since_s for one in self._open)
        return max(0, min(CONNECTIONS_PER_PEER_MAX + still, ALL_PER_PEER_MAX) - count)

    def _look_again(self) -> None:
        self._looking = None
        self._connect_more()

    async def _connect(self) -> None:
        loop, dialled = self._hub.loop, self._upstreams.dial(self.url)
        tls = (self._upstreams.tls or True) if self._is_tls else None
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            if dialled is None:
                _, upstream = await loop.create_connection(
                    lambda: Upstream(self._hub, self), self._host, self._port, ssl=tls
                )
            else:
                _, upstream = await loop.create_unix_connection(lambda: Upstream(self._hub, self), sock=dialled)
        self._open.add(upstream)
        if self._waiting:
            self._lend(upstream, self._waiting.popleft(), is_used=False)
        else:
            upstream.release()

    def _connected(self, task: "asyncio.Task[None]") -> None:
        self._connecting.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._waiting:
            reason = f"no connection within {CONNECT_TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else error
            self._waiting.popleft().fail(Unreachable(f"{self.url} cannot be reached: {reason}"))
        self._connect_more()
        self._upstreams.forget_unused(self)


class Upstreams:
    """The pools of a server, by the peer's URL. A pool lives while it has connections."""

    def __init__(self, hub: Hub, tls: ssl.SSLContext | None, dial: Dial = lambda _url: None) -> None:
        self.hub = hub
        self.tls = tls
        """For connections from now on."""
        self.dial = dial
        self.is_closed = False
        hub.on_sweep = self.sweep
        self._pools: dict[str, PeerPool] = {}
        self._gone = asyncio.Event()

    def pool(self, url: str) -> PeerPool:
        """The pool of the peer at `url`."""
        pool = self._pools.get(url)
        if pool is None:
            pool = self._pools[url] = PeerPool(self, url)
        return pool

    def sweep(self) -> None:
        """Close connections that nobody used for a while."""
        limits = self.hub.limits
        before_tick = self.hub.tick - int(limits.keepalive_timeout_s / 2 / limits.tick_s)
        for pool in tuple(self._pools.values()):
            pool.close_idle(before_tick)

    def forget_unused(self, pool: PeerPool) -> None:
        """Drop a pool that has nothing any more."""
        if pool.is_unused and self._pools.get(pool.url) is pool:
            del self._pools[pool.url]
        if not self._pools:
            self._gone.set()

    async def close(self) -> None:
        """Break off all connections. Nothing may be waiting for one."""
        self.is_closed = True
        if self._pools:
            self._gone.clear()
            for pool in tuple(self._pools.values()):
                pool.close()
            await self._gone.wait()
