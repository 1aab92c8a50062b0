"""Tagging, CORS and lifecycle documents, and conditional headers."""

import pytest

from ais.s3 import conditions, cors, lifecycle, tagging
from ais.s3.errors import S3Error

DAY_S = 86400


def _code(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(S3Error) as caught:
        call(*arguments)
    return caught.value.code


def test_tags_survive() -> None:
    """Document and header forms give the same tags."""
    tags = {"team": "a b", "k+": "v=1"}
    assert tagging.parse_document(tagging.document(tags), 10) == tags
    assert tagging.parse_header("team=a%20b&k%2B=v%3D1") == tags
    assert tagging.parse_header("") == {}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("a=1&a=2", "InvalidArgument"),
        ("aws:x=1", "InvalidTag"),
        ("=1", "InvalidTag"),
        ("k" * 129 + "=1", "InvalidTag"),
        ("k=" + "v" * 257, "InvalidTag"),
        ("k=%00", "InvalidTag"),
        ("&".join(f"k{n}=v" for n in range(11)), "BadRequest"),
        ("novalue", "InvalidArgument"),
    ],
)
def test_bad_tags(header: str, code: str) -> None:
    """Each rule of tags has its code."""
    assert _code(tagging.parse_header, header) == code


CORS = b"""<CORSConfiguration><CORSRule><AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedMethod>GET</AllowedMethod>
<AllowedHeader>x-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>
<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>HEAD</AllowedMethod></CORSRule></CORSConfiguration>"""


def test_cors() -> None:
    """The first rule that fits origin, method and headers answers."""
    rules = cors.parse_document(CORS)
    assert cors.parse_document(cors.document(rules)) == rules
    answer = cors.answer(rules, "https://a.example.com", "GET", ["X-Custom"])
    assert answer is not None
    assert answer["Access-Control-Allow-Origin"] == "https://a.example.com"
    assert answer["Access-Control-Allow-Headers"] == "X-Custom"
    assert answer["Access-Control-Max-Age"] == "60"
    wild = cors.answer(rules, "http://other", "HEAD")
    assert wild is not None
    assert wild["Access-Control-Allow-Origin"] == "*"
    assert cors.answer(rules, "http://other", "GET") is None
    assert cors.answer(rules, "https://a.example.com", "GET", ["Other"]) is None


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b">GET<", b">PATCH<", "InvalidRequest"),
        (b"https://*.", b"*://*.", "InvalidRequest"),
        (b"MaxAgeSeconds", b"Unknown", "MalformedXML"),
        (b">60<", b">x<", "MalformedXML"),
    ],
)
def test_bad_cors(old: bytes, new: bytes, code: str) -> None:
    """Unsupported methods, two wildcards and unknown elements are refused."""
    assert _code(cors.parse_document, CORS.replace(old, new)) == code


LIFECYCLE = b"""<LifecycleConfiguration>
<Rule><ID>logs</ID><Filter><And><Prefix>logs/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag>
<ObjectSizeGreaterThan>10</ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>
<Rule><ID>old</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>
<NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>
<AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
<Rule><ID>date</ID><Filter><Prefix>d/</Prefix></Filter><Status>Enabled</Status><Expiration><Date>1970-01-10T00:00:00Z</Date></Expiration></Rule>
</LifecycleConfiguration>"""


