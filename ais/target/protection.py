"""What this target says about the protection of its data: the last count of each bucket, and why that may be short.

A count says what there was of everything when somebody went through it; what is known since then is added here: objects
that wait for copies, jobs that go through buckets, mountpaths that are gone. `ok` is said only when nothing is.
"""

import asyncio
from collections.abc import Callable, Hashable

from aiohttp import web

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.protection import BucketProtection, State, TargetProtection
from ais.api.xact import EC_ENCODE, MAKE_COPIES, REBALANCE, RESILVER
from ais.base.errors import AisError
from ais.ec.jobs import EcJobs
from ais.fs.volume import Volume
from ais.mirror.jobs import MirrorJobs
from ais.scrub.census import Census
from ais.target.front import Front
from ais.target.host import Host
from ais.target.view import BucketView
from ais.xact.registry import Registry

PATH = "/v1/protection"
_REPAIRS = frozenset((RESILVER, MAKE_COPIES, EC_ENCODE))


class Protection:
    """The answers. `census` is set once it is there."""

    census: Census

    def __init__(
        self,
        host: Host,
        front: Front,
        volume: Volume,
        registry: Registry,
        mirror: MirrorJobs,
        ec: EcJobs,
        present: Callable[[], Hashable],
    ) -> None:
        self._host = host
        self._front = front
        self._volume = volume
        self._registry = registry
        self._mirror = mirror
        self._ec = ec
        self._present = present

    def routes(self) -> list[web.RouteDef]:
        """Endpoint of the control network."""
        return [web.get(PATH, self._get)]

    def buckets(self) -> list[Bck]:
        """All that exist."""
        return [view.bck for view in self._front.views]

    def state_of(self, bck: Bck) -> Hashable:
        """What a count of the bucket depends on (`ais.scrub.census`)."""
        view = self._front.views.get(bck)
        policy = (view.props.mirror, view.props.ec, view.props.protection, int(view.props.bid)) if view else None
        moving = self._host.smap.moving
        ended = tuple(self._registry.ended(kind, bck) for kind in (MAKE_COPIES, EC_ENCODE))
        ended += self._registry.ended(RESILVER), self._registry.ended(REBALANCE)
        return self._volume.view.generation, self._present(), moving.id if moving else "", policy, ended

    def is_quiet(self) -> bool:
        """Whether objects stay where they are."""
        return not self._host.smap.moving and not any(self._registry.select(kind=RESILVER, only_running=True))

    @property
    def is_repairing(self) -> bool:
        """Whether mountpaths, or what buckets promise, have changed, and not all is in its place, or copied again."""
        running = (one.kind for one in self._registry.select(only_running=True))
        if self._volume.view.is_unsettled or any(kind in _REPAIRS for kind in running):
            return True
        return any(map(self._is_behind, {*self._volume.mirrored, *self._volume.coded}))

    async def answer(self) -> TargetProtection:
        """Everything that is known."""
        reasons = self._reasons()
        gone = await asyncio.to_thread(self._gone)
        behind = {one.bck for one in self._registry.select(only_running=True) if one.kind in _REPAIRS}
        return TargetProtection(
            buckets=[self._bucket(view, [*reasons, *gone.get(view.bck, [])], behind) for view in self._front.views],
            reasons=reasons,
        )

    async def _get(self, _request: web.Request) -> web.Response:
        return web.Response(body=codec.to_json(await self.answer()), content_type="application/json")

    def _bucket(self, view: BucketView, reasons: list[str], behind: set[Bck]) -> BucketProtection:
        bck, count = view.bck, self.census.get(view.bck)
        self.census.ask(bck)
        found = BucketProtection(bck=bck, is_coded=view.is_coded, reasons=list(reasons))
        found.pending = self.pending(bck)
        if count is not None:
            tally = count.tally
            found.objects, found.bytes, found.promised = tally.objects, tally.bytes, tally.promised
            found.found, found.missing, found.lost = tally.found, tally.missing, tally.lost
            found.misplaced, found.as_of_ns = tally.misplaced, count.ended_ns
        if bck in behind:
            found.reasons.append("objects are being looked through for missing copies or slices")
        elif self._is_behind(bck):
            found.reasons.append("objects must be looked through for missing copies or slices")
        is_short = found.reasons or found.pending or found.missing or found.lost or found.misplaced
        is_current = self.census.is_current(bck)
        found.state = State.SHORT if is_short else State.OK if is_current else State.CHECKING
        return found

    def pending(self, bck: Bck) -> int:
        """How many objects wait for copies or slices."""
        mirrored = self._mirror.pending(bck) if bck in self._volume.mirrored else 0
        return mirrored + (self._ec.pending(bck) if bck in self._volume.coded else 0)

    def _is_behind(self, bck: Bck) -> bool:
        return (bck in self._volume.mirrored and self._mirror.is_behind(bck)) or (
            bck in self._volume.coded and self._ec.is_behind(bck)
        )

    def _reasons(self) -> list[str]:
        name, found = self._host.snode.name, []
        if self._volume.view.is_unsettled:
            found.append(f"{name}: objects are being brought to their mountpaths")
        if disabled := self._volume.disabled:
            found.append(f"{name}: disabled: {', '.join(disabled)}")
        if any(self._registry.select(kind=RESILVER, only_running=True)):
            found.append(f"{name}: resilvering")
        if moving := self._host.smap.moving:
            found.append(f"objects are being moved to other targets ({moving.id})")
        return found

    def _gone(self) -> dict[Bck, list[str]]:
        """Buckets of which not all mountpaths have what they should, and why. Blocks."""
        found: dict[Bck, list[str]] = {}
        for bck in self.buckets():
            for mountpath in self._volume.available:
                try:
                    self._volume.require_on(mountpath, bck)
                except AisError as error:
                    found.setdefault(bck, []).append(f"{self._host.snode.name}: {error}")
        return found
