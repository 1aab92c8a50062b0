"""The endpoints of sorts between nodes: start, state, files, bytes of shards, and forgetting one that has ended."""

import asyncio
from collections.abc import Iterable
from functools import partial

from aiohttp import web

from ais.api import codec
from ais.api.dsort import DSORT, KIND, SortTask, State, Wanted
from ais.base.errors import BadRequest, Conflict, NotFound, NotReady
from ais.node.long import decoded
from ais.target.dsort.files import remove_others
from ais.target.dsort.job import SortJob
from ais.target.host import require_node
from ais.target.parts import Parts
from ais.xact.registry import Xaction
from ais.xact.unfinished import Task

_ONE = DSORT + "/{uuid}"
_WANTED_MAX = 10_000


class Sorts:
    """The jobs of this target."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        parts.tasks.of([KIND], lambda one: self._start(codec.from_msgpack(one.body, SortTask)))
        self._running: dict[str, SortJob] = {}

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        return [
            web.put(_ONE, self.start),
            web.delete(_ONE, self.remove),
            web.get(_ONE + "/state", self.state),
            web.get(_ONE + "/files/{name}", self.file),
            web.post(_ONE + "/content", self.content),
        ]

    async def start(self, request: web.Request) -> web.Response:
        """Begin a job that a proxy has checked."""
        require_node(self._parts.host, request, DSORT)
        body = await request.read()
        task = await decoded(body, partial(codec.from_msgpack, kind=SortTask))
        if self._parts.host.snode.id not in task.targets:
            raise BadRequest(f"{self._parts.host.snode.name} takes no part in {task.uuid}")
        await self._parts.registry.keep(task.uuid, KIND, body)
        self._start(task)
        return web.Response()

    def sweep(self, tasks: Iterable[Task]) -> None:
        """Remove what others left. Blocks."""
        remove_others([one.path for one in self._parts.volume.available], [task.uuid for task in tasks])

    async def remove(self, request: web.Request) -> web.Response:
        """Forget a job that has ended."""
        require_node(self._parts.host, request, DSORT)
        uuid = request.match_info["uuid"]
        known = self._parts.registry.get(uuid)
        if known is not None and known.is_running:
            raise BadRequest(f"dsort job {uuid} is still running: abort it first")
        if known is None or known.kind != KIND or not self._parts.registry.forget(uuid):
            raise NotFound(f'invalid request: job "{uuid}" does not exist')
        return web.Response()

    async def state(self, request: web.Request) -> web.Response:
        """How far it is; the error it ended with."""
        return web.Response(body=codec.to_json(self._state(request)), content_type="application/json")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Its records, or a plan that it made for another target."""
        job, name = self._job(request), request.match_info["name"]
        if name == "records":
            path = job.files.records
        elif name.startswith("plan.") and name[5:].isdigit() and len(name) < 12:
            path = job.files.plan_for(int(name[5:]))
        else:
            raise NotFound(f"a sort has no {name[:40]}")
        is_there = await asyncio.to_thread(job.files.exists, path)
        if not is_there:
            raise NotReady(f"{name} is not ready yet")
        return web.FileResponse(path)

    async def content(self, request: web.Request) -> web.Response:
        """Bytes of this target's shards, one after the other."""
        job = self._job(request)
        wanted = codec.from_msgpack(await request.read(), list[Wanted])
        if len(wanted) > _WANTED_MAX:
            raise BadRequest(f"{len(wanted)} pieces, at most {_WANTED_MAX}")
        return web.Response(body=b"".join(await job.contents.read(wanted)))

    def _start(self, task: SortTask) -> None:
        async def work(xaction: Xaction) -> None:
            job = self._running[task.uuid] = SortJob(self._parts, task, xaction)
            try:
                await job.run()
            finally:
                self._running.pop(task.uuid, None)

        self._parts.tasks.begin(
            KIND, task.uuid, work, bck=task.source, bck_to=task.to, ctlmsg=task.description or task.template
        )

    def _state(self, request: web.Request) -> State:
        require_node(self._parts.host, request, DSORT)
        uuid = request.match_info["uuid"]
        job = self._running.get(uuid)
        if job is not None:
            return job.state
        known = self._parts.registry.get(uuid)
        if known is None:
            raise NotReady(f"{self._parts.host.snode.name} does not know {uuid} yet")
        if known.is_running:
            return State()
        if known.error or known.is_aborted:
            raise Conflict(f"{uuid} ended at {self._parts.host.snode.name}: {known.error or 'aborted'}")
        return State(extracted=True, created=True, finished=True)

    def _job(self, request: web.Request) -> SortJob:
        state = self._state(request)
        job = self._running.get(request.match_info["uuid"])
        if job is None:
            if state.created:
                raise Conflict(f"{request.match_info['uuid']} has ended")
            raise NotReady(f"{request.match_info['uuid']} is starting")
        return job
