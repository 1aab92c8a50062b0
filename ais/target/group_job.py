"""A job on a group of objects, the part of one target (wire contract §9.3, §9.4): it works on the objects it owns.

Objects are named by a list, by a template with ranges, or by a prefix; the last are found on the disks. What fails for
one object ends the job, unless it is to continue; an object that is named and missing is reported and ends nothing.

A target that was restarted goes on where it was (`ais.target.place`); what was deleted then is not missed. The others
wait for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from itertools import islice
from urllib.parse import quote

from ais.api import groups, headers, query
from ais.api.errors import decode_error
from ais.api.groups import GroupTask
from ais.base import templates
from ais.base.errors import AisError, AlreadyExists, BucketNotFound, Busy, Gone, ObjectNotFound
from ais.core.publish import Condition
from ais.target.blobs import Blobs
from ais.target.indexing import Indexing
from ais.target.parts import Parts
from ais.target.patience import Patience
from ais.target.place import Place
from ais.target.planned import MISSED, Planned
from ais.target.rechunking import Rechunking
from ais.target.remote.through import OnlyHere
from ais.target.transfer import unchanged
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.joggers import Batch
from ais.xact.registry import Xaction

_STEP = 1000
"""Names of a list or template looked at in one go."""
_ONLY_HERE = (groups.EVICT, groups.INDEX, groups.RECHUNK)
_BACKEND = ""

Act = Callable[[str], Awaitable[None]]


class GroupJob:
    """See the module. `run` is the work of its xaction; `kept`: how far an earlier life of the target got."""

    def __init__(
        self,
        parts: Parts,
        blobs: Blobs,
        xaction: Xaction,
        task: GroupTask,
        source: BucketView,
        destination: BucketView | None,
        kept: bytes | None,
    ) -> None:
        self._is_resumed = kept is not None
        self._place = Place(parts, xaction, kept or b"")
        self._patience = Patience(parts.host.env.clock)
        self._parts, self._blobs = parts, blobs
        self._xaction = xaction
        self._task = task
        self._from, self._to = source, destination
        self._stayed = 0
        self._planned = Planned(parts.host, parts.moves, task.map_version, task.owners)
        xaction.workers = task.workers_count

    @property
    def _source(self) -> BucketView:
        return self._parts.front.current(self._from)

    @property
    def _destination(self) -> BucketView | None:
        if self._to is None:
            return None
        now = self._parts.front.current(self._to)
        now.require_sealable()
        return now

    async def run(self) -> None:
        """Do it all. Raise what failed first."""
        await self._planned.begin()
        for number, work in enumerate(self._rounds()):
            if self._place.enter(number):
                await work()
        if failure := self._place.failure:
            raise AisError(f"{self._parts.host.snode.name}: {failure}")

    def _rounds(self) -> Iterator[Callable[[], Awaitable[None]]]:
        """What is gone through, one after the other."""
        task, source, destination, act = self._task, self._source, self._destination, self._act()
        if task.names is not None:
            yield partial(self._each_named, task.names, len(task.names), act, is_named=not self._goes_on)
        elif (template := templates.parse(task.template)).is_prefix:
            is_here = source.remote is None or task.only_here or task.kind in _ONLY_HERE
            yield partial(self._each_on_disk if is_here else self._each_remote, source, template.prefix, act)
            if self._is_refresh and task.synchronize and not is_here:
                yield partial(self._each_on_disk, source, template.prefix, act)  # what its backend has not goes
        else:
            yield partial(self._each_named, template, len(template), act)
        if task.synchronize and destination is not None and not self._is_refresh:
            each = self._each_on_disk if destination.remote is None else self._each_remote
            yield partial(each, destination, task.template, self._delete_unless_in_source)

    def _act(self) -> Act:
        parts, task, source, xaction = self._parts, self._task, self._source, self._xaction
        match task.kind:
            case groups.DELETE:
                return self._delete
            case groups.EVICT:
                return self._evict
            case groups.PREFETCH:
                return self._prefetch
            case groups.RECHUNK:
                return Rechunking(parts.volume, parts.store, source, task, xaction).rechunk
            case groups.INDEX:
                return Indexing(parts.opening, parts.indexes, source, task, xaction).index
        return self._copy

    def _mine(self, view: BucketView, names: Iterable[str]) -> Iterator[str]:
        """Those this target owns, by the map of now: found one after the other, as they are worked on."""
        return (name for name in names if self._is_mine(view, name))

    def _is_mine(self, view: BucketView, name: str) -> bool:
        self._planned.look()
        return self._parts.host.placement.owner(view.uname + name).id == self._parts.host.snode.id

    async def _each_named(self, names: Iterable[str], count: int, act: Act, *, is_named: bool = False) -> None:
        """Act on those of so many names that are ours."""
        place, xaction = self._place, self._xaction
        found = iter(names)
        await asyncio.to_thread(next, islice(found, place.at.count, place.at.count), None)
        xaction.total, xaction.visited = count, place.at.count
        while step := list(islice(found, _STEP)):
            await self._each(self._source, step, act, is_named=is_named)
            place.at.count += len(step)
            xaction.visit(len(step))
            await place.mark()
        self._planned.require_all_met()

    async def _each_on_disk(self, view: BucketView, prefix: str, act: Act) -> None:
        place = self._place
        after = dict(place.at.after)

        async def visit(batch: Batch) -> None:
            await self._each(view, filter(self._is_wanted, batch.names), act)
            if not batch.is_late:
                place.at.after[batch.mountpath.path] = batch.names[-1]
            await place.mark()

        await asyncio.to_thread(self._parts.volume.require_whole, view.bck)
        await self._parts.joggers.run(self._xaction, [view.bck], visit, prefix=prefix, after=after)
        await asyncio.to_thread(self._parts.volume.require_whole, view.bck)
        self._planned.require_all_met()
        if self._parts.host.smap.moving:
            raise Busy(MISSED)

    async def _each_remote(self, view: BucketView, prefix: str, act: Act) -> None:
        """The same by the names that a backend has. Each target asks for all, and acts on its own."""
        after = self._place.at.after
        async for found in self._parts.remote.objects(view, prefix, after.get(_BACKEND, "")):
            names = [one.name for one in found]
            await self._each(view, filter(self._is_wanted, names), act)
            after[_BACKEND] = max(names, default="")
            await self._place.mark()
        self._planned.require_all_met()

    def _is_wanted(self, name: str) -> bool:
        return not self._task.not_recursive or "/" not in name[len(self._task.template) :]

    async def _each(self, view: BucketView, names: Iterable[str], act: Act, *, is_named: bool = False) -> None:
        """Act on each that is ours with several workers."""
        mine = self._mine(view, names)

        async def act_on(name: str) -> None:
            if not self._is_mine(view, name):  # since it was found, or tried in vain
                raise Busy(MISSED)
            await act(name)

        async def worker() -> None:
            for name in mine:
                try:
                    await self._patience.wait_for(partial(act_on, name))
                except ObjectNotFound as error:
                    if is_named:
                        self._place.fail(error)
                except AisError as error:
                    self._place.fail(error)
                    if not self._task.continue_on_error:
                        raise

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._task.workers_count):
                    group.create_task(worker())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

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
            if head.stat.st_ctime_ns > self._task.started_ns:  # renamed, with its time
                raise Busy(f"{source.bck.cname(name)} was changed since the job began: look whether it is to go")
            with suppress(AlreadyExists):  # written since we looked
                await self._remove(source, name, unchanged(head.meta, source.bck.cname(name)))
            return
        await self._remove(source, name)

    async def _evict(self, name: str) -> None:
        parts = self._parts
        await parts.moves.settle(self._source, name)
        try:
            removed = await parts.remote.through.evict(self._source, name)
        except OnlyHere as error:
            self._stayed += 1
            self._xaction.ctlmsg = f"{describe(self._task)}; {self._stayed} stay, they are only here"
            if self._task.names is not None:
                self._place.fail(error)
            return
        self._count(removed.meta.size if removed.meta else 0)

    async def _prefetch(self, name: str) -> None:
        parts, view = self._parts, self._source
        await parts.moves.settle(view, name)
        if self._task.latest:
            await parts.remote.through.refresh(view, name)
        fetched = None
        if threshold := self._task.blob_threshold:
            fetched = await self._blobs.ensure(view, name, self._task.parts, threshold)
        if fetched is None:
            fetched = await parts.remote.cold.ensure(view, name)
        if fetched is not None:
            self._count(fetched)

    async def _remove(self, view: BucketView, name: str, condition: Condition | None = None) -> None:
        parts = self._parts
        if view.remote is not None:
            await parts.moves.settle(view, name)
            await parts.remote.through.delete(view, name)
            self._count(0)
            return

        async def remove(since: int, _is_discarded: bool) -> None:
            if view.is_coded:
                await parts.protected.ensure(view, name)
            pool, delete = parts.volume.place(view.uname + name).pool, parts.store.delete
            removed = await in_pool(pool, lambda: delete(view.bck, name, condition, view.rules, since=since))
            self._count(removed.meta.size if removed.meta else 0)

        await parts.moves.once_settled(view, name, remove)

    async def _copy(self, name: str) -> None:
        parts, source, task = self._parts, self._source, self._task
        await parts.moves.settle(source, name)
        if task.latest and source.remote is not None:
            await parts.remote.through.refresh(source, name)
        await parts.remote.cold.ensure(source, name)
        await (parts.protected.heal if self._to is not None else parts.protected.ensure)(source, name)
        pool = parts.volume.place(source.uname + name).pool
        size = (await in_pool(pool, lambda: parts.store.head(source.bck, name))).meta.size
        new_name = task.new_name(name)
        if (destination := self._destination) is not None and not self._is_refresh:
            await parts.moves.copy(source, name, destination, new_name)
            if parts.host.placement.owner(destination.uname + new_name).id != parts.host.snode.id:
                self._xaction.objects_sent += 1
                self._xaction.bytes_sent += size
        self._count(size)

    def _count(self, size_bytes: int) -> None:
        self._xaction.objects += 1
        self._xaction.bytes += size_bytes

    async def _delete_unless_in_source(self, name: str) -> None:
        """Of a synchronized copy: what the source does not have goes.

        Where the source itself is gone, or its objects are moved to its new name, that says nothing of them.
        """
        assert self._destination is not None
        parts, bck = self._parts, self._source.bck
        # what its backend has no more may be here still
        latest = {query.LATEST_VERSION: "true"} if self._source.remote is not None else {}
        owner = parts.host.placement.owner(self._source.uname + name)
        url = f"{owner.data.url}/v1/objects/{bck.name}/{quote(name)}"
        answer = await parts.peers.call(
            "HEAD",
            url,
            query={query.PROVIDER: bck.provider, query.NAMESPACE: bck.namespace.uname, **latest},
            headers={headers.CALLER_ID: parts.host.snode.id},
            timeout_s=float(parts.host.config.cluster.client.client_timeout),
        )
        if answer.status in (HTTPStatus.OK, HTTPStatus.CONFLICT):  # another one there, or written just now
            return
        error = decode_error(answer.status, answer.headers.get(headers.ERROR.lower(), "").encode(), url)
        if not isinstance(error, ObjectNotFound | Gone):
            raise error
        if self._source.is_renamed:
            raise BucketNotFound(bck.cname())
        await self._remove(self._destination, name)


def describe(task: GroupTask) -> str:
    """What people read of it."""
    if task.names is not None:
        which = f"list:[{' '.join(task.names[:4])}{' ...' if len(task.names) > 4 else ''}]"
    else:
        which = f"template:{task.template}" if task.template else "all"
    to = f"=>{task.to.cname()}" if task.to else ""
    return f"{task.bck.cname()}{to} {which}{' dry-run' if task.dry_run else ''}"
