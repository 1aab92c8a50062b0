"""Ranges of objects that are not here: what is asked for is read at the backend, and not kept."""

from collections.abc import AsyncIterator

from ais.backend.guarded import Guarded
from ais.backend.interface import Place, RemoteObject
from ais.backend.providers import Backends
from ais.base.errors import Busy
from ais.base.turns import Turns
from ais.target.remote.cold import AT_ONCE_MAX, TURN_STEP_S
from ais.target.remote.through import Through
from ais.target.view import FOLLOW_BYTES_MIN, BucketView


class ColdRanges:
    """One per target."""

    def __init__(self, through: Through, backends: Backends) -> None:
        self._through = through
        self._backends = backends
        self._turns = Turns(AT_ONCE_MAX)

    async def look(self, view: BucketView, name: str) -> RemoteObject | None:
        """The object at its backend; None when it is so small that all of it is fetched. Raise `ObjectNotFound`."""
        found = await self._through.head(view, name)
        return None if found.size < FOLLOW_BYTES_MIN else found

    def read(self, view: BucketView, found: RemoteObject, start: int, length: int) -> AsyncIterator[bytes]:
        """Bytes of what was found. The iterator raises when they do not come, or belong to another object by now."""
        place = view.remote
        assert place is not None
        return self._read(self._backends.of(place), place, found, start, length)

    async def _read(
        self, backend: Guarded, place: Place, found: RemoteObject, start: int, length: int
    ) -> AsyncIterator[bytes]:
        turn = self._turns.of(place.bck.uname, TURN_STEP_S, lambda: backend.require_answers(place))
        async with turn, backend.get(place, found.name, start, length) as download:
            if not download.found.is_same_as(found):
                raise Busy(f"{place.bck.cname(found.name)} was changed while it was read: try again")
            async for chunk in download.chunks:
                yield chunk
