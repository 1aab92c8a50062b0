"""From a request head to bucket and object, with all checks that do not touch the disk (wire contract §8, §22)."""

from typing import NamedTuple

from ais.api import ack, headers, query
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.base.errors import AccessDenied, BadRequest, BucketNotFound, Busy, NotReady, NotYetImplemented
from ais.meta.bmd import BMD
from ais.meta.smap import Snode
from ais.net.http import Headers, Network, Request
from ais.target import address
from ais.target.address import PREFIX
from ais.target.host import Host
from ais.target.view import BucketView, Views

_START = len(PREFIX)
_MARKS = f"&{query.PROXY_ID}="
_FIRST_MARK = f"{query.PROXY_ID}="
_MARKS_REST = f"&{query.REDIRECT_TIME}="
_TIME_DIGITS_MAX = 19
_HEADS_MAX = 256
_CALLER = headers.CALLER_ID.lower()
_BUCKET_ID = headers.BUCKET_ID.lower()
ACK_HEADER = ack.HEADER.lower()
_ADDS = Access.PUT | Access.APPEND
WRITES = Access.PUT | Access.APPEND | Access.MOVE_OBJECT | Access.UPDATE_OBJECT | Access.DELETE_OBJECT
LIMITS = {
    "content-range": "a PUT has all of an object: send all of it, or append to it (append_type)",
    **dict.fromkeys(
        ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
        "the native API has no conditions: leave it out, or write over S3",
    ),
}
"""Headers by which a change shall not be made whatever is there, or not to all of it; and why they are refused."""
_INTERNAL = Network.CONTROL | Network.DATA


