"""How fast xactions go on one target: as fast as they can while no client asks for anything, else as clients allow.

What a client waits for here is the event loop. While xactions run, a probe measures how late the loop wakes it up;
every few seconds all steps are held for a moment, which tells how late it is without them: at the same time on all
targets of a machine, whose clock says when, or each would take the steps of the others for what is usual. Clients' p99
may be three times what it is without steps: when more wake-ups are later than twice what 19 of 20 are at most without
(the latest few of them tell too little), besides those that are so without any step too, the steps rest longer (a
multiple of the time each took), else less. Late ones are counted over several periods, of which each has some eighty
wake-ups. Rest changes slowly and is bounded, so that jobs are even and people can be told how long they take: noise of
other programs took them from full speed to a twentieth and back.

A step may be a large file, or many small ones, which keep a core for as long as the kernel lets them: whoever reads or
writes them takes them through `Pace.pieces`, where no lock is held that a client could wait for, and in a pool that
clients do not need. For which step a thread works it is told (`carried`); outside of any, where a client waits,
nothing rests.
"""

import asyncio
import contextlib
import contextvars
import functools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from ais.env.clock import Clock

T = TypeVar("T")

PROBE_S = 0.005
PERIOD_S = 0.5
HOLD_EVERY, HOLD_SHARE = 8, 0.3
"""Each so manieth period of the machine's clock begins without any step, for this share of it."""
REST_MAX = 5.0
_LONGER, _FIRST_REST = 1.15, 0.05
_SHORTER, _LAST_REST = 0.9, 0.02
_RATIO_MAX, _USUAL = 2.0, 0.95
REST_AT_FIRST = 4.0
"""Where clients ask, a job begins slowly: what is over before it is known how much they bear is felt all the same."""
LATE_SHARE = 0.005
LINGER_S = 3.0
"""How long to measure on after a step that another node, or a reader of what is damaged, has asked for."""
SAVED_MAX = 8.0
"""Late wake-ups that earlier periods may have left over."""
_IDLE_S_MIN = 0.0005
"""A lateness below is not distinguished: timers have a resolution of a millisecond."""
_IDLE_MIN = 100
"""Fewer samples do not tell what is rare."""
_BUSY_MAX = 400
_IDLE_MAX = 1600
"""Of some minutes."""
_REST_S_MIN = PROBE_S / 10


class Judge:
    """Says after each period how long to rest from now on."""

    def __init__(self) -> None:
        self._saved = 0.0

    def decide(self, rest: float, busy_s: Sequence[float], idle_s: Sequence[float]) -> float:
        """How long to rest after each step, as a multiple of the time it took; how late wake-ups were with and without
        steps, and how long to rest so far.
        """
        limit_s = _RATIO_MAX * max(quantile(idle_s, _USUAL), _IDLE_S_MIN)
        late = sum(one > limit_s for one in busy_s)
        share = LATE_SHARE + sum(one > limit_s for one in idle_s) / max(len(idle_s), _IDLE_MIN)
        allowed = self._saved + share * len(busy_s)
        self._saved = min(max(allowed - late, 0.0), SAVED_MAX)
        if late > allowed:
            return min(rest * _LONGER + _FIRST_REST, REST_MAX)
        return max(rest * _SHORTER - _LAST_REST, 0.0)


