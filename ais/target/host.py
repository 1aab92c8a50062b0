"""What the target role needs of the node it runs on. `ais.node.node.Node` is one; so is the small node of the tests."""

from typing import Protocol

from ais.auth.keys import KeyRing
from ais.config.node import NodeConfig
from ais.env import Env
from ais.meta.bmd import BMD
from ais.meta.placement import Placement
from ais.meta.smap import Smap, Snode
from ais.stats.tracker import Tracker


class Host(Protocol):
    """The node: its surroundings, and the current version of everything the cluster agreed on."""

    @property
    def env(self) -> Env: ...
    @property
    def config(self) -> NodeConfig: ...
    @property
    def snode(self) -> Snode: ...
    @property
    def smap(self) -> Smap: ...
    @property
    def bmd(self) -> BMD: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def stats(self) -> Tracker: ...
    @property
    def keyring(self) -> KeyRing: ...
    @property
    def cluster_secret(self) -> bytes: ...

    async def set_directories(self, directories: tuple[str, ...]) -> None:
        """Keep the cluster metadata of this target in these mountpaths from now on."""