class Ask(NamedTuple):
    """An object request with everything it says."""

    view: BucketView
    name: str
    params: dict[str, str]
    headers: Headers
    is_from_peer: bool

    @property
    def cname(self) -> str:
        """How messages name the object."""
        return self.view.bck.cname(self.name)

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow the head."""
        return self.headers.is_chunked or bool(self.headers.content_length)


class Misplaced(NotReady):
    """Another target owns the object now; the client finds it at `url`."""

    def __init__(self, owner: Snode) -> None:
        self.owner = owner
        super().__init__(f"the object belongs to the target at {self.url} now: try again")

    @property
    def url(self) -> str:
        """Of the owner."""
        return self.owner.public.url


class Front:
    """Knows the buckets of the current BMD."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.views = Views(BMD(), is_known=False)
        self._before_times: dict[str, str] = {}
        """What clients wrote, by what redirected requests have before the time: few proxies, again and again."""

    def usual(self, request: Request) -> tuple[BucketView, str, int] | None:
        """Bucket, object (not checked), and when a proxy redirected it (ns, 0: not at all), if the URL has no more.

        None: something is unusual, `ask` must look at it.
        """
        path, query_string = request.path, request.query
        head, _, time = query_string.rpartition(_MARKS_REST)
        bucket_query = self._before_times.get(head)
        if bucket_query is None:
            bucket_query, sent_ns = self._read_marks(query_string, head)
        else:
            sent_ns = int(time) if time.isdigit() and len(time) <= _TIME_DIGITS_MAX else 0
        end = path.find("/", _START)
        view = self.views.by_url.get((path[_START:end], bucket_query))
        if view is None or end < 0 or "%" in path or not (sent_ns or bucket_query == query_string):
            return None
        name = path[end + 1 :]
        return (view, name, sent_ns) if name else None

    def _read_marks(self, query_string: str, head: str) -> tuple[str, int]:
        """What the client wrote, and when a proxy redirected it (ns, 0: not at all)."""
        bucket_query, marks = _split_marks(query_string)
        sent_ns = _sent_at(marks)
        if sent_ns:
            if len(self._before_times) >= _HEADS_MAX:
                self._before_times.clear()
            self._before_times[head] = bucket_query
        return bucket_query, sent_ns

    def bucket_query(self, request: Request) -> str:
        """The query without a proxy's marks: what the client wrote, usually provider and namespace."""
        return _split_marks(request.query)[0]

    def ask(self, request: Request, operation: Access, *, is_probe: bool = False) -> Ask:
        """All that a request says. Raise `BadRequest`, `BucketNotFound`, `AccessDenied` or `NotYetImplemented`."""
        params = request.params
        address.check_query(request.method, params)
        bucket_name, name = address.split_path(request.path)
        bck = Bck.parse(bucket_name, params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, ""))
        view = self.views.require(bck)
        is_from_peer = self.is_from_peer(request)
        if is_from_peer:
            self.require_meant(view, request)
        else:  # S3 has names that clients of the native API cannot ask for
            address.check_name(name, is_probe=is_probe)
        view.require(operation)
        if operation & WRITES and (limit := next((one for one in LIMITS if one in request.headers), "")):
            raise NotYetImplemented(f"{bck.cname(name)}: the header {limit} cannot be honoured: {LIMITS[limit]}")
        if operation & _ADDS and not is_from_peer:
            view.require_sealable()
        if view.is_renamed and not is_from_peer:
            raise BucketNotFound(bck.cname())
        # Who has no map yet by which it owns a name would not look for what it is to change or replace, which the owner
        # by the earlier map goes on to show: where that is, only the map says.
        asks_owner = view.is_moving or bool(operation & WRITES)
        if not is_from_peer and (asks_owner or (view.is_weighted and not address.is_redirected(params))):
            is_coded = view.is_coded and not view.is_moving and not operation & WRITES
            owner = self._host.placement.reader(view.uname + name, is_coded=is_coded)
            if owner.id != self._host.snode.id:
                raise Misplaced(owner)
        self._remember(request, view)
        if operation & WRITES:
            asked = request.headers.get(ACK_HEADER)
            asked = params.get(ack.QUERY) if asked is None else asked
            if asked is not None:
                view = view.with_ack(asked, only_metadata=operation is Access.UPDATE_OBJECT)
        return Ask(view, name, params, request.headers, is_from_peer)

    def require_redirect(self, ask: Ask, what: str) -> None:
        """Raise `BadRequest` for a write that neither a proxy nor a peer sent here: its checks were skipped."""
        if not ask.is_from_peer and not address.is_redirected(ask.params):
            raise BadRequest(f"{self._host.snode.name}: {what} is expected to be redirected")

    def admit(self, view: BucketView) -> None:
        """Raise `BucketNotFound` when the bucket was removed or renamed since `view` was taken, `Busy` when it is not
        linked any more to what it was.
        """
        current = self.views.get(view.bck)
        if current is view:
            return
        if current is None or current.is_renamed or current.props.bid != view.props.bid:
            raise BucketNotFound(view.bck.cname())
        if view.remote is not None and current.link != view.link:
            raise Busy(f"{view.bck.cname()} was linked to something else meanwhile: try again")

    def current(self, view: BucketView) -> BucketView:
        """The bucket as it is now, for who goes on with it for long. Raise `BucketNotFound` when it was removed, `Busy`
        when it is linked to something else, or to nothing any more: what was to be done was meant for what it was.
        """
        current = self.views.get(view.bck)
        if current is None or current.props.bid != view.props.bid:
            raise BucketNotFound(view.bck.cname())
        if (current.link, current.is_linked) != (view.link, view.is_linked):
            raise Busy(f"{view.bck.cname()} was linked to something else meanwhile: begin anew")
        return current

    def is_from_peer(self, request: Request) -> bool:
        """Whether a node of the cluster sends it. Raise `AccessDenied` when it only says so."""
        caller = request.headers.get(_CALLER)
        if caller is None:
            return False
        if not request.networks & _INTERNAL or caller not in self._host.smap:
            raise AccessDenied(f"{headers.CALLER_ID} is for nodes of the cluster on its internal networks")
        return True

    def require_meant(self, view: BucketView, request: Request) -> None:
        """Raise `NotReady` when the target that sends it means another bucket of the name: one was removed and made
        anew, and one of us does not know it yet.
        """
        meant = request.headers.get(_BUCKET_ID)
        if meant is not None and meant != str(view.props.bid):
            raise NotReady(f"another bucket has the name {view.bck.cname()} by now: try again")

    def require_peer(self, caller: str | None) -> None:
        """Raise `AccessDenied` when a node that sends something is not of the cluster any more: it stood still, and was
        given up meanwhile.
        """
        if caller is None or caller not in self._host.smap:
            raise AccessDenied(f"{caller} was taken out of the cluster while it was sending")

    def _remember(self, request: Request, view: BucketView) -> None:
        bucket_query = self.bucket_query(request)
        marks = (query.PROXY_ID, query.REDIRECT_TIME)
        if any(mark + "=" in bucket_query for mark in marks) or "%" in request.path:
            return
        if not request.params.keys() - {query.PROVIDER, query.NAMESPACE, *marks}:
            element = request.path[_START : request.path.find("/", _START)]
            self.views.remember(element, bucket_query, view)


def redirected_at(query_string: str, bucket_query: str) -> int:
    """When a proxy sent a request here (ns), if its query is `bucket_query` and a proxy's marks, nothing else; or 0."""
    given, marks = _split_marks(query_string)
    return _sent_at(marks) if given == bucket_query else 0


def _sent_at(marks: str) -> int:
    """The time in a proxy's marks (ns); 0 when there is none, or more than that."""
    proxy_id, _, time = marks.partition(_MARKS_REST)
    return 0 if "&" in proxy_id else _time_ns(time)


def _time_ns(text: str) -> int:
    return int(text) if text.isdigit() and len(text) <= _TIME_DIGITS_MAX else 0


def _split_marks(query_string: str) -> tuple[str, str]:
    """What the client wrote, and what follows `pid=`."""
    if query_string.startswith(_FIRST_MARK):
        return "", query_string[len(_FIRST_MARK) :]
    given, _, marks = query_string.partition(_MARKS)
    return given, marks
