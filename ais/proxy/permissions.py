"""What each route of a gateway needs when clients have to prove who they are (wire contract §22).

The table names every route; a route without an entry does not start. Objects are not here: their requests are checked
before they are redirected (`ais.proxy.proxy`).
"""

from collections.abc import Callable
from functools import partial

import msgspec
from aiohttp import web

from ais.api import access, actions, batch, groups, inventory, query, xact
from ais.api.access import Access
from ais.api.access_keys import KEYS
from ais.api.batch import BatchMsg, buckets_of
from ais.api.bucket import AIS, Bck
from ais.api.download import DOWNLOAD
from ais.api.messages import ActMsg
from ais.base.units import parse_bool
from ais.net.app import params_of
from ais.net.http import Network, decode_component
from ais.node.clients import Clients
from ais.node.guard import Guard, Needs, admin, anybody, show_cluster
from ais.node.long import decoded
from ais.proxy import downloads, promote
from ais.proxy.redirect import EASY_URLS
from ais.proxy.requests import BUCKETS, BucketAddress

_OF_CLUSTER = {
    actions.CREATE_BUCKET: Access.CREATE_BUCKET,
    actions.MOVE_BUCKET: Access.MOVE_BUCKET,
    actions.DESTROY_BUCKET: Access.DESTROY_BUCKET,
    actions.EVICT_REMOTE_BUCKET: Access.DESTROY_BUCKET,
}
_RW = Access(access.READ_WRITE)
_OPEN = ("/favicon.ico",)
_SHOWN = ("/v1/cluster", "/v1/reverse/", "/v1/download", "/v1/etl", "/v1/sort", "/v1/dsort")
_ADMINS = (*_SHOWN, KEYS, "/v1/tokens")


Knows = Callable[[Bck], bool]
"""Whether there is such a bucket."""


def needs_of(method: str, path: str, knows: Knows = lambda _bck: True) -> Needs | None:
    """What a route (as it is declared) needs; None: nobody said."""
    if path in _OPEN:
        return anybody
    if path == BUCKETS or path.startswith(BUCKETS + "/"):
        return partial(_bucket, knows)
    if path.startswith(batch.PATH):
        return _batch
    if path.startswith(tuple(prefix.rstrip("/") for prefix in EASY_URLS)):
        return _easy
    if path.startswith(KEYS):
        return admin
    if method == "POST" and path == DOWNLOAD:
        return downloads.needs
    if method == "POST" and path == promote.PATH:
        return promote.needs
    if method == "GET" and path.startswith(_SHOWN):
        return show_cluster
    return admin if path.startswith(_ADMINS) else None


class Permissions(Guard):
    """Guards the routes of a gateway."""

    def __init__(self, clients: Clients, networks: Network, knows: Knows) -> None:
        super().__init__(clients, networks, partial(needs_of, knows=knows))


async def _bucket(knows: Knows, request: web.Request) -> list[tuple[Access, Bck | None]]:
    address, method = BucketAddress.of(request), request.method
    body = await request.read()
    nothing = ActMsg(actions.LIST if method == "GET" else "", value={})
    message = await decoded(body, ActMsg.parse) if body.strip() else nothing
    bck = address.bck if address.bucket else None
    if method == "GET":
        return _reading(message, bck, address.params)
    if bck is None:
        return [(Access.ADMIN, None)]
    if method == "HEAD":
        counts = query.BSUMM_REMOTE in address.params
        return [(Access.HEAD_BUCKET | (Access.LIST_OBJECTS if counts else Access(0)), bck)]
    if method == "PATCH" and message.action == actions.GIVE_BUCKET:
        return [(Access.ADMIN, None)]
    if method == "PATCH":
        changes = message.value if isinstance(message.value, dict) else {}
        is_acl = message.action == actions.RESET_BUCKET_PROPS or "access" in map(str.lower, changes)
        needed = Access.PATCH | (Access.SET_BUCKET_ACL if is_acl else Access(0))
        return [(needed, bck), *_elsewhere(message)]
    if message.action in (inventory.CREATE, inventory.DESTROY):
        return [(Access.ADMIN, None)]
    if message.action in _OF_CLUSTER:
        return [(_OF_CLUSTER[message.action], None), *_elsewhere(message)]
    if method == "DELETE":
        return [(Access.DELETE_OBJECT, bck)]
    return _job(message, bck, address.params, knows)


