"""What jobs use of their target."""

from typing import NamedTuple

from ais.core.listing import Lister
from ais.core.store import Store
from ais.fs.volume import Volume
from ais.net.client import PeerClient
from ais.target.front import Front
from ais.target.host import Host
from ais.target.moves import Moves
from ais.target.opening import Opening
from ais.target.protected import Protected
from ais.target.remote.remote import Remote
from ais.target.shard_index import ShardIndexes
from ais.target.tasks import Tasks
from ais.xact.joggers import Joggers
from ais.xact.pace import Pace
from ais.xact.registry import Registry


class Parts(NamedTuple):
    """Handed to each room of jobs, and by it to each job."""

    host: Host
    registry: Registry
    tasks: Tasks
    front: Front
    volume: Volume
    store: Store
    moves: Moves
    protected: Protected
    opening: Opening
    indexes: ShardIndexes
    remote: Remote
    joggers: Joggers
    lister: Lister
    pace: Pace
    peers: PeerClient
