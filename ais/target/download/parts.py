"""What all downloads of a target use."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from ais.core.store import Store
from ais.fs.volume import Volume
from ais.net.client import PeerClient
from ais.target.front import Front
from ais.target.host import Host
from ais.target.moves import Moves
from ais.target.protected import Protected
from ais.xact.pace import Pace
from ais.xact.registry import Registry

CONNECTIONS_MAX = 64
"""Of all jobs of a target together."""


class Parts(NamedTuple):
    """Handed to each job. `slots`: a connection each."""

    host: Host
    registry: Registry
    front: Front
    volume: Volume
    store: Store
    moves: Moves
    protected: Protected
    peers: PeerClient
    pace: Pace
    is_serving: Callable[[], bool]
    slots: asyncio.Semaphore