class _Linked(msgspec.Struct):
    """What properties name besides the bucket itself; null says nothing, as where they are set."""

    backend_bck: Bck = Bck("")


class _To(msgspec.Struct):
    """Other buckets that jobs name, and whether what the first has not goes from them."""

    to: Bck | None = msgspec.field(name="tobck", default=None)
    bck: Bck | None = None
    synchronize: bool = False


def _elsewhere(message: ActMsg) -> list[tuple[Access, Bck | None]]:
    """What properties need that say where content comes from: of a server, that it may be one that only targets reach;
    of a bucket that this one is linked to, all that is done there through this one."""
    if not isinstance(message.value, dict):
        return []
    found: list[tuple[Access, Bck | None]] = []
    if any(key.lower().partition(".")[0] == "extra" for key in message.value):
        found.append((Access.ADMIN, None))
    if (linked := _named(message.value_as(_Linked).backend_bck)) is not None:
        found.append((_RW, linked))
    return found


def _named(bck: Bck | None) -> Bck | None:
    """A bucket that a message names, as whoever carries it out reads it."""
    if bck is None or not bck.name:
        return None
    return Bck.parse(bck.name, bck.provider, bck.namespace.uname)


def _reading(message: ActMsg, bck: Bck | None, params: dict[str, str]) -> list[tuple[Access, Bck | None]]:
    if message.action != actions.LIST:
        return [(Access.HEAD_BUCKET | Access.LIST_OBJECTS, bck)]
    if bck is not None:
        return [(Access.LIST_OBJECTS, bck)]
    is_system = parse_bool(params.get(query.SYSTEM_BUCKETS, ""))
    return [(Access.LIST_BUCKETS | (Access.ADMIN if is_system else Access(0)), None)]


def _job(message: ActMsg, bck: Bck, params: dict[str, str], knows: Knows) -> list[tuple[Access, Bck | None]]:
    """Jobs on a bucket read and write it; where they write to another one, that one too, or make it."""
    sets = message.action == xact.MAKE_COPIES or (message.action == xact.EC_ENCODE and bool(message.value))
    found: list[tuple[Access, Bck | None]] = [(_RW | (Access.PATCH if sets else Access(0)), bck)]
    value = message.value_as(_To) if isinstance(message.value, dict) else _To()
    if destination := params.get(query.BUCKET_TO):
        written = Access.PUT | (Access.DELETE_OBJECT if value.synchronize else Access(0))
        found += [(written, Bck.parse_uname(destination)[0]), (Access.CREATE_BUCKET, None)]
    others = [other for one in (value.to, value.bck) if (other := _named(one)) is not None]
    found += [(Access.PUT, other) for other in others]
    if message.action == groups.COPY:
        is_new = any(one.provider == AIS and not one.namespace.uuid and not knows(one) for one in others)
        found += [(Access.CREATE_BUCKET, None)] if is_new else []
    return found


async def _batch(request: web.Request) -> list[tuple[Access, Bck | None]]:
    params, name = params_of(request), request.match_info.get("bucket", "")
    default = Bck.parse(name, params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, "")) if name else None

    def buckets(body: bytes) -> frozenset[Bck]:
        return buckets_of(BatchMsg.parse(body).entries, default)[1]

    return [(Access.GET, bck) for bck in await decoded(await request.read(), buckets)]


async def _easy(request: web.Request) -> list[tuple[Access, Bck | None]]:
    _, prefix, *rest = request.raw_path.partition("?")[0].split("/")
    if not rest or not rest[0]:
        return _reading(ActMsg(actions.LIST), None, params_of(request))
    return [(Access.LIST_OBJECTS, Bck.parse(decode_component(rest[0]), EASY_URLS[f"/{prefix}/"]))]
