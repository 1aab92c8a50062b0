"""How fast xactions go on one target: as fast as they can while no client asks for anything, else as clients allow.

What a client waits for here is the event loop. While xactions run, a probe measures how late the loop wakes it up;
every few seconds all steps are held for a moment, which tells how late it is without them. The p99 of the one may be
twice that of the other: beyond, the steps rest longer (a multiple of the time each took), below, they rest less.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator

from ais.env.clock import Clock

PROBE_S = 0.005
PERIOD_S = 0.5
HOLD_S = 0.15
HOLD_EVERY = 8
"""Periods between two moments without any step."""
REST_MAX = 20.0
_FIRST_REST = 0.25
_RATIO_MAX = 2.0
_IDLE_S_MIN = 0.0005
"""A lateness below is not distinguished: timers have a resolution of a millisecond."""
_SAMPLES_MAX = 400


def decide(rest: float, busy_p99_s: float, idle_p99_s: float) -> float:
    """How long to rest after each step from now on, as a multiple of the time it took."""
    if busy_p99_s > _RATIO_MAX * max(idle_p99_s, _IDLE_S_MIN):
        return min(rest * 1.5 + _FIRST_REST, REST_MAX)
    return max(rest * 0.8 - 0.02, 0.0)


def p99(samples: "deque[float]") -> float:
    """The value that 99 of 100 samples do not exceed; 0 without samples."""
    return sorted(samples)[min(len(samples) - 1, len(samples) * 99 // 100)] if samples else 0.0


class Pace:
    """Shared by all xactions of a target. `requests` counts what clients asked for so far."""

    def __init__(self, clock: Clock, requests: Callable[[], int]) -> None:
        self.rest_factor = 0.0
        self._clock = clock
        self._requests = requests
        self._users = 0
        self._control: asyncio.Task[None] | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._busy: deque[float] = deque(maxlen=_SAMPLES_MAX)
        self._idle: deque[float] = deque(maxlen=_SAMPLES_MAX)

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Measure while the block lasts: it holds the steps of an xaction."""
        self._users += 1
        if self._control is None:
            self._control = asyncio.create_task(self._measure(), name="pace of xactions")
        try:
            yield
        finally:
            self._users -= 1
            if not self._users and self._control is not None:
                self._control.cancel()
                self._control = None
                self._open.set()

    async def rest(self, worked_s: float) -> None:
        """Call after each step, which should take some milliseconds at most, with the time it took."""
        delay_s = worked_s * self.rest_factor
        await (self._clock.sleep(delay_s) if delay_s > PROBE_S / 10 else asyncio.sleep(0))
        await self._open.wait()

    def rest_in_thread(self, worked_s: float) -> None:
        """The same for a step that is made in a thread of its own, and waits there."""
        delay_s = worked_s * self.rest_factor
        if delay_s > PROBE_S / 10:
            time.sleep(delay_s)
        while not self._open.is_set():
            time.sleep(PROBE_S)

    async def _measure(self) -> None:
        seen, periods = self._requests(), 0
        while True:
            await self._probe(PERIOD_S, self._busy)
            asked, seen = self._requests() - seen, self._requests()
            if not asked:
                self.rest_factor = 0.0
                continue
            if periods % HOLD_EVERY == 0:
                await self._look_without_steps()
            periods += 1
            self.rest_factor = decide(self.rest_factor, p99(self._busy), p99(self._idle))
            self._busy.clear()

    async def _look_without_steps(self) -> None:
        self._open.clear()
        try:
            await asyncio.sleep(PROBE_S)
            await self._probe(HOLD_S, self._idle)
        finally:
            self._open.set()

    async def _probe(self, duration_s: float, samples: "deque[float]") -> None:
        end_s = self._clock.monotonic() + duration_s
        while (started_s := self._clock.monotonic()) < end_s:
            await asyncio.sleep(PROBE_S)
            samples.append(self._clock.monotonic() - started_s - PROBE_S)
