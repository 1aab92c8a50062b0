"""Jobs on groups of objects, the part of one target: how they begin. `ais.target.group_job` does them."""

from aiohttp import web
from msgspec.structs import replace

from ais.api import codec, groups
from ais.api.bucket import Bck
from ais.api.groups import GroupTask
from ais.base.errors import Busy
from ais.node.long import aside, decoded
from ais.target.blobs import Blobs
from ais.target.group_job import GroupJob, describe
from ais.target.host import require_node
from ais.target.parts import Parts
from ais.target.view import BucketView
from ais.xact.registry import Xaction


class Groups:
    """Starts the jobs."""

    def __init__(self, parts: Parts, blobs: Blobs) -> None:
        self._parts, self._blobs = parts, blobs
        parts.tasks.of(groups.KINDS, lambda one: self._begin(_task_of(one.body), one.place))

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        return [web.put(groups.GROUPS, self._start)]

    async def _start(self, request: web.Request) -> web.Response:
        parts = self._parts
        require_node(parts.host, request, groups.GROUPS)
        task = await decoded(await request.read(), _task_of)
        kept = replace(task, started_ns=parts.host.env.clock.now_ns(), of=_identities(self._views(task)))
        await parts.registry.keep(task.uuid, task.kind, await aside(len(task.names or ()), GroupTask.to_json, kept))
        self._begin(task)
        return web.Response()

    def _begin(self, task: GroupTask, kept: bytes | None = None) -> None:
        async def work(xaction: Xaction) -> None:
            source, destination = views = self._views(task)
            if task.of and task.of != _identities(views):
                raise Busy(
                    "a bucket was made anew, or linked to something else, while this target was away: begin anew"
                )
            await GroupJob(self._parts, self._blobs, xaction, task, source, destination, kept).run()

        self._parts.tasks.begin(
            task.kind, task.uuid, work, bck=task.bck, bck_to=task.to or Bck(""), ctlmsg=describe(task)
        )

    def _views(self, task: GroupTask) -> tuple[BucketView, BucketView | None]:
        views = self._parts.front.views
        to = views.require(task.to) if task.to is not None and not task.dry_run else None
        if to is not None:
            to.require_sealable()
        return views.require(task.bck), to


def _identities(views: tuple[BucketView, BucketView | None]) -> tuple[str, ...]:
    return tuple(f"{view.props.bid} {view.link} {view.is_linked}" for view in views if view is not None)


def _task_of(body: bytes) -> GroupTask:
    return codec.from_json(body, GroupTask)
