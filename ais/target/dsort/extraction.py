"""The first part of a sort: this target's shards are read, and their records sorted."""

import asyncio
import os
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from typing import IO

import msgspec

from ais.api.dsort import Record
from ais.base import templates
from ais.base.errors import NotYetImplemented, ObjectNotFound
from ais.core.content import file_of
from ais.core.store import OpenObject
from ais.dsort import sorting
from ais.dsort.sorting import Sorter
from ais.shard import formats
from ais.target.dsort.content import Identity
from ais.target.dsort.extract import Found, Stopped, extract, order, weight
from ais.target.dsort.run import Run, gather
from ais.target.planned import Planned
from ais.target.shard_files import detect
from ais.target.view import BucketView

EXTRACT_DEFAULT, EXTRACT_MAX = 4, 16
"""Shards read at the same time."""
_EXTRACTION = "local_extraction"


class Source(msgspec.Struct, frozen=True, array_like=True):
    """A shard that was read: which write of it."""

    name: str
    size: int
    checksum: str
    stamp: tuple[int, int]
    records_size: int


class Extraction:
    """Of one job."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._total = 0
        self._planned = Planned(run.parts.host, run.parts.moves, run.task.map_version, run.task.owners)

    async def read(self, view: BucketView) -> list[Source]:
        """What the shards hold: read now, or before this target was restarted.

        Raise `Busy` when shards got other owners meanwhile: both may have passed them.
        """
        if await asyncio.to_thread(self._run.files.exists, self._run.files.records):
            found = list(await asyncio.to_thread(lambda: list(sorting.read(self._run.files.shards, Source))))
            self._run.metrics.add(_EXTRACTION, total_count=len(found), extracted_count=len(found))
            return found
        await self._planned.begin()
        names = await self._run.thread(lambda: list(self._names(view)))
        self._run.metrics.set(_EXTRACTION, "total_count", self._total or len(names))
        sorter = Sorter(
            Record,
            order,
            self._run.files.sorting,
            self._run.memory_bytes,
            is_decreasing=self._run.task.algorithm.decreasing,
        )
        sources: list[Source] = []
        lock = threading.Lock()
        waiting = iter(names)

        async def worker() -> None:
            for name in waiting:
                read = await self._extract(view, name)
                if read is not None:
                    await self._run.thread(partial(self._take, sorter, lock, read[0]))
                    sources.append(read[1])

        workers = min(self._run.task.extract_limit or EXTRACT_DEFAULT, EXTRACT_MAX)
        try:
            await gather(worker() for _ in range(workers))
            self._planned.require_all_met()
            await self._run.thread(lambda: sorting.write(self._run.files.shards, sources))
            await self._run.thread(lambda: sorting.write(self._run.files.records, sorter.sorted()))
        finally:
            sorter.close()
        return sources

    def _names(self, view: BucketView) -> Iterator[str]:
        """The shards that this target owns. Blocks."""
        task, host = self._run.task, self._run.parts.host
        found: Iterable[str]
        template = templates.parse(task.template)
        if task.names is not None:
            found, self._total = task.names, len(task.names)
        elif not template.is_prefix:
            self._total = len(template)
            found = filter(None, map(self._with_extension, template))
        else:
            names = (entry.name for entry in self._run.parts.lister.walk(view.bck, template.prefix))
            found = (name for name in names if formats.by_name(name) and self._with_extension(name))
        for name in found:
            if self._run.stopped.is_set():
                raise Stopped("the sort was stopped")
            self._planned.look()
            if host.placement.owner(view.uname + name).id == host.snode.id:
                yield name

    def _with_extension(self, name: str) -> str:
        """The name of a shard that a template gives; empty: not one of the format asked for."""
        wanted, has = self._run.task.input_extension, formats.by_name(name)
        if has is None:
            return name + wanted
        return name if not wanted or has is formats.by_mime(wanted) else ""

    async def _extract(self, view: BucketView, name: str) -> tuple[Found, Source] | None:
        """Read one shard; None when it is missing and that is no error."""
        parts = self._run.parts
        try:
            opened = await (
                parts.opening.open(view, name)
                if view.needs_care
                else self._run.thread(lambda: parts.store.open(view.bck, name))
            )
        except ObjectNotFound as error:
            self._run.react("missing_shards", str(error))
            return None
        try:
            if opened.key is not None:
                raise NotYetImplemented(f"{view.bck.cname(name)} is encrypted: a sort would write some of it in plain")
            found = await self._run.thread(lambda: self._read_one(view, name, opened))
        finally:
            os.close(opened.fd)
        self._run.metrics.add(
            _EXTRACTION,
            extracted_count=1,
            extracted_size=found.size,
            extracted_record_count=len(found.records),
            extracted_to_disk_count=1 if found.unpacked else 0,
            extracted_to_disk_size=found.unpacked,
        )
        return found, Source(name, *Identity.of(opened.meta), found.size)

    def _read_one(self, view: BucketView, name: str, opened: OpenObject) -> Found:
        place = self._run.parts.volume.place(view.uname + name)
        path = self._run.files.unpacked(place.path, self._run.task.uuid, name)

        def unpack() -> IO[bytes]:
            place.check_room(opened.stat.st_size, self._run.parts.volume.limits.out_of_space_pct)
            return open(path, "wb")

        self._run.parts.store.verify(view.bck, name, opened)
        return extract(
            name,
            file_of(opened),
            detect(opened, name, ""),
            self._run.task.algorithm,
            unpack,
            lambda text: self._run.react("duplicated_records", text),
            self._run.stopped.is_set,
        )

    def _take(self, sorter: Sorter[Record], lock: threading.Lock, found: Found) -> None:
        with lock:
            for record in found.records:
                sorter.add(record, weight(record))
