"""PutObject."""

from ais.core.store import Store
from ais.net.http import Upload
from ais.s3 import facts
from ais.s3.payload import DEFAULT, Payload
from ais.stats.tracker import Tracker
from ais.target.front import Front
from ais.target.remote.through import Through, ThroughSink
from ais.target.s3.ask import S3Ask
from ais.target.s3.receiving import ObjectBody, Receipt, ThroughBody, asked_condition, asked_of_backend, stored_answer
from ais.target.s3.usual_puts import BODY_BYTES_MAX, UsualPuts
from ais.target.uploads import upload


class Puts:
    """Takes whole objects."""

    def __init__(self, front: Front, store: Store, stats: Tracker, through: Through, usual: UsualPuts) -> None:
        self._usual = usual
        self._through = through
        self._front = front
        self._store = store
        self._stats = stats

    def put(self, ask: S3Ask) -> Upload:
        """Store the body."""
        given, custom = ask.facts(), facts.user_metadata(ask.request)
        condition = asked_condition(ask, self._store)
        payload = Payload(ask.request, ask.caller, algorithm=DEFAULT)
        rules, hint = ask.rules(_event_of(ask)), payload.length
        writer = self._store.writer(ask.view.bck, ask.key, rules, custom=custom, size_hint=hint, seal=ask.seal())
        receipt = Receipt(ask, self._front, self._stats, lambda meta: stored_answer(ask, meta))
        if ask.view.remote is not None:
            body, check = ThroughBody(payload, writer, given), asked_of_backend(ask)
            sink = ThroughSink(receipt, ask.view, ask.key, body, 0.0, self._through, lambda: custom | given, check)
            return Upload(sink)
        self._usual.remember(ask)
        return upload(
            receipt,
            ask.view,
            ObjectBody(payload, writer, given),
            0.0,
            size=payload.length,
            inline_bytes_max=BODY_BYTES_MAX,
            condition=condition,
        )


def _event_of(ask: S3Ask) -> str:
    """A gateway sends what came in a form as a PUT for its user."""
    via = ask.request.via
    return "Post" if via is not None and via.user is not None and ask.request.http.headers.is_chunked else "Put"
