"""Signatures: botocore signs, we verify; whatever was changed afterwards no longer verifies."""

import calendar
import time
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ais.auth import signing
from ais.s3 import sigv4
from ais.s3.errors import S3Error

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
URLS = [
    "http://h:8080/s3/b/k",
    "http://h/b/a%20b%2Bc/%E6%97%A5",
    "http://h/b?list-type=2&prefix=a%2Fb&delimiter=%2F&empty=",
    "http://h/b/k?uploads",
    "http://h/b//x/../y",
    "http://h/b/~tilde",
]


def _headers(request: AWSRequest) -> dict[str, list[str]]:
    headers = {name.lower(): [value] for name, value in request.headers.items()}
    headers.setdefault("host", [urlsplit(request.url).netloc])
    return headers


def _signed(url: str, method: str = "GET") -> AWSRequest:
    request = AWSRequest(
        method, url, headers={"x-amz-meta-k": "  two   spaces ", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    )
    request.context["payload_signing_enabled"] = False
    S3SigV4Auth(Credentials("AKID", SECRET), "s3", "us-east-1").add_auth(request)
    return request


def _verify(request: AWSRequest, secret: str = SECRET, **changed: str) -> sigv4.Signed:
    parts = urlsplit(request.url)
    headers = _headers(request)
    signature = sigv4.read_signature(headers, dict(parse_qsl(parts.query, keep_blank_values=True)))
    assert signature is not None
    given = {
        "method": request.method,
        "path": parts.path,
        "query": parts.query,
        "payload_hash": headers.get("x-amz-content-sha256", ["UNSIGNED-PAYLOAD"])[0],
        **changed,
    }
    return sigv4.verify(signature, secret, headers=headers, **given)


@pytest.mark.parametrize("url", URLS)
def test_header_signature(url: str) -> None:
    """What botocore signs verifies, whatever the path and query hold."""
    assert _verify(_signed(url)).key


@pytest.mark.parametrize("url", URLS)
def test_presigned(url: str) -> None:
    """A presigned URL verifies."""
    request = AWSRequest("GET", url)
    S3SigV4QueryAuth(Credentials("AKID", SECRET), "s3", "us-east-1", expires=60).add_auth(request)
    assert _verify(request).key


@pytest.mark.parametrize(
    "changed", [{"method": "PUT"}, {"path": "/b/other"}, {"query": "x=1"}, {"payload_hash": "0" * 64}]
)
def test_any_change_breaks_it(changed: dict[str, str]) -> None:
    """Method, path, query and payload hash are all covered."""
    with pytest.raises(S3Error) as caught:
        _verify(_signed("http://h/b/k"), **changed)
    assert caught.value.code == "SignatureDoesNotMatch"


def test_changed_header_and_wrong_secret() -> None:
    """A signed header that was changed, and another secret, do not verify."""
    request = _signed("http://h/b/k")
    request.headers.replace_header("x-amz-meta-k", "other")
    for one, secret in ((request, SECRET), (_signed("http://h/b/k"), "wrong")):
        with pytest.raises(S3Error, match="does not match"):
            _verify(one, secret)


def test_unsigned_amz_header_is_refused() -> None:
    """A header that changes what is done must be signed."""
    request = _signed("http://h/b/k", "PUT")
    request.headers["x-amz-acl"] = "public-read"
    headers = _headers(request)
    signature = sigv4.read_signature(headers, {})
    assert signature is not None
    with pytest.raises(S3Error, match="x-amz-acl"):
        sigv4.check_headers(signature, headers)


def test_signed_header_that_was_not_sent_is_refused() -> None:
    """It does not count as an empty one."""
    signature = sigv4.Signature("AKID", "20260101", "us-east-1", "20260101T000000Z", ("host", "x-amz-acl"), "", None)
    with pytest.raises(S3Error, match="x-amz-acl"):
        sigv4.check_headers(signature, ["host"])


@pytest.mark.parametrize("value", ["/b/a\u00a0b", "/b/a\x0bb", "/b/a\u2003b"])
def test_only_blanks_are_folded(value: str) -> None:
    """Another blank of Unicode is another key: it is not what was signed."""
    assert signing._canonical_value(["/b/a b"]) == signing._canonical_value([" /b/a  \t b "]) == "/b/a b"
    assert signing._canonical_value([value]) != "/b/a b"


def _at(timestamp: str, expires_s: int | None = None) -> sigv4.Signature:
    return sigv4.Signature("AKID", timestamp[:8], "us-east-1", timestamp, ("host",), "", expires_s)


@pytest.mark.parametrize(
    ("expires_s", "age_s", "code"),
    [
        (None, 0, None),
        (None, 899, None),
        (None, -899, None),
        (None, 901, "RequestTimeTooSkewed"),
        (None, -901, "RequestTimeTooSkewed"),
        (60, 59, None),
        (60, 61, "AccessDenied"),
        (60, -901, "AccessDenied"),
    ],
)
def test_time_window(expires_s: int | None, age_s: int, code: str | None) -> None:
    """Fifteen minutes of skew; a presigned URL until it expires."""
    timestamp = "20260102T030405Z"
    now_s = calendar.timegm(time.strptime(timestamp, "%Y%m%dT%H%M%SZ")) + age_s
    if code is None:
        sigv4.check_time(_at(timestamp, expires_s), now_s)
    else:
        with pytest.raises(S3Error) as caught:
            sigv4.check_time(_at(timestamp, expires_s), now_s)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("AWS AKID:sig", "InvalidRequest"),
        ("AWS4-HMAC-SHA256 Credential=a", "AuthorizationHeaderMalformed"),
        (
            "AWS4-HMAC-SHA256 Credential=AK/2026/r/s3/aws4_request,SignedHeaders=host,Signature=x",
            "AuthorizationHeaderMalformed",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AK/20260101/r/ec2/aws4_request,SignedHeaders=host,Signature=x",
            "AuthorizationHeaderMalformed",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AK/20260103/r/s3/aws4_request,SignedHeaders=host,Signature=x",
            "AuthorizationHeaderMalformed",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AK/20260102/r/s3/aws4_request,SignedHeaders=date,Signature=x",
            "AuthorizationHeaderMalformed",
        ),
    ],
)
def test_malformed_authorization(authorization: str, code: str) -> None:
    """Each way of getting the header wrong has its exact code."""
    with pytest.raises(S3Error) as caught:
        sigv4.read_signature({"authorization": [authorization], "x-amz-date": ["20260102T030405Z"]}, {})
    assert caught.value.code == code


def test_anonymous() -> None:
    """No signature at all is not an error here; whether it may do anything is decided elsewhere."""
    assert sigv4.read_signature({}, {"prefix": "x"}) is None


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "x", "", "٣"])
def test_presigned_expiry_range(expires: str) -> None:
    """One second to seven days."""
    params = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": "AK/20260102/r/s3/aws4_request",
        "X-Amz-Date": "20260102T030405Z",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "x",
        "X-Amz-Expires": expires,
    }
    with pytest.raises(S3Error, match="X-Amz-Expires"):
        sigv4.read_signature({}, params)
