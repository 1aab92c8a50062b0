"""Inventories at a proxy: made by the target that owns their object, found by asking all targets (wire contract §9)."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ais.api import codec, headers, inventory
from ais.api.bucket import Bck
from ais.api.inventory import Ask, Info, InventoryTask, Shown
from ais.api.listing import Flag, LsoMsg
from ais.api.xact import QueryMsg
from ais.backend.interface import RemotePage
from ais.base.errors import BadRequest, BucketExists, Busy, Conflict, NotFound, NotRemoteBucket
from ais.base.ids import new_id
from ais.base.locks import NamedLocks
from ais.base.units import parse_bool
from ais.meta.bmd import Bucket
from ais.node.node import Node
from ais.proxy.changes import BucketChanges
from ais.proxy.jobs import Jobs
from ais.proxy.targets import Targets


class Inventories:
    """One per proxy."""

    def __init__(self, node: Node, targets: Targets, jobs: Jobs, changes: BucketChanges) -> None:
        self._node = node
        self._targets = targets
        self._jobs = jobs
        self._changes = changes
        self._creating = NamedLocks()

    async def create(self, bucket: Bucket, value: Any) -> str:
        """Begin one; the job's ID. At the primary. Raise `BadRequest`, `Conflict` when there is one, `Busy`.

        With `force` what there is goes first.
        """
        bck = bucket.bck
        if not bucket.has_backend:
            raise NotRemoteBucket(inventory.CREATE, bck.cname())
        uuid = inventory.ID_PREFIX + new_id(self._node.env.rng)
        task = inventory.task_of(uuid, bck, value)
        held = await self._creating.acquire(bck.uname)
        try:
            await self._create(bck, task, is_forced=codec.convert(value or {}, inventory.CreateMsg).force)
        finally:
            held.release()
        return uuid

    async def _create(self, bck: Bck, task: InventoryTask, *, is_forced: bool) -> None:
        running = await self._jobs.running(QueryMsg(kind=inventory.CREATE, bck=bck, show_active=True))
        if running:
            raise Busy(f"an inventory of {bck.cname()} is being made ({', '.join(running)}): wait for it, or stop it")
        if self._node.bmd.get(inventory.BUCKET) is None:
            with suppress(BucketExists):
                await self._changes.create(inventory.BUCKET, None)
        if (there := await self.show(inventory.object_name(bck, ""))) and not is_forced:
            names = ", ".join(one.name for one in there)
            raise Conflict(
                f"inventory for bucket {bck.cname()} already exists: {names} (only one inventory per bucket is "
                "supported, use force to replace it)"
            )
        await self.destroy(bck)
        await self._targets.ask(self._owner(task.object_name), "PUT", inventory.INVENTORIES, body=codec.to_json(task))

    async def show(self, prefix: str, name: str = "") -> list[Shown]:
        """Those whose objects have a prefix, sorted, all or those of one name."""
        return [Shown.of(one) for one in await self._find(prefix, name) if one.is_current]

    async def _find(self, prefix: str, name: str) -> list[Info]:
        """The same with those that are not of their bucket any more."""
        if self._node.bmd.get(inventory.BUCKET) is None:
            return []
        body = codec.to_json(Ask(prefix, name))
        answers = await self._targets.ask_all("GET", inventory.INVENTORIES, body=body)
        found = {one.obj_name: one for answer in answers.values() for one in codec.from_json(answer.body, list[Info])}
        return [found[key] for key in sorted(found)]

    async def destroy(self, bck: Bck, name: str = "") -> None:
        """Remove all of a bucket, or the one of that name; that there is none is no error."""
        for one in await self._find(inventory.object_name(bck, ""), name):
            body = codec.to_json(Ask(name=one.obj_name))
            try:
                await self._targets.ask(self._owner(one.obj_name), "DELETE", inventory.INVENTORIES, body=body)
            except NotFound:
                continue

    async def page(
        self, bucket: Bucket, name: str, prefix: str, after: str, limit: int, delimiter: str = ""
    ) -> RemotePage:
        """A page of the inventory of a bucket; without a name of the one there is. Raise `BadRequest`."""
        bck = bucket.bck
        name = name or await self._only(bck)
        ask = Ask("", inventory.object_name(bck, name), prefix, after, limit, delimiter)
        if self._node.bmd.get(inventory.BUCKET) is None:
            raise _no_inventory(bck, name)
        try:
            answer = await self._targets.ask(
                self._owner(ask.name),
                "POST",
                inventory.INVENTORIES,
                body=codec.to_json(ask),
                timeout_s=float(self._node.config.cluster.client.list_timeout),
            )
        except NotFound:
            raise _no_inventory(bck, name) from None
        return codec.from_msgpack(answer.body, RemotePage)

    async def _only(self, bck: Bck) -> str:
        there = await self.show(inventory.object_name(bck, ""))
        if not there:
            raise _no_inventory(bck)
        return there[0].name

    def _owner(self, name: str) -> Any:
        return self._node.placement.owner(inventory.BUCKET.uname + name)


def _no_inventory(bck: Bck, name: str = "") -> BadRequest:
    which = f'inventory "{name}"' if name else "inventory"
    return BadRequest(f"bucket {bck.cname()} has no {which}: make one with {inventory.CREATE}")


def asked(sent: Mapping[str, str], message: LsoMsg | None = None) -> str | None:
    """The name of the inventory that a listing asks for; empty: the one there is, None: none. Raise `BadRequest`."""
    name, use = sent.get(headers.INVENTORY_NAME, ""), sent.get(headers.INVENTORY, "")
    if name:
        inventory.check_name(name)
        if use and not parse_bool(use):
            raise BadRequest(f"conflicting headers: {headers.INVENTORY}={use} and {headers.INVENTORY_NAME}={name}")
    is_asked = bool(name) or (bool(use) and parse_bool(use)) or (message is not None and message.has(Flag.INVENTORY))
    return name if is_asked else None
