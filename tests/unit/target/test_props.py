"""Object metadata in headers."""

import os
from pathlib import Path

import pytest

from ais.api.bucket import Bck, Namespace
from ais.base.errors import BadRequest
from ais.core.meta import ObjectMeta
from ais.core.spots import Known
from ais.target import props
from ais.target.props import ObjectFacts

META = ObjectMeta(5, "xxhash2", "0123456789abcdef", "3", {"k": "v", "ETag": "tag"})


def facts(meta: ObjectMeta = META, name: str = "dir/o1", bck: Bck = Bck("b")) -> ObjectFacts:
    """An object on a mountpath."""
    return ObjectFacts(
        bck, name, meta, 1_700_000_000_000_000_001, 1_600_000_000_500_000_000, "t[id]:mp[/mp1]", ("/mp1",)
    )


def parsed(block: bytes) -> list[tuple[str, str]]:
    """Header lines as pairs."""
    assert block.endswith(b"\r\n")
    return [tuple(line.split(": ", 1)) for line in block.decode()[:-2].split("\r\n")]  # type: ignore[misc]


def test_get_headers_tell_checksum_time_version_and_custom() -> None:
    """All of an object's attributes, custom metadata one line per key, ETag as given."""
    assert parsed(props.get_headers(META, 7)) == [
        ("Content-Type", "application/octet-stream"),
        ("Ais-Checksum-Type", "xxhash2"),
        ("Ais-Checksum-Value", "0123456789abcdef"),
        ("Ais-Atime", "7"),
        ("Ais-Version", "3"),
        ("Ais-Custom-Md", "k=v"),
        ("Ais-Custom-Md", "ETag=tag"),
        ("ETag", "tag"),
    ]


def test_remembered_headers_follow_the_access_time(tmp_path: Path) -> None:
    """They are formatted anew when the file was read at another time, and only then."""
    known = Known.of(os.stat(tmp_path), META)
    first = props.remembered_headers(known, 7)
    assert first == props.get_headers(META, 7)
    assert props.remembered_headers(known, 7) is first
    assert props.remembered_headers(known, 8) == props.get_headers(META, 8)


def test_the_usual_object_gets_the_same_headers() -> None:
    """The shortcut for objects without custom metadata writes what the general way writes."""
    plain = ObjectMeta(5, "xxhash2", "0123456789abcdef", "3")
    odd = ObjectMeta(5, "xxhash2", "0123456789abcdef", "3", {"k": "v"})
    assert props.put_headers(odd, 7) == props.put_headers(plain, 7) + b"Ais-Custom-Md: k=v\r\n"
    assert props.put_headers(ObjectMeta(5), 7) == b"Ais-Atime: 7\r\n"


def test_head_without_props_tells_everything() -> None:
    """Version 1 of HEAD: attributes, names, location, copies, presence."""
    told = parsed(props.head_headers_all(facts(bck=Bck("b", "ais", Namespace("", "ns")))))
    for pair in (
        ("Ais-Name", "dir/o1"),
        ("Ais-Bucket-Name", "b"),
        ("Ais-Bucket-Provider", "ais"),
        ("Ais-Bucket-Namespace-Name", "ns"),
        ("Ais-Location", "t[id]:mp[/mp1]"),
        ("Ais-Mirror-Copies", "1"),
        ("Ais-Mirror-Paths", "[/mp1]"),
        ("Ais-Present", "true"),
        ("Ais-Version", "3"),
        ("ETag", "tag"),
    ):
        assert pair in told


def test_head_with_props_tells_what_was_asked() -> None:
    """Version 2 of HEAD: presence always, the rest by name; ETag quoted."""
    assert parsed(props.head_headers(facts(), frozenset({"size"}))) == [("Ais-Present", "true")]
    assert parsed(props.head_headers(facts(), props.parse_props("etag,last-modified,atime,copies"))) == [
        ("Ais-Present", "true"),
        ("Ais-Atime", "1700000000000000001"),
        ("Last-Modified", "Sun, 13 Sep 2020 12:26:40 GMT"),
        ("ETag", '"tag"'),
        ("Ais-Mirror-Copies", "1"),
        ("Ais-Mirror-Paths", "/mp1"),
    ]


def test_unknown_props_are_refused() -> None:
    """The message is the one clients look for."""
    with pytest.raises(BadRequest, match='invalid property "color" in props list'):
        props.parse_props("size,color")


def test_control_characters_of_a_name_cannot_make_a_header() -> None:
    """A line break in an object name is percent-encoded in headers; other text is UTF-8."""
    told = parsed(props.head_headers_all(facts(name="a\r\nSet-Cookie: x/é")))
    assert ("Ais-Name", "a%0D%0ASet-Cookie: x/é") in told
    assert not any(name == "Set-Cookie" for name, _ in told)


def test_custom_metadata_from_headers() -> None:
    """Each header is one pair; a value may contain an equals sign."""
    assert props.parse_custom(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    for bad in (["novalue"], ["=v"], ["k=" + "v" * 3000]):
        with pytest.raises(BadRequest):
            props.parse_custom(bad)


def test_custom_metadata_must_fit_into_headers() -> None:
    """Line breaks and lone surrogates are refused where JSON could bring them in."""
    props.check_custom_text({"k": "naïve text"})
    for bad in ({"k": "a\nb"}, {"a=b": "v"}, {"k": "\udc80"}, {"": "v"}):
        with pytest.raises(BadRequest):
            props.check_custom_text(bad)


def test_a_checksum_claim_is_kind_and_value() -> None:
    """Both or nothing; unknown kinds are refused; hex in any case."""
    assert props.parse_claim("md5", "ABCD") == ("md5", "abcd")
    assert props.parse_claim(None, None) is None
    assert props.parse_claim("none", "") is None
    for kind, value in ((None, "abcd"), ("sha1", "abcd")):
        with pytest.raises(BadRequest):
            props.parse_claim(kind, value)
