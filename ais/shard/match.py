"""Which members of a shard a request means."""

from collections.abc import Callable

import re2

from ais.base.errors import BadRequest

MODES = ("regexp", "prefix", "suffix", "substr", "wdskey")
PATTERN_LEN_MAX = 1024
EXPRESSION_BYTES_MAX = 1 << 20
"""Memory of one compiled expression. RE2 as in AIStore: its time is linear in the name, whatever the pattern."""

Match = Callable[[str], bool]


def wds_key(name: str) -> str:
    """A member's name up to the first dot of its last element: the key of a WebDataset sample."""
    start = name.rfind("/") + 1
    dot = name.find(".", start)
    return name if dot < 0 else name[:dot]


def check_mode(mode: str) -> None:
    """Raise `BadRequest` for a mode that nobody knows."""
    if mode not in MODES:
        raise BadRequest(f'invalid matching mode "{mode[:50]}", expecting one of: [{" ".join(MODES)}]')


def matcher(pattern: str, mode: str) -> Match:
    """A test of member names; the empty pattern matches all. Raise `BadRequest` for a bad mode or expression."""
    check_mode(mode)
    if len(pattern) > PATTERN_LEN_MAX:
        raise BadRequest(f"the pattern is longer than {PATTERN_LEN_MAX} characters")
    if not pattern:
        return lambda name: True
    match mode:
        case "prefix":
            return lambda name: name.startswith(pattern)
        case "suffix":
            return lambda name: name.endswith(pattern)
        case "substr":
            return lambda name: pattern in name
        case "wdskey":
            return lambda name: wds_key(name) == pattern
        case _:
            search = expression(pattern)
            return lambda name: search(name) is not None


def expression(pattern: str) -> Callable[[str], object]:
    """Looks for a regular expression in a text: what it found, or None. Raise `BadRequest`."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = EXPRESSION_BYTES_MAX
    try:
        return re2.compile(pattern, options).search  # type: ignore[no-any-return]
    except re2.error as error:
        raise BadRequest(f"error parsing regexp: {_text(error)}") from None


def _text(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
