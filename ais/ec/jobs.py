"""The jobs of erasure coding on one target: `ec-put` follows writes, `ec-encode` goes through a bucket, `ec-get`
restores.

What could not be done (a target is away, the process was killed, more was written than may wait) is found by going
through the bucket again: when targets come, go or have other weights, a while after a failure, and at a start after
which the file `.ais.uncoded` still lies on a mountpath.
"""

import asyncio
import contextlib
import functools
import os
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import structlog

from ais.api.bucket import Bck
from ais.api.xact import EC_ENCODE, EC_GET, EC_PUT
from ais.base.errors import (
    AisError,
    BucketNotFound,
    ContentDamaged,
    CorruptMetadata,
    NotReady,
    ObjectNotFound,
    VersionNotFound,
)
from ais.base.ids import new_id
from ais.core.meta import ObjectMeta
from ais.core.slicing import key_of, shown, split_key
from ais.core.store import Store
from ais.core.versions import sliced_keys
from ais.ec.cutting import Paced
from ais.ec.encode import Encoded, Encoder
from ais.ec.peers import SlicePeers
from ais.ec.restore import Restorer
from ais.ec.slicing import Slicer
from ais.env import Env
from ais.fs import layout
from ais.meta.smap import Snode
from ais.xact.following import IDLE_S, Follower, Queue
from ais.xact.joggers import Batch, Joggers, Round
from ais.xact.mark import Mark
from ais.xact.pace import Pace, is_at_work
from ais.xact.registry import Registry
from ais.xact.xaction import Xaction

MARK = ".ais.uncoded"
WORKERS = 4
WATCH_S = 2.0
RETRY_S = 30.0
DROP_TIMEOUT_S = 10.0
LAST_STAMP = ((1 << 63) - 1, (1 << 63) - 1)


