"""Small objects that clients read while they get another owner: from who has them, without waiting until they came.

The new owner asks the latest one before it: a GET of `SMALL`/<bucket>/<object>, answered by `Small`; 404 when there
is none, it is large, or damaged. Nothing changes by that; the rebalance brings the object later. It is as true as what
is here: a change is not acknowledged before those who owned the name have nothing of it any more (`Moves.settle`).
"""

import os
from collections.abc import Awaitable
from contextlib import suppress
from urllib.parse import quote

from ais.api import checksum, codec, headers, query
from ais.api.bucket import Bck
from ais.base.errors import AccessDenied, BadRequest, ContentDamaged, InvalidAction, ObjectNotFound, Unreachable
from ais.core import sealing
from ais.core.store import OpenObject, Store
from ais.core.workfile import Digests
from ais.net.client import PeerClient
from ais.net.http import AnyReply, Reply, Request, decode_component
from ais.target.front import Front
from ais.target.host import Host
from ais.target.moves import Moves, meant
from ais.target.transfer import SMALL, Small
from ais.target.uploads import in_pool
from ais.target.view import BucketView

PREFIX = f"{SMALL}/"


class Elsewhere:
    """Asks, and answers."""

    def __init__(self, host: Host, front: Front, store: Store, moves: Moves, peers: PeerClient) -> None:
        self._host = host
        self._front = front
        self._store = store
        self._moves = moves
        self._peers = peers

    async def look(self, view: BucketView, name: str) -> OpenObject | None:
        """What the latest other owner has of a name that is not here, in memory; the caller closes it. None: it has to
        come here to be read.
        """
        small = await self._ask(view, name) if is_file(view) and self._moves.may_be_elsewhere(view) else None
        return None if small is None else self._opened(view, small)

    def _opened(self, view: BucketView, small: Small) -> OpenObject:
        spot, transfer = self._store.spot(view.bck, small.name), small.transfer
        assert transfer.times_ns is not None
        fd = os.memfd_create("object")
        try:
            os.pwrite(fd, small.content, 0)
            os.utime(fd, ns=transfer.times_ns)
            return OpenObject(fd, os.fstat(fd), transfer.meta, spot, spot.mountpath, None)
        except BaseException:
            os.close(fd)
            raise

    async def _ask(self, view: BucketView, name: str) -> Small | None:
        owner = next(self._moves.earlier(view, name), None)
        if owner is None or owner.is_away:
            return None
        with suppress(Unreachable, BadRequest):  # of another version of ours it may be no answer
            answer = await self._peers.call(
                "GET",
                f"{owner.data.url}{PREFIX}{view.bck.name}/{quote(name, safe='/')}",
                query={query.PROVIDER: view.bck.provider, query.NAMESPACE: view.bck.namespace.uname},
                headers={headers.CALLER_ID: self._host.snode.id, **meant(view)},
                timeout_s=self._host.config.cluster.client.client_timeout,
            )
            if answer.status == 200:
                return codec.from_msgpack(answer.body, Small)
        return None

    def route(self, request: Request) -> Awaitable[AnyReply] | None:
        """Answer a peer; None for what is no such request. Raise `AisError`."""
        if not request.path.startswith(PREFIX):
            return None
        if not self._front.is_from_peer(request):
            raise AccessDenied(f"{PREFIX} is for targets of the cluster")
        if request.method != "GET":
            raise InvalidAction(request.method, ("GET",))
        bucket, _, name = request.path[len(PREFIX) :].partition("/")
        params = request.params
        bck = Bck.parse(decode_component(bucket), params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, ""))
        view = self._front.views.require(bck)
        self._front.require_meant(view, request)
        return self._answer(view, decode_component(name))

    async def _answer(self, view: BucketView, name: str) -> Reply:
        if not is_file(view):
            raise ObjectNotFound(view.bck.cname(name))
        pool = self._store.spot(view.bck, name).mountpath.pool
        small = await in_pool(pool, lambda: self._read(view, name))
        return Reply(200, b"", codec.to_msgpack(small))

    def _read(self, view: BucketView, name: str) -> Small:
        """Raise `ObjectNotFound`, also for what is damaged: who brings it to its owner says so."""
        small = self._moves.read_small(view, name)
        if small is None or sealing.is_sealed(small.transfer.meta) or small.transfer.meta.size != len(small.content):
            raise ObjectNotFound(view.bck.cname(name))
        digests = Digests(checksum.NONE, small.transfer.meta.promised, is_stored=True)
        digests.update(small.content)
        try:
            digests.verify(view.bck, name)
        except ContentDamaged:
            raise ObjectNotFound(view.bck.cname(name)) from None
        return small


def is_file(view: BucketView) -> bool:
    """Whether an object of it is one file, and that is all there is to read."""
    is_others = view.is_protected or view.remote is not None or view.source not in (None, view.bck)
    return not (is_others or view.verifies or view.keeps_versions or view.seals)
