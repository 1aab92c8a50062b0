"""Going through one bucket on one target: slices kept for others, objects, copies of what is lost, kept versions.

What is not as promised is counted and, if that is asked for, repaired: from copies, from slices, by having slices
made again. A damaged file goes to quarantine when something good has its place. Where there is nothing good it
stays: whoever reads it is told.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import msgspec
import structlog

from ais.api.bucket import Bck
from ais.base.errors import AisError, BucketNotFound, ObjectNotFound
from ais.core.slicing import key_of
from ais.core.store import Store
from ais.core.versions import sliced_keys
from ais.env import Env
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath
from ais.mirror.mirror import Mirror
from ais.scrub import cold
from ais.scrub.coded import Coded
from ais.scrub.local import Bad, Depth, Finding, LocalFiles, SliceFinding
from ais.scrub.quarantine import Damaged, Quarantine
from ais.scrub.tally import Tally
from ais.xact.joggers import Batch, Joggers
from ais.xact.pace import carried
from ais.xact.xaction import Xaction

PHASES = (layout.SLICES, layout.OBJECTS, layout.COPIES, layout.VERSIONS, layout.KEPT_COPIES, layout.KEPT_SLICES)
_STEPS = {
    layout.SLICES: 128,
    layout.OBJECTS: 64,
    layout.COPIES: 64,
    layout.VERSIONS: 32,
    layout.KEPT_COPIES: 32,
    layout.KEPT_SLICES: 32,
}
_CONTENT_STEP = 8
_THREADS = 4
T = TypeVar("T")

Give = Callable[[Bck, str], Awaitable[None]]
"""Sends an object that another target owns there. Raises `AisError`."""
IsOwner = Callable[[str], bool | None]
"""Whether this target owns a name; None while objects are on their way to others."""


class Place(msgspec.Struct):
    """How far a round is: the phase, and by mountpath the last name that was dealt with."""

    phase: int = 0
    after: dict[str, str] = {}


class Order(NamedTuple):
    """What to do: how closely to look, and whether to repair."""

    depth: Depth = Depth.METADATA
    repairs: bool = False


class Rounds:
    """Makes rounds through the buckets of one target."""

    def __init__(
        self,
        store: Store,
        local: LocalFiles,
        coded: Coded,
        mirror: Mirror,
        quarantine: Quarantine,
        joggers: Joggers,
        env: Env,
        is_owner: IsOwner,
        give: Give,
    ) -> None:
        self._store = store
        self._local = local
        self._coded = coded
        self._mirror = mirror
        self._quarantine = quarantine
        self._joggers = joggers
        self._disk = env.disk
        self._clock = env.clock
        self._is_owner = is_owner
        self._give = give
        self._pool = ThreadPoolExecutor(_THREADS, "scrub")
        """Its steps wait for the disk and for their turn: they must not hold up those of clients."""
        self._log = structlog.get_logger()

    async def run(
        self,
        xaction: Xaction,
        bck: Bck,
        order: Order,
        tally: Tally,
        place: Place | None = None,
        stepped: Callable[[], None] = lambda: None,
    ) -> None:
        """Go through a bucket, from `place` on; it and `tally` are kept up to date, and `stepped` called after each
        step. Raise `DiskFailure`.
        """
        place = place or Place()
        visits = {
            layout.SLICES: self._slices,
            layout.OBJECTS: self._objects,
            layout.COPIES: self._copies,
            layout.VERSIONS: self._versions,
            layout.KEPT_COPIES: self._kept_copies,
            layout.KEPT_SLICES: self._kept_slices,
        }
        while place.phase < len(PHASES):
            content = PHASES[place.phase]

            async def visit(batch: Batch, content: str = content) -> None:
                found = Tally()
                await visits[content](batch, order, found)
                tally.add(found)
                xaction.bytes += found.bytes_read
                xaction.objects += found.objects
                place.after[batch.mountpath.path] = batch.names[-1]
                stepped()

            step = _CONTENT_STEP if order.depth is Depth.CONTENT else _STEPS[content]
            await self._joggers.run(
                xaction,
                [bck],
                visit,
                content=content,
                step=step,
                after=dict(place.after),
                is_counted=False,
                follows_moves=False,
            )
            place.phase, place.after = place.phase + 1, {}
            stepped()

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown(cancel_futures=True)

    async def _in_pool(self, step: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, carried(step))

    # Objects and their copies

    async def _objects(self, batch: Batch, order: Order, tally: Tally) -> None:
        own: list[str] = []
        for name in batch.names:
            is_owner = self._is_owner(batch.bck.uname + name)
            if is_owner is False:
                await self._foreign(batch.bck, name, order, tally)
            elif is_owner is None:
                continue
            elif self._local.spot(batch.bck, name).mountpath is not batch.mountpath:
                tally.misplaced += 1
                tally.note(name)
            else:
                own.append(name)
        await self._own(batch.bck, own, order, tally)

    async def _copies(self, batch: Batch, order: Order, tally: Tally) -> None:
        """Of objects that are gone themselves; those that are there were looked at with them."""

        def alone() -> list[str]:
            some = self._local.paced(iter(batch.names))
            return [one for one in some if self._local.stands_for_lost(batch.bck, one, batch.mountpath)]

        await self._own(batch.bck, await self._in_pool(alone), order, tally)

    async def _own(self, bck: Bck, some: list[str], order: Order, tally: Tally) -> None:
        def look_at_all() -> list[Finding]:
            return [self._local.look(bck, name, order.depth) for name in self._local.paced(iter(some))]

        findings = await self._in_pool(look_at_all)
        objects = [(name, one) for name, one in zip(some, findings, strict=True) if not one.is_missing]
        wanted = self._local.copies_wanted(bck)
        checked: list[tuple[str, Finding]] = []
        for name, finding in objects:
            tally.bytes_read += finding.bytes_read
            tally.damaged += len(finding.bad)
            is_well = finding.is_there and not finding.bad and finding.good >= wanted
            if not is_well:
                tally.note(name)
                if order.repairs:
                    finding = await self._repair(bck, name, finding, order, tally)
            tally.objects += 1
            tally.bytes += finding.size
            tally.promised += wanted
            tally.found += min(finding.good, wanted)
            tally.lost += not finding.good
            if finding.meta is not None:
                tally.include(name, finding.meta)
            checked.append((name, finding))
        if bck in self._store.volume.coded:
            await self._coded.check(bck, checked, tally, repairs=order.repairs)

    async def _repair(self, bck: Bck, name: str, before: Finding, order: Order, tally: Tally) -> Finding:
        """Repair an object here; what there is of it then."""
        kept = await self._in_pool(lambda: self._set_aside(bck, name, before))
        try:
            if bck in self._store.volume.mirrored and before.good:
                verify = order.depth is Depth.CONTENT
                await self._in_pool(lambda: self._mirror.bring(bck, name, verify=verify))
            elif bck in self._store.volume.coded and not before.is_there:
                await self._coded.restore(bck, name)
        except (ObjectNotFound, BucketNotFound):
            pass
        except AisError as error:
            self._log.warning("object was not repaired", object=bck.cname(name), error=str(error))
        after = await self._in_pool(lambda: self._local.look(bck, name, order.depth))
        tally.bytes_read += after.bytes_read
        tally.repaired += max(0, after.good - before.good)
        taken = await self._in_pool(lambda: self._describe(bck, name, kept))
        tally.quarantined += taken
        return after

    def _set_aside(self, bck: Bck, name: str, finding: Finding) -> list[tuple[str, Bad]]:
        """Before a repair: bad copies out of their places; a bad object gets a second name. Blocks."""
        kept = []
        for bad in finding.bad:
            is_coded = bad.content in (layout.OBJECTS, layout.VERSIONS) and bck in self._store.volume.coded
            has_other = finding.good > 0 or is_coded
            if not has_other:
                continue
            with disk_failures(bad.path):
                try:
                    if bad.content != layout.COPIES:
                        kept.append((self._quarantine.link(bad.root, bad.path), bad))
                        cold.forget(self._disk, bad.path)
                    else:
                        kept.append((self._quarantine.move(bad.root, bad.path), bad))
                except FileNotFoundError:
                    continue
            self._log.error("file is damaged", object=bck.cname(name), path=bad.path, reason=bad.reason)
        return kept

    def _describe(self, bck: Bck, name: str, kept: Iterable[tuple[str, Bad]]) -> int:
        """After it: what is in quarantine now. Blocks."""
        count = 0
        for path, bad in kept:
            with disk_failures(path):
                if self._disk.lstat(path).st_nlink > 1:  # nothing has replaced it
                    self._quarantine.drop(path)
                    continue
                found = Damaged(
                    bucket=bck.cname(), name=name, content=bad.content, reason=bad.reason, time_ns=self._clock.now_ns()
                )
                self._quarantine.describe(path, found)
            count += 1
        return count

    async def _foreign(self, bck: Bck, name: str, order: Order, tally: Tally) -> None:
        """An object that another target owns, and that nobody is moving."""
        tally.misplaced += 1
        tally.note(name)
        if order.repairs:
            try:
                await self._give(bck, name)
                tally.misplaced -= 1
                tally.repaired += 1
            except AisError as error:
                self._log.warning("object was not given to its owner", object=bck.cname(name), error=str(error))

    # Slices that are kept for others

    async def _kept_slices(self, batch: Batch, order: Order, tally: Tally) -> None:
        """Of versions."""
        await self._slices(
            batch._replace(
                names=await self._in_pool(lambda: sliced_keys(self._disk, batch.mountpath, batch.bck, batch.names))
            ),
            order,
            tally,
        )

    async def _slices(self, batch: Batch, order: Order, tally: Tally) -> None:
        bck, found = batch.bck, await self._in_pool(lambda: self._look_at_slices(batch, order))
        damaged: list[str] = []
        good: list[str] = []
        for name, one in found:
            tally.bytes_read += one.bytes_read
            if one.reason:
                tally.damaged += 1
                tally.note(name)
                damaged.append(name)
                if order.repairs:
                    taken = await self._in_pool(functools.partial(self._take_slice, batch, name, one))
                    tally.quarantined += taken
            elif not one.is_tombstone:
                good.append(name)
        if damaged and order.repairs:
            mended = await self._coded.have_made_again(bck, damaged)
            tally.repaired += mended
        await self._coded.check_owners(bck, good, tally, repairs=order.repairs)

    def _look_at_slices(self, batch: Batch, order: Order) -> list[tuple[str, SliceFinding]]:
        """Of each name that has one. Blocks."""
        found = []
        for name in self._local.paced(iter(batch.names)):
            one = self._local.look_at_slice(batch.mountpath, batch.bck, name, order.depth)
            if one is not None:
                found.append((name, one))
        return found

    def _take_slice(self, batch: Batch, name: str, found: SliceFinding) -> int:
        """Blocks."""
        bck, root = batch.bck, f"{layout.bucket_path(batch.mountpath.path, batch.bck)}/{layout.SLICES}"
        kept = self._local.take_slice(bck, name, found, lambda: self._quarantine.move(root, found.path))
        if kept is None:
            return 0
        self._log.error("slice is damaged", object=bck.cname(name), path=found.path, reason=found.reason)
        return self._describe(bck, name, [(kept, Bad(root, found.path, layout.SLICES, found.reason))])

    # Kept versions

    async def _versions(self, batch: Batch, order: Order, tally: Tally) -> None:
        """Those that are there, or of which there is only a copy."""
        await self._shelved(batch, order, tally, self._local.versions)

    async def _kept_copies(self, batch: Batch, order: Order, tally: Tally) -> None:
        """Of versions that are gone themselves."""
        await self._shelved(batch, order, tally, self._local.lost_versions)

    async def _shelved(
        self,
        batch: Batch,
        order: Order,
        tally: Tally,
        look: Callable[[Mountpath, Bck, str, Depth], list[tuple[str, Finding]]],
    ) -> None:
        def look_at_all() -> list[tuple[str, str, Finding]]:
            some = self._local.paced(iter(batch.names))
            return [(name, *one) for name in some for one in look(batch.mountpath, batch.bck, name, order.depth)]

        wanted = self._local.copies_wanted(batch.bck)
        coded: list[tuple[str, Finding]] = []
        for name, entry, finding in await self._in_pool(look_at_all):
            tally.bytes_read += finding.bytes_read
            tally.damaged += len(finding.bad)
            if not finding.is_there or finding.bad or finding.good < wanted:
                tally.note(name)
                is_mirrored = batch.bck in self._store.volume.mirrored and finding.good
                if order.repairs and (is_mirrored or (batch.bck in self._store.volume.coded and not finding.good)):
                    finding = await self._repair_version(batch.bck, name, entry, finding, order, tally)
            tally.promised += wanted
            tally.found += min(finding.good, wanted)
            tally.lost += not finding.good
            coded.append((key_of(name, entry), finding))
        if batch.bck in self._store.volume.coded:
            await self._coded.check(batch.bck, coded, tally, repairs=order.repairs)

    async def _repair_version(
        self, bck: Bck, name: str, entry: str, before: Finding, order: Order, tally: Tally
    ) -> Finding:
        kept = await self._in_pool(lambda: self._set_aside(bck, name, before))
        try:
            if before.good:
                await self._in_pool(lambda: self._mirror.bring_version(bck, name, entry))
            else:
                await self._coded.restore(bck, key_of(name, entry))
        except BucketNotFound:
            pass
        except AisError as error:
            self._log.warning("version was not repaired", object=bck.cname(name), version=entry, error=str(error))
        spot = self._local.version_spot(bck, name, entry)
        after = await self._in_pool(lambda: self._local.look_at_version(bck, spot, order.depth))
        tally.bytes_read += after.bytes_read
        tally.repaired += max(0, after.good - before.good)
        taken = await self._in_pool(lambda: self._describe(bck, name, kept))
        tally.quarantined += taken
        return after
