"""Redirects of object requests."""

import copy
from dataclasses import dataclass, field

import msgspec
import pytest

from ais.api import access
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.base.errors import (
    AccessDenied,
    AisError,
    BadRequest,
    BucketNotFound,
    HandleNotFound,
    InvalidName,
    NotReady,
)
from ais.config.node import NodeConfig
from ais.meta.bmd import BMD, Bprops
from ais.meta.placement import Placement
from ais.meta.smap import NetInfo, Smap, Snode
from ais.net.http import Headers, Network, Peer, Reply, Request
from ais.proxy.rates import Rates
from ais.proxy.redirect import ROAD_QUERY_LEN_MAX, ROADS_MAX, Redirector
from ais.stats import names as metrics

TARGETS = ("t1aaaaaa", "t2bbbbbb", "t3cccccc", "t4dddddd")
NOW_NS = 1771000000000000000


def node(kind: str, node_id: str) -> Snode:
    """A node whose host names say which network an address belongs to."""
    nets = [NetInfo.make("http", f"{net}.{node_id}", 80) for net in ("pub", "ctl", "data")]
    return Snode.make(kind, node_id, *nets)


@dataclass
class View:
    """A proxy's knowledge of the cluster."""

    smap: Smap
    bmd: BMD
    snode: Snode = field(default_factory=lambda: node("proxy", "p1zzzzzz"))
    config: NodeConfig = field(default_factory=NodeConfig)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if name in ("smap", "bmd"):
            self.current = object()

    @property
    def state(self) -> "View":
        return self

    @property
    def placement(self) -> Placement:
        return Placement(self.smap)


def view(props: Bprops | None = None, targets: tuple[str, ...] = TARGETS) -> View:
    """Four targets and one bucket."""
    smap = Smap(tmap={target: node("target", target) for target in targets})
    return View(smap, BMD("u", 1).with_bucket(Bck("mybck"), props or Bprops()))


def ask(redirector: Redirector, method: str, target: str, remote: str = "10.0.0.7:999") -> Reply | None:
    return redirector.answer(Request(method, target, Headers(), Peer(remote, Network.PUBLIC, "http")))


def location(reply: Reply | None) -> str:
    assert reply is not None
    assert reply.body == b""
    name, _, value = reply.headers.decode().removesuffix("\r\n").partition(": ")
    assert name == "Location"
    return value


def redirector(cluster: View | None = None, cidr: str = "") -> Redirector:
    cluster = cluster or view()
    return Redirector(cluster, lambda: NOW_NS, [0] * len(metrics.METRICS), cidr, rates=rates(cluster))


def rates(cluster: View) -> Rates:
    return Rates(lambda: cluster.smap, lambda: NOW_NS / 1e9)


@pytest.mark.parametrize(
    ("name", "owner"), [("obj1", "t3cccccc"), ("dir/obj2", "t4dddddd")], ids=["plain name", "name with a slash"]
)
def test_the_owner_by_hrw_is_where_a_client_is_sent(name: str, owner: str) -> None:
    """The contract's placement vectors decide; path and query stay, proxy and time are added."""
    reply = ask(redirector(), "GET", f"/v1/objects/mybck/{name}?provider=ais")
    expected = f"http://pub.{owner}:80/v1/objects/mybck/{name}?provider=ais&pid=p1zzzzzz&utm={NOW_NS}"
    assert location(reply) == expected


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 301), ("HEAD", 307), ("PUT", 307), ("POST", 307), ("DELETE", 307), ("PATCH", 307)]
)
def test_only_a_get_is_moved_permanently(method: str, status: int) -> None:
    """301 for GET, 307 for all other verbs, first time and repeated."""
    proxy = redirector()
    for _ in range(2):
        reply = ask(proxy, method, "/v1/objects/mybck/obj1")
        assert reply is not None
        assert reply.status == status
        assert location(reply).startswith("http://pub.t3cccccc:80/v1/objects/mybck/obj1?pid=")


