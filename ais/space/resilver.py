"""`resilver`: after the set of mountpaths has changed, every object is brought to the one that owns its name now.

Started by each change and at a start that finds the volume unsettled; a newer change starts it over. When all is in its
place the volume is settled: from then on each object is looked for in one place only.
"""

import asyncio
import functools
import random
from collections.abc import Callable

import structlog

from ais.api.xact import RESILVER
from ais.base.errors import AisError, BucketNotFound, DiskFailure
from ais.base.ids import new_id
from ais.core.relocate import Relocated, Relocator
from ais.core.store import Store
from ais.env import Env
from ais.fs import layout
from ais.xact.joggers import Batch, Joggers
from ais.xact.registry import Registry
from ais.xact.xaction import Xaction

RETRY_S = 30.0


class Resilver:
    """Starts the job. `then` is told when everything is in its place: copies may be made now."""

    def __init__(
        self,
        registry: Registry,
        joggers: Joggers,
        store: Store,
        env: Env,
        is_automatic: Callable[[], bool],
        then: Callable[[], None],
    ) -> None:
        self._is_automatic = is_automatic
        self._registry = registry
        self._joggers = joggers
        self._store = store
        self._relocator = Relocator(store, env)
        self._clock = env.clock
        self._rng: random.Random = env.rng
        self._then = then
        self._log = structlog.get_logger()
        self._settled = -1
        """Generation of the set of mountpaths for which everything is in its place."""

    async def watch(self) -> None:
        """Start it whenever the volume is unsettled, and again a while after it failed."""
        while True:
            view = self._store.volume.view
            is_due = view.is_unsettled and view.generation != self._settled
            if is_due and self._is_automatic() and not any(self._registry.select(kind=RESILVER, only_running=True)):
                xaction = self.start(new_id(self._rng))
                await xaction.wait()
                if xaction.error and self._store.volume.view is view:
                    await self._clock.sleep(RETRY_S)
                continue
            await self._clock.sleep(1.0)

    def start(self, uuid: str) -> Xaction:
        """Start it, or return the one of this ID; one that runs is superseded."""
        for running in list(self._registry.select(kind=RESILVER, only_running=True)):
            if running.uuid != uuid:
                self._registry.abort(running, "a newer resilver takes over")
        return self._registry.start(RESILVER, uuid, self._work)

    async def _work(self, xaction: Xaction) -> None:
        volume = self._store.volume
        view, failures, first = volume.view, 0, ""
        buckets = list(await asyncio.to_thread(volume.buckets))
        loop = asyncio.get_running_loop()

        async def visit(batch: Batch) -> None:
            nonlocal failures, first
            step = functools.partial(self._bring_all, batch)
            for name, outcome in zip(batch.names, await loop.run_in_executor(batch.mountpath.pool, step), strict=True):
                if isinstance(outcome, AisError):
                    failures += 1
                    first = first or f"{batch.bck.cname(name)}: {outcome}"
                elif outcome.was_moved:
                    xaction.objects += 1
                    xaction.bytes += outcome.size_bytes
            xaction.ctlmsg = f"visited:{xaction.visited + len(batch.names)}"

        for content in (layout.OBJECTS, layout.VERSIONS):
            await self._joggers.run(xaction, view.available, buckets, visit, content=content)
        if failures:
            raise DiskFailure(f"{failures} objects are not in their place, the first is {first}")
        if await asyncio.to_thread(volume.settle, view.generation):
            self._settled = volume.view.generation
            self._log.info("mountpaths settled", visited=xaction.visited, moved=xaction.objects)
            self._then()

    def _bring_all(self, batch: Batch) -> list[Relocated | AisError]:
        return [self._bring(batch, name) for name in batch.names]

    def _bring(self, batch: Batch, name: str) -> Relocated | AisError:
        try:
            return self._relocator.bring(batch.bck, name)
        except BucketNotFound:
            return Relocated()
        except AisError as error:
            self._log.warning("object is not in its place", object=batch.bck.cname(name), error=str(error))
            return error
