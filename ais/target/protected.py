"""Opening objects of buckets that protect them: what is lost or damaged is repaired first, never served.

A file is compared with its checksum when it is read for the first time since it changed; after that it costs no more
than an object of any other bucket.
"""

import os

from ais.api.bucket import Bck
from ais.base.errors import ContentDamaged
from ais.core.meta import ObjectMeta
from ais.core.store import OpenObject, Store
from ais.fs.volume import Volume
from ais.mirror.mirror import Mirror
from ais.target.s3.verified import Verified
from ais.target.uploads import in_pool
from ais.target.view import BucketView


class Protected:
    """Repairs on behalf of whoever reads."""

    def __init__(self, volume: Volume, store: Store, mirror: Mirror, verified: Verified) -> None:
        self._volume = volume
        self._store = store
        self._mirror = mirror
        self._verified = verified

    def copies(self, bck: Bck, name: str, meta: ObjectMeta) -> list[str]:
        """The mountpaths with copies of just this object, besides its own. Raise `DiskFailure`."""
        return self._mirror.paths(bck, name, meta)

    async def open(self, view: BucketView, name: str, version_id: str | None = None) -> OpenObject:
        """Open an object whose content is what was stored.

        Raise as `Store.open`, and `ContentDamaged` when it is damaged and so is everything it could be repaired from.
        """
        opened = self._store.open(view.bck, name, version_id)
        try:
            await self._verified.require(view.bck, name, opened)
            return opened
        except ContentDamaged:
            os.close(opened.fd)
            if not view.is_mirrored or version_id is not None:
                raise
        except BaseException:
            os.close(opened.fd)
            raise
        pool = self._volume.place(view.uname + name).pool
        await in_pool(pool, lambda: self._mirror.bring(view.bck, name, verify=True))
        opened = self._store.open(view.bck, name)
        try:
            await self._verified.require(view.bck, name, opened)
        except BaseException:
            os.close(opened.fd)
            raise
        return opened
