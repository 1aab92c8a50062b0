"""Waiting for targets that are away, as while one is restarted: a job goes on with them and does not fail at once."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ais.base.errors import NotReady, Unreachable
from ais.env.clock import Clock

T = TypeVar("T")
PATIENCE_S = 120.0
_PAUSE_S, _PAUSE_S_MAX = 0.1, 2.0


class Patience:
    """Of one job: it ends when nothing has succeeded for `PATIENCE_S`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: float | None = None

    async def wait_for(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do `step`, which may be done several times, until it succeeds. Raise what it raises in the end."""
        pause_s = _PAUSE_S
        while True:
            try:
                done = await step()
            except (Unreachable, NotReady):
                now_s = self._clock.monotonic()
                self._since_s = self._since_s or now_s
                if now_s - self._since_s > PATIENCE_S:
                    raise
            else:
                self._since_s = None
                return done
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_S_MAX)
