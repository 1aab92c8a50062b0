"""GetObjects: objects of a bucket, and members of its shards, in one archive. Not Amazon's: a get-batch for S3 clients.

Each key is authorized as a GetObject of it is, and so is, of the bucket, what tells which keys there are. A target puts
the archive together (`ais.target.batch`); it passes through here while it comes.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

from msgspec.structs import replace

from ais.api import batch, codec, headers, query
from ais.api.batch import BatchMsg
from ais.api.errors import decode_error
from ais.base.errors import NotFound
from ais.base.ids import new_id
from ais.config.limits import Limits
from ais.net.client import PeerClient
from ais.net.http import StreamReply, header_lines
from ais.node.long import aside, check_count, decoded
from ais.node.node import Node
from ais.node.s3 import NO_LISTING, Gate
from ais.proxy.batch import choose
from ais.proxy.s3.call import Call, Operation
from ais.s3 import answers
from ais.s3.errors import S3Error
from ais.shard import formats

_GET, _LIST = "s3:GetObject", "s3:ListBucket"


def _size(limits: Limits) -> int:
    return int(limits.list_size)


class Batches:
    """One per proxy."""

    def __init__(self, node: Node, gate: Gate, peers: PeerClient) -> None:
        self._node = node
        self._gate = gate
        self._peers = peers

    @property
    def operation(self) -> Operation:
        """How it is served."""
        return Operation(self.get, _size, admits_keys=True)

    async def get(self, call: Call) -> StreamReply:
        """The archive. Raise `S3Error`, `BadRequest`, `Unreachable`; what changes later breaks the answer."""
        message = await decoded(call.body, BatchMsg.parse)
        kind = formats.by_mime(message.mime)
        count = len(message.entries)
        check_count(count, self._gate.limits)
        await aside(count, partial(self._check, call), message)
        bck = call.bucket.bucket.bck
        target = await aside(count, partial(choose, self._node, bcks=[bck] * count), message)
        asked = await aside(count, codec.to_json, replace(message, is_streaming=True, only_names=True))
        rng, me = self._node.env.rng, self._node.snode
        incoming = self._peers.open_stream(
            "GET",
            f"{target.data.url}{batch.PATH}/{bck.name}/gbt-{new_id(rng)}/{me.id}-{new_id(rng)}/{count}",
            query={query.PROVIDER: bck.provider, query.NAMESPACE: bck.namespace.uname},
            headers={headers.CALLER_ID: me.id},
            body=asked,
            timeout_s=float(self._node.config.cluster.client.client_long_timeout),
        )
        stack = AsyncExitStack()
        answer = await stack.enter_async_context(incoming)
        if answer.status == 200:
            lines = answers.stamp(call.request.id) + header_lines(("Content-Type", kind.content_type))
            return StreamReply(200, lines, _Body(stack, answer.chunks))
        async with stack:
            body = b"".join([chunk async for chunk in answer.chunks])
        raise self._refusal(call, decode_error(answer.status, body, target.name))

    def _check(self, call: Call, message: BatchMsg) -> None:
        """Raise `S3Error` unless the caller may read all of it."""
        bucket = call.bucket
        if not call.caller.trusted and (bucket.uses_acls or self._gate.asks_for_tags(call.caller, bucket)):
            raise S3Error("AccessDenied", "Where lists or tags of objects decide, they can be read one by one only")
        if message.continue_on_error:
            self._gate.require(call.request, call.caller, bucket, _LIST, "", said=NO_LISTING)
        for entry in message.entries:
            if entry.bucket and entry.bck(None) != bucket.bucket.bck:
                raise S3Error("InvalidArgument", f"All objects are of the bucket that is asked: {entry.bucket[:100]}")
            self._gate.require(call.request, call.caller, bucket, _GET, entry.name, said=NO_LISTING)

    def _refusal(self, call: Call, error: Exception) -> Exception:
        """An error, without what says to who may not list that a key is missing."""
        if not isinstance(error, NotFound):
            return error
        try:
            self._gate.require(call.request, call.caller, call.bucket, _LIST, "", said=NO_LISTING)
        except S3Error as refusal:
            return refusal
        return S3Error("NoSuchKey", str(error))


class _Body:
    """What comes from a target, until the server has sent it or the client is gone."""

    def __init__(self, stack: AsyncExitStack, chunks: AsyncIterator[bytes]) -> None:
        self._stack = stack
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Let go of the target."""
        await self._stack.aclose()
