"""Objects that are copied from: this target's own, or another target's, fetched over the data network."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple
from urllib.parse import quote

from ais.base.errors import DeleteMarker, NotFound
from ais.core import sealing
from ais.core.meta import ObjectMeta
from ais.core.store import OpenObject, Store
from ais.core.workfile import COPY_BYTES
from ais.meta.smap import Snode
from ais.net.client import PeerClient
from ais.net.sending import read_fully
from ais.node.s3 import Gate, of_version
from ais.s3 import copy_source, encryption
from ais.s3.copy_source import CopySource
from ais.s3.errors import S3Error, decode
from ais.target import contents
from ais.target.front import Front
from ais.target.host import Host
from ais.target.moves import Moves
from ais.target.protected import Protected
from ais.target.remote.remote import Remote
from ais.target.s3.ask import S3Ask
from ais.target.s3.peers import VERIFY, read_meta
from ais.target.s3.verified import Verified
from ais.target.uploads import in_pool
from ais.target.view import BucketView

ERROR_BYTES_MAX = 64 << 10


class Source(NamedTuple):
    """An open copy source: its metadata, last-modified time (Unix ns), the bytes asked for, and how many they are."""

    meta: ObjectMeta
    mtime_ns: int
    length: int
    chunks: AsyncIterator[bytes | memoryview]


class Sources:
    """Opens copy sources on behalf of a caller. What is not read whole is compared with its checksum before."""

    def __init__(
        self,
        host: Host,
        gate: Gate,
        front: Front,
        store: Store,
        moves: Moves,
        peers: PeerClient,
        verified: Verified,
        protected: Protected,
        remote: Remote,
    ) -> None:
        self._cold = remote.cold
        self._through = remote.through
        self._host = host
        self._gate = gate
        self._front = front
        self._store = store
        self._moves = moves
        self._peers = peers
        self._verified = verified
        self._protected = protected

    @asynccontextmanager
    async def open(self, ask: S3Ask, source: CopySource, span: str) -> AsyncIterator[Source]:
        """The bytes `span` (an x-amz-copy-source-range, or empty) of a source that the caller may read.

        Raise `S3Error` or what opening it raises.
        """
        bucket = self._gate.require_source(ask.request, source.bucket)
        view = self._front.views.require(bucket.bck)
        owner = self._gate.owner(view.uname, source.key)
        if not self._gate.is_here(owner):
            async with self._fetch(ask, source, owner, span) as fetched:
                yield fetched
            return
        action = "s3:GetObjectVersion" if source.version_id else "s3:GetObject"
        said = of_version(source.version_id)
        await self._moves.settle(view, source.key)
        try:
            opened = await self._open(view, source)
        except NotFound as error:
            self._gate.require(ask.request, ask.caller, bucket, action, source.key, said=said)
            if isinstance(error, DeleteMarker):
                raise _marked(source) from None
            raise
        try:
            self._gate.require(ask.request, ask.caller, bucket, action, source.key, opened.meta.facts, said)
            size = sealing.size_of(opened.meta)
            opened.key = encryption.open_key(opened.meta.facts, encryption.source_key(ask.request), self._gate.keys)
            start, length = copy_source.span(span, size)
            if length != size and opened.key is None:
                await self._verified.require(view.bck, source.key, opened)
            modified_ns = view.modified_ns(opened.meta, opened.stat.st_mtime_ns)
            yield Source(opened.meta, modified_ns, length, _read(opened, start, length))
        finally:
            os.close(opened.fd)

    async def _open(self, view: BucketView, source: CopySource) -> OpenObject:
        if view.stays_fresh:
            await self._through.refresh(view, source.key)
        await self._cold.ensure(view, source.key)
        if view.is_protected:
            return await self._protected.open(view, source.key, source.version_id)
        return self._store.open(view.bck, source.key, source.version_id, sealed=True)

    @asynccontextmanager
    async def _fetch(self, ask: S3Ask, source: CopySource, owner: Snode, span: str) -> AsyncIterator[Source]:
        target = f"/s3/{source.bucket}/{quote(source.key, safe='/')}"
        if source.version_id is not None:
            target += f"?versionId={quote(source.version_id)}"
        name, value = self._gate.vouch(ask.request, ask.caller, owner, "GET", target)
        async with self._peers.open_stream(
            "GET",
            owner.data.url + target,
            headers={name: value, **encryption.source_headers(ask.request)}
            | ({"Range": span, VERIFY: "true"} if span else {}),
            timeout_s=float(self._host.config.cluster.client.client_long_timeout),
        ) as answer:
            if answer.status == 405:
                raise _marked(source)
            if answer.status not in (200, 206):
                raise decode(answer.status, b"".join([chunk async for chunk in answer.chunks])[:ERROR_BYTES_MAX])
            found = read_meta(answer.headers)
            _, length = copy_source.span(span, sealing.size_of(found.meta))
            yield Source(found.meta, found.mtime_ns, length, answer.chunks)


def _marked(source: CopySource) -> S3Error:
    """Why a delete marker is not copied."""
    if source.version_id is None:
        return S3Error("NoSuchKey", Key=source.key)
    return S3Error(
        "InvalidRequest", "The source of a copy request may not specifically refer to a delete marker by version id."
    )


async def _read(opened: OpenObject, start: int, length: int) -> AsyncIterator[bytes | memoryview]:
    end = start + length
    if opened.key is not None:
        async for chunk in contents.chunks(opened, opened.key, start, length):
            yield chunk
        return
    while start < end:
        count = min(COPY_BYTES, end - start)
        yield await in_pool(opened.mountpath.pool, partial(read_fully, opened.fd, start, count))
        start += count