def test_the_raw_path_and_query_are_kept_while_placement_uses_the_decoded_name() -> None:
    """Percent-encoding travels on as sent; an encoded name has the same owner as the plain one."""
    encoded = location(ask(redirector(), "GET", "/v1/objects/mybck/dir%2Fobj2?a=%20%2B"))
    assert encoded.startswith("http://pub.t4dddddd:80/v1/objects/mybck/dir%2Fobj2?a=%20%2B&pid=")


def test_a_repeated_get_is_redirected_while_the_cluster_is_the_same() -> None:
    """What `repeat` gives answers the same and counts; a new map, buckets or configuration end it."""
    for change in ("smap", "bmd", "config"):
        cluster, counters, clock = view(), [0] * len(metrics.METRICS), iter(range(NOW_NS, NOW_NS + 10))
        proxy = Redirector(cluster, lambda clock=clock: next(clock), counters, rates=rates(cluster))
        request = Request("GET", "/v1/objects/mybck/obj1?a=b", Headers(), Peer("10.0.0.7:1", Network.PUBLIC, "http"))
        first = proxy.answer(request)
        assert first is not None
        assert first.repeat is not None
        again = first.repeat(request)
        assert again is not None
        for number in (1, 2):
            answer = again()
            assert answer is not None
            status, head, body = answer
            expected = location(first).replace(str(NOW_NS), str(NOW_NS + number))
            assert (status, body) == (301, b"")
            assert head.decode() == f"Location: {expected}\r\nContent-Length: 0\r\n\r\n"
        assert counters[metrics.GET_N] == 3
        setattr(cluster, change, copy.copy(getattr(cluster, change)))
        assert again() is None
        assert counters[metrics.GET_N] == 3


def test_what_depends_on_more_than_the_request_is_not_repeated() -> None:
    """Other verbs, clients of the inner network and buckets with permissions are looked at each time."""
    target = "/v1/objects/mybck/obj1"
    restricted = view(Bprops(access=U64(access.READ_ONLY)))
    replies = [
        *(ask(redirector(), method, target) for method in ("HEAD", "PUT", "DELETE", "POST", "PATCH")),
        ask(redirector(cidr="10.0.0.0/8"), "GET", target),
        ask(redirector(cidr="10.0.0.0/8"), "GET", target, "192.168.0.1:999"),
        ask(redirector(restricted), "GET", target),
    ]
    assert all(reply is not None and reply.repeat is None for reply in replies)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("/v1/objects/mybck", BadRequest),
        ("/v1/objects/mybckX", BucketNotFound),
        ("/v1/objects/mybck/", BadRequest),
        ("/v1/objects/mybck/../x", InvalidName),
        ("/v1/objects/mybck/dir/", InvalidName),
        ("/v1/objects/mybck/%2e%2e/x", InvalidName),
        ("/v1/objects/mybck/a%00b", InvalidName),
        ("/v1/objects/mybckX/o", BucketNotFound),
    ],
)
def test_a_bucket_asked_for_before_changes_nothing_for_bad_names(target: str, error: type[AisError]) -> None:
    """Names are checked with each request, also when bucket and query are known already."""
    proxy = redirector()
    for name in ("obj1", "dir/obj2"):
        assert location(ask(proxy, "GET", f"/v1/objects/mybck/{name}")).partition("?")[0].endswith(f"mybck/{name}")
    with pytest.raises(error):
        ask(proxy, "GET", target)


def test_an_append_follows_its_handle() -> None:
    """A handle's first field names the target, whoever owns the object by hash; a target that left is an error."""
    proxy = redirector()
    target = "/v1/objects/mybck/obj1?append_type=append&append_handle=t1aaaaaa%7Cwork%7C5"
    assert location(ask(proxy, "PUT", target)).startswith("http://pub.t1aaaaaa:80/")
    assert location(ask(proxy, "PUT", "/v1/objects/mybck/obj1?append_type=append&append_handle=")).startswith(
        "http://pub.t3cccccc:80/"
    )
    with pytest.raises(HandleNotFound):
        ask(proxy, "PUT", target.replace("t1aaaaaa", "tgone"))
    with pytest.raises(BadRequest):
        ask(proxy, "PUT", target.replace("%7C", "-"))


