"""What a sort uses of its target."""

from collections.abc import Callable
from typing import NamedTuple

from ais.core.store import Store
from ais.fs.volume import Volume
from ais.net.client import PeerClient
from ais.target.front import Front
from ais.target.host import Host
from ais.target.opening import Opening
from ais.target.shard_index import ShardIndexes
from ais.target.view import Views
from ais.xact.joggers import Joggers
from ais.xact.registry import Registry


class Parts(NamedTuple):
    """Handed to each job."""

    host: Host
    registry: Registry
    front: Front
    volume: Volume
    store: Store
    opening: Opening
    indexes: ShardIndexes
    joggers: Joggers
    peers: PeerClient
    is_serving: Callable[[], bool]

    @property
    def views(self) -> Views:
        """The buckets of now."""
        return self.front.views
