"""Turns by name."""

import asyncio

import pytest

from ais.base.turns import Turns


def test_so_many_of_each_name_at_a_time() -> None:
    """Others of the name wait, and look now and then; those of another name do not; nothing is kept of them."""

    async def scenario() -> None:
        turns, looked, done = Turns(2), [], []
        free = asyncio.Event()

        async def work(name: str) -> None:
            async with turns.of(name, 0.01, lambda: looked.append(name)):
                if name == "a":
                    await free.wait()
                done.append(name)

        tasks = [asyncio.create_task(work(name)) for name in ("a", "a", "a", "b")]
        async with asyncio.timeout(20):
            while not looked or not done:  # noqa: ASYNC110 - of lists, which tell nobody
                await asyncio.sleep(0.01)
        assert (set(looked), done) == ({"a"}, ["b"])

        def refuse() -> None:
            raise ValueError("no sense")

        with pytest.raises(ValueError, match="no sense"):
            async with turns.of("a", 0.01, refuse):
                raise AssertionError
        given_up = asyncio.create_task(work("a"))
        await asyncio.sleep(0)
        given_up.cancel()
        free.set()
        await asyncio.gather(*tasks)
        assert done == ["b", "a", "a", "a"]
        assert turns._turns.names() == []

    asyncio.run(scenario())
