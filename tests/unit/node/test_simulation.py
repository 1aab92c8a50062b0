"""Random faults on a simulated cluster, one seed each: what must hold whatever happens."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ais.api.bucket import Bck
from ais.auth import keys
from ais.base.errors import AisError, NotReady
from ais.meta.bmd import BMD, Bprops
from ais.node.node import Node

Simulate = Callable[..., Any]
SEEDS = range(12)


class Client:
    """Creates buckets and access keys at whoever calls itself primary, and remembers what it was promised."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.promised: set[str] = set()
        self.keys: dict[str, str] = {}
        """Secrets by the IDs of the keys promised."""
        self.refused: set[str] = set()
        self.counter = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.world.rng.uniform(0.3, 4))
            nodes = [node for node in self.world.running if node.is_primary]
            if nodes:
                self.counter += 1
                node = self.world.rng.choice(nodes)
                await (self.create_key(node) if self.counter % 3 == 0 else self.create_bucket(node))

    async def create_bucket(self, node: Node) -> None:
        name = f"b{self.counter}"

        def add(bmd: BMD) -> BMD:
            return bmd.with_bucket(Bck(name), Bprops())

        if await self.is_promised(node, node.change_bmd(add)):
            self.promised.add(name)
            for other in self.informed(node):
                assert other.bmd.get(Bck(name)), f"{other.snode.id} does not know {name} after the answer"

    async def create_key(self, node: Node) -> None:
        key, secret = keys.new_key("ann", node.cluster_secret, 0)
        if await self.is_promised(node, node.change_keys(lambda old: old.with_key(key))):
            self.keys[key.id] = secret
            for other in self.informed(node):
                assert other.keyring.lookup(key.id) == ("ann", secret, False, False), (
                    f"{other.snode.id} cannot open {key.id}"
                )

    async def is_promised(self, node: Node, change: Coroutine[Any, Any, Any]) -> bool:
        """Whether a change succeeded; it ends with the process of the node."""
        machine = self.world.nodes[node.snode.id]
        try:
            await asyncio.shield(machine.run(change))
        except AisError:
            return False
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            return False
        return True

    def informed(self, node: Node) -> list[Node]:
        """The nodes that must know of a change that this node has just answered: all that vouch for what they know.

        Where most gateways are cut off from the primary they stay on the map, and do not vouch when it answers.
        """
        present = node.smap.present if node.has_authority else ()
        return [other for other in self.world.running if other.snode.id in present and other.is_settled]


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
    """Under random kills, restarts and cuts: never two authorities, no promised bucket or key lost, convergence."""

    async def scenario(world: Any) -> None:
        client = await storm(world)
        buckets = {bucket.bck.name for bucket in world.primary().bmd}
        assert client.promised <= buckets, world.story()
        for machine in world.nodes.values():
            assert machine.role.buckets == buckets
            for key_id, secret in client.keys.items():
                assert machine.alive.keyring.lookup(key_id) == ("ann", secret, False, False), world.story()

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
