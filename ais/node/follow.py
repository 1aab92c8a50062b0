"""What a node does when the primary speaks: take metadata, prepare bucket changes, promise to be faithful."""

import functools
from collections.abc import Callable

from ais.base.errors import NotReady
from ais.meta.bmd import BMD
from ais.meta.smap import Flag
from ais.meta.stamp import Stamp
from ais.node import decisions
from ais.node.core import Core
from ais.node.messages import Heard, Part, Prepare, Sync, SyncAnswer
from ais.node.role import Role
from ais.node.state import Metadata


class Follower:
    """Answers the primary's messages."""

    def __init__(self, core: Core, role: Callable[[], Role]) -> None:
        self._core = core
        self._role = role
        self._prepared: tuple[Stamp, BMD, BMD] | None = None
        self._is_ending = False

    async def on_sync(self, sync: Sync) -> SyncAnswer:
        """Take a heartbeat and its parts; on OK they are applied and durable. Raise when one cannot be applied."""
        core = self._core
        decisions.check_sync(core.state.term, sync)
        heard = self._verdict(sync)
        if heard is Heard.OK:
            await self._accept(sync)
            heard = self._verdict(sync)  # a vote may have been given while the parts were written
        if heard is Heard.OK:
            core.promise(sync.patience_s, sync.primary.id)
            core.heard_ns = sync.now_ns
            if core.me.id in core.smap and not sync.stamps.newer_than(core.meta.stamps):
                if sync.echo_boot == core.boot:
                    # A message may be under way for long: it tells what was so when it was made, not when it came.
                    core.vouched_at = max(core.vouched_at, sync.echo)
                if not core.joined.is_set():
                    self._role().serve()
                core.joined.set()
        now_s = core.env.clock.monotonic()
        return SyncAnswer(heard, core.meta.stamps, core.state.term, core.smap.uuid, now_s, core.boot)

    async def on_prepare(self, message: Prepare) -> None:
        """Prepare or abort a bucket change. Raise the role's veto, or `NotReady` when we are not at its start."""
        core = self._core
        if message.uuid != core.smap.uuid or message.term != core.state.term:
            raise NotReady(f"{core.me.name} does not follow the primary of term {message.term}: try again")
        if message.abort:
            if self._prepared and self._prepared[0] == message.new.stamp:
                await self.forget()
            return
        if message.old != core.meta.stamps.bmd:
            raise NotReady(f"{core.me.name} has bucket metadata {core.meta.stamps.bmd}, not {message.old}: try again")
        await self.forget()
        old, new = core.meta.bmd, BMD.decode(message.new.body, core.meta.bmd)
        self._prepared = (message.new.stamp, old, new)
        try:
            await self._role().prepare_bmd(old, new)
        except BaseException:
            await self.forget()
            raise

    async def forget(self) -> None:
        """Undo what is prepared and was not decided."""
        if self._prepared:
            _, old, new = self._prepared
            self._prepared = None
            await self._role().abort_bmd(old, new)

    def _verdict(self, sync: Sync) -> Heard:
        core = self._core
        return decisions.sync_verdict(core.smap.uuid, core.me.id, core.state.term, sync)

    async def _accept(self, sync: Sync) -> None:
        core = self._core
        if core.reign:
            core.reign.end(f"{sync.primary.name} is primary of term {sync.term}")
        if sync.term > core.state.term:
            await core.state.promise(sync.term, sync.primary.id)
        bmd = next((sealed for sealed in sync.parts if sealed.part is Part.BMD), None)
        if self._prepared and (bmd or sync.term > self._prepared[0].term):
            if bmd is None or bmd.stamp != self._prepared[0]:
                await self.forget()
            self._prepared = None
        if (farewell := self._farewell_in(sync)) is not None:
            if not self._is_ending:
                self._is_ending = True
                core.tasks.spawn("farewell", functools.partial(self._end_later, farewell))
            return
        before = core.meta
        await core.state.adopt(sync.parts)
        await core.state.settle(sync.committed)
        self._log(before, sync)

    def _farewell_in(self, sync: Sync) -> str | None:
        """What this node was to be told at the end, when the map that came is one without it in which nothing moves.

        That map is not kept: started again, this node must know that it was decommissioned.
        """
        core, own = self._core, self._core.smap.get(self._core.me.id)
        if own is None or not own.farewell or not own.flags & Flag.DECOMMISSION:
            return None
        sealed = next((sealed for sealed in sync.parts if sealed.part is Part.SMAP), None)
        if sealed is None or sealed.stamp <= core.meta.stamps.smap:
            return None
        smap = core.meta.take(sealed).smap
        return own.farewell if core.me.id not in smap and not smap.moving else None

    async def _end_later(self, farewell: str) -> None:
        """Not before the others have that map too: until then they ask this node for what it had."""
        core = self._core
        await core.env.clock.sleep(core.timing.patience_s)
        core.dismiss(farewell)

    def _log(self, before: Metadata, sync: Sync) -> None:
        now = self._core.meta
        if now.smap.primary_id != before.smap.primary_id:
            self._core.log.info("new primary", primary=now.smap.primary_id, term=sync.term)
        if now.stamps != before.stamps:
            self._core.log.info(
                "metadata taken",
                smap=now.stamps.smap.version,
                bmd=now.bmd.version,
                config=now.stamps.config.version,
                keys=now.stamps.keys.version,
            )
