"""The xactions of one target: started once per ID, watched while they run, remembered when they have ended.

Owns the tasks. What an xaction does is a coroutine function given by whoever starts it; it counts its progress on the
`Xaction` it is handed, and is cancelled to abort it. Threads that it uses must work in short steps between awaits.
"""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator

import structlog

from ais.api.bucket import Bck
from ais.base.errors import AisError, NotReady
from ais.env.clock import Clock
from ais.xact.history import History
from ais.xact.unfinished import Task, Unfinished
from ais.xact.xaction import NO_BUCKET, Xaction

__all__ = ["Registry", "Work", "Xaction"]

REMEMBERED_MAX = 1000
STOPPING = "the target is stopping"
"""Why xactions are aborted when their target ends."""
REMEMBERED_S = 6 * 3600.0

Work = Callable[[Xaction], Coroutine[None, None, None]]


class Registry:
    """All xactions of this target by ID. With a history, those of earlier lives too, from `recall` on."""

    def __init__(self, clock: Clock, history: History | None = None, unfinished: Unfinished | None = None) -> None:
        self._clock = clock
        self._history = history
        self._unfinished = unfinished
        self._kept: set[str] = set()
        self._log = structlog.get_logger()
        self._known: dict[str, Xaction] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_closed = False
        self._ended: Counter[tuple[str, Bck]] = Counter()

    def ended(self, kind: str, bck: Bck = NO_BUCKET) -> int:
        """How many of a kind, on a bucket, have ended in this life: tells whether one has since."""
        return self._ended[kind, bck]

    async def recall(self) -> list[Task]:
        """Remember what ran before the target was restarted; return what goes on. Before anything starts."""
        tasks = await asyncio.to_thread(self._unfinished.load) if self._unfinished is not None else []
        self._kept = {task.uuid for task in tasks}
        if self._history is None:
            return tasks
        for snap in await asyncio.to_thread(self._history.load):
            self._known[snap.id] = Xaction.remembered(snap)
        self._forget_old()
        await asyncio.to_thread(self._history.rewrite, [one.snap() for one in self._known.values()])
        return tasks

    @property
    def is_closing(self) -> bool:
        """Whether the target is stopping: what goes on at its return leaves everything as it is."""
        return self._is_closed

    async def keep(self, uuid: str, kind: str, body: bytes) -> None:
        """Remember what a job is told until it ends; `recall` gives it back after a restart. Raise `DiskFailure`."""
        if self._unfinished is not None:
            self._kept.add(uuid)
            await asyncio.to_thread(self._unfinished.keep, Task(uuid, kind, body))

    async def mark(self, uuid: str, place: bytes) -> None:
        """Remember how far a kept job is. Raise as `keep`."""
        if self._unfinished is not None:
            await asyncio.to_thread(self._unfinished.mark, uuid, place)

    def forget(self, uuid: str) -> bool:
        """No longer know an xaction that has ended; whether there was one."""
        known = self._known.get(uuid)
        if known is None or known.is_running:
            return False
        del self._known[uuid]
        if self._history is not None:
            self._history.keep_only([one.snap() for one in self._known.values()])
        return True

    def start(
        self,
        kind: str,
        uuid: str,
        work: Work,
        *,
        bck: Bck = NO_BUCKET,
        bck_to: Bck = NO_BUCKET,
        ctlmsg: str = "",
        ended: Callable[[Xaction], None] = lambda _: None,
    ) -> Xaction:
        """Start the work unless this ID runs or ended well here; after an error or abort it starts anew.

        `ended` is called when it is over, however that came, also before its first step. Raise `NotReady` when the
        target is stopping.
        """
        known = self._known.get(uuid)
        if known is not None and (known.is_running or not (known.is_aborted or known.error)):
            return known
        if self._is_closed:
            raise NotReady(STOPPING)
        xaction = Xaction(
            kind, uuid, self._clock.now_ns(), bck=bck, bck_to=bck_to, ctlmsg=ctlmsg, now_s=self._clock.monotonic
        )
        self._known.pop(uuid, None)
        self._known[uuid] = xaction
        self._forget_old()
        task = asyncio.create_task(self._work(work, xaction), name=f"{kind}[{uuid}]")
        self._tasks[uuid] = task
        task.add_done_callback(functools.partial(self._end, xaction, ended))
        self._note(xaction)
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

    def abort_of(self, bck: Bck, reason: str) -> None:
        """Stop all that work on a bucket."""
        for xaction in list(self.select(bck=bck, only_running=True)):
            self.abort(xaction, reason)

    async def close(self) -> None:
        """Abort all and wait until they have ended; nothing starts afterwards."""
        self._is_closed = True
        for uuid in list(self._tasks):
            self.abort(self._known[uuid], STOPPING)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._history is not None:
            await asyncio.to_thread(self._history.close)

    async def _work(self, work: Work, xaction: Xaction) -> None:
        """Do it; a kept one is forgotten before anybody sees that it is over: it must not begin again after that."""
        try:
            await work(xaction)
        finally:
            if (dropping := self._dropping(xaction)) is not None:
                await asyncio.shield(dropping)

    def _dropping(self, xaction: Xaction) -> "asyncio.Future[None] | None":
        """Forget what a job was told that has come to its end, if it was kept."""
        if xaction.uuid not in self._kept or self._is_closed or self._unfinished is None:
            return None
        self._kept.discard(xaction.uuid)
        return asyncio.get_running_loop().run_in_executor(None, self._unfinished.drop, xaction.uuid)

    def _end(self, xaction: Xaction, ended: Callable[[Xaction], None], task: asyncio.Task[None]) -> None:
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
        self._ended[xaction.kind, xaction.bck] += 1
        xaction.end(self._clock.now_ns(), _describe(failure))
        self._note(xaction)
        self._dropping(xaction)  # one that was aborted before its first step
        ended(xaction)
        log.info("xaction ended", objects=xaction.objects, aborted=xaction.is_aborted)

    def _note(self, xaction: Xaction) -> None:
        if self._history is not None:
            self._history.note(xaction.snap())

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
