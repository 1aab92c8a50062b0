"""Jobs that go on after a restart begin before their target serves: what they need of it is not there yet."""

from collections.abc import Callable

from ais.env.clock import Clock

_POLL_S = 0.05


async def until_serving(clock: Clock, is_serving: Callable[[], bool]) -> None:
    """Wait until the target serves objects."""
    while not is_serving():
        await clock.sleep(_POLL_S)
