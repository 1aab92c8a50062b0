"""XML in and out: in by defusedxml, so that entities and external references are refused; out from a tree of tuples."""

import re
from collections.abc import Iterable
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import XMLParser, fromstring

from ais.base import bounds
from ais.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_MARKED = re.compile(r'[&<>"\x00-\x1f]')
"""What cannot stand in a text as it is."""
ATTRIBUTES_MAX = 1024
"""Of one element, with what looks like some in its text, which may be a key. Expat takes 5 us for each, in one go."""
_ATTRIBUTE = re.compile(rb"=[ \t\r\n]*[\"']")


class Markup(str):
    """Elements that are written already."""

    __slots__ = ()


Node = tuple[str, "str | int | bool | Iterable[Node]"] | Markup


class _ShallowBuilder(TreeBuilder):
    """Refuses elements within elements that no document of S3 has."""

    def __init__(self, depth_max: int) -> None:
        super().__init__()
        self._depth, self._depth_max = 0, depth_max

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        if self._depth > self._depth_max:
            raise ValueError("too deep")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def parse(body: bytes, root: str) -> Element:
    """The document element, namespace prefixes removed. Raise `S3Error` MalformedXML unless it is a `root`."""
    bound = bounds.current()
    if body.count(b"<") > bound.xml_tags:
        raise S3Error("MalformedXML", "The document has too many elements")
    segments = body.split(b"<")  # a tag each, and the text behind it
    if any(one.count(b"=") > ATTRIBUTES_MAX and len(_ATTRIBUTE.findall(one)) > ATTRIBUTES_MAX for one in segments):
        raise S3Error("MalformedXML", "An element has too many attributes")
    try:
        parser = XMLParser(target=_ShallowBuilder(bound.xml_depth), forbid_dtd=True)
        parser.feed(body)
        element: Element = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise S3Error("MalformedXML") from None
    for one in element.iter():
        one.tag = one.tag.rpartition("}")[2]
    if element.tag != root:
        raise S3Error("MalformedXML", f"The document must be a <{root}>")
    return element


def text(element: Element, name: str, default: str | None = None) -> str:
    """Text of a child. Raise `S3Error` MalformedXML when it is missing and there is no default."""
    child = element.find(name)
    if child is None:
        if default is None:
            raise S3Error("MalformedXML", f"<{element.tag}> lacks a <{name}>")
        return default
    return child.text or ""


def optional(element: Element, name: str) -> str | None:
    """Text of a child; None when there is no such child."""
    child = element.find(name)
    return None if child is None else child.text or ""


def only_children(element: Element, *names: str) -> None:
    """Raise `S3Error` MalformedXML for a child that S3 does not define here."""
    for child in element:
        if child.tag not in names:
            raise S3Error("MalformedXML", f"<{child.tag}> is not expected in <{element.tag}>")


def document(root: str, children: Iterable[Node], namespace: str = NAMESPACE) -> bytes:
    """An XML document, usually in the S3 namespace."""
    pieces: list[str] = []
    _render(children, pieces)
    return _framed(root, "".join(pieces), namespace)


def element(root: str, content: str) -> bytes:
    """A document that is one element with text."""
    return _framed(root, _escaped(content))


def in_namespace(text: str) -> bytes:
    """An element written out, as a document."""
    return rewritten(fromstring(text))


def written(nodes: Iterable[Node]) -> Markup:
    """Elements as text."""
    pieces: list[str] = []
    _render(nodes, pieces)
    return Markup("".join(pieces))


def escaped(content: str) -> str:
    """How text stands in an element."""
    return _escaped(content) if _MARKED.search(content) else content


def all_escaped(texts: list[str]) -> list[str]:
    """The same of many, which are looked at together."""
    return [escaped(one) for one in texts] if _MARKED.search("".join(texts)) else texts


def raw(root: str, inner: str) -> bytes:
    """A document around elements that are written already."""
    return _framed(root, inner)


def rewritten(element: Element) -> bytes:
    """A document that was parsed, as it is given back: what a client said, in the S3 namespace."""
    return _framed(element.tag, _inside(element))


def _inside(element: Element) -> str:
    if not len(element):
        return _escaped(element.text or "")
    return "".join(f"<{_opening(child)}>{_inside(child)}</{child.tag}>" for child in element)


def _opening(element: Element) -> str:
    """The start tag; of a grantee also its type, which is an attribute of another namespace."""
    kind = next((value for name, value in element.attrib.items() if name.rpartition("}")[2] == "type"), "")
    if element.tag != "Grantee" or not kind:
        return element.tag
    return f'Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{_escaped(kind)}"'


def _render(nodes: Iterable[Node], pieces: list[str]) -> None:
    for node in nodes:
        if isinstance(node, Markup):
            pieces.append(node)
            continue
        name, content = node
        if isinstance(content, str):
            pieces.append(f"<{name}>{escaped(content)}</{name}>")
        elif isinstance(content, bool):
            pieces.append(f"<{name}>{'true' if content else 'false'}</{name}>")
        elif isinstance(content, int):
            pieces.append(f"<{name}>{content}</{name}>")
        else:
            pieces.append(f"<{name}>")
            _render(content, pieces)
            pieces.append(f"</{name.partition(' ')[0]}>")


def _framed(root: str, body: str, namespace: str = NAMESPACE) -> bytes:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{namespace}">{body}</{root}>'
    return text.encode("utf-8", "xmlcharrefreplace")


def _escaped(content: str) -> str:
    """Markup escaped; control characters as references, which is how S3 writes keys that hold them."""
    text = escape(content, {'"': "&quot;", "\r": "&#13;"})
    if text.isprintable():
        return text
    return "".join(char if char >= " " or char in "\t\n" else f"&#{ord(char)};" for char in text)
