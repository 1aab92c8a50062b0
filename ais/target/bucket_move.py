"""Renaming a bucket, the part of one target: every object here gets its new name, wherever that lives (`move-bck`).

The primary has created the destination and marked the source, so no client uses the source any more; an object is moved
at once when a client asks for it in the destination. The job walks until a walk finds nothing: an upload that began
before the rename may still have ended in the source. It may be started again at any time and goes on with what is left.

Objects that copies or slices can repair are repaired first: both go with the old bucket. Of an erasure-coded one each
target also goes through its slices, and asks the owners of their names to move them: a lost object has nothing else.
"""

import asyncio
import itertools
from collections.abc import Iterator

import structlog

from ais.api.bucket import Bck
from ais.api.xact import MOVE_BUCKET, ArgsMsg
from ais.base.errors import AisError, BadRequest, Busy, CorruptMetadata, ObjectNotFound
from ais.core.listing import Detail, Entry, Lister
from ais.fs import layout
from ais.target.front import Front
from ais.target.moves import Moves
from ais.target.protected import Protected
from ais.target.view import BucketView
from ais.xact.joggers import Batch, Joggers
from ais.xact.pace import Pace
from ais.xact.registry import Registry, Xaction

_STEP = 256
_WORKERS = 4


class BucketMove:
    """Starts the job."""

    def __init__(
        self,
        registry: Registry,
        front: Front,
        lister: Lister,
        moves: Moves,
        protected: Protected,
        joggers: Joggers,
        pace: Pace,
    ) -> None:
        self._registry = registry
        self._front = front
        self._lister = lister
        self._moves = moves
        self._protected = protected
        self._joggers = joggers
        self._pace = pace
        self._log = structlog.get_logger()

    def start(self, args: ArgsMsg) -> Xaction:
        """Start it, or return the one of this ID. Raise `BadRequest` or `BucketNotFound`."""
        if args.bck is None or not args.bck_to:
            raise BadRequest(f"{MOVE_BUCKET} needs the bucket and its new name")
        bck, (bck_to, _) = args.bck, Bck.parse_uname(args.bck_to)
        source, destination = self._front.views.require(bck), self._front.views.require(bck_to)
        if destination.source != bck:
            raise BadRequest(f"bucket {bck.cname()} is not being renamed to {bck_to.cname()}")

        async def work(xaction: Xaction) -> None:
            with self._pace.used():
                while await self._pass(xaction, source, destination):
                    pass
                if source.is_coded:
                    await self._have_lost_moved(xaction, source, destination)

        return self._registry.start(MOVE_BUCKET, args.id, work, bck=bck, bck_to=bck_to)

    async def _pass(self, xaction: Xaction, source: BucketView, destination: BucketView) -> bool:
        """Move all that one walk finds; return whether anything moved. Raise `Busy` when something did not move."""
        walk = self._lister.walk(source.bck, detail=Detail.NAMES)
        moved_before, failures = xaction.objects, 0
        while step := await asyncio.to_thread(_take, walk):
            async with self._pace.step():
                failures += await self._move_all(xaction, iter(step), source, destination)
        if failures:
            raise Busy(f"{failures} objects of {source.bck.cname()} could not be moved to {destination.bck.cname()}")
        return xaction.objects > moved_before

    async def _have_lost_moved(self, xaction: Xaction, source: BucketView, destination: BucketView) -> None:
        """Raise `Busy` when the owner of something did not move it."""
        failures = 0

        async def visit(batch: Batch) -> None:
            nonlocal failures
            for name in batch.names:
                try:
                    await self._moves.have_moved(source.bck, name, destination)
                except AisError as error:
                    failures += 1
                    xaction.ctlmsg = f"{name}: {error}"

        await self._joggers.run(
            xaction, [source.bck], visit, content=layout.SLICES, is_counted=False, follows_moves=False
        )
        if failures:
            raise Busy(
                f"{failures} objects of {source.bck.cname()} were not restored by their owners ({xaction.ctlmsg})"
            )

    async def _move_all(
        self, xaction: Xaction, names: Iterator[str], source: BucketView, destination: BucketView
    ) -> int:
        """Move objects with a few workers; return how many failed."""

        async def worker() -> int:
            failures = 0
            for name in names:
                failures += not await self._move_one(xaction, name, source, destination)
            return failures

        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(worker()) for _ in range(_WORKERS)]
        return sum(task.result() for task in workers)

    async def _move_one(self, xaction: Xaction, name: str, source: BucketView, destination: BucketView) -> bool:
        try:
            await self._protected.repair(source, name)
            moved = await self._moves.move(source, name, destination, name, only_if_absent=True)
        except ObjectNotFound:
            return True
        except CorruptMetadata as error:
            self._log.error("damaged object is left behind", object=source.bck.cname(name), error=str(error))
            return True
        except AisError as error:
            xaction.ctlmsg = f"{name}: {error}"
            return False
        if moved.is_remote:
            xaction.objects_sent += 1
            xaction.bytes_sent += moved.size_bytes
        xaction.objects += 1
        xaction.bytes += moved.size_bytes
        return True


def _take(walk: Iterator[Entry]) -> list[str]:
    return [entry.name for entry in itertools.islice(walk, _STEP)]
