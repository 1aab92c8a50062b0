"""Jobs that do something with each version of each object of buckets, the part of one target."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from ais.api.bucket import Bck
from ais.base.errors import AisError, NotFound, NotReady
from ais.core.store import Store
from ais.core.version_listing import VersionEntry, VersionLister
from ais.fs import layout
from ais.target.front import Front
from ais.target.host import Host
from ais.target.view import BucketView
from ais.xact.joggers import Joggers
from ais.xact.pace import Pace
from ais.xact.xaction import Xaction

_PAGE = 1000
Visit = Callable[[BucketView, VersionEntry], Awaitable[bool]]


class EveryVersion:
    """What such jobs have in common. Each passes over what it did before, so it can be started again."""

    def __init__(self, host: Host, joggers: Joggers, front: Front, store: Store, pace: Pace) -> None:
        self._host = host
        self._joggers = joggers
        self._front = front
        self._pace = pace
        self._lister = VersionLister(store.volume, host.env)
        self._log = structlog.get_logger()

    async def run(self, xaction: Xaction, bcks: Sequence[Bck], visit: Visit) -> None:
        """Hand every version and delete marker to `visit`, which says whether it did something.

        Raise `NotReady` at the end when some failed, which the log says, or when not all could be seen.
        """
        targets = self._host.smap
        failed = 0
        async with self._joggers.counting(xaction, bcks, (layout.OBJECTS, layout.VERSIONS)):
            for bck in bcks:
                failed += await self._bucket(xaction, bck, visit)
        if failed:
            raise NotReady(f"{failed} versions failed: the log of this target says which and why; start the job again")
        if targets.moving or self._host.smap.version != targets.version:
            raise NotReady("targets came or went meanwhile, and objects moved: start the job again")
        if targets.away:
            names = ", ".join(sorted(target.name for target in targets.away.values()))
            raise NotReady(f"{names} away: what is there was not seen; start the job again with them")

    async def _bucket(self, xaction: Xaction, bck: Bck, visit: Visit) -> int:
        """How many failed."""
        failed, after, has_more = 0, ("", ""), True
        while has_more and (view := self._front.views.get(bck)) is not None:
            started_s = self._host.env.clock.monotonic()
            page = await asyncio.to_thread(self._lister.page, bck, "", after, _PAGE, session=xaction.uuid)
            has_more = page.has_more
            for entry in page.entries:
                after = (entry.name, entry.order)
                xaction.visited += 1
                try:
                    count = await visit(view, entry)
                    xaction.objects += count
                except NotFound:
                    continue  # removed meanwhile
                except AisError as error:
                    failed += 1
                    self._log.error(
                        "a version failed", job=xaction.kind, object=bck.cname(entry.name), version=entry.version_id,
                        error=str(error),
                    )  # fmt: skip
            await self._pace.rest(self._host.env.clock.monotonic() - started_s)
        return failed


def chosen(known: Iterable[Bck], named: Sequence[Bck]) -> list[Bck]:
    """The buckets named; all when none is."""
    return [bck for bck in known if not named or bck in named]
