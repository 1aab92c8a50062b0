"""`scrub`: every copy and slice of some buckets is read from the disks, compared, repaired; a statement is written.

How far it is lies in `.ais.scrub` on the first mountpath, so that it goes on after a restart where it was.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Hashable

import msgspec
import structlog

from ais.api.bucket import Bck
from ais.api.xact import METADATA_ONLY, NO_REPAIR, RESILVER, SCRUB
from ais.base.errors import AisError, BucketNotFound, Busy, DiskFailure, NotReady
from ais.core.store import Store
from ais.env import Env
from ais.fs import layout
from ais.scrub.local import Depth
from ais.scrub.rounds import PHASES, Order, Place, Rounds
from ais.scrub.statements import Statement, Statements
from ais.scrub.tally import Tally
from ais.xact.joggers import Joggers
from ais.xact.registry import STOPPING, Registry
from ais.xact.xaction import NO_BUCKET, Xaction

FILE_NAME = ".ais.scrub"
_SAVE_EVERY_S = 2.0
_LOOK_S = 1.0
ROUNDS_MAX = 3
"""Through one bucket, while its objects go to other mountpaths."""
_BYTES_MAX = 16 << 20
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC

Done = Callable[[Bck, Tally, Hashable], None]
"""Told of each bucket that was gone through, with what `state_of` said of it before; None: not known."""


class Progress(msgspec.Struct, kw_only=True):
    """A scrub that is not over: what it shall do, and how far it is. `buckets` are unames."""

    job: str
    flags: int
    buckets: list[str]
    index: int = 0
    began_ns: int = 0
    place: Place = msgspec.field(default_factory=Place)
    tally: Tally = msgspec.field(default_factory=Tally)
    done: list[Statement] = []

    @property
    def order(self) -> Order:
        """What was asked for."""
        depth = Depth.METADATA if self.flags & METADATA_ONLY else Depth.CONTENT
        return Order(depth, repairs=not self.flags & NO_REPAIR)


class ScrubJobs:
    """Starts scrubs of one target, one at a time. `bid_of` gives the ID of a bucket that exists."""

    def __init__(
        self,
        registry: Registry,
        joggers: Joggers,
        rounds: Rounds,
        store: Store,
        env: Env,
        node_id: str,
        bid_of: Callable[[Bck], int | None],
        state_of: Callable[[Bck], Hashable],
        done: Done,
    ) -> None:
        self._registry = registry
        self._joggers = joggers
        self._rounds = rounds
        self._store = store
        self._disk = env.disk
        self._clock = env.clock
        self._node_id = node_id
        self._bid_of = bid_of
        self._state_of = state_of
        self._done = done
        self.statements = Statements(env.disk, lambda: store.volume.available)
        self._log = structlog.get_logger()

    def start(self, uuid: str, buckets: list[Bck], flags: int) -> Xaction:
        """Start it, or return the one of this ID. Raise `Busy` while another one runs."""
        for running in self._registry.select(kind=SCRUB, only_running=True):
            if running.uuid != uuid:
                raise Busy(f"scrub {running.uuid} is running: wait for it, or stop it (ais stop {running.uuid})")
        return self._run(Progress(job=uuid, flags=flags, buckets=[bck.uname for bck in buckets]))

    async def resume(self) -> None:
        """Go on with what a restart interrupted."""
        progress = await asyncio.to_thread(self._load)
        if progress is not None:
            self._log.info("scrub goes on", xaction=progress.job)
            with contextlib.suppress(AisError):
                self._run(progress)

    def _run(self, progress: Progress) -> Xaction:
        async def work(xaction: Xaction) -> None:
            try:
                await self._work(xaction, progress)
            except asyncio.CancelledError:
                if xaction.abort_reason == STOPPING:
                    await asyncio.shield(asyncio.to_thread(self._save, progress))
                else:
                    await asyncio.shield(asyncio.to_thread(self._forget))
                raise
            except AisError:
                await asyncio.to_thread(self._forget)
                raise

        only = Bck.parse_uname(progress.buckets[0])[0] if len(progress.buckets) == 1 else NO_BUCKET
        return self._registry.start(SCRUB, progress.job, work, bck=only)

    async def _work(self, xaction: Xaction, progress: Progress) -> None:
        saved_s = self._clock.monotonic()
        self._tell(xaction, progress)
        saving: asyncio.Task[None] | None = None

        def stepped() -> None:
            nonlocal saved_s, saving
            self._tell(xaction, progress)
            if self._clock.monotonic() - saved_s > _SAVE_EVERY_S and (saving is None or saving.done()):
                saved_s = self._clock.monotonic()
                content = msgspec.json.encode(progress)
                saving = asyncio.create_task(asyncio.to_thread(self._write, content))

        left = [Bck.parse_uname(uname)[0] for uname in progress.buckets[progress.index :]]
        async with self._joggers.counting(xaction, left, PHASES):
            await self._all(xaction, progress, stepped)
        if saving is not None:
            await saving
        await asyncio.to_thread(self._forget)
        self._tell(xaction, progress)
        _require_well(progress.done)
        for bck in left:  # what a mountpath that is not in use may have is in no count
            await asyncio.to_thread(self._store.volume.require_whole, bck)

    async def _all(self, xaction: Xaction, progress: Progress, stepped: Callable[[], None]) -> None:
        while progress.index < len(progress.buckets):
            bck = Bck.parse_uname(progress.buckets[progress.index])[0]
            bid = self._bid_of(bck)
            if bid is not None:
                progress.began_ns = progress.began_ns or self._clock.now_ns()
                with contextlib.suppress(BucketNotFound):
                    state = await self._go_through(xaction, bck, progress, stepped)
                    await self._state(bck, bid, progress)
                    self._done(bck, progress.tally, state)
            progress.index, progress.began_ns = progress.index + 1, 0
            progress.place, progress.tally = Place(), Tally()
            stepped()

    async def _go_through(
        self, xaction: Xaction, bck: Bck, progress: Progress, stepped: Callable[[], None]
    ) -> Hashable:
        """Make one round in which nothing was missed or counted twice; return what the bucket's state was before.

        While objects go to other mountpaths both happens: then it is made again when they have. Raise `Busy`.
        """
        volume, path = self._store.volume, layout.bucket_path("", bck)
        for _ in range(ROUNDS_MAX):
            is_begun = bool(progress.place.phase or progress.place.after)
            state, seen, view = None if is_begun else self._state_of(bck), volume.moved.count, volume.view
            counted = xaction.objects, xaction.bytes, xaction.visited
            await self._rounds.run(xaction, bck, progress.order, progress.tally, progress.place, stepped)
            _, moved = volume.moved.since(seen)
            is_same = view.available == volume.view.available and not (is_begun and view.is_unsettled)
            if is_same and moved is not None and not any(bucket == path for bucket, _ in moved):
                return state
            while any(self._registry.select(kind=RESILVER, only_running=True)):
                await self._clock.sleep(_LOOK_S)
            xaction.objects, xaction.bytes, xaction.visited = counted
            progress.place, progress.tally, progress.began_ns = Place(), Tally(), self._clock.now_ns()
        raise Busy(f"objects of {bck.cname()} keep going to other mountpaths: wait for the resilver, start again")

    async def _state(self, bck: Bck, bid: int, progress: Progress) -> None:
        order = progress.order
        statement = Statement(
            target=self._node_id,
            bucket=bck.uname,
            bid=bid,
            job=progress.job,
            depth=order.depth,
            repairs=order.repairs,
            began_ns=progress.began_ns,
            ended_ns=self._clock.now_ns(),
            tally=progress.tally,
        )
        progress.done.append(await asyncio.to_thread(self.statements.append, statement))

    def _tell(self, xaction: Xaction, progress: Progress) -> None:
        tallies = {one.bucket: one.tally for one in progress.done}
        if progress.index < len(progress.buckets):
            tallies[progress.buckets[progress.index]] = progress.tally
        xaction.ext = {"buckets": {uname: msgspec.to_builtins(tally) for uname, tally in tallies.items()}}
        doing = progress.order
        xaction.ctlmsg = (
            f"{doing.depth}{'' if doing.repairs else ', no repair'}, bucket {progress.index} of {len(progress.buckets)}"
        )

    # How far it is

    def _directories(self) -> list[str]:
        return [mountpath.path for mountpath in self._store.volume.available]

    def _load(self) -> Progress | None:
        for directory in self._directories():
            with contextlib.suppress(OSError, msgspec.DecodeError):
                fd = self._disk.open(f"{directory}/{FILE_NAME}", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    return msgspec.json.decode(self._disk.pread(fd, _BYTES_MAX, 0), type=Progress)
                finally:
                    self._disk.close(fd)
        return None

    def _save(self, progress: Progress) -> None:
        self._write(msgspec.json.encode(progress))

    def _write(self, content: bytes) -> None:
        for mountpath in [one for one in self._store.volume.available if one.is_own][:1]:
            try:
                with mountpath.entered() as root:
                    path = f"{root}/{FILE_NAME}"
                    fd = self._disk.open(f"{path}.new", _WRITE, 0o644)
                    try:
                        self._disk.write(fd, content)
                    finally:
                        self._disk.close(fd)
                    self._disk.rename(f"{path}.new", path)
            except (OSError, NotReady) as error:
                self._log.warning("progress of the scrub was not written", mountpath=mountpath.path, error=str(error))

    def _forget(self) -> None:
        for directory in self._directories():
            for name in (FILE_NAME, f"{FILE_NAME}.new"):
                with contextlib.suppress(OSError):
                    self._disk.unlink(f"{directory}/{name}")


def _require_well(done: list[Statement]) -> None:
    """Raise `DiskFailure` when something is not as promised: then the job has not ended well."""
    problems = []
    for one in done:
        tally, bck = one.tally, Bck.parse_uname(one.bucket)[0]
        if not tally.is_well:
            counts = ("missing", tally.missing), ("lost", tally.lost), ("misplaced", tally.misplaced)
            said = ", ".join(f"{count} {what}" for what, count in counts if count)
            problems.append(f"{bck.cname()}: {said} ({', '.join(tally.examples[:3])})")
    if problems:
        raise DiskFailure("; ".join(problems))
