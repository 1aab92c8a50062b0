"""Changes of objects that a backend has: there first, then here.

What is here of the object goes before anything else happens. So whatever ends a change half-way, a crash too, what is
here is never older than what the backend has: at worst nothing is here, and the next read fetches it. Changes of one
object follow each other, so that the one which is last there is last here, too.

What only this cluster has, since before its bucket was linked, goes when the backend has been changed.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import msgspec

from ais.api.bucket import AIS
from ais.backend.interface import (
    CONTENT_HEADERS,
    ETAG,
    LAST_MODIFIED,
    OF_BACKEND,
    SOURCE,
    VERSION,
    Backend,
    Place,
    RemoteObject,
)
from ais.backend.providers import CLOUDS, Backends
from ais.backend.web import PROVIDER as HT
from ais.base.errors import (
    AisError,
    Conflict,
    CorruptMetadata,
    DiskFailure,
    Lost,
    NotReady,
    ObjectNotFound,
    Unsupported,
)
from ais.base.locks import NamedLocks
from ais.core.meta import ObjectMeta
from ais.core.publish import Condition
from ais.core.store import OpenObject, Removed, Store
from ais.fs.locks import StripeBusy
from ais.fs.mountpath import Mountpath
from ais.fs.volume import Volume
from ais.net.http import Reply
from ais.s3.facts import etag_of
from ais.space.eviction import is_cached
from ais.target.front import Front
from ais.target.remote.cold import Cold
from ais.target.uploads import ASIDE_PAUSE_S, Owner, PutSink, in_pool, in_pool_to_end
from ais.target.view import BucketView

Check = Callable[[RemoteObject | None], None]
"""Asked with what the backend has before it is replaced or deleted; may raise to refuse."""


class OnlyHere(Conflict):
    """An object of a linked bucket that no backend has; what is removed of it is gone."""


class Outgoing(Protocol):
    """Content that was received and is to be stored: `ais.core.writer.Writer`, or something before it."""

    @property
    def mountpath(self) -> Mountpath: ...
    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def claim(self) -> tuple[str, str]: ...
    def write(self, data: memoryview, /) -> None: ...
    def verify(self) -> None: ...
    def rewrite(self, custom: dict[str, str], facts: dict[str, str], version: str, /) -> None: ...
    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta: ...
    def abort(self) -> None: ...


class Through:
    """One per target."""

    def __init__(
        self,
        front: Front,
        volume: Volume,
        store: Store,
        cold: Cold,
        backends: Backends,
        owns: Callable[[str], bool],
    ) -> None:
        """`owns`: whether names that hash as this are this target's, by the map of now."""
        self._owns = owns
        self._front = front
        self._volume = volume
        self._store = store
        self._cold = cold
        self._backends = backends
        self._locks = NamedLocks()
        self._running: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up deletions that go on though nobody waits for them."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def evict(self, view: BucketView, name: str) -> Removed:
        """Remove what is here of an object. Raise `ObjectNotFound`, `OnlyHere` when its backend never had it."""

        def check(stored: ObjectMeta | None) -> None:
            if stored is not None and not is_cached(stored, view.origin):
                raise OnlyHere(f"{view.bck.cname(name)} is only here, it did not come from the backend of its bucket")

        pool = self._volume.place(view.uname + name).pool
        return await in_pool(pool, lambda: self._store.delete(view.bck, name, check, view.rules))

    async def head(self, view: BucketView, name: str) -> RemoteObject:
        """What the backend says of an object. Raise `ObjectNotFound`."""
        place = view.remote
        if place is None or self._cold.is_passive:
            raise ObjectNotFound(view.bck.cname(name))
        return await self._backends.of(place).head(place, name)

    async def refresh(self, view: BucketView, name: str) -> None:
        """Let go of what is here of an object unless its backend has the same, or never had it.

        Raise `ObjectNotFound`.
        """
        with suppress(ObjectNotFound):
            if await self._cold.is_here(view, name) and self._is_only_here(view, name):
                return
        try:
            found = await self.head(view, name)
        except ObjectNotFound:
            with self._cold.changing(view.uname + name), suppress(ObjectNotFound, OnlyHere):
                await self.evict(view, name)
            raise
        try:
            kept = self._store.head(view.bck, name).meta
        except ObjectNotFound:
            return
        if not is_same(kept, found):
            with self._cold.changing(view.uname + name), suppress(ObjectNotFound, OnlyHere):
                await self.evict(view, name)

    async def finished(self, uname: str) -> bool:
        """Wait for the changes of an object that are under way; whether there were any.

        When this target does not own the name any more, none begins after them.
        """
        if uname not in self._locks:
            return False
        (await self._locks.acquire(uname)).release()
        return True

    async def all_finished(self) -> None:
        """The same of all objects that this target does not own any more."""
        for uname in self._locks.names():
            if not self._owns(uname):
                await self.finished(uname)

    async def delete(self, view: BucketView, name: str, check: Check | None = None) -> None:
        """Delete an object at its backend, and here. That there is none is no error, as with Amazon S3."""
        # To its end whoever goes away: the backend may do it after all, and what is fetched before is not to be kept.
        task = asyncio.create_task(self._delete(view, name, check))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def _delete(self, view: BucketView, name: str, check: Check | None) -> None:
        place = view.remote
        assert place is not None
        backend = self._writable(place, name)
        async with self._changing(view, name):
            if check is not None:
                check(await self._current(view, name))
            async with self._letting_go(view, name):
                await backend.delete(place, name)

    async def store(
        self,
        view: BucketView,
        name: str,
        outgoing: Outgoing,
        said: Callable[[], dict[str, str]],
        check: Check | None = None,
    ) -> ObjectMeta:
        """Make an object of what was received: at the backend, then here. Any exception has ended `outgoing`.

        `said`: what its owner says of it (`Backend.put`), known when the content is verified.
        """
        try:
            async with self._changing(view, name):
                await self._send(view, name, outgoing, said, check)
                return await self._commit(view, outgoing)
        except BaseException:
            outgoing.abort()
            raise

    async def _commit(self, view: BucketView, outgoing: Outgoing) -> ObjectMeta:
        mountpath = outgoing.mountpath
        while True:
            try:
                pool = mountpath.sync_pool if view.rules.fsync else mountpath.pool
                return await in_pool_to_end(pool, outgoing.commit)
            except StripeBusy:  # of a worker that stands aside
                await asyncio.sleep(ASIDE_PAUSE_S)

    async def _send(
        self,
        view: BucketView,
        name: str,
        outgoing: Outgoing,
        said: Callable[[], dict[str, str]],
        check: Check | None,
    ) -> None:
        place = view.remote
        assert place is not None
        self._front.admit(view)
        backend = self._writable(place, name)
        await in_pool_to_end(outgoing.mountpath.pool, outgoing.verify)
        if check is not None:
            check(await self._current(view, name))
        async with self._letting_go(view, name):
            fd = os.open(outgoing.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                content = _Content(fd, outgoing.size, outgoing.claim, outgoing.mountpath.pool)
                found = await backend.put(place, name, content, said())
            finally:
                os.close(fd)
        outgoing.rewrite(found.custom(place.bck.provider), view.facts_of(found), found.version)
        self._front.admit(view)

    def _writable(self, place: Place, name: str) -> Backend:
        backend = self._backends.of(place)
        if backend.is_read_only:
            raise Unsupported(f"cannot change {place.bck.cname(name)}: its backend is read only")
        return backend

    @asynccontextmanager
    async def _letting_go(self, view: BucketView, name: str) -> AsyncIterator[None]:
        """Around a change of the backend: what is here goes before, or after when it is nowhere else."""
        if view.is_linked:
            with suppress(Lost):
                await self._cold.restore(view, name)
        try:
            is_elsewhere = not self._is_only_here(view, name)
        except AisError:
            is_elsewhere = True
        if is_elsewhere:
            await self._let_go(view, name)
        yield
        if not is_elsewhere:
            await self._let_go(view, name)

    def _is_only_here(self, view: BucketView, name: str) -> bool:
        """Raise as `Store.head`."""
        return not is_cached(self._store.head(view.bck, name).meta, view.origin)

    async def _let_go(self, view: BucketView, name: str) -> None:
        """Remove what is here; durably, so that no power loss brings it back."""
        rules, pool = msgspec.structs.replace(view.rules, fsync=True), self._volume.place(view.uname + name).pool
        with suppress(ObjectNotFound):
            await in_pool(pool, lambda: self._store.delete(view.bck, name, rules=rules))

    async def _current(self, view: BucketView, name: str) -> RemoteObject | None:
        """What a change takes the place of: what is nowhere else, or what the backend has."""
        with suppress(ObjectNotFound, CorruptMetadata):
            if view.is_linked and self._is_only_here(view, name):
                return _described(name, self._store.head(view.bck, name))
        try:
            return await self.head(view, name)
        except ObjectNotFound:
            return None

    @asynccontextmanager
    async def _changing(self, view: BucketView, name: str) -> AsyncIterator[None]:
        """One change of an object at a time; what is fetched meanwhile is not kept."""
        uname = view.uname + name
        with self._cold.changing(uname):
            held = await self._locks.acquire(uname)
            try:
                if not self._owns(uname):  # its new owner may have asked whether a change is under way (`finished`)
                    raise NotReady(f"{view.bck.cname(name)} belongs to another target since a moment ago: try again")
                yield
            finally:
                held.release()


def is_same(kept: ObjectMeta, found: RemoteObject) -> bool:
    """Whether what is here is what its backend has, as far as both say.

    A version alone does not tell: where they are counted, what was deleted and written again has the first one, too.
    """
    custom, told = kept.custom, found.custom("")
    is_version = bool(custom.get(VERSION) and told.get(VERSION))
    if kept.size != found.size or (is_version and custom[VERSION] != told[VERSION]):
        return False
    if found.etag:
        return custom.get(ETAG) == found.etag
    if is_version and LAST_MODIFIED not in custom:  # an answer to a PUT may not have it
        return True
    return custom.get(LAST_MODIFIED) == told.get(LAST_MODIFIED)


def _described(name: str, opened: OpenObject) -> RemoteObject:
    """What is only here, as conditions see it."""
    meta, mtime_ns = opened.meta, opened.stat.st_mtime_ns
    etag = etag_of(meta.facts, meta.checksum_kind, meta.checksum, mtime_ns, meta.size)
    return RemoteObject(name, meta.size, etag, modified_s=mtime_ns / 1e9)


def of_owner(custom: dict[str, str]) -> dict[str, str]:
    """Custom metadata without what says where an object came from: a copy is at another place."""
    return {key: value for key, value in custom.items() if key not in OF_BACKEND}


def of_copy(custom: dict[str, str]) -> dict[str, str]:
    """What a copy in a bucket of ours keeps: linked to a backend, it must not pass for what that has."""
    return of_owner(custom) if custom.get(SOURCE) in (*CLOUDS, HT, AIS) else custom


def content_of(facts: Mapping[str, str]) -> dict[str, str]:
    """The content headers among what is known of an object."""
    return {key: facts[key] for key in CONTENT_HEADERS if key in facts}


class ThroughSink(PutSink):
    """An upload that becomes an object at a backend, and then one here."""

    __slots__ = ("_check", "_name", "_outgoing", "_said", "_through")

    def __init__(
        self,
        owner: Owner,
        view: BucketView,
        name: str,
        outgoing: Outgoing,
        started_s: float,
        through: Through,
        said: Callable[[], dict[str, str]],
        check: Check | None = None,
    ) -> None:
        super().__init__(owner, view, outgoing, started_s, is_inline=False)
        self._name, self._outgoing, self._through, self._said, self._check = name, outgoing, through, said, check

    def finish(self) -> Awaitable[Reply]:
        """See `Through.store`."""
        return self._store()

    async def _store(self) -> Reply:
        try:
            meta = await self._through.store(self._view, self._name, self._outgoing, self._said, self._check)
        except BaseException as error:
            self._owner.failed(error if isinstance(error, AisError) else None)
            raise
        return self._owner.stored(meta, self._started_s)


class _Content:
    """A work file as a backend reads it."""

    def __init__(self, fd: int, size: int, claim: tuple[str, str], pool: Executor) -> None:
        self._fd, self.size, self.claim, self._pool = fd, size, claim, pool

    async def read(self, offset: int, length: int) -> bytes:
        """See `ais.backend.interface.Upload`."""

        def read() -> bytes:
            found = bytearray()
            try:
                while len(found) < length:
                    chunk = os.pread(self._fd, length - len(found), offset + len(found))
                    if not chunk:
                        raise DiskFailure("what was uploaded is shorter on the disk")
                    found += chunk
            except OSError as error:
                raise DiskFailure(f"what was uploaded cannot be read: {error}") from error
            return bytes(found)

        return await in_pool_to_end(self._pool, read)
