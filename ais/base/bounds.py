"""How large documents from outside may be, in this process: what parsers refuse before they make values of a text.

Parsers are called from many places that know nothing of a configuration, so the bounds are the process's: set where it
follows its settings (section `limits`), read here.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ais.base.errors import BadRequest

STEP = 1 << 20
_LOOK_STEP = 1 << 16
_MARKS = re.compile(rb"[\[\]{},]")
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
    for piece in _outside_strings(text):
        for found in _MARKS.finditer(piece):
            mark = piece[found.start()]
            if mark in _CLOSING:
                depth -= 1
                if depth < 0:
                    raise BadRequest("request body is not valid JSON: it closes what was not opened")
                continue
            values += 1
            if mark in _OPENING:
                depth += 1
            if depth > depth_max:
                raise BadRequest(f"request body is not valid JSON: it has more than {depth_max} levels")
            if values > values_max:
                raise BadRequest(f"request body is not valid JSON: it has more than {values_max} values")


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """What is in no string, in pieces: Python lets no other thread run while it looks through one."""
    start, is_inside = 0, False
    while start < len(text):
        end = start + _LOOK_STEP
        piece = text[start:end]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # the next character belongs to it
            end += 1
        piece = text[start:end].replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        yield b"".join(parts[is_inside::2])
        is_inside ^= not len(parts) % 2
        start = end
