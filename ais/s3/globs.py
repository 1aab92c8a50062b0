"""Patterns with `*` and `?`, as policies have them."""

import functools
import re

_MEANT = {"\ue000": "*", "\ue001": "?"}
"""In patterns, for characters that are no wildcards."""


def literal(text: str) -> str:
    """A pattern for one text."""
    return text.replace("*", "\ue000").replace("?", "\ue001")


@functools.lru_cache(maxsize=1024)
def _glob(pattern: str) -> "re.Pattern[str]":
    """`*` and `?` as a regular expression that never tries again what it found after a star: see `fnmatch`."""
    first, *middle = (
        "".join("." if c == "?" else re.escape(_MEANT.get(c, c)) for c in part) for part in pattern.split("*")
    )
    last = ".*" + middle.pop() if middle else ""
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle if part) + last, re.DOTALL)


def like(value: str, pattern: str) -> bool:
    """Whether a pattern matches the whole of a text."""
    return _glob(pattern).fullmatch(value) is not None
