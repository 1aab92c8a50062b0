"""PutObject."""

from ais.core.sealing import sealed_size
from ais.core.store import Store
from ais.net.http import Upload
from ais.s3 import facts
from ais.s3.payload import DEFAULT, Payload
from ais.stats.tracker import Tracker
from ais.target.front import Front
from ais.target.s3.ask import S3Ask
from ais.target.s3.receiving import ObjectBody, Receipt, asked_condition, stored_answer
from ais.target.s3.sealed import writer_for
from ais.target.uploads import upload

INLINE_BYTES_MAX = 64 << 10
"""Larger bodies are hashed and written in the mountpath's pool: MD5 alone takes 80 us for so much."""


class Puts:
    """Takes whole objects."""

    def __init__(self, front: Front, store: Store, stats: Tracker) -> None:
        self._front = front
        self._store = store
        self._stats = stats

    def put(self, ask: S3Ask) -> Upload:
        """Store the body."""
        given, custom = ask.facts(), facts.user_metadata(ask.request)
        condition = asked_condition(ask, self._store)
        payload = Payload(ask.request, ask.caller, algorithm=DEFAULT)
        key, sealed = ask.seal()
        hint = payload.length if key is None else sealed_size(payload.length)
        writer = self._store.writer(ask.view.bck, ask.key, ask.view.rules, custom=custom, size_hint=hint)
        receipt = Receipt(ask, self._front, self._stats, lambda meta: stored_answer(ask, meta))
        return upload(
            receipt,
            ask.view,
            ObjectBody(payload, writer_for(writer, key, payload.exact_length), given | sealed),
            0.0,
            size=payload.length,
            inline_bytes_max=INLINE_BYTES_MAX,
            condition=condition,
        )
