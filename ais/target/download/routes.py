"""Download jobs between nodes: start, files of one, and forgetting one that has ended."""

import asyncio
from functools import partial

from aiohttp import web

from ais.api import codec
from ais.api.download import DOWNLOADS, KIND, ONLY_ACTIVE, DownloadTask, Files, shown
from ais.base.errors import BadRequest, DownloadNotFound
from ais.node.long import decoded
from ais.target.download.job import DownloadJob
from ais.target.download.journal import Journal, remove_others
from ais.target.host import require_node
from ais.target.parts import Parts
from ais.xact.registry import Xaction

CONNECTIONS_MAX = 64
"""Of all jobs of a target together."""
_ONE = DOWNLOADS + "/{uuid}"


class Downloads:
    """The jobs of this target."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        parts.tasks.of([KIND], lambda one: self._start(codec.from_msgpack(one.body, DownloadTask)))
        self._running: dict[str, DownloadJob] = {}

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        return [web.put(_ONE, self.start), web.get(_ONE, self.files), web.delete(_ONE, self.remove)]

    async def start(self, request: web.Request) -> web.Response:
        """Begin a job that a proxy has checked; look again at one that is known: names got other owners."""
        require_node(self._parts.host, request, DOWNLOADS)
        body = await request.read()
        task = await decoded(body, partial(codec.from_msgpack, kind=DownloadTask))
        self._parts.front.views.require(task.bck).require_sealable()
        known = self._parts.registry.get(task.uuid)
        if known is not None and known.is_aborted:
            return web.Response()
        if (job := self._running.get(task.uuid)) is not None:
            job.look_again(task)
            return web.Response()
        if known is not None:
            self._parts.registry.forget(task.uuid)
        await self._parts.registry.keep(task.uuid, KIND, body)
        self._start(task)
        return web.Response()

    def sweep(self) -> None:
        """Remove what jobs left that nobody knows any more. Blocks."""
        remove_others(self._roots, [one.uuid for one in self._parts.registry.select(kind=KIND)])

    async def files(self, request: web.Request) -> web.Response:
        """What has become of each file, or only what is on its way. Raise `NotFound`."""
        uuid = self._known(request).uuid
        job = self._running.get(uuid)
        current = job.current() if job is not None else []
        if request.query.get(ONLY_ACTIVE) == "true":
            found = Files(current)
        else:
            found = await asyncio.to_thread(Journal(self._roots, uuid).shown, current)
        return web.Response(body=codec.to_json(found), content_type="application/json")

    async def remove(self, request: web.Request) -> web.Response:
        """Forget a job that has ended. Raise `NotFound`, `BadRequest`."""
        known = self._known(request)
        if known.is_running:
            raise BadRequest(f'job "{known.uuid}" is still running: abort it first')
        self._parts.registry.forget(known.uuid)
        await asyncio.to_thread(Journal(self._roots, known.uuid).remove)
        return web.Response()

    @property
    def _roots(self) -> list[str]:
        return [one.path for one in self._parts.volume.available]

    def _known(self, request: web.Request) -> Xaction:
        require_node(self._parts.host, request, DOWNLOADS)
        uuid = request.match_info["uuid"]
        known = self._parts.registry.get(uuid)
        if known is None or known.kind != KIND:
            raise DownloadNotFound(f"{self._parts.host.snode.name}: download job {uuid[:40]} does not exist")
        return known

    def _start(self, task: DownloadTask) -> None:
        async def work(xaction: Xaction) -> None:
            job = self._running[task.uuid] = DownloadJob(self._parts, task, xaction, self._slots)
            try:
                await job.run()
            finally:
                self._running.pop(task.uuid, None)

        self._parts.tasks.begin(KIND, task.uuid, work, bck=task.bck, ctlmsg=task.description or shown(task.template))
