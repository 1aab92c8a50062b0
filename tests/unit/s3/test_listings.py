"""Parameters, tokens and documents of listings."""

from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.api.listing import Entry, EntryFlag
from ais.s3 import listings, xml
from ais.s3.errors import S3Error
from ais.s3.listings import Page, Query


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_tokens_come_back(after: str) -> None:
    """Whatever the name a page ended with."""
    token = listings.encode_token("listLIST1", after)
    assert listings.decode_token(token) == ("listLIST1", after)
    assert after not in token or len(after) < 3


@given(st.text(max_size=40) | st.binary(max_size=60).map(lambda raw: raw.hex()))
def test_what_we_did_not_make_is_no_token(text: str) -> None:
    """Anything else is refused in S3's words."""
    with pytest.raises(S3Error, match="The continuation token provided is incorrect") as caught:
        listings.decode_token(text)
    assert caught.value.code == "InvalidArgument"


def test_a_changed_token_is_refused() -> None:
    """One character is enough."""
    token = listings.encode_token("listLIST1", "some/key")
    for at in range(len(token)):
        with pytest.raises(S3Error):
            listings.decode_token(token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :])


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_encoded_keys_decode_as_clients_do(key: str) -> None:
    """A form's encoding, with slashes left; no character is left that XML cannot hold."""
    encoded = Query("", "", 1, "url").encode(key)
    assert unquote_plus(encoded) == key
    assert encoded.isprintable()
    assert Query("", "", 1).encode(key) == key


def test_encoding_is_amazons() -> None:
    """Space is a plus, tilde is encoded, star and slash are not."""
    assert Query("", "", 1, "url").encode("a b+c~d*e/f|é") == "a+b%2Bc%7Ed*e/f%7C%C3%A9"


@pytest.mark.parametrize(
    ("text", "limit"),
    [("", 1000), ("0", 0), ("-0", 0), ("05", 5), ("1000", 1000), ("1001", 1000), ("2147483647", 1000)],
)
def test_limits(text: str, limit: int) -> None:
    """Numbers as they are up to 1000, which is also the default."""
    assert listings.read_query({"max-keys": text}).limit == limit


@pytest.mark.parametrize(
    ("text", "argument", "value"),
    [
        ("x", "max-keys", "x"),
        (" 5", "max-keys", " 5"),
        ("1.0", "max-keys", "1.0"),
        ("2147483648", "max-keys", "2147483648"),
        ("-2147483649", "max-keys", "-2147483649"),
        ("9" * 30, "max-keys", "9" * 30),
        ("-01", "maxKeys", "-1"),
        ("-2147483648", "maxKeys", "-2147483648"),
    ],
)
def test_wrong_limits(text: str, argument: str, value: str) -> None:
    """What is no 32-bit integer, and what is negative: two messages."""
    with pytest.raises(S3Error) as caught:
        listings.read_query({"max-keys": text})
    assert caught.value.code == "InvalidArgument"
    assert caught.value.details == {"ArgumentName": argument, "ArgumentValue": value}


def test_versions_and_markers() -> None:
    """Versions and delete markers in one order, prefixes behind them; the next page begins behind the last version."""
    entries = [
        Entry("a~\0001", v="v2", s=3, e="abc", i=1_500_000_000, f=int(EntryFlag.LATEST), k="CRC32", y="FULL_OBJECT"),
        Entry("a~\0002", v="v1", f=int(EntryFlag.DELETE_MARKER)),
        Entry("b/", f=int(EntryFlag.IS_DIR)),
        Entry("c\0001", s=1, e="def", i=1),
    ]
    query = Query("", "/", 4, "url")
    root = xml.parse(listings.versions("b", "ann", query, "k~", "v9", Page(entries, True)), "ListVersionsResult")
    assert [one.tag for one in root] == [
        *("Name", "Prefix", "KeyMarker", "VersionIdMarker", "NextKeyMarker", "NextVersionIdMarker"),
        *("MaxKeys", "Delimiter", "EncodingType", "IsTruncated", "Version", "DeleteMarker", "Version"),
        "CommonPrefixes",
    ]
    texts = [root.findtext(name) for name in ("KeyMarker", "VersionIdMarker", "NextKeyMarker", "NextVersionIdMarker")]
    assert texts == ["k%7E", "v9", "c", "null"]
    first, marker = root.findall("Version")[0], root.find("DeleteMarker")
    assert {one.tag: one.text for one in first if one.tag != "Owner"} == {
        "Key": "a%7E",
        "VersionId": "v2",
        "IsLatest": "true",
        "LastModified": "1970-01-01T00:00:01.500Z",
        "ETag": '"abc"',
        "ChecksumAlgorithm": "CRC32",
        "ChecksumType": "FULL_OBJECT",
        "Size": "3",
        "StorageClass": "STANDARD",
    }
    assert marker is not None
    assert [one.tag for one in marker] == ["Key", "VersionId", "IsLatest", "LastModified", "Owner"]
    until_prefix = listings.versions("b", "", query, "", "", Page(entries[:3], True))
    root = xml.parse(until_prefix, "ListVersionsResult")
    assert (root.findtext("NextKeyMarker"), root.find("NextVersionIdMarker")) == ("b/", None)


def test_keys_without_encoding_are_written_as_s3_does() -> None:
    """Markup escaped, control characters as references."""
    page = Page([Entry("<a>&\x01é", e="x")], False)
    body = listings.objects("b", "", Query("", "", 1000), "", page)
    assert "<Key>&lt;a&gt;&amp;&#1;é</Key>" in body.decode()
