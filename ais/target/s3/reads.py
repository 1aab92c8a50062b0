"""GetObject, HeadObject, GetObjectAttributes."""

import os
from collections.abc import Awaitable, Iterator

from ais.base.errors import Busy
from ais.core import sealing
from ais.core.meta import ObjectMeta
from ais.core.store import OpenObject, Store
from ais.net.http import AnyReply, FileReply, Reply, StreamReply, header_lines
from ais.s3 import conditions, encryption, facts, lock, replication, results
from ais.s3.conditions import http_date
from ais.s3.errors import S3Error
from ais.s3.operations import Op
from ais.stats import names as metrics
from ais.stats.tracker import Tracker
from ais.target import contents
from ais.target.protected import REREAD_MAX, Protected
from ais.target.ranges import content_range, parse_byte_range
from ais.target.s3.ask import S3Ask, etag_of
from ais.target.s3.peers import VERIFY, meta_line
from ais.target.s3.usual import Annotation, Usual
from ais.target.s3.verified import Verified
from ais.target.uploads import in_pool

OVERRIDES = "response-"


class Reads:
    """Answers what does not change objects."""

    def __init__(self, store: Store, stats: Tracker, verified: Verified, protected: Protected, usual: Usual) -> None:
        self._usual = usual
        self._protected = protected
        self._verified = verified
        self._store = store
        self._stats = stats

    def get(self, ask: S3Ask) -> AnyReply | Awaitable[AnyReply]:
        """The object, a range or a part of it; its head only for HeadObject."""
        if ask.view.is_protected:
            return self._get_protected(ask, overrides_of(ask))
        return self.answer(ask, self._store.open(ask.view.bck, ask.key, ask.version_id, sealed=True))

    def answer(self, ask: S3Ask, opened: OpenObject) -> AnyReply | Awaitable[AnyReply]:
        """The same of an object that was opened, wherever it is; it is the answer's, or closed."""
        try:
            overrides = overrides_of(ask)
            is_copied = VERIFY.lower() in ask.request.http.headers and ask.request.via is not None
            if (ask.view.verifies or is_copied) and ask.request.op is Op.GET_OBJECT:
                return self._get_verified(ask, opened, overrides)
            return self._answer(ask, opened, overrides)
        except BaseException:
            os.close(opened.fd)
            raise

    def attributes(self, ask: S3Ask) -> Reply:
        """What `x-amz-object-attributes` asks for."""
        wanted = results.attributes_wanted(ask.request.headers.get("x-amz-object-attributes", []))
        parts_max = results.count(ask.request.header("x-amz-max-parts"), "x-amz-max-parts")
        after = results.marker(ask.request.header("x-amz-part-number-marker"), "x-amz-part-number-marker")
        opened = self._store.head(ask.view.bck, ask.key, ask.version_id)
        conditions.check_read(conditions.of_request(ask.request.http.headers), ask.current(opened))
        meta = opened.meta
        if sealing.is_sealed(meta) or encryption.brings_key(ask.request):
            ask.data_key(meta.facts)
        described = results.attributes(
            wanted,
            etag=etag_of(meta, opened.stat.st_mtime_ns),
            size_bytes=sealing.size_of(meta),
            checksum=facts.checksum_of(meta.facts),
            part_sizes=sealing.part_sizes(meta),
            part_checksums=facts.part_checksums_of(meta.facts),
            part_marker=after,
            parts_max=parts_max,
        )
        modified = http_date(ask.modified_ns(opened) / 1e9)
        return ask.xml(described, ("Last-Modified", modified), *ask.version_lines(meta))

    async def _get_protected(self, ask: S3Ask, overrides: dict[str, str], again: int = 0) -> AnyReply:
        streams = not ask.view.verifies
        opened = await self._protected.open(ask.view, ask.key, ask.version_id, streams=streams)
        if streams and opened.meta.cut is not None:
            return await self._stream(ask, opened, overrides, again)
        if ask.view.verifies and ask.request.op is Op.GET_OBJECT:
            return await self._get_verified(ask, opened, overrides)
        try:
            return self._answer(ask, opened, overrides)
        except BaseException:
            os.close(opened.fd)
            raise

    async def _stream(self, ask: S3Ask, opened: OpenObject, overrides: dict[str, str], again: int) -> AnyReply:
        """What is kept as slices alone, straight from the targets that have them; sealed, it is put together first."""
        if ask.request.op is Op.GET_OBJECT and sealing.is_sealed(opened.meta):
            opened = await self._protected.whole(ask.view, ask.key, opened)
        try:
            reply = self._answer(ask, opened, overrides)
        except BaseException:
            os.close(opened.fd)
            raise
        if not isinstance(reply, FileReply):
            return reply
        chunks = await self._protected.started(ask.view, ask.key, opened, reply.offset, reply.length)
        if chunks is None:
            if again >= REREAD_MAX:
                raise Busy(f"{ask.view.bck.cname(ask.key)} keeps being overwritten")
            return await self._get_protected(ask, overrides, again + 1)
        return StreamReply(reply.status, reply.headers, chunks, reply.length)

    async def _get_verified(self, ask: S3Ask, opened: OpenObject, overrides: dict[str, str]) -> AnyReply:
        try:
            if ask.view.verifies:
                await in_pool(opened.mountpath.pool, lambda: self._store.verify(ask.view.bck, ask.key, opened))
            else:
                await self._verified.require(ask.view.bck, ask.key, opened)
            return self._answer(ask, opened, overrides)
        except BaseException:
            os.close(opened.fd)
            raise

    def _answer(self, ask: S3Ask, opened: OpenObject, overrides: dict[str, str]) -> AnyReply:
        meta, request, size = opened.meta, ask.request, sealing.size_of(opened.meta)
        key = ask.data_key(meta.facts) if sealing.is_sealed(meta) or encryption.brings_key(request) else None
        wanted = conditions.of_request(request.http.headers)
        if wanted.any:
            conditions.check_read(wanted, ask.current(opened))
        span = _span(ask, opened)
        block = ask.lines + _object_block(ask, opened, overrides)
        if span is None:
            status, start, length = 200, 0, size
            if request.header("x-amz-checksum-mode").upper() == "ENABLED":
                block += header_lines(*facts.checksum_lines(meta.facts))
        else:
            status, (start, length) = 206, span
            block += _span_lines(ask, meta, start, length)
            if "partNumber" in request.params and request.header("x-amz-checksum-mode"):
                block += header_lines(*_part_checksum_lines(meta, request.params["partNumber"]))
        if request.via is not None and request.via.user is not None:
            block += meta_line(meta, ask.modified_ns(opened))
        if request.op is Op.HEAD_OBJECT:
            os.close(opened.fd)
            self._stats.inc(metrics.HEAD_N)
            return Reply(status, block, length=length)
        self._stats.inc(metrics.GET_N)
        self._stats.inc(metrics.GET_SIZE, length)
        opened.key = key
        if key is None:
            self._usual.remember(ask, opened)
        return contents.reply(opened, status, block, start, length)


