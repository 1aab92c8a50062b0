"""Scrub, census, quarantine and protection put together on one target, and how other nodes ask for them."""

import asyncio

from aiohttp import web

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.xact import ArgsMsg
from ais.base.errors import NotReady
from ais.core.store import Store
from ais.ec.jobs import EcJobs
from ais.ec.peers import SlicePeers
from ais.meta.smap import digest
from ais.mirror.jobs import MirrorJobs
from ais.scrub.census import Census
from ais.scrub.cleanup import Cleanup
from ais.scrub.coded import Coded
from ais.scrub.jobs import ScrubJobs
from ais.scrub.local import LocalFiles
from ais.scrub.quarantine import Quarantine
from ais.scrub.rounds import Rounds
from ais.scrub.statements import problem_of
from ais.target.front import Front
from ais.target.host import Host
from ais.target.protection import Protection
from ais.target.rebalance import Rebalance
from ais.xact.joggers import Joggers
from ais.xact.pace import Pace
from ais.xact.registry import Registry
from ais.xact.xaction import Xaction

STATEMENTS, QUARANTINE = "/v1/statements", "/v1/quarantine"


class ScrubService:
    """See the module."""

    def __init__(
        self,
        host: Host,
        front: Front,
        registry: Registry,
        joggers: Joggers,
        pace: Pace,
        store: Store,
        mirror: MirrorJobs,
        ec: EcJobs,
        coded: Coded,
        peers: SlicePeers,
        rebalance: Rebalance,
    ) -> None:
        self._host = host
        self._front = front
        self._rebalance = rebalance
        self.quarantine = Quarantine(store.volume, host.env)
        self._rounds = Rounds(
            store,
            LocalFiles(store, host.env, pace.pieces),
            coded,
            mirror.mirror,
            self.quarantine,
            joggers,
            host.env,
            self._is_owner,
            self._give,
        )
        self.cleanup = Cleanup(
            registry,
            joggers,
            store,
            mirror.mirror,
            coded,
            self.quarantine,
            host.env,
            lambda: host.config.cluster.space,
            self._is_owner,
            self._give,
        )
        self.protection = Protection(host, front, store.volume, registry, mirror, ec, peers.present)
        clock, of = host.env.clock, self.protection
        self.census = of.census = Census(
            self._rounds, clock, of.buckets, of.state_of, of.is_quiet, lambda bck: bool(of.pending(bck))
        )
        self.jobs = ScrubJobs(
            registry,
            joggers,
            self._rounds,
            store,
            host.env,
            host.snode.id,
            self._bid_of,
            self.protection.state_of,
            self.census.learn,
        )

    def routes(self) -> list[web.RouteDef]:
        """Endpoints of the control network."""
        return [
            *self.protection.routes(),
            web.get(STATEMENTS, self._get_statements),
            web.get(QUARANTINE, self._get_quarantine),
        ]

    def start(self, args: ArgsMsg) -> Xaction:
        """Start a scrub of one bucket, some, or all. Raise `BucketNotFound`, `Busy`."""
        return self.jobs.start(args.id, self._named(args), args.flags)

    def start_cleanup(self, args: ArgsMsg) -> Xaction:
        """Start a cleanup of one bucket, some, or all. Raise `BucketNotFound`, `NotYetImplemented`."""
        return self.cleanup.start(args.id, self._named(args), args.flags)

    def _named(self, args: ArgsMsg) -> list[Bck]:
        return [self._front.views.require(bck).bck for bck in args.all_buckets] or self.protection.buckets()

    async def watch(self) -> None:
        """Go on with an interrupted scrub, and count what there is."""
        while not self.protection.buckets():
            await self._host.env.clock.sleep(1.0)
        await self.jobs.resume()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.census.watch())
            group.create_task(self.cleanup.watch(self.protection.buckets))

    def close(self) -> None:
        """Wait for threads."""
        self._rounds.close()
        self.cleanup.close()

    async def _get_statements(self, _request: web.Request) -> web.Response:
        """By uname of the bucket: the statements of this target, and what is wrong with their chain."""
        found = await asyncio.to_thread(self.jobs.statements.all)
        answer = {bucket: {"problem": problem_of(chain), "statements": chain} for bucket, chain in found.items()}
        return web.Response(body=codec.to_json(answer), content_type="application/json")

    async def _get_quarantine(self, _request: web.Request) -> web.Response:
        """Every file that is kept because it was damaged."""
        found = await asyncio.to_thread(self.quarantine.listing)
        return web.Response(body=codec.to_json(found), content_type="application/json")

    def _bid_of(self, bck: Bck) -> int | None:
        view = self._front.views.get(bck)
        return int(view.props.bid) if view is not None else None

    def _is_owner(self, uname: str) -> bool | None:
        host = self._host
        if host.placement.is_owner(host.snode.id, digest(uname)):
            return True
        return None if host.smap.moving else False

    async def _give(self, bck: Bck, name: str) -> None:
        view = self._front.views.get(bck)
        if view is None:
            raise NotReady("the bucket is gone")
        await self._rebalance.give(view, name)
