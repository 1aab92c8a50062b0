"""The locks of objects when several processes write: as always, and every process sees that a stripe is being written.

    turns of a stripe   even: nobody writes      odd: somebody does, or died while doing so

What was read while the number was odd is not kept in memory. After a worker died the control process takes every
stripe once, which makes all numbers even again.
"""

from typing import cast

from ais.base.errors import NotReady
from ais.core.spots import Spot
from ais.core.store import Store
from ais.env.disk import Disk
from ais.fs.locks import StripeBusy, Stripes, stripe_of
from ais.workers.shared import Shared


class SharedStripes(Stripes):
    """Stripes whose turns are in memory that all processes of the node see."""

    __slots__ = ()

    def __init__(self, disk: Disk, root: str, shared: Shared) -> None:
        super().__init__(disk, root)
        self.turns = cast("list[int]", shared.turns(root))

    def acquire(self, digest: int, wait: bool = True) -> None:
        """See `Stripes`."""
        super().acquire(digest, wait)
        turns, stripe = self.turns, stripe_of(digest)
        turns[stripe] += 1 + (turns[stripe] & 1)


class SharedStore(Store):
    """A store beside those of other processes."""

    def turn(self, spot: Spot) -> int:
        """See `Store`; while somebody writes, a number that no turn has."""
        turn = super().turn(spot)
        return -1 if turn & 1 else turn


class Gate:
    """Whether a worker may write now (`is_open`), or may not for longer (`is_shut`)."""

    def __init__(self) -> None:
        self.is_open = False
        self.is_shut = False

    def check(self) -> None:
        """Raise `StripeBusy` when one may not write for a moment, `NotReady` when for longer."""
        if self.is_shut:
            raise NotReady("what this node knows of the cluster changed while the object was written: try again")
        if not self.is_open:
            raise StripeBusy


class GatedStripes(SharedStripes):
    """The stripes of a worker: they are taken only while its gate is open, whoever would wait or not."""

    __slots__ = ("_gate",)

    def __init__(self, disk: Disk, root: str, shared: Shared, gate: Gate) -> None:
        super().__init__(disk, root, shared)
        self._gate = gate

    def acquire(self, digest: int, wait: bool = True) -> None:
        """See the class."""
        self._gate.check()
        super().acquire(digest, wait)
        try:
            self._gate.check()
        except BaseException:
            self.release(digest)
            raise

    def _open(self, _: int = 0) -> int:
        """See `Stripes`; never makes the file, which the control process made: where it is not, its disk is not."""
        return super()._open()

    def wait_for_writers(self) -> None:
        """With the gate closed: return when no writer of this process holds a stripe any more."""
        for lock in self._threads:
            with lock:
                pass
