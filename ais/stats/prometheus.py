"""`GET /metrics`: a node's counters and gauges in Prometheus' text format, under AIStore's names.

`get.n` of a target is `ais_target_get_count`, `get.size` is `ais_target_get_bytes`, `get.ns.total` is
`ais_target_get_ns_total`; all carry the label `node_id`. Latencies and rates are not exported: Prometheus derives them.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from ais.stats import names
from ais.stats.tracker import Tracker

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def registry_of(tracker: Tracker, node_id: str) -> CollectorRegistry:
    """What one node exports: its own metrics, and the process's CPU, memory and descriptors."""
    registry = CollectorRegistry()
    registry.register(_NodeCollector(tracker, node_id))
    ProcessCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """The body of `GET /metrics`."""
    return generate_latest(registry)


def exported_name(name: str) -> str:
    """`get.n` -> `get_count`, `get.size` -> `get_bytes`, `get.ns.total` -> `get_ns_total`."""
    if name.endswith(".n"):
        name = name[:-2] + ".count"
    elif name.endswith(".size"):
        name = name[: -len(".size")] + ".bytes"
    return name.replace(".", "_")


class _NodeCollector(Collector):
    def __init__(self, tracker: Tracker, node_id: str) -> None:
        self._tracker, self._labels = tracker, {"node_id": node_id}
        self._prefix = f"ais_{tracker.role}_"
        self._docs = {metric.name: metric.doc for metric in names.METRICS}

    def collect(self) -> Iterator[Family]:
        for name, value in self._tracker.counters().items():
            yield self._counter(name, value)
        yield self._gauge("uptime", "seconds since the node started", self._tracker.uptime_ns / 1e9, {})
        yield self._gauge("state_flags", "state of the node, one bit per alert", self._tracker.state_flags, {})
        for index, (suffix, _) in enumerate(names.DISK):
            family = Family(f"{self._prefix}disk_{suffix.replace('.', '_')}", f"{suffix} of each disk", "gauge")
            for disk, load in self._tracker.disks.items():
                family.add_sample(family.name, {**self._labels, "disk": disk}, load[index])
            if family.samples:
                yield family

    def _counter(self, name: str, value: int) -> Family:
        # The library calls a counter's family `<name>_total`; AIStore's other names can only be exported untyped.
        exported = self._prefix + exported_name(name)
        is_total = exported.endswith("_total")
        family = Family(exported.removesuffix("_total"), self._docs[name], "counter" if is_total else "unknown")
        family.add_sample(exported, self._labels, value)
        return family

    def _gauge(self, name: str, doc: str, value: float, labels: dict[str, str]) -> Family:
        family = Family(self._prefix + name, doc, "gauge")
        family.add_sample(family.name, {**self._labels, **labels}, value)
        return family
