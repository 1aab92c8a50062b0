"""What a node answers on its own account, for both roles, without HTTP: `dispatch(method, path, query, body)`.

`ais.node.routes` puts it on the listeners. The internal messages (wire contract §12.10) are msgpack; who may send them
is decided by which network they arrive on.
"""

from collections.abc import Awaitable, Callable

import msgspec

from ais.api import codec
from ais.api.errors import encode_error, status_of
from ais.base.errors import AisError, BadRequest, NotReady
from ais.env.network import Answer
from ais.node import admin, health
from ais.node.changes import TXN
from ais.node.election import TAKE_OVER, VOTE
from ais.node.membership import FORWARDED, IDENTITY, JOIN, LEAVE
from ais.node.messages import Identity, JoinRequest, LeaveRequest, Part, Prepare, Sync, TakeOver, VoteRequest
from ais.node.node import DAEMON, Node
from ais.node.reign import METASYNC

Query = dict[str, str]
Handler = Callable[[Node, str, Query, bytes], Awaitable[Answer]]
EMPTY = Answer(200, {}, b"")


def packed(value: msgspec.Struct) -> Answer:
    """An internal message as an answer."""
    return Answer(200, {"content-type": "application/msgpack"}, codec.to_msgpack(value))


async def _sync(node: Node, _path: str, _query: Query, body: bytes) -> Answer:
    return packed(await node.follower.on_sync(codec.from_msgpack(body, Sync)))


async def _part(node: Node, _path: str, query: Query, _body: bytes) -> Answer:
    name = query.get("part", "")
    if name not in list(Part):
        raise BadRequest(f'no metadata "{name}": expected one of {[part.value for part in Part]}')
    return packed(node.state.sealed(Part(name)))


async def _prepare(node: Node, _path: str, _query: Query, body: bytes) -> Answer:
    await node.follower.on_prepare(codec.from_msgpack(body, Prepare))
    return EMPTY


async def _vote(node: Node, _path: str, _query: Query, body: bytes) -> Answer:
    return packed(await node.election.on_vote(codec.from_msgpack(body, VoteRequest)))


async def _take_over(node: Node, _path: str, _query: Query, body: bytes) -> Answer:
    await node.election.on_take_over(codec.from_msgpack(body, TakeOver))
    return EMPTY


async def _join(node: Node, _path: str, query: Query, body: bytes) -> Answer:
    request = codec.from_msgpack(body, JoinRequest)
    answer = await node.membership.on_join(request, is_forwarded=FORWARDED in query)
    return answer if isinstance(answer, Answer) else packed(answer)


async def _leave(node: Node, _path: str, _query: Query, body: bytes) -> Answer:
    await node.membership.on_leave(codec.from_msgpack(body, LeaveRequest))
    return EMPTY


async def _identity(node: Node, _path: str, _query: Query, _body: bytes) -> Answer:
    return packed(Identity(node.snode.id, node.core.boot, node.smap.uuid))


HANDLERS: dict[tuple[str, str], Handler] = {
    ("PUT", METASYNC): _sync,
    ("GET", METASYNC): _part,
    ("POST", TXN): _prepare,
    ("POST", VOTE): _vote,
    ("POST", TAKE_OVER): _take_over,
    ("POST", JOIN): _join,
    ("POST", LEAVE): _leave,
    ("GET", IDENTITY): _identity,
    ("GET", health.HEALTH): health.get,
    ("GET", DAEMON): admin.get,
    ("PUT", DAEMON): admin.put,
    ("PUT", DAEMON + "/set-config"): admin.put,
    ("PUT", DAEMON + "/load-x509"): admin.load_certificate,
}
"""By method and path. The paths are exact."""


async def dispatch(node: Node, method: str, path: str, query: Query, body: bytes) -> Answer:
    """The answer to a request to one of `HANDLERS`. Raise an `AisError`."""
    if not node.is_loaded:
        raise NotReady(f"{node.snode.name} is starting: try again in a moment")
    return await HANDLERS[method, path](node, path, query, body)


async def handle(node: Node, method: str, path: str, query: Query, body: bytes) -> Answer:
    """As `dispatch`, with errors as the answers they become on the wire. For callers without an HTTP server."""
    try:
        return await dispatch(node, method, path, query, body)
    except AisError as error:
        text = encode_error(error, method=method, url_path=path, remote_addr="", node=node.snode.name)
        return Answer(status_of(error), {"content-type": "application/json"}, text)