def test_an_easy_url_becomes_an_object_request() -> None:
    """`/ais/b/o` is sent to the object's native address; without an object it is left to others, but PUT needs one."""
    proxy = redirector()
    expected = "http://pub.t3cccccc:80/v1/objects/mybck/obj1?provider=ais&pid="
    assert location(ask(proxy, "GET", "/ais/mybck/obj1")).startswith(expected)
    assert ask(proxy, "GET", "/ais/mybck") is None
    assert ask(proxy, "GET", "/ais/mybck/") is None
    with pytest.raises(BadRequest):
        ask(proxy, "PUT", "/ais/mybck")


@pytest.mark.parametrize("target", ["/", "/v1/buckets/mybck", "/s3/mybck/obj1", "/v1/objects", "/metrics", "/ais"])
def test_other_requests_are_left_alone(target: str) -> None:
    """Whatever is not an object request belongs to the application."""
    assert ask(redirector(), "GET", target) is None


def test_an_unknown_verb_is_left_alone_whether_the_path_is_known_or_not() -> None:
    """OPTIONS and friends on an object path are answered by the application."""
    proxy = redirector()
    assert ask(proxy, "OPTIONS", "/v1/objects/mybck/obj1") is None
    ask(proxy, "GET", "/v1/objects/mybck/obj1")
    assert ask(proxy, "OPTIONS", "/v1/objects/mybck/obj1") is None


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [
        ("GET", "/v1/objects/nobck/o", BucketNotFound),
        ("GET", "/v1/objects/mybck/o?provider=aws", BucketNotFound),
        ("GET", "/v1/objects/mybck/o?provider=xyz", BadRequest),
        ("GET", "/v1/objects/my$bck/o", InvalidName),
        ("GET", "/v1/objects//o", InvalidName),
        ("GET", "/v1/objects/mybck", BadRequest),
        ("GET", "/v1/objects/mybck/", BadRequest),
        ("GET", "/v1/objects/mybck/../x", InvalidName),
        ("GET", "/v1/objects/mybck/%2e%2e/x", InvalidName),
        ("GET", "/v1/objects/mybck//x", InvalidName),
        ("GET", "/v1/objects/mybck/dir/", InvalidName),
        ("GET", "/v1/objects/mybck/%ff", BadRequest),
        ("GET", "/v1/objects/mybck/a%00b", InvalidName),
        ("GET", "/v1/objects/mybck/" + "x" * 1025, InvalidName),
        ("GET", "/v1/objects/mybck/o?archpath=a&archmode=b", BadRequest),
        ("GET", "/v1/objects/mybck/o?" + "&".join(f"a{i}=1" for i in range(101)), BadRequest),
        ("PUT", "/v1/objects/mybck/o?object_to=ais/@%23/nobck/o", BucketNotFound),
        ("PUT", "/v1/objects/mybck/o?object_to=nonsense", BadRequest),
    ],
)
def test_bad_requests_are_refused_at_the_proxy(method: str, target: str, error: type[AisError]) -> None:
    """Wrong names, unknown buckets and contradicting parameters never reach a target."""
    with pytest.raises(error):
        ask(redirector(), method, target)


def test_a_directory_may_be_probed_with_head() -> None:
    """HEAD of a name that ends with a slash is redirected, and the same request with GET is still refused."""
    proxy = redirector()
    assert ask(proxy, "HEAD", "/v1/objects/mybck/dir/") is not None
    with pytest.raises(InvalidName):
        ask(proxy, "GET", "/v1/objects/mybck/dir/")


