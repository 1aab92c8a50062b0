"""What a retention ends by: a moment that has come by more than one clock."""

import asyncio
from collections.abc import Callable
from typing import Any

from ais.env import Env


class WrongClock:
    """Another clock that was set forward."""

    def __init__(self, right: Any, ahead_ns: int) -> None:
        self._right, self._ahead_ns = right, ahead_ns
        self.monotonic, self.sleep = right.monotonic, right.sleep

    def now_ns(self) -> int:
        return int(self._right.now_ns()) + self._ahead_ns


def test_one_clock_alone_moves_nothing(simulate: Callable[..., Any]) -> None:
    """Set forward on a target or on the primary it changes nothing; before the primary was heard nothing has ended."""

    async def scenario(world: Any) -> None:
        world.cluster(proxies=1, targets=2)
        node = world["t1"].alive
        assert node.sure_ns == 0
        await world.settled()
        year_ns = 365 * 86400 * 10**9
        node.core.env = Env(WrongClock(world.clock, year_ns))
        await asyncio.sleep(30)
        assert 0 < node.sure_ns <= world.clock.now_ns()
        node.core.env = Env(world.clock)
        primary = world.primary()
        primary.core.env = Env(WrongClock(world.clock, year_ns))
        await asyncio.sleep(30)
        assert world.clock.now_ns() - 20 * 10**9 < node.sure_ns <= world.clock.now_ns()

    simulate(scenario)
