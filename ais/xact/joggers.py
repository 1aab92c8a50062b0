"""Going through everything on the mountpaths of a target: a jogger for each, in small steps that yield to clients.

A jogger reads names in order with bounded memory (`ais.core.walk`) and hands a few at a time to whoever does the work.
At the same time another pass only counts them, so that people can be told how much is left. A name that goes from a
mountpath that was not read yet to one that was is in neither: what moves meanwhile is visited besides.
"""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ais.api.bucket import Bck
from ais.core import tree
from ais.core.walk import Walk
from ais.env import Env
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath
from ais.fs.moved import MovedNames
from ais.fs.names import SELF, to_path
from ais.fs.volume import Volume
from ais.xact.pace import Pace
from ais.xact.xaction import Xaction

STEP = 16
"""Names per visit."""
_COUNT_STEP = 1000
_LOOK_S = 0.2
LATE_MAX = 200_000
_MOVING = frozenset((layout.OBJECTS, layout.VERSIONS))
"""What is brought from one mountpath to another, and told (`ais.fs.moved`)."""
_NOWHERE: Mapping[str, str] = {}


class Batch(NamedTuple):
    """Names of one bucket that have a file below `content` (`%ob` and such) on one mountpath.

    `is_late`: they may have been visited, out of order: names that moved meanwhile, with the mountpath that owns them.
    """

    mountpath: Mountpath
    bck: Bck
    names: list[str]
    is_late: bool = False


Visit = Callable[[Batch], Awaitable[None]]


class Round(NamedTuple):
    """Through one tree of all mountpaths, so many names at a time."""

    content: str
    visit: Visit
    step: int = STEP


