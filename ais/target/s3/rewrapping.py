"""Data keys under the newest version of the key that wraps them, the part of one target: the job `rewrap-keys`.

After a rotation of the cluster's secret or of a key in Vault, what was encrypted before is opened with the old version.
The job walks all versions of all objects and wraps their data keys again; of an object only its metadata changes. What
is under the newest version already is passed over, so whoever starts it again goes on where it ended. Keys of clients
(SSE-C) are not here; an unfinished upload keeps its key, and is for a later run when it has become an object.
"""

import asyncio

import msgspec
import structlog

from ais.api.bucket import AIS, Bck
from ais.api.xact import REWRAP, ArgsMsg
from ais.base.errors import AisError, CorruptMetadata, NotFound, NotReady
from ais.core import sealing
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.core.version_listing import VersionEntry, VersionLister
from ais.fs import layout
from ais.node.s3 import Gate
from ais.node.vault import KeyPending
from ais.s3 import encryption
from ais.target.front import Front
from ais.target.host import Host
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.joggers import Joggers
from ais.xact.pace import Pace
from ais.xact.registry import Registry, Xaction
from ais.xact.xaction import NO_BUCKET

_PAGE = 1000
_KEYS_MAX = 10


class Rewrapping:
    """Starts the job."""

    def __init__(
        self, host: Host, registry: Registry, joggers: Joggers, gate: Gate, front: Front, store: Store, pace: Pace
    ) -> None:
        self._clock = host.env.clock
        self._host = host
        self._registry = registry
        self._gate = gate
        self._front = front
        self._joggers = joggers
        self._store = store
        self._pace = pace
        self._lister = VersionLister(store.volume, host.env)
        self._log = structlog.get_logger()

    def start(self, args: ArgsMsg) -> Xaction:
        """Go through the buckets named, or through all of this cluster."""
        named = args.all_buckets
        bcks = [one.bck for one in self._host.bmd if one.bck.provider == AIS and (not named or one.bck in named)]

        async def work(xaction: Xaction) -> None:
            self._gate.keys.renew()
            targets = self._host.smap
            failed, counted = 0, (layout.OBJECTS, layout.VERSIONS)
            async with self._joggers.counting(xaction, bcks, counted):
                for bck in bcks:
                    failed += await self._bucket(xaction, bck)
            if failed:
                raise NotReady(
                    f"the data keys of {failed} objects could not be wrapped again: the log of this target says which"
                    " and why; start the job again"
                )
            if targets.moving or self._host.smap.version != targets.version:
                raise NotReady("targets came or went meanwhile, and objects moved: start the job again")
            if targets.away:
                names = ", ".join(sorted(target.name for target in targets.away.values()))
                raise NotReady(f"{names} away: what is there still needs older keys; start the job again with them")

        return self._registry.start(REWRAP, args.id, work, bck=named[0] if len(named) == 1 else NO_BUCKET)

    async def _bucket(self, xaction: Xaction, bck: Bck) -> int:
        """How many failed."""
        failed, after, has_more = 0, ("", ""), True
        while has_more and (view := self._front.views.get(bck)) is not None:
            started_s = self._clock.monotonic()
            page = await asyncio.to_thread(self._lister.page, bck, "", after, _PAGE, session=xaction.uuid)
            has_more = page.has_more
            for entry in page.entries:
                after = (entry.name, entry.order)
                xaction.visited += 1
                try:
                    wrapped = await self._rewrap(view, entry)
                    xaction.objects += wrapped
                except NotFound:
                    continue  # removed meanwhile
                except AisError as error:
                    failed += 1
                    self._log.error(
                        "a data key could not be wrapped again",
                        object=bck.cname(entry.name), version=entry.version_id, error=str(error),
                    )  # fmt: skip
            await self._pace.rest(self._clock.monotonic() - started_s)
        return failed

    async def _rewrap(self, view: BucketView, entry: VersionEntry) -> bool:
        """Whether this version has got a new wrapping. Raise `AisError`."""
        if entry.is_marker:
            return False
        if entry.meta is None:
            raise CorruptMetadata("its metadata is damaged")
        old = entry.meta.facts.get(sealing.KEY)
        new = await self._newest(entry.meta) if old is not None else None
        if new is None:
            return False

        def change(meta: ObjectMeta) -> ObjectMeta:
            if meta.facts.get(sealing.KEY) != old:  # replaced meanwhile, under a key that is newer than the walk
                return meta
            return msgspec.structs.replace(meta, facts={**meta.facts, sealing.KEY: new})

        def step() -> None:
            self._store.update(view.bck, entry.name, change, entry.version_id, fsync=view.rules.fsync)

        await in_pool(self._store.volume.place(view.uname + entry.name).pool, step)
        return True

    async def _newest(self, meta: ObjectMeta) -> str | None:
        """The data key under the newest version of its key; None when there is nothing to do."""
        for _ in range(_KEYS_MAX):
            try:
                return encryption.rewrap(meta.facts, self._gate.keys)
            except KeyPending as pending:
                await asyncio.shield(pending.fetched)
        raise NotReady("keys of the key service end before they are used: try again")
