"""What all promotions of a target use."""

from collections.abc import Callable
from typing import NamedTuple

from ais.core.store import Store
from ais.fs.volume import Volume
from ais.target.front import Front
from ais.target.host import Host
from ais.target.moves import Moves
from ais.target.protected import Protected
from ais.xact.pace import Pace
from ais.xact.registry import Registry


class Parts(NamedTuple):
    """Handed to each job."""

    host: Host
    registry: Registry
    front: Front
    volume: Volume
    store: Store
    moves: Moves
    protected: Protected
    pace: Pace
    is_serving: Callable[[], bool]