def quantile(samples: Sequence[float], share: float) -> float:
    """The value that this share of the samples does not exceed; 0 without samples."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))] if samples else 0.0


class Pace:
    """Shared by all xactions of a target. `requests` counts what clients asked for so far."""

    def __init__(self, clock: Clock, requests: Callable[[], int]) -> None:
        self.rest_factor = 0.0
        self._clock = clock
        self._requests = requests
        self._users = 0
        self._lingering: asyncio.TimerHandle | None = None
        self._control: asyncio.Task[None] | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._busy: deque[float] = deque(maxlen=_BUSY_MAX)
        self._idle: deque[float] = deque(maxlen=_IDLE_MAX)

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Measure while the block lasts: it holds the steps of an xaction."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    async def rest_between(self, worked_s: float) -> None:
        """`rest` for a step of another node's xaction, which this one does not see begin and end."""
        self.linger()
        await self.rest(worked_s)

    def linger(self) -> None:
        """Measure for some seconds, for steps of which nobody knows whether more will follow."""
        if self._lingering is None:
            self._begin()
        else:
            self._lingering.cancel()
        self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._linger_no_longer)

    @contextlib.asynccontextmanager
    async def step(self, is_awaited: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
        """Around each step: rest after it, unless it fails, for as long as it did not rest between its pieces.

        `is_awaited`: whether a client waits for it, and there shall be no rest.
        """
        step, began_s = _Step(), self._clock.monotonic()
        token = _STEP.set(step)
        try:
            yield
        finally:
            step.is_over = True
            _STEP.reset(token)
        if not is_awaited():
            await self.rest(max(0.0, self._clock.monotonic() - began_s - step.settled_s))

    async def rest(self, worked_s: float) -> None:
        """Call after what was no step, and should take some milliseconds at most, with the time it took."""
        delay_s = worked_s * self.rest_factor
        await (self._clock.sleep(delay_s) if delay_s > _REST_S_MIN else asyncio.sleep(0))
        await self._open.wait()

    def pieces(self, pieces: Iterator[T], is_awaited: Callable[[], bool] = lambda: False) -> Iterator[T]:
        """The same pieces, in a thread that works for a step: it rests when each was used.

        `is_awaited`: whether somebody waits for the whole, and there shall be no rest.
        """
        began_s = self._clock.monotonic() - _HERE.settled_s
        for piece in pieces:
            yield piece
            if self._rest_in_thread(self._clock.monotonic() - _HERE.settled_s - began_s, is_awaited):
                began_s = self._clock.monotonic() - _HERE.settled_s

    async def each(self, pieces: Iterable[T], is_awaited: Callable[[], bool]) -> AsyncIterator[T]:
        """The same on the event loop."""
        for piece in pieces:
            began_s = self._clock.monotonic()
            yield piece
            step, rested_s = _STEP.get(), self._clock.monotonic()
            if step is not None and not (step.is_over or is_awaited()):
                await self.rest(rested_s - began_s)
                step.settled_s += self._clock.monotonic() - began_s

    def _rest_in_thread(self, worked_s: float, is_awaited: Callable[[], bool]) -> bool:
        """Whether the next pieces are counted anew: what is too short for a rest goes with them. For what there was no
        rest, the whole step has one.
        """
        step, delay_s = _STEP.get(), worked_s * self.rest_factor
        is_short = delay_s <= _REST_S_MIN and self._open.is_set()
        if step is None or step.is_over or is_short:
            return False
        if is_awaited():
            return True
        began_s = self._clock.monotonic()
        if delay_s > _REST_S_MIN:
            time.sleep(delay_s)
        while not (self._open.is_set() or step.is_over or is_awaited()):
            time.sleep(PROBE_S)
        settled_s = worked_s + self._clock.monotonic() - began_s
        step.settled_s += settled_s
        _HERE.settled_s += settled_s
        return True

    def close(self) -> None:
        """Measure no longer for steps that others have asked for."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._linger_no_longer()

    def _begin(self) -> None:
        self._users += 1
        if self._control is None:
            self.rest_factor = max(self.rest_factor, REST_AT_FIRST)
            self._control = asyncio.create_task(self._measure(), name="pace of xactions")

    def _end(self) -> None:
        self._users -= 1
        if not self._users and self._control is not None:
            self._control.cancel()
            self._control = None
            self._open.set()

    def _linger_no_longer(self) -> None:
        self._lingering = None
        self._end()

    async def _measure(self) -> None:
        judge, seen = Judge(), self._requests()
        while True:
            period = int(self._clock.monotonic() / PERIOD_S) + 1
            await self._probe(period * PERIOD_S, self._busy)
            asked, seen = self._requests() - seen, self._requests()
            if not asked:
                self.rest_factor = 0.0
                continue
            if period % HOLD_EVERY == 0:
                await self._look_without_steps((period + HOLD_SHARE) * PERIOD_S)
            self.rest_factor = judge.decide(self.rest_factor, self._busy, self._idle)
            self._busy.clear()

    async def _look_without_steps(self, end_s: float) -> None:
        self._open.clear()
        try:
            await asyncio.sleep(PROBE_S)
            await self._probe(end_s, self._idle)
        finally:
            self._open.set()

    async def _probe(self, end_s: float, samples: "deque[float]") -> None:
        while (started_s := self._clock.monotonic()) < end_s:
            await asyncio.sleep(PROBE_S)
            samples.append(self._clock.monotonic() - started_s - PROBE_S)


class _Step:
    """How long a step has worked for which it rested, with these rests."""

    __slots__ = ("is_over", "settled_s")

    def __init__(self) -> None:
        self.settled_s = 0.0
        self.is_over = False
        """Who still works for it, after the job was stopped, does not rest."""


class _Here(threading.local):
    """What a thread has settled: pieces of a small file are within one of many files, and are not counted twice."""

    settled_s = 0.0


_HERE = _Here()
_STEP: contextvars.ContextVar[_Step | None] = contextvars.ContextVar("step of a job", default=None)


def is_at_work() -> bool:
    """Whether this is done for a step of a job, and not because a client waits for it."""
    return _STEP.get() is not None


def carried(work: Callable[[], T]) -> Callable[[], T]:
    """The same work, for another thread: there, too, for the step that this one makes."""
    return functools.partial(contextvars.copy_context().run, work)
