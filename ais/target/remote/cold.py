"""Cold reads: an object that is not here is read from its backend once, however many ask for it, and kept.

Theory of operation. A `Fetch` is filled by a task that streams the backend's answer into a work file and publishes that
like any PUT. Whoever asks for the object meanwhile joins it: small ones wait for its end, large ones follow as it
comes, out of the work file. It goes on when they go away. Nothing is published unless all of it came, and nobody has
all of it before it was compared with what the backend says of it.

A change of the object (`changing`) and a fetch must not meet: what the fetch read may be outdated. One that overlaps
with a change serves those who joined it before the change was over, and keeps nothing. Who needs the object here waits
for the change.
"""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog

from ais.backend.interface import Backend, Place, RemoteObject
from ais.backend.providers import Backends
from ais.base.errors import (
    AisError,
    AlreadyExists,
    Busy,
    ChecksumMismatch,
    CorruptMetadata,
    NotReady,
    ObjectNotFound,
    Unreachable,
)
from ais.base.turns import Turns
from ais.core.meta import ObjectMeta
from ais.core.store import OpenObject, Store
from ais.core.writer import Writer
from ais.space.eviction import is_cached
from ais.stats import names as metrics
from ais.target.front import Front
from ais.target.host import Host
from ais.target.remote.fetch import Fetch
from ais.target.remote.filling import fill
from ais.target.transfer import absent
from ais.target.uploads import in_pool, in_pool_to_end
from ais.target.view import BucketView

AT_ONCE_MAX = 64
"""Fetches of a target from one bucket; more wait for their turn, and hear every `TURN_STEP_S` if it does not answer."""
TURN_STEP_S = 2.0
_ATTEMPTS_MAX = 8


@dataclass(slots=True)
class Watched:
    """A fetch that others make; `is_outdated`: a change of the object began meanwhile, it is not to be kept."""

    is_outdated: bool


