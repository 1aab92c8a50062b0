"""What nodes say about requests that they pass on."""

import base64

import pytest

from ais.base.errors import AccessDenied, NotReady
from ais.net.http import Headers, Network, Peer, Request
from ais.s3 import via
from ais.s3.errors import S3Error
from ais.s3.via import Via

SECRET = b"the secret that the nodes share."
NOTE = Via("10.0.0.7:5000", "https", "ann", time_s=1000, to="t1", by="p1")
KEYS_OF = {"p1": (b"the key before", SECRET), "": (b"another",)}.__getitem__
HERE = ("t1", 1030.0)


def _request(value: str, method: str = "GET", target: str = "/b/k?versionId=1") -> Request:
    peer = Peer("127.0.0.1:1", Network.PUBLIC, "http")
    return Request(method, target, Headers(((via.HEADER.lower(), value),)), peer)


def test_a_note_is_read_where_the_secret_is_known() -> None:
    """Address, scheme and user arrive; a request without a note came from a client."""
    value = via.header(NOTE, SECRET, "GET", "/b/k?versionId=1")
    assert via.read(_request(value), KEYS_OF, *HERE) == NOTE
    assert via.read(Request("GET", "/", Headers(), Peer("", Network.PUBLIC, "http")), KEYS_OF, *HERE) is None


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("target", ["/b/k?versionId=1", "/b/other"])
@pytest.mark.parametrize("secret", [SECRET, b"another secret"])
def test_a_note_holds_for_one_request_line_and_one_cluster(method: str, target: str, secret: bytes) -> None:
    """It cannot be carried to another request, nor made without the secret."""
    value = via.header(NOTE, secret, "GET", "/b/k?versionId=1")
    if (method, target, secret) == ("GET", "/b/k?versionId=1", SECRET):
        assert via.read(_request(value, method, target), KEYS_OF, *HERE) == NOTE
        return
    with pytest.raises(S3Error, match="for nodes"):
        via.read(_request(value, method, target), KEYS_OF, *HERE)


@pytest.mark.parametrize("value", ["", "x", "!!!", base64.b64encode(b"0" * 40).decode()])
def test_what_is_no_note_is_refused(value: str) -> None:
    """Garbage is a forgery, not a failure."""
    with pytest.raises(S3Error) as caught:
        via.read(_request(value), KEYS_OF, *HERE)
    assert caught.value.code == "AccessDenied"


def test_strangers_vouch_for_nothing() -> None:
    """Who is not in the cluster has no key with us: a gateway that was taken off the map learns so."""

    def keys_of(_node_id: str) -> tuple[bytes, ...]:
        raise AccessDenied("no node of this cluster")

    with pytest.raises(NotReady, match="not in the cluster map"):
        via.read(_request(via.header(NOTE, SECRET, "GET", "/b/k?versionId=1")), keys_of, *HERE)


@pytest.mark.parametrize(("me", "now_s"), [("t2", 1030.0), ("t1", 1061.0), ("t1", 939.0)])
def test_a_note_is_for_one_node_and_one_minute(me: str, now_s: float) -> None:
    """Whoever hears a note can use it at no other node, and not later."""
    value = via.header(NOTE, SECRET, "GET", "/b/k?versionId=1")
    with pytest.raises(S3Error, match="for nodes"):
        via.read(_request(value), KEYS_OF, me, now_s)
