"""The target role: puts its parts together, follows the bucket metadata, and says which listener serves what."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from ais.api.bucket import Bck
from ais.api.xact import (
    CLEANUP,
    EC_ENCODE,
    LIFECYCLE,
    LOAD_METADATA,
    LRU,
    MAKE_COPIES,
    MOVE_BUCKET,
    REBALANCE,
    REPLICATE,
    RESILVER,
    REWRAP,
    SCRUB,
    ArgsMsg,
)
from ais.auth.nodes import Seen
from ais.base.errors import AisError, BadRequest, DiskFailure, NotReady
from ais.base.ids import new_id
from ais.core import recovery
from ais.core.listing import Lister
from ais.core.slicing import split_key
from ais.core.store import Store
from ais.core.version_listing import VersionLister
from ais.core.workfile import WriteRules
from ais.ec.encode import Encoder
from ais.ec.jobs import EcJobs
from ais.ec.parting import Parting
from ais.ec.peers import SlicePeers
from ais.ec.restore import Restorer
from ais.ec.slice import Scheme
from ais.ec.slicing import Slicer
from ais.ec.store import SliceStore
from ais.fs import power
from ais.fs.volume import Volume
from ais.meta.bmd import BMD, Bucket
from ais.meta.smap import Smap
from ais.mirror.jobs import MirrorJobs
from ais.net.client import PeerClient
from ais.net.http import AnyReply, Network, Reply, Request, header_lines
from ais.node.s3 import Gate
from ais.node.trust import OPEN, Trust
from ais.s3.front import is_s3_by_path
from ais.scrub.coded import Coded
from ais.space.eviction import Eviction
from ais.space.resilver import Resilver
from ais.stats import names as metrics
from ais.target.actions import Actions
from ais.target.archiving import Archiving
from ais.target.arriving import Arriving
from ais.target.batch.routes import Batches
from ais.target.blobs import Blobs
from ais.target.bucket_move import BucketMove
from ais.target.download.routes import Downloads
from ais.target.dsort.routes import Sorts
from ais.target.elsewhere import Elsewhere
from ais.target.events.existing import Existing
from ais.target.events.replicating import Replicas
from ais.target.events.service import EventService
from ais.target.evicting import Evicting
from ais.target.front import Front, Misplaced
from ais.target.groups import Groups
from ais.target.host import Host
from ais.target.index_queue import IndexQueue
from ais.target.inventories import Inventories
from ais.target.jobs import Jobs, Starter
from ais.target.keyring import Keyring
from ais.target.maps import MARK, Maps, mark_of
from ais.target.mountpaths import MountpathAdmin
from ais.target.moves import EarlierAway, Moves
from ais.target.moving_uploads import MovingUploads
from ais.target.multipart import Multipart
from ais.target.objects import Objects
from ais.target.opening import Opening
from ais.target.pages import Pages
from ais.target.parts import Parts
from ais.target.plain import Plain
from ais.target.promotion.routes import Promotions
from ais.target.protected import Protected
from ais.target.reads import Reads
from ais.target.rebalance import Rebalance
from ais.target.recent import Recent
from ais.target.remote.remote import Remote
from ais.target.returns import Returns
from ais.target.s3.control import Control
from ais.target.s3.every_version import EveryVersion
from ais.target.s3.front import S3Front
from ais.target.s3.lifecycle import Lifecycle
from ais.target.s3.rewrapping import Rewrapping
from ais.target.s3.verified import Verified
from ais.target.scrub import ScrubService
from ais.target.sending_on import SendingOn
from ais.target.shard_index import ShardIndexes
from ais.target.shard_summaries import ShardSummaries
from ais.target.shards import Shards
from ais.target.slices import Slices
from ais.target.summaries import Summaries
from ais.target.tasks import Tasks
from ais.target.view import Views, mirroring_of
from ais.target.warming import Warming
from ais.target.writes import Writes
from ais.xact.history import History
from ais.xact.joggers import Joggers
from ais.xact.pace import Pace
from ais.xact.registry import Registry
from ais.xact.unfinished import Unfinished
from ais.xact.xaction import Xaction

APPEND_IDLE_S_MAX = 24 * 3600.0
"""Append handles that nobody used for so long are dropped with what they collected."""
HOUSEKEEPING_S = 600.0
SERVED_WAIT_S_MAX = 10.0
"""A target that joins owns names as soon as it is in the cluster map, some moments before it knows the buckets."""
_ASKED = (metrics.GET_N, metrics.PUT_N, metrics.HEAD_N, metrics.APPEND_N, metrics.DEL_N, metrics.LST_N)
"""Counters of what clients wait for."""
REBALANCING, RESILVERING = 1 << 3, 1 << 5
"""Bits of `NodeStateInfo.flags`."""


class Target:
    """A target's role. It implements `ais.node.role.Role`; `route` serves the data path of every listener.

    Call `prepare_disk` before the node starts, `start` when it is in the cluster, and `stop` at the end.
    """

    def __init__(self, host: Host, volume: Volume, store: Store, peers: PeerClient, trust: Trust = OPEN) -> None:
        self._trust = trust
        self._host = host
        self._volume = volume
        self._store = store
        self._log = structlog.get_logger()
        self._cleaning: asyncio.Task[None] | None = None
        self._background: list[asyncio.Task[None]] = []
        self._front = Front(host)
        self._maps = Maps(host)
        self._is_serving = False
        self._served = asyncio.Event()
        self._bmd = BMD()
        self._is_moving = self._is_weighted = False
        self._views = Views(self._bmd)
        """Of the present BMD; `Front` shows them from `serve` on."""
        volume.vouch = self._vouch
        lister = Lister(volume, host.env)
        slices, slice_peers = SliceStore(store, host.env), SlicePeers(host, peers)
        restorer = Restorer(store, slices, slice_peers, host.env)
        self._slicer = Slicer(slices, slice_peers, restorer, self._scheme)
        self._slices = slices
        pace = self._pace = Pace(host.env.clock, lambda: sum(host.stats.total(slot) for slot in _ASKED))
        moves = self._moves = Moves(host, self._maps, volume, store, restorer, peers, pace)
        remote = self._remote = Remote(host, self._front, volume, store)
        moving_uploads = MovingUploads(host, volume, store, moves)
        multipart = Multipart(host, volume, store, moves, remote.through, moving_uploads)
        indexes = ShardIndexes(store, host.env.disk)
        shards = Shards(host, volume, store, indexes)
        history = History(host.env.disk, lambda: volume.available)
        unfinished = Unfinished(host.env.disk, lambda: volume.available)
        self.registry = Registry(host.env.clock, history, unfinished)
        self.joggers = Joggers(host.env, pace, volume)
        self._mirror = MirrorJobs(self.registry, self.joggers, store, host.env, pace.pieces, self._burst)
        encoder = Encoder(store, slices, slice_peers, restorer, self._slicer, self._scheme, self._rules, pace.pieces)
        self._ec = EcJobs(
            self.registry,
            self.joggers,
            store,
            encoder,
            restorer,
            self._slicer,
            slice_peers,
            host.env,
            pace,
            self._ec_burst,
        )
        moves.before_give, self._ec.arrived = self._ec.until_sent, self._arrived
        verified = Verified(store)
        protected = Protected(volume, store, self._mirror.mirror, self._ec, restorer, slice_peers, verified)
        remote.cold.restore = protected.ensure
        elsewhere = Elsewhere(host, self._front, store, moves, peers)
        opening = Opening(store, moves, elsewhere, protected, remote.cold)
        writes = Writes(
            host,
            self._front,
            volume,
            store,
            moves,
            multipart,
            shards,
            protected,
            remote.cold,
            remote.through,
            moving_uploads,
            pace,
        )
        self._returns = Returns(host, volume, peers)
        self.mountpaths = MountpathAdmin(host, volume, self._returns)
        gate = self._gate = Gate(host)
        self._keyring = store.keyring = Keyring(gate)
        self._replicas = Replicas(host, gate, peers)
        self.announcer = self._events = EventService(host, gate, volume, store, peers, self._replicas)
        store.announce_to(self._events)
        store.trust(lambda: host.sure_ns)
        self.mountpaths.on_gone = self._events.hand_on_gone
        rebalance = Rebalance(
            host,
            self._front,
            volume,
            store,
            moves,
            protected,
            self.joggers,
            self.registry,
            self._hand_on,
            remote.through,
            Parting(slices, slice_peers),
            moving_uploads,
        )
        self._sending_on = SendingOn(host, gate.clients)
        self._actions = Actions(
            host,
            self._front,
            volume,
            store,
            moves,
            protected,
            writes,
            multipart,
            rebalance,
            remote.through,
            self._sending_on,
            moving_uploads,
        )
        summaries = Summaries(self.registry, self._front, volume, lister, remote)
        versions = VersionLister(volume, host.env)
        shard_summaries = ShardSummaries(self.registry, lister, indexes)
        self._index_queue = IndexQueue(self._front, opening, indexes)
        self._pages = Pages(
            host,
            self._front,
            trust,
            store,
            lister,
            versions,
            summaries,
            self._mirror.mirror,
            opening,
            shard_summaries,
        )
        bucket_move = BucketMove(self.registry, self._front, lister, moves, protected, self.joggers, pace)
        recent = Recent(host, self._front, store)
        self._s3 = S3Front(
            host,
            gate,
            self._front,
            self._maps,
            volume,
            store,
            moves,
            moving_uploads,
            elsewhere,
            peers,
            verified,
            protected,
            remote,
        )
        self._control = Control(self._front, VersionLister(volume, host.env), moves, self._s3.deletes)
        self._lifecycle = Lifecycle(host, self.registry, gate, self._front, volume, store, moves, pace)
        self._resilver = Resilver(
            self.registry,
            self.joggers,
            store,
            host.env,
            pace.pieces,
            lambda: host.config.cluster.resilver.enabled,
            self._complete,
            self._before_leaving,
            self._after_resilver,
        )
        evicting = Evicting(self._front, moves, remote.through, host.env.clock)
        self._eviction = Eviction(
            self.registry,
            self.joggers,
            pace,
            volume,
            host.env,
            lambda: host.config.cluster.space,
            lambda: host.config.cluster.lru,
            evicting.buckets,
            evicting.evict,
        )
        every_version = EveryVersion(host, self.joggers, self._front, store, pace)
        starters: dict[str, Starter] = {
            MOVE_BUCKET: bucket_move.start,
            LIFECYCLE: self._lifecycle.start,
            REWRAP: Rewrapping(host, self.registry, gate, store, every_version).start,
            REPLICATE: Existing(host, self.registry, gate, store, every_version, self._events).start,
            MAKE_COPIES: self._make_copies,
            EC_ENCODE: self._ec_encode,
            REBALANCE: rebalance.start,
            RESILVER: lambda args: self._resilver.start(args.id),
            LOAD_METADATA: Warming(self.registry, self.joggers, self._front, store).start,
            LRU: lambda args: self._eviction.start(args.id, args.all_buckets, force=args.force),
        }
        self._scrub = ScrubService(
            host,
            self._front,
            self.registry,
            self.joggers,
            pace,
            store,
            self._mirror,
            self._ec,
            Coded(slice_peers, self._ec, slices, host.env.clock, self._scheme),
            slice_peers,
            rebalance,
        )
        self._jobs = Jobs(self.registry, starters | {SCRUB: self._scrub.start, CLEANUP: self._scrub.start_cleanup})
        self._tasks = Tasks(self.registry, self._served)
        parts = Parts(
            host,
            self.registry,
            self._tasks,
            self._front,
            volume,
            store,
            moves,
            protected,
            opening,
            indexes,
            remote,
            self.joggers,
            lister,
            pace,
            peers,
        )
        self._blobs = Blobs(parts)
        reads = Reads(host, self._front, store, opening, recent, shards, protected, remote, self._blobs)
        self._batches = Batches(host, self._front, store, opening, peers, indexes)
        self._arriving = Arriving(host, self._front, volume, store, pace, moves.is_asked_for)
        self._groups = Groups(parts, self._blobs)
        self._inventories = Inventories(parts)
        self._archiving = Archiving(parts)
        self._sorts = Sorts(parts)
        self._downloads = Downloads(parts)
        self._promotions = Promotions(parts)
        endpoint = Slices(self._front, slices, self._ec)
        self._objects = Objects(host.stats, recent, reads, writes, gate, self._s3, endpoint, elsewhere)
        self.plain = Plain(self._front, gate, self._objects)

    def route(self, request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        """The data path. While this target starts, names are its own already: what fails for that waits, and is tried
        again when it knows the buckets, the other nodes and their secret. What a gateway passed on is taken once only
        (`Ais-S3-Via`), so S3 waits first."""
        if self._is_serving and MARK not in request.query:
            if is_s3_by_path(request.path):
                return self._objects.s3(request)
            if self._gate.is_admitted(request):
                return self._objects.native(request)
        return self._route_unusual(request)

    def _route_unusual(self, request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        if self._is_serving:
            if MARK in request.query and (version := mark_of(request.query)) > self._maps.version:
                return self._route_by_map(request, version)
            page = None if self._gate.is_never_native(request) else self._pages.route(request)
            return self._objects.route(request) if page is None else page
        if self._gate.is_s3(request):
            return self._route_when_served(request, None)
        try:
            reply = self._objects.route(request)
        except AisError:
            return self._route_when_served(request, None)
        return self._route_when_served(request, reply) if isinstance(reply, Awaitable) else reply

    async def _route_when_served(self, request: Request, reply: Awaitable[AnyReply] | None) -> AnyReply:
        with contextlib.suppress(AisError):
            if reply is not None:
                return await reply
        await self._until_served()
        return await self._route_now(request, "is starting")

    async def _route_by_map(self, request: Request, version: int) -> AnyReply:
        await self._maps.until(version)
        return await self._route_now(request, "is not the node for this request")

    async def _route_now(self, request: Request, otherwise: str) -> AnyReply:
        """After a wait, when the application cannot be asked any more. Raise `NotReady` with what this target is."""
        request.as_sent()
        reply = self._objects.route(request)
        if reply is None:
            raise NotReady(f"{self._host.snode.name} {otherwise}: try again in a moment")
        return await reply if isinstance(reply, Awaitable) else reply

    async def _until_served(self) -> None:
        """Wait until buckets are served, for some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SERVED_WAIT_S_MAX):
                await self._served.wait()

    def _waiting(self, route: web.RouteDef) -> web.RouteDef:
        async def handle(request: web.Request) -> web.StreamResponse:
            if not self._is_serving:
                await self._until_served()
            return await route.handler(request)

        return web.RouteDef(route.method, route.path, handle, route.kwargs)

    def routes(self, networks: Network) -> list[web.RouteDef]:
        """What the aiohttp application of a listener serves besides the node's own routes (wire contract §23)."""
        found = [*self._actions.routes(networks), *self._batches.routes(networks)]
        of_nodes = [*self._batches.data_routes(), *self._arriving.routes()] if Network.DATA in networks else []
        if Network.CONTROL in networks:
            of_nodes += [
                *self._jobs.routes(),
                *self._groups.routes(),
                *self._archiving.routes(),
                *self._sorts.routes(),
                *self._downloads.routes(),
                *self._promotions.routes(),
                *self._pages.routes(),
                *self._control.routes(),
                *self.mountpaths.routes(),
                *self._returns.routes(),
                *self._scrub.routes(),
                *self._remote.routes(),
                *self._blobs.routes(),
                *self._inventories.routes(),
                *self._events.routes(),
                *self._s3.replicas.routes(),
            ]
        return [self._waiting(route) for route in found + self._trust.only_nodes(of_nodes)]

    async def prepare_disk(self) -> None:
        """Remove what a crash left unfinished. Nothing may be served yet. Raise `DiskFailure`."""
        self._keyring.start()
        await asyncio.to_thread(self._volume.sweep_workfiles)
        await asyncio.to_thread(self._events.load)
        tasks = await self.registry.recall()
        await asyncio.to_thread(self._sorts.sweep, tasks)
        await asyncio.to_thread(self._downloads.sweep)
        self._blobs.recall(tasks)
        self._tasks.resume(tasks)

    def start(self) -> None:
        """Begin background work."""
        self._clean()
        self._mirror.start()
        self._ec.start()
        self._store.on_shard(self._index_queue.note)
        self._background = [
            asyncio.create_task(self._index_queue.run(), name="indexes of shards"),
            asyncio.create_task(self._keep_house(), name="drop idle appends"),
            asyncio.create_task(self._beat(), name="heartbeat of mountpaths"),
            asyncio.create_task(self._mirror.watch(), name="mirrored buckets"),
            asyncio.create_task(self._ec.watch(), name="erasure-coded buckets"),
            asyncio.create_task(self._resilver.watch(), name="resilver"),
            asyncio.create_task(self.mountpaths.health.watch(), name="health of mountpaths"),
            asyncio.create_task(self._lifecycle.run_hourly(), name="lifecycle rules"),
            asyncio.create_task(self._scrub.watch(), name="census and scrub"),
            asyncio.create_task(self._eviction.watch(), name="eviction"),
            asyncio.create_task(self._events.watch(), name="events"),
            asyncio.create_task(self._blobs.sweep(), name="what was fetched in parts"),
            asyncio.create_task(self._returns.watch(), name="mountpaths that may return"),
        ]

    async def stop(self) -> None:
        """Abort xactions and wait for background work."""
        self._slicer.close()
        await self.registry.close()
        self._pace.close()
        await self._remote.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._events.stop()
        await self._replicas.close()
        if self._cleaning is not None:
            await self._cleaning
        self._scrub.close()
        await asyncio.to_thread(self._slices.close)

    # Role

    async def prepare_bmd(self, old: BMD, new: BMD) -> None:
        """Create the directories of new buckets. Raise `BadRequest`, `OutOfSpace` or `DiskFailure` to veto."""
        for bucket in new:
            self._check_copies(old.get(bucket.bck), bucket)
            if old.get(bucket.bck) is None:
                await asyncio.to_thread(self._volume.create_bucket, bucket.bck, bucket.bid)

    async def abort_bmd(self, old: BMD, new: BMD) -> None:
        """Remove the directories of buckets that are not to be."""
        for bucket in new:
            if old.get(bucket.bck) is None:
                await asyncio.to_thread(self._volume.trash_bucket, bucket.bck)
        self._clean()

    async def load_bmd(self, bmd: BMD) -> None:
        """Know the buckets there were. Their directories were made before; one that is missing now is missed."""
        known = {bucket.bck: bucket.bid for bucket in bmd}
        await asyncio.to_thread(self._volume.reconcile_buckets, known, known)
        await self._follow_props(bmd)
        self._take(bmd)

    def share_notes(self, notes: Seen) -> None:
        """Remember with other processes of the node which changes were passed on to it."""
        self._gate.notes = notes

    def follow_map(self, smap: Smap) -> None:
        """While names get other owners each request finds out whose its object is, and where it may still be."""
        is_moving = bool(smap.moving)
        placement, own_id = self._host.placement, self._host.snode.id
        self._returns.follow_map()
        owns = (lambda key: placement.is_owner(own_id, key)) if is_moving else None
        self._volume.follow_owners(owns, smap.moving.id if smap.moving else "")
        if (is_moving, placement.is_weighted) != (self._is_moving, self._is_weighted):
            self._is_moving, self._is_weighted = is_moving, placement.is_weighted
            self._take(self._bmd)
        self._maps.follow()

    def _take(self, bmd: BMD) -> None:
        self._bmd = bmd
        self._views = Views(bmd, is_moving=self._is_moving, is_weighted=self._is_weighted)
        if self._is_serving:
            self._front.views = self._views

    def error_reply(self, request: Request, error: BaseException) -> Reply | None:
        """The redirect to the owner of an object; S3's answer to what is S3's; None for everything else."""
        if (found := self._sending_on.redirect(request, error)) is not None:
            return Reply(found[0], header_lines(("Location", found[1])))
        return self._s3.error_reply(request, error)

    async def has_objects(self) -> bool:
        """Whether any bucket here has an object."""
        return await asyncio.to_thread(self._volume.has_objects)

    def show(self, bmd: BMD) -> None:
        """Serve these buckets, whose directories another process of this target looks after."""
        self._is_serving = self._remote.cold.is_passive = True
        self._take(bmd)

    def serve(self) -> None:
        """Show the buckets."""
        self._is_serving = True
        self._served.set()
        self._front.views = self._views

    async def apply_bmd(self, old: BMD, new: BMD) -> None:
        """Serve the buckets of `new`, with a directory for each; what was removed is gone for clients on return.

        One may have been removed and made again since: what works on it would go on with objects it was not meant for.
        """
        known = {bucket.bck: bucket.bid for bucket in old}
        for bck, bid in known.items():
            if (now := new.get(bck)) is None or now.bid != bid:
                self.registry.abort_of(bck, f"bucket {bck.cname()} was removed")
        await asyncio.to_thread(
            self._volume.reconcile_buckets, {bucket.bck: bucket.bid for bucket in new}, known if old.version else None
        )
        await self._follow_props(new)
        changed = [(one, was.props) for one in new if (was := old.get(one.bck)) is not None]
        if mirrored := [one.bck for one, was in changed if 1 < one.props.copies != was.copies]:
            await self._mirror.must_copy(mirrored)
        if coded := [one.bck for one, was in changed if one.props.is_coded and one.props.coding != was.coding]:
            await self._ec.must_code(coded)
        self._take(new)
        removed = [bucket.bck for bucket in old if new.get(bucket.bck) is None]
        for bck in removed:
            await asyncio.to_thread(self._volume.trash_bucket, bck)
        self._clean()

    def _check_copies(self, old: Bucket | None, new: Bucket) -> None:
        """Raise `BadRequest` when a bucket asks for more copies than there are mountpaths."""
        rule, count = mirroring_of(new.props), len(self._volume.available)
        if rule is not None and rule.copies > count and (old is None or old.props.mirror != new.props.mirror):
            raise BadRequest(
                f"{self._host.snode.name}: number of copies ({rule.copies}) exceeds the number of mountpaths ({count})"
            )

    def _make_copies(self, args: ArgsMsg) -> Xaction:
        if args.bck is None:
            raise BadRequest(f'xaction "{MAKE_COPIES}" requires a bucket to start')
        return self._mirror.make_copies(self._front.views.require(args.bck).bck, args.id)

    def _complete(self, bck: Bck, name: str) -> None:
        """See `Resilver`. Raise `DiskFailure` when nothing of the object is good."""
        if self._mirror.mirror.bring(bck, name).is_lost:
            raise DiskFailure(f"{bck.cname(name)} is damaged and no copy of it is good")

    async def _arrived(self, bck: Bck, key: str) -> bool:
        """See `EcJobs.arrived`. While who owned the name before is away, its slices stand for what he has."""
        view = self._front.views.get(bck)
        if (
            view is None
            or not self._moves.may_be_elsewhere(view)
            or not await asyncio.to_thread(self._ec.lacks, bck, key)
        ):
            return False
        with contextlib.suppress(EarlierAway):
            await self._moves.settle(view, split_key(key)[0])
        return not await asyncio.to_thread(self._ec.lacks, bck, key)

    async def _hand_on(self) -> None:
        await self._events.hand_on()
        await self._returns.hand_on()

    async def _before_leaving(self) -> None:
        await self._events.hand_on_leaving()
        if self._volume.gives_up:
            async with self._returns.giving_up():
                pass  # it counts as gone as soon as it is known that it was not there

    async def _after_resilver(self) -> None:
        """Everything is in its place, with copies: return when coded objects have their slices.

        Raise `DiskFailure` when some have not.
        """
        jobs = [self._ec.encode_bucket(bck, new_id(self._host.env.rng)) for bck in self._volume.coded]
        for job in jobs:
            await job.wait()
        for job in jobs:
            if job.error or job.is_aborted:
                self._ec.look_again()
                raise DiskFailure(f"{job.kind}[{job.uuid}] of {job.bck.cname()}: {job.error or job.abort_reason}")

    def _ec_encode(self, args: ArgsMsg) -> Xaction:
        if args.bck is None:
            raise BadRequest(f'xaction "{EC_ENCODE}" requires a bucket to start')
        view = self._front.views.require(args.bck)
        if not view.is_coded:
            raise BadRequest(f"EC is disabled for {view.bck.cname()}")
        return self._ec.encode_bucket(view.bck, args.id)

    def _scheme(self, bck: Bck, size_bytes: int) -> Scheme | None:
        view = self._front.views.get(bck)
        return view.scheme(size_bytes) if view is not None else None

    def _rules(self, bck: Bck) -> WriteRules | None:
        view = self._front.views.get(bck)
        return view.silent_rules if view is not None else None

    def _ec_burst(self, bck: Bck) -> int:
        view = self._front.views.get(bck)
        return view.props.ec.burst_buffer if view is not None else 1

    def _burst(self, bck: Bck) -> int:
        view = self._front.views.get(bck)
        return view.props.mirror.burst_buffer if view is not None else 1

    async def _follow_props(self, bmd: BMD) -> None:
        """Tell the volume which buckets are being deleted or renamed, and which have versions, copies or slices."""
        keeping = {bucket.bck: state for bucket in bmd if (state := bucket.props.of_s3.versioning)}
        await asyncio.to_thread(self._volume.keep_versions, keeping)
        closed = frozenset(bucket.bck for bucket in bmd if bucket.props.of_s3.deleting)
        renamed = frozenset(bucket.bck for bucket in bmd if bucket.props.renamed)
        await asyncio.to_thread(self._volume.close_buckets, closed, renamed)
        mirrored = {bucket.bck: rule for bucket in bmd if (rule := mirroring_of(bucket.props)) is not None}
        others = [bucket.bck for bucket in bmd if bucket.bck not in mirrored]
        await asyncio.to_thread(self._volume.mirror_buckets, mirrored, others)
        coded = {bucket.bck: int(bucket.props.coding_id or 0) for bucket in bmd if bucket.props.is_coded}
        await asyncio.to_thread(self._volume.code_buckets, coded, [bucket.bck for bucket in bmd])

    def _vouch(self, key: int) -> None:
        """See `Volume.vouch`."""
        host = self._host
        host.require_settled()
        owner = host.placement.owner_at(key)
        if owner.id != host.snode.id:
            raise Misplaced(owner)

    def status(self) -> dict[str, Any]:
        """Capacity of the mountpaths."""
        return {"capacity": self.mountpaths.capacity()}

    def daemon_value(self, what: str) -> object | None:
        """`mountpaths` and `disk`."""
        if what == "mountpaths":
            return self.mountpaths.listing()
        return self.mountpaths.disk_report() if what == "disk" else None

    def state_flags(self) -> int:
        """What is wrong, or going on: nothing that is short of what was promised looks healthy."""
        found = self.mountpaths.state_flags()
        if self._host.smap.moving:
            found |= REBALANCING
        return found | (RESILVERING if self._scrub.protection.is_repairing else 0)

    def _clean(self) -> None:
        """Empty the trash in the background; one cleaner at a time."""
        if self._cleaning is None or self._cleaning.done():
            self._cleaning = asyncio.create_task(self._empty_trash(), name="empty trash")

    async def _empty_trash(self) -> None:
        await self._attempt("empty trash", self._volume.empty_trash)

    async def _beat(self) -> None:
        """Remove what a power loss tore, and leave a trace for the next one."""
        await self._attempt("remove torn objects", self._remove_torn)
        while True:
            for mountpath in self._volume.available:
                await self._attempt("touch the mountpath", mountpath.beat)
            await self._host.env.clock.sleep(power.BEAT_S)

    def _remove_torn(self) -> None:
        for cname in recovery.remove_torn(self._store, self._host.env.disk):
            self._log.warning("an object whose content was lost with the power is gone", object=cname)

    async def _keep_house(self) -> None:
        while True:
            await self._attempt("drop idle appends", lambda: self._store.drop_idle(APPEND_IDLE_S_MAX))
            await self._host.env.clock.sleep(HOUSEKEEPING_S)

    async def _attempt(self, what: str, step: Callable[[], None]) -> None:
        """Run a blocking step that is tried again later when it fails."""
        try:
            await asyncio.to_thread(step)
        except AisError as error:
            self._log.warning("housekeeping failed", what=what, error=str(error))
