"""Joining, leaving, dying, coming back: scenarios in simulated time."""

from collections.abc import Callable
from typing import Any

from ais.api.bucket import Bck
from ais.meta.bmd import Bprops

Simulate = Callable[..., Any]


def test_nodes_form_one_cluster(simulate: Simulate) -> None:
    """Two proxies and three targets started at once find each other, with the configured proxy as primary."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        assert world.primary().snode.id == "p1aaaaaa"

    simulate(scenario)


def test_another_proxy_takes_over_when_the_primary_dies(simulate: Simulate) -> None:
    """After kill -9 of the primary another proxy has authority within 15 s, knowing all buckets."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        await world.primary().change_bmd(lambda bmd: bmd.with_bucket(Bck("b1"), Bprops()))
        world["p1"].kill()
        elapsed_s = await world.until(lambda: world.authorities() == ["p2aaaaaa"], 15, "election")
        assert elapsed_s > 2
        assert world.primary().bmd.get(Bck("b1"))
        await world.settled()
        await world.primary().change_bmd(lambda bmd: bmd.with_bucket(Bck("b2"), Bprops()))
        world["p1"].boot()
        await world.settled()
        assert world.primary().snode.id == "p2aaaaaa"
        assert len(world["p1"].alive.bmd) == 2

    simulate(scenario)
