"""The external key map (`ekm_file`): which template names the output shard of a record, by expressions on its key.

JSON `{"<template>": ["<expression>", ...]}`, or lines of `<expression><separator><template>`. A record that is named as
it is belongs there; only others are compared with all expressions, which may match anywhere in a name.
"""

import re
from collections.abc import Callable

from ais.api import codec
from ais.base.errors import BadRequest
from ais.shard import match

ENTRIES_MAX = 10_000_000
_PLAIN = re.compile(r"[\w/ :=@,~.-]+")
React = Callable[[str, str], None]
"""Told a setting's name and what is wrong; raises when that says so."""


class KeyMap:
    """A parsed map."""

    def __init__(self) -> None:
        self.templates: list[str] = []
        self._numbers: dict[str, int] = {}
        self._plain: dict[str, int] = {}
        self._expressions: list[tuple[Callable[[str], object], int]] = []

    def add(self, expression: str, template: str) -> None:
        """One entry. Raise `BadRequest`."""
        number = self._numbers.setdefault(template, len(self.templates))
        if number == len(self.templates):
            self.templates.append(template)
        plain = expression.replace("\\.", ".")
        if _PLAIN.fullmatch(plain):
            if self._plain.setdefault(plain, number) != number:
                raise BadRequest(f'external key map: "{expression[:100]}" stands for two templates')
            return
        try:
            self._expressions.append((match.expression(expression), number))
        except BadRequest as error:
            raise BadRequest(f'external key map: bad expression "{expression[:100]}": {error}') from None

    def find(self, record: str, members: list[str]) -> int:
        """The number of the template for a record, by its name or that of one of its files.

        Raise `BadRequest` unless there is exactly one.
        """
        wanted = (record, *members)
        found = {self._plain[name] for name in wanted if name in self._plain}
        if not found:
            found = {number for search, number in self._expressions if any(map(search, wanted))}
            found |= {number for plain, number in self._plain.items() if any(plain in name for name in wanted)}
        if len(found) == 1:
            return found.pop()
        what = "no match" if not found else "multiple matches"
        raise BadRequest(f'error on lookup record "{record[:200]}" in external key map: {what} found')


def parse(content: bytes, separator: str, react: React, *, is_json: bool) -> KeyMap:
    """Read a map. Raise `BadRequest`, and what `react` raises."""
    found = KeyMap()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise BadRequest("external key map: not UTF-8 text") from None
    if is_json or text.lstrip().startswith("{"):
        entries = codec.convert(codec.parse_json(content), dict[str, list[str]])
        for template, expressions in entries.items():
            for expression in expressions:
                found.add(expression, template)
        return found
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.strip().split(separator)
        if len(parts) != 2:
            react("ekm_malformed_line", f"malformed line ({number}) in external key map: {line[:200]}")
            continue
        found.add(*parts)
    return found
