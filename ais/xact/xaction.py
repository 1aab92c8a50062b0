"""One job on one target: what it is, how far it is, how it ended. Its work counts here, others read `snap()`."""

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from ais.api import gotime
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.xact import ZERO_TIME, Progress, Snap, Stats, time_ns_of
from ais.xact.speed import Speed

NO_BUCKET = Bck("", provider="")
_rfc3339 = gotime.formatter("RFC3339Nano")
_PACKED_BITS = 10
_PACKED_MAX = (1 << _PACKED_BITS) - 1


class Xaction:
    """See the module. The counters are the work's to add to.

    `total`: objects that will be looked at, 0 while unknown, and `repeated` so many once more; `visited`: those that
    were. `is_idle`: the work waits for
    something to do. `ext`: what only this kind tells. `now_s`: seconds of a clock that does not jump.
    """

    def __init__(
        self,
        kind: str,
        uuid: str,
        started_ns: int,
        *,
        bck: Bck = NO_BUCKET,
        bck_to: Bck = NO_BUCKET,
        ctlmsg: str = "",
        now_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.kind, self.uuid, self.ctlmsg = kind, uuid, ctlmsg
        self.bck, self.bck_to = bck, bck_to
        self.objects = self.bytes = 0
        self.objects_sent = self.bytes_sent = 0
        self.objects_received = self.bytes_received = 0
        self.arrived: Callable[[], tuple[int, int]] | None = None
        """Objects and bytes that others have sent here since it started, also after its end; None: they are counted."""
        self.total = self.visited = self.repeated = 0
        self.joggers = self.workers = 0
        self.is_idle = False
        self.ext: dict[str, Any] | None = None
        self._started_ns, self._ended_ns = started_ns, 0
        self._error = self._abort_reason = ""
        self._ended = asyncio.Event()
        self._now_s, self._speed = now_s, Speed(now_s())

    @classmethod
    def remembered(cls, snap: Snap) -> "Xaction":
        """One that ended in an earlier life of the target. It was interrupted if its snap does not say how it ended."""
        has_two_buckets = snap.dst_bck.name != ""
        self = cls(
            snap.kind,
            snap.id,
            time_ns_of(snap.start_time),
            bck=snap.src_bck if has_two_buckets else snap.bck,
            bck_to=snap.dst_bck,
            ctlmsg=snap.ctlmsg,
        )
        stats = snap.stats
        self.objects, self.bytes = stats.loc_objs, stats.loc_bytes
        self.objects_sent, self.bytes_sent = stats.out_objs, stats.out_bytes
        self.objects_received, self.bytes_received = stats.in_objs, stats.in_bytes
        self.ext = snap.ext
        self._abort_reason = snap.abort_err
        if not snap.is_finished:
            self.abort("the target stopped while it ran")
        self.end(time_ns_of(snap.end_time) or self._started_ns, snap.err)
        return self

    @property
    def is_running(self) -> bool:
        """Whether its end was not reached yet."""
        return self._ended_ns == 0

    @property
    def is_aborted(self) -> bool:
        """Whether it was told to stop."""
        return bool(self._abort_reason)

    @property
    def abort_reason(self) -> str:
        """Why it was told to stop; empty: it was not."""
        return self._abort_reason

    @property
    def error(self) -> str:
        """What it failed with; empty while it runs and after a good end."""
        return self._error

    @property
    def started_ns(self) -> int:
        """When it started."""
        return self._started_ns

    @property
    def ended_ns(self) -> int:
        """When it ended, 0 while it runs."""
        return self._ended_ns

    def snap(self) -> Snap:
        """Its state as the wire shows it."""
        has_two_buckets = self.bck_to.name != ""
        self._note_arrivals()
        return Snap(
            id=self.uuid,
            kind=self.kind,
            start_time=_rfc3339(self._started_ns),
            end_time=_rfc3339(self._ended_ns) if self._ended_ns else ZERO_TIME,
            bck=self.bck,
            src_bck=self.bck if has_two_buckets else NO_BUCKET,
            dst_bck=self.bck_to,
            ctlmsg=self.ctlmsg,
            abort_err=self._abort_reason,
            err=self._error,
            packed=U64(min(self.joggers, _PACKED_MAX) | min(self.workers, _PACKED_MAX) << _PACKED_BITS),
            stats=Stats(
                U64(self.objects),
                U64(self.bytes),
                U64(self.objects_sent),
                U64(self.bytes_sent),
                U64(self.objects_received),
                U64(self.bytes_received),
            ),
            aborted=self.is_aborted,
            is_idle=self.is_idle or not self.is_running,
            ext=self.ext,
            progress=self._progress() if self.total and self.is_running else UNSET,
        )

    def _note_arrivals(self) -> None:
        if self.arrived is not None:
            self.objects_received, self.bytes_received = self.arrived()

    def end_arrivals(self) -> None:
        """What others send from now on is not for this one."""
        self._note_arrivals()
        self.arrived = None

    def visit(self, count: int) -> None:
        """So many more were looked at."""
        self.visited += count
        self._speed.note(self._now_s(), self.visited)

    def _progress(self) -> Progress:
        total = self.total + self.repeated
        done = min(self.visited, total)
        left_s = self._speed.left_s(self._now_s(), self.visited, max(self.visited, total))
        return Progress(done, total, UNSET if left_s is None else left_s)

    def abort(self, reason: str) -> None:
        """Note why it stops; the registry cancels the work. The first reason stays."""
        self._abort_reason = self._abort_reason or reason

    def end(self, now_ns: int, error: str = "") -> None:
        """Note that the work is over."""
        self._ended_ns, self._error = now_ns, error
        self._ended.set()

    async def wait(self) -> None:
        """Return when it has ended."""
        await self._ended.wait()
