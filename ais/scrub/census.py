"""Counting what there is of every bucket without reading any content, again whenever that may have changed.

What was counted holds for a *state*: which mountpaths and targets there are, what the bucket promises, which repairs
have ended. In another state it is of no use, so a bucket whose count is of another state is never called well, and
it is counted anew: the smallest effort that makes the answer to "is all there?" true each time it is asked, without
a step on the way of reads and writes. Besides, what was found wanting is looked at again after a while, and
everything once an hour.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

import structlog

from ais.api.bucket import Bck
from ais.base.errors import AisError
from ais.env.clock import Clock
from ais.scrub.rounds import Order, Rounds
from ais.scrub.tally import Tally
from ais.xact.xaction import NO_BUCKET, Xaction

LOOK_S = 1.0
AGE_S_MAX = 3600.0
WANTING_S = 5.0
BUSY_S = 60.0
"""A bucket in which objects wait for copies all the time is counted no more often than that."""
_EFFORT, _EFFORT_WANTING = 20.0, 4.0
"""A bucket is not counted again before so many times the duration of the last count; the second: when it was short."""


class Count(NamedTuple):
    """What was found, when, how long that took, and in which state."""

    tally: Tally
    ended_ns: int
    ended_s: float
    took_s: float
    state: Hashable


class Census:
    """Counts the buckets of one target in the background, one at a time."""

    def __init__(
        self,
        rounds: Rounds,
        clock: Clock,
        buckets: Callable[[], Iterable[Bck]],
        state_of: Callable[[Bck], Hashable],
        is_quiet: Callable[[], bool],
        is_busy: Callable[[Bck], bool],
    ) -> None:
        """`is_quiet`: whether counting makes sense now, not while all is on the move. `is_busy`: whether objects of
        a bucket wait for copies, so that they would be missed now.
        """
        self._rounds = rounds
        self._clock = clock
        self._buckets = buckets
        self._state_of = state_of
        self._is_quiet = is_quiet
        self._is_busy = is_busy
        self._counts: dict[Bck, Count] = {}
        self._asked: set[Bck] = set()
        self._log = structlog.get_logger()

    def get(self, bck: Bck) -> Count | None:
        """The last count of a bucket."""
        return self._counts.get(bck)

    def is_current(self, bck: Bck) -> bool:
        """Whether the last count is of the present state."""
        count = self._counts.get(bck)
        return count is not None and count.state == self._state_of(bck)

    def ask(self, bck: Bck) -> None:
        """Somebody wants to know: count again when the last count is not from just now."""
        self._asked.add(bck)

    def learn(self, bck: Bck, tally: Tally, state: Hashable) -> None:
        """Somebody else has gone through a bucket, whose state was that before."""
        self._keep(bck, tally, state, 0.0)

    async def watch(self) -> None:
        """Count what is due, for ever."""
        while True:
            known = list(self._buckets())
            self._counts = {bck: count for bck, count in self._counts.items() if bck in known}
            for bck in known:
                if self._is_quiet() and self._is_due(bck):
                    await self._count(bck)
            await self._clock.sleep(LOOK_S)

    def _is_due(self, bck: Bck) -> bool:
        count = self._counts.get(bck)
        age_s = self._clock.monotonic() - count.ended_s if count is not None else AGE_S_MAX
        if age_s < BUSY_S and self._is_busy(bck):
            return False
        if count is None or count.state != self._state_of(bck):
            return True
        if not count.tally.is_well:
            return age_s > max(WANTING_S, _EFFORT_WANTING * count.took_s)
        if bck in self._asked:
            return age_s > max(WANTING_S, _EFFORT * count.took_s)
        return age_s > AGE_S_MAX

    async def _count(self, bck: Bck) -> None:
        state, started_s, tally = self._state_of(bck), self._clock.monotonic(), Tally()
        self._asked.discard(bck)
        try:
            await self._rounds.run(Xaction("census", "", self._clock.now_ns(), bck=NO_BUCKET), bck, Order(), tally)
        except AisError as error:
            self._log.info("bucket was not counted", bucket=bck.cname(), reason=str(error))
            await self._clock.sleep(WANTING_S)
            return
        self._keep(bck, tally, state, self._clock.monotonic() - started_s)

    def _keep(self, bck: Bck, tally: Tally, state: Hashable, took_s: float) -> None:
        self._counts[bck] = Count(tally, self._clock.now_ns(), self._clock.monotonic(), took_s, state)