class Cold:
    """One per target."""

    def __init__(self, host: Host, front: Front, store: Store, backends: Backends) -> None:
        self._host = host
        self._front = front
        self._store = store
        self._backends = backends
        self._fetches: dict[str, Fetch] = {}
        self._changing: Counter[str] = Counter()
        self._unchanged: dict[str, asyncio.Event] = {}
        """Set when no change of an object is under way any more; only of those somebody waits for."""
        self._watched: dict[str, list[Watched]] = {}
        self._log = structlog.get_logger()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = Turns(AT_ONCE_MAX)
        self.restore: Callable[[BucketView, str], Awaitable[None]] = _nothing_is_lost
        """Awaited before an object is said not to be here, where it may be lost: then it is restored."""
        self.is_passive = False
        """In a process beside the one that knows of all changes: what is not here is that one's."""

    def join(self, view: BucketView, name: str) -> Fetch:
        """The fetch of an object that is not here, begun if there is none. Raise `ObjectNotFound`, `MissingBackend`."""
        uname, place = view.uname + name, view.remote
        if place is None or self.is_passive:
            raise ObjectNotFound(view.bck.cname(name))
        found = self._fetches.get(uname)
        if found is None or found.is_stale or found.bucket != view.identity:
            found = self._fetches[uname] = Fetch(view.bck.cname(name), view.identity)
            found.is_outdated = bool(self._changing[uname])
            task = asyncio.create_task(self._run(found, view, name, place), name=f"cold GET {view.bck.cname(name)}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return found

    async def open(self, view: BucketView, name: str) -> OpenObject:
        """Fetch an object that is not here, and open it. Raise `ObjectNotFound`, and why the backend gives nothing."""
        for _ in range(_ATTEMPTS_MAX):
            await self.join(view, name).ended()
            await self._until_unchanged(view.uname + name)
            with suppress(ObjectNotFound):
                return self._store.open(view.bck, name, sealed=True)
        raise Busy(f"{view.bck.cname(name)} keeps being changed: try again")

    async def ensure(self, view: BucketView, name: str) -> int | None:
        """Have an object of a remote bucket here; how many bytes were fetched, None when it was here. Raise as `open`.

        In any other bucket nothing happens.
        """
        if view.remote is None or await self.is_here(view, name):
            return None
        opened = await self.open(view, name)
        os.close(opened.fd)
        return opened.meta.size

    async def is_here(self, view: BucketView, name: str) -> bool:
        """Whether an object need not be fetched, by itself or from its slices.

        Raise `NotReady` when those who have them are away: what is fetched would take the place of what only we have.
        """
        try:
            if not self.is_passive:
                await self.restore(view, name)
        except NotReady:
            if view.is_linked:
                raise
        try:
            self._store.head(view.bck, name)
        except ObjectNotFound:
            return False
        except CorruptMetadata:
            if not await self.let_go_damaged(view, name):
                raise
            return False
        return True

    async def let_go_damaged(self, view: BucketView, name: str) -> bool:
        """Remove what is damaged here of an object that its backend has, so that it is fetched anew; False: nothing was
        removed, it may be nowhere else.
        """
        if view.remote is None or self.is_passive:
            return False

        def check(stored: ObjectMeta | None) -> None:
            if not is_cached(stored, view.origin):
                raise AlreadyExists(f"{view.bck.cname(name)} may be only here")

        pool = self._store.spot(view.bck, name).mountpath.pool
        try:
            condition = check if view.is_linked else None
            await in_pool(pool, lambda: self._store.delete(view.bck, name, condition, view.rules))
        except (AlreadyExists, CorruptMetadata):  # what cannot be read does not tell where it came from
            return False
        except ObjectNotFound:
            return True
        self._log.warning("damaged object is fetched anew", object=view.bck.cname(name))
        return True

    @contextmanager
    def watching(self, uname: str) -> Iterator["Watched"]:
        """Around a fetch that is made elsewhere: it learns whether the object is changed meanwhile."""
        watched = Watched(is_outdated=bool(self._changing[uname]))
        self._watched.setdefault(uname, []).append(watched)
        try:
            yield watched
        finally:
            self._watched[uname].remove(watched)
            if not self._watched[uname]:
                del self._watched[uname]

    @contextmanager
    def changing(self, uname: str) -> Iterator[None]:
        """Around a change of an object at its backend and here: what is fetched meanwhile is not kept."""
        self._changing[uname] += 1
        self._outdate(uname)
        try:
            yield
        finally:
            self._changing[uname] -= 1
            if not self._changing[uname]:
                del self._changing[uname]
                if (event := self._unchanged.pop(uname, None)) is not None:
                    event.set()
            self._outdate(uname)
            if (fetch := self._fetches.get(uname)) is not None:
                fetch.is_stale = True

    async def _until_unchanged(self, uname: str) -> None:
        while uname in self._changing:
            await self._unchanged.setdefault(uname, asyncio.Event()).wait()

    async def close(self) -> None:
        """Give up all fetches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _outdate(self, uname: str) -> None:
        if (fetch := self._fetches.get(uname)) is not None:
            fetch.is_outdated = True
        for watched in self._watched.get(uname, ()):
            watched.is_outdated = True

    async def _run(self, fetch: Fetch, view: BucketView, name: str, place: Place) -> None:
        error: AisError | None = NotReady(f"{self._host.snode.name} is stopping")
        is_kept = False
        started_s = self._host.env.clock.monotonic()
        try:
            backend = self._backends.of(place)
            async with self._turns.of(place.bck.uname, TURN_STEP_S, lambda: backend.require_answers(place)):
                size = await self._fill(fetch, view, name, place, backend)
            error, is_kept = None, True
            counters = self._host.stats.values
            counters[metrics.GET_COLD_N] += 1
            counters[metrics.GET_COLD_SIZE] += size
            counters[metrics.GET_COLD_NS] += int((self._host.env.clock.monotonic() - started_s) * 1e9)
        except AlreadyExists:  # written meanwhile, or changed: those who wait look again
            error = None
        except AisError as failure:
            error = failure
        finally:
            if self._fetches.get(view.uname + name) is fetch:
                del self._fetches[view.uname + name]
            fetch.end(error, is_kept=is_kept)

    async def _fill(self, fetch: Fetch, view: BucketView, name: str, place: Place, backend: Backend) -> int:
        """Read and publish; the size. Raise `AlreadyExists` when it is not to be kept."""
        condition = absent(view.bck.cname(name))

        def check(stored: ObjectMeta | None) -> None:
            if fetch.is_outdated:
                raise AlreadyExists(f"{view.bck.cname(name)} was changed while it was fetched")
            condition(stored)

        async with backend.get(place, name) as download:
            found = download.found
            writer = self._store.writer(
                view.bck,
                name,
                view.rules,
                custom=found.custom(place.bck.provider),
                claimed=found.claim,
                facts=view.facts_of(found),
                size_hint=found.size,
                version=found.version,
            )
            pool = writer.mountpath.pool
            validates = view.props.checksum.validate_cold_get
            md5 = hashlib.md5(usedforsecurity=False) if validates and found.md5 else None

            def take(piece: memoryview) -> None:
                if md5 is not None:
                    md5.update(piece)
                writer.write(piece)

            try:
                fetch.begin(found, self._host.env.disk.open(writer.path, os.O_RDONLY | os.O_CLOEXEC), pool)
                await fill(download, found.size, pool, take, fetch.wrote)
                _compare(writer, md5, found, view.bck.cname(name))
                fetch.release()
                self._front.admit(view)
                await in_pool_to_end(pool, lambda: writer.commit(check))
            finally:
                writer.abort()
        return found.size


async def _nothing_is_lost(_view: BucketView, _name: str) -> None:
    """What is not here is not kept otherwise."""


def _compare(writer: Writer, md5: Any, found: RemoteObject, cname: str) -> None:
    """Raise `Unreachable` when the content is not what the backend says."""
    if writer.size != found.size:
        raise Unreachable(f"{cname} came with {writer.size} of {found.size} bytes: try again")
    try:
        writer.verify()
    except ChecksumMismatch as error:
        raise Unreachable(f"{cname} came with another checksum than its backend says: {error}: try again") from None
    if md5 is not None and md5.hexdigest() != found.md5:
        raise Unreachable(
            f"{cname} came with another MD5 than its backend says (checksum.validate_cold_get): try again"
        )
