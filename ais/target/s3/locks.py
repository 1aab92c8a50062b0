"""Retention and legal hold of object versions."""

from collections.abc import Awaitable, Callable

import msgspec

from ais.core.holds import LEGAL_HOLD, MODE
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.fs.volume import Volume
from ais.net.http import Reply, Upload
from ais.node.s3 import Said
from ais.s3 import actions, document_body, lock
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.payload import Payload
from ais.target.s3.ask import S3Ask
from ais.target.uploads import in_pool


class Locks:
    """One per target."""

    def __init__(self, store: Store, volume: Volume) -> None:
        self._store = store
        self._volume = volume

    def get_retention(self, ask: S3Ask) -> Reply:
        """GetObjectRetention."""
        return ask.xml(lock.retention(self._facts(ask)))

    def get_legal_hold(self, ask: S3Ask) -> Reply:
        """GetObjectLegalHold."""
        return ask.xml(lock.legal_hold(self._facts(ask)))

    def put_retention(self, ask: S3Ask) -> Upload:
        """PutObjectRetention: a new retention, or a longer one; with the right to bypass governance, any."""
        bypass = lock.asks_to_bypass(ask.request)

        def change(body: bytes) -> Callable[[Facts], Facts]:
            wanted = lock.parse_retention(body, ask.gate.now_s)
            self._require(ask, {"s3:object-lock-mode": wanted.get(MODE)})
            return lambda kept: lock.with_retention(kept, wanted, ask.gate.sure_s, bypass=bypass)

        return self._taking(ask, change)

    def put_legal_hold(self, ask: S3Ask) -> Upload:
        """PutObjectLegalHold."""

        def change(body: bytes) -> Callable[[Facts], Facts]:
            status = lock.parse_legal_hold(body)
            self._require(ask, {"s3:object-lock-legal-hold": status})
            return lambda kept: {**kept, LEGAL_HOLD: status}

        return self._taking(ask, change)

    def _facts(self, ask: S3Ask) -> Facts:
        if lock.DOCUMENT not in ask.bucket.s3.documents:
            raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
        return self._store.head(ask.view.bck, ask.key, ask.version_id).meta.facts

    def _require(self, ask: S3Ask, said: Said) -> None:
        """Raise `S3Error` AccessDenied unless the caller may do what the document says, which the gate did not know."""
        if not ask.caller.trusted:
            action = actions.action_of(ask.request.op)
            ask.gate.require(ask.request, ask.caller, ask.bucket, action, ask.key, self._facts(ask), said)

    def _taking(self, ask: S3Ask, change: Callable[[bytes], Callable[[Facts], Facts]]) -> Upload:
        self._facts(ask)
        payload = Payload(ask.request, ask.caller, with_md5=False)
        size = int(ask.gate.limits.document_size)
        return document_body.upload(payload, size, lambda body: self._update(ask, change(body)))

    def _update(self, ask: S3Ask, change: Callable[[Facts], Facts]) -> Awaitable[Reply]:
        def changed(meta: ObjectMeta) -> ObjectMeta:
            return msgspec.structs.replace(meta, facts=change(meta.facts))

        async def update() -> Reply:
            pool, rules, bck = self._volume.place(ask.uname).pool, ask.rules(""), ask.view.bck

            def step() -> ObjectMeta:
                return self._store.update(bck, ask.key, changed, ask.version_id, fsync=rules.fsync, event=rules.event)

            await in_pool(pool, step)
            return ask.reply(200)

        return update()
