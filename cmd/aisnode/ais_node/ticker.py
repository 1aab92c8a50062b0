"""What a node does about its statistics at intervals: derive rates, measure disks, push to StatsD, write to the log."""

from collections.abc import Callable, Iterable

from ais.node.health import state_flags
from ais.node.node import Node
from ais.stats import system
from ais.stats.push import StatsDPusher


class Ticker:
    """Runs as a background task of the node."""

    def __init__(self, node: Node, mountpaths: Callable[[], Iterable[str]]) -> None:
        """`mountpaths` tells which directories are in use; the disks below them are measured.

        Raise `BadRequest` when the StatsD host has no address.
        """
        self._node, self._mountpaths = node, mountpaths
        self._meter = system.DiskMeter()
        statsd = node.config.cluster.statsd
        self._pusher = (
            StatsDPusher(node.stats, node.snode.id, statsd.host, statsd.port, statsd.prefix) if statsd.host else None
        )
        self._logged: dict[str, int] = {}

    async def run(self) -> None:
        """Tick until cancelled, every `periodic.stats_time`."""
        node, clock = self._node, self._node.env.clock
        logged_at = clock.monotonic()
        while True:
            await clock.sleep(float(node.config.cluster.periodic.stats_time))
            node.stats.state_flags = state_flags(node)
            node.stats.tick(await node.offload(self._disk_loads))
            if self._pusher:
                self._pusher.push()
            log_every_s = float(node.config.cluster.log.stats_time)
            if log_every_s and clock.monotonic() - logged_at >= log_every_s:
                logged_at = clock.monotonic()
                self._log()

    def close(self) -> None:
        """Release the socket to the StatsD server."""
        if self._pusher:
            self._pusher.close()

    def _disk_loads(self) -> dict[str, system.DiskLoad]:
        disks: set[str] = set()
        for path in self._mountpaths():
            try:
                disks.update(system.disks_of(path))
            except OSError:
                continue
        return self._meter.load(disks)

    def _log(self) -> None:
        counters = self._node.stats.counters()
        changed = {name: value for name, value in counters.items() if value != self._logged.get(name, 0)}
        self._logged = counters
        if changed:
            self._node.log.info("statistics", **changed)
