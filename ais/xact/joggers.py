"""Going through everything on the mountpaths of a target: a jogger for each, in small steps that yield to clients.

A jogger reads names in order with bounded memory (`ais.core.walk`) and hands a few at a time to whoever does the work.
At the same time another pass only counts them, so that people can be told how much is left.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from ais.api.bucket import Bck
from ais.core.walk import Walk
from ais.env import Env
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath
from ais.xact.pace import Pace
from ais.xact.xaction import Xaction

STEP = 16
"""Names per visit."""
_COUNT_STEP = 1000
_NOWHERE: Mapping[str, str] = {}


class Batch(NamedTuple):
    """Names of one bucket that have a file below `content` (`%ob` and such) on one mountpath."""

    mountpath: Mountpath
    bck: Bck
    names: list[str]


Visit = Callable[[Batch], Awaitable[None]]


class Joggers:
    """Makes the rounds for any xaction of a target."""

    def __init__(self, env: Env, pace: Pace) -> None:
        self._env = env
        self._pace = pace

    async def run(
        self,
        xaction: Xaction,
        mountpaths: Sequence[Mountpath],
        bcks: Sequence[Bck],
        visit: Visit,
        *,
        prefix: str = "",
        content: str = layout.OBJECTS,
        step: int = STEP,
        after: Mapping[str, str] = _NOWHERE,
        is_counted: bool = True,
    ) -> None:
        """Hand every name that exists throughout to `visit`, which may be called for several mountpaths at a time.

        `after`: by path of a mountpath, the name behind which to begin. `is_counted`: tell how many there are; not when
        this is one of several rounds (`counting`). The first exception of `visit` ends it all. Raise that, or
        `DiskFailure`.
        """
        xaction.joggers = len(mountpaths)
        contents = (content,) if is_counted else ()
        with self._pace.used():
            try:
                counting = self.counting(xaction, mountpaths, bcks, contents, prefix=prefix, after=after)
                async with counting, asyncio.TaskGroup() as group:
                    for mountpath in mountpaths:
                        group.create_task(self._jog(xaction, mountpath, bcks, visit, prefix, content, step, after))
            except BaseExceptionGroup as failures:
                raise _first(failures) from None
            finally:
                xaction.joggers = 0

    @asynccontextmanager
    async def counting(
        self,
        xaction: Xaction,
        mountpaths: Sequence[Mountpath],
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
            task = asyncio.create_task(self._count(xaction, mountpaths, bcks, prefix, contents, after))
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
            for name, _, _ in Walk(self._env.disk, root, prefix, after):
                yield name

    async def _jog(
        self,
        xaction: Xaction,
        mountpath: Mountpath,
        bcks: Sequence[Bck],
        visit: Visit,
        prefix: str,
        content: str,
        step: int,
        after: Mapping[str, str],
    ) -> None:
        loop, now_s = asyncio.get_running_loop(), self._env.clock.monotonic
        for bck in bcks:
            names = self.walk(mountpath, bck, prefix, content, after.get(mountpath.path, ""))
            while True:
                started_s = now_s()
                batch = await loop.run_in_executor(mountpath.pool, _take, names, step)
                if not batch:
                    break
                await visit(Batch(mountpath, bck, batch))
                xaction.visited += len(batch)
                await self._pace.rest(now_s() - started_s)

    async def _count(
        self,
        xaction: Xaction,
        mountpaths: Sequence[Mountpath],
        bcks: Sequence[Bck],
        prefix: str,
        contents: Sequence[str],
        after: Mapping[str, str],
    ) -> None:
        loop, now_s, total = asyncio.get_running_loop(), self._env.clock.monotonic, xaction.visited
        for mountpath, bck, content in itertools.product(mountpaths, bcks, contents):
            names = self.walk(mountpath, bck, prefix, content, after.get(mountpath.path, ""))
            while True:
                started_s = now_s()
                count = await loop.run_in_executor(mountpath.pool, _skip, names, _COUNT_STEP)
                if not count:
                    break
                total += count
                await self._pace.rest(now_s() - started_s)
        xaction.total = total


def _take(names: Iterator[str], count: int) -> list[str]:
    return list(itertools.islice(names, count))


def _skip(names: Iterator[str], count: int) -> int:
    return sum(1 for _ in itertools.islice(names, count))


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """One exception instead of a group: xactions tell one reason."""
    found = failures.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
