"""`GET /metrics`: a node's counters and gauges in Prometheus' text format, under AIStore's names.

`get.n` of a target is `ais_target_get_count`, `get.size` is `ais_target_get_bytes`, `get.ns.total` is
`ais_target_get_ns_total`; all carry the label `node_id`. Latencies and rates are not exported: Prometheus derives them.
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from ais.stats import names
from ais.stats.tracker import Tracker

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exporter:
    """What one node exports: its own metrics, and the process's CPU, memory and descriptors.

    Our own lines are written here because the library insists on counters named `..._total`, and AIStore's are not.
    """

    def __init__(self, tracker: Tracker, node_id: str) -> None:
        self._tracker, self._label = tracker, f'node_id="{node_id}"'
        self._prefix = f"ais_{tracker.role}_"
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def render(self) -> bytes:
        """The body of `GET /metrics`."""
        tracker = self._tracker
        lines: list[str] = []
        for name, value in tracker.counters().items():
            doc = names.METRICS[names.SLOT[name]].doc
            lines += self._family(exported_name(name), "counter", doc, [("", value)])
        lines += self._family("uptime", "gauge", "seconds since the node started", [("", tracker.uptime_ns / 1e9)])
        lines += self._family(
            "state_flags", "gauge", "state of the node, one bit per alert", [("", tracker.state_flags)]
        )
        if tracker.certificate_end_s is not None:
            doc, end_s = "when the TLS certificate ends, Unix seconds", tracker.certificate_end_s()
            lines += self._family("certificate_end_seconds", "gauge", doc, [("", end_s)])
        if tracker.workers is not None:
            lines += self._family("workers", "gauge", "processes that serve clients now", [("", tracker.workers())])
        if tracker.events_waiting is not None:
            waiting = [(f',receiver="{name}"', count) for name, count in tracker.events_waiting().items()]
            lines += self._family("events_waiting", "gauge", "events of buckets that a receiver lacks", waiting)
        if tracker.replicas_waiting is not None:
            waiting = [(f',destination="{arn}"', count) for arn, count in tracker.replicas_waiting().items()]
            doc = "changes of versions that a destination of replicas lacks"
            lines += self._family("replicas_waiting", "gauge", doc, waiting)
        if tracker.replicas_behind is not None:
            behind = [(f',destination="{arn}"', age_s) for arn, age_s in tracker.replicas_behind().items()]
            doc = "age of the oldest change of a version that a destination of replicas lacks, in seconds"
            lines += self._family("replicas_behind_seconds", "gauge", doc, behind)
        for index, (suffix, _) in enumerate(names.DISK):
            loads = [(f',disk="{disk}"', load[index]) for disk, load in tracker.disks.items()]
            lines += self._family(f"disk_{suffix.replace('.', '_')}", "gauge", f"{suffix} of each disk", loads)
        return "".join(lines).encode() + generate_latest(self._process)

    def _family(self, name: str, kind: str, doc: str, samples: Sequence[tuple[str, float]]) -> list[str]:
        if not samples:
            return []
        full = self._prefix + name
        head = f"# HELP {full} {doc}\n# TYPE {full} {kind}\n"
        return [head, *(f"{full}{{{self._label}{labels}}} {value}\n" for labels, value in samples)]


def exported_name(name: str) -> str:
    """`get.n` -> `get_count`, `get.size` -> `get_bytes`, `get.ns.total` -> `get_ns_total`."""
    if name.endswith(".n"):
        name = name[:-2] + ".count"
    elif name.endswith(".size"):
        name = name[: -len(".size")] + ".bytes"
    return name.replace(".", "_")
