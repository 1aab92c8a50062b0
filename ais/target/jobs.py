"""Control endpoints for xactions on one target: start, stop, query (our protocol between proxy and targets)."""

from collections.abc import Callable

from aiohttp import web

from ais.api import actions, codec
from ais.api.bucket import Bck
from ais.api.messages import ActMsg
from ais.api.xact import ArgsMsg, QueryMsg, Snap, parse_kind
from ais.base.errors import BadRequest, InvalidAction, NotYetImplemented
from ais.xact.registry import Registry, Xaction

Starter = Callable[[ArgsMsg], Xaction]


class Jobs:
    """The xactions of this target as its peers see them. `starters` are by kind."""

    def __init__(self, registry: Registry, starters: dict[str, Starter]) -> None:
        self._registry = registry
        self._starters = starters

    def routes(self) -> list[web.RouteDef]:
        """Endpoints of the control network."""
        return [web.put("/v1/xactions", self.change), web.get("/v1/xactions", self.query)]

    async def change(self, request: web.Request) -> web.Response:
        """Start or stop. Both answer 200 when it is already so."""
        message = ActMsg.parse(await request.read())
        args = message.value_as(ArgsMsg)
        if message.action == actions.START:
            self.start(args)
        elif message.action == actions.STOP:
            self.stop(args)
        else:
            raise InvalidAction(message.action, (actions.START, actions.STOP))
        return web.Response()

    async def query(self, request: web.Request) -> web.Response:
        """A JSON list of `Snap`, empty when none matches."""
        snaps = self.select(codec.from_json(await request.read() or b"{}", QueryMsg))
        return web.Response(body=codec.to_json(snaps) + b"\n", content_type="application/json")

    def start(self, args: ArgsMsg) -> Xaction:
        """Start an xaction, or return the one of this ID. Raise `BadRequest` or `NotYetImplemented`."""
        kind = parse_kind(args.kind)
        if not args.id or not kind:
            raise BadRequest("starting an xaction needs its ID and kind")
        if kind not in self._starters:
            raise NotYetImplemented(f'cannot start xaction "{kind}" - not implemented yet')
        return self._starters[kind](args)

    def stop(self, args: ArgsMsg) -> None:
        """Abort what matches. Raise `BadRequest` when neither ID nor kind is given."""
        kind = parse_kind(args.kind)
        if not args.id and not kind:
            raise BadRequest("stopping an xaction needs its ID or kind")
        uuids = frozenset((args.id,)) if args.id else frozenset[str]()
        for xaction in list(self._registry.select(uuids=uuids, kind=kind, bck=args.bck, only_running=True)):
            self._registry.abort(xaction, "aborted by user")

    def select(self, query: QueryMsg) -> list[Snap]:
        """Snaps of what matches; `show_active` leaves out those that have ended. Raise `BadRequest`."""
        uuids = frozenset(part.strip() for part in query.id.split(",") if part.strip())
        found = self._registry.select(
            uuids=uuids, kind=parse_kind(query.kind), bck=_named(query.bck), only_running=bool(query.show_active)
        )
        return [xaction.snap() for xaction in found]


def _named(bck: Bck | None) -> Bck | None:
    return bck if bck is not None and bck.name else None
