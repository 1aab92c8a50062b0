"""The second part of a sort: the records of all targets in order, and who makes which output shards of them."""

import asyncio
import heapq
import os
from collections.abc import Iterator
from itertools import groupby

import msgspec

from ais.api.dsort import Placed, Record, State
from ais.base.errors import BadRequest, Busy
from ais.dsort import keymap, placing, sorting
from ais.dsort.sorting import Sorter
from ais.target.dsort.extract import Stopped, order, weight
from ais.target.dsort.keyfile import read_key_file
from ais.target.dsort.run import Run


class Planning:
    """Of one job. The one who leads makes the plans of all, in files."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def lead(self, own: State) -> None:
        """Say who makes what, unless that was done before a restart. `own`: the state of this target."""
        last = self._run.files.plan_for(len(self._run.task.targets) - 1)
        if await asyncio.to_thread(self._run.files.exists, last):
            return
        states = await self._run.partners.until(self._run.others, lambda state: state.extracted)
        for number in self._run.others:
            began_s = self._run.parts.host.env.clock.monotonic()
            await self._run.partners.fetch(number, "records", self._run.files.records_of(number))
            self._run.metrics.took("recv_stats", self._run.parts.host.env.clock.monotonic() - began_s)
        sources = {name for state in (*states, own) for name in state.shards}
        keys = (
            await read_key_file(self._run.parts, self._run.task, self._run.react) if self._run.task.ekm_file else None
        )
        total = sum(state.size for state in (*states, own))
        await self._run.thread(lambda: self._assign(keys, total, sources))

    def _assign(self, keys: keymap.KeyMap | None, total: int, sources: set[str]) -> None:
        """Write the plan of every target. Raise `BadRequest` when it cannot be."""
        task, placement = self._run.task, self._run.parts.host.placement
        records = self._merged()
        if keys is not None:
            found = placing.by_key_map(records, keys, task.output_extension, task.output_size, self._run.react)
        else:
            found = placing.in_order(records, task.output_format, task.output_extension, task.output_size, total)
        sorters = [
            Sorter(
                Placed,
                _place,
                self._run.files.plan_for(number) + ".sorting",
                self._run.memory_bytes // len(task.targets),
            )
            for number in range(len(task.targets))
        ]
        numbers = {target_id: number for number, target_id in enumerate(task.targets)}
        owners: dict[int, int] = {}
        try:
            for one in found:
                if self._run.stopped.is_set():
                    raise Stopped("the sort was stopped")
                if one.number not in owners:
                    if one.shard in sources:
                        raise BadRequest(
                            f"{task.to.cname(one.shard)} is one of the shards to sort: name output shards otherwise"
                        )
                    owner = placement.owner(task.to.uname + one.shard).id
                    if owner not in numbers:
                        raise Busy("targets came or went meanwhile: start again")
                    owners[one.number] = numbers[owner]
                sorters[owners[one.number]].add(one, weight(one.record) + len(one.shard) + 20)
            for number, sorter in enumerate(sorters):
                sorting.write(self._run.files.plan_for(number), sorter.sorted())
        finally:
            for sorter in sorters:
                sorter.close()

    def _merged(self) -> Iterator[Record]:
        """The records of all targets in order."""

        def of(number: int) -> Iterator[Record]:
            path = self._run.files.records if number == 0 else self._run.files.records_of(number)
            for record in sorting.read(path, Record):
                yield msgspec.structs.replace(record, source=number)

        parts = [of(number) for number in range(len(self._run.task.targets))]
        return heapq.merge(*parts, key=order, reverse=self._run.task.algorithm.decreasing)

    async def fetch(self) -> None:
        """Have the plan of this target."""
        began_s = self._run.parts.host.env.clock.monotonic()
        if not await asyncio.to_thread(self._run.files.exists, self._run.files.plan):
            if self._run.number == 0:
                await asyncio.to_thread(os.link, self._run.files.plan_for(0), self._run.files.plan)
            else:
                await self._run.partners.fetch(0, f"plan.{self._run.number}", self._run.files.plan)
                self._run.metrics.took("sent_stats", self._run.parts.host.env.clock.monotonic() - began_s)
        self._run.metrics.set("shard_creation", "to_create", await self._run.thread(self._count))

    def _count(self) -> int:
        return sum(1 for _ in groupby(sorting.read(self._run.files.plan, Placed), lambda one: one.number))


def _place(one: Placed) -> tuple[int, int]:
    return one.number, one.place
