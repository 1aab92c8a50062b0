"""Promotions between nodes: looking at what there is, and starting one."""

import asyncio

from aiohttp import web

from ais.api import codec
from ais.api.promotion import KIND, PROMOTIONS, PromoteTask
from ais.base.errors import AisError, NotReady
from ais.target.host import require_node
from ais.target.parts import Parts
from ais.target.promotion import source
from ais.target.promotion.job import PromoteJob
from ais.xact.registry import Xaction

_ONE = PROMOTIONS + "/{uuid}"


class Promotions:
    """The jobs of this target."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        parts.tasks.of([KIND], lambda one: self._start(codec.from_json(one.body, PromoteTask)))

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        return [web.get(_ONE, self.look), web.put(_ONE, self.start)]

    async def look(self, request: web.Request) -> web.Response:
        """What this target sees under the path. Raise as `ais.target.promotion.source`."""
        task = await self._task(request)
        found = await asyncio.to_thread(self._look, task)
        return web.Response(body=codec.to_json(found), content_type="application/json")

    async def start(self, request: web.Request) -> web.Response:
        """Begin a job that a proxy has checked; wait for its end if that is asked for. Raise what it failed with."""
        task = await self._task(request)
        self._parts.front.views.require(task.bck).require_sealable()
        await asyncio.to_thread(self._check, task.source)
        await self._parts.registry.keep(task.uuid, KIND, await request.read())
        xaction = self._start(task)
        if task.waits:
            await xaction.wait()
            if xaction.error or xaction.is_aborted:
                raise NotReady(xaction.abort_reason) if xaction.is_aborted else AisError(xaction.error)
        return web.Response()

    async def _task(self, request: web.Request) -> PromoteTask:
        require_node(self._parts.host, request, PROMOTIONS)
        return codec.from_json(await request.read(), PromoteTask)

    def _check(self, path: str) -> None:
        mountpaths = [one.path for one in self._parts.volume.available]
        source.check(path, self._parts.host.config.local.promote_roots, mountpaths)

    def _look(self, task: PromoteTask) -> object:
        self._check(task.source)
        return source.look(task.source, recursive=task.recursive, deletes=task.delete)

    def _start(self, task: PromoteTask) -> Xaction:
        async def work(xaction: Xaction) -> None:
            await PromoteJob(self._parts, task, xaction).run()

        return self._parts.tasks.begin(KIND, task.uuid, work, bck=task.bck, ctlmsg=task.description)
