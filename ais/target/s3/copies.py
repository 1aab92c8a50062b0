"""CopyObject and UploadPartCopy: the owner of the destination fetches the source, wherever that is."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, Protocol

from ais.api import checksum
from ais.base.errors import AisError
from ais.core import sealing
from ais.core.meta import ObjectMeta
from ais.core.multipart import Part
from ais.core.part_writer import PartWriter
from ais.core.sealing import Sealer
from ais.core.store import Store
from ais.core.workfile import Digests
from ais.net.http import Reply
from ais.node.s3 import of_version
from ais.s3 import actions, checksums, conditions, copy_source, encryption, facts, new_object, results, xml
from ais.s3.checksums import ALGORITHMS, Algorithm
from ais.s3.conditions import Current
from ais.s3.copy_source import CopySource
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.operations import Op
from ais.s3.payload import BYTES_MAX, DEFAULT
from ais.stats import names as metrics
from ais.stats.tracker import Tracker
from ais.target.front import Front
from ais.target.remote.through import Through, content_of, of_copy, of_owner
from ais.target.s3.ask import S3Ask, etag_of
from ais.target.s3.kept import require_kept
from ais.target.s3.multipart import Multipart, part_algorithm
from ais.target.s3.receiving import asked_condition, asked_of_backend
from ais.target.s3.sources import Source, Sources
from ais.target.sealed import SealedPart, part_etag
from ais.target.uploads import in_pool, in_pool_to_end

_CHANGES = (
    "x-amz-storage-class",
    facts.REDIRECT,
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
)
"""Headers by which a copy onto itself changes something."""
_REPLACED = frozenset(facts.CONTENT_HEADERS)


class Copies:
    """Copies run to their end also when the client goes away: what it asked for is well defined."""

    def __init__(
        self, front: Front, store: Store, stats: Tracker, sources: Sources, multipart: Multipart, through: Through
    ) -> None:
        self._through = through
        self._front = front
        self._store = store
        self._stats = stats
        self._sources = sources
        self._multipart = multipart
        self._running: set[asyncio.Task[Reply]] = set()

    async def copy(self, ask: S3Ask) -> Reply:
        """CopyObject."""
        request = ask.request
        source = copy_source.read(request.header("x-amz-copy-source"))
        given = ask.facts()
        custom = facts.user_metadata(request)
        replaces = _directive(ask, "x-amz-metadata-directive")
        replaces_tags = _directive(ask, "x-amz-tagging-directive")
        is_itself = (source.bucket, source.key, source.version_id) == (ask.bucket.name, ask.key, None)
        if is_itself and not replaces and not any(request.get(name) for name in _CHANGES):
            raise S3Error(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the"
                " object's metadata, storage class, website redirect location or encryption attributes.",
            )
        name = request.header("x-amz-checksum-algorithm")
        algorithm = checksums.by_name(name) if name else None

        async def run() -> Reply:
            async with self._sources.open(ask, source, "") as opened:
                _check_source(ask, opened)
                if opened.length > BYTES_MAX:
                    raise S3Error(
                        "InvalidRequest",
                        "The specified copy source is larger than the maximum allowable size for a copy source:"
                        f" {BYTES_MAX}",
                    )
                inherited = opened.meta.facts
                if not replaces_tags and inherited.get("tagging"):
                    origin = ask.gate.require_source(ask.request, source.bucket)
                    action = actions.action_of(Op.GET_OBJECT_TAGGING, versioned=source.version_id is not None)
                    said = of_version(source.version_id)
                    ask.gate.require(ask.request, ask.caller, origin, action, source.key, inherited, said)
                    ask.gate.require(ask.request, ask.caller, ask.bucket, "s3:PutObjectTagging", ask.key)
                access = {key: given[key] for key in new_object.NOT_COPIED if key in given}
                kept = given if replaces else access | {key: inherited[key] for key in _REPLACED if key in inherited}
                kept = facts.with_tags(kept, facts.tags_of(given if replaces_tags else inherited))
                meta = await self._store_copy(
                    ask, opened, custom if replaces else opened.meta.custom, kept, algorithm or _algorithm_of(inherited)
                )
            return self._copied(ask, source, opened, meta)

        return await self._to_its_end(run())

    async def copy_part(self, ask: S3Ask) -> Reply:
        """UploadPartCopy."""
        request = ask.request
        number = results.part_number(request.params.get("partNumber", ""))
        source = copy_source.read(request.header("x-amz-copy-source"))
        span = request.header("x-amz-copy-source-range")
        if span:
            copy_source.read_range(span)
        pool = self._multipart.pool(ask)
        upload = await in_pool(pool, lambda: self._multipart.find(ask))
        algorithm = part_algorithm(upload)
        key = ask.data_key(upload.info.details)

        async def run() -> Reply:
            async with self._sources.open(ask, source, span) as opened:
                _check_source(ask, opened)
                if opened.length > BYTES_MAX:
                    raise S3Error("InvalidRequest", f"The copied range is larger than {BYTES_MAX} bytes")
                fsync, uploads = ask.view.rules.fsync, self._store.uploads
                size = opened.length if key is None else sealing.sealed_size(opened.length)
                stored = await in_pool_to_end(
                    pool, lambda: uploads.part_writer(upload, number, size, fsync=fsync), PartWriter.abort
                )
                writer = stored if key is None else SealedPart(stored, Sealer(key, size=opened.length, part=number))
                hasher, whole = algorithm.new(), Digests(checksum.NONE, _promised(opened), is_stored=True)
                try:
                    await _pump(opened.chunks, pool, writer, [hasher, whole])
                    whole.verify(ask.view.bck, source.key)
                    digests = {algorithm.name: checksums.encode(hasher.digest())}
                    part = await in_pool_to_end(pool, lambda: writer.commit(digests))
                except BaseException:
                    writer.abort()
                    raise
            return _part_copied(ask, source, opened, part)

        return await self._to_its_end(run())

    async def _store_copy(
        self, ask: S3Ask, opened: Source, custom: dict[str, str], kept: Facts, algorithm: Algorithm
    ) -> ObjectMeta:
        seal = ask.seal()
        if ask.view.remote is not None:
            require_kept(kept, is_sealed=seal is not None)
            custom = of_owner(custom)
        else:
            custom = of_copy(custom)
        writer = self._store.writer(
            ask.view.bck,
            ask.key,
            ask.rules("Copy"),
            custom=custom,
            claimed=_promised(opened),
            size_hint=opened.length,
            is_stored=True,
            seal=seal,
        )
        pool, md5, hasher = writer.mountpath.pool, hashlib.md5(usedforsecurity=False), algorithm.new()
        try:
            condition = asked_condition(ask, self._store)
            await _pump(opened.chunks, pool, writer, [md5, hasher])
            self._front.admit(ask.view)
            kept = facts.of_content(kept, md5.digest(), algorithm, hasher.digest())
            writer.describe(kept)
            if ask.view.remote is None:
                meta = await in_pool_to_end(pool, lambda: writer.commit(condition))
            else:
                said = {**custom, **content_of(kept)}
                meta = await self._through.store(ask.view, ask.key, writer, lambda: said, asked_of_backend(ask))
        except BaseException:
            writer.abort()
            raise
        self._stats.inc(metrics.PUT_N)
        self._stats.inc(metrics.PUT_SIZE, meta.size)
        return meta

    def _copied(self, ask: S3Ask, source: CopySource, opened: Source, meta: ObjectMeta) -> Reply:
        try:
            modified_ns = self._store.head(ask.view.bck, ask.key).stat.st_mtime_ns
        except AisError:  # the copy was made; it has another name by now, say
            modified_ns = meta.stamp[1]
        nodes = results.checksum_nodes(facts.checksum_of(meta.facts))
        body = results.copied("CopyObjectResult", etag_of(meta, 0), modified_ns / 1e9, nodes)
        return ask.xml(body, *encryption.lines(meta.facts), *ask.written_lines(meta), *_source_version(source, opened))

    async def _to_its_end(self, work: Coroutine[Any, Any, Reply]) -> Reply:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)


class Hashing(Protocol):
    """What sees the copied bytes pass."""

    def update(self, data: bytes | memoryview, /) -> object: ...


class Writing(Protocol):
    """Where copied bytes go."""

    def write(self, data: bytes | memoryview) -> None: ...


async def _pump(
    chunks: AsyncIterator[bytes | memoryview], pool: Executor, writer: Writing, hashers: Sequence[Hashing]
) -> None:
    def take(chunk: bytes | memoryview) -> None:
        for hasher in hashers:
            hasher.update(chunk)
        writer.write(chunk)

    async for chunk in chunks:
        await in_pool_to_end(pool, partial(take, chunk))


def _directive(ask: S3Ask, name: str) -> bool:
    """Whether a directive says REPLACE. Raise `S3Error` for a word that S3 does not define."""
    value = ask.request.header(name, "COPY")
    if value not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", f"Unknown {name.removeprefix('x-amz-')}.", ArgumentName=name)
    return value == "REPLACE"


def _check_source(ask: S3Ask, opened: Source) -> None:
    wanted = conditions.read_copy(ask.request)
    current = Current(etag_of(opened.meta, opened.mtime_ns), opened.mtime_ns / 1e9)
    conditions.check_copy_source(wanted, current)


def _promised(opened: Source) -> tuple[str, str] | None:
    """The checksum that the bytes of a source must have; None when only some of them are copied, or none is known."""
    meta = opened.meta
    return None if sealing.is_sealed(meta) or opened.length != meta.size else meta.promised


def _algorithm_of(source_facts: Facts) -> Algorithm:
    """The algorithm of the source's checksum; the copy gets one over its whole content."""
    return ALGORITHMS.get(source_facts.get("checksum-algorithm", ""), DEFAULT)


def _source_version(source: CopySource, opened: Source) -> tuple[tuple[str, str], ...]:
    version_id = source.version_id or opened.meta.version_id
    return (("x-amz-copy-source-version-id", version_id),) if version_id else ()


def _part_copied(ask: S3Ask, source: CopySource, opened: Source, part: Part) -> Reply:
    digests: list[xml.Node] = [
        (ALGORITHMS[name].element, value) for name, value in part.digests.items() if name in ALGORITHMS
    ]
    body = results.copied("CopyPartResult", part_etag(part), part.modified_ns / 1e9, digests)
    return ask.xml(body, *_source_version(source, opened))
