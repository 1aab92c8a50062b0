"""Joining, leaving, dying, coming back: scenarios in simulated time."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from ais.api.bucket import Bck
from ais.base.errors import AlreadyExists, BadRequest, IntegrityError, NodeNotFound, NotReady
from ais.meta.bmd import Bprops
from ais.meta.smap import Flag
from ais.node.farewell import Farewell
from ais.node.node import CONTACT_POLL_S, CONTACT_WAIT_S_MAX

Simulate = Callable[..., Any]


async def create(world: Any, name: str) -> None:
    await world.primary().change_bmd(lambda bmd: bmd.with_bucket(Bck(name), Bprops()))


def test_nodes_form_one_cluster(simulate: Simulate) -> None:
    """Two proxies and three targets started at once find each other, with the configured proxy as primary."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled(10)
        assert world.primary().snode.id == "p1aaaaaa"

    simulate(scenario)


@pytest.mark.parametrize("proxies", [2, 3, 5])
def test_another_proxy_takes_over_when_the_primary_dies(simulate: Simulate, proxies: int) -> None:
    """Within 15 s of kill -9 of the primary another proxy has authority and all buckets; the old one follows it."""

    async def scenario(world: Any) -> None:
        world.cluster(proxies, 3)
        await world.settled()
        await create(world, "b1")
        world["p1"].kill()
        await world.until(lambda: bool(world.authorities()), 15, "election")
        assert world.primary().bmd.get(Bck("b1"))
        await world.settled()
        await create(world, "b2")
        chosen = world.primary().snode.id
        world["p1"].boot()
        await world.settled()
        assert world.primary().snode.id == chosen
        assert len(world["p1"].alive.bmd) == 2

    simulate(scenario)


def test_a_dead_target_is_away_and_returns(simulate: Simulate) -> None:
    """A killed target is away within the keepalive time, keeps its place in the map, and is back after its restart."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 3)
        await world.settled()
        world["t2"].kill()
        await world.until(lambda: "t2aaaaaa" in world.primary().smap.away, 2 * 3 + 3, "removal")
        await create(world, "meanwhile")
        world["t2"].boot()
        await world.settled(5)
        assert world["t2"].role.buckets == {"meanwhile"}

    simulate(scenario)


def test_one_proxy_goes_on_without_any_target(simulate: Simulate) -> None:
    """Where no rival exists no majority is needed: the only proxy goes on when all targets are away."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 4)
        await world.settled()
        for number in range(1, 5):
            world[f"t{number}"].kill()
        await world.until(lambda: len(world.primary().smap.away) == 4, 20, "absence")
        await create(world, "b")

    simulate(scenario)


@pytest.mark.parametrize("order", list(itertools.permutations(["p1", "p2", "t1", "t2"]))[::5])
def test_everything_is_killed_and_started_in_any_order(simulate: Simulate, order: tuple[str, ...]) -> None:
    """After kill -9 of all nodes and a restart in any order, the old primary goes on with the same map."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 2)
        await world.settled()
        await create(world, "b")
        smap = world.primary().smap
        for node in world.nodes.values():
            node.kill()
        for short in order:
            world[short].boot()
            await asyncio.sleep(1)
        await world.settled(20)
        assert world.primary().smap == smap
        assert all(node.role.buckets == {"b"} for node in world.nodes.values())

    simulate(scenario)


def test_the_old_primary_never_returns(simulate: Simulate) -> None:
    """After kill -9 of all nodes the others elect a primary when the old one does not start in time."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        for node in world.nodes.values():
            node.kill()
        for short in ("p2", "t1", "t2", "t3"):
            world[short].boot()
        await world.settled(20)
        assert world.primary().snode.id == "p2aaaaaa"

    simulate(scenario)


