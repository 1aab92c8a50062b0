"""The names of what a node counts (features §15), each with a fixed slot in the tracker and its kind.

Only what we count has a name. Errors of an operation are counted in `err.` beside the operation's own counter.
"""

from dataclasses import dataclass

COUNTER = "counter"
TOTAL = "total"
SIZE = "size"
GAUGE = "gauge"
SPECIAL = "special"
DISK_RATE = "compbw"
LATENCY = "latency"
THROUGHPUT = "bw"

BOTH = frozenset({"proxy", "target"})
PROXY = frozenset({"proxy"})
TARGET = frozenset({"target"})


@dataclass(frozen=True, slots=True)
class Metric:
    """A counter: what it is called on the wire, its kind, which roles have it, and what it counts."""

    name: str
    kind: str
    roles: frozenset[str]
    doc: str


METRICS = (
    Metric("get.n", COUNTER, BOTH, "GET object requests that succeeded (a proxy: redirects)"),
    Metric("put.n", COUNTER, BOTH, "PUT object requests that succeeded (a proxy: redirects)"),
    Metric("head.n", COUNTER, BOTH, "HEAD object requests that succeeded (a proxy: redirects)"),
    Metric("append.n", COUNTER, BOTH, "APPEND requests that succeeded (a proxy: redirects)"),
    Metric("del.n", COUNTER, BOTH, "DELETE object requests that succeeded (a proxy: redirects)"),
    Metric("ren.n", COUNTER, BOTH, "object renames that succeeded (a proxy: redirects)"),
    Metric("lst.n", COUNTER, BOTH, "pages of object listings"),
    Metric("err.get.n", COUNTER, BOTH, "GET object requests that failed"),
    Metric("err.put.n", COUNTER, BOTH, "PUT object requests that failed"),
    Metric("err.head.n", COUNTER, BOTH, "HEAD object requests that failed"),
    Metric("err.append.n", COUNTER, BOTH, "APPEND requests that failed"),
    Metric("err.del.n", COUNTER, BOTH, "DELETE object requests that failed"),
    Metric("err.ren.n", COUNTER, BOTH, "object renames that failed"),
    Metric("err.lst.n", COUNTER, BOTH, "pages of object listings that failed"),
    Metric("err.kalive.n", COUNTER, BOTH, "heartbeats that failed"),
    Metric("err.http.write.n", COUNTER, BOTH, "replies that could not be sent in full"),
    Metric("err.put.cksum.n", COUNTER, TARGET, "PUT requests whose content did not match the claimed checksum"),
    Metric("err.fshc.n", COUNTER, TARGET, "mountpaths disabled because of errors"),
    Metric("err.io.get.n", COUNTER, TARGET, "GET requests that failed at the disk"),
    Metric("err.io.put.n", COUNTER, TARGET, "PUT requests that failed at the disk"),
    Metric("err.io.del.n", COUNTER, TARGET, "DELETE requests that failed at the disk"),
    Metric("get.ns.total", TOTAL, TARGET, "time in GET requests, nanoseconds"),
    Metric("put.ns.total", TOTAL, TARGET, "time in PUT requests, nanoseconds"),
    Metric("head.ns.total", TOTAL, TARGET, "time in HEAD requests, nanoseconds"),
    Metric("append.ns.total", TOTAL, TARGET, "time in APPEND requests, nanoseconds"),
    Metric("lst.ns.total", TOTAL, BOTH, "time in listing pages, nanoseconds"),
    Metric("kalive.ns.total", TOTAL, BOTH, "time in heartbeats, nanoseconds"),
    Metric("kalive.n", COUNTER, BOTH, "heartbeats sent"),
    Metric("get.size", SIZE, TARGET, "bytes of objects sent"),
    Metric("put.size", SIZE, TARGET, "bytes of objects received"),
    Metric("get.redir.n", COUNTER, TARGET, "GET object requests that came by a proxy's redirect"),
    Metric("put.redir.n", COUNTER, TARGET, "PUT object requests that came by a proxy's redirect"),
    Metric("get.redir.ns.total", TOTAL, TARGET, "time from a proxy's redirect of a GET to its arrival, nanoseconds"),
    Metric("put.redir.ns.total", TOTAL, TARGET, "time from a proxy's redirect of a PUT to its arrival, nanoseconds"),
    Metric("get.cold.n", COUNTER, TARGET, "objects fetched from a remote backend"),
    Metric("get.cold.size", SIZE, TARGET, "bytes of objects fetched from a remote backend"),
    Metric("get.cold.ns.total", TOTAL, TARGET, "time in fetches from a remote backend, nanoseconds"),
    Metric("stream.in.n", COUNTER, TARGET, "objects, and versions, that other targets gave to this one, their owner"),
    Metric("stream.in.size", SIZE, TARGET, "bytes of these"),
    Metric("stream.out.n", COUNTER, TARGET, "objects, and versions, that a rebalance gave to their owners"),
    Metric("stream.out.size", SIZE, TARGET, "bytes of these"),
)

SLOT = {metric.name: slot for slot, metric in enumerate(METRICS)}

GET_N, PUT_N, HEAD_N, APPEND_N, DEL_N, REN_N, LST_N = range(7)
ERR_GET_N, ERR_PUT_N, ERR_HEAD_N, ERR_APPEND_N, ERR_DEL_N, ERR_REN_N, ERR_LST_N = range(7, 14)
ERR_KALIVE_N, ERR_HTTP_WRITE_N, ERR_PUT_CKSUM_N, ERR_FSHC_N, ERR_IO_GET_N, ERR_IO_PUT_N, ERR_IO_DEL_N = range(14, 21)
GET_NS, PUT_NS, HEAD_NS, APPEND_NS, LST_NS, KALIVE_NS, KALIVE_N, GET_SIZE, PUT_SIZE = range(21, 30)
GET_REDIR_N, PUT_REDIR_N, GET_REDIR_NS, PUT_REDIR_NS = range(30, 34)
GET_COLD_N, GET_COLD_SIZE, GET_COLD_NS = range(34, 37)
STREAM_IN_N, STREAM_IN_SIZE, STREAM_OUT_N, STREAM_OUT_SIZE = range(37, 41)

AVERAGES = (
    ("get.ns", GET_NS, GET_N),
    ("put.ns", PUT_NS, PUT_N),
    ("head.ns", HEAD_NS, HEAD_N),
    ("append.ns", APPEND_NS, APPEND_N),
    ("lst.ns", LST_NS, LST_N),
    ("kalive.ns", KALIVE_NS, KALIVE_N),
    ("get.redir.ns", GET_REDIR_NS, GET_REDIR_N),
    ("put.redir.ns", PUT_REDIR_NS, PUT_REDIR_N),
    ("get.cold.ns", GET_COLD_NS, GET_COLD_N),
)
"""Mean latency over the last interval (nanoseconds): its name, the slot of the time and of the count."""

RATES = (("get.bps", GET_SIZE), ("put.bps", PUT_SIZE))
"""Bytes per second over the last interval: its name and the slot of the bytes."""

UPTIME = "up.ns.time"
STATE_FLAGS = "state.flags"
DISK = (
    ("read.bps", DISK_RATE),
    ("avg.rsize", GAUGE),
    ("write.bps", DISK_RATE),
    ("avg.wsize", GAUGE),
    ("util", GAUGE),
)
"""What follows `disk.<name>.`, and its kind."""
