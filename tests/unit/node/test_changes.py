"""Changes of metadata: everybody or nobody."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ais.api.bucket import Bck
from ais.auth.iam import Iam, User
from ais.base.errors import BucketExists, DiskFailure, NotReady, OutOfSpace, TooLarge
from ais.config import change
from ais.meta.bmd import BMD, Bprops

Simulate = Callable[..., Any]


def adding(name: str) -> Callable[[BMD], BMD]:
    return lambda bmd: bmd.with_bucket(Bck(name), Bprops())


def test_after_the_answer_every_node_knows(simulate: Simulate) -> None:
    """When a change returns, all nodes have it, on disk and applied."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        await world.primary().change_bmd(adding("b"))
        for node in world.nodes.values():
            assert node.role.buckets == {"b"}
            assert node.alive.bmd.get(Bck("b"))
            assert b'"b"' in (node.directory / ".ais.bmd").read_bytes()

    simulate(scenario)


def test_one_veto_and_nothing_changes_anywhere(simulate: Simulate) -> None:
    """A target that cannot prepare stops the change: its error comes back, all preparations are undone."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        before = world.primary().state.current.stamps
        world["t2"].role.veto = OutOfSpace("no space left on /mp1")
        with pytest.raises(OutOfSpace, match="no space left on /mp1"):
            await world.primary().change_bmd(adding("b"))
        for node in world.nodes.values():
            assert (node.role.prepared, node.role.buckets) == ([], set())
            assert node.alive.state.current.stamps == before
        world["t2"].role.veto = None
        await world.primary().change_bmd(adding("b"))
        assert world.converged()

    simulate(scenario)


def test_what_no_node_could_take_is_refused(simulate: Simulate) -> None:
    """All metadata fits into one message, whatever clients ask for; what has become long may always become shorter."""
    text = "x" * 1_000_000

    def limited(size: str) -> Callable[[Any], Any]:
        return lambda old: change.set_values(old, {"limits.list_size": size})

    def adding_long(name: str) -> Callable[[BMD], BMD]:
        return lambda bmd: bmd.with_bucket(Bck(name), Bprops().with_s3(lifecycle=text))

    async def scenario(world: Any) -> None:
        world.cluster(1, 2)
        await world.settled()
        primary = world.primary()
        await primary.change_config(limited("2MiB"))
        await primary.change_bmd(adding_long("a"))
        before, asked = primary.state.current.stamps, [list(node.role.prepared) for node in world.nodes.values()]
        iam = Iam().with_entity(User(name="amy", account="ann", id="AIDA", inline={"p": text}))
        for refused in (
            primary.change_bmd(adding_long("b")),
            primary.change_keys(lambda keys: keys.with_iam(iam)),
            primary.change_config(limited("1MiB")),
        ):
            with pytest.raises(TooLarge, match=r"buckets [12]00\d{4}.*raise limits\.list_size"):
                await refused
        assert [list(node.role.prepared) for node in world.nodes.values()] == asked
        for node in world.nodes.values():
            assert node.role.buckets == {"a"}
            assert node.alive.state.current.stamps == before
        await primary.change_bmd(adding("b"))
        await primary.change_bmd(lambda bmd: bmd.without_bucket(Bck("a")))
        await primary.change_config(limited("1MiB"))
        assert world.converged()

    simulate(scenario)


def test_a_dead_target_refuses_the_change(simulate: Simulate) -> None:
    """While a dead target is still in the map a bucket change fails as a whole; after its removal it works."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 3)
        await world.settled()
        world["t3"].kill()
        with pytest.raises(NotReady, match=r"t\[t3aaaaaa\] does not answer"):
            await world.primary().change_bmd(adding("b"))
        assert all(node.role.prepared == [] for node in world.nodes.values() if node.node)
        await world.settled()
        await world.primary().change_bmd(adding("b"))

    simulate(scenario)


def test_a_node_that_cannot_take_a_change_is_away_until_it_can(simulate: Simulate) -> None:
    """The change succeeds without it; it is back when it has taken everything."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        world["t1"].role.broken = DiskFailure("I/O error")
        await world.primary().change_bmd(adding("b"))
        assert "t1aaaaaa" in world.primary().smap.away
        assert world["t2"].role.buckets == {"b"}
        await asyncio.sleep(5)
        assert world["t1"].role.buckets == set()
        world["t1"].role.broken = None
        await world.settled()
        assert world["t1"].role.buckets == {"b"}

    simulate(scenario)


def test_changes_come_one_after_the_other(simulate: Simulate) -> None:
    """Twenty concurrent changes give twenty versions; what a change raises itself comes back, and changes nothing."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 2)
        await world.settled()
        version = world.primary().bmd.version
        await asyncio.gather(*(world.primary().change_bmd(adding(f"b{n}")) for n in range(20)))
        assert world.primary().bmd.version == version + 20
        with pytest.raises(BucketExists):
            await world.primary().change_bmd(adding("b3"))
        assert world.primary().bmd.version == version + 20
        assert await world.primary().change_bmd(lambda bmd: bmd) is world.primary().bmd

    simulate(scenario)


def test_a_change_ends_also_when_the_caller_is_gone(simulate: Simulate) -> None:
    """A client that disconnects in the middle leaves no half-made change."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 2)
        await world.settled()
        for delay_ms in range(0, 60, 4):
            name = f"b{delay_ms}"
            task = asyncio.get_running_loop().create_task(world.primary().change_bmd(adding(name)))
            await asyncio.sleep(delay_ms / 1000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await world.until(world.converged, 5, "same metadata everywhere")
        await asyncio.sleep(1)
        assert len({frozenset(node.role.buckets) for node in world.nodes.values()}) == 1

    simulate(scenario)


def test_a_primary_dies_in_the_middle_of_a_change(simulate: Simulate) -> None:
    """Killed at any moment of a change: afterwards all nodes agree on whether it happened, and on what was promised."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        await world.primary().change_bmd(adding("promised"))
        machine = world.nodes[world.primary().snode.id]
        machine.run(machine.alive.change_bmd(adding("maybe")))
        await asyncio.sleep(world.rng.uniform(0, 0.08))
        machine.kill()
        await world.settled()
        machine.boot()
        await world.settled()
        found = {frozenset(node.role.buckets) for node in world.nodes.values()}
        assert len(found) == 1
        assert "promised" in found.pop()
        assert all(len(node.role.prepared) <= 2 for node in world.nodes.values())

    for seed in range(15):
        simulate(scenario, seed=seed)


def test_configuration_reaches_everybody(simulate: Simulate) -> None:
    """A setting changed at the primary is in force on all nodes when the call returns, and after a restart."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 2)
        await world.settled()
        new = await world.primary().change_config(lambda old: change.set_values(old, {"checksum.type": "md5"}))
        assert new.config_version == 2
        for node in world.nodes.values():
            assert node.alive.config.cluster.checksum.type == "md5"
            node.kill()
        for node in world.nodes.values():
            node.boot()
        await world.settled(20)
        assert all(node.alive.config.cluster.checksum.type == "md5" for node in world.nodes.values())
        await world.primary().reset_cluster_config()
        assert world["t1"].alive.config.cluster.checksum.type == "xxhash2"

    simulate(scenario)
