"""Jobs that go on when their target was restarted, from what was kept of them (`Registry.keep`) until they end."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from ais.api.bucket import Bck
from ais.base.errors import AisError
from ais.xact.registry import Registry, Work, Xaction
from ais.xact.unfinished import Task
from ais.xact.xaction import NO_BUCKET

Resume = Callable[[Task], object]


class Tasks:
    """One per target. `served`: set when it serves objects."""

    def __init__(self, registry: Registry, served: asyncio.Event) -> None:
        self._registry = registry
        self._served = served
        self._resume: dict[str, Resume] = {}

    def of(self, kinds: Iterable[str], resume: Resume) -> None:
        """Have jobs of these kinds go on by `resume`."""
        self._resume |= dict.fromkeys(kinds, resume)

    def begin(
        self, kind: str, uuid: str, work: Work, *, bck: Bck, bck_to: Bck = NO_BUCKET, ctlmsg: str = ""
    ) -> Xaction:
        """Start a job; it works from the moment on when this target serves objects. Raise as `Registry.start`."""

        async def work_when_served(xaction: Xaction) -> None:
            await self._served.wait()
            await work(xaction)

        return self._registry.start(kind, uuid, work_when_served, bck=bck, bck_to=bck_to, ctlmsg=ctlmsg)

    def resume(self, tasks: Iterable[Task]) -> None:
        """Go on with what ran when this target stopped. What cannot go on is logged, and tried at the next start."""
        for one in tasks:
            try:
                self._resume[one.kind](one)
            except (AisError, KeyError) as error:
                log = structlog.get_logger().bind(xaction=one.uuid, kind=one.kind)
                log.warning("cannot go on with a job", error=str(error))