def test_permissions_of_the_bucket_hold_except_for_reading() -> None:
    """A read-only bucket refuses to be written, with the words clients know; GET and HEAD go through."""
    proxy = redirector(view(Bprops(access=U64(access.READ_ONLY))))
    target = "/v1/objects/mybck/obj1"
    assert ask(proxy, "GET", target) is not None
    assert ask(proxy, "HEAD", target) is not None
    for method in ("PUT", "DELETE", "PATCH"):
        with pytest.raises(AccessDenied, match=r"bucket ais://mybck: .* access denied \(allowed: \[GET, HEAD-OBJECT"):
            ask(proxy, method, target)


def test_a_copy_needs_permission_where_it_writes() -> None:
    """A read-only bucket may be copied from, and not into."""
    cluster = view(Bprops(access=U64(access.READ_ONLY)))
    cluster.bmd = cluster.bmd.with_bucket(Bck("open"), Bprops())
    proxy = redirector(cluster)
    assert ask(proxy, "PUT", "/v1/objects/mybck/o?object_to=ais/@%23/open/o") is not None
    with pytest.raises(AccessDenied):
        ask(proxy, "PUT", "/v1/objects/open/o?object_to=ais/@%23/mybck/o")


def test_an_append_needs_its_own_permission() -> None:
    """APPEND is a bit of its own: allowing PUT is not enough."""
    proxy = redirector(view(Bprops(access=U64(access.Access.PUT))))
    assert ask(proxy, "PUT", "/v1/objects/mybck/o") is not None
    with pytest.raises(AccessDenied, match="APPEND"):
        ask(proxy, "PUT", "/v1/objects/mybck/o?append_type=append&append_handle=")


def test_new_metadata_is_used_at_once() -> None:
    """What was prepared for one version of the maps is not used with another."""
    cluster = view()
    proxy = redirector(cluster)
    target = "/v1/objects/mybck/obj1"
    assert "t3cccccc" in location(ask(proxy, "GET", target))
    cluster.smap = msgspec.structs.replace(cluster.smap, tmap={"t1aaaaaa": node("target", "t1aaaaaa")})
    assert "t1aaaaaa" in location(ask(proxy, "GET", target))
    cluster.bmd = BMD("u", 2)
    with pytest.raises(BucketNotFound):
        ask(proxy, "GET", target)


def test_a_bucket_that_is_being_renamed_is_gone() -> None:
    """Under its old name it is not found any more."""
    with pytest.raises(BucketNotFound):
        ask(redirector(view(Bprops(renamed="xid:ais/@#/new/"))), "GET", "/v1/objects/mybck/obj1")


def test_a_cluster_without_targets_says_what_to_do() -> None:
    """503 and not a crash while no target has joined."""
    with pytest.raises(NotReady, match="targets"):
        ask(redirector(view(targets=())), "GET", "/v1/objects/mybck/obj1")


def test_clients_inside_the_cluster_network_stay_inside() -> None:
    """With a CIDR, local clients get data addresses for content and control addresses for the rest."""
    proxy = redirector(cidr="10.0.0.0/8")
    target = "/v1/objects/mybck/obj1"
    assert location(ask(proxy, "GET", target)).startswith("http://data.t3cccccc")
    assert location(ask(proxy, "HEAD", target)).startswith("http://ctl.t3cccccc")
    assert location(ask(proxy, "GET", target, remote="192.168.1.1:5")).startswith("http://pub.t3cccccc")
    assert location(ask(proxy, "GET", target, remote="[fe80::1]:5")).startswith("http://pub.t3cccccc")


def test_what_is_kept_of_queries_is_bounded() -> None:
    """Any number of different queries leaves a bounded number of entries, and long ones none."""
    proxy = redirector()
    for index in range(ROADS_MAX + 10):
        ask(proxy, "GET", f"/v1/objects/mybck/o?a={index}")
    assert len(proxy._roads) <= ROADS_MAX
    before = len(proxy._roads)
    ask(proxy, "GET", f"/v1/objects/mybck/o?a={'x' * ROAD_QUERY_LEN_MAX}")
    assert len(proxy._roads) == before
