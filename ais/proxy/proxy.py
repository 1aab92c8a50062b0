"""The proxy role: redirects object requests, answers for the cluster, drives bucket changes when it is primary.

A proxy keeps no data. What it remembers between requests (prepared redirects, leftovers of listings) can be lost at
any moment.
"""

from typing import Any

from aiohttp import web

from ais.base.errors import AisError
from ais.meta.bmd import BMD
from ais.net.http import Network, Reply, Request
from ais.node.node import Node
from ais.proxy import s3
from ais.proxy.auth import Auth
from ais.proxy.buckets import Buckets
from ais.proxy.cluster import Cluster
from ais.proxy.easy import EasyUrls
from ais.proxy.jobs import Jobs
from ais.proxy.listing import Lister
from ais.proxy.redirect import Redirector
from ais.proxy.relay import Relay
from ais.proxy.rename import Renamer
from ais.proxy.reverse import Reverse
from ais.proxy.summary import Summaries
from ais.proxy.targets import Targets
from ais.stats import names as metrics

_COUNTED = {"GET": metrics.GET_N, "HEAD": metrics.HEAD_N, "PUT": metrics.PUT_N, "DELETE": metrics.DEL_N}
_COUNTED_ERRORS = {
    "GET": metrics.ERR_GET_N,
    "HEAD": metrics.ERR_HEAD_N,
    "PUT": metrics.ERR_PUT_N,
    "DELETE": metrics.ERR_DEL_N,
}


class Proxy:
    """A proxy on a node. Implements `ais.node.role.Role`."""

    def __init__(self, node: Node, *, local_cidr: str = "") -> None:
        """`local_cidr` is the network whose clients are redirected to intra-cluster addresses; empty: none."""
        self._node = node
        self._redirector = Redirector(node, node.env.clock.now_ns, local_cidr)
        self._counters = node.stats.values
        targets, relay = Targets(node), Relay(node)
        self._renamer = Renamer(node, targets)
        self.lister = Lister(node, targets)
        self._buckets = Buckets(node, self.lister, Summaries(node, targets), self._renamer, relay)
        self._cluster = Cluster(node, targets, Jobs(node, targets), relay)
        self._reverse = Reverse(node, relay)
        self._auth = Auth(node, relay)
        self._easy = EasyUrls(self._buckets)

    def start(self) -> None:
        """Begin the role's background work, once the node runs; the node's supervisor ends it."""
        self._renamer.start()

    async def stop(self) -> None:
        """The node's supervisor ends what `start` began; nothing else has to end."""

    # -- HTTP

    def route(self, request: Request) -> Reply | None:
        """The hot path: redirect an object request; None for everything else. Raise the error of a bad request."""
        method = request.method
        try:
            reply = self._redirector.answer(request)
        except AisError:
            if method in _COUNTED_ERRORS:
                self._counters[_COUNTED_ERRORS[method]] += 1
            raise
        if reply is not None and method in _COUNTED:
            self._counters[_COUNTED[method]] += 1
        return reply

    def routes(self, networks: Network) -> list[web.RouteDef]:
        """What the listener of these networks has besides the node's own routes (wire contract §23).

        On the control network it is the same, for other proxies that pass requests on.
        """
        if not networks & (Network.PUBLIC | Network.CONTROL):
            return []
        found = [*self._buckets.routes(), *self._cluster.routes(), *self._reverse.routes(), *self._auth.routes()]
        if Network.PUBLIC in networks:
            found += [*self._easy.routes(), *s3.routes(self._node), web.get("/favicon.ico", _nothing)]
        return found

    # -- the role

    async def prepare_bmd(self, old: BMD, new: BMD) -> None:
        """A proxy has nothing to prepare."""

    async def abort_bmd(self, old: BMD, new: BMD) -> None:
        """And nothing to undo."""

    async def apply_bmd(self, old: BMD, new: BMD) -> None:
        """Redirects notice a new version by themselves."""

    def status(self) -> dict[str, Any]:
        """A proxy adds nothing to its node's status."""
        return {}

    def daemon_value(self, what: str) -> object | None:
        """A proxy has no answers of its own."""
        return None

    def state_flags(self) -> int:
        """A proxy has no state bits of its own."""
        return 0


async def _nothing(_request: web.Request) -> web.Response:
    return web.Response()
