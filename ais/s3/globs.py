"""Patterns with `*` and `?`, as policies have them."""

import functools
import re

_MEANT = {"\ue000": "*", "\ue001": "?"}
"""In patterns, for characters that are no wildcards."""


def literal(text: str) -> str:
    """A pattern for one text."""
    return text.replace("*", "\ue000").replace("?", "\ue001")


def like(value: str, pattern: str) -> bool:
    """Whether a pattern matches the whole of a text."""
    if "?" in pattern:
        return _glob(pattern).fullmatch(value) is not None
    first, *middle = pattern.split("*")
    if not middle:
        return value == _plain(first)
    first, last = _plain(first), _plain(middle.pop())
    start, end = len(first), len(value) - len(last)
    if start > end or not value.startswith(first) or not value.endswith(last):
        return False
    for part in middle:
        found = value.find(_plain(part), start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True


def _plain(part: str) -> str:
    return part if part.isascii() else "".join(_MEANT.get(c, c) for c in part)


@functools.lru_cache(maxsize=1024)
def _glob(pattern: str) -> "re.Pattern[str]":
    """A regular expression that never tries again what it found after a star: see `fnmatch`.

    Making it takes a hundred times as long as comparing: only what has a `?` is worth it.
    """
    first, *middle = (
        "".join("." if c == "?" else re.escape(_MEANT.get(c, c)) for c in part) for part in pattern.split("*")
    )
    last = ".*" + middle.pop() if middle else ""
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle if part) + last, re.DOTALL)
