"""So many bytes a second, for all connections of a job together."""

from ais.env.clock import Clock


class Throttle:
    """`bytes_per_s` 0: no limit. Who took too much waits until that much time has passed."""

    def __init__(self, clock: Clock, bytes_per_s: float) -> None:
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0

    async def take(self, count: int) -> None:
        """Return when so many bytes may have been received."""
        if not self._bytes_per_s:
            return
        now_s = self._clock.monotonic()
        self._free_s = max(self._free_s, now_s) + count / self._bytes_per_s
        await self._clock.sleep(self._free_s - now_s)
