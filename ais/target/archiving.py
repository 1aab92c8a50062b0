"""The job `archive`: many objects of a bucket made one shard, by the target that owns the shard (wire contract §9.4).

It reads the objects as a get-batch does, each target sending what it has, and writes the shard as one object: visible
when all is in it, or not at all. While another target is away it waits, and begins anew; so does an owner that was
restarted, unless the shard was there already.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from itertools import islice

import msgspec
from aiohttp import web

from ais.api import actions, archive, codec, headers, listing, query
from ais.api.archive import ArchiveMsg, ArchiveTask
from ais.api.batch import BatchMsg
from ais.api.batch import Entry as Wanted
from ais.api.errors import decode_error
from ais.api.listing import Flag
from ais.base import templates
from ais.base.errors import Busy, CorruptMetadata, NotReady, ObjectNotFound
from ais.base.waiting import to_its_end
from ais.core import sealing
from ais.core.content import file_of
from ais.core.meta import ObjectMeta
from ais.core.publish import Condition
from ais.core.store import OpenObject
from ais.core.writer import Writer
from ais.node.long import decoded
from ais.shard import formats
from ais.shard.appending import copy_members
from ais.shard.writing import Buffer, ShardWriter, shard_writer
from ais.target.batch.answer import Answer, Packed
from ais.target.batch.reading import LocalReader
from ais.target.host import require_node
from ais.target.parts import Parts
from ais.target.patience import Patience
from ais.target.shard_files import detect
from ais.target.transfer import unchanged
from ais.target.uploads import in_pool_to_end
from ais.target.view import BucketView
from ais.xact.registry import Xaction

KIND = "archive"
GROUP = 10_000
"""Objects asked for at once."""
_PAGE = 10_000


class Archiving:
    """Starts the job."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        parts.tasks.of([KIND], lambda one: self._begin(codec.from_json(one.body, ArchiveTask)))

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        return [web.put(archive.ARCHIVE, self._start)]

    async def _start(self, request: web.Request) -> web.Response:
        require_node(self.parts.host, request, archive.ARCHIVE)
        task = await decoded(await request.read(), partial(codec.from_json, kind=ArchiveTask))
        self._views(task)
        await self._keep(task)
        self._begin(task)
        return web.Response()

    def _begin(self, task: ArchiveTask) -> None:
        async def work(xaction: Xaction) -> None:
            patience = Patience(self.parts.host.env.clock)
            with self.parts.pace.used():
                await patience.wait_for(lambda: _Job(self, xaction, *self._views(task), task).run())

        description = f"{task.source.cname()}=>{task.to.cname()}"
        self.parts.tasks.begin(KIND, task.uuid, work, bck=task.source, bck_to=task.to, ctlmsg=description)

    def _views(self, task: ArchiveTask) -> tuple[BucketView, BucketView]:
        views = self.parts.front.views
        to = views.require(task.to)
        to.require_sealable()
        return views.require(task.source), to

    async def _keep(self, task: ArchiveTask) -> None:
        await self.parts.registry.keep(task.uuid, KIND, codec.to_json(task))

    async def complete(self, task: ArchiveTask, size: int) -> None:
        """Before a shard of `size` bytes gets its name: whoever goes on after a restart sees whether it did."""
        found = await asyncio.to_thread(self._stored, task)
        await self._keep(msgspec.structs.replace(task, before=found.stamp if found else None, size=size))

    async def made(self, task: ArchiveTask) -> ObjectMeta | None:
        """The shard, if it got its name before this target was restarted."""
        if task.size < 0:
            return None
        found = await asyncio.to_thread(self._stored, task)
        if found is None or found.stamp == task.before:
            return None
        return found if sealing.size_of(found) == task.size else None

    def _stored(self, task: ArchiveTask) -> ObjectMeta | None:
        try:
            return self.parts.store.head(task.to, task.message.archive).meta
        except (ObjectNotFound, CorruptMetadata):
            return None

    async def open_shard(self, destination: BucketView, message: ArchiveMsg) -> tuple[Writer, OpenObject | None]:
        """A writer of the shard, and the intact shard there is if the job adds to it."""
        opened: OpenObject | None = None
        await self.parts.moves.until_owned(destination, message.archive)
        await self.parts.moves.settle(destination, message.archive)
        if message.append:
            try:
                opened = await self.parts.opening.open(destination, message.archive)
            except ObjectNotFound:
                opened = None
        try:
            begin = asyncio.to_thread(self._writer, destination, message, opened)
            return await to_its_end(begin, Writer.abort), opened
        except BaseException:
            if opened is not None:
                os.close(opened.fd)
            raise

    def _writer(self, destination: BucketView, message: ArchiveMsg, opened: OpenObject | None) -> Writer:
        if opened is None:
            return self.parts.store.writer(destination.bck, message.archive, destination.rules)
        self.parts.store.verify(destination.bck, message.archive, opened)
        return self.parts.store.successor(
            destination.bck, message.archive, destination.rules, opened, size_hint=opened.stat.st_size
        )

    async def names(self, source: BucketView, message: ArchiveMsg) -> AsyncGenerator[list[str], None]:
        """The names of the objects, in groups."""
        if message.names:
            for start in range(0, len(message.names), GROUP):
                yield message.names[start : start + GROUP]
            return
        template = templates.parse(message.template)
        if not template.is_prefix:
            found = iter(template)
            while group := list(islice(found, GROUP)):
                yield group
            return
        token = ""
        while True:
            group, token = await self._page(source, template.prefix, token)
            if group:
                yield group
            if not token:
                return

    def answer(self, source: BucketView, message: ArchiveMsg, names: Sequence[str]) -> Answer:
        """Reads these objects from whoever has them."""
        wanted = BatchMsg(
            entries=[Wanted(name=name) for name in names],
            continue_on_error=message.continue_on_error,
            only_names=not message.with_bucket,
        )
        reader = LocalReader(self.parts.front.views, self.parts.store, self.parts.opening, self.parts.indexes)
        return Answer(self.parts.host, self.parts.peers, reader, wanted, [source.bck] * len(names), skips_missing=True)

    async def _page(self, source: BucketView, prefix: str, token: str) -> tuple[list[str], str]:
        """Names of the whole cluster, from the primary."""
        primary = self.parts.host.smap.primary
        if primary is None:
            raise NotReady("the cluster has no primary: try again when it has one")
        bck = source.bck
        flags = str(int(Flag.NAME_ONLY | Flag.NO_DIRS))
        value = {"prefix": prefix, "continuation_token": token, "flags": flags, "pagesize": _PAGE, "props": "name"}
        url = f"{primary.control.url}/v1/buckets/{bck.name}"
        answer = await self.parts.peers.call(
            "GET",
            url,
            query={query.PROVIDER: bck.provider, query.NAMESPACE: bck.namespace.uname},
            headers={headers.CALLER_ID: self.parts.host.snode.id, "Accept": "application/msgpack"},
            body=codec.to_json({"action": actions.LIST, "name": "", "value": value}),
            timeout_s=float(self.parts.host.config.cluster.client.list_timeout),
        )
        if answer.status != 200:
            raise decode_error(answer.status, answer.body, url)
        page = listing.decode_page(answer.body)
        return [entry.n for entry in page.Entries or []], page.ContinuationToken


