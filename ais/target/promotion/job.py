"""One promotion on one target: files become objects here, or are sent to the targets that own their names."""

import asyncio
import os
from collections.abc import Iterator
from functools import partial
from itertools import islice

from msgspec.structs import replace

from ais.api import checksum
from ais.api.promotion import PromoteTask
from ais.base import names
from ais.base.errors import AisError, AlreadyExists, BucketNotFound, Conflict, DiskFailure, ObjectNotFound, OutOfSpace
from ais.base.waiting import to_its_end
from ais.core.meta import ObjectMeta
from ais.core.workfile import Keeping, WriteRules
from ais.core.writer import Writer
from ais.meta.smap import digest
from ais.target.parts import Parts
from ais.target.patience import Patience
from ais.target.planned import Planned
from ais.target.promotion import source
from ais.target.promotion.source import Entry
from ais.target.transfer import Transfer, absent
from ais.target.uploads import in_pool, in_pool_to_end
from ais.target.view import BucketView
from ais.xact.registry import Xaction

WORKERS = 4
PIECE_BYTES = 4 << 20
_STEP = 200


class PromoteJob:
    """See the module. `run` is the work of its xaction."""

    def __init__(self, parts: Parts, task: PromoteTask, xaction: Xaction) -> None:
        self._parts = parts
        self._task = task
        self._xaction = xaction
        self._failures = 0
        self._first = ""
        self._taking = asyncio.Lock()
        self._ready: list[Entry] = []
        self._patience = Patience(parts.host.env.clock)
        self._planned = Planned(parts.host, parts.moves, task.map_version, task.owners)

    async def run(self) -> None:
        """Promote everything that is this target's to do. Raise when something was not, naming the first.

        Raise `Busy` when others may have passed what became theirs meanwhile.
        """
        await self._planned.begin()
        found = self._entries()
        self._xaction.workers = WORKERS
        try:
            with self._parts.pace.used():
                async with asyncio.TaskGroup() as group:
                    for _ in range(WORKERS):
                        group.create_task(self._work(found))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        if self._failures:
            more = f" (and {self._failures - 1} more)" if self._failures > 1 else ""
            raise AisError(f"{self._parts.host.snode.name}: {self._first}{more}")
        if self._task.is_shared:
            self._planned.require_all_met()

    def _entries(self) -> Iterator[Entry]:
        task = self._task
        if os.path.isdir(task.source):
            return source.files(task.source, recursive=task.recursive)
        return iter([Entry(task.source, os.path.basename(task.source))])

    async def _work(self, found: Iterator[Entry]) -> None:
        while True:
            async with self._taking:
                if not self._ready:
                    self._ready = await asyncio.to_thread(lambda: list(islice(found, _STEP)))
                if not self._ready:
                    return
                entry = self._ready.pop()
            try:
                await self._promote(entry)
            except (BucketNotFound, OutOfSpace):
                raise
            except AisError as error:
                self._note(f"{entry.path}: {error}")
            self._xaction.visited += 1

    def _note(self, problem: str) -> None:
        self._failures += 1
        self._first = self._first or problem

    async def _promote(self, entry: Entry) -> None:
        parts, task = self._parts, self._task
        view = parts.front.views.require(task.bck)
        name = self._name_of(entry)
        if task.is_shared:
            self._planned.look()
            if not parts.host.placement.is_owner(parts.host.snode.id, digest(view.uname + name)):
                return
        if entry.problem:
            raise DiskFailure(entry.problem)
        names.check_object_name(name)
        try:
            fd = await to_its_end(asyncio.to_thread(source.open_file, entry.path, task.source), os.close)
        except FileNotFoundError:
            return  # another target that sees the same files was faster, and deletes them
        except OSError as error:
            raise DiskFailure(str(error)) from None
        try:
            before = os.fstat(fd)
            is_new = await self._patience.wait_for(partial(self._store, view, name, fd, before))
            if task.delete and is_new is not None:
                await asyncio.to_thread(_delete, entry.path, before)
        finally:
            os.close(fd)
        if is_new:
            self._xaction.objects += 1
            self._xaction.bytes += before.st_size

    def _name_of(self, entry: Entry) -> str:
        task = self._task
        if entry.path == task.source and task.name and not task.name.endswith("/"):
            return task.name
        return task.name + entry.relative

    async def _store(self, view: BucketView, name: str, fd: int, stat: os.stat_result) -> bool | None:
        """Whether it became an object; None: there is one, which stays, and so does the file."""
        parts, task = self._parts, self._task
        rules = replace(view.rules, fsync=True) if task.delete else view.rules
        owner = parts.host.placement.owner(view.uname + name)
        try:
            if owner.id == parts.host.snode.id:
                return await self._store_here(view, name, fd, stat, rules)
            return await self._send(view, name, fd, stat, rules)
        except AlreadyExists:
            return None

    async def _store_here(
        self, view: BucketView, name: str, fd: int, stat: os.stat_result, rules: WriteRules
    ) -> bool | None:
        parts, overwrites = self._parts, self._task.overwrite
        await parts.moves.settle(view, name)
        await parts.protected.ensure(view, name)
        pool = parts.volume.place(view.uname + name).pool
        if not overwrites and await in_pool(pool, lambda: self._is_there(view, name)):
            return None
        writer: Writer | None = None

        def begin() -> Writer:
            nonlocal writer
            writer = parts.store.writer(view.bck, name, rules, size_hint=stat.st_size)
            return writer

        try:
            out = await in_pool_to_end(pool, begin)
            at = 0
            while data := await in_pool_to_end(pool, partial(os.pread, fd, PIECE_BYTES, at)):
                started_s = parts.host.env.clock.monotonic()
                await in_pool_to_end(pool, partial(out.write, data))
                await parts.pace.rest(parts.host.env.clock.monotonic() - started_s)
                at += len(data)
            _check_unchanged(stat, os.fstat(fd), at)
            condition = None if overwrites else absent(view.bck.cname(name))
            await in_pool_to_end(pool, lambda: out.commit(condition))
        except BaseException:
            if writer is not None:
                await in_pool_to_end(pool, writer.abort)
            raise
        return True

    def _is_there(self, view: BucketView, name: str) -> bool:
        try:
            self._parts.store.head(view.bck, name)
        except ObjectNotFound:
            return False
        return True

    async def _send(self, view: BucketView, name: str, fd: int, stat: os.stat_result, rules: WriteRules) -> bool | None:
        parts, overwrites = self._parts, self._task.overwrite
        if not overwrites and await parts.moves.is_at_owner(view, name):
            return None
        kind, value = await to_its_end(asyncio.to_thread(_checksum, fd, stat.st_size, rules.checksum_kind))
        _check_unchanged(stat, os.fstat(fd), stat.st_size)
        keeps_versions = rules.keeping is not Keeping.NONE
        transfer = Transfer(ObjectMeta(stat.st_size, kind, value), only_if_absent=not (overwrites or keeps_versions))
        synced = view.with_ack("all-synced" if rules.all_copies else "synced") if rules.fsync else view
        await parts.moves.deliver(fd, stat.st_size, synced, name, transfer)
        self._xaction.objects_sent += 1
        self._xaction.bytes_sent += stat.st_size
        return True


def _checksum(fd: int, size: int, kind: str) -> tuple[str, str]:
    hasher = checksum.new_hasher(kind)
    if hasher is None:
        return checksum.NONE, ""
    for at in range(0, size, PIECE_BYTES):
        hasher.update(os.pread(fd, PIECE_BYTES, at))
    return kind, hasher.hexdigest()


def _check_unchanged(before: os.stat_result, after: os.stat_result, size: int) -> None:
    if size != before.st_size or not source.is_same(before, after):
        raise Conflict("it was written to while it was promoted: try again when it is whole")


def _delete(path: str, before: os.stat_result) -> None:
    """Remove what was promoted, if that is what is there."""
    try:
        if source.is_same(before, os.lstat(path)):
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DiskFailure(f"it was promoted, but not deleted: {error}") from None
