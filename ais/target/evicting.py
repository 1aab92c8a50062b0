"""What `lru` may remove here, and how."""

from collections.abc import Sequence

from ais.api.bucket import Bck
from ais.base.errors import Conflict, NotRemoteBucket
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.env.clock import Clock
from ais.fs.volume import Volume
from ais.space.eviction import Evictable, is_cached
from ais.target.front import Front
from ais.target.moves import Moves
from ais.target.uploads import in_pool
from ais.target.view import BucketView


class Evicting:
    """The buckets of this target that have a backend."""

    def __init__(self, front: Front, volume: Volume, store: Store, moves: Moves, clock: Clock) -> None:
        self._front = front
        self._volume = volume
        self._store = store
        self._moves = moves
        self._clock = clock

    def buckets(self, named: Sequence[Bck], force: bool) -> list[Evictable]:
        """Those named, else all, where `lru.enabled` is on or `force` says that it need not be.

        Raise `BucketNotFound`, and `NotRemoteBucket` for one that was named.
        """
        views = [self._front.views.require(bck) for bck in named] or list(self._front.views)
        for view in views:
            if named and view.remote is None:
                raise NotRemoteBucket("lru", view.bck.cname())
        return [
            self._evictable(view) for view in views if view.remote is not None and (force or view.props.lru.enabled)
        ]

    def _evictable(self, view: BucketView) -> Evictable:
        unused_ns = int(float(view.props.lru.dont_evict_time) * 1e9)
        return Evictable(view.bck, view.provider, self._clock.now_ns() - unused_ns)

    async def evict(self, bck: Bck, name: str) -> None:
        """Remove what is here of an object. Raise `ObjectNotFound`, `Conflict` when its backend may not have it."""
        view = self._front.views.require(bck)
        await self._moves.settle(view, name)

        def check(stored: ObjectMeta | None) -> None:
            if view.remote is None or not is_cached(stored, view.provider):
                raise Conflict(f"{bck.cname(name)} did not come from the backend of its bucket")

        pool = self._volume.place(view.uname + name).pool
        await in_pool(pool, lambda: self._store.delete(bck, name, check, view.rules))
