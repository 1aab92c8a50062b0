"""The redirect of an object request to the target that owns the object (wire contract §8): the proxy's hot path.

Where a request goes depends on its path and query, on the cluster map and on the bucket metadata. What does not depend
on the object's name is found out once per bucket and query (`_Road`) and kept until one of the two maps changes; then a
name costs a lookup or the computation of its owner. A request that is repeated leaves a function that gives the whole
answer (`Reply.repeat`); only the time in it is new each time. The body is never looked at: the client sends it to the
target. A POST names its action in the body, so that its permission is the target's to check.
"""

import ipaddress
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from ais.api import access, query
from ais.api.access import Access
from ais.api.bucket import Bck, missing
from ais.base import names
from ais.base.errors import BadRequest, HandleNotFound, NotYetImplemented
from ais.config.node import NodeConfig
from ais.meta.bmd import BMD, Bucket
from ais.meta.placement import Placement
from ais.meta.smap import Smap, Snode
from ais.net.encoding import NO_BODY
from ais.net.http import Again, Reply, Request, decode_component
from ais.node.clients import access_of
from ais.proxy.rates import Rates, is_limited
from ais.shard import match
from ais.stats import names as metrics

OBJECTS = "/v1/objects/"
EASY_URLS = {"/ais/": "ais", "/gs/": "gcp", "/az/": "azure"}
PREFIXES = (OBJECTS, *EASY_URLS)
"""How the paths of object requests begin."""
_START = len(OBJECTS)
ROADS_MAX = 1024
ROAD_QUERY_LEN_MAX = 512
"""Longer ones are unlikely to come again."""
_CLIENTS_REMEMBERED_MAX = 4096
_MARK_REUSED_NS = 30 * 10**9
"""A mark is good for minutes."""
_APPEND_SEPARATOR = "|"

_STATUS = {"GET": 301, "HEAD": 307, "PUT": 307, "POST": 307, "DELETE": 307, "PATCH": 307}
METHODS = tuple(_STATUS)
_READS = ("GET", "HEAD")
COUNTED = {"GET": metrics.GET_N, "HEAD": metrics.HEAD_N, "PUT": metrics.PUT_N, "DELETE": metrics.DEL_N}
_GET_STATUS, _GET_COUNTED = _STATUS["GET"], COUNTED["GET"]


class Agreed(Protocol):
    """`ais.node.state.State`: `current` is another object after each change of what the cluster has agreed on."""

    @property
    def current(self) -> object: ...


class ClusterView(Protocol):
    """What a redirect depends on; `ais.node.node.Node` has it. The values are replaced, never changed."""

    @property
    def state(self) -> Agreed: ...
    @property
    def smap(self) -> Smap: ...
    @property
    def bmd(self) -> BMD: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def snode(self) -> Snode: ...
    @property
    def config(self) -> NodeConfig: ...


Mark = Callable[[str, str, str], str]
"""Adds to a location, up to its time, what the target (by its ID) asks of what a gateway admitted, given the method."""


