"""What the target role needs of the node it runs on. `ais.node.node.Node` is one; so is the small node of the tests."""

from typing import Protocol

from ais.node import s3
from ais.stats.tracker import Tracker


class Host(s3.Host, Protocol):
    """The node: its surroundings, and the current version of everything the cluster agreed on."""

    @property
    def stats(self) -> Tracker: ...

    def require_settled(self) -> None:
        """Raise `NotReady` unless this node knows what the cluster has agreed on now."""

    async def set_directories(self, directories: tuple[str, ...]) -> None:
        """Keep the cluster metadata of this target in these mountpaths from now on."""
