"""The xactions of one target: started once per ID, watched while they run, remembered when they have ended.

Owns the tasks. What an xaction does is a coroutine function given by whoever starts it; it counts its progress on the
`Xaction` it is handed, and is cancelled to abort it. Threads that it uses must work in short steps between awaits.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterator

import structlog

from ais.api import gotime
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.xact import ZERO_TIME, Snap, Stats
from ais.base.errors import AisError, NotReady
from ais.env.clock import Clock

REMEMBERED_MAX = 1000
REMEMBERED_S = 6 * 3600.0
_NO_BUCKET = Bck("")
_rfc3339 = gotime.formatter("RFC3339Nano")

Work = Callable[["Xaction"], Coroutine[None, None, None]]


class Xaction:
    """One job on this target. Its work adds to the counters; everybody else reads `snap()`."""

    def __init__(
        self,
        kind: str,
        uuid: str,
        started_ns: int,
        *,
        bck: Bck = _NO_BUCKET,
        bck_to: Bck = _NO_BUCKET,
        ctlmsg: str = "",
    ) -> None:
        self.kind, self.uuid, self.ctlmsg = kind, uuid, ctlmsg
        self.bck, self.bck_to = bck, bck_to
        self.objects = self.bytes = 0
        self.objects_sent = self.bytes_sent = 0
        self.objects_received = self.bytes_received = 0
        self._started_ns, self._ended_ns = started_ns, 0
        self._error = self._abort_reason = ""
        self._ended = asyncio.Event()

    @property
    def is_running(self) -> bool:
        """Whether its end was not reached yet."""
        return self._ended_ns == 0

    @property
    def is_aborted(self) -> bool:
        """Whether it was told to stop."""
        return bool(self._abort_reason)

    @property
    def ended_ns(self) -> int:
        """When it ended, 0 while it runs."""
        return self._ended_ns

    def snap(self) -> Snap:
        """Its state as the wire shows it."""
        has_two_buckets = self.bck_to != _NO_BUCKET
        return Snap(
            id=self.uuid,
            kind=self.kind,
            start_time=_rfc3339(self._started_ns),
            end_time=_rfc3339(self._ended_ns) if self._ended_ns else ZERO_TIME,
            bck=self.bck,
            src_bck=self.bck if has_two_buckets else _NO_BUCKET,
            dst_bck=self.bck_to,
            ctlmsg=self.ctlmsg,
            abort_err=self._abort_reason,
            err=self._error,
            stats=Stats(
                U64(self.objects),
                U64(self.bytes),
                U64(self.objects_sent),
                U64(self.bytes_sent),
                U64(self.objects_received),
                U64(self.bytes_received),
            ),
            aborted=self.is_aborted,
        )

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


class Registry:
    """All xactions of this target by ID."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log = structlog.get_logger()
        self._known: dict[str, Xaction] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_closed = False

    def start(
        self,
        kind: str,
        uuid: str,
        work: Work,
        *,
        bck: Bck = _NO_BUCKET,
        bck_to: Bck = _NO_BUCKET,
        ctlmsg: str = "",
    ) -> Xaction:
        """Start the work unless this ID runs or ended well here; after an error or abort it starts anew.

        Raise `NotReady` when the target is stopping.
        """
        known = self._known.get(uuid)
        if known is not None and (known.is_running or not (known.is_aborted or known.snap().err)):
            return known
        if self._is_closed:
            raise NotReady("the target is stopping")
        xaction = Xaction(kind, uuid, self._clock.now_ns(), bck=bck, bck_to=bck_to, ctlmsg=ctlmsg)
        self._known.pop(uuid, None)
        self._known[uuid] = xaction
        self._forget_old()
        task = asyncio.create_task(work(xaction), name=f"{kind}[{uuid}]")
        self._tasks[uuid] = task
        task.add_done_callback(functools.partial(self._end, xaction))
        self._log.info("xaction started", xaction=uuid, kind=kind, bucket=bck.name)
        return xaction

    def get(self, uuid: str) -> Xaction | None:
        """The xaction of that ID, running or remembered."""
        return self._known.get(uuid)

    def select(
        self, *, uuids: frozenset[str] = frozenset(), kind: str = "", bck: Bck | None = None, only_running: bool = False
    ) -> Iterator[Xaction]:
        """Those that match everything given, oldest first."""
        for xaction in self._known.values():
            if uuids and xaction.uuid not in uuids:
                continue
            if kind and xaction.kind != kind:
                continue
            if bck is not None and bck.name and bck not in (xaction.bck, xaction.bck_to):
                continue
            if only_running and not xaction.is_running:
                continue
            yield xaction

    def abort(self, xaction: Xaction, reason: str) -> None:
        """Stop it; returns at once. An ended one is left as it is."""
        task = self._tasks.get(xaction.uuid)
        if task is not None and xaction.is_running:
            xaction.abort(reason)
            task.cancel()

    async def close(self) -> None:
        """Abort all and wait until they have ended; nothing starts afterwards."""
        self._is_closed = True
        for uuid in list(self._tasks):
            self.abort(self._known[uuid], "the target is stopping")
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _end(self, xaction: Xaction, task: asyncio.Task[None]) -> None:
        """The task is over, however: also when it was cancelled before its first step."""
        log = self._log.bind(xaction=xaction.uuid, kind=xaction.kind)
        failure = None if task.cancelled() else task.exception()
        if task.cancelled():
            xaction.abort("cancelled")
        elif isinstance(failure, AisError):
            log.warning("xaction failed", error=str(failure))
        elif failure is not None:
            log.error("xaction failed", exc_info=failure)
        del self._tasks[xaction.uuid]
        xaction.end(self._clock.now_ns(), _describe(failure))
        log.info("xaction ended", objects=xaction.objects, aborted=xaction.is_aborted)

    def _forget_old(self) -> None:
        """Drop ended xactions that are too old or too many."""
        horizon_ns = self._clock.now_ns() - int(REMEMBERED_S * 1e9)
        ended = [one for one in self._known.values() if not one.is_running]
        surplus = len(ended) - REMEMBERED_MAX
        for index, one in enumerate(ended):
            if index < surplus or one.ended_ns < horizon_ns:
                del self._known[one.uuid]


def _describe(failure: BaseException | None) -> str:
    if failure is None:
        return ""
    return str(failure) if isinstance(failure, AisError) else f"{type(failure).__name__}: {failure}"
