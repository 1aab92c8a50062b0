"""What `lru` may remove here, and how."""

from collections.abc import Sequence

from ais.api.bucket import Bck
from ais.base.errors import NotRemoteBucket
from ais.env.clock import Clock
from ais.space.eviction import Evictable
from ais.target.front import Front
from ais.target.moves import Moves
from ais.target.remote.through import Through
from ais.target.view import BucketView


class Evicting:
    """The buckets of this target that have a backend."""

    def __init__(self, front: Front, moves: Moves, through: Through, clock: Clock) -> None:
        self._front = front
        self._moves = moves
        self._through = through
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
            Evictable(view.bck, view.origin, self._before_ns(view))
            for view in views
            if view.origin is not None and (force or view.props.lru.enabled)
        ]

    def _before_ns(self, view: BucketView) -> int:
        return self._clock.now_ns() - int(float(view.props.lru.dont_evict_time) * 1e9)

    async def evict(self, bck: Bck, name: str) -> None:
        """Remove what is here of an object. Raise `ObjectNotFound`, `OnlyHere` when its backend may not have it."""
        view = self._front.views.require(bck)
        await self._moves.settle(view, name)
        await self._through.evict(view, name)
