"""The job `rechunk` at one target: what is said about the chunks in which objects are read.

A file holds an object whole, whatever is said of it. Chunks are what HEAD tells (`Ais-Chunks-Count`), so that a client
knows in which ranges to read, and what `partNumber` counts. Parts that S3 clients uploaded stay: the object's ETag says
how many there are.
"""

from functools import partial

import msgspec

from ais.api.groups import GroupTask
from ais.core import meta as metadata
from ais.core import sealing
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.fs.volume import Volume
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.registry import Xaction


class _Unchanged(Exception):
    pass


class Rechunking:
    """One run."""

    def __init__(self, volume: Volume, store: Store, view: BucketView, task: GroupTask, xaction: Xaction) -> None:
        self._volume = volume
        self._store = store
        self._view = view
        self._task = task
        self._xaction = xaction

    async def rechunk(self, name: str) -> None:
        """Look at one object. Raise as `Store.update`."""
        view = self._view
        update = partial(self._store.update, view.bck, name, self._change, fsync=view.rules.fsync)
        try:
            meta = await in_pool(self._volume.place(view.uname + name).pool, update)
        except _Unchanged:
            return
        self._xaction.objects += 1
        self._xaction.bytes += meta.size

    def _change(self, meta: ObjectMeta) -> ObjectMeta:
        runs = self._runs(meta.size)
        if meta.runs == runs or "-" in meta.facts.get("etag", "") or sealing.is_sealed(meta):
            raise _Unchanged
        return msgspec.structs.replace(meta, runs=runs)

    def _runs(self, size: int) -> tuple[tuple[int, int], ...]:
        limit, chunk = self._task.chunked_from, self._task.chunk_size
        if not limit or size < limit or size <= chunk:
            return ()
        return metadata.equal_runs(size, chunk)