def test_a_primary_cut_off_comes_back_as_an_ordinary_proxy(simulate: Simulate) -> None:
    """The majority elects another primary; what the old one could not finish does not come back."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        old = world.primary()
        world.partition("p1", "p2 t1 t2 t3")
        with pytest.raises(NotReady):
            await old.change_config(lambda config: config.next_version("now"))
        await world.until(lambda: world.authorities() == ["p2aaaaaa"], 15, "election")
        await create(world, "b")
        world.heal()
        await world.settled()
        assert world.primary().snode.id == "p2aaaaaa"
        assert old.bmd.get(Bck("b"))
        assert old.state.current.config == world.primary().state.current.config

    simulate(scenario)


def test_a_cut_follower_rejoins_without_an_election(simulate: Simulate) -> None:
    """A proxy that cannot hear the primary disturbs nobody: the term stays, and it joins again after the cut."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        world.partition("p2", "p1 t1 t2 t3")
        await world.until(lambda: "p2aaaaaa" not in world.primary().smap, 25, "removal")
        await asyncio.sleep(10)
        world.heal()
        await world.settled()
        assert (world.primary().snode.id, world.primary().term) == ("p1aaaaaa", 1)

    simulate(scenario)


@pytest.mark.parametrize("short", ["t1", "p2", "p1"])
def test_a_node_moves_to_another_port(simulate: Simulate, short: str) -> None:
    """A node restarted with another port keeps its identity; the map has its new address."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        world[short].kill()
        world[short].port = 8888
        world[short].boot()
        await world.settled(30)
        await world.until(
            lambda: world.primary().smap.require(world[short].id).control.url == world[short].url, 5, "new address"
        )
        await world.settled(5)

    simulate(scenario)


def test_set_primary(simulate: Simulate) -> None:
    """Another proxy becomes primary on demand, nobody leaves the map, changes go on there."""

    async def scenario(world: Any) -> None:
        world.cluster(3, 2)
        await world.settled()
        old = world.primary()
        with pytest.raises(NodeNotFound, match="p9aaaaaa"):
            await old.set_primary("p9aaaaaa")
        with pytest.raises(BadRequest, match="cannot be primary"):
            await old.set_primary("t1aaaaaa")
        await old.set_primary("p1aaaaaa")
        await old.set_primary("p3aaaaaa")
        assert (old.smap.primary_id, old.is_primary, len(old.smap.nodes)) == ("p3aaaaaa", False, 5)
        await world.settled(5)
        assert world.primary().snode.id == "p3aaaaaa"
        await create(world, "b")
        with pytest.raises(NotReady, match=r"the primary is p\[p3aaaaaa\] at http"):
            await old.change_bmd(lambda bmd: bmd)

    simulate(scenario)


def test_set_primary_to_a_dead_proxy_changes_nothing(simulate: Simulate) -> None:
    """The primary stays primary when the chosen one does not answer."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 2)
        await world.settled()
        world["p2"].kill()
        with pytest.raises(NotReady, match="choose another proxy"):
            await world.primary().set_primary("p2aaaaaa")
        await create(world, "b")

    simulate(scenario)


def test_a_primary_that_is_told_to_stop_hands_over(simulate: Simulate) -> None:
    """SIGTERM of the primary: another has authority within a second, the old one is off the map; a target is away."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        start = world.clock.monotonic()
        await world["p1"].terminate()
        assert world.clock.monotonic() - start < 1
        assert set(world.primary().smap.nodes) == {"p2aaaaaa", "t1aaaaaa", "t2aaaaaa", "t3aaaaaa"}
        await world.settled()
        await world["t1"].terminate()
        assert "t1aaaaaa" in world.primary().smap.away
        for short in ("p1", "t1"):
            world[short].boot()
        await world.settled()

    simulate(scenario)


@pytest.mark.parametrize("seed", range(6))
def test_everybody_is_told_to_stop_at_once(simulate: Simulate, seed: int) -> None:
    """SIGTERM of all nodes together ends in bounded time, and the same cluster starts again."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        await create(world, "b")
        uuid = world.primary().smap.uuid
        async with asyncio.timeout(15):
            await asyncio.gather(*(node.terminate() for node in world.nodes.values()))
        for node in world.nodes.values():
            node.boot()
        await world.settled(60)
        assert world.primary().smap.uuid == uuid
        assert all(node.role.buckets == {"b"} for node in world.nodes.values())

    simulate(scenario, seed=seed)


