"""Which faults happen when: a pure function of the seed, so that the same seed replays the same schedule."""

import math
import random
from dataclasses import dataclass
from enum import Enum

PLAIN, VERSIONED = "plain", "versioned"
"""The buckets of a run."""
WARM_UP_S = 1.5
FREEZE_S = (1.0, 20.0)
DOWN_S = (0.0, 12.0)
CUT_S = (1.0, 20.0)
GONE_S = (1.0, 15.0)
PAUSE_S = (0.5, 6.0)
PRIMARY = "primary"
"""Instead of a node's name: whoever is primary when the fault begins."""


class Kind(Enum):
    """What happens to the nodes of a fault."""

    KILL = "kill"
    """SIGKILL, started again at the end."""
    STOP = "stop"
    """SIGTERM, started again at the end."""
    FREEZE = "freeze"
    """SIGSTOP, SIGCONT at the end."""
    CUT_SWALLOW = "cut"
    """Cut off from all other nodes; bytes vanish. Clients still reach it."""
    CUT_RESET = "cut (reset)"
    """The same with connections that break."""
    CUT_PAIR = "cut between"
    """Two nodes cannot reach each other."""
    LOSE_MOUNTPATH = "mountpath gone"
    """The directory of a mountpath is not there."""
    EMPTY_MOUNTPATH = "mountpath unmounted"
    """An empty directory is where the mountpath was."""
    DAMAGE = "damage to copies"
    """Files of the bucket on one mountpath of each target rot, shrink, lose their metadata or vanish, one by one."""


ALWAYS = tuple(kind for kind in Kind if kind is not Kind.DAMAGE)
"""What every bucket survives."""
MOUNTPATH_KINDS = (Kind.LOSE_MOUNTPATH, Kind.EMPTY_MOUNTPATH)
WEIGHTS = {
    Kind.KILL: 6,
    Kind.STOP: 1,
    Kind.FREEZE: 5,
    Kind.CUT_SWALLOW: 2,
    Kind.CUT_RESET: 2,
    Kind.CUT_PAIR: 2,
    Kind.LOSE_MOUNTPATH: 2,
    Kind.EMPTY_MOUNTPATH: 2,
    Kind.DAMAGE: 4,
}


@dataclass(frozen=True)
class Fault:
    """One fault: from `at_s` to `end_s`, seconds after the load began."""

    at_s: float
    end_s: float
    kind: Kind
    nodes: tuple[str, ...]
    mountpath: int = 0
    """Which mountpath of the target is lost, counted from 0."""
    restarts: bool = False
    """The target is killed and started while its mountpath is away."""

    def __str__(self) -> str:
        text = f"{self.at_s:6.1f}-{self.end_s:5.1f} s {self.kind.value} {' '.join(self.nodes)}"
        if self.kind in MOUNTPATH_KINDS:
            text += f" mp{self.mountpath + 1}" + (", restarted meanwhile" if self.restarts else "")
        return text


@dataclass(frozen=True)
class Shape:
    """The cluster a schedule is for."""

    proxies: int = 2
    targets: int = 3
    mountpaths: int = 2

    @property
    def proxy_names(self) -> list[str]:
        """As the playground calls them."""
        return [f"p{number}" for number in range(1, self.proxies + 1)]

    @property
    def target_names(self) -> list[str]:
        """As the playground calls them."""
        return [f"t{number}" for number in range(1, self.targets + 1)]


def plan(seed: int, seconds: float, shape: Shape, kinds: tuple[Kind, ...] = ALWAYS) -> list[Fault]:
    """The faults of a schedule, by their beginning. They end before `seconds` are over."""
    source = random.Random(f"faults {seed}")
    faults: list[Fault] = []
    at_s = WARM_UP_S + source.uniform(0, 1)
    shrink = min(1.0, max(seconds / 60, 0.35))
    while at_s < seconds - 1.5:
        fault = _fault(source, at_s, seconds - 0.5, shape, kinds, shrink)
        if not any(_clash(fault, other) for other in faults):
            faults.append(fault)
        overlaps = source.random() < 0.3
        at_s = at_s + source.uniform(0.2, 2) if overlaps else fault.end_s + source.uniform(*PAUSE_S) * shrink
    return faults


def _fault(
    source: random.Random, at_s: float, end_s: float, shape: Shape, kinds: tuple[Kind, ...], shrink: float
) -> Fault:
    kind = source.choices(kinds, [WEIGHTS[one] for one in kinds])[0]
    everybody = [*shape.proxy_names, *shape.target_names, PRIMARY]
    if kind in MOUNTPATH_KINDS:
        nodes = (source.choice(shape.target_names),)
    elif kind is Kind.DAMAGE:
        nodes = ()
    elif kind is Kind.CUT_PAIR:
        nodes = tuple(source.sample(everybody[:-1], 2))
    elif kind in (Kind.KILL, Kind.FREEZE):
        count = source.choices((1, 2, len(everybody) - 1), (8, 2, 1))[0]
        nodes = (source.choice(everybody),) if count == 1 else tuple(source.sample(everybody[:-1], count))
    else:
        nodes = (source.choice(everybody),)
    low, high = {Kind.FREEZE: FREEZE_S, Kind.KILL: DOWN_S, Kind.STOP: DOWN_S}.get(
        kind, GONE_S if kind in MOUNTPATH_KINDS else CUT_S
    )
    length_s = math.exp(source.uniform(math.log(max(low, 0.1)), math.log(high))) * max(shrink, 0.25)
    length_s = max(length_s, low)
    mountpath = source.randrange(shape.mountpaths)
    restarts = kind in MOUNTPATH_KINDS and source.random() < 0.3
    return Fault(round(at_s, 2), round(min(at_s + length_s, end_s), 2), kind, nodes, mountpath, restarts)


def _clash(fault: Fault, other: Fault) -> bool:
    """Whether two faults would undo each other: the same node at the same time."""
    if other.end_s + 0.2 < fault.at_s or fault.end_s + 0.2 < other.at_s:
        return False
    return PRIMARY in (*fault.nodes, *other.nodes) or bool(set(fault.nodes) & set(other.nodes))
