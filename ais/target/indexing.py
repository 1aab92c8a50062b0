"""The job `index-shard` at one target: an index for each of its shards that has none, or one that does not hold."""

import os
from collections import Counter
from functools import partial

from ais.api.groups import GroupTask
from ais.base.errors import Unsupported
from ais.core.store import OpenObject
from ais.shard.index import TooManyMembers
from ais.shard.reading import BadShard
from ais.target.opening import Opening
from ais.target.shard_index import ShardIndexes, State, is_indexed
from ais.target.uploads import in_pool_to_end
from ais.target.view import BucketView
from ais.xact.registry import Xaction


class Indexing:
    """One run; its message counts what became of the objects."""

    def __init__(
        self, opening: Opening, indexes: ShardIndexes, view: BucketView, task: GroupTask, xaction: Xaction
    ) -> None:
        self._opening = opening
        self._indexes = indexes
        self._view = view
        self._task = task
        self._xaction = xaction
        self._told: Counter[str] = Counter()

    async def index(self, name: str) -> None:
        """Look at one object; no shard, or a damaged one, is passed over. Raise `DiskFailure`, and as `open`."""
        if not is_indexed(name):
            self._tell("skip-nontar")
            return
        opened = await self._opening.open(self._view, name)
        try:
            what = await in_pool_to_end(opened.mountpath.pool, partial(self._index_opened, name, opened))
        except Unsupported:
            what = "skip-encrypted"
        except BadShard:
            what = "skip-damaged"
        except TooManyMembers:
            what = "skip-too-large"
        finally:
            os.close(opened.fd)
        self._tell(what)
        if what == "index":
            self._xaction.objects += 1
            self._xaction.bytes += opened.meta.size

    def _index_opened(self, name: str, opened: OpenObject) -> str:
        state, _ = self._indexes.state(self._view.bck, name, opened.meta)
        if state is State.VALID or (self._task.skip_verify and state is not State.MISSING):
            return "skip-indexed"
        self._indexes.build(self._view.bck, name, opened)
        return "index"

    def _tell(self, what: str) -> None:
        self._told[what] += 1
        self._xaction.ctlmsg = ", ".join(f"{one}:{count}" for one, count in self._told.items())