class Redirector:
    """Answers object requests and counts them in `counters`.

    Clients in the network `cidr` (if given) are sent to intra-cluster addresses.
    """

    def __init__(
        self,
        view: ClusterView,
        now_ns: Callable[[], int],
        counters: list[int],
        cidr: str = "",
        *,
        rates: Rates,
        mark: Mark = lambda _target_id, _method, location: location,
    ) -> None:
        self._view = view
        self._now_ns = now_ns
        self._counters = counters
        self._mark = mark
        self._rates = rates
        self._neighbours = _Neighbours(cidr) if cidr else None
        self._roads: dict[tuple[str, str], _Road] = {}
        self._repeat, self._answer_again = self._repeater, self._again
        self._agreed = view.state.current

    def answer(self, request: Request) -> Reply | None:
        """The redirect of an object request, None for any other. Raise the error of a request that nobody can serve."""
        method = request.method
        status = _STATUS.get(method)
        if status is None or (way := self._way(request)) is None:
            return None
        if way.guard is not None:
            way.guard.check(method)
        if method in COUNTED:
            self._counters[COUNTED[method]] += 1
        net = way.owner.public
        if self._neighbours is not None and request.remote in self._neighbours:
            net = way.owner.data if method in ("GET", "PUT") else way.owner.control
        is_repeatable = method == "GET" and way.guard is None and self._neighbours is None
        line = f"Location: {net.url}{self._mark(way.owner.id, method, way.location)}&utm=".encode()
        repeat = partial(self._repeat, way, line) if is_repeatable else None
        return Reply(status, b"%b%d\r\n" % (line, self._now_ns()), repeat=repeat)

    def asked(self, request: Request) -> "list[tuple[Access, Bck]] | None":
        """What an object request asks for, on which buckets; None for any other. Raise as `answer`."""
        address = _Address.of(request) if request.method in _STATUS else None
        if address is None:
            return None
        params = request.params
        provider = address.provider or params.get(query.PROVIDER, "")
        bck = Bck.parse(address.bucket, provider, params.get(query.NAMESPACE, ""))
        if request.method == "PUT" and (destination := params.get(query.OBJECT_TO)):
            return [(Access.GET, bck), (Access.PUT, Bck.parse_uname(destination)[0])]
        return [(access_of(request.method, appends=query.APPEND_TYPE in params), bck)]

    def _repeater(self, way: "_Way", line: bytes, _request: Request) -> Again:
        """Gives the same answer to a GET while what the cluster agreed on and the configuration are the same."""
        view = self._view
        if view.config.cluster.auth.is_closed:
            marked = _Marked(self._mark, way, line, self._now_ns() + _MARK_REUSED_NS)
            return partial(self._again_marked, view.state.current, view.config, marked)
        return partial(self._answer_again, view.state.current, view.config, line)

    def _again_marked(self, agreed: object, config: NodeConfig, marked: "_Marked") -> tuple[int, bytes, bytes] | None:
        view = self._view
        if view.state.current is not agreed or view.config is not config:
            return None
        self._counters[_GET_COUNTED] += 1
        now_ns = self._now_ns()
        return _GET_STATUS, b"%b%d\r\n%b" % (marked.line(now_ns), now_ns, NO_BODY), b""

    def _again(self, agreed: object, config: NodeConfig, line: bytes) -> tuple[int, bytes, bytes] | None:
        view = self._view
        if view.state.current is not agreed or view.config is not config:
            return None
        self._counters[_GET_COUNTED] += 1
        return _GET_STATUS, b"%b%d\r\n%b" % (line, self._now_ns(), NO_BODY), b""

    def _way(self, request: Request) -> "_Way | None":
        """Where an object request goes; None for any other request."""
        view, path = self._view, request.path
        if view.state.current is not self._agreed:
            self._agreed = view.state.current
            self._roads.clear()
        end = path.find("/", _START)
        road = self._roads.get((path[:end], request.query)) if end > 0 else None
        if road is None or "%" in path:
            return self._new_way(request)
        name = path[end + 1 :]
        _check_object(name, request.method)
        owner = self._owner(road.uname + name, request.method, is_coded=road.is_coded)
        return _Way(owner, path + road.tail, road.guard)

    def _owner(self, uname: str, method: str, *, is_coded: bool) -> Snode:
        """The target that owns a name; for a read, who stands in for it."""
        if is_coded and method in _READS:
            return self._view.placement.reader(uname, is_coded=True)
        return self._view.placement.owner(uname)

    def _new_way(self, request: Request) -> "_Way | None":
        address = _Address.of(request)
        if address is None:
            return None
        params = request.params
        if params.get(query.ARCHMODE):
            _check_archmode(params)
        provider = address.provider or params.get(query.PROVIDER, "")
        bucket = require_bucket(self._view.bmd, Bck.parse(address.bucket, provider, params.get(query.NAMESPACE, "")))
        _check_object(address.name, request.method)
        handle = params.get(query.APPEND_HANDLE)
        owner = (
            self._holder(handle)
            if handle
            else self._owner(bucket.uname + address.name, request.method, is_coded=bucket.props.is_coded)
        )
        guard = self._guard(bucket, params)
        tail = f"{address.tail}pid={self._view.snode.id}"
        if not handle and address.path is request.path and len(request.query) <= ROAD_QUERY_LEN_MAX:
            if len(self._roads) >= ROADS_MAX:
                self._roads.clear()
            element = request.path[: request.path.find("/", _START)]
            self._roads[element, request.query] = _Road(bucket.uname, tail, guard, bucket.props.is_coded)
        return _Way(owner, address.path + tail, guard)

    def _guard(self, bucket: Bucket, params: dict[str, str]) -> "_Guard | None":
        put_needs = Access.APPEND if query.APPEND_TYPE in params else Access.PUT
        written = bucket
        if destination := params.get(query.OBJECT_TO):
            written = require_bucket(self._view.bmd, Bck.parse_uname(destination)[0])
        is_open = bucket.props.access == written.props.access == access.ALL
        if is_open and not is_limited(bucket) and not is_limited(written):
            return None
        return _Guard(bucket, written, put_needs, self._rates)

    def _holder(self, handle: str) -> Snode:
        """The target that began an append: its ID is the handle's first field."""
        target_id, separator, _ = handle.partition(_APPEND_SEPARATOR)
        if not separator:
            raise BadRequest(f'invalid append handle "{handle[:80]}"')
        if (target := self._view.smap.tmap.get(target_id)) is None:
            raise HandleNotFound(
                f'the target "{target_id[:40]}" of this append handle is not in the cluster: append anew'
            )
        return target


def require_bucket(bmd: BMD, bck: Bck) -> Bucket:
    """The bucket for a client's request. Raise `BucketNotFound`, also for one that is just getting another name."""
    bucket = bmd.require(bck)
    if bucket.props.renamed:
        raise missing(bck)
    return bucket


