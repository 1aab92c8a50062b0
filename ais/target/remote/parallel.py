"""Fetching a large object in parts, several at a time: an upload in parts that this target makes itself.

Parts that are here stay over a restart; all of them belong to the same object at the backend, or nothing comes of them.
Where nothing tells one object from another, as with web servers that give neither tag nor time, there is one part.
"""

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress

from awscrt import checksums as crt

from ais.api import checksum
from ais.api.blob import Parts
from ais.backend.interface import Backend, Place, RemoteObject
from ais.backend.providers import Backends
from ais.base.errors import AisError, AlreadyExists, Busy, ChecksumMismatch, HandleNotFound, NotReady, Unreachable
from ais.core.meta import ObjectMeta
from ais.core.multipart import Part, Upload, UploadInfo
from ais.core.store import Store
from ais.core.workfile import Digests
from ais.env.clock import Clock
from ais.fs.volume import Volume
from ais.target.front import Front
from ais.target.remote.cold import Cold
from ais.target.remote.filling import fill
from ais.target.transfer import absent
from ais.target.uploads import in_pool_to_end
from ais.target.view import BucketView

ATTEMPTS_MAX = 4
"""Of one part whose answer breaks off."""
PAUSE_S = 0.5
_ETAG, _SIZE, _VERSION = "blob-etag", "blob-size", "blob-version"

OnPart = Callable[[int], None]
"""Told how many bytes are here; also of parts from before a restart."""


