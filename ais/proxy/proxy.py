"""The proxy role: redirects object requests, answers for the cluster, drives bucket changes when it is primary.

A proxy keeps no data. What it remembers between requests (parts of redirects, leftovers of listings) can be lost at
any moment.
"""

from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from ais.auth.nodes import Seen
from ais.auth.tokens import Claims
from ais.base.errors import AisError, RemoteBucketNotFound
from ais.meta.bmd import BMD
from ais.meta.smap import Smap
from ais.net.client import PeerClient
from ais.net.http import AnyReply, Forward, Network, Reply, Request
from ais.node import signed
from ais.node.clients import Clients
from ais.node.node import Node
from ais.node.s3 import Gate
from ais.node.trust import OPEN, Trust
from ais.proxy import later
from ais.proxy.archive import Archiver
from ais.proxy.auth import Auth
from ais.proxy.batch import Batches
from ais.proxy.blobs import BlobStarter
from ais.proxy.buckets import Buckets
from ais.proxy.changes import BucketChanges
from ais.proxy.cluster import Cluster
from ais.proxy.downloads import Downloads
from ais.proxy.dsort import Sorts
from ais.proxy.easy import EasyUrls
from ais.proxy.groups import Groups
from ais.proxy.iam import QueryApi
from ais.proxy.inventories import Inventories
from ais.proxy.jobs import Jobs
from ais.proxy.listing import Lister
from ais.proxy.permissions import Permissions
from ais.proxy.promote import Promoter
from ais.proxy.protection import Protection
from ais.proxy.rates import Rates
from ais.proxy.rebalance import Rebalancer
from ais.proxy.redirect import COUNTED, OBJECTS, PREFIXES, Redirector
from ais.proxy.relay import Relay
from ais.proxy.remote import RemoteBuckets
from ais.proxy.rename import Renamer
from ais.proxy.returns import Returns
from ais.proxy.reverse import Reverse
from ais.proxy.s3.batches import Batches as BatchesOfS3
from ais.proxy.s3.call import Operation
from ais.proxy.s3.configurations import Configurations
from ais.proxy.s3.deletes import Deletes
from ais.proxy.s3.forms import Forms
from ais.proxy.s3.front import Front
from ais.proxy.s3.listing import Listing
from ais.proxy.s3.removal import Removal
from ais.proxy.s3.service import Service
from ais.proxy.s3.settings import Settings
from ais.proxy.summary import BUCKETS, SHARDS, Summaries
from ais.proxy.targets import Targets
from ais.proxy.tokens import Tokens
from ais.s3.operations import Op
from ais.stats import names as metrics

_COUNTED_ERRORS = {
    "GET": metrics.ERR_GET_N,
    "HEAD": metrics.ERR_HEAD_N,
    "PUT": metrics.ERR_PUT_N,
    "DELETE": metrics.ERR_DEL_N,
}