def test_lifecycle_decisions() -> None:
    """Days round up to midnight; filters are all of prefix, tags and size; newer noncurrent versions are kept."""
    rules = lifecycle.parse_document(LIFECYCLE)
    assert lifecycle.parse_document(lifecycle.document(rules)) == rules
    subject = lifecycle.Subject("logs/a", 11, 0.5 * DAY_S, {"k": "v"})
    assert not lifecycle.is_expired(rules, subject, 2 * DAY_S - 1)
    assert lifecycle.is_expired(rules, subject, 2 * DAY_S)
    for other in (subject._replace(name="x"), subject._replace(size_bytes=10), subject._replace(tags={})):
        assert not lifecycle.is_expired(rules, other, 9 * DAY_S)
    assert lifecycle.is_expired(rules, subject._replace(name="d/x"), 9 * DAY_S)
    assert lifecycle.is_noncurrent_expired(rules, subject, 0, 1, 3 * DAY_S)
    assert not lifecycle.is_noncurrent_expired(rules, subject, 0, 0, 3 * DAY_S)
    assert not lifecycle.is_noncurrent_expired(rules, subject, 0, 1, 3 * DAY_S - 1)
    assert lifecycle.is_upload_expired(rules, "any", 0, 4 * DAY_S)
    assert not lifecycle.is_upload_expired(rules, "any", 0, 4 * DAY_S - 1)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"<Days>1</Days>", b"<Days>0</Days>", "InvalidArgument"),
        (b"<Days>1</Days>", b"<Days>x</Days>", "MalformedXML"),
        (b"<Days>1</Days>", b"<Days>1</Days><Date>2026-01-01T00:00:00Z</Date>", "MalformedXML"),
        (b"1970-01-10T00", b"1970-01-10T07", "InvalidArgument"),
        (b"<ID>old</ID>", b"<ID>logs</ID>", "InvalidArgument"),
        (b">Enabled<", b">On<", "MalformedXML"),
        (b"<Expiration><Days>1</Days></Expiration>", b"<Transition/>", "NotImplemented"),
        (b"<Expiration><Days>1</Days></Expiration>", b"", "InvalidRequest"),
    ],
)
def test_bad_lifecycle(old: bytes, new: bytes, code: str) -> None:
    """Each rule of lifecycle documents has its code."""
    assert _code(lifecycle.parse_document, LIFECYCLE.replace(old, new)) == code


NOW = conditions.Current("abc", 1_700_000_000.7)
SAME, BEFORE, AFTER = (conditions.http_date(NOW.modified_s + delta) for delta in (0, -10, 10))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"if-match": '"abc"'}, None),
        ({"if-match": '"x", "abc"'}, None),
        ({"if-match": '"x"'}, "PreconditionFailed"),
        ({"if-none-match": '"abc"'}, "NotModified"),
        ({"if-none-match": "*"}, "NotModified"),
        ({"if-none-match": '"x"'}, None),
        ({"if-modified-since": SAME}, "NotModified"),
        ({"if-modified-since": BEFORE}, None),
        ({"if-unmodified-since": BEFORE}, "PreconditionFailed"),
        ({"if-unmodified-since": SAME}, None),
        ({"if-match": '"abc"', "if-unmodified-since": BEFORE}, None),
        ({"if-none-match": '"x"', "if-modified-since": AFTER}, None),
        ({"if-modified-since": "nonsense"}, None),
    ],
)
def test_reads(headers: dict[str, str], code: str | None) -> None:
    """RFC 9110's order: entity tags win over dates; an unreadable date is no condition."""
    read = conditions.read(headers)
    if code is None:
        conditions.check_read(read, NOW)
    else:
        assert _code(conditions.check_read, read, NOW) == code


def test_writes() -> None:
    """Create-only and compare-and-swap."""
    create = conditions.read({"if-none-match": "*"})
    conditions.check_write(create, None)
    assert _code(conditions.check_write, create, NOW) == "PreconditionFailed"
    swap = conditions.read({"if-match": '"abc"'})
    conditions.check_write(swap, NOW)
    assert _code(conditions.check_write, swap, None) == "NoSuchKey"
    assert _code(conditions.check_write, swap, NOW._replace(etag="x")) == "PreconditionFailed"
    never = {"if-none-match": '"x"', "if-modified-since": "no date", "if-unmodified-since": conditions.http_date(0)}
    for name, value in never.items():
        assert _code(conditions.of_write, {name: value}) == "NotImplemented"
        assert _code(conditions.read_delete, {name: value}) == "NotImplemented"


def test_copy_sources() -> None:
    """A copy has no 304: what does not hold is 412."""
    read = conditions.read({"x-amz-copy-source-if-none-match": '"abc"'}, "x-amz-copy-source-")
    assert _code(conditions.check_copy_source, read, NOW) == "PreconditionFailed"
