"""What request bodies take of a node's memory: one budget for all its listeners.

A body that is kept until it is complete (a message, a document) is counted at its full length before it is read. When
there is no room it waits its turn, unread, so that its client is slowed down by TCP; after a while, or when too many
wait, it is refused. No address gets more than half of the budget, so that nobody keeps all others out.
"""

import asyncio
from collections import Counter

from ais.base.errors import Overloaded

FREE_BYTES = 4 << 10
"""Shorter bodies are not counted: heartbeats must pass while others send a lot, and cost less than a connection."""
WAITING_MAX = 256
"""Each holds what came together with its head."""


class Memory:
    """One per process. Belongs to one event loop."""

    def __init__(self, bytes_max: int, wait_s: float) -> None:
        self.bytes_max, self.wait_s = bytes_max, wait_s
        self.used = 0
        """Bytes of all bodies that were let in and are not over."""
        self._by_host: Counter[str] = Counter()
        self._waiting: dict[asyncio.Future[None], tuple[str, int]] = {}
        """In the order of their coming."""

    def limit(self, bytes_max: int, wait_s: float) -> None:
        """Obey another budget from now on; bodies that are in stay in."""
        self.bytes_max, self.wait_s = bytes_max, wait_s
        self._let_in()

    @property
    def waiting(self) -> int:
        """How many bodies wait."""
        return len(self._waiting)

    def take(self, host: str, count: int) -> asyncio.Future[None] | None:
        """Count `count` bytes of `host`, who gives them back; None: done.

        Otherwise that is done when the future is; it raises `Overloaded` when there is no room in time. Whoever cancels
        it has taken nothing.
        """
        if self._has_room(host, count) and not any(one == host for one, _ in self._waiting.values()):
            self._count(host, count)
            return None
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        if len(self._waiting) >= WAITING_MAX:
            waiting.set_exception(self._refusal())
            return waiting
        self._waiting[waiting] = host, count
        timer = loop.call_later(self.wait_s, self._give_up, waiting)
        waiting.add_done_callback(lambda _: timer.cancel())
        waiting.add_done_callback(self._gone)
        return waiting

    def give(self, host: str, count: int) -> None:
        """Give back what was taken."""
        self._count(host, -count)
        if not self._by_host[host]:
            del self._by_host[host]
        self._let_in()

    def _has_room(self, host: str, count: int) -> bool:
        held = self._by_host.get(host, 0)
        # One that is greater than a share is let in alone, rather than never.
        return self.used + count <= self.bytes_max and (not held or 2 * (held + count) <= self.bytes_max)

    def _count(self, host: str, count: int) -> None:
        self.used += count
        self._by_host[host] += count

    def _let_in(self) -> None:
        for waiting, (host, count) in tuple(self._waiting.items()):
            if not waiting.done() and self._has_room(host, count):
                del self._waiting[waiting]
                self._count(host, count)
                waiting.set_result(None)

    def _give_up(self, waiting: "asyncio.Future[None]") -> None:
        if not waiting.done():
            self._gone(waiting)
            waiting.set_exception(self._refusal())

    def _gone(self, waiting: "asyncio.Future[None]") -> None:
        self._waiting.pop(waiting, None)

    def _refusal(self) -> Overloaded:
        return Overloaded("this node holds as many request bodies as its limits.body_memory permits: try again soon")
