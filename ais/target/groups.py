"""Jobs on groups of objects, the part of one target (wire contract §9.3, §9.4): it works on the objects it owns.

Objects are named by a list, by a template with ranges, or by a prefix; the last are found on the disks. What fails for
one object ends the job, unless it is to continue; an object that is named and missing is reported and ends nothing.

A target that was restarted begins its part anew: copies are made once more, what was deleted is not missed. The others
wait for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from itertools import islice
from urllib.parse import quote

import structlog
from aiohttp import web
from msgspec.structs import replace

from ais.api import codec, groups, headers, query
from ais.api.bucket import Bck
from ais.api.errors import decode_error
from ais.api.groups import GroupTask
from ais.base import templates
from ais.base.errors import AisError, Busy, ObjectNotFound
from ais.core.store import Store
from ais.fs.volume import Volume
from ais.net.client import PeerClient
from ais.node.long import aside, decoded
from ais.reb import plan
from ais.target.blobs import Blobs
from ais.target.front import Front
from ais.target.host import Host, require_node
from ais.target.indexing import Indexing
from ais.target.moves import Moves
from ais.target.opening import Opening
from ais.target.patience import Patience
from ais.target.protected import Protected
from ais.target.rechunking import Rechunking
from ais.target.remote.remote import Remote
from ais.target.remote.through import OnlyHere
from ais.target.serving import until_serving
from ais.target.shard_index import ShardIndexes
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.joggers import Batch, Joggers
from ais.xact.registry import Registry, Xaction
from ais.xact.unfinished import Task

_STEP = 1000
"""Names of a template looked at in one go."""

Act = Callable[[str], Awaitable[None]]


class Groups:
    """Starts the jobs."""

    def __init__(
        self,
        host: Host,
        registry: Registry,
        front: Front,
        volume: Volume,
        store: Store,
        moves: Moves,
        protected: Protected,
        joggers: Joggers,
        peers: PeerClient,
        is_serving: Callable[[], bool],
        remote: Remote,
        blobs: Blobs,
        opening: Opening,
        indexes: ShardIndexes,
    ) -> None:
        self.opening = opening
        self.indexes = indexes
        self._is_serving = is_serving
        self.remote = remote
        self.blobs = blobs
        self.host = host
        self.front = front
        self.volume = volume
        self.store = store
        self.moves = moves
        self.protected = protected
        self.joggers = joggers
        self.peers = peers
        self._registry = registry

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        return [web.put(groups.GROUPS, self._start)]

    async def _start(self, request: web.Request) -> web.Response:
        require_node(self.host, request, groups.GROUPS)
        task = await decoded(await request.read(), _task_of)
        self._views(task)
        kept = replace(task, started_ns=self.host.env.clock.now_ns())
        await self._registry.keep(task.uuid, task.kind, await aside(len(task.names or ()), codec.to_json, kept))
        self._begin(task, is_resumed=False)
        return web.Response()

    def resume(self, tasks: Iterable[Task]) -> None:
        """Go on with what ran when this target stopped."""
        for one in tasks:
            try:
                self._begin(codec.from_json(one.body, GroupTask), is_resumed=True)
            except AisError as error:
                structlog.get_logger().warning("cannot go on with a job", xaction=one.uuid, error=str(error))

    def _begin(self, task: GroupTask, *, is_resumed: bool) -> None:
        async def work(xaction: Xaction) -> None:
            await until_serving(self.host.env.clock, self._is_serving)
            source, destination = self._views(task)
            await _Job(self, xaction, task, source, destination, is_resumed=is_resumed).run()

        self._registry.start(
            task.kind, task.uuid, work, bck=task.bck, bck_to=task.to or Bck(""), ctlmsg=_describe(task)
        )

    def _views(self, task: GroupTask) -> tuple[BucketView, BucketView | None]:
        views = self.front.views
        return views.require(task.bck), views.require(task.to) if task.to is not None and not task.dry_run else None


class _Job:
    """One job while it runs."""

    def __init__(
        self,
        parts: Groups,
        xaction: Xaction,
        task: GroupTask,
        source: BucketView,
        destination: BucketView | None,
        *,
        is_resumed: bool,
    ) -> None:
        self._is_resumed = is_resumed
        self._patience = Patience(parts.host.env.clock)
        self._parts = parts
        self._xaction = xaction
        self._task = task
        self._source = source
        self._destination = destination
        self._failures = 0
        self._first: AisError | None = None
        self._stayed = 0
        xaction.workers = task.workers_count

    async def run(self) -> None:
        """Do it all. Raise what failed first."""
        task = self._task
        acts = {
            groups.DELETE: self._delete,
            groups.EVICT: self._evict,
            groups.RECHUNK: Rechunking(
                self._parts.volume, self._parts.store, self._source, task, self._xaction
            ).rechunk,
            groups.PREFETCH: self._prefetch,
            groups.INDEX: Indexing(self._parts.opening, self._parts.indexes, self._source, task, self._xaction).index,
        }
        act = acts.get(task.kind, self._copy)
        if task.names is not None:
            await self._each(self._mine(self._source, task.names), act, is_named=not self._goes_on)
        elif (template := templates.parse(task.template)).is_prefix:
            is_here = (
                self._source.remote is None
                or task.only_here
                or task.kind in (groups.EVICT, groups.INDEX, groups.RECHUNK)
            )
            await (self._each_on_disk if is_here else self._each_remote)(self._source, template.prefix, act)
            if self._is_refresh and task.synchronize and not is_here:
                await self._each_on_disk(self._source, template.prefix, act)  # what its backend has not goes
        else:
            found = iter(template)
            while step := list(islice(found, _STEP)):
                await self._each(self._mine(self._source, step), act)
        if task.synchronize and self._destination is not None and not self._is_refresh:
            is_here = self._destination.remote is None
            each = self._each_on_disk if is_here else self._each_remote
            await each(self._destination, task.template, self._delete_unless_in_source)
        if self._first is not None:
            more = f" (and {self._failures - 1} more)" if self._failures > 1 else ""
            raise AisError(f"{self._parts.host.snode.name}: {self._first}{more}")

    def _mine(self, view: BucketView, names: Iterable[str]) -> Iterator[str]:
        """Those this target owns, by the map of now: found one after the other, as they are worked on."""
        owner, own_id = self._parts.host.placement.owner, self._parts.host.snode.id
        return (name for name in names if owner(view.uname + name).id == own_id)

    async def _each_on_disk(self, view: BucketView, prefix: str, act: Act) -> None:
        owners = plan.owners(self._parts.host.smap)

        async def visit(batch: Batch) -> None:
            await self._each(self._mine(view, filter(self._is_wanted, batch.names)), act)

        await self._parts.joggers.run(self._xaction, self._parts.volume.available, [view.bck], visit, prefix=prefix)
        if (smap := self._parts.host.smap).moving or plan.owners(smap) != owners:
            raise Busy("targets came or went meanwhile, objects were missed: wait for the rebalance, start again")

    async def _each_remote(self, view: BucketView, prefix: str, act: Act) -> None:
        """The same by the names that a backend has. Each target asks for all, and acts on its own."""
        async for found in self._parts.remote.names(view, prefix):
            await self._each(self._mine(view, filter(self._is_wanted, found)), act)

    def _is_wanted(self, name: str) -> bool:
        return not self._task.not_recursive or "/" not in name[len(self._task.template) :]

    async def _each(self, names: Iterator[str], act: Act, *, is_named: bool = False) -> None:
        """Act on each with several workers."""

        async def worker() -> None:
            for name in names:
                try:
                    await self._patience.wait_for(partial(act, name))
                except ObjectNotFound as error:
                    if is_named:
                        self._note(error)
                except AisError as error:
                    self._note(error)
                    if not self._task.continue_on_error:
                        raise

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._task.workers_count):
                    group.create_task(worker())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    def _note(self, error: AisError) -> None:
        self._failures += 1
        self._first = self._first or error

    @property
    def _is_refresh(self) -> bool:
        """Whether a remote bucket is copied onto itself: its objects are fetched, compared when asked, and stay."""
        task = self._task
        return task.to == task.bck and not (task.prepend or task.extensions)

    @property
    def _goes_on(self) -> bool:
        """Whether this deletes what an earlier life of the target may have deleted: then nothing is missed."""
        return self._is_resumed and self._task.kind in (groups.DELETE, groups.EVICT)

    async def _delete(self, name: str) -> None:
        parts, source = self._parts, self._source
        if self._goes_on and source.remote is not None:
            found = await parts.remote.through.head(source, name)
            if found.modified_s * 1e9 > self._task.started_ns:
                return
        elif self._goes_on:
            await parts.moves.settle(source, name)
            pool = parts.volume.place(source.uname + name).pool
            head = await in_pool(pool, lambda: parts.store.head(source.bck, name))
            if head.stat.st_mtime_ns > self._task.started_ns:
                return
        await self._remove(self._source, name)

    async def _evict(self, name: str) -> None:
        parts = self._parts
        await parts.moves.settle(self._source, name)
        try:
            removed = await parts.remote.through.evict(self._source, name)
        except OnlyHere as error:
            self._stayed += 1
            self._xaction.ctlmsg = f"{_describe(self._task)}; {self._stayed} stay, they are only here"
            if self._task.names is not None:
                self._note(error)
            return
        self._count(removed.meta.size if removed.meta else 0)

    async def _prefetch(self, name: str) -> None:
        parts, view = self._parts, self._source
        await parts.moves.settle(view, name)
        if self._task.latest:
            await parts.remote.through.refresh(view, name)
        fetched = None
        if threshold := self._task.blob_threshold:
            fetched = await parts.blobs.ensure(view, name, self._task.parts, threshold)
        if fetched is None:
            fetched = await parts.remote.cold.ensure(view, name)
        if fetched is not None:
            self._count(fetched)

    async def _remove(self, view: BucketView, name: str) -> None:
        parts = self._parts
        await parts.moves.settle(view, name)
        if view.remote is not None:
            await parts.remote.through.delete(view, name)
            self._count(0)
            return
        if view.is_coded:
            await parts.protected.ensure(view, name)
        pool = parts.volume.place(view.uname + name).pool
        removed = await in_pool(pool, lambda: parts.store.delete(view.bck, name, rules=view.rules))
        self._count(removed.meta.size if removed.meta else 0)

    async def _copy(self, name: str) -> None:
        parts, source, task = self._parts, self._source, self._task
        await parts.moves.settle(source, name)
        if task.latest and source.remote is not None:
            await parts.remote.through.refresh(source, name)
        await parts.remote.cold.ensure(source, name)
        await (parts.protected.heal if self._destination is not None else parts.protected.ensure)(source, name)
        pool = parts.volume.place(source.uname + name).pool
        size = (await in_pool(pool, lambda: parts.store.head(source.bck, name))).meta.size
        new_name = task.new_name(name)
        if self._destination is not None and not self._is_refresh:
            await parts.moves.copy(source, name, self._destination, new_name)
            if parts.host.placement.owner(self._destination.uname + new_name).id != parts.host.snode.id:
                self._xaction.objects_sent += 1
                self._xaction.bytes_sent += size
        self._count(size)

    def _count(self, size_bytes: int) -> None:
        self._xaction.objects += 1
        self._xaction.bytes += size_bytes

    async def _delete_unless_in_source(self, name: str) -> None:
        """Of a synchronized copy: what the source does not have goes."""
        assert self._destination is not None
        parts, bck = self._parts, self._source.bck
        owner = parts.host.placement.owner(self._source.uname + name)
        url = f"{owner.data.url}/v1/objects/{bck.name}/{quote(name)}"
        answer = await parts.peers.call(
            "HEAD",
            url,
            query={query.PROVIDER: bck.provider, query.NAMESPACE: bck.namespace.uname},
            headers={headers.CALLER_ID: parts.host.snode.id},
            timeout_s=float(parts.host.config.cluster.client.client_timeout),
        )
        if answer.status == HTTPStatus.NOT_FOUND:
            await self._remove(self._destination, name)
        elif answer.status != HTTPStatus.OK:
            raise decode_error(answer.status, answer.body, url)


def _task_of(body: bytes) -> GroupTask:
    return codec.from_json(body, GroupTask)


def _describe(task: GroupTask) -> str:
    """What people read of it."""
    if task.names is not None:
        which = f"list:[{' '.join(task.names[:4])}{' ...' if len(task.names) > 4 else ''}]"
    else:
        which = f"template:{task.template}" if task.template else "all"
    to = f"=>{task.to.cname()}" if task.to else ""
    return f"{task.bck.cname()}{to} {which}{' dry-run' if task.dry_run else ''}"
