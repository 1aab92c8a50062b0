"""Opening an object for whoever reads it over the native API: every such read goes through here.

What a rename or a rebalance has not brought here yet is fetched, also from a backend, what is lost or damaged is
repaired, encrypted content comes with its key, and what only its client can open is refused.
"""

import os
from contextlib import suppress

from ais.base.errors import ObjectNotFound, Unsupported
from ais.core import sealing
from ais.core.store import OpenObject, Store
from ais.target.elsewhere import Elsewhere
from ais.target.keyring import with_keys
from ais.target.moves import Moves
from ais.target.protected import Protected
from ais.target.remote.cold import Cold
from ais.target.view import BucketView


class Opening:
    """For buckets whose view `needs_care`; the objects of others `Store.open` opens, without waiting."""

    def __init__(self, store: Store, moves: Moves, elsewhere: Elsewhere, protected: Protected, cold: Cold) -> None:
        self._elsewhere = elsewhere
        self._cold = cold
        self._store = store
        self._moves = moves
        self._protected = protected

    async def settle(self, view: BucketView, name: str) -> None:
        """Before a backend is asked whether what is here is what it has: have it here. Raise as `Moves.settle`."""
        await self._moves.settle(view, name)

    async def open(
        self,
        view: BucketView,
        name: str,
        *,
        verify: bool = True,
        streams: bool = False,
        fetches: bool = True,
        looks: bool = False,
    ) -> OpenObject:
        """Open an object; the caller closes it. Without `verify`, its metadata counts and not its content.

        `streams`: as of `Protected.open`. Without `fetches`, what only its backend has is not found. `looks`: what
        `Elsewhere.look` finds need not come here. Raise as `Protected.open` and `Store.unseal`.
        """
        try:
            return await self._open_here(view, name, verify, streams, looks)
        except ObjectNotFound:
            if view.remote is None or not fetches:
                raise
        await self._cold.ensure(view, name)
        return await self._open(view, name, verify, streams)

    async def read(self, view: BucketView, name: str, *, streams: bool = False) -> OpenObject:
        """The same for a client, who does not wait until a small object came here, and gets nothing from a backend
        where the bucket has Disable-Cold-GET.
        """
        try:
            return await self.open(view, name, streams=streams, fetches=view.fetches, looks=True)
        except ObjectNotFound:
            if view.remote is not None:
                view.require_fetched(name)
            raise

    async def _open_here(self, view: BucketView, name: str, verify: bool, streams: bool, looks: bool) -> OpenObject:
        try:
            return await self._open(view, name, verify, streams)
        except ObjectNotFound:
            if not self._moves.may_be_elsewhere(view):
                raise
        if looks and (opened := await self._elsewhere.look(view, name)) is not None:
            return opened
        await self._moves.settle(view, name)
        return await self._open(view, name, verify, streams)

    async def _open(self, view: BucketView, name: str, verify: bool, streams: bool) -> OpenObject:
        if not view.is_protected:
            opened = self._store.open(view.bck, name, sealed=True)
            return await self._unsealed(view, name, opened) if verify else opened
        opened = await self._protected.open(view, name, verify=verify, streams=streams)
        if not verify:
            return opened
        if opened.meta.cut is not None and sealing.is_sealed(opened.meta):  # it is put together first
            opened = await self._protected.whole(view, name, opened)
        return await self._unsealed(view, name, opened)

    async def _unsealed(self, view: BucketView, name: str, opened: OpenObject) -> OpenObject:
        if not sealing.is_sealed(opened.meta):
            return opened
        keyring = self._store.keyring
        try:
            with suppress(Unsupported):  # `unseal` says of what
                await with_keys(lambda: keyring.open(opened.meta.facts))
        except BaseException:
            os.close(opened.fd)
            raise
        return self._store.unseal(view.bck, name, opened)
