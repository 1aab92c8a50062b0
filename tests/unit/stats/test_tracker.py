"""Counters and what is derived from them."""

import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ais.base.errors import BadRequest
from ais.stats import names, prometheus, system
from ais.stats.push import StatsDPusher
from ais.stats.system import DiskLoad
from ais.stats.tracker import Tracker

SECOND = 1_000_000_000


class SteppedClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 5 * SECOND

    def now_ns(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / SECOND

    async def sleep(self, delay_s: float) -> None:
        self.now += int(delay_s * SECOND)


@pytest.mark.parametrize("constant", [name for name in dir(names) if name.endswith(("_N", "_NS", "_SIZE"))])
def test_slots_are_named_as_their_metrics(constant: str) -> None:
    """Every slot constant points at the metric of its name."""
    slot = getattr(names, constant)
    spelled = constant.lower().replace("_", ".")
    assert names.METRICS[slot].name == (f"{spelled}.total" if constant.endswith("_NS") else spelled)


def test_every_metric_has_a_slot_constant() -> None:
    """No metric is declared without a way to count it."""
    slots = {getattr(names, name) for name in dir(names) if name.endswith(("_N", "_NS", "_SIZE"))}
    assert slots == set(range(len(names.METRICS)))


def test_latencies_and_rates_cover_the_last_interval() -> None:
    """Mean latency is time over count, a rate is bytes over seconds, both since the last tick."""
    clock = SteppedClock()
    tracker = Tracker("target", clock)
    tracker.observe(names.GET_N, names.GET_NS, 300)
    tracker.observe(names.GET_N, names.GET_NS, 500)
    tracker.inc(names.GET_SIZE, 4000)
    clock.now += 2 * SECOND
    tracker.tick()
    assert tracker.gauges() | {"get.ns": 400, "get.bps": 2000} == tracker.gauges()
    clock.now += SECOND
    tracker.tick()
    assert tracker.gauges() | {"get.ns": 0, "get.bps": 0, "up.ns.time": 3 * SECOND} == tracker.gauges()
    assert tracker.counters()["get.n"] == 2


def test_the_snapshot_is_numbers_and_every_name_has_a_kind() -> None:
    """`node_stats` carries plain numbers, no counter that is 0, and only names that `what=metrics` knows."""
    tracker = Tracker("target", SteppedClock())
    tracker.inc(names.PUT_N, 3)
    tracker.tick({"sda": DiskLoad(1, 2, 3, 4, 5)})
    snapshot = tracker.snapshot()
    assert (snapshot["put.n"], snapshot["disk.sda.util"], snapshot["get.size"]) == (3, 5, 0)
    assert "get.n" not in snapshot
    assert snapshot.keys() <= tracker.kinds().keys()
    assert tracker.kinds()["get.ns"] == "latency"


def test_a_proxy_has_no_sizes() -> None:
    """Names that only a target counts are absent at a proxy."""
    kinds = Tracker("proxy", SteppedClock()).kinds()
    assert "get.n" in kinds
    assert not {"get.size", "get.ns", "get.bps", "err.io.get.n"} & kinds.keys()


def test_reset() -> None:
    """Errors can be reset alone; a full reset clears counters and what was derived."""
    tracker = Tracker("target", SteppedClock())
    tracker.inc(names.GET_N, 2)
    tracker.inc(names.ERR_GET_N)
    tracker.reset(errors_only=True)
    assert (tracker.values[names.GET_N], tracker.values[names.ERR_GET_N]) == (2, 0)
    tracker.reset()
    assert not any(tracker.values)


def test_prometheus_names_and_labels() -> None:
    """The text parses, names follow AIStore's, every sample of ours carries the node's ID."""
    clock = SteppedClock()
    tracker = Tracker("target", clock)
    tracker.inc(names.GET_N, 7)
    tracker.inc(names.GET_SIZE, 70)
    tracker.inc(names.GET_NS, 700)
    tracker.tick({"sda": DiskLoad(1, 2, 3, 4, 5)})
    text = prometheus.Exporter(tracker, "t123").render().decode()
    ours = {line.split("{")[0]: line for line in text.splitlines() if line.startswith("ais_")}
    assert "# TYPE ais_target_get_count counter\n" in text
    assert ours["ais_target_get_count"] == 'ais_target_get_count{node_id="t123"} 7'
    assert ours["ais_target_get_bytes"] == 'ais_target_get_bytes{node_id="t123"} 70'
    assert ours["ais_target_get_ns_total"] == 'ais_target_get_ns_total{node_id="t123"} 700'
    assert ours["ais_target_disk_util"] == 'ais_target_disk_util{node_id="t123",disk="sda"} 5'
    assert all('{node_id="t123"' in line for line in ours.values())
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"process_open_fds", "ais_target_state_flags"} <= families


def test_statsd_gets_increments() -> None:
    """Counters are pushed as what they grew, also after a reset; gauges as they are."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        tracker = Tracker("proxy", SteppedClock())
        pusher = StatsDPusher(tracker, "p1", "127.0.0.1", server.getsockname()[1], "ais")
        received = []
        for grow in (5, 2):
            tracker.inc(names.GET_N, grow)
            pusher.push()
            received.append(server.recv(65536).decode().splitlines())
        tracker.reset()
        tracker.inc(names.GET_N)
        pusher.push()
        received.append(server.recv(65536).decode().splitlines())
        pusher.close()
    assert [lines[0] for lines in received] == [f"ais.proxy.p1.get.n:{n}|c" for n in (5, 2, 1)]
    assert "ais.proxy.p1.state.flags:0|g" in received[0]


def test_statsd_host_without_address() -> None:
    """A host that does not resolve is an error of the configuration."""
    with pytest.raises(BadRequest, match=r"statsd\.host"):
        StatsDPusher(Tracker("proxy", SteppedClock()), "p1", "nowhere.invalid", 8125, "ais")


def test_machine_facts() -> None:
    """Memory adds up and the process is seen."""
    info = system.mem_cpu_info()
    assert 0 < info.mem.actual_free <= info.mem.total
    assert info.proc.mem.resident > 1 << 20


def test_disks_of_a_directory_are_known_to_the_meter() -> None:
    """What `disks_of` names, the meter measures; a directory without a disk gives nothing."""
    disks = set(system.disks_of("/"))
    assert system.DiskMeter().load(disks | {"no-such-disk"}).keys() <= disks
    assert system.disks_of("/proc") == []
