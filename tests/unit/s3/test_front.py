"""Which requests are S3's, what they address, and who may do what."""

import time
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ais.auth import keys
from ais.net.http import Headers, Network, Peer, Request
from ais.s3 import front, identity, policy
from ais.s3.errors import S3Error
from ais.s3.operations import Op
from ais.s3.principals import Principals

PEER = Peer("10.0.0.7:5000", Network.PUBLIC, "http")
SECRET = keys.new_secret()


def _request(method: str, target: str, **headers: str) -> Request:
    items = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Request(method, target, Headers(items), PEER)


@pytest.mark.parametrize(
    ("target", "headers", "expected"),
    [
        ("/s3", {}, True),
        ("/s3/b/k", {}, True),
        ("/b/k", {}, True),
        ("/", {}, False),
        ("/", {"authorization": "AWS4-HMAC-SHA256 x"}, True),
        ("/?X-Amz-Signature=x", {}, True),
        ("/", {"x_amz_date": "x"}, True),
        ("/", {"amz_sdk_request": "attempt=1"}, True),
        ("/v1/buckets/b", {}, False),
        ("/v1/objects/b/o", {"x_amz_date": "x"}, False),
        ("/ais/b/o", {}, False),
        ("/metrics", {}, False),
        ("/metrics2/k", {}, True),
        ("/v1", {"host": "b.s3.local:8080"}, True),
    ],
)
def test_is_s3(target: str, headers: dict[str, str], expected: bool) -> None:
    """Native names win, everything else at the root is S3, `/s3` always is."""
    request = _request("GET", target, **headers)
    assert front.is_s3(request, "s3.local") is expected
    if front.is_s3_by_path(request.path):
        for domain in ("", "s3.local", "h"):
            assert front.is_s3(_request("GET", target), domain)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *(
            (path, True)
            for path in ("/b/k", "/b", "/b/", "/s3", "/s3/b/k", "/v1b/k", "/v11", "/%76%31/k", "/V1/objects/b/o")
        ),
        *(
            (path, False)
            for path in ("/", "//k", "/v1", "/v1/", "/v1/objects/b/o", "/ais/b/o", "/gs/b", "/metrics", "*")
        ),
    ],
)
def test_what_is_s3_by_its_path_alone(path: str, expected: bool) -> None:
    """What begins as native paths do, or with nothing, is not told by the path."""
    assert front.is_s3_by_path(path) is expected


@pytest.mark.parametrize(
    ("target", "host", "bucket", "key"),
    [
        ("/s3/b/k", "h", "b", "k"),
        ("/s3/b", "h", "b", ""),
        ("/b/a%20b%2Fc//d/", "h", "b", "a b/c//d/"),
        ("/b/+", "h", "b", "+"),
        ("/s3", "h", "", ""),
        ("/k/x", "b.s3.local:80", "b", "k/x"),
    ],
)
def test_address(target: str, host: str, bucket: str, key: str) -> None:
    """Path and virtual-host style; keys keep every slash and plus."""
    request = _request("GET", target, host=host)
    parsed = front.parse(request, "s3.local")
    assert (parsed.bucket, parsed.key) == (bucket, key)


@pytest.mark.parametrize(
    ("target", "code"),
    [("/b/" + "k" * 1025, "KeyTooLongError"), ("/b/%00", "InvalidURI"), ("/b/k?torrent", "NotImplemented")],
)
def test_refused_heads(target: str, code: str) -> None:
    """What cannot be a key, and what we do not serve."""
    with pytest.raises(S3Error) as caught:
        front.parse(_request("GET", target))
    assert caught.value.code == code


def _signed(key_id: str, secret: str, method: str = "GET", target: str = "/s3/b/k") -> front.S3Request:
    request = AWSRequest(method, "http://h:1" + target)
    S3SigV4Auth(Credentials(key_id, secret), "s3", "us-east-1").add_auth(request)
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": urlsplit(request.url).netloc}
    return front.parse(Request(method, target, Headers(tuple(headers.items())), PEER))


def _authenticate(request: front.S3Request, all_keys: keys.AccessKeys, required: bool = True) -> identity.Identity:
    return identity.authenticate(
        request, keys.KeyRing(all_keys, (SECRET,)), Principals(all_keys.iam), required=required, now_s=time.time()
    )


def test_authentication() -> None:
    """A known key signs as its user; wrong, unknown and disabled keys do not; without auth anything goes."""
    key, plain = keys.new_key("ann", SECRET, 0)
    known = keys.AccessKeys().with_key(key)
    assert _authenticate(_signed(key.id, plain), known).user == "ann"
    for request, all_keys, code in (
        (_signed(key.id, "wrong"), known, "SignatureDoesNotMatch"),
        (_signed("nobody", plain), known, "InvalidAccessKeyId"),
        (_signed(key.id, plain), known.with_disabled(key.id, True), "InvalidAccessKeyId"),
    ):
        with pytest.raises(S3Error) as caught:
            _authenticate(request, all_keys)
        assert caught.value.code == code
    assert _authenticate(_signed("nobody", "x"), known, required=False).trusted
    assert _authenticate(front.parse(_request("GET", "/b/k")), known) == identity.Identity()


