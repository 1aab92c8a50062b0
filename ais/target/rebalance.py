"""Rebalance, the part of one target: what is here and belongs to others now is sent there (`ais.reb.plan`).

An object leaves when its owner has answered that it has it; one that the owner has already is older here and goes. Each
name is given by one at a time: who waits for a name that the owner asked for knows that nothing of it is on its way.
The job may be started again at any time and goes on with what is left.
"""

import asyncio

import structlog

from ais.api.bucket import Bck
from ais.api.xact import REBALANCE, ArgsMsg
from ais.base.errors import AisError, BucketNotFound, Busy, CorruptMetadata, NotReady, ObjectNotFound
from ais.base.locks import NamedLocks
from ais.fs.volume import Volume
from ais.meta.smap import digest
from ais.target.front import Front, Misplaced
from ais.target.host import Host
from ais.target.moves import Moves
from ais.target.view import BucketView
from ais.xact.joggers import Batch, Joggers
from ais.xact.registry import Registry, Xaction


class Rebalance:
    """Gives away what others own."""

    def __init__(
        self, host: Host, front: Front, volume: Volume, moves: Moves, joggers: Joggers, registry: Registry
    ) -> None:
        self._host = host
        self._front = front
        self._volume = volume
        self._moves = moves
        self._joggers = joggers
        self._registry = registry
        self._locks = NamedLocks()
        self._log = structlog.get_logger()

    def start(self, args: ArgsMsg) -> Xaction:
        """Start it, or return the one of this ID. Raise `NotReady` when the map here says otherwise."""
        moving = self._host.smap.moving
        if not moving or moving.id != args.id:
            raise NotReady(f"{self._host.snode.name} does not know of rebalance {args.id} (any more)")
        for other in list(self._registry.select(kind=REBALANCE, only_running=True)):
            if other.uuid != args.id:
                self._registry.abort(other, f"superseded by {args.id}")

        async def work(xaction: Xaction) -> None:
            while await self._pass(xaction):
                pass

        return self._registry.start(REBALANCE, args.id, work)

    async def give(self, view: BucketView, name: str) -> int | None:
        """Send an object to its owner, and let go of it; its size, None when there is none here. Raise `NotReady`."""
        held = await self._locks.acquire(view.uname + name)
        try:
            if self._is_ours(view, name):
                raise NotReady(f"{self._host.snode.name} is the owner of {view.bck.cname(name)} as far as it knows")
            moved = await self._moves.move(view, name, view, name, only_if_absent=True)
        except ObjectNotFound:
            return None
        except Misplaced:  # there is none here; whether it exists is the owner's to say
            await asyncio.to_thread(self._volume.require_whole, view.bck)
            return None
        finally:
            held.release()
        return moved.size_bytes

    async def _pass(self, xaction: Xaction) -> bool:
        """Give away all that one round finds; return whether there was anything. Raise `Busy` when some stayed."""
        before, failures = xaction.objects_sent, 0

        async def visit(batch: Batch) -> None:
            nonlocal failures
            view = self._view(batch.bck)
            for name in batch.names if view is not None else ():
                if view is not None and not self._is_ours(view, name):
                    failures += not await self._give(xaction, view, name)

        bcks = [view.bck for view in self._front.views]
        await self._joggers.run(xaction, self._volume.available, bcks, visit)
        if failures:
            raise Busy(f"{failures} objects could not be given to their owners: {xaction.ctlmsg}")
        return xaction.objects_sent > before

    async def _give(self, xaction: Xaction, view: BucketView, name: str) -> bool:
        try:
            size = await self.give(view, name)
        except BucketNotFound:
            return True
        except CorruptMetadata as error:
            xaction.ctlmsg = f"{view.bck.cname(name)} is damaged and stays: {error}"
            self._log.error("damaged object is left behind", object=view.bck.cname(name), error=str(error))
            return True
        except AisError as error:
            xaction.ctlmsg = f"{view.bck.cname(name)}: {error}"
            return False
        if size is not None:
            xaction.objects_sent += 1
            xaction.bytes_sent += size
        return True

    def _view(self, bck: Bck) -> BucketView | None:
        return self._front.views.get(bck)

    def _is_ours(self, view: BucketView, name: str) -> bool:
        host = self._host
        return host.placement.is_owner(host.snode.id, digest(view.uname + name))
