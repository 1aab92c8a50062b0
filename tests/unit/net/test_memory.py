"""The budget for request bodies: who gets in, who waits, who is refused, and that all comes back."""

import asyncio
import random

import pytest
from harness.loop import run

from ais.base.errors import Overloaded
from ais.net.memory import WAITING_MAX, Memory


def test_in_turn() -> None:
    """What does not fit waits, and gets in when there is room, the first first."""

    async def scenario() -> None:
        memory = Memory(100, 60)
        assert memory.take("a", 50) is None
        assert memory.take("b", 40) is None
        first, second = memory.take("c", 30), memory.take("d", 10)
        assert first is not None
        assert second is None
        memory.give("b", 40)
        await first
        assert (memory.used, memory.waiting) == (90, 0)

    run(scenario())


def test_one_address_has_half() -> None:
    """Beyond half an address waits although there is room, and others pass it; one longer body is let in alone."""

    async def scenario() -> None:
        memory = Memory(100, 60)
        assert memory.take("a", 50) is None
        waiting = memory.take("a", 1)
        assert waiting is not None
        assert memory.take("b", 50) is None
        memory.give("a", 50)
        await waiting
        memory.give("a", 1)
        memory.give("b", 50)
        assert memory.take("c", 80) is None

    run(scenario())


def test_not_in_time_and_too_many() -> None:
    """Who waits for too long is refused, and so is at once whoever comes when many wait; both took nothing."""

    async def scenario() -> None:
        memory = Memory(10, 0.01)
        assert memory.take("a", 10) is None
        waiting = [memory.take(f"host {number}", 5) for number in range(WAITING_MAX + 1)]
        last = waiting.pop()
        assert last is not None
        assert isinstance(last.exception(), Overloaded)
        for one in waiting:
            assert one is not None
            with pytest.raises(Overloaded, match="try again"):
                await one
        assert (memory.used, memory.waiting) == (10, 0)

    run(scenario())


def test_everything_comes_back() -> None:
    """Whatever is taken, cancelled, given back and limited anew: the budget is kept, and in the end it is all there."""

    async def scenario() -> None:
        rng = random.Random(7)
        memory = Memory(1000, 60)
        held: list[tuple[str, int]] = []

        async def client() -> None:
            for _ in range(50):
                host, count = rng.choice("abc"), rng.randrange(1, 400)
                waiting = memory.take(host, count)
                if waiting is not None and rng.random() < 0.3:
                    waiting.cancel()
                    await asyncio.sleep(0)
                    continue
                if waiting is not None:
                    await waiting
                held.append((host, count))
                assert sum(one for _, one in held) <= memory.used <= 1000
                await asyncio.sleep(0)
                held.remove((host, count))
                memory.give(host, count)

        await asyncio.gather(*(client() for _ in range(20)))
        assert (memory.used, memory.waiting) == (0, 0)

    run(scenario())
