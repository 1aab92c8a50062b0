"""Renaming a bucket: the primary marks it, every target moves its objects, the primary removes the old name.

The mark in the bucket metadata is all the state there is. Whoever is primary looks at it: after a crash or an election
the next one starts the same job, under the same ID, on targets that do not have it. A target for which there is nothing
left to move has finished. See `ais.meta.rename` for what the mark holds.
"""

import functools

from ais.api import actions, codec, xact
from ais.api.bucket import Bck
from ais.api.xact import ArgsMsg, QueryMsg, Snap
from ais.base.errors import AisError, NotReady
from ais.base.ids import new_id
from ais.meta import rename
from ais.meta.bmd import BMD
from ais.meta.rename import Rename
from ais.node.node import Node
from ais.proxy.redirect import require_same
from ais.proxy.targets import Targets, decode_lists

LOOK_INTERVAL_S = 1.0
PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 10.0


class Renamer:
    """Begins renames and drives the unfinished ones while this node is primary."""

    def __init__(self, node: Node, targets: Targets) -> None:
        self._node = node
        self._targets = targets

    def start(self) -> None:
        """Look for unfinished renames from now on; the node's supervisor ends it."""
        self._node.tasks.keep("renames", self._watch)

    async def begin(self, src: Bck, bid: int, dst: Bck) -> str:
        """Mark the bucket with this ID on all nodes and return the job ID; objects move afterwards.

        Raise as `rename.begin`.
        """
        members = frozenset(target.id for target in self._targets.all)
        move = Rename(new_id(self._node.env.rng), src, dst, members)

        def mark(bmd: BMD) -> BMD:
            require_same(bmd, src, bid)
            return rename.begin(bmd, move, term=self._node.term, now_ns=self._node.env.clock.now_ns())

        await self._node.change_bmd(mark)
        self._drive_in_background(move)
        return move.uuid

    async def _watch(self) -> None:
        while True:
            if self._node.is_primary:
                for move in rename.pending(self._node.bmd):
                    self._drive_in_background(move)
            await self._node.env.clock.sleep(LOOK_INTERVAL_S)

    def _drive_in_background(self, move: Rename) -> None:
        self._node.tasks.spawn(f"rename[{move.uuid}]", functools.partial(self._drive, move))

    async def _drive(self, move: Rename) -> None:
        """Repeat until all objects have moved: start the job where it does not run, see who has finished."""
        pause_s = PAUSE_S_MIN
        while self._node.is_primary and move in rename.pending(self._node.bmd):
            try:
                if await self._step(move):
                    return
            except AisError as error:
                self._node.log.info("rename waits", xaction=move.uuid, reason=str(error))
            await self._node.env.clock.sleep(pause_s)
            pause_s = min(pause_s * 1.5, PAUSE_S_MAX)

    async def _step(self, move: Rename) -> bool:
        args = ArgsMsg(id=move.uuid, kind=xact.MOVE_BUCKET, bck=move.src, bck_to=move.dst.uname)
        start = {"action": actions.START, "name": "", "value": args}
        await self._targets.ask_all("PUT", "/v1/xactions", body=codec.to_json(start))
        answers = await self._targets.ask_all("GET", "/v1/xactions", body=codec.to_json(QueryMsg(id=move.uuid)))
        snaps = dict(zip(answers, decode_lists(answers.values(), Snap), strict=True))
        if away := move.target_ids - snaps.keys():
            raise NotReady(f"waiting for targets {sorted(away)}, which hold objects of {move.src.cname()}")
        if not all(parts and all(map(_is_done, parts)) for parts in snaps.values()):
            return False
        await self._node.change_bmd(lambda bmd: rename.finish(bmd, move))
        self._node.log.info("bucket renamed", xaction=move.uuid, old=move.src.cname(), new=move.dst.cname())
        return True


def _is_done(snap: Snap) -> bool:
    return snap.is_finished and not snap.err and not snap.aborted