def test_shutting_the_cluster_down_keeps_the_map(simulate: Simulate) -> None:
    """Every node is asked to stop without saying goodbye; after the restart the map is the same."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 2)
        await world.settled()
        smap = world.primary().smap
        await world.primary().shutdown_cluster()
        for node in world.nodes.values():
            assert node.alive.stop_requested.is_set()
            await node.terminate()
        for node in world.nodes.values():
            node.boot()
        await world.settled(20)
        assert world.primary().smap == smap

    simulate(scenario)


def test_a_node_of_another_cluster_is_refused(simulate: Simulate) -> None:
    """A target with the metadata of another cluster does not get in, is told what to do, and takes nothing."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 2)
        await world.settled()
        other = world.add("proxy", "p5aaaaaa")
        other.primary_url = ""
        other.boot()
        stranger = world.add("target", "t5aaaaaa")
        stranger.primary_url = other.url
        stranger.boot()
        await world.until(lambda: stranger.node is not None and stranger.node.is_ready, 10, "second cluster")
        stranger.kill()
        other.kill()
        del world.nodes["p5aaaaaa"]
        stranger.primary_url = world.primary_url
        stranger.boot()
        await world.until(lambda: stranger.start_error is not None, 60, "refusal")
        assert isinstance(stranger.start_error, IntegrityError)
        assert "delete its .ais.smap" in str(stranger.start_error)
        assert "t5aaaaaa" not in world["p1"].alive.smap

    simulate(scenario)


def test_a_second_process_with_the_same_id_is_refused(simulate: Simulate) -> None:
    """While a node runs nobody else gets its ID; the running one stays."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 2)
        await world.settled()
        twin = world.twin("t1aaaaaa", 99)
        twin.boot()
        await world.until(lambda: twin.start_error is not None, 10, "refusal")
        assert isinstance(twin.start_error, AlreadyExists)
        assert "in use by the running node at http://t1aaaaaa:80" in str(twin.start_error)
        assert world.primary().smap.require("t1aaaaaa").control.port == "80"

    simulate(scenario)


def test_a_node_must_listen_where_it_says(simulate: Simulate) -> None:
    """A joiner with a wrong address is told which setting to correct."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 1)
        await world.settled()
        wrong = world.add("target", "t5aaaaaa")
        wrong.advertised_port = 7777
        wrong.boot()
        await world.until(lambda: wrong.start_error is not None, 70, "refusal")
        assert "t5aaaaaa:7777, but no node answers there: correct its host_net" in str(wrong.start_error)

    simulate(scenario)


def test_without_a_primary_a_joiner_gives_up_with_advice(simulate: Simulate) -> None:
    """The error names whom it asked and what to do."""

    async def scenario(world: Any) -> None:
        world.add("target", "t1aaaaaa").boot()
        await world.until(lambda: world["t1"].start_error is not None, 70, "giving up")
        text = str(world["t1"].start_error)
        assert "asked http://p1aaaaaa:80" in text
        assert "start the primary, or correct proxy.primary_url" in text

    simulate(scenario)


