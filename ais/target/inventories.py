"""Inventories at a target: it makes those whose object it owns, shows what it has, and reads pages out of them.

One target lists for the whole cluster. What it makes is an object like any other: it moves when owners change, it is
copied or coded as its bucket says, and it is compared with its checksum.
"""

import os
from concurrent.futures import Executor
from functools import partial

import msgspec
from aiohttp import web

from ais.api import codec, inventory
from ais.api.bucket import Bck
from ais.api.inventory import Ask, Info, InventoryTask, Made
from ais.backend.interface import RemoteObject, RemotePage
from ais.backend.inventory import Packer, page
from ais.base.errors import Busy, NotRemoteBucket, ObjectNotFound
from ais.core import sealing
from ais.core.content import pread_of
from ais.core.listing import Detail
from ais.core.writer import Writer
from ais.target.host import require_node
from ais.target.parts import Parts
from ais.target.uploads import in_pool, in_pool_to_end
from ais.target.view import BucketView
from ais.xact.registry import Xaction

_MADE = "inventory"
"""Custom metadata of the object: a `Made` in JSON."""
_OF = "inventory-of"
"""The same: what tells the bucket from others of its name. Of another one, an inventory is not shown."""
_SHOWN_MAX = 100_000


class Inventories:
    """One per target."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        parts.tasks.of([inventory.CREATE], lambda one: self._begin(codec.from_json(one.body, InventoryTask)))

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        path = inventory.INVENTORIES
        return [
            web.put(path, self._start),
            web.get(path, self._show, allow_head=False),
            web.post(path, self._page),
            web.delete(path, self._remove),
        ]

    async def _start(self, request: web.Request) -> web.Response:
        require_node(self._parts.host, request, inventory.INVENTORIES)
        body = await request.read()
        task = codec.from_json(body, InventoryTask)
        if self._parts.front.views.require(task.bck).remote is None:
            raise NotRemoteBucket(inventory.CREATE, task.bck.cname())
        self._parts.front.views.require(inventory.BUCKET)
        await self._parts.registry.keep(task.uuid, inventory.CREATE, body)
        self._begin(task)
        return web.Response()

    def _begin(self, task: InventoryTask) -> None:
        async def work(xaction: Xaction) -> None:
            await self._make(xaction, task)

        self._parts.tasks.begin(inventory.CREATE, task.uuid, work, bck=task.bck, ctlmsg=task.described)

    async def _make(self, xaction: Xaction, task: InventoryTask) -> None:
        """List the bucket. Raise why the backend does not list it, `Busy` when the object has another owner by now."""
        views, host = self._parts.front.views, self._parts.host
        bucket, into = views.require(task.bck), views.require(inventory.BUCKET)
        writer = await in_pool_to_end(
            self._pool(into, task.object_name),
            lambda: self._parts.store.writer(into.bck, task.object_name, into.rules),
            Writer.abort,
        )
        pool, packer, started_ns = writer.mountpath.pool, Packer(task.names_per_chunk), host.env.clock.now_ns()
        try:
            async for objects in self._parts.remote.objects(bucket, task.prefix):
                await in_pool_to_end(pool, partial(_write, writer, packer, objects))
                xaction.objects = xaction.visited = packer.count
            made = Made(
                task.prefix,
                started_ns,
                host.env.clock.now_ns(),
                packer.count,
                host.smap.version,
                0,
                len(host.smap.tmap),
            )
            if host.placement.owner(into.uname + task.object_name).id != host.snode.id:
                raise Busy("targets came or went while the inventory was made: create it again")
            await in_pool_to_end(pool, partial(_finish, writer, packer, made, _identity(bucket)))
        finally:
            await in_pool_to_end(pool, writer.abort)

    async def _show(self, request: web.Request) -> web.Response:
        require_node(self._parts.host, request, inventory.INVENTORIES)
        ask = codec.from_json(await request.read(), Ask)
        view = self._parts.front.views.require(inventory.BUCKET)
        found = await in_pool(
            self._pool(view, ask.prefix),
            lambda: self._parts.lister.page(view.bck, ask.prefix, limit=_SHOWN_MAX, detail=Detail.META),
        )
        shown = []
        for one in found.entries:
            name = one.name.rpartition("/")[2]
            if one.meta is not None and _MADE in one.meta.custom and ask.name in ("", name):
                made = codec.from_json(one.meta.custom[_MADE].encode(), Made)
                is_current = self._is_current(one.name, one.meta.custom)
                shown.append(Info(one.name, name, sealing.size_of(one.meta), made, is_current))
        return web.Response(body=codec.to_json(shown))

    async def _page(self, request: web.Request) -> web.Response:
        require_node(self._parts.host, request, inventory.INVENTORIES)
        ask = codec.from_json(await request.read(), Ask)
        view = self._parts.front.views.require(inventory.BUCKET)
        opened = await self._parts.opening.open(view, ask.name)

        def read() -> RemotePage:
            return page(pread_of(opened), opened.stat.st_size, ask.names_prefix, ask.after, ask.limit, ask.delimiter)

        try:
            if not self._is_current(ask.name, opened.meta.custom):
                raise ObjectNotFound(view.bck.cname(ask.name))
            found = await in_pool_to_end(opened.mountpath.pool, read)
        finally:
            os.close(opened.fd)
        return web.Response(body=codec.to_msgpack(found), content_type="application/msgpack")

    async def _remove(self, request: web.Request) -> web.Response:
        require_node(self._parts.host, request, inventory.INVENTORIES)
        ask, parts = codec.from_json(await request.read(), Ask), self._parts
        view = parts.front.views.require(inventory.BUCKET)
        await parts.moves.settle(view, ask.name)
        if view.is_coded:
            await parts.protected.ensure(view, ask.name)
        await in_pool(self._pool(view, ask.name), lambda: parts.store.delete(view.bck, ask.name, rules=view.rules))
        return web.Response()

    def _is_current(self, object_name: str, custom: dict[str, str]) -> bool:
        """Whether an inventory is of the bucket that has the name now."""
        view = self._parts.front.views.get(Bck.parse_uname(object_name)[0])
        return view is not None and custom.get(_OF) == _identity(view)

    def _pool(self, view: BucketView, name: str) -> Executor:
        return self._parts.volume.place(view.uname + name).pool


def _write(writer: Writer, packer: Packer, objects: list[RemoteObject]) -> None:
    if data := packer.add(objects):
        writer.write(data)


def _identity(view: BucketView) -> str:
    """When the bucket was created, and what it stands for."""
    return f"{view.props.created} {view.remote.bck.cname() if view.remote is not None else ''}"


def _finish(writer: Writer, packer: Packer, made: Made, of: str) -> None:
    writer.write(packer.finish())
    made = msgspec.structs.replace(made, chunks=packer.chunks)
    writer.rewrite({_MADE: codec.to_json(made).decode(), _OF: of}, {}, "1")
    writer.commit()