def test_authorization() -> None:
    """Owner may, others need an Allow, a Deny beats both, and blocked public policies do not count."""
    allow = policy.parse(
        b'{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}}', "b"
    )
    deny = policy.parse(
        b'{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}}', "b"
    )

    def may(user: str | None, rights: identity.Rights, trusted: bool = False, is_admin: bool = False) -> bool:
        caller = identity.Identity(user, trusted=trusted, is_admin=is_admin)
        try:
            identity.authorize(caller, rights, "s3:GetObject", "b", "k", {})
        except S3Error as error:
            return error.code != "AccessDenied"
        return True

    assert may("ann", identity.Rights("ann"))
    assert not may("bob", identity.Rights("ann"))
    assert not may("bob", identity.Rights(""))
    assert may("root", identity.Rights(""), is_admin=True)
    assert not may("root", identity.Rights("ann"), is_admin=True)
    assert not may(None, identity.Rights(""))
    assert may(None, identity.Rights("ann", allow))
    assert not may(None, identity.Rights("ann", allow, restrict_public=True))
    assert not may("ann", identity.Rights("ann", (*allow, *deny)))
    assert may(None, identity.Rights("ann", deny), trusted=True)


def test_condition_context() -> None:
    """Source address, transport, query and headers reach the policy."""
    request = front.parse(
        _request("GET", "/b?list-type=2&prefix=a/&max-keys=3", x_amz_request_payer="requester", user_agent="curl")
    )
    context = identity.condition_context(request, identity.Identity("ann"), {"Team": "x"}, 0)
    assert request.op is Op.LIST_OBJECTS_V2
    assert context.items() >= {
        ("aws:sourceip", "10.0.0.7"),
        ("aws:securetransport", "false"),
        ("aws:username", "ann"),
        ("aws:useragent", "curl"),
        ("s3:prefix", "a/"),
        ("s3:max-keys", "3"),
        ("s3:x-amz-request-payer", "requester"),
        ("s3:existingobjecttag/team", "x"),
    }


@pytest.mark.parametrize(
    ("method", "target", "header", "key", "expected"),
    [
        ("PUT", "/b/k", ("x_amz_acl", "private"), "s3:x-amz-acl", "private"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", ("x_amz_acl", "private"), "s3:x-amz-acl", "private"),
        ("PUT", "/b/k?acl", ("x_amz_acl", "private"), "s3:x-amz-acl", "private"),
        ("PUT", "/b?acl", ("x_amz_grant_read", "id=x"), "s3:x-amz-grant-read", "id=x"),
        ("GET", "/b/k", ("x_amz_acl", "private"), "s3:x-amz-acl", None),
        ("DELETE", "/b/k", ("x_amz_storage_class", "STANDARD"), "s3:x-amz-storage-class", None),
        ("PUT", "/b/k", ("x_amz_object_lock_mode", "GOVERNANCE"), "s3:object-lock-mode", "GOVERNANCE"),
        ("PUT", "/b/k?retention", ("x_amz_object_lock_mode", "GOVERNANCE"), "s3:object-lock-mode", None),
        ("PUT", "/b/k?legal-hold", ("x_amz_object_lock_legal_hold", "ON"), "s3:object-lock-legal-hold", None),
        *(
            ("PUT", "/b/k", ("x_amz_copy_source", source), "s3:x-amz-copy-source", ["src/a b", "/src/a b"])
            for source in ("src/a%20b", "/src/a b", "%73rc%2F%61%20b", "src/a b?versionId=null")
        ),
    ],
)
def test_only_what_is_heeded_is_said(
    method: str, target: str, header: tuple[str, str], key: str, expected: str | list[str] | None
) -> None:
    """Policies do not ask for a header that an operation has no use for; a source is the same however it is written."""
    request = front.parse(_request(method, target, **dict([header])))
    assert identity.condition_context(request, identity.Identity("ann"), {}, 0).get(key) == expected


@pytest.mark.parametrize("name", ["x-amz-copy-source", "x-amz-acl", "range", "content-md5"])
def test_repeated_headers_are_refused(name: str) -> None:
    """Joined for the signature, one alone would be used: a signed copy would take another source."""
    peer = Peer("127.0.0.1:1", Network.PUBLIC, "http")
    headers = Headers((("host", "h"), (name, "/b/a"), (name, "b")))
    with pytest.raises(S3Error) as caught:
        front.parse(Request("PUT", "/b/k", headers, peer))
    assert caught.value.code == "InvalidRequest"


@pytest.mark.parametrize("query", ["X-Amz-Nonsense=1", "x-amz-nonsense=1", "X-AMZ-ACL=nonsense"])
def test_parameters_are_headers(query: str) -> None:
    """What a presigner moved to the URL is honoured or refused as the header would be."""
    peer = Peer("127.0.0.1:1", Network.PUBLIC, "http")
    with pytest.raises(S3Error):
        front.parse(Request("PUT", f"/b/k?{query}", Headers((("host", "h"),)), peer))