class Parallel:
    """One per target."""

    def __init__(
        self, clock: Clock, front: Front, volume: Volume, store: Store, cold: Cold, backends: Backends
    ) -> None:
        self._clock = clock
        self._front = front
        self._volume = volume
        self._store = store
        self._cold = cold
        self._backends = backends

    async def begin(self, view: BucketView, found: RemoteObject) -> str:
        """The ID of an upload that `fetch` fills. Raise `DiskFailure`, `OutOfSpace`."""
        details = {_ETAG: _tag(found), _SIZE: str(found.size), _VERSION: found.version}
        uploads = self._store.uploads
        return await in_pool_to_end(
            self._pool(view, found.name), lambda: uploads.create(view.bck, found.name, {}, details)
        )

    def sweep(self, kept: Collection[str], before_ns: int, is_stopped: Callable[[], bool]) -> None:
        """Let go of what was begun to be fetched so before a time, but for uploads that somebody knows of.

        Blocks for as long as it takes to read what all uploads began with.
        """
        uploads = self._store.uploads
        for bck, mountpath in itertools.product(self._volume.buckets(), self._volume.available):
            with suppress(AisError):  # what is damaged there is in nobody's way
                for upload in uploads.on(bck, mountpath):
                    if is_stopped():
                        return
                    is_old = upload.info.created_ns < before_ns
                    if is_fetch(upload.info) and is_old and upload.id not in kept:
                        uploads.abort(upload)

    async def is_of(self, view: BucketView, found: RemoteObject, upload_id: str) -> bool:
        """Whether an upload is there and was begun for what the backend has now."""
        try:
            upload = await self._find(view, found.name, upload_id)
        except HandleNotFound:
            return False
        if not found.is_told_apart:
            return False
        kept = upload.info.details
        return (kept.get(_ETAG), kept.get(_SIZE), kept.get(_VERSION)) == (_tag(found), str(found.size), found.version)

    async def fetch(
        self, view: BucketView, found: RemoteObject, upload_id: str, parts: Parts, on_part: OnPart = lambda _: None
    ) -> None:
        """Bring what is missing and make the object, unless it is here by then or was changed meanwhile.

        Raise why the backend gives nothing, `Busy` when it has another object by now; the upload is there then.
        """
        place = view.remote
        assert place is not None
        backend = self._backends.of(place)
        if not found.is_told_apart:
            parts = Parts(max(found.size, 1), 1)
        upload = await self._find(view, found.name, upload_id)
        with self._cold.watching(view.uname + found.name) as watched:
            stored = await self._stored(view, upload)
            for part in stored.values():
                on_part(part.size)
            missing = (number for number in _numbers(found, parts) if number not in stored)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(parts.workers):
                        group.create_task(self._work(view, backend, place, found, upload, parts, missing, on_part))
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None
            self._front.admit(view)

            def check(kept: ObjectMeta | None) -> None:
                if watched.is_outdated:
                    raise AlreadyExists(f"{view.bck.cname(found.name)} was changed while it was fetched")
                absent(view.bck.cname(found.name))(kept)

            with suppress(AlreadyExists):
                await self._complete(view, place, found, upload, check)
                return
        await self.forget(view, found.name, upload_id)

    async def forget(self, view: BucketView, name: str, upload_id: str) -> None:
        """Let go of the parts."""

        def abort() -> None:
            with suppress(HandleNotFound):
                uploads = self._store.uploads
                uploads.abort(uploads.find(view.bck, name, upload_id))

        await in_pool_to_end(self._pool(view, name), abort)

    async def _work(
        self,
        view: BucketView,
        backend: Backend,
        place: Place,
        found: RemoteObject,
        upload: Upload,
        parts: Parts,
        missing: Iterator[int],
        on_part: OnPart,
    ) -> None:
        for number in missing:
            start = (number - 1) * parts.chunk_bytes
            length = min(parts.chunk_bytes, found.size - start)
            for attempt in range(1, ATTEMPTS_MAX + 1):
                try:
                    await self._part(view, backend, place, found, upload, number, start, length)
                    break
                except (Unreachable, NotReady):
                    if attempt == ATTEMPTS_MAX:
                        raise
                    await self._clock.sleep(PAUSE_S * 2**attempt)
            on_part(length)

    async def _part(
        self,
        view: BucketView,
        backend: Backend,
        place: Place,
        found: RemoteObject,
        upload: Upload,
        number: int,
        start: int,
        length: int,
    ) -> None:
        pool, uploads, got = self._pool(view, found.name), self._store.uploads, 0

        def count(size: int) -> None:
            nonlocal got
            got += size

        is_whole = length == found.size
        async with backend.get(place, found.name, 0 if is_whole else start, None if is_whole else length) as download:
            if not download.found.is_same_as(found):
                raise Busy(f"{place.bck.cname(found.name)} was changed while it was fetched: try again")
            writer = await in_pool_to_end(
                pool, lambda: uploads.part_writer(upload, number, length), lambda made: made.abort()
            )
            try:
                await fill(download, length, pool, writer.write, count)
                if got != length:
                    raise Unreachable(f"{place.bck.cname(found.name)}: part {number} has {got} of {length} bytes")
                await in_pool_to_end(pool, lambda: writer.commit({}))
            finally:
                writer.abort()

    async def _complete(
        self,
        view: BucketView,
        place: Place,
        found: RemoteObject,
        upload: Upload,
        check: Callable[[ObjectMeta | None], None],
    ) -> None:
        facts = view.facts_of(found)
        custom = found.custom(place.bck.provider)
        stored = await self._stored(view, upload)
        if sum(part.size for part in stored.values()) != found.size:
            raise Busy(f"{place.bck.cname(found.name)}: parts are missing: try again")
        uploads, parts = self._store.uploads, list(stored.values())

        def complete() -> None:
            self._compare(view, found, upload, parts)
            uploads.complete(upload, parts, view.rules, custom, check, facts, version=found.version)

        await in_pool_to_end(self._pool(view, found.name), complete)

    def _compare(self, view: BucketView, found: RemoteObject, upload: Upload, parts: list[Part]) -> None:
        """Raise `Unreachable` when the content is not what the backend says of all of it. Blocks."""
        cname, claims = view.bck.cname(found.name), [found.claim]
        if found.claim[0] == checksum.CRC32C:  # needs no content
            claims = []
            if _crc32c_of(parts) != found.claim[1]:
                raise Unreachable(f"{cname} came with another checksum than its backend says: try again")
        if view.props.checksum.validate_cold_get and found.md5:
            claims.append(("md5", found.md5))
        digests = [Digests(checksum.NONE, claim) for claim in claims if claim[0] != checksum.NONE]
        if not digests:
            return
        for piece in self._store.uploads.read_parts(upload, parts):
            for one in digests:
                one.update(piece)
        try:
            for one in digests:
                one.verify(view.bck, found.name)
        except ChecksumMismatch as error:
            raise Unreachable(f"{cname} came with another checksum than its backend says: {error}: try again") from None

    async def _find(self, view: BucketView, name: str, upload_id: str) -> Upload:
        return await in_pool_to_end(self._pool(view, name), lambda: self._store.uploads.find(view.bck, name, upload_id))

    async def _stored(self, view: BucketView, upload: Upload) -> dict[int, Part]:
        return await in_pool_to_end(self._pool(view, upload.info.name), lambda: self._store.uploads.parts(upload))

    def _pool(self, view: BucketView, name: str) -> Executor:
        return self._volume.place(view.uname + name).pool


def is_fetch(info: UploadInfo) -> bool:
    """Whether an upload is none of a client's: what is fetched in parts."""
    return _ETAG in info.details


def _tag(found: RemoteObject) -> str:
    """What tells the object from others of its size; without a tag its time."""
    return found.etag or f"{found.modified_s:.0f}"


def _crc32c_of(parts: Iterable[Part]) -> str:
    """Of all of them together."""
    value = 0
    for part in parts:
        value = crt.combine_crc32c(value, part.crc32c, part.size)
    return f"{value:08x}"


def _numbers(found: RemoteObject, parts: Parts) -> Iterator[int]:
    return iter(range(1, max(-(-found.size // parts.chunk_bytes), 1) + 1))
