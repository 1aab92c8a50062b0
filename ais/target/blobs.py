"""Jobs that fetch one large object in parts, and everybody else who wants it so: a GET, a prefetch."""

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web
from msgspec.structs import replace

from ais.api import blob, codec
from ais.api.blob import BlobTask
from ais.backend.interface import RemoteObject
from ais.base.errors import AisError, NotRemoteBucket
from ais.base.units import Size
from ais.base.waiting import to_its_end
from ais.target.host import require_node
from ais.target.parts import Parts
from ais.target.view import BucketView
from ais.xact.registry import Xaction
from ais.xact.unfinished import Task


@dataclass(slots=True)
class _Running:
    """A fetch, and how many wait for it."""

    task: asyncio.Task[int]
    waiting: int = 0


class Blobs:
    """One per target."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cold, self._through, self._parallel = parts.remote.cold, parts.remote.through, parts.remote.parallel
        self._kept: set[str] = set()
        self._running: dict[str, _Running] = {}
        """Fetches that no job makes, by the object's uname."""
        self._started_ns = parts.host.env.clock.now_ns()
        parts.tasks.of([blob.KIND], lambda one: self._begin(codec.from_json(one.body, BlobTask)))

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        return [web.put(blob.BLOBS, self._start)]

    def recall(self, tasks: Iterable[Task]) -> None:
        """These jobs go on."""
        for one in (one for one in tasks if one.kind == blob.KIND):
            with suppress(AisError):
                self._kept.add(codec.from_json(one.body, BlobTask).upload_id)

    async def sweep(self) -> None:
        """Remove what this target had fetched when it was killed, but for what jobs go on with."""
        stopped = threading.Event()
        step = asyncio.to_thread(self._parallel.sweep, self._kept, self._started_ns, stopped.is_set)
        await to_its_end(step, stop=stopped.set)

    async def ensure(self, view: BucketView, name: str, parts: blob.Parts, threshold: int = 0) -> int | None:
        """Have an object here, in parts when it has at least `threshold` bytes; how many were fetched.

        None: it is here, or smaller. Raise `ObjectNotFound`, and why the backend does not give it.
        """
        if await self._cold.is_here(view, name):
            return None
        uname = view.uname + name
        if (running := self._running.get(uname)) is None:
            found = await self._through.head(view, name)
            if found.size < threshold:
                return None
            if (running := self._running.get(uname)) is None:
                work = self._fetch(view, found, parts)
                task = asyncio.create_task(work, name=f"blob GET {view.bck.cname(name)}")
                running = self._running[uname] = _Running(task)
        return await self._wait_for(running, uname)

    async def _wait_for(self, running: "_Running", uname: str) -> int:
        """It ends when nobody waits for it any more."""
        running.waiting += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.waiting -= 1
            if not running.waiting:
                running.task.cancel()
                if self._running.get(uname) is running:
                    del self._running[uname]

    async def _fetch(self, view: BucketView, found: RemoteObject, parts: blob.Parts) -> int:
        upload_id = await self._parallel.begin(view, found)
        try:
            await self._parallel.fetch(view, found, upload_id, parts)
        except BaseException:
            await self._parallel.forget(view, found.name, upload_id)
            raise
        return found.size

    async def _start(self, request: web.Request) -> web.Response:
        require_node(self._parts.host, request, blob.BLOBS)
        task = codec.from_json(await request.read(), BlobTask)
        view = self._parts.front.views.require(task.bck)
        if view.remote is None:
            raise NotRemoteBucket(blob.KIND, view.bck.cname())
        await self._parts.moves.settle(view, task.name)
        if task.latest:
            await self._through.refresh(view, task.name)
        if await self._cold.is_here(view, task.name):
            return web.Response(text="")
        found = await self._through.head(view, task.name)
        kept = replace(task, upload_id=await self._parallel.begin(view, found))
        await self._parts.registry.keep(task.uuid, blob.KIND, codec.to_json(kept))
        self._begin(kept)
        return web.Response(text=task.uuid)

    def _begin(self, task: BlobTask) -> None:
        async def work(xaction: Xaction) -> None:
            await self._run(xaction, task)

        fetched = task.parts
        ctlmsg = f"{task.bck.cname(task.name)} chunk-size:{Size(fetched.chunk_bytes)}, workers:{fetched.workers}"
        self._parts.tasks.begin(blob.KIND, task.uuid, work, bck=task.bck, ctlmsg=ctlmsg)

    async def _run(self, xaction: Xaction, task: BlobTask) -> None:
        view = self._parts.front.views.require(task.bck)
        upload_id = task.upload_id
        xaction.workers = task.parts.workers

        def count(size: int) -> None:
            xaction.bytes += size
            xaction.visit(size)

        try:
            await self._parts.moves.settle(view, task.name)
            if await self._cold.is_here(view, task.name):
                return
            found = await self._through.head(view, task.name)
            xaction.total = xaction.bytes_received = found.size  # for the bars of AIStore's command line
            upload_id = await self._upload_for(view, found, task)
            await self._parallel.fetch(view, found, upload_id, task.parts, count)
            xaction.objects = 1
        except BaseException:
            if not self._parts.registry.is_closing:  # else it goes on after the restart
                with suppress(AisError):
                    await self._parallel.forget(view, task.name, upload_id)
            raise

    async def _upload_for(self, view: BucketView, found: RemoteObject, task: BlobTask) -> str:
        """The upload that the job began, or a new one when the backend has another object by now."""
        if await self._parallel.is_of(view, found, task.upload_id):
            return task.upload_id
        await self._parallel.forget(view, task.name, task.upload_id)
        upload_id = await self._parallel.begin(view, found)
        await self._parts.registry.keep(task.uuid, blob.KIND, codec.to_json(replace(task, upload_id=upload_id)))
        return upload_id
