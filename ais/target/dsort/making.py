"""The last part of a sort: this target's output shards, one after the other."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial
from itertools import groupby

from ais.api.dsort import Placed, Wanted
from ais.base.errors import Busy
from ais.core.writer import Writer
from ais.dsort import sorting
from ais.shard import formats
from ais.target.dsort import creation
from ais.target.dsort.content import Contents
from ais.target.dsort.creation import Output, Piece
from ais.target.dsort.run import Run
from ais.target.uploads import in_pool_to_end
from ais.target.view import BucketView

_CREATION = "shard_creation"


class Making:
    """Of one job. `contents`: what this target has itself."""

    def __init__(self, run: Run, contents: Contents) -> None:
        self._run = run
        self._contents = contents
        self._now_s = run.parts.host.env.clock.now_ns() // 1_000_000_000

    async def run(self, view: BucketView) -> None:
        """Make all in the plan that are not made yet."""
        made = await asyncio.to_thread(self._run.files.made)
        self._run.metrics.add(_CREATION, created_count=len(made))
        placed = (one for one in sorting.read(self._run.files.plan, Placed) if one.number not in made)
        batches = creation.batches(creation.pieces(placed))
        output: Output | None = None
        number = -1
        try:
            async with aclosing(creation.ahead(batches, self._fetch)) as found:
                async for batch, data in found:
                    at = 0
                    for wanted, group in groupby(batch, lambda piece: piece.placed.number):
                        mine = list(group)
                        if wanted != number:
                            await self._commit(view, output, number)
                            number, output = wanted, await self._begin(view, mine[0].placed)
                        assert output is not None
                        step = partial(output.write, mine, data[at : at + len(mine)])
                        await in_pool_to_end(output.writer.mountpath.pool, step)
                        at += len(mine)
                await self._commit(view, output, number)
        except BaseException:
            if output is not None:
                await in_pool_to_end(output.writer.mountpath.pool, output.writer.abort)
            raise

    async def _begin(self, view: BucketView, placed: Placed) -> Output:
        host, name, view = self._run.parts.host, placed.shard, self._run.parts.front.current(view)
        if host.placement.owner(view.uname + name).id != host.snode.id:
            raise Busy("targets came or went meanwhile: start again")
        await self._run.parts.moves.settle(view, name)
        kind = formats.require(name, "")
        store = self._run.parts.store
        writer = await self._run.thread(lambda: store.writer(view.bck, name, view.rules), Writer.abort)
        return Output(name, writer, kind, self._now_s, partial(self._run.react, "duplicated_records"))

    async def _commit(self, view: BucketView, output: Output | None, number: int) -> None:
        if output is None:
            return
        pool, indexes = output.writer.mountpath.pool, self._run.parts.indexes
        size = await in_pool_to_end(pool, output.commit)
        await in_pool_to_end(pool, lambda: indexes.build_after_write(view.bck, output.name))
        await asyncio.to_thread(self._run.files.note_made, number)
        self._run.xaction.objects += 1
        self._run.xaction.bytes += size
        self._run.metrics.add(_CREATION, created_count=1)

    async def _fetch(self, batch: list[Piece]) -> list[bytes]:
        """The bytes of each piece, from all targets at the same time."""
        wanted: dict[int, list[Wanted]] = {}
        for piece in batch:
            wanted.setdefault(piece.placed.record.source, []).append(piece.wanted)

        async def ask(number: int, pieces: list[Wanted]) -> tuple[int, Iterator[bytes]]:
            if number == self._run.number:
                return number, iter(await self._contents.read(pieces))
            self._run.xaction.objects_received += len(pieces)
            self._run.xaction.bytes_received += sum(one.size for one in pieces)
            return number, iter(await self._run.partners.content(number, pieces))

        found = dict(await asyncio.gather(*(ask(number, pieces) for number, pieces in wanted.items())))
        return [next(found[piece.placed.record.source]) for piece in batch]
