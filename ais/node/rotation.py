"""How secrets are replaced while the cluster works: nothing that was signed or sealed with an old one fails meanwhile.

A node's own key: (1) the cluster map gets the new key beside the old one, so that all nodes take what it signs with
either; (2) it signs with the new one, and the map names that first, so that others sign for it; (3) when
`auth.intra_cluster.rotation_grace` is over, the old one is forgotten, here and on the map. Each step is on disk before
it is told, and a node that was killed in between goes on from what it finds there.

The cluster's secret: a new version seals the access keys; those before it stay, since keys of objects are encrypted
with them. The join secret is a file of each machine: nodes read it again, and sign with both until the grace is over.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from ais.auth.pairs import PairKeys
from ais.base.errors import AisError, BadRequest, Busy
from ais.node.core import Core
from ais.node.membership import Membership
from ais.node.state import Offload

RETRY_S = 5.0


class KeyChange:
    """Replaces this node's own key."""

    def __init__(self, core: Core, membership: Membership, show: Callable[[PairKeys], None], offload: Offload) -> None:
        """`show` makes the public halves those that this node names as its own."""
        self._core, self._membership, self._show, self._offload = core, membership, show, offload
        self._turn = asyncio.Lock()

    async def begin(self, own: PairKeys | None) -> None:
        """Sign with a new key from now on; the old one ends later. Raise `BadRequest`, `Busy`, or why nobody heard."""
        if own is None:
            raise BadRequest(f"{self._core.me.name} has no key of its own: start it with a --join-secret")
        async with self._turn:
            if len(own.publics) > 1:
                raise Busy(f"the key of {self._core.me.name} is being replaced: try again when the old one has ended")
            try:
                await self._step(own, own.add)
                await self._membership.announce()
                await self._step(own, own.swap)
                await self._membership.announce()
            finally:
                self.go_on(own)  # wherever it ended, the second key ends
        self._core.log.warning("the key of this node was replaced", key=own.public)

    def go_on(self, own: PairKeys | None) -> None:
        """End the second key, if there is one, when its time is over."""
        if own is not None and len(own.publics) > 1:
            self._core.tasks.spawn("end of the old key", partial(self._end, own))

    async def _end(self, own: PairKeys) -> None:
        await self._tell()  # everybody signs for the first one before the second ends
        await self._core.env.clock.sleep(float(self._core.config.cluster.auth.intra_cluster.rotation_grace))
        async with self._turn:
            await self._step(own, own.drop)
            await self._tell()

    async def _tell(self) -> None:
        """Announce this node's keys, until it is heard."""
        while True:
            try:
                await self._membership.announce()
            except AisError as error:
                self._core.log.info("the keys of this node are not known to all yet", reason=str(error))
                await self._core.env.clock.sleep(RETRY_S)
            else:
                return

    async def _step(self, own: PairKeys, change: Callable[[], None]) -> None:
        await self._offload(change)
        self._show(own)
