"""A backend as the data path asks it: at the rate that its bucket has, and not at all for a while when it is down.

What is overloaded is asked again, up to `num_retries` times, with growing pauses; calls that are not answered are not:
the libraries below did that. A bucket that cannot be reached costs those who ask for it, and nobody else, an error.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from typing import TypeVar

from ais.api.bucket import Bck
from ais.backend.interface import Backend, Download, Place, RemoteObject, RemotePage, Upload
from ais.backend.pacing import FAILURES_MAX, Breaker, Rate
from ais.base.errors import AisError, NotReady, Unreachable
from ais.config.sections import Extra
from ais.env.clock import Clock

PAUSE_S, PAUSE_S_MAX = 0.5, 10.0
T = TypeVar("T")


class Guarded:
    """Around a `Backend`; one per provider, cluster or endpoint."""

    def __init__(self, inner: Backend, clock: Clock, rng: random.Random, share: Callable[[], float]) -> None:
        """`share`: of a configured rate, which is the cluster's, what this target may use."""
        self.inner = inner
        self._clock = clock
        self._rng = rng
        self._share = share
        self._breakers: dict[str, Breaker] = {}
        self._rates: dict[Bck, Rate] = {}

    @property
    def is_read_only(self) -> bool:
        """See `Backend`."""
        return self.inner.is_read_only

    async def buckets(self) -> list[Bck]:
        """See `Backend`."""
        return await self._asked(None, "get", self.inner.buckets)

    async def head_bucket(self, place: Place) -> Extra:
        """See `Backend`."""
        return await self._asked(place, "get", lambda: self.inner.head_bucket(place))

    async def page(self, place: Place, prefix: str, after: str, limit: int, delimiter: str = "") -> RemotePage:
        """See `Backend`."""
        return await self._asked(place, "get", lambda: self.inner.page(place, prefix, after, limit, delimiter))

    async def head(self, place: Place, name: str) -> RemoteObject:
        """See `Backend`."""
        return await self._asked(place, "get", lambda: self.inner.head(place, name))

    @asynccontextmanager
    async def get(self, place: Place, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[Download]:
        """See `Backend`. What breaks off later is not asked for again here."""
        async with AsyncExitStack() as stack:
            reading = partial(self.inner.get, place, name, offset, length)
            yield await self._asked(place, "get", lambda: stack.enter_async_context(reading()))

    async def put(self, place: Place, name: str, content: Upload, user: dict[str, str]) -> RemoteObject:
        """See `Backend`."""
        return await self._asked(place, "put", lambda: self.inner.put(place, name, content, user))

    async def delete(self, place: Place, name: str) -> None:
        """See `Backend`."""
        await self._asked(place, "delete", lambda: self.inner.delete(place, name))

    async def close(self) -> None:
        """See `Backend`."""
        await self.inner.close()

    async def _asked(self, place: Place | None, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        rate = self._rate(place)
        for attempt in range(rate.configured.num_retries + 1 if rate is not None else 1):
            await self._turn(place, verb, rate)
            try:
                answer = await self._counted(place, verb, call)
            except NotReady:
                if rate is None or attempt == rate.configured.num_retries:
                    raise
                rate.overloaded()
                pause_s = min(PAUSE_S * 2**attempt, PAUSE_S_MAX)
                await self._clock.sleep(pause_s * (0.5 + self._rng.random() / 2))
                continue
            if rate is not None:
                rate.answered()
            return answer
        raise AssertionError("the last attempt returns or raises")

    def require_answers(self, place: Place) -> None:
        """Raise `Unreachable` while the backend lets others wait and answers none."""
        if (left_s := self._breaker(place).silence_s(self._clock.monotonic())) > 0:
            raise _left_alone(place, left_s)

    async def _counted(self, place: Place | None, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        breaker = self._breaker(place)
        is_long = verb == "put"  # the answer comes when all of it was sent
        try:
            with nullcontext() if is_long else breaker.waiting(self._clock.monotonic()):
                answer = await call()
        except Unreachable:
            breaker.failed(self._clock.monotonic())
            raise
        except AisError:
            breaker.succeeded(self._clock.monotonic())
            raise
        breaker.succeeded(self._clock.monotonic())
        return answer

    async def _turn(self, place: Place | None, verb: str, rate: Rate | None) -> None:
        """Wait for it. Raise `Unreachable` while the backend is left alone."""
        now_s = self._clock.monotonic()
        if (left_s := self._breaker(place).wait_s(now_s)) > 0:
            raise _left_alone(place, left_s)
        if rate is not None and (wait_s := rate.wait_s(now_s, verb, self._share())) > 0:
            await self._clock.sleep(wait_s)

    def _breaker(self, place: Place | None) -> Breaker:
        """What fails for one bucket may work for others: they can be at other servers, or have other rights."""
        key = "" if place is None else place.bck.uname
        return self._breakers.setdefault(key, Breaker())

    def _rate(self, place: Place | None) -> Rate | None:
        if place is None or not place.rate.enabled:
            return None
        found = self._rates.get(place.bck)
        if found is None or found.configured != place.rate:
            found = self._rates[place.bck] = Rate(place.rate)
        return found


def _left_alone(place: Place | None, left_s: float) -> Unreachable:
    what = "the backend" if place is None else f"the backend of {place.bck.cname()}"
    return Unreachable(f"{what} did not answer {FAILURES_MAX} times in a row: it is asked again in {left_s:.1f}s")