class Proxy:
    """A proxy on a node. Implements `ais.node.role.Role`."""

    def __init__(
        self, node: Node, peers: PeerClient, trust: Trust = OPEN, *, local_cidr: str = "", sharers: int = 1
    ) -> None:
        """`local_cidr` is the network whose clients are redirected to intra-cluster addresses; empty: none.

        `sharers` processes serve this node's clients.
        """
        self._node = node
        self._trust = trust
        self._counters = node.stats.values
        self._clients = Clients(node)
        now_ns = node.env.clock.now_ns
        self._rates = Rates(lambda: node.smap, node.env.clock.monotonic, sharers)
        self._redirector = Redirector(
            node, now_ns, self._counters, local_cidr, rates=self._rates, mark=self._clients.mark
        )
        targets, relay = Targets(node), Relay(node)
        self._renamer = Renamer(node, targets)
        self._rebalancer = Rebalancer(node, targets)
        self.lister = Lister(node, targets)
        jobs, archiver = Jobs(node, targets), Archiver(node, targets)
        groups = Groups(node, targets, jobs, BucketChanges(node))
        self._remote = RemoteBuckets(node, targets)
        self._sorts = Sorts(node, targets, jobs, relay)
        self._downloads = Downloads(node, targets, jobs, relay)
        self._promoter = Promoter(node, targets, jobs, BlobStarter(node, targets, self._remote))
        summaries = Summaries(node, targets, BUCKETS)
        shard_summaries = Summaries(node, targets, SHARDS)
        self._inventories = Inventories(node, targets, jobs, BucketChanges(node))
        self._buckets = Buckets(
            node,
            self.lister,
            summaries,
            shard_summaries,
            self._renamer,
            relay,
            archiver,
            jobs,
            groups,
            self._remote,
            self._inventories,
        )
        self._protection = Protection(node, targets)
        self._cluster = Cluster(node, targets, jobs, relay, self._rebalancer, self._protection, self._remote, groups)
        self._reverse = Reverse(node, relay)
        self._returns = Returns(node, relay)
        self._auth = Auth(node, relay)
        self._tokens = Tokens(node, self._clients, relay)
        self._batches = Batches(node, self._clients.mark)
        self._easy = EasyUrls(self._buckets)
        self._gate = Gate(node)
        self._removal = Removal(node, targets)
        self._s3 = self._make_s3(targets, peers)

    def _make_s3(self, targets: Targets, peers: PeerClient) -> Front:
        service = Service(self._node, self._gate)
        operations = {
            Op.HEAD_BUCKET: Operation(service.head),
            Op.GET_BUCKET_LOCATION: Operation(service.location),
            Op.DELETE_BUCKET: Operation(self._removal.delete, is_change=True),
            Op.DELETE_OBJECTS: Deletes(self._gate, targets, peers).operation,
            Op.GET_OBJECTS: BatchesOfS3(self._node, self._gate, peers).operation,
            **Settings(self._node, self._gate).operations(),
            **Configurations(self._node, self._gate).operations(),
            **Listing(self._node, self.lister, self._remote, self._inventories).operations(),
        }
        forms, queries = Forms(self._node, self._gate, peers), QueryApi(self._node, self._gate)
        return Front(self._node, self._gate, operations, service, forms, queries, self._rates)

    def start(self) -> None:
        """Begin the role's background work, once the node runs; the node's supervisor ends it."""
        self._renamer.start()
        self._rebalancer.start()
        self._protection.start()
        self._removal.start()

    async def stop(self) -> None:
        """The node's supervisor ends what `start` began; nothing else has to end."""

    # -- HTTP

    def route(self, request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        """The hot path, then S3; None for everything else. Raise the error of a bad request."""
        method = request.method
        try:
            reply = self.pass_to_owner(request)
        except RemoteBucketNotFound as error:
            return self._route_when_known(request, error)
        except AisError:
            if method in _COUNTED_ERRORS:
                self._counters[_COUNTED_ERRORS[method]] += 1
            raise
        if type(reply) is Forward and method in COUNTED:
            self._counters[COUNTED[method]] += 1
        if reply is None and self._gate.is_s3(request):
            return self._s3.answer(request)
        return reply

    async def _route_when_known(self, request: Request, error: AisError) -> AnyReply:
        """A request on an object of a bucket that is at a backend, and that was never used before."""
        try:
            for _, bck in self._redirector.asked(request) or ():
                await self._remote.ensure(bck)
            reply = self.pass_to_owner(request)
        except AisError:
            if request.method in _COUNTED_ERRORS:
                self._counters[_COUNTED_ERRORS[request.method]] += 1
            raise
        if reply is None:
            raise error
        return reply

    def pass_to_owner(self, request: Request) -> Reply | Forward | None:
        """Redirect a native request on an object, forward an S3 one; None for any other. Raise as `route`."""
        gate = self._gate
        needs_proof = gate.needs_proof(request)
        if needs_proof is False:
            reply = self._redirector.answer(request)
        elif needs_proof:
            reply = self._answer_client(request)
        else:
            reply = self._answer_unusual(request)
        if reply is not None:
            return reply
        return self._s3.forward(request) if gate.is_s3(request) else None

    def _answer_unusual(self, request: Request) -> Reply | None:
        """The redirect of what a browser or a node sends, or of whatever comes where a `Host` may be a bucket's."""
        if request.headers.is_browser:
            self._gate.check_page(request)
        if self._gate.is_never_native(request):
            return None
        return self._answer_client(request) if self._clients.must_prove else self._redirector.answer(request)

    def _answer_client(self, request: Request) -> Reply | None:
        """The redirect of who has to prove that they may; None for what is no native request on an object."""
        if not request.path.startswith(PREFIXES):
            return None
        claims = self._admitted(request)
        reply = self._redirector.answer(request)
        if claims is not None:
            self._clients.bind(reply, claims)
        return reply

    def _admitted(self, request: Request) -> Claims | None:
        """Who sends a native request on an object, if they may; None for a node, or whoever is on this machine.

        Raise as `ais.node.clients`.
        """
        clients, path, authorization = self._clients, request.path, request.headers.get("authorization")
        # A token permits the same for all objects of a bucket.
        end = path.find("/", len(OBJECTS)) if path.startswith(OBJECTS) else -1
        asked = (authorization, request.method, path[:end], request.query) if end > 0 else None
        if asked is not None and (known := clients.admitted(asked)) is not None:
            return known
        if clients.is_node(request) or Network.LOCAL in request.networks:
            return None
        claims = clients.of_request(request)
        for needed, bck in self._redirector.asked(request) or ():
            clients.require(claims, needed, bck)
        if asked is not None and not signed.is_signed(authorization):  # which is good for this request alone
            clients.admit(asked, claims)
        return claims

    def error_reply(self, request: Request, error: BaseException) -> Reply | None:
        """In S3's form when the request is S3's."""
        return self._gate.error_reply(request, error) if self._gate.is_s3(request) else None

    def routes(self, networks: Network) -> list[web.RouteDef]:
        """What the listener of these networks has besides the node's own routes (wire contract §23).

        On the control network it is the same, for other proxies that pass requests on.
        """
        if not networks & (Network.PUBLIC | Network.CONTROL):
            return []
        found = [
            *self._buckets.routes(),
            *self._cluster.routes(),
            *self._reverse.routes(),
            *self._auth.routes(),
            *self._tokens.routes(),
            *self._sorts.routes(),
            *self._downloads.routes(),
            *self._promoter.routes(),
        ]
        if Network.PUBLIC in networks:
            found += [*self._easy.routes(), *self._batches.routes(), *later.routes(), web.get("/favicon.ico", _nothing)]
        of_nodes = self._trust.only_nodes(self._returns.routes()) if Network.CONTROL in networks else []
        permissions = Permissions(self._clients, networks, lambda bck: self._node.bmd.get(bck) is not None)
        return [*permissions.guard(found), *of_nodes]

    # -- the role

    async def prepare_bmd(self, old: BMD, new: BMD) -> None:
        """A proxy has nothing to prepare."""

    async def abort_bmd(self, old: BMD, new: BMD) -> None:
        """And nothing to undo."""

    async def load_bmd(self, bmd: BMD) -> None:
        """Nor to make ready."""

    def share_notes(self, notes: Seen) -> None:
        """Remember with other processes of the node which changes were passed on to it."""
        self._gate.notes = notes

    def follow_map(self, smap: Smap) -> None:
        """A proxy looks at the map each time."""

    async def has_objects(self) -> bool:
        """A proxy keeps none."""
        return False

    def serve(self) -> None:
        """A proxy looks at its node each time."""

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
