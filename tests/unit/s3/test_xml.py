"""XML in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.base import bounds
from ais.s3 import xml
from ais.s3.errors import S3Error, encode

BILLION_LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">
<!ENTITY lol2 "&lol;&lol;&lol;&lol;">]><Delete><Object><Key>&lol2;</Key></Object></Delete>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete>",
        b"not xml",
        b"<Other/>",
        BILLION_LAUGHS,
        b"\xff\xfe",
        b'<?xml version="1.0" encoding="nope"?><Delete/>',
    ],
)
def test_malformed(body: bytes) -> None:
    """What is not the expected document is MalformedXML, entities and DTDs included."""
    with pytest.raises(S3Error) as caught:
        xml.parse(body, "Delete")
    assert caught.value.code == "MalformedXML"


def test_too_deep_or_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the levels and tags of the process, a document is refused before it is a tree."""
    monkeypatch.setattr(bounds, "_current", bounds.Bounds(xml_depth=3, xml_tags=8))
    assert xml.parse(b"<Delete><a><b/></a></Delete>", "Delete").tag == "Delete"
    for inner in (b"<a><b><c/></b></a>", b"<a/>" * 7):
        with pytest.raises(S3Error) as caught:
            xml.parse(b"<Delete>" + inner + b"</Delete>", "Delete")
        assert caught.value.code == "MalformedXML"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x7f￾￿", min_codepoint=32)))
def test_text_survives(content: str) -> None:
    """Any text comes back as it went, namespace or not."""
    parsed = xml.parse(xml.document("Root", [("A", [("B", content), ("C", 7), ("D", True)])]), "Root")
    inner = parsed.find("A")
    assert inner is not None
    assert [xml.text(inner, name) for name in "BCD"] == [content, "7", "true"]


def test_error_body() -> None:
    """Markup in names is escaped, details become elements."""
    body = encode(S3Error("NoSuchKey", Key="a<b"), "/b/a<b", "RID")
    parsed = xml.parse(body, "Error")
    assert [child.tag for child in parsed] == ["Code", "Message", "Key", "Resource", "RequestId"]
    assert xml.text(parsed, "Key") == "a<b"


def test_attributes() -> None:
    """An element with more attributes than any document has is refused before it is parsed; a key that looks like
    attributes is none."""
    many = b" ".join(b'a%d="x"' % number for number in range(xml.ATTRIBUTES_MAX + 1))
    with pytest.raises(S3Error, match="too many attributes"):
        xml.parse(b"<Delete " + many + b"/>", "Delete")
    key = b'="' * 512
    found = xml.parse(b"<Delete>" + b"<Key>" + key + b"</Key>" + b"</Delete>", "Delete")
    assert xml.text(found, "Key") == key.decode()
