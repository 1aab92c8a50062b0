"""What is kept about an object: from request headers to facts, from facts to answer headers."""

import pytest

from ais.net.http import Headers, Network, Peer, Request
from ais.s3 import facts, front
from ais.s3.checksums import ALGORITHMS
from ais.s3.errors import S3Error
from ais.s3.front import S3Request


def _put(*items: tuple[str, str]) -> S3Request:
    return front.parse(Request("PUT", "/b/k", Headers(items), Peer("", Network.PUBLIC, "http")))


def test_content_headers_and_tags_survive() -> None:
    """All six content headers, without the transport's encoding; tags in one spelling."""
    request = _put(
        ("content-type", "text/plain"),
        ("content-encoding", "AWS-Chunked,gzip"),
        ("expires", "never"),
        ("x-amz-tagging", "b=2&a=x%20y"),
        ("user-agent", "any"),
    )
    kept = facts.of_request(request)
    assert kept == {
        "content-type": "text/plain",
        "content-encoding": "gzip",
        "expires": "never",
        "tagging": "b=2&a=x+y",
    }
    assert facts.tags_of(kept) == {"b": "2", "a": "x y"}
    assert dict(facts.answer_lines(kept, {"x-amz-meta-A": "1", "native": "2"})) == {
        "Content-Type": "text/plain",
        "Content-Encoding": "gzip",
        "Expires": "never",
        "x-amz-meta-a": "1",
        "x-amz-tagging-count": "2",
    }
    assert "content-encoding" not in facts.of_request(_put(("content-encoding", "aws-chunked")))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-amz-website-redirect-location", "other", "InvalidRedirectLocation"),
        ("x-amz-storage-class", "DEEP_ARCHIVE", "InvalidStorageClass"),
        ("x-amz-tagging", "a=1&a=2", "InvalidArgument"),
    ],
)
def test_what_we_do_not_have_is_refused(name: str, value: str, code: str) -> None:
    """Instead of being forgotten."""
    with pytest.raises(S3Error) as caught:
        facts.of_request(_put((name, value)))
    assert caught.value.code == code


def test_user_metadata_is_counted_without_the_prefix() -> None:
    """2 KiB of names and values; equal names are joined."""
    full = {"x-amz-meta-" + "n" * 48: "v" * 2000}
    assert facts.user_metadata(_put(*full.items())) == full
    assert facts.user_metadata(_put(("x-amz-meta-a", "1"), ("x-amz-meta-a", "2"))) == {"x-amz-meta-a": "1,2"}
    with pytest.raises(S3Error, match="exceed"):
        facts.user_metadata(_put(*full.items(), ("x-amz-meta-b", "")))
    for name, value in (("x-amz-meta-", "v"), ("x-amz-meta-a", "tab\there")):
        with pytest.raises(S3Error):
            facts.user_metadata(_put((name, value)))


def test_only_an_md5_looks_like_one() -> None:
    """Clients compare entity tags that look like an MD5 with that of what they have."""
    assert facts.etag_of({"etag": "given"}, "xxhash2", "aa", 1, 2) == "given"
    assert facts.etag_of({}, "md5", "d" * 32, 1, 2) == "d" * 32
    assert facts.etag_of({}, "xxhash2", "aa", 1, 2) == "aa-1"
    assert facts.etag_of({}, "none", "", 255, 2) == "ff2-1"


def test_a_checksum_of_the_content() -> None:
    """MD5 as entity tag, the other one with its algorithm and type."""
    kept = facts.of_content({"content-type": "x/y"}, b"\x01" * 16, ALGORITHMS["CRC32"], b"\0\0\0\1")
    assert kept["etag"] == "01" * 16
    assert dict(facts.checksum_lines(kept)) == {
        "x-amz-checksum-crc32": "AAAAAQ==",
        "x-amz-checksum-type": "FULL_OBJECT",
    }
    assert facts.with_tags(kept, {}) == kept
