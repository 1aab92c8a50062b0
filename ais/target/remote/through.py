"""Changes of objects that a backend has: there first, then here.

What is here of the object goes before anything else happens. So whatever ends a change half-way, a crash too, what is
here is never older than what the backend has: at worst nothing is here, and the next read fetches it.
"""

import os
from concurrent.futures import Executor
from contextlib import AbstractContextManager, suppress

from ais.api import checksum
from ais.backend.interface import ETAG, VERSION, Place, RemoteObject
from ais.backend.providers import Backends
from ais.base.errors import AisError, DiskFailure, ObjectNotFound
from ais.core.meta import ObjectMeta
from ais.core.store import Removed, Store
from ais.core.writer import Writer
from ais.fs.volume import Volume
from ais.net.http import Reply
from ais.target.remote.cold import Cold
from ais.target.uploads import Owner, PutSink, in_pool
from ais.target.view import BucketView


class Through:
    """One per target."""

    def __init__(self, volume: Volume, store: Store, cold: Cold, backends: Backends) -> None:
        self._volume = volume
        self._store = store
        self._cold = cold
        self._backends = backends

    def changing(self, view: BucketView, name: str) -> AbstractContextManager[None]:
        """See `Cold.changing`."""
        return self._cold.changing(view.uname + name)

    async def evict(self, view: BucketView, name: str) -> Removed:
        """Remove what is here of an object. Raise `ObjectNotFound`."""
        pool = self._volume.place(view.uname + name).pool
        return await in_pool(pool, lambda: self._store.delete(view.bck, name, rules=view.rules))

    async def head(self, view: BucketView, name: str) -> RemoteObject:
        """What the backend says of an object. Raise `ObjectNotFound`."""
        place = view.remote
        if place is None or self._cold.is_passive:
            raise ObjectNotFound(view.bck.cname(name))
        return await self._backends.of(place).head(place, name)

    async def refresh(self, view: BucketView, name: str) -> None:
        """Let go of what is here of an object unless its backend has the same. Raise `ObjectNotFound`."""
        try:
            found = await self.head(view, name)
        except ObjectNotFound:
            with suppress(ObjectNotFound):
                await self.evict(view, name)
            raise
        try:
            kept = self._store.head(view.bck, name).meta
        except ObjectNotFound:
            return
        if not is_same(kept, found):
            with self.changing(view, name), suppress(ObjectNotFound):
                await self.evict(view, name)

    async def delete(self, view: BucketView, name: str) -> None:
        """Delete an object at its backend, and here. That there is none is no error, as with Amazon S3."""
        place = view.remote
        assert place is not None
        backend = self._backends.of(place)
        with self.changing(view, name):
            with suppress(ObjectNotFound):
                await self.evict(view, name)
            await backend.delete(place, name)

    async def send(
        self, view: BucketView, place: Place, name: str, writer: Writer, user: dict[str, str]
    ) -> RemoteObject:
        """Give the backend what was written; what is here of the object is removed before."""
        backend = self._backends.of(place)
        with suppress(ObjectNotFound):
            await self.evict(view, name)
        fd = os.open(writer.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return await backend.put(place, name, _Content(fd, writer.size, writer.mountpath.pool), user)
        finally:
            os.close(fd)


def is_same(kept: ObjectMeta, found: RemoteObject) -> bool:
    """Whether what is here is what its backend has, as far as both say."""
    if kept.size != found.size:
        return False
    custom = kept.custom
    if found.version and custom.get(VERSION):
        return custom[VERSION] == found.version
    return not found.etag or custom.get(ETAG) == found.etag


class ThroughSink(PutSink):
    """An upload that becomes an object at a backend, and then one here."""

    __slots__ = ("_name", "_place", "_through", "_user", "_work")

    def __init__(
        self,
        owner: Owner,
        view: BucketView,
        place: Place,
        name: str,
        writer: Writer,
        started_s: float,
        through: Through,
        user: dict[str, str],
    ) -> None:
        super().__init__(owner, view, writer, started_s, is_inline=False)
        self._name, self._place, self._through, self._user, self._work = name, place, through, user, writer

    async def _commit_in_pool(self) -> Reply:
        view, name, writer = self._view, self._name, self._work
        with self._through.changing(view, name):
            try:
                self._owner.admit(view)
                writer.verify()
                found = await self._through.send(view, self._place, name, writer, self._user)
                writer.rewrite(
                    found.custom(self._place.bck.provider) | self._user_here(),
                    found.facts(has_checksum=view.rules.checksum_kind != checksum.NONE),
                    found.version,
                )
            except BaseException as error:
                writer.abort()
                self._owner.failed(error if isinstance(error, AisError) else None)
                raise
            return await super()._commit_in_pool()

    def _user_here(self) -> dict[str, str]:
        return {key: value for key, value in self._user.items() if key != "content-type"}


class _Content:
    """A work file as a backend reads it."""

    def __init__(self, fd: int, size: int, pool: Executor) -> None:
        self._fd, self.size, self._pool = fd, size, pool

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

        return await in_pool(self._pool, read)
