"""What S3 operations need of a token: all that they do, and have done later."""

import pytest

from ais.api.access import Access
from ais.net.http import Headers, Network, Peer, Request
from ais.s3 import front, permissions

PEER = Peer("127.0.0.1:1", Network.PUBLIC, "http")


@pytest.mark.parametrize(
    ("method", "target", "needed"),
    [
        ("PUT", "/b/k", Access.PUT),
        ("PUT", "/b/k?ais-replica=", Access.PUT),
        ("POST", "/b/k?ais-replica=", Access.PUT),
        ("DELETE", "/b/k?ais-replica=", Access.DELETE_OBJECT),
        ("PUT", "/b?lifecycle=", Access.PATCH | Access.DELETE_OBJECT),
        ("PUT", "/b?replication=", Access.PATCH | Access.GET),
        ("GET", "/b?replication=", Access.HEAD_BUCKET),
        ("PUT", "/b?tagging=", Access.PATCH),
        ("PUT", "/b?policy=", Access.SET_BUCKET_ACL),
    ],
)
def test_rights(method: str, target: str, needed: Access) -> None:
    """Whoever may set properties alone writes, reads and deletes no objects by them."""
    asked = front.parse(Request(method, target, Headers((("host", "h"),)), PEER))
    assert permissions.of_buckets(asked) == [(needed, "b")]
