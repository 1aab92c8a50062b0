"""The shape of an answer's body: keys, JSON types, what strings look like, msgpack wire types. Values do not matter."""

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import msgpack

_FORMATS = (
    ("empty", re.compile(r"")),
    ("zero time", re.compile(r"0001-01-01T00:00:00Z")),
    ("RFC 3339", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")),
    ("RFC 822", re.compile(r"\d\d \w{3} \d\d \d\d:\d\d \w+")),
    ("number", re.compile(r"-?\d+")),
    ("fraction", re.compile(r"-?\d+\.\d+")),
    ("number pair", re.compile(r"-?\d+,-?\d+")),
    ("duration", re.compile(r"(\d+(\.\d+)?(h|m|s|ms|µs|ns))+")),
    ("size", re.compile(r"\d+(\.\d+)?([KMGTP]i?)?B")),
    ("URL", re.compile(r"https?://.*")),
)
"""What strings may look like, the first that matches; any other is text."""


def text_format(text: str) -> str:
    """The name of a string's format."""
    return next((name for name, pattern in _FORMATS if pattern.fullmatch(text)), "text")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return f"string ({text_format(value)})"
    if isinstance(value, bytes):
        return "bytes"
    return "list" if isinstance(value, list) else "object"


_LOOSE = {"string (empty)", "string (text)"}
"""Formats that do not tell: a text may be empty, and a text may look like a number by chance."""


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    """What is not the same in shape, one line each, beginning with the path of keys."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in theirs:
            if key not in ours:
                yield f"{path}.{key}: missing"
        for key, value in ours.items():
            if key not in theirs:
                yield f"{path}.{key}: not in AIStore's"
            else:
                yield from differences(theirs[key], value, f"{path}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        yield from _list_differences(theirs, ours, path + "[]")
    else:
        expected, found = _kind(theirs), _kind(ours)
        if expected != found and not (expected in _LOOSE and found.startswith("string")):
            yield f"{path}: {found} instead of {expected}"


def _list_differences(theirs: list[Any], ours: list[Any], path: str) -> Iterator[str]:
    """Every element of ours must look like one of theirs; without any of one side there is nothing to compare."""
    if bool(theirs) != bool(ours):
        yield f"{path}: {len(ours)} elements instead of {len(theirs)}"
    seen: set[str] = set()
    for one in ours:
        if theirs:
            best = min((list(differences(other, one, path)) for other in theirs), key=len)
            seen.update(best)
    yield from sorted(seen)


def xml_tree(body: bytes) -> Any:
    """An XML document as nested dictionaries by element name, without namespaces; all children as lists."""

    def tree(element: ElementTree.Element) -> Any:
        children: dict[str, Any] = {}
        for child in element:
            children.setdefault(_local(child.tag), []).append(tree(child))
        return children or (element.text or "")

    root = ElementTree.fromstring(body)
    return {_local(root.tag): tree(root)}


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def from_msgpack(body: bytes) -> Any:
    """A msgpack body with its binary strings kept apart from text, and keys as text."""
    return msgpack.unpackb(body, raw=False, strict_map_key=False)


def leaves(theirs: Any, ours: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Texts that stand at the same place in both, with the key they stand under."""
    if isinstance(theirs, str) and isinstance(ours, str):
        yield key, theirs, ours
    elif isinstance(theirs, dict) and isinstance(ours, dict):
        for name in theirs.keys() & ours.keys():
            yield from leaves(theirs[name], ours[name], name)
    elif isinstance(theirs, list) and isinstance(ours, list):
        for one, other in zip(theirs, ours, strict=False):
            yield from leaves(one, other, key)
