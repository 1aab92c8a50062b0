"""One sort on one target: read its shards, have the records put in order, make the output shards it owns.

The first of `SortTask.targets` leads: it merges the sorted records of all and says which target makes which shards.
Each part ends with a file that appears when it is complete, so a target that was restarted goes on behind it.
"""

import asyncio

import msgspec

from ais.api.dsort import SortTask, State
from ais.base.errors import NotReady
from ais.target.dsort.content import Contents, Identity
from ais.target.dsort.extraction import Extraction
from ais.target.dsort.files import Files
from ais.target.dsort.making import Making
from ais.target.dsort.partners import explain
from ais.target.dsort.planning import Planning
from ais.target.dsort.run import Run
from ais.target.parts import Parts
from ais.xact.registry import Xaction


class SortJob:
    """See the module. `run` is the work of its xaction."""

    def __init__(self, parts: Parts, task: SortTask, xaction: Xaction) -> None:
        self.state = State()
        self._run = Run(parts, task, xaction)
        self._contents: Contents | None = None

    @property
    def files(self) -> Files:
        """Where it keeps what it has found."""
        return self._run.files

    @property
    def contents(self) -> Contents:
        """What others may read here. Raise `NotReady` before this target has read its shards."""
        if self._contents is None or not self.state.extracted:
            raise NotReady(f"{self._run.task.uuid} is still reading shards")
        return self._contents

    async def run(self) -> None:
        """Do it all. Raise what keeps this target, or another one, from it."""
        run = self._run
        try:
            await self._work()
            run.metrics.values["archived"] = True
        except BaseException as error:
            run.stopped.set()
            run.metrics.fail("" if isinstance(error, asyncio.CancelledError) else explain(error))
            raise
        finally:
            if not run.parts.registry.is_closing:
                await asyncio.shield(asyncio.to_thread(run.files.remove))

    async def _work(self) -> None:
        run, parts, task = self._run, self._run.parts, self._run.task
        source, to = parts.front.views.require(task.source), parts.front.views.require(task.to)
        to.require_plain("a sort")
        await run.thread(run.files.make)
        run.metrics.begin("local_extraction")
        contents = Contents(source, parts.volume, parts.store, parts.opening, run.files, task.uuid)
        found = await Extraction(run).read(source)
        contents.known = {one.name: Identity(one.size, one.checksum, one.stamp) for one in found}
        self._contents = contents
        run.metrics.end("local_extraction")
        run.metrics.begin("meta_sorting")
        names = [one.name for one in found] if task.source == task.to else []
        self.state = State(extracted=True, size=sum(one.records_size for one in found), shards=names)
        planning = Planning(run)
        if run.number == 0:
            await planning.lead(self.state)
        await planning.fetch()
        run.metrics.end("meta_sorting")
        run.metrics.begin("shard_creation")
        if not task.dry_run:
            await Making(run, contents).run(to)
        run.metrics.end("shard_creation")
        self.state = msgspec.structs.replace(self.state, created=True)
        if run.number == 0:
            await run.partners.until(run.others, lambda state: state.created)
        else:  # others may need what is here until the one who leads has seen that all are done
            await run.partners.until([0], lambda state: state.finished)
