"""How large documents from outside may be, in this process: what parsers refuse before they make values of a text.

Parsers are called from many places that know nothing of a configuration, so the bounds are the process's: set where it
follows its settings (section `limits`), read here.
"""

import re
from typing import NamedTuple

from ais.base.errors import BadRequest

STEP = 1 << 20
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{},]', re.DOTALL)
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")


class Bounds(NamedTuple):
    """See the section `limits`, where they are declared."""

    json_depth: int = 64
    json_values: int = 2_500_000
    xml_depth: int = 16
    xml_tags: int = 250_000


_current = Bounds()


def use(bounds: Bounds) -> None:
    """Obey these from now on."""
    global _current
    _current = bounds


def current() -> Bounds:
    """Those in force."""
    return _current


def check_json(text: bytes | memoryview) -> None:
    """Raise `BadRequest` for a text with more levels or values than permitted. Says nothing about its syntax."""
    depth_max, values_max = _current.json_depth, _current.json_values
    if len(text) <= depth_max:
        return
    opened = separated = 0
    for start in range(0, len(text), STEP):
        piece = bytes(text[start : start + STEP])
        opened += piece.count(b"[") + piece.count(b"{")
        separated += piece.count(b",")
        if opened + separated > values_max:
            break
    if opened > depth_max or opened + separated > values_max:
        _look(bytes(text), depth_max, values_max)


def _look(text: bytes, depth_max: int, values_max: int) -> None:
    """The same with what lies within strings left out."""
    depth = values = 0
    for found in _MARKS.finditer(text):
        mark = text[found.start()]
        if mark == 0x22:
            continue
        if mark in _CLOSING:
            depth -= 1
            continue
        values += 1
        if mark in _OPENING:
            depth += 1
        if depth > depth_max:
            raise BadRequest(f"request body is not valid JSON: it has more than {depth_max} levels")
        if values > values_max:
            raise BadRequest(f"request body is not valid JSON: it has more than {values_max} values")