def test_a_primary_with_an_older_copy_of_its_files_takes_what_a_node_has(simulate: Simulate, tmp_path: Any) -> None:
    """Restored from a backup, the primary adopts the newer bucket metadata of its own term."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 2)
        await world.settled()
        await create(world, "b1")
        backup = {path.name: path.read_bytes() for path in world["p1"].directory.iterdir()}
        await create(world, "b2")
        for node in world.nodes.values():
            node.kill()
        for name, content in backup.items():
            (world["p1"].directory / name).write_bytes(content)
        for node in world.nodes.values():
            node.boot()
        await world.settled(20)
        assert len(world.primary().bmd) == 2

    simulate(scenario)


def test_a_heartbeat_that_comes_late_vouches_for_nothing(simulate: Simulate) -> None:
    """What the network delivers long after it was sent leaves a node unable to say that something is not there. Whoever
    asks waits for some seconds, not for ever."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 2)
        await world.settled()
        follower, caught = world["p2"].alive, []
        taken = follower.follower.on_sync

        async def catch(sync: Any) -> Any:
            caught.append(sync)
            return await taken(sync)

        follower.follower.on_sync = catch
        await world.until(lambda: bool(caught), 20, "a heartbeat")
        world.partition("p1 t1 t2", "p2")
        await world.until(lambda: not follower.is_settled, 60, "the end of what the last heartbeat said")
        await taken(caught[-1])
        assert not follower.is_settled
        clock = follower.env.clock
        began_s = clock.monotonic()
        await follower.regain_contact()
        assert abs(clock.monotonic() - began_s - CONTACT_WAIT_S_MAX) < 1
        polls, sleep = [], clock.sleep

        async def counted(duration_s: float) -> None:
            polls.append(duration_s)
            await sleep(duration_s)

        clock.sleep = counted
        waiting = [asyncio.create_task(follower.regain_contact()) for _ in range(50)]
        await sleep(1)
        del clock.sleep
        assert 0 < polls.count(CONTACT_POLL_S) <= 1 + 1 / CONTACT_POLL_S  # one waits for all
        world.heal()
        await world.until(lambda: follower.is_settled, 60, "contact")
        await asyncio.gather(*waiting)
        await world.settled()

    simulate(scenario)


async def retire(world: Any, node_id: str) -> None:
    """What the map says of a node that is decommissioned."""
    message = Farewell(rm_user_data=True).message().decode()
    await world.primary().changes.change_smap(
        lambda smap: smap.with_flags(frozenset({node_id}), Flag.DECOMMISSION, message)
    )


@pytest.mark.parametrize("boots", [False, True])
def test_a_decommissioned_node_knows_its_end_by_the_map(simulate: Simulate, boots: bool) -> None:
    """The map goes on without it and nobody tells it: it ends as it was to, and started again it is not let in."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        node, node_id = world["t2"].alive, "t2aaaaaa"
        await retire(world, node_id)
        await world.until(lambda: node.smap.get(node_id).farewell, 10, "the last map with the node")
        await world.primary().changes.change_smap(lambda smap: smap.without_nodes(frozenset({node_id})))
        if boots:
            world["t2"].kill()
            world["t2"].boot()
            await asyncio.sleep(60)
        else:
            await world.until(lambda: node.stop_requested.is_set(), 60, "the end of the node")
            assert node.farewell is not None
        assert node_id not in world.primary().smap

    simulate(scenario)


def test_a_node_that_missed_its_farewell_is_not_let_in(simulate: Simulate) -> None:
    """Cut off when the map went on without it, and the primary that knew was killed: it ends, and its data stays."""

    async def scenario(world: Any) -> None:
        world.cluster(3, 3)
        await world.settled()
        node, node_id = world["t2"].alive, "t2aaaaaa"
        await retire(world, node_id)
        await world.until(lambda: node.smap.get(node_id).farewell, 10, "the last map with the node")
        world.partition("p1 p2 p3 t1 t3", "t2")
        await world.primary().changes.change_smap(lambda smap: smap.without_nodes(frozenset({node_id})))
        world["p1"].kill()
        await world.until(lambda: bool(world.authorities()), 60, "election")
        world.heal()
        await world.until(lambda: node.stop_requested.is_set(), 120, "the end of the node")
        assert node.farewell == Farewell()
        assert node_id not in world.primary().smap

    simulate(scenario)


def test_a_target_that_was_given_up_while_it_was_away_is_not_let_in(simulate: Simulate) -> None:
    """It holds nothing and knows nothing of its end; another primary than the one that was asked refuses it too."""

    async def scenario(world: Any) -> None:
        world.cluster(3, 3)
        await world.settled()
        node_id = "t2aaaaaa"
        world["t2"].kill()
        await world.until(lambda: node_id in world.primary().smap.away, 60, "the target is away")
        await world.primary().changes.change_smap(lambda smap: smap.without_given_up(frozenset({node_id})))
        world["p1"].kill()
        await world.until(lambda: bool(world.authorities()), 60, "election")
        world["t2"].boot()
        await asyncio.sleep(60)
        assert node_id not in world.primary().smap
        assert world.primary().smap.given_up == (node_id,)

    simulate(scenario)
