"""What an XML document may hold, as a value: checked when a client sends one, so that nothing in it is passed over.

schema.group(Status=one_of("Enabled", "Suspended").needed())
"""

import re
from collections.abc import Mapping
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ais.s3.errors import S3Error

_MANY_MAX = 1000


class Node(NamedTuple):
    """One element: its children by name, or the pattern of its text; whether it must be there, and how often it may."""

    children: "Mapping[str, Node] | None" = None
    pattern: "re.Pattern[str] | None" = None
    is_needed: bool = False
    most: int = 1

    def needed(self) -> "Node":
        """The same, which must be there."""
        return self._replace(is_needed=True)

    def many(self, most: int = _MANY_MAX) -> "Node":
        """The same, which may be there up to so many times."""
        return self._replace(most=most)

    def check(self, element: Element) -> None:
        """Raise `S3Error` MalformedXML naming the first thing that is wrong."""
        if self.children is None:
            if len(element) or (self.pattern and not self.pattern.fullmatch((element.text or "").strip())):
                raise S3Error("MalformedXML", f"<{element.tag}> holds what it cannot")
            return
        if (element.text or "").strip():
            raise S3Error("MalformedXML", f"<{element.tag}> holds text")
        counts: dict[str, int] = {}
        for child in element:
            node = self.children.get(child.tag)
            if node is None:
                raise S3Error("MalformedXML", f"<{child.tag}> is not expected in <{element.tag}>")
            counts[child.tag] = counts.get(child.tag, 0) + 1
            if counts[child.tag] > node.most:
                raise S3Error("MalformedXML", f"<{element.tag}> holds too many <{child.tag}>")
            node.check(child)
        for name, node in self.children.items():
            if node.is_needed and name not in counts:
                raise S3Error("MalformedXML", f"<{element.tag}> lacks a <{name}>")


def group(**children: Node) -> Node:
    """An element that holds others."""
    return Node(children)


def text(pattern: str = r"[^\0]{1,1024}") -> Node:
    """An element that holds text."""
    return Node(pattern=re.compile(pattern, re.DOTALL))


def one_of(*words: str) -> Node:
    """An element that holds one of these words."""
    return text("|".join(map(re.escape, words)))


def number(digits_max: int = 18) -> Node:
    """An element that holds a natural number."""
    return text(rf"[0-9]{{1,{digits_max}}}")


def flag() -> Node:
    """An element that holds `true` or `false`."""
    return text("(?i:true|false)")