def require_own(bucket: Bucket, what: str) -> Bucket:
    """The bucket. Raise `NotYetImplemented` when it has a backend, and `what` would be seen here only."""
    if bucket.has_backend:
        raise NotYetImplemented(f"cannot {what} remote bucket {bucket.bck.cname()} - not implemented yet")
    return bucket


def require_same(bmd: BMD, bck: Bck, bid: int) -> Bucket:
    """The bucket that had this ID when it was asked for. Raise `BucketNotFound`, also when another has its name now."""
    bucket = require_bucket(bmd, bck)
    if bucket.bid != bid:
        raise missing(bck)
    return bucket


class _Road(NamedTuple):
    """What all names have in common that are asked for with the same bucket and query."""

    uname: str
    """Of the bucket."""
    tail: str
    """What follows the path in a `Location`, up to the time."""
    guard: "_Guard | None"
    """Who checks permissions, and how often the bucket may be asked."""
    is_coded: bool = False
    """Objects have slices: they can be read while their owner is away."""


class _Way(msgspec.Struct, frozen=True, gc=False):
    """Where one request goes."""

    owner: Snode
    location: str
    """Path and query, up to the time."""
    guard: "_Guard | None"


class _Marked:
    """The beginning of the answer to a GET that is repeated, with a mark that is made anew after a while."""

    __slots__ = ("_line", "_mark", "_stale_ns", "_way")

    def __init__(self, mark: Mark, way: _Way, line: bytes, stale_ns: int) -> None:
        self._mark, self._way = mark, way
        self._line, self._stale_ns = line, stale_ns

    def line(self, now_ns: int) -> bytes:
        """`Location: ...&utm=`."""
        if now_ns >= self._stale_ns:
            way = self._way
            self._line = (
                f"Location: {way.owner.public.url}{self._mark(way.owner.id, 'GET', way.location)}&utm=".encode()
            )
            self._stale_ns = now_ns + _MARK_REUSED_NS
        return self._line


class _Guard(NamedTuple):
    """Checks requests to a bucket that does not allow everything, or not that often."""

    bucket: Bucket
    written: Bucket
    """Where a PUT writes: for a copy, another bucket."""
    put_needs: Access
    rates: Rates

    def check(self, method: str) -> None:
        """Raise `AccessDenied` or `RateLimited` unless the request may go on."""
        if method == "PUT":
            access.require(self.written.props.access, self.put_needs, self.written.bck.cname())
        elif method == "DELETE":
            access.require(self.bucket.props.access, Access.DELETE_OBJECT, self.bucket.bck.cname())
        elif method == "PATCH":
            access.require(self.bucket.props.access, Access.UPDATE_OBJECT, self.bucket.bck.cname())
        self.rates.take(self.written if method == "PUT" else self.bucket, method)


class _Address(NamedTuple):
    """What an object request names (decoded), and the raw path and beginning of the query that the target gets."""

    provider: str
    """Set by an easy URL, otherwise left to the query."""
    bucket: str
    name: str
    path: str
    tail: str

    @classmethod
    def of(cls, request: Request) -> "_Address | None":
        """The address in a request, None when it is not for an object."""
        path, query_string = request.path, request.query
        tail = f"?{query_string}&" if query_string else "?"
        if path.startswith(OBJECTS):
            bucket, slash, name = path[_START:].partition("/")
            if not slash and request.method == "POST":
                return None
            return cls("", decode_component(bucket), decode_component(name), path, tail)
        prefix = path[: path.find("/", 1) + 1]
        provider = EASY_URLS.get(prefix)
        if provider is None:
            return None
        bucket, _, name = path[len(prefix) :].partition("/")
        if not name and request.method != "PUT":
            return None
        native = f"{OBJECTS}{bucket}/{name}"
        return cls(provider, decode_component(bucket), decode_component(name), native, f"{tail}provider={provider}&")


def _check_archmode(params: dict[str, str]) -> None:
    mode = params[query.ARCHMODE]
    if params.get(query.ARCHPATH):
        raise BadRequest(
            f"{query.ARCHMODE}={mode[:50]}: {query.ARCHPATH} (match one) and {query.ARCHREGX} (match many) are mutually"
            " exclusive"
        )
    match.check_mode(mode)


def _check_object(name: str, method: str) -> None:
    if not name:
        raise BadRequest("object name is empty: expected /v1/objects/<bucket>/<object>")
    if method == "HEAD":
        names.check_object_prefix(name)  # a name that ends with "/" may be probed
    else:
        names.check_object_name(name)


class _Neighbours:
    """The clients (`ip:port`) that live in the cluster's own network."""

    def __init__(self, cidr: str) -> None:
        self._network = ipaddress.ip_network(cidr, strict=False)
        self._known: dict[str, bool] = {}

    def __contains__(self, remote: str) -> bool:
        host = remote.rpartition(":")[0].strip("[]")
        is_inside = self._known.get(host)
        if is_inside is None:
            if len(self._known) >= _CLIENTS_REMEMBERED_MAX:
                self._known.clear()
            is_inside = self._known[host] = ipaddress.ip_address(host) in self._network
        return is_inside
