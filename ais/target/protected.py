"""Opening objects of buckets that protect them: what is lost or damaged is repaired first, never served.

A file is compared with its checksum when it is read for the first time since it changed; after that it costs no more
than an object of any other bucket. A mirrored object is repaired from a copy, an erasure-coded one from its slices; for
one whose owner is away, another target stands in and serves what it restores without keeping it.
"""

import contextlib
import os
from collections.abc import AsyncIterator

from ais.api.bucket import Bck
from ais.base.errors import (
    AisError,
    Busy,
    ContentDamaged,
    CorruptMetadata,
    Lost,
    NotReady,
    ObjectNotFound,
    VersionNotFound,
)
from ais.core.meta import ObjectMeta
from ais.core.slicing import key_of
from ais.core.store import OpenObject, Store
from ais.core.versions import NULL, is_version_id
from ais.ec.jobs import EcJobs
from ais.ec.peers import SlicePeers
from ais.ec.restore import Restorer
from ais.fs.volume import Volume
from ais.mirror.mirror import Mirror
from ais.target.s3.verified import Verified
from ais.target.uploads import in_pool
from ais.target.view import BucketView

REREAD_MAX = 8
"""So often an object may be replaced while it is read; then it is the client's turn to try again."""


class Protected:
    """Repairs on behalf of whoever reads."""

    def __init__(
        self,
        volume: Volume,
        store: Store,
        mirror: Mirror,
        ec: EcJobs,
        restorer: Restorer,
        peers: SlicePeers,
        verified: Verified,
    ) -> None:
        self._volume = volume
        self._store = store
        self._mirror = mirror
        self._ec = ec
        self._restorer = restorer
        self._peers = peers
        self._verified = verified

    def copies(self, bck: Bck, name: str, meta: ObjectMeta) -> list[str]:
        """The mountpaths with copies of just this object, besides its own. Raise `DiskFailure`."""
        return self._mirror.paths(bck, name, meta)

    async def open(
        self,
        view: BucketView,
        name: str,
        version_id: str | None = None,
        *,
        verify: bool = True,
        streams: bool = False,
    ) -> OpenObject:
        """Open an object whose content is what was stored; without `verify`, its metadata at least.

        `streams`: what is kept as slices alone comes without its content: the caller reads it with `started`.
        Raise as `Store.open`, `NotReady` when too much of it is away, and `ContentDamaged` or `CorruptMetadata`
        when it is damaged and so is everything it could be repaired from.
        """
        opened = await self._find(view, name, version_id)
        if not verify:
            return opened
        if opened.meta.cut is not None:
            return opened if streams else await self.whole(view, name, opened)
        try:
            await self._verified.require(view.bck, name, opened)
            return opened
        except ContentDamaged:
            os.close(opened.fd)
            if not await self._repair(view, name, version_id):
                raise
        except BaseException:
            os.close(opened.fd)
            raise
        opened = self._store.open(view.bck, name, version_id, sealed=True)
        try:
            await self._verified.require(view.bck, name, opened)
        except BaseException:
            os.close(opened.fd)
            raise
        return opened

    async def whole(self, view: BucketView, name: str, opened: OpenObject) -> OpenObject:
        """Put together what is kept as slices alone, or what has come in its place meanwhile; `opened` is closed."""
        for _ in range(REREAD_MAX):
            try:
                return await self._restorer.whole(view.bck, name, opened)
            except CorruptMetadata:
                if not await self._restorer.is_outdated(view.bck, name, opened.meta):
                    raise
            opened = await self._find(view, name, None)
        raise Busy(f"{view.bck.cname(name)} keeps being overwritten")

    async def started(
        self, view: BucketView, name: str, opened: OpenObject, start: int, length: int
    ) -> AsyncIterator[bytes] | None:
        """A range of what is kept as slices alone, its first bytes at hand; `opened` is closed.

        None: the object was replaced meanwhile, open it again. Raise `CorruptMetadata` when too few slices are good.
        """
        os.close(opened.fd)
        try:
            return await self._restorer.reader(view.bck, name, opened.meta).started(start, length)
        except CorruptMetadata:
            if not await self._restorer.is_outdated(view.bck, name, opened.meta):
                raise
            return None

    async def ensure(self, view: BucketView, name: str, version_id: str | None = None) -> None:
        """Before an erasure-coded object, or a version, is changed by a condition or deleted: restore what is lost."""
        if not view.is_coded or not self._peers.is_owner(view.uname + name):
            return
        if version_id is not None:
            with contextlib.suppress(VersionNotFound, ObjectNotFound, CorruptMetadata):  # what comes says so
                os.close((await self._find(view, name, version_id)).fd)
        elif not self._is_there(view, name):
            await self._ec.restore(view.bck, name)

    async def heal(self, view: BucketView, name: str) -> None:
        """Before new content is made of an object: repair it if it is lost or damaged. Raise as `open`."""
        if view.is_protected:
            os.close((await self.open(view, name, streams=True)).fd)

    async def repair(self, view: BucketView, name: str) -> None:
        """As `heal`, but nothing is raised for what is beyond repair: whoever moves it finds that out."""
        with contextlib.suppress(ObjectNotFound, CorruptMetadata, ContentDamaged, Lost):
            await self.heal(view, name)

    async def _find(self, view: BucketView, name: str, version_id: str | None) -> OpenObject:
        try:
            return self._store.open(view.bck, name, version_id, sealed=True)
        except (ObjectNotFound, VersionNotFound, CorruptMetadata, NotReady) as lost:
            # not ready: nothing is here, and nobody knows why
            if not view.is_coded:
                raise
            if version_id is not None:
                return await self._find_version(view, name, version_id, lost)
            if self._peers.is_owner(view.uname + name):
                if not await self._ec.restore(view.bck, name):
                    raise
                return self._store.open(view.bck, name, sealed=True)
        found = await self._restorer.stand_in(view.bck, name)
        if found is None:
            raise NotReady(f"{view.bck.cname(name)}: its owner is away and no slices of it were found: start its owner")
        return found

    async def _find_version(self, view: BucketView, name: str, version_id: str, lost: AisError) -> OpenObject:
        """Restore a version that is lost, which may be the latest one. Raise `lost` when there is nothing of it."""
        if not is_version_id(version_id):
            raise lost
        is_owner = self._peers.is_owner(view.uname + name)
        for key in (key_of(name, version_id), name):
            if is_owner:
                if await self._ec.restore(view.bck, key):
                    with contextlib.suppress(VersionNotFound):
                        return self._store.open(view.bck, name, version_id, sealed=True)
                continue
            found = await self._restorer.stand_in(view.bck, key)
            if found is not None and (found.meta.version_id or NULL) == version_id and not found.meta.is_marker:
                return found
            if found is not None:
                os.close(found.fd)
        raise lost

    async def _repair(self, view: BucketView, name: str, version_id: str | None) -> bool:
        """Put something good in the place of a damaged object, or version; False when there is nothing."""
        if view.is_mirrored:
            pool = self._volume.place(view.uname + name).pool
            outcome = await in_pool(pool, lambda: self._mirror.bring(view.bck, name, verify=True))
            if not outcome.is_lost:
                return True
        if not view.is_coded:
            return False
        if version_id is None:
            return await self._ec.restore(view.bck, name)
        latest = self._store.head(view.bck, name).meta if self._is_there(view, name) else None
        is_latest = latest is not None and (latest.version_id or NULL) == version_id
        return await self._ec.restore(view.bck, name if is_latest else key_of(name, version_id))

    def _is_there(self, view: BucketView, name: str) -> bool:
        try:
            self._store.head(view.bck, name)
        except (ObjectNotFound, NotReady):
            return False
        except CorruptMetadata:
            return True
        return True
