"""Pushing counters to a StatsD server, for those who do not scrape."""

import socket

from statsd import StatsClient

from ais.base.errors import BadRequest
from ais.stats import names
from ais.stats.tracker import Tracker


class StatsDPusher:
    """Sends what changed since the last push over UDP: counters as increments, the rest as gauges.

    Names are `<prefix>.<role>.<node id>.<name>`. Lost datagrams are lost; nothing waits for the server.
    """

    def __init__(self, tracker: Tracker, node_id: str, host: str, port: int, prefix: str) -> None:
        """Resolve `host` (may block on DNS: call at start). Raise `BadRequest` when it has no address."""
        try:
            self._client = StatsClient(host, port, f"{prefix}.{tracker.role}.{node_id}".strip("."))
        except socket.gaierror as error:
            raise BadRequest(f'statsd.host="{host}" has no address: {error}') from None
        self._tracker, self._sent = tracker, dict.fromkeys(tracker.counters(), 0)

    def push(self) -> None:
        """Send one round, at most a few datagrams."""
        with self._client.pipeline() as batch:
            for name, value in self._tracker.counters().items():
                if grown := value - self._sent[name]:
                    # After a reset the counter starts at zero again.
                    batch.incr(name, grown if grown > 0 else value)
                self._sent[name] = value
            for name, value in self._tracker.gauges().items():
                if name != names.UPTIME:
                    batch.gauge(name, value)

    def close(self) -> None:
        """Close the socket."""
        self._client.close()