class EcJobs:
    """Starts the jobs and drops slices of what changes. `burst` gives how many objects of a bucket may wait."""

    def __init__(
        self,
        registry: Registry,
        joggers: Joggers,
        store: Store,
        encoder: Encoder,
        restorer: Restorer,
        slicer: Slicer,
        peers: SlicePeers,
        env: Env,
        pace: Pace,
        burst: Callable[[Bck], int],
    ) -> None:
        self._registry = registry
        self._joggers = joggers
        self._store = store
        self._encoder = encoder
        self._restorer = restorer
        self._slicer = slicer
        self._peers = peers
        self._disk = env.disk
        self._clock = env.clock
        self._pace = pace
        self._rng: random.Random = env.rng
        self._log = structlog.get_logger()
        self._mark = Mark(store.volume, env.disk, MARK)
        self._following = Follower(registry, env.rng, self._mark, EC_PUT, burst, self._drain, self._settled)
        self._restoring: dict[tuple[Bck, str], asyncio.Task[bool]] = {}
        self._restores: dict[Bck, tuple[Xaction, asyncio.Event]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._looking: set[asyncio.Task[None]] = set()
        self._sending: dict[tuple[Bck, str], set[asyncio.Future[None]]] = {}
        self._repairs: set[tuple[Bck, str]] = set()
        """What of that which waits was not written just now."""
        self._awaited = Counter[tuple[Bck, str]]()
        """Objects, and versions by their keys, for whose slices somebody waits: a job does not rest then."""
        self._deleting: set[tuple[Bck, str]] = set()
        """What has lost its slices and is about to go: until that is told, nobody gives it slices."""
        self.arrived: Callable[[Bck, str], Awaitable[bool]] = _nobody_else_has_it
        """Whether an object, or a version by its key, that is not here has come from who owned its name before: he may
        have a newer one than its slices, and its older versions. Raise `AisError`."""
        store.on_coded(self.before_change, self._changed, self._following.changing)
        store.slice_with(slicer)
        restorer.on_damage = self._on_damage
        slicer.until_sent = self.until_sent

    # Following writes

    def start(self) -> None:
        """Follow writes on this event loop from now on."""
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._following.start()
        self._slicer.start()
        if self._mark.was_left():
            self.look_again()

    async def watch(self) -> None:
        """Go through the buckets whenever something was left undone, or targets are others than before, or the last one
        that could not be told of deletions can be, or has left.
        """
        known, placement, tried_s = self._state(), self._peers.placement, -RETRY_S
        while True:
            await self._clock.sleep(WATCH_S)
            if self._peers.placement is not placement:  # also when all that moved is in its place
                placement, tried_s = self._peers.placement, -RETRY_S
            if (state := self._state()) != known:
                known = state
                self.look_again()
            if not self._following.behind or self._clock.monotonic() - tried_s < RETRY_S:
                continue
            tried_s = self._clock.monotonic()
            for bck in list(self._following.behind & self._store.volume.coded):
                if not any(self._registry.select(kind=EC_ENCODE, bck=bck, only_running=True)):
                    with contextlib.suppress(AisError):
                        self.encode_bucket(bck, new_id(self._rng))
            self._following.behind &= self._store.volume.coded

    def _state(self) -> tuple[frozenset[tuple[str, int]], bool]:
        return self._peers.present(), self._peers.has_unheard

    def look_again(self) -> None:
        """Objects or slices of this target may be lost: go through all buckets soon."""
        self._following.behind |= self._store.volume.coded

    async def must_code(self, bcks: Iterable[Bck]) -> None:
        """These buckets promise other slices now: all objects are gone through, also when this target is killed on
        the way. Raise `DiskFailure`.
        """
        await self._following.must_go_through(bcks)

    def before_change(self, bck: Bck, name: str, stamp: tuple[int, int], is_delete: bool, is_synced: bool) -> None:
        """Remove the slices of what is about to change, durably when `is_synced`.

        What cannot be told now is outdated by what comes. Raise `NotReady` when a disk of this target is not there that
        may have a slice of what is deleted.
        """
        loop = self._loop
        if loop is None:
            return
        if is_delete:
            self._deleting.add((bck, name))
        coroutine = self._drop(bck, name, stamp, is_delete, is_synced)
        if threading.get_ident() == self._loop_thread:
            loop.create_task(coroutine)
            return
        try:
            with contextlib.suppress(RuntimeError):
                try:
                    asyncio.run_coroutine_threadsafe(coroutine, loop).result(DROP_TIMEOUT_S)
                except TimeoutError:
                    if is_delete:  # slices come after it, and go then, or with the next start
                        self._slicer.note_deleted(bck, name, stamp, is_synced=is_synced)
        except AisError:  # it is not deleted, and needs its slices again
            self._changed(bck, name)
            raise

    async def _drop(self, bck: Bck, name: str, stamp: tuple[int, int], is_delete: bool, is_synced: bool) -> None:
        """Remove slices; before a deletion also those that are on their way. No others follow (`_deleting`)."""
        if is_delete and (sending := self._sending.get((bck, name))):
            with self._awaiting([(bck, name)]):
                await asyncio.wait(set(sending))  # when that is too long for the deletion, this follows it
        await self._slicer.drop(bck, name, stamp, is_delete=is_delete, is_synced=is_synced)

    async def until_sent(self, bck: Bck, name: str) -> None:
        """Wait for slices of an object and its versions that are on their way, for some seconds.

        For a deletion after which they are dropped, and before the object goes to another owner, which may delete it.
        """
        found = [(of, key) for of, key in self._sending if of == bck and split_key(key)[0] == name]
        if found:
            with self._awaiting(found):
                await asyncio.wait(set().union(*(self._sending[one] for one in found)), timeout=DROP_TIMEOUT_S)

    @contextlib.contextmanager
    def _awaiting(self, keys: Sequence[tuple[Bck, str]]) -> Iterator[None]:
        """Around a wait for what jobs do with the slices of these: they do not rest meanwhile."""
        self._awaited.update(keys)
        try:
            yield
        finally:
            self._awaited -= Counter(keys)

    def _paced(self, bck: Bck, key: str) -> Paced:
        """For whoever gives an object, or a version by its key, slices, or restores it from them."""
        return functools.partial(self._pace.each, is_awaited=lambda: (bck, key) in self._awaited)

    def _changed(self, bck: Bck, name: str) -> None:
        """An object was changed, or removed, or was to be. Any thread."""
        self._deleting.discard((bck, name))
        self._following.note(bck, name)

    async def _drain(self, xaction: Xaction, queue: Queue) -> None:
        if queue.is_overflowing:
            queue.is_overflowing = False
            self._following.behind.add(queue.bck)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(self._bring_queued(xaction, queue))
        finally:
            self._repairs = {one for one in self._repairs if one[0] != queue.bck}

    async def _bring_queued(self, xaction: Xaction, queue: Queue) -> None:
        while queue.names:
            name, started_s = queue.names.popleft(), self._clock.monotonic()
            async with self._turn(queue.bck, name):
                ended_well = await self._bring(xaction, queue.bck, name)
            elapsed_ns = int((self._clock.monotonic() - started_s) * 1e9)
            failed = int((xaction.ext or {}).get("ec.encode.err.n", "0")) + (not ended_well)
            xaction.ext = {
                "ec.encode.ns": f"{elapsed_ns}ns",
                "ec.delete.ns": "0s",
                "ec.encode.n": str(xaction.objects),
                "ec.delete.n": "0",
                "ec.encode.size": str(xaction.bytes),
                "ec.encode.err.n": str(failed),
                "ec.delete.err.n": "0",
                "ec.obj.process.ns": f"{elapsed_ns}ns",
                "ec.queue.len.f": len(queue.names),
                "is_idle": not queue.names,
            }

    def _turn(self, bck: Bck, name: str) -> contextlib.AbstractAsyncContextManager[None]:
        """Around what is done for an object: repairs let clients have their turn, what was just written gets its slices
        at once.
        """
        if (bck, name) not in self._repairs:
            return contextlib.nullcontext()
        self._repairs.discard((bck, name))
        self._pace.linger()
        return self._pace.step()

    async def _bring(self, xaction: Xaction, bck: Bck, name: str) -> bool:
        """Bring one object, or version by its key, to what its bucket promises; False when that must be tried again.

        One that others own by now is theirs to see to, when it has come to them.
        """
        if not self._peers.is_owner(bck.uname + name) or (bck, name) in self._deleting:
            return True
        with self._giving(bck, name):
            return await self._bring_owned(xaction, bck, name)

    @contextlib.contextmanager
    def _giving(self, bck: Bck, name: str) -> Iterator[None]:
        """Around what may give an object slices: its deletion waits for the end."""
        key, ended = (bck, name), asyncio.get_running_loop().create_future()
        self._sending.setdefault(key, set()).add(ended)
        try:
            yield
        finally:
            ended.set_result(None)
            self._sending[key].discard(ended)
            if not self._sending[key]:
                del self._sending[key]

    async def _bring_owned(self, xaction: Xaction, bck: Bck, name: str) -> bool:
        try:
            if not await self._counts(bck, name):
                await self._slicer.drop(bck, name, LAST_STAMP, is_delete=False)
                if not await self._counts(bck, name):
                    return True
            await self._ensure_object(bck, name)
            done = await self._encode(bck, name)
        except BucketNotFound:
            return True
        except (ObjectNotFound, VersionNotFound):
            return await self._sweep(bck, name)
        except AisError as error:
            self._log.info("object has too few slices", object=bck.cname(shown(name)), reason=str(error))
            if not isinstance(error, ContentDamaged):  # that stays so until somebody writes it again
                self._following.behind.add(bck)
            xaction.ctlmsg = f"{shown(name)}: {error}"
            return False
        xaction.objects += 1
        xaction.bytes += done.size_bytes
        xaction.objects_sent += done.slices_sent
        xaction.bytes_sent += done.bytes_sent
        return True

    async def _encode(self, bck: Bck, name: str) -> Encoded:
        """Give an object its slices; one that is damaged is made again of those that it has."""
        try:
            return await self._encoder.bring(bck, name, self._paced(bck, name))
        except ContentDamaged:
            if not await self.restore(bck, name):
                raise
        return await self._encoder.bring(bck, name, self._paced(bck, name))

    async def _sweep(self, bck: Bck, name: str) -> bool:
        """There is no such object: nothing of it may wait."""
        try:
            await self._encoder.sweep(bck, name)
        except AisError:
            self._following.behind.add(bck)
            return False
        return True

    async def encode(self, bck: Bck, name: str) -> None:
        """Give an object, or a version by its key, the slices that it lacks; its deletion waits for that.

        Raise as `Encoder.bring`, and `ObjectNotFound` for one that is about to go, or has another owner by now.
        """
        if (bck, name) in self._deleting or not self._peers.is_owner(bck.uname + name):
            raise ObjectNotFound(bck.cname(shown(name)))
        with self._giving(bck, name):
            await self._encoder.bring(bck, name, self._paced(bck, name))

    async def _ensure_object(self, bck: Bck, name: str) -> None:
        """Restore the object if it is lost or its metadata damaged. Raise `ObjectNotFound` when it does not exist."""
        try:
            await asyncio.to_thread(self._look_up, bck, name)
        except (ObjectNotFound, VersionNotFound, CorruptMetadata, NotReady):
            if not await self.restore(bck, name):
                raise

    def _look_up(self, bck: Bck, key: str) -> ObjectMeta:
        """The metadata of an object, or of a version by its key. Raise as `Store.head` and `Store.open_kept`."""
        name, entry = split_key(key)
        if not entry:
            return self._store.head(bck, name).meta
        opened = self._store.open_kept(bck, name, entry)
        os.close(opened.fd)
        return opened.meta

    async def _counts(self, bck: Bck, key: str) -> bool:
        """False for the key of an entry that is not a version on the shelf (any more): it needs no slices."""
        name, entry = split_key(key)
        return not entry or await asyncio.to_thread(self._store.counts, bck, name, entry)

    # Going through buckets

    def encode_bucket(self, bck: Bck, uuid: str) -> Xaction:
        """Bring every object of a bucket that this target owns to its slices, and restore those that are lost."""

        async def work(xaction: Xaction) -> None:
            failures = 0

            async def objects(batch: Batch) -> None:
                nonlocal failures
                outcomes = await asyncio.gather(*(self._bring(xaction, bck, name) for name in batch.names))
                failures += outcomes.count(False)

            async def shelves(batch: Batch) -> None:
                for name in batch.names:
                    entries = await asyncio.to_thread(self._store.entries, bck, name)
                    await objects(batch._replace(names=[key_of(name, entry) for entry in entries]))

            async def kept(batch: Batch) -> None:
                await self._tell_owners(bck, batch.names)

            async def kept_of_shelves(batch: Batch) -> None:
                await self._tell_owners(
                    bck, await asyncio.to_thread(sliced_keys, self._disk, batch.mountpath, bck, batch.names)
                )

            async def aside(batch: Batch) -> None:
                await self._tell_owners(bck, batch.names, is_aside=True)

            with self._following.going_through(bck):
                await asyncio.to_thread(self._following.set_mark)
                rounds = [
                    Round(layout.SLICES, kept, 256),
                    Round(layout.KEPT_SLICES, kept_of_shelves, 64),
                    Round(layout.SLICES_ASIDE, aside, 256),
                    Round(layout.OBJECTS, objects, 8),
                    Round(layout.VERSIONS, shelves, 8),
                ]
                await self._joggers.run_all(xaction, [bck], rounds)
            if failures:
                raise NotReady(f"{failures} objects of {bck.cname()} have too few slices: {xaction.ctlmsg}")
            self._settled(xaction)

        return self._registry.start(EC_ENCODE, uuid, work, bck=bck)

    async def _tell_owners(self, bck: Bck, names: list[str], *, is_aside: bool = False) -> None:
        """Of what this target has slices: let the owners see whether they have the objects; of `is_aside`, to all."""
        by_owner: dict[str, list[str]] = {}
        owners = {}
        for name in names:
            owner = self._peers.owner(bck.uname + name)
            owners[owner.id] = owner
            by_owner.setdefault(owner.id, []).append(name)
        for node_id, some in by_owner.items():
            try:
                if self._peers.is_self(owners[node_id]):
                    self.recode(bck, some) if is_aside else await self.check(bck, some)
                elif not owners[node_id].is_away:
                    tell = self._peers.recode if is_aside else self._peers.check
                    await tell(owners[node_id], bck, some)
            except AisError:
                self._following.behind.add(bck)

    async def check(self, bck: Bck, names: list[str]) -> None:
        """Another target has slices of these objects: restore those that this target owns and lacks."""
        missing = await asyncio.to_thread(lambda: [name for name in names if self.lacks(bck, name)])
        self.recode(bck, missing)

    def lacks(self, bck: Bck, name: str) -> bool:
        """Whether this target, which owns the name, has no object of it that can be read. Blocks.

        Of a version by its key: or has slices of it that are needed no more.
        """
        return self.stamp(bck, name) is None

    def stamp(self, bck: Bck, name: str) -> tuple[int, int] | None:
        """The stamp of the content that this target has; None when there is no object that can be read. Blocks."""
        try:
            meta = self._look_up(bck, name)
            return meta.stamp if meta.cut is None else meta.cut.written
        except (ObjectNotFound, VersionNotFound, CorruptMetadata, NotReady):
            return None

    def recode(self, bck: Bck, names: list[str]) -> None:
        """Slices of these objects were damaged, or wait aside: see to all of them soon."""
        for name in names:
            if self._following.add(bck, name):
                self._repairs.add((bck, name))

    def pending(self, bck: Bck) -> int:
        """How many objects of a bucket wait for slices, or are being coded, as far as is known."""
        return self._following.pending(bck)

    def is_behind(self, bck: Bck) -> bool:
        """Whether the bucket must be gone through."""
        return self._following.is_behind(bck)

    def _on_damage(self, bck: Bck, name: str, node: Snode) -> None:
        """A reader was given a damaged block."""
        task = asyncio.create_task(self._look(bck, name, node), name="look at a damaged slice")
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look(self, bck: Bck, name: str, node: Snode) -> None:
        """Have the slice removed if it is damaged on disk, and made again by the owner of the object."""
        self._log.warning("damaged slice", object=bck.cname(shown(name)), target=node.id)
        owner = self._peers.owner(bck.uname + name)
        try:
            await self._slicer.look(node, bck, name)
            if self._peers.is_self(owner):
                self.recode(bck, [name])
            elif not owner.is_away:
                await self._peers.recode(owner, bck, [name])
        except AisError:
            self._following.behind.add(bck)

    # Restoring

    async def restore(self, bck: Bck, name: str) -> bool:
        """Restore an object of this target, once for all who ask at the same time. Raise as `Restorer.restore`."""
        key = (bck, name)
        task = self._restoring.get(key)
        if task is None:
            task = self._restoring[key] = asyncio.create_task(self._restore(bck, name))
            task.add_done_callback(lambda _: self._restoring.pop(key, None))
        with self._awaiting([] if is_at_work() else [key]):
            return await asyncio.shield(task)

    async def _restore(self, bck: Bck, name: str) -> bool:
        if await self.arrived(bck, name):
            return True
        xaction, active = self._restore_job(bck)
        is_restored = await self._restorer.restore(bck, name, self._paced(bck, name))
        if is_restored:
            self._log.warning("object restored from slices", object=bck.cname(shown(name)))
            xaction.objects += 1
            active.set()
            self._following.note(bck, name)
        return is_restored

    def _restore_job(self, bck: Bck) -> tuple[Xaction, asyncio.Event]:
        running = self._restores.get(bck)
        if running is not None and running[0].is_running:
            return running
        active = asyncio.Event()

        async def work(xaction: Xaction) -> None:
            xaction.is_idle = True
            while True:
                try:
                    async with asyncio.timeout(IDLE_S):
                        await active.wait()
                except TimeoutError:
                    return
                active.clear()

        found = (self._registry.start(EC_GET, new_id(self._rng), work, bck=bck), active)
        self._restores[bck] = found
        return found

    def _settled(self, ended: Xaction | None = None) -> None:
        """Some work has ended: if nothing is left, the next start need not look."""
        if not any(one is not ended for one in self._registry.select(kind=EC_ENCODE, only_running=True)):
            self._following.clear_mark(self._store.volume.coded)


async def _nobody_else_has_it(_bck: Bck, _key: str) -> bool:
    """Names stay where they are."""
    return False
