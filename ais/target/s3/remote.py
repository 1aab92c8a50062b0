"""Objects of buckets that have a backend, over S3. What could not be kept there is refused before it begins."""

from collections.abc import Awaitable, Callable, Iterator

from ais.backend.interface import RemoteObject
from ais.base.errors import ContentDamaged, CorruptMetadata, Lost, ObjectNotFound
from ais.core.meta import ObjectMeta
from ais.core.versions import NULL
from ais.net.http import AnyReply, Reply, StreamReply, header_lines
from ais.s3 import conditions, facts
from ais.s3.conditions import Current, http_date
from ais.s3.errors import S3Error
from ais.s3.operations import Op
from ais.stats import names as metrics
from ais.stats.tracker import Tracker
from ais.target.moves import Moves
from ais.target.moving_uploads import MovingUploads
from ais.target.ranges import content_range, parse_byte_range
from ais.target.remote.remote import Remote
from ais.target.s3.ask import S3Ask
from ais.target.s3.kept import require_kept
from ais.target.s3.reads import OVERRIDES, overrides_of, part_span

Handler = Callable[[S3Ask], AnyReply | Awaitable[AnyReply]]
_READS = frozenset({Op.GET_OBJECT, Op.GET_OBJECT_ATTRIBUTES})
_MAKES = frozenset({Op.PUT_OBJECT, Op.COPY_OBJECT, Op.CREATE_MULTIPART_UPLOAD})
_SERVED = (
    _READS
    | _MAKES
    | {
        Op.HEAD_OBJECT,
        Op.DELETE_OBJECT,
        Op.UPLOAD_PART,
        Op.UPLOAD_PART_COPY,
        Op.COMPLETE_MULTIPART_UPLOAD,
        Op.ABORT_MULTIPART_UPLOAD,
        Op.LIST_PARTS,
    }
)


class RemoteObjects:
    """One per target."""

    def __init__(self, moves: Moves, moving_uploads: MovingUploads, remote: Remote, stats: Tracker) -> None:
        self._moves = moves
        self._moving_uploads = moving_uploads
        self._cold = remote.cold
        self._through = remote.through
        self._ranges = remote.ranges
        self._stats = stats

    async def serve(self, handler: Handler, ask: S3Ask) -> AnyReply:
        """Answer a request; `handler` answers for what is here. What is damaged here is fetched anew.

        Raise `S3Error`, and what the backend raises.
        """
        if ask.version_id not in (None, NULL):
            raise S3Error("NotImplemented", "Versions of objects in remote buckets are read at their backend")
        op = ask.request.op
        if op not in _SERVED:
            raise S3Error("NotImplemented", f"Remote buckets do not support this over S3: {op.name}")
        if op in _MAKES:
            require_kept(ask.facts(), is_sealed=ask.seal() is not None)
        await self._moves.settle(ask.view, ask.key)
        if (upload_id := ask.request.params.get("uploadId")) is not None:
            await self._moving_uploads.settle(ask.view, ask.key, upload_id)
        try:
            return await self._serve(handler, ask)
        except (ContentDamaged, CorruptMetadata, Lost):
            is_read = op in _READS or op is Op.HEAD_OBJECT
            if not (is_read and ask.view.fetches and await self._cold.let_go_damaged(ask.view, ask.key)):
                raise
        return await self._serve(handler, ask)

    async def _serve(self, handler: Handler, ask: S3Ask) -> AnyReply:
        op = ask.request.op
        if ask.view.stays_fresh and (op in _READS or op is Op.HEAD_OBJECT):
            await self._through.refresh(ask.view, ask.key)
        if op in _READS and not await self._cold.is_here(ask.view, ask.key):
            ask.view.require_fetched(ask.key)
            if op is Op.GET_OBJECT and (streamed := await self._stream(ask)) is not None:
                return streamed
            await self._cold.ensure(ask.view, ask.key)
        try:
            reply = handler(ask)
            return await reply if isinstance(reply, Awaitable) else reply
        except ObjectNotFound:
            if op is not Op.HEAD_OBJECT:
                raise
        return await self._head(ask)

    async def _head(self, ask: S3Ask) -> Reply:
        found = await self._through.head(ask.view, ask.key)
        _check(ask, found)
        lines, span = _lines(ask, found, overrides_of(ask)), _span(ask, found)
        self._stats.inc(metrics.HEAD_N)
        if span is None:
            return Reply(200, lines, length=found.size)
        start, length = span
        if length:
            lines += header_lines(("Content-Range", content_range(start, length, found.size)))
        return Reply(206, lines, length=length)

    async def _stream(self, ask: S3Ask) -> StreamReply | None:
        """A large object that is not here while it comes, or the range of it; a small one that is not kept, because it
        is being changed. None for all others.
        """
        params = ask.request.params
        if "partNumber" in params or any(name.startswith(OVERRIDES) for name in params):
            return None
        if spec := ask.request.http.headers.get("range"):
            return await self._stream_range(ask, spec)
        fetch = self._cold.join(ask.view, ask.key)
        found = await fetch.begun()
        if fetch.is_over:
            return None
        _check(ask, found)
        chunks = fetch.follow(found.size) if found.size >= ask.view.follows_from else await fetch.unkept()
        if chunks is None:
            return None
        self._count_get(found.size)
        return StreamReply(200, _lines(ask, found, {}), chunks, found.size)

    async def _stream_range(self, ask: S3Ask, spec: str) -> StreamReply | None:
        found = await self._ranges.look(ask.view, ask.key)
        span = None if found is None else parse_byte_range(spec, found.size)
        if found is None or span is None or ask.request.header("if-range"):
            return None
        _check(ask, found)
        start, length = span
        self._count_get(length)
        lines = _lines(ask, found, {}) + header_lines(("Content-Range", content_range(start, length, found.size)))
        return StreamReply(206, lines, self._ranges.read(ask.view, found, start, length), length)

    def _count_get(self, size: int) -> None:
        self._stats.inc(metrics.GET_N)
        self._stats.inc(metrics.GET_SIZE, size)


def _check(ask: S3Ask, found: RemoteObject) -> None:
    current = Current(found.etag, found.modified_s, found.size)
    conditions.check_read(conditions.of_request(ask.request.http.headers), current)


def _span(ask: S3Ask, found: RemoteObject) -> tuple[int, int] | None:
    """Offset and length of what HEAD asks for; None: the whole object. It has one part, as it has when it is here."""
    request = ask.request
    if (part := request.params.get("partNumber")) is not None:
        return part_span(ObjectMeta(found.size), part)
    spec, only_if = request.http.headers.get("range"), request.http.headers.get("if-range")
    if not spec or (only_if is not None and only_if not in dict(_said(found)).values()):
        return None
    return parse_byte_range(spec, found.size)


def _lines(ask: S3Ask, found: RemoteObject, overrides: dict[str, str]) -> bytes:
    return ask.head((dict(_said(found)) | overrides).items())


def _said(found: RemoteObject) -> Iterator[tuple[str, str]]:
    yield "ETag", f'"{found.etag}"'
    yield "Last-Modified", http_date(found.modified_s)
    yield "Accept-Ranges", "bytes"
    yield from facts.answer_lines(found.content, found.user)
