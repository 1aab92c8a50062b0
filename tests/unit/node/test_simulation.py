"""Random faults on a simulated cluster, one seed each: what must hold whatever happens."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ais.api.bucket import Bck
from ais.base.errors import AisError, NotReady
from ais.meta.bmd import BMD, Bprops
from ais.node.node import Node

Simulate = Callable[..., Any]
SEEDS = range(12)


class Client:
    """Creates buckets at whoever calls itself primary, and remembers what it was promised."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.promised: set[str] = set()
        self.refused: set[str] = set()
        self.counter = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.world.rng.uniform(0.3, 4))
            nodes = [node for node in self.world.running if node.is_primary]
            if nodes:
                await self.create(self.world.rng.choice(nodes))

    async def create(self, node: Node) -> None:
        name = f"b{self.counter}"
        self.counter += 1

        def add(bmd: BMD) -> BMD:
            return bmd.with_bucket(Bck(name), Bprops())

        try:
            machine = self.world.nodes[node.snode.id]
            if machine.node is not node:
                return
            task = machine.run(node.change_bmd(add))
            await asyncio.shield(task)
            self.promised.add(name)
            for other in self.world.running:
                if other.snode.id in node.smap and node.has_authority:
                    assert other.bmd.get(Bck(name)), f"{other.snode.id} does not know {name} after the answer"
        except AisError:
            return
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise


async def disturb(world: Any) -> None:
    """One fault, chosen by the seed; sometimes a repair."""
    rng = world.rng
    dead = [node for node in world.nodes.values() if node.node is None]
    alive = [node for node in world.nodes.values() if node.node is not None]
    choice = rng.choice(["kill", "boot", "boot", "cut", "heal", "isolate", "oneway", "terminate", "wait"])
    world.trace.append(f"{world.clock.monotonic():9.3f} ---- {choice}")
    if choice == "kill" and len(dead) < 2:
        rng.choice(alive).kill()
    elif choice == "terminate" and len(dead) < 2:
        node = rng.choice(alive)
        if node.alive.is_ready:
            await node.terminate()
    elif choice == "boot" and dead:
        rng.choice(dead).boot()
    elif choice == "cut":
        ids = [node.id for node in world.nodes.values()]
        rng.shuffle(ids)
        half = rng.randint(1, len(ids) - 1)
        world.cut |= {(a, b) for a in ids[:half] for b in ids[half:]} | {(b, a) for a in ids[:half] for b in ids[half:]}
    elif choice == "oneway":
        a, b = rng.sample(list(world.nodes), 2)
        world.cut.add((a, b))
    elif choice == "isolate":
        victim = rng.choice(list(world.nodes))
        world.cut |= {(victim, other) for other in world.nodes} | {(other, victim) for other in world.nodes}
    elif choice == "heal":
        world.heal()


async def storm(world: Any) -> Client:
    proxies, targets = world.rng.choice([(1, 3), (2, 2), (2, 3), (3, 2), (3, 3), (4, 1)])
    world.cluster(proxies, targets)
    await world.settled()
    client = Client(world)
    task = asyncio.get_running_loop().create_task(client.run())
    for _ in range(30):
        await asyncio.sleep(world.rng.choice([0.05, 1.0, 5.0, 12.0]))
        await disturb(world)
        assert not task.done(), task.result()
    world.heal()
    for node in world.nodes.values():
        if node.node is None:
            node.boot()
    await world.until(lambda: len(world.running) == len(world.nodes) and world.converged(), 180, "convergence")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.settled()
    return client


@pytest.mark.parametrize("seed", SEEDS)
def test_a_storm_loses_nothing_and_ends(simulate: Simulate, seed: int) -> None:
    """Under random kills, restarts and cuts: never two authorities, no promised bucket lost, convergence at the end."""

    async def scenario(world: Any) -> None:
        client = await storm(world)
        buckets = {bucket.bck.name for bucket in world.primary().bmd}
        assert client.promised <= buckets, world.story()
        for machine in world.nodes.values():
            assert machine.role.buckets == buckets

    simulate(scenario, seed=seed)


def test_same_seed_same_history(simulate: Simulate) -> None:
    """A seed determines everything that happens."""

    async def scenario(world: Any) -> list[str]:
        await storm(world)
        return list(world.trace)

    assert simulate(scenario, seed=3) == simulate(scenario, seed=3)


def test_a_change_without_a_majority_is_refused(simulate: Simulate) -> None:
    """A primary cut off from the majority refuses changes and resumes after the cut heals."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 3)
        await world.settled()
        old = world.primary()
        world.partition("p1", "p2 t1 t2 t3")
        await world.until(lambda: not old.has_authority, 10, "loss of authority")
        with pytest.raises(NotReady, match="does not hear a majority"):
            await old.change_bmd(lambda bmd: bmd.with_bucket(Bck("b"), Bprops()))
        world.heal()
        await world.settled()

    simulate(scenario)
