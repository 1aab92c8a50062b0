"""One download job on one target: it downloads the files whose names it owns, several at a time.

What has become of a file is written down when it ends, so that a target that was restarted goes on behind it. Names
that get other owners meanwhile are looked at again by those, who are told of the job.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice

from msgspec import UNSET
from msgspec.structs import replace

from ais.api import codec, gotime, headers
from ais.api.codec import U64
from ais.api.download import DOWNLOADS, RUNNING, Counts, DownloadTask, File, Wanted
from ais.api.errors import decode_error
from ais.base import names
from ais.base.errors import AisError, BucketNotFound, OutOfSpace
from ais.meta.smap import digest
from ais.net.egress import Egress
from ais.reb import plan
from ais.target.download.fetch import Transfer
from ais.target.download.journal import Journal, Line
from ais.target.download.throttle import Throttle
from ais.target.front import Misplaced
from ais.target.going_out import egress_of
from ais.target.parts import Parts
from ais.target.planned import Planned
from ais.xact.registry import Xaction

CONNECTIONS = 4
"""Of one job on one target, unless it says how many, or has more mountpaths to write to."""
_STEP = 2000
"""Names of a job looked at in one go."""
_TELL_TIMEOUT_S = 30.0
_rfc3339 = gotime.formatter("RFC3339Nano")


class DownloadJob:
    """See the module. `run` is the work of its xaction."""

    def __init__(self, parts: Parts, task: DownloadTask, xaction: Xaction, slots: asyncio.Semaphore) -> None:
        """`slots`: a connection of the target each."""
        self._parts = parts
        self._slots = slots
        self._task = task
        self._xaction = xaction
        self._journal = Journal([one.path for one in parts.volume.available], task.uuid)
        self._throttle = Throttle(parts.host.env.clock, task.bytes_per_s)
        self._current: dict[int, Transfer] = {}
        self._ended = bytearray()
        """A byte for each file of the job: how often it has ended here."""
        self._counts = Counts(of=task.total, description=task.description)
        self._first_error = ""
        self._taking = asyncio.Lock()
        self._ready: deque[Wanted] = deque()
        self._planned = self._plan()
        self._show(self._counts)

    def current(self) -> list[File]:
        """The files that are on their way."""
        return [_current(one) for one in self._current.values()]

    def look_again(self, task: DownloadTask) -> None:
        """Names have got other owners by the map that this task names: look at all once more before the end."""
        if task.map_version > self._task.map_version:
            self._task = task

    async def run(self) -> None:
        """Do it all. Raise when files could not be downloaded, naming the first."""
        parts = self._parts
        await asyncio.to_thread(self._read_journal)
        egress = egress_of(parts.host)
        try:
            with parts.pace.used():
                await self._walk_until_settled(egress)
        finally:
            await egress.close()
        self._show(replace(self._counts, all_dispatched=True))
        if self._counts.errors:
            more = f" (and {self._counts.errors - 1} more)" if self._counts.errors > 1 else ""
            raise AisError(f"{parts.host.snode.name}: {self._first_error}{more}")

    async def _walk_until_settled(self, egress: Egress) -> None:
        """Walk until all was looked at by one map, which all others have looked by, or were told of."""
        while True:
            task, self._planned = self._task, self._plan()
            await self._planned.begin()
            await self._walk(egress)
            is_met, smap = self._planned.is_met, self._parts.host.smap
            if is_met and self._task is task:
                return
            if not is_met and int(smap.version) > self._task.map_version:
                self._task = replace(task, map_version=int(smap.version), owners=plan.owners(smap))
                await self._tell()

    def _plan(self) -> Planned:
        return Planned(self._parts.host, self._parts.moves, self._task.map_version, self._task.owners)

    async def _walk(self, egress: Egress) -> None:
        """Download all that this target owns now and has not ended yet."""
        self._xaction.workers = self._task.connections or max(CONNECTIONS, len(self._parts.volume.available))
        found = iter(self._task)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._xaction.workers):
                    group.create_task(self._work(egress, found))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _work(self, egress: Egress, found: Iterator[Wanted]) -> None:
        while True:
            async with self._taking:
                if not self._ready and not await asyncio.to_thread(self._find, found):
                    return
                wanted = self._ready.popleft()
            async with self._slots:
                await self._download(egress, wanted)

    def _find(self, found: Iterator[Wanted]) -> bool:
        """Add the next files that are ours to do; whether there are any. Runs in a thread."""
        host, uname = self._parts.host, self._task.bck.uname
        while not self._ready:
            step = list(islice(found, _STEP))
            if not step:
                return False
            self._planned.look()
            is_owner, own_id = host.placement.is_owner, host.snode.id
            self._ready.extend(
                one for one in step if not self._ended[one.number] and is_owner(own_id, digest(uname + one.name))
            )
        return True

    async def _download(self, egress: Egress, wanted: Wanted) -> None:
        parts, clock = self._parts, self._parts.host.env.clock
        transfer = self._current[wanted.number] = Transfer(parts, self._task, wanted, self._throttle, clock.now_ns())
        self._show(replace(self._counts, scheduled=self._counts.scheduled + 1))
        try:
            names.check_object_name(wanted.name)
            is_new = await transfer.run(parts.front.views.require(self._task.bck), egress)
        except Misplaced:  # its new owner is told, or looks by itself
            self._show(replace(self._counts, scheduled=self._counts.scheduled - 1))
        except (BucketNotFound, OutOfSpace) as error:  # so it would be for all others
            await self._end(transfer, str(error))
            raise
        except AisError as error:
            await self._end(transfer, str(error))
        except asyncio.CancelledError:
            if not parts.registry.is_closing:
                await asyncio.shield(self._end(transfer, self._xaction.abort_reason or "context canceled"))
            raise
        else:
            await self._end(transfer, is_skipped=not is_new)
        finally:
            del self._current[wanted.number]

    async def _end(self, transfer: Transfer, error: str = "", *, is_skipped: bool = False) -> None:
        """Write down what has become of a file."""
        line = Line(
            transfer.wanted.number,
            transfer.wanted.name,
            transfer.downloaded,
            transfer.total,
            _rfc3339(transfer.started_ns),
            _rfc3339(self._parts.host.env.clock.now_ns()),
            error,
            is_skipped,
        )
        self._count(line)
        await asyncio.to_thread(self._journal.add, line)

    def _count(self, line: Line) -> None:
        counts, xaction = self._counts, self._xaction
        self._ended[line.number] = 1
        self._first_error = self._first_error or line.error
        is_new = not line.error and not line.is_skipped
        if is_new:
            xaction.objects += 1
            xaction.bytes += line.downloaded
        self._show(
            replace(
                counts,
                finished=counts.finished + is_new,
                skipped=counts.skipped + line.is_skipped,
                errors=counts.errors + bool(line.error),
            )
        )

    def _read_journal(self) -> None:
        """Know what ended before this target was restarted. Blocks."""
        self._ended = bytearray(self._task.total)
        for line in self._journal.read():
            if line.number < len(self._ended) and not self._ended[line.number]:
                self._counts = replace(self._counts, scheduled=self._counts.scheduled + 1)
                self._count(line)

    async def _tell(self) -> None:
        """Have every other target look at the names it owns now. Raise `Unreachable`, or what one answers."""
        host, body = self._parts.host, codec.to_msgpack(self._task)
        for target in host.placement.targets:
            if target.id == host.snode.id:
                continue
            url = f"{target.control.url}{DOWNLOADS}/{self._task.uuid}"
            answer = await self._parts.peers.call(
                "PUT", url, headers={headers.CALLER_ID: host.snode.id}, body=body, timeout_s=_TELL_TIMEOUT_S
            )
            if answer.status != HTTPStatus.OK:
                raise decode_error(answer.status, answer.body, url)

    def _show(self, counts: Counts) -> None:
        self._counts = counts
        self._xaction.ext = codec.to_builtins(counts)


def _current(transfer: Transfer) -> File:
    total = U64(transfer.total) if transfer.total >= 0 else UNSET
    return File(transfer.wanted.name, U64(transfer.downloaded), total, _rfc3339(transfer.started_ns), RUNNING)
