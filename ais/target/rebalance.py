"""Rebalance, the part of one target: what is here and belongs to others now is sent there (`ais.reb.plan`).

A name leaves with all its versions when its owner has answered that it has them; one that the owner has already is
older here and goes. What is damaged stays, and as long as anything stays the job ends with an error, so the rebalance
is not over. The job may be started again at any time and goes on with what is left.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

import structlog

from ais.api.bucket import Bck
from ais.api.xact import REBALANCE, ArgsMsg
from ais.base.errors import (
    AisError,
    BucketNotFound,
    Busy,
    ChecksumMismatch,
    CorruptMetadata,
    NotReady,
    ObjectNotFound,
    VersionNotFound,
)
from ais.core.store import Store
from ais.ec.parting import Parting
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.volume import Volume
from ais.meta.smap import digest
from ais.reb.plan import owners
from ais.stats import names as metrics
from ais.target.front import Front
from ais.target.host import Host
from ais.target.moves import Given, Moves
from ais.target.moving_uploads import MovingUploads
from ais.target.protected import Protected
from ais.target.remote.through import Through
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.joggers import Batch, Joggers
from ais.xact.registry import Registry, Xaction

RETRY_S_MIN, RETRY_S_MAX = 0.5, 10.0
"""Rests before the next round while something stays."""
STEP = 64
"""Names per visit: those that leave go together."""
ALONE_AT_A_TIME = 8
"""Of a visit; large ones would keep what clients ask for from the connections to their owners."""
SLICES_STEP = 256
EXAMPLES_MAX = 3
NAMES_MAX = 100_000
"""Of what stays, remembered so as not to count them twice."""


class _Stayed:
    """What could not be given in one round, by the reason; of each an example is told."""

    def __init__(self) -> None:
        self.damaged = self.failed = 0
        self._example = ""
        self._names: set[str] = set()

    def add(self, cname: str, error: AisError) -> None:
        """One more name, unless it was met in another tree."""
        if cname in self._names:
            return
        if len(self._names) < NAMES_MAX:
            self._names.add(cname)
        self._example = self._example or f"{cname}: {error}"
        if isinstance(error, CorruptMetadata | ChecksumMismatch):
            self.damaged += 1
        else:
            self.failed += 1

    def __bool__(self) -> bool:
        return bool(self.damaged or self.failed)

    def __str__(self) -> str:
        damage = f"{self.damaged} damaged objects stay until they are repaired, overwritten or deleted"
        failure = f"{self.failed} objects could not be given to their owners yet"
        counted = ((self.damaged, damage), (self.failed, failure))
        return f"{'; '.join(text for count, text in counted if count)} ({self._example})"


class Rebalance:
    """Gives away what others own."""

    def __init__(
        self,
        host: Host,
        front: Front,
        volume: Volume,
        store: Store,
        moves: Moves,
        protected: Protected,
        joggers: Joggers,
        registry: Registry,
        hand_on: Callable[[], Awaitable[object]],
        through: Through,
        parting: Parting,
        moving_uploads: MovingUploads,
    ) -> None:
        """`hand_on` gives what else a target keeps for its objects to others. Raise `AisError`."""
        self._parting = parting
        self._moving_uploads = moving_uploads
        self._host = host
        self._front = front
        self._volume = volume
        self._store = store
        self._moves = moves
        self._protected = protected
        self._joggers = joggers
        self._registry = registry
        self._hand_on = hand_on
        self._through = through
        self._failures: tuple[str, int, str] = ("", 0, "")
        """Of the rebalance with this ID: rounds in a row after which something stayed, and what."""
        self._latest: Xaction | None = None
        self._before = (0, 0)
        """Objects and bytes that had come from others when the latest one began."""
        self._log = structlog.get_logger()

    def start(self, args: ArgsMsg) -> Xaction:
        """Start it, or return the one of this ID. Raise `NotReady` when the map here says otherwise."""
        moving = self._host.smap.moving
        if not moving or moving.id != args.id:
            raise NotReady(f"{self._host.snode.name} does not know of rebalance {args.id} (any more)")
        for other in list(self._registry.select(kind=REBALANCE, only_running=True)):
            if other.uuid != args.id:
                self._registry.abort(other, f"superseded by {args.id}")
        uuid, failures, problem = self._failures
        if uuid != args.id:
            failures, problem = 0, ""

        async def work(xaction: Xaction) -> None:
            if failures:
                await self._host.env.clock.sleep(min(RETRY_S_MIN * 2 ** min(failures, 10), RETRY_S_MAX))
            while await self._pass(xaction, failures):
                pass
            await self._part(xaction, failures)

        xaction = self._registry.start(REBALANCE, args.id, work, ctlmsg=problem)
        self._note_arrivals(xaction)
        return xaction

    async def give(self, view: BucketView, name: str, discard: str | None = None) -> Given | None:
        """Send a name to its owner, and let go of it; None when it is not here. Raise as `Moves.give`.

        What is damaged beyond repair stays, or goes for good when that is what to `discard` (as of `Moves.settle`).
        """
        try:
            given = await self._moves.give(view, name)
            # we are not its owner: no change of it at its backend begins any more
            if view.remote is not None and await self._through.finished(view.uname + name):
                given = await self._moves.give(view, name) or given
        except (CorruptMetadata, ChecksumMismatch) as error:
            if await self._repaired(view, name):
                discard = None
            elif not await self._discarded(view, name, discard):
                raise CorruptMetadata(f"{error}; it is still at {self._host.snode.name}") from None
            given = await self._moves.give(view, name)
            if discard is not None:
                return (given or Given(0, 0))._replace(is_discarded=True)
        if given is None:
            key = digest(view.uname + name)
            await asyncio.to_thread(self._volume.require_whole, view.bck, key, is_owner=False)
        return given

    async def _discarded(self, view: BucketView, name: str, version_id: str | None) -> bool:
        if version_id is None or view.keeps_versions != bool(version_id):
            return False

        def discard() -> None:
            if version_id:
                self._store.delete_version(view.bck, name, version_id, is_ours=False)
            else:
                self._store.delete(view.bck, name, rules=view.silent_rules, is_moved=True)

        self._log.warning("damaged object is deleted", object=view.bck.cname(name), version=version_id)
        with contextlib.suppress(ObjectNotFound, VersionNotFound):
            await in_pool(self._volume.place(view.uname + name).pool, discard)
        return True

    async def _repaired(self, view: BucketView, name: str) -> bool:
        """Whether a damaged object was repaired from copies or slices."""
        if not view.is_protected:
            return False
        try:
            await self._protected.heal(view, name)
        except AisError:
            return False
        return True

    async def _pass(self, xaction: Xaction, failures: int) -> bool:
        """Give away all that one round finds; return whether there may be more. Raise `Busy` when some stayed,
        `NotReady` when not all could be looked at.
        """
        before, stayed, mountpaths = xaction.objects_sent, _Stayed(), frozenset(self._volume.available)
        await self._through.all_finished()

        async def visit(batch: Batch) -> None:
            view = self._front.views.get(batch.bck)
            if view is None:
                return
            names = [name for name in batch.names if not self._is_ours(view, name)]
            given = await self._moves.give_together(view, names, batch.mountpath.job_pool)
            self._count(xaction, len(given), sum(given.values()))
            left = iter([name for name in names if name not in given])

            async def give_alone() -> None:
                for name in left:
                    await self._give(xaction, view, name, stayed)

            async with asyncio.TaskGroup() as group:  # each waits for its owner's answer, and for the disk there
                for _ in range(ALONE_AT_A_TIME):
                    group.create_task(give_alone())

        try:
            for content, bcks in self._contents():
                await self._joggers.run(xaction, bcks, visit, content=content, step=STEP)
            for view in self._front.views:
                given = await self._moving_uploads.give_all(view, stayed.add)
                xaction.objects_sent += given
            await asyncio.to_thread(self._require_all)
        except NotReady as error:
            self._failures = (xaction.uuid, failures + 1, str(error))
            raise
        if stayed:
            self._failures = (xaction.uuid, failures + 1, str(stayed))
            raise Busy(str(stayed))
        await asyncio.to_thread(self._sync)
        return xaction.objects_sent > before or not mountpaths.issuperset(self._volume.available)

    def _sync(self) -> None:
        """What was let go of must not be here again after a loss of power: nobody asks for it any more when this is
        over, so a later rebalance would bring back what was deleted meanwhile.
        """
        for mountpath in self._volume.available:
            with disk_failures(mountpath.path):
                self._host.env.disk.sync_filesystem(mountpath.path)

    def _require_all(self) -> None:
        """Raise `NotReady` while a mountpath is not in use that may hold what belongs to others by now: without it they
        would say that it does not exist.
        """
        for view in self._front.views:
            self._volume.require_whole(view.bck)

    async def _part(self, xaction: Xaction, failures: int) -> None:
        """A target that owns no names any more keeps nothing for them either. Raise `Busy` when something stayed."""
        if self._host.snode.id in owners(self._host.smap).ids:
            return
        try:
            await self._require_slices_elsewhere(xaction)
            await self._hand_on()
        except AisError as error:
            self._failures = (xaction.uuid, failures + 1, str(error))
            raise Busy(str(error)) from error

    async def _require_slices_elsewhere(self, xaction: Xaction) -> None:
        """Raise `Busy` while objects of others need slices that are here."""
        short = 0
        examples: list[str] = []

        async def visit(batch: Batch) -> None:
            nonlocal short
            needed = await self._parting.needed(batch.bck, batch.names)
            short += len(needed)
            examples.extend(batch.bck.cname(name) for name in needed[: EXAMPLES_MAX - len(examples)])

        coded = [view.bck for view in self._front.views if view.is_coded]
        await self._joggers.run(
            xaction, coded, visit, content=layout.SLICES, step=SLICES_STEP, is_counted=False, follows_moves=False
        )
        if short:
            raise Busy(
                f"{short} objects do not have all their slices on targets that stay yet, such as {', '.join(examples)}"
            )

    def _contents(self) -> Iterator[tuple[str, list[Bck]]]:
        """The trees in which names may be that are not ours any more."""
        views = list(self._front.views)
        yield layout.OBJECTS, [view.bck for view in views]
        if kept := [view.bck for view in views if view.keeps_versions]:
            yield layout.VERSIONS, kept
        if mirrored := [view.bck for view in views if view.is_mirrored]:
            yield layout.COPIES, mirrored
            yield layout.KEPT_COPIES, [bck for bck in mirrored if bck in kept]

    async def _give(self, xaction: Xaction, view: BucketView, name: str, stayed: _Stayed) -> None:
        try:
            given = await self.give(view, name)
        except AisError as error:
            if isinstance(error, BucketNotFound) and not self._volume.is_known(view.bck):
                return
            cname = view.bck.cname(name)
            if not stayed:
                self._log.warning("object stays for now", object=cname, error=str(error))
            stayed.add(cname, error)
            xaction.ctlmsg = str(stayed)
            xaction.ext = {"damaged": stayed.damaged, "failed": stayed.failed}
            return
        if given is not None:
            self._count(xaction, given.versions, given.size_bytes)

    def _count(self, xaction: Xaction, count: int, size_bytes: int) -> None:
        xaction.objects_sent += count
        xaction.bytes_sent += size_bytes
        self._host.stats.inc(metrics.STREAM_OUT_N, count)
        self._host.stats.inc(metrics.STREAM_OUT_SIZE, size_bytes)

    def _arrived(self) -> tuple[int, int]:
        stats = self._host.stats
        return stats.total(metrics.STREAM_IN_N), stats.total(metrics.STREAM_IN_SIZE)

    def _note_arrivals(self, xaction: Xaction) -> None:
        """Have it tell what others send, until there is a later rebalance."""
        if self._latest is not None and self._latest is not xaction:
            self._latest.end_arrivals()
        if self._latest is None or self._latest.uuid != xaction.uuid:
            self._before = self._arrived()
        self._latest, (objects, size_bytes) = xaction, self._before

        def arrived() -> tuple[int, int]:
            now = self._arrived()
            return now[0] - objects, now[1] - size_bytes

        xaction.arrived = arrived

    def _is_ours(self, view: BucketView, name: str) -> bool:
        host = self._host
        return host.placement.is_owner(host.snode.id, digest(view.uname + name))
