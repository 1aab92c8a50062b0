"""The job `load-lom-cache`: the metadata of all objects of a bucket is read, so that the kernel has it in memory.

Whoever reads an object for the first time then waits for its content only.
"""

import contextlib

from ais.api.xact import LOAD_METADATA, ArgsMsg
from ais.base.errors import BadRequest, CorruptMetadata, ObjectNotFound
from ais.core.store import Store
from ais.target.front import Front
from ais.target.uploads import in_pool
from ais.xact.joggers import Batch, Joggers
from ais.xact.registry import Registry, Xaction


class Warming:
    """Starts the job."""

    def __init__(self, registry: Registry, joggers: Joggers, front: Front, store: Store) -> None:
        self._registry = registry
        self._joggers = joggers
        self._front = front
        self._store = store

    def start(self, args: ArgsMsg) -> Xaction:
        """Start it, or return the one of this ID. Raise `BadRequest`, `BucketNotFound`."""
        if args.bck is None:
            raise BadRequest(f"{LOAD_METADATA} needs a bucket")
        bck = self._front.views.require(args.bck).bck

        async def work(xaction: Xaction) -> None:
            async def visit(batch: Batch) -> None:
                count = await in_pool(batch.mountpath.pool, lambda: self._read(batch))
                xaction.objects += count

            await self._joggers.run(xaction, [bck], visit)

        return self._registry.start(LOAD_METADATA, args.id, work, bck=bck)

    def _read(self, batch: Batch) -> int:
        """How many have metadata. Blocks."""
        count = 0
        for name in batch.names:
            with contextlib.suppress(ObjectNotFound, CorruptMetadata):
                self._store.head(batch.bck, name)
                count += 1
        return count
