"""Steps that are waited for though whoever waits is cancelled."""

import asyncio
import threading

import pytest

from ais.base.waiting import to_its_end


def test_whoever_is_cancelled_twice_still_waits_and_takes_back_what_nobody_gets() -> None:
    """The step ends before its caller does, and what it opened is closed."""

    async def scenario() -> None:
        release, events = threading.Event(), list[str]()

        def step() -> str:
            release.wait(30)
            events.append("stepped")
            return "opened"

        async def caller() -> None:
            try:
                await to_its_end(asyncio.to_thread(step), events.append)
            finally:
                events.append("left")

        task = asyncio.create_task(caller())
        for _ in range(2):
            await asyncio.sleep(0.01)
            task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert events == ["stepped", "opened", "left"]

    asyncio.run(scenario())


def test_what_a_step_gives_or_raises_is_its_callers() -> None:
    """Without a cancellation nothing is different."""

    def fail() -> None:
        raise ValueError("no")

    async def scenario() -> None:
        assert await to_its_end(asyncio.to_thread(lambda: 5), pytest.fail) == 5
        with pytest.raises(ValueError, match="no"):
            await to_its_end(asyncio.to_thread(fail))

    asyncio.run(scenario())