def _object_block(ask: S3Ask, opened: OpenObject, overrides: dict[str, str]) -> bytes:
    """Header lines about the object; formatted once while the file does not change."""
    known = opened.known
    if overrides or known is None:
        return header_lines(*(dict(_object_lines(ask, opened)) | overrides).items())
    said: Annotation | None = known.s3_annotation
    if said is None or said.bucket is not ask.bucket:
        is_content = not sealing.is_sealed(opened.meta)
        checksum = header_lines(*facts.checksum_lines(opened.meta.facts)) if is_content else None
        said = Annotation(ask.bucket, header_lines(*_object_lines(ask, opened)), checksum)
        known.s3_annotation = said
    return said.lines


def _object_lines(ask: S3Ask, opened: OpenObject) -> Iterator[tuple[str, str]]:
    meta, mtime_ns = opened.meta, opened.stat.st_mtime_ns
    yield "ETag", f'"{etag_of(meta, mtime_ns)}"'
    yield "Last-Modified", http_date(ask.modified_ns(opened) / 1e9)
    yield "Accept-Ranges", "bytes"
    yield from ask.version_lines(meta)
    yield from ask.expiration_lines(meta, mtime_ns / 1e9)
    yield from facts.answer_lines(meta.facts, meta.custom)
    yield from lock.lines(meta.facts)
    yield from replication.lines(meta.facts)
    yield from encryption.lines(meta.facts)


def _span(ask: S3Ask, opened: OpenObject) -> tuple[int, int] | None:
    """Offset and length of what is asked for; None: the whole object."""
    head, part = ask.request.http.headers, ask.request.params.get("partNumber")
    if part is not None:
        return part_span(opened.meta, part)
    spec, only_if = head.get("range"), head.get("if-range")
    if not spec:
        return None
    if only_if is not None and only_if not in dict(_object_lines(ask, opened)).values():
        return None
    return parse_byte_range(spec, sealing.size_of(opened.meta))


def part_span(meta: ObjectMeta, text: str) -> tuple[int, int]:
    """Where a part lies. An object that was not uploaded in parts has one."""
    sizes = sealing.part_sizes(meta)
    number = results.part_number(text)
    if number > max(len(sizes), 1):
        raise S3Error("InvalidPartNumber", ActualPartCount=str(max(len(sizes), 1)), PartNumberRequested=text)
    return (sum(sizes[: number - 1]), sizes[number - 1]) if sizes else (0, sealing.size_of(meta))


def _span_lines(ask: S3Ask, meta: ObjectMeta, start: int, length: int) -> bytes:
    pairs = [("Content-Range", content_range(start, length, sealing.size_of(meta)))] if length else []
    if meta.runs and "partNumber" in ask.request.params:
        pairs.append(("x-amz-mp-parts-count", str(len(meta.part_sizes))))
    return header_lines(*pairs)


def _part_checksum_lines(meta: ObjectMeta, number: str) -> Iterator[tuple[str, str]]:
    """The checksum of one part, if it is known; of an object without parts, its own."""
    of_parts, found = facts.part_checksums_of(meta.facts), facts.checksum_of(meta.facts)
    if of_parts and found is not None:
        yield found[0].header, of_parts[int(number) - 1]
        yield "x-amz-checksum-type", found[2]
    elif not meta.runs:
        yield from facts.checksum_lines(meta.facts)


def overrides_of(ask: S3Ask) -> dict[str, str]:
    """The `response-*` parameters, as the headers they replace. Raise `S3Error` for an anonymous caller."""
    given = {
        facts.CONTENT_HEADERS[name.removeprefix(OVERRIDES)]: value
        for name, value in ask.request.params.items()
        if name.startswith(OVERRIDES)
    }
    if given and ask.caller.user is None and not ask.caller.trusted:
        raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    if not all(value.isprintable() for value in given.values()):
        raise S3Error("InvalidArgument", "response-* parameters cannot hold control characters")
    if "range" in ask.request.http.headers and "partNumber" in ask.request.params:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    return given
