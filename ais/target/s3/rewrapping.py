"""Data keys under the newest version of the key that wraps them, the part of one target: the job `rewrap-keys`.

After a rotation of the cluster's secret or of a key in Vault, what was encrypted before is opened with the old version.
The job walks all versions of all objects and wraps their data keys again; of an object only its metadata changes. What
is under the newest version already is passed over, so whoever starts it again goes on where it ended. Keys of clients
(SSE-C) are not here; an unfinished upload keeps its key, and is for a later run when it has become an object.
"""

import asyncio

import msgspec

from ais.api.bucket import AIS
from ais.api.xact import REWRAP, ArgsMsg
from ais.base.errors import CorruptMetadata, NotReady
from ais.core import sealing
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.core.version_listing import VersionEntry
from ais.node.s3 import Gate
from ais.node.vault import KeyPending
from ais.s3 import encryption
from ais.target.host import Host
from ais.target.s3.every_version import EveryVersion, chosen
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.registry import Registry, Xaction
from ais.xact.xaction import NO_BUCKET

_KEYS_MAX = 10


class Rewrapping:
    """Starts the job."""

    def __init__(self, host: Host, registry: Registry, gate: Gate, store: Store, versions: EveryVersion) -> None:
        self._host = host
        self._registry = registry
        self._gate = gate
        self._store = store
        self._versions = versions

    def start(self, args: ArgsMsg) -> Xaction:
        """Go through the buckets named, or through all of this cluster."""
        named = args.all_buckets
        bcks = chosen((one.bck for one in self._host.bmd if one.bck.provider == AIS), named)

        async def work(xaction: Xaction) -> None:
            self._gate.keys.renew()
            await self._versions.run(xaction, bcks, self._rewrap)

        return self._registry.start(REWRAP, args.id, work, bck=named[0] if len(named) == 1 else NO_BUCKET)

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