class Joggers:
    """Makes the rounds for any xaction of a target, through all mountpaths of its volume that are in use."""

    def __init__(self, env: Env, pace: Pace, volume: Volume) -> None:
        self._env = env
        self._pace = pace
        self._volume = volume

    async def run(
        self,
        xaction: Xaction,
        bcks: Sequence[Bck],
        visit: Visit,
        *,
        prefix: str = "",
        content: str = layout.OBJECTS,
        step: int = STEP,
        after: Mapping[str, str] = _NOWHERE,
        is_counted: bool = True,
        follows_moves: bool = True,
    ) -> None:
        """Hand every name that exists throughout to `visit`, which may be called for several mountpaths at a time.

        `after`: by path of a mountpath, the name behind which to begin. `is_counted`: tell how many there are; not when
        this is one of several rounds (`counting`). `follows_moves`: visit names that move meanwhile too, some of them a
        second time; when more moved than can be remembered all are visited again. Not for whoever moves them itself.
        So are all when a mountpath comes meanwhile: what it brings may have been nowhere else.
        The first exception of `visit` ends it all. Raise that, `DiskFailure`, or `NotReady` when a mountpath with a
        bucket is not there (it would seem to be empty).
        """
        one, contents = Round(content, visit, step), (content,) if is_counted else ()
        with self._pace.used():
            async with self.counting(xaction, bcks, contents, prefix=prefix, after=after):
                is_again = False
                while True:
                    followed = bcks if follows_moves and content in _MOVING else ()
                    late = _Late(self._volume, self._volume.moved, self._volume.moved.count, followed, prefix)
                    began, mountpaths = xaction.visited, frozenset(self._volume.available)
                    await self._walk_all(xaction, bcks, one, prefix, after, late, is_again)
                    if not late.has_lost and mountpaths.issuperset(self._volume.available):
                        return
                    xaction.repeated += xaction.visited - began
                    after, is_again = _NOWHERE, True

    async def _walk_all(
        self,
        xaction: Xaction,
        bcks: Sequence[Bck],
        one: Round,
        prefix: str,
        after: Mapping[str, str],
        late: "_Late",
        is_again: bool,
    ) -> None:
        mountpaths, is_over = self._volume.available, asyncio.Event()  # from now on what moves is told to `late`
        xaction.joggers = len(mountpaths)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._visit_late(late, one, is_over))
                async with asyncio.TaskGroup() as readers:
                    for mountpath in mountpaths:
                        readers.create_task(self._jog(xaction, mountpath, bcks, one, prefix, after, is_again))
                is_over.set()
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            xaction.joggers = 0

    async def run_all(
        self, xaction: Xaction, bcks: Sequence[Bck], rounds: Sequence[Round], *, follows_moves: bool = True
    ) -> None:
        """Several rounds, at the same time: what takes long and what is quickly seen to alternate, progress is even.

        One that fails lets the others come to their end. Raise as `run`.
        """
        async with self.counting(xaction, bcks, [one.content for one in rounds]):
            running = (
                self.run(
                    xaction,
                    bcks,
                    one.visit,
                    content=one.content,
                    step=one.step,
                    is_counted=False,
                    follows_moves=follows_moves,
                )
                for one in rounds
            )
            for outcome in await asyncio.gather(*running, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    async def catch_up(self, bcks: Sequence[Bck], one: Round, noted: MovedNames, since: int) -> int | None:
        """Hand names of these buckets to a visit that were noted after that count, wherever something of them is, until
        there is none; the count then. None: it was more than is remembered.

        The first exception of the visit ends it.
        """
        late = _Late(self._volume, noted, since, bcks, "")
        with self._pace.used():
            late.look()
            while batches := late.take(one.step):
                for batch in batches:
                    async with self._pace.step():
                        await one.visit(batch)
                late.look()
        return None if late.has_lost else late.seen

    @contextlib.asynccontextmanager
    async def counting(
        self,
        xaction: Xaction,
        bcks: Sequence[Bck],
        contents: Sequence[str],
        *,
        prefix: str = "",
        after: Mapping[str, str] = _NOWHERE,
    ) -> AsyncIterator[None]:
        """For a block: count on the side what rounds through all of this will visit besides what was visited."""
        if not contents:
            yield
            return
        xaction.total = 0
        with self._pace.used():
            task = asyncio.create_task(self._count(xaction, bcks, prefix, contents, after))
            try:
                yield
            finally:
                task.cancel()

    def walk(
        self, mountpath: Mountpath, bck: Bck, prefix: str = "", content: str = layout.OBJECTS, after: str = ""
    ) -> Iterator[str]:
        """The names of a bucket on one mountpath, in order. Blocks at each step. Raise `DiskFailure`."""
        root = f"{layout.bucket_path(mountpath.path, bck)}/{content}"
        with disk_failures(root):
            for name, _, _ in Walk(self._env.disk, root, prefix, after, orders=self._volume.orders, is_job=True):
                yield name

    async def _jog(
        self,
        xaction: Xaction,
        mountpath: Mountpath,
        bcks: Sequence[Bck],
        one: Round,
        prefix: str,
        after: Mapping[str, str],
        is_again: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        for bck in bcks:
            names = self.walk(mountpath, bck, prefix, one.content, after.get(mountpath.path, ""))
            while True:
                async with self._pace.step():
                    batch = await loop.run_in_executor(mountpath.pool, _take, names, one.step)
                    if not batch:
                        await loop.run_in_executor(mountpath.pool, self._volume.require_walked, mountpath, bck)
                        break
                    await one.visit(Batch(mountpath, bck, batch, is_again))
                    xaction.visit(len(batch))

    async def _visit_late(self, late: "_Late", one: Round, is_over: asyncio.Event) -> None:
        """Until the mountpaths were read: what moves after that was met where it was."""
        while True:
            is_last = is_over.is_set()
            late.look()
            while batches := late.take(one.step):
                for batch in batches:
                    async with self._pace.step():
                        loop, pool = asyncio.get_running_loop(), batch.mountpath.pool
                        if names := await loop.run_in_executor(pool, self._present, batch, one.content):
                            await one.visit(batch._replace(names=names))
                late.look()
            if is_last:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await is_over.wait()

    def _present(self, batch: Batch, content: str) -> list[str]:
        """The names that are on any mountpath: others were deleted since, or have nothing in this tree."""
        roots = [f"{layout.bucket_path(one.path, batch.bck)}/{content}" for one in self._volume.available]

        def is_present(name: str) -> bool:
            paths = (f"{root}/{to_path(name)}" for root in roots)
            if content == layout.VERSIONS:
                return any(self._env.disk.access(f"{path}/{SELF}", os.F_OK) for path in paths)
            return any(tree.find(self._env.disk, path) is not None for path in paths)

        with disk_failures(roots[0]):
            return list(filter(is_present, batch.names))

    async def _count(
        self,
        xaction: Xaction,
        bcks: Sequence[Bck],
        prefix: str,
        contents: Sequence[str],
        after: Mapping[str, str],
    ) -> None:
        loop, total = asyncio.get_running_loop(), xaction.visited
        for mountpath, bck, content in itertools.product(self._volume.available, bcks, contents):
            names = self.walk(mountpath, bck, prefix, content, after.get(mountpath.path, ""))
            while True:
                async with self._pace.step():
                    count = await loop.run_in_executor(mountpath.pool, _skip, names, _COUNT_STEP)
                    if not count:
                        break
                    total += count
        xaction.total = total


class _Late:
    """Names of some buckets that were noted after a count. `seen`: up to which one."""

    def __init__(self, volume: Volume, noted: MovedNames, since: int, bcks: Sequence[Bck], prefix: str) -> None:
        self._volume = volume
        self._noted = noted
        self.seen = since
        self._prefix = prefix
        self._bcks = {layout.bucket_path("", bck): bck for bck in bcks}
        self._waiting: dict[tuple[Bck, str], None] = {}
        self.has_lost = False
        """More were noted than are remembered: who follows them begins again."""

    def look(self) -> None:
        """Learn what was noted, unless that is more than is remembered."""
        noted, bcks = self._noted, self._bcks
        if not bcks or self.has_lost or noted.count == self.seen:
            return
        self.seen, names = noted.since(self.seen)
        for path, name in names or ():
            if path in bcks and name.startswith(self._prefix):
                self._waiting[bcks[path], name] = None
        if names is None or len(self._waiting) > LATE_MAX:
            self.has_lost = True
            self._waiting.clear()

    def take(self, count: int) -> list[Batch]:
        """The next names, no more than so many, by bucket and mountpath."""
        taken: dict[tuple[Mountpath, Bck], list[str]] = {}
        for bck, name in list(itertools.islice(self._waiting, count)):
            del self._waiting[bck, name]
            taken.setdefault((self._volume.place(bck.uname + name), bck), []).append(name)
        return [Batch(mountpath, bck, names, is_late=True) for (mountpath, bck), names in taken.items()]


def _take(names: Iterator[str], count: int) -> list[str]:
    return list(itertools.islice(names, count))


def _skip(names: Iterator[str], count: int) -> int:
    return sum(1 for _ in itertools.islice(names, count))


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """One exception instead of a group: xactions tell one reason."""
    found = failures.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
