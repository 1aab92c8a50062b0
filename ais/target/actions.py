"""Control messages about objects: rename, check-lock, custom metadata, delete (wire contract §10.8-10.10).

They come through the aiohttp application; each is turned back into the data path's `Request`, so that one place checks
what a request may do.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from ais.api import actions, groups, query
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.api.messages import ActMsg
from ais.backend.interface import OF_BACKEND
from ais.base.errors import AisError, BadRequest, InvalidAction, NotFound, NotReady, Unsupported
from ais.base.units import parse_bool
from ais.core.store import Store
from ais.fs.locks import StripeBusy
from ais.fs.volume import Volume
from ais.meta.smap import digest
from ais.net.http import Headers, Network, Peer, Request
from ais.stats import names as metrics
from ais.target import address, props
from ais.target.address import PREFIX
from ais.target.counts import count_error
from ais.target.front import Ask, Front
from ais.target.host import Host
from ais.target.moves import DISCARDED, Moves
from ais.target.moving_uploads import MovingUploads
from ais.target.multipart import Multipart
from ais.target.protected import Protected
from ais.target.rebalance import Rebalance
from ais.target.remote.through import Through
from ais.target.sending_on import SendingOn
from ais.target.uploads import in_pool
from ais.target.writes import Writes

_SERVED = (actions.RENAME_OBJECT, actions.CHECK_LOCK, actions.START_UPLOAD, actions.COMPLETE_UPLOAD)
_NEEDS = {
    actions.CHECK_LOCK: Access.HEAD_OBJECT,
    actions.START_UPLOAD: Access.PUT,
    actions.COMPLETE_UPLOAD: Access.PUT,
}
_EVICT = groups.EVICT
_PATH = PREFIX + "{name:.*}"
_LOCKED = 423


class Actions:
    """Control messages about single objects."""

    def __init__(
        self,
        host: Host,
        front: Front,
        volume: Volume,
        store: Store,
        moves: Moves,
        protected: Protected,
        writes: Writes,
        multipart: Multipart,
        rebalance: Rebalance,
        through: Through,
        sending_on: SendingOn,
        moving_uploads: MovingUploads,
    ) -> None:
        self._moving_uploads = moving_uploads
        self._through = through
        self._sending_on = sending_on
        self._host = host
        self._front = front
        self._volume = volume
        self._store = store
        self._moves = moves
        self._protected = protected
        self._writes = writes
        self._multipart = multipart
        self._rebalance = rebalance

    def routes(self, networks: Network) -> list[web.RouteDef]:
        """The routes of a listener that carries `networks`."""

        def on(
            handler: Callable[[web.Request, Network], Awaitable[web.Response]],
        ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
            async def handle(request: web.Request) -> web.Response:
                try:
                    return await handler(request, networks)
                except AisError as error:
                    if (found := self._sending_on.redirect(_head_of(request, networks), error)) is not None:
                        return web.Response(status=found[0], headers={"Location": found[1]})
                    count_error(self._host.stats, request.method, error)
                    raise

            return handle

        return [
            web.post(_PATH, on(self.post)),
            web.patch(_PATH, on(self.patch)),
            web.delete(_PATH, on(self.delete)),
        ]

    async def post(self, request: web.Request, networks: Network) -> web.Response:
        """Rename, check-lock, upload in parts; for peers: move the object to the bucket its own is renamed to."""
        message = await _message(request)
        head = _head_of(request, networks)
        ask = self._front.ask(head, _NEEDS.get(message.action, Access.MOVE_OBJECT))
        self._front.require_redirect(ask, "POST(obj)")
        if ask.view.remote is not None and message.action == actions.RENAME_OBJECT:
            raise Unsupported(
                f"{ask.cname}: objects of remote buckets cannot be renamed: copy it, then delete the old name"
            )
        if message.action == actions.CHECK_LOCK:
            return web.Response(status=_LOCKED if self._is_locked(ask) else 200)
        if message.action == actions.START_UPLOAD:
            return web.Response(text=await self._multipart.start(ask))
        if message.action == actions.COMPLETE_UPLOAD:
            await self._multipart.complete(ask, message)
            return web.Response()
        if message.action == actions.RENAME_OBJECT:
            return await self._rename(ask, message.name)
        if message.action == actions.MOVE_BUCKET and ask.is_from_peer:
            return await self._move(ask, message.name)
        if message.action == actions.GIVE_OBJECT and ask.is_from_peer:
            discard = message.value if isinstance(message.value, str) else None
            given = await self._rebalance.give(ask.view, ask.name, discard)
            if given is None:
                return web.Response(status=404)
            return web.Response(body=DISCARDED if given.is_discarded else b"")
        if message.action == actions.GIVE_UPLOAD and ask.is_from_peer:
            is_given = await self._moving_uploads.give(ask.view, ask.name, message.name)
            return web.Response(status=200 if is_given else 404)
        if not message.action:
            raise BadRequest(f"the request body must name an action, one of {list(_SERVED)}")
        raise InvalidAction(message.action, _SERVED)

    async def patch(self, request: web.Request, networks: Network) -> web.Response:
        """Set custom metadata: merged with what is there, or instead of it."""
        message = await _message(request)
        ask = self._front.ask(_head_of(request, networks), Access.UPDATE_OBJECT)
        self._front.require_redirect(ask, "PATCH(obj)")
        custom = _custom(message.value)
        await self._writes.settle(ask)
        replace, keeps = parse_bool(ask.params.get(query.SET_NEW_CUSTOM, "")), OF_BACKEND if ask.view.remote else ()
        await in_pool(
            self._volume.place(ask.view.uname + ask.name).pool,
            lambda: self._store.set_custom(
                ask.view.bck,
                ask.name,
                custom,
                replace=replace,
                keeps=keeps,
                fsync=ask.view.rules.fsync,
                event=ask.view.rules.event,
            ),
        )
        return web.Response()

    async def delete(self, request: web.Request, networks: Network) -> web.Response:
        """A DELETE with a body: plain, unless the body asks for something else."""
        message = await _message(request)
        ask = self._front.ask(_head_of(request, networks), Access.DELETE_OBJECT)
        self._front.require_redirect(ask, "DELETE(obj)")
        if message.action == _EVICT and ask.view.remote is not None:
            await self._moves.settle(ask.view, ask.name)
            await self._through.evict(ask.view, ask.name)
            return web.Response()
        if message.action == _EVICT:
            raise BadRequest(f"cannot evict {ask.cname}: expecting remote bucket (have {ask.view.bck.cname()})")
        if message.action == actions.ABORT_UPLOAD:
            await self._multipart.abort(ask)
            return web.Response()
        if message.action:
            raise InvalidAction(message.action, (_EVICT, actions.ABORT_UPLOAD))
        await self._writes.remove(ask)
        return web.Response()

    async def _rename(self, ask: Ask, new_name: str) -> web.Response:
        address.check_name(new_name)
        if new_name == ask.name:
            raise BadRequest(f"cannot rename object {ask.cname} onto itself")
        if ask.view.is_coded:
            raise Unsupported(f"cannot rename object {ask.cname} of an erasure-coded bucket - operation not supported")
        await self._moves.settle(ask.view, ask.name)
        await self._protected.heal(ask.view, ask.name)
        await self._moves.move(ask.view, ask.name, ask.view, new_name)
        self._host.stats.inc(metrics.REN_N)
        return web.Response()

    async def _move(self, ask: Ask, uname: str) -> web.Response:
        bck, name = Bck.parse_uname(uname)
        if (destination := self._front.views.get(bck)) is None:  # who asks would take "not found" for an answer
            raise NotReady(f'{self._host.snode.name} does not know the bucket "{bck.cname()}" yet: try again')
        await self._protected.repair(ask.view, ask.name)
        try:
            await self._moves.move(ask.view, ask.name, destination, name, only_if_absent=True)
        except NotFound:
            return web.Response(status=404)
        return web.Response()

    def _is_locked(self, ask: Ask) -> bool:
        """Whether a writer is publishing the object right now; that lasts for a rename, not for an upload."""
        uname = ask.view.uname + ask.name
        stripes, stripe = self._volume.place(uname).stripes, digest(uname)
        try:
            stripes.acquire(stripe, wait=False)
        except StripeBusy:
            return True
        stripes.release(stripe)
        return False


async def _message(request: web.Request) -> ActMsg:
    return ActMsg.parse(await request.read())


def _head_of(request: web.Request, networks: Network) -> Request:
    """The head of an aiohttp request as the data path's `Request`."""
    items = tuple((name.lower(), value) for name, value in request.headers.items())
    peer = Peer(request.remote or "", networks, request.scheme)
    return Request(request.method, request.raw_path, Headers(items), peer)


def _custom(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise BadRequest('custom metadata must be a JSON object of strings, like {"value": {"key": "text"}}')
    props.check_custom_text(value)
    return value
