"""The outside world as values a node is given: clock, randomness, disk, network. Tests give others."""

import random
from dataclasses import dataclass, field

from ais.env.clock import Clock, SystemClock
from ais.env.disk import Disk


@dataclass(frozen=True, slots=True)
class Env:
    """What a node may use of the machine besides sockets (`ais.net` takes those from the event loop)."""

    clock: Clock = field(default_factory=SystemClock)
    disk: Disk = field(default_factory=Disk)
    rng: random.Random = field(default_factory=random.SystemRandom)
