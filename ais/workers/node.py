"""The node as a worker knows it: what it was told last, and whether that still holds."""

import asyncio
from collections.abc import Iterable, Mapping

from ais.api.bucket import Bck
from ais.base.errors import NotReady
from ais.fs import whole
from ais.fs.mountpath import Mountpath
from ais.fs.volume import Volume
from ais.node.messages import Sealed
from ais.node.node import Node
from ais.proxy.proxy import Proxy
from ais.target.plain import takes_plain_puts
from ais.target.target import Target
from ais.target.view import Views
from ais.workers.locks import Gate, GatedStripes
from ais.workers.messages import Follow
from ais.workers.shared import Shared


class WorkerNode(Node):
    """A node that follows the control process of its own; never started, in no cluster by itself."""

    @property
    def is_settled(self) -> bool:
        """A worker never says what is not: the control process knows when it is known."""
        return False

    def honest(self, error: BaseException) -> BaseException:
        """What a worker answers itself are errors of bodies that it took, whose bucket it was told about."""
        return error


class WorkerVolume(Volume):
    """The mountpaths, of which this process writes to the `plain` buckets only."""

    plain: frozenset[Bck] = frozenset()

    def require_open(self, bck: Bck, *, is_moved: bool = False) -> None:
        """See `Volume`: under the object's lock."""
        if bck not in self.plain:
            raise NotReady(f'bucket "{bck.cname()}" was changed while the object was written: try again')

    def is_known(self, bck: Bck) -> bool:
        """See `Volume`. This process was told of the buckets, not of their directories."""
        return bck in self.plain

    def _begin(self, path: str) -> Mountpath:
        """See `Volume`. A worker begins at any time: raise `NotReady` while the disk is not mounted."""
        whole.verify(self._disk, path, self.node_id, None)
        return super()._begin(path)


class Standing:
    """Serving, or aside."""

    def __init__(
        self, node: WorkerNode, role: Proxy | Target, volume: WorkerVolume | None, gate: Gate, shared: Shared
    ) -> None:
        self._node, self._role, self._volume, self._gate, self._shared = node, role, volume, gate, shared
        self.may_serve = False

    async def stand_aside(self) -> None:
        """Answer nothing any more, also nothing again; on return nothing is being written."""
        self.may_serve = self._gate.is_open = self._gate.is_shut = False
        self._show((), self._node.config.overrides, self._node.config.transient)
        if self._volume is not None:
            await asyncio.to_thread(_wait_for_writers, self._volume)

    async def follow(self, told: Follow) -> None:
        """Serve by what was told."""
        if self._volume is not None and told.volume is not None and told.volume != self._volume.record:
            self._shared.regions.update(told.regions)
            await asyncio.to_thread(self._volume.take, told.volume)
        if self._node.pairs is not None:
            await asyncio.to_thread(self._node.pairs.reload)
        if self._node.certificates is not None:
            await self._node.certificates.look()
        self._show(told.parts, told.own, told.transient)
        self.may_serve = self._gate.is_open = told.may_serve
        self._gate.is_shut = not told.may_serve

    def _show(self, parts: Iterable[Sealed], own: Mapping[str, str], transient: Mapping[str, str]) -> None:
        self._node.follow(parts, own, transient)
        if isinstance(self._role, Target):
            self._role.show(self._node.bmd)
        if self._volume is not None:
            self._volume.plain = frozenset(view.bck for view in Views(self._node.bmd) if takes_plain_puts(view))


def _wait_for_writers(volume: Volume) -> None:
    for mountpath in volume.available:
        if isinstance(mountpath.stripes, GatedStripes):
            mountpath.stripes.wait_for_writers()