class _Switch:
    """What a writer gives its bytes to, which may become another."""

    def __init__(self, to: Callable[[Buffer], None]) -> None:
        self.to = to

    def __call__(self, data: Buffer) -> None:
        self.to(data)

    def stop(self) -> None:
        """Take nothing more: raise for whoever gives it."""

        def refuse(_data: Buffer) -> None:
            raise Busy("the job was aborted")

        self.to = refuse


class _Job:
    """One run."""

    def __init__(
        self, archiving: Archiving, xaction: Xaction, source: BucketView, destination: BucketView, task: ArchiveTask
    ) -> None:
        self._task = task
        self._archiving = archiving
        self._xaction = xaction
        self._source = source
        self._destination = destination
        self._message = task.message

    async def run(self) -> None:
        """Make the shard. Raise what keeps it from that; nothing is left then."""
        if (made := await self._archiving.made(self._task)) is not None:
            self._xaction.objects, self._xaction.bytes = 1, made.size
            return
        message, destination = self._message, self._destination
        self._xaction.visited = 0
        writer, opened = await self._archiving.open_shard(destination, message)
        pool = writer.mountpath.pool
        try:
            condition: Condition | None = None
            if opened is not None:
                kind = await in_pool_to_end(pool, lambda: detect(opened, message.archive, message.mime))
                condition = unchanged(opened.meta, destination.bck.cname(message.archive))
            else:
                kind = formats.require(message.archive, message.mime)
            out = Packed(kind) if opened is None else Packed(None)
            shard = await self._begin(opened, kind, writer, out)
            count_before = shard.count
            async for names in self._archiving.names(self._source, message):
                async with aclosing(self._archiving.answer(self._source, message, names).fill(shard, None)) as filled:
                    async for _ in filled:
                        await self._write(writer, await out.take())
                self._xaction.visited += len(names)
            if shard.count == count_before:
                raise ObjectNotFound(f"none of the objects to archive from {self._source.bck.cname()}")
            shard.close()
            await self._write(writer, await out.finish())
            await self._archiving.complete(self._task, writer.size)
            meta = await in_pool_to_end(pool, lambda: writer.commit(condition))
            indexes = self._archiving.parts.indexes
            await in_pool_to_end(pool, lambda: indexes.build_after_write(destination.bck, message.archive))
        except BaseException:
            await in_pool_to_end(pool, writer.abort)
            raise
        finally:
            if opened is not None:
                os.close(opened.fd)
        self._xaction.objects, self._xaction.bytes = 1, meta.size

    async def _begin(self, opened: OpenObject | None, kind: formats.Format, writer: Writer, out: Packed) -> ShardWriter:
        """The shard's writer, behind what is in it already."""
        if opened is None:
            return shard_writer(out.plain_kind, out.add)
        give = _Switch(writer.write)
        with file_of(opened) as file:
            copying = writer.mountpath.pool.submit(copy_members, file, kind, give)
            shard = await to_its_end(asyncio.wrap_future(copying), stop=give.stop)
        give.to = out.add
        return shard

    async def _write(self, writer: Writer, data: bytes) -> None:
        if data:
            await in_pool_to_end(writer.mountpath.pool, lambda: writer.write(data))
