"""What the parts of a node share: who it is, what it knows, whom it can call, and whether it reigns."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from ais.base.errors import NotReady
from ais.config.node import NodeConfig
from ais.env import Env
from ais.meta.smap import Smap, Snode
from ais.node import decisions
from ais.node.decisions import Timing
from ais.node.peers import Peers
from ais.node.state import Metadata, State
from ais.node.supervisor import Supervisor
from ais.stats.tracker import Tracker

if TYPE_CHECKING:
    from ais.node.reign import Reign


async def _has_none() -> bool:
    return False


class Core:
    """Shared by the parts of one node; each attribute has one writer, named here."""

    def __init__(
        self,
        env: Env,
        me: Snode,
        boot: str,
        state: State,
        peers: Peers,
        tasks: Supervisor,
        stats: Tracker,
        config: Callable[[], NodeConfig],
        log: FilteringBoundLogger,
    ) -> None:
        self.env = env
        self.me = me
        self.boot = boot
        self.state = state
        self.peers = peers
        self.tasks = tasks
        self.stats = stats
        self.log = log
        self._config = config
        self.reign: Reign | None = None
        """Set while this node is primary of its term (`ais.node.reign.begin`, `Reign.end`)."""
        self.heard_at = env.clock.monotonic()
        self.patience_s = self.timing.patience_s
        self.follows = ""
        """Until `heard_at + patience_s` this node is faithful to the node `follows`; empty: to one it does not know."""
        self.heard_ns = 0
        """What the primary's clock said at `heard_at` or before (Unix nanoseconds); 0: it was not heard yet."""
        self.vouched_at = -math.inf
        """A time after which a heartbeat was made that left this node with everything the primary had."""
        self.joined = asyncio.Event()
        """The cluster knows this node, and this node all of its metadata."""
        self.restart_as = ""
        """ID to start again with when the process has stopped (`ais.node.recover`)."""
        self.has_objects: Callable[[], Awaitable[bool]] = _has_none
        """Whether this node holds objects."""
        self.restart: Callable[[], None] = lambda: None
        """Stops the process so that it starts again."""
        self.dismiss: Callable[[str], None] = lambda _farewell: None
        """Ends this node as the message says, which the map had for it."""
        self.is_retired = False
        """Decommissioned and left running: it asks for no admission."""
        self.leaving = False
        """The process is about to end (`ais.node.membership`)."""

    @property
    def meta(self) -> Metadata:
        """Present cluster metadata."""
        return self.state.current

    @property
    def smap(self) -> Smap:
        """Present cluster map."""
        return self.state.current.smap

    @property
    def config(self) -> NodeConfig:
        """Present configuration."""
        return self._config()

    @property
    def timing(self) -> Timing:
        """Times from the present configuration."""
        return Timing.of(self.config.cluster.keepalivetracker)

    def without(self, absent: frozenset[str]) -> Smap:
        """The cluster map when these nodes do not answer."""
        keep_targets = self.config.cluster.keepalivetracker.silent_targets == "away"
        return decisions.without(self.smap, absent, keep_targets=keep_targets)

    @property
    def call_timeout_s(self) -> float:
        """Deadline of an ordinary call to another node."""
        return float(self.config.cluster.timeout.cplane_operation)

    @property
    def sure_ns(self) -> int:
        """A moment that has come, by the clock of this node and by the primary's; 0 while that was not heard.

        A clock that is set forward on one node alone, before or after it was started, does not move it.
        """
        own = self.env.clock.now_ns()
        if self.reign is not None:
            return own
        if not self.heard_ns:
            return 0
        return min(own, self.heard_ns + int((self.env.clock.monotonic() - self.heard_at) * 1e9))

    def silent_for(self) -> float:
        """Seconds beyond the promise to the primary; negative while it holds."""
        return self.env.clock.monotonic() - self.heard_at - self.patience_s

    def promise(self, patience_s: float, to: str) -> None:
        """Be faithful to the node `to` from now on for `patience_s`."""
        self.follows = to
        self.heard_at = self.env.clock.monotonic()
        self.patience_s = patience_s

    def require_authority(self) -> "Reign":
        """Our reign. Raise `NotReady` unless this node is primary and a quorum is with it."""
        if self.reign is None:
            primary = self.smap.primary
            where = (
                f"the primary is {primary.name} at {primary.public.url}"
                if primary
                else "the cluster has no primary yet"
            )
            raise NotReady(f"{self.me.name} is not the primary: {where}")
        if not self.reign.has_authority():
            raise NotReady(
                f"primary {self.me.name} does not hear a majority of the cluster's {len(self.meta.electors)} nodes: try"
                " again when they are back; if this lasts, check the network and start the missing nodes"
            )
        return self.reign
