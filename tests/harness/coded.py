"""Targets of one erasure-coded bucket in one process."""

import asyncio
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.xact import EC_PUT
from ais.meta.bmd import BMD, apply_props, inherited_props, with_coding
from ais.meta.smap import Flag, Smap, Snode
from harness import loop
from harness.target import Answer, LiveTarget, serving, until

BCK = Bck("b")
EC = {"ec": {"enabled": True, "data_slices": 2, "parity_slices": 1, "objsize_limit": 1000}}
LARGE = os.urandom(1_200_007)
BODIES = {"small": b"a small object", "large": LARGE, "dir/empty": b"", "dir/two": LARGE[:700_000]}


class Group:
    """Targets of one cluster."""

    def __init__(self, targets: list[LiveTarget]) -> None:
        self.targets = targets

    async def create(self, patch: dict[str, Any]) -> None:
        """The bucket on all of them."""
        node = self.targets[0].node
        props = inherited_props(BCK, node.config.cluster, U64(1 << 63), 1)
        await self.take(node.bmd.with_bucket(BCK, apply_props(props, patch, len(self.targets))))

    async def take(self, bmd: BMD) -> None:
        """A BMD on all of them."""
        for one in self.targets:
            await one.take(bmd)

    async def change(self, patch: dict[str, Any]) -> None:
        """Other properties."""
        await self.take(self.changed(patch, self.targets[0].node.bmd))

    def changed(self, patch: dict[str, Any], bmd: BMD) -> BMD:
        """The BMD after that one, with other properties."""
        old = bmd.require(BCK).props
        props = apply_props(old, {**patch, "force": True}, len(self.targets))
        return bmd.with_props(BCK, with_coding(old, props, 1, bmd.version + 1))

    def owner(self, name: str) -> LiveTarget:
        """Who owns an object."""
        uname = BCK.uname + name
        return next(one for one in self.targets if one.target._ec._peers.is_owner(uname))

    def away(self, *gone: LiveTarget) -> None:
        """These targets are away, the others are there."""
        smap: Smap = self.targets[0].node.smap
        tmap = {}
        for one in self.targets:
            snode: Snode = one.node.snode
            flags = int(Flag.AWAY) if one in gone else 0
            tmap[snode.id] = msgspec.structs.replace(snode, flags=flags)
        for one in self.targets:
            one.node.smap = msgspec.structs.replace(smap, tmap=tmap)

    async def settled(self) -> None:
        """Wait until everything that was written is coded."""

        def is_settled(one: LiveTarget) -> bool:
            running = one.target.registry.select(kind=EC_PUT, only_running=True)
            return one.target._ec._following.is_settled and all(job.snap().is_idle for job in running)

        await until(lambda: all(map(is_settled, self.targets)))

    def slices(self, name: str) -> list[str]:
        """Files of slices of an object on all targets."""
        paths = [f"{one.path}/@ais/b/%ec/{name}" for target in self.targets for one in target.volume.available]
        return [path for path in paths if os.path.isfile(path)]

    def files(self, name: str) -> list[str]:
        """Files of the object itself."""
        paths = [f"{one.path}/@ais/b/%ob/{name}" for target in self.targets for one in target.volume.available]
        return [path for path in paths if os.path.isfile(path)]


def run(root: Path, count: int, scenario: Callable[[Group], Any]) -> None:
    """Run a scenario on so many targets."""

    async def on_all() -> None:
        async with serving(root, count) as targets:
            await scenario(Group(targets))

    loop.run(on_all())


async def fill(group: Group) -> None:
    """All objects, coded."""
    for name, body in BODIES.items():
        answer = await group.owner(name).ask("PUT", name, data=io.BytesIO(body))
        assert answer.status == 200, answer.message
    await group.settled()


def delete_when_sent(owner: LiveTarget, name: str) -> list[asyncio.Task[Answer]]:
    """Delete an object when its owner begins to send a slice of it, which comes only then; the deletion, once begun."""
    slicer, deletions = owner.target._ec._slicer, []
    store = slicer.store

    async def store_late(*args: Any, **kwargs: Any) -> None:
        if not deletions:
            deletions.append(asyncio.create_task(owner.ask("DELETE", name)))
        await asyncio.wait(deletions, timeout=1.0)  # it must wait for us
        await store(*args, **kwargs)

    slicer.store = store_late
    return deletions


async def check_deleted(group: Group, owner: LiveTarget, name: str, deletions: list[asyncio.Task[Answer]]) -> None:
    """That deletion ends well, and nothing of the object comes after it."""
    await until(lambda: deletions)
    assert (await deletions[0]).status == 200
    await group.settled()
    assert group.slices(name) == group.files(name) == []
    assert (await owner.ask("GET", name)).status == 404
