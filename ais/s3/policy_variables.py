"""Variables of policies, `${aws:username}`: what the request says, put in before patterns and values are compared."""

import re
from collections.abc import Mapping, Sequence

from ais.s3.errors import S3Error
from ais.s3.globs import literal

KNOWN = frozenset(
    (
        *("aws:username", "aws:userid", "aws:principalarn", "aws:principalaccount", "aws:principaltype"),
        *("aws:sourceip", "aws:currenttime", "aws:epochtime", "aws:useragent", "aws:referer", "aws:securetransport"),
        *("s3:prefix", "s3:delimiter", "s3:max-keys"),
    )
)
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def check(text: str) -> None:
    """Raise `S3Error` MalformedPolicy for a variable that nothing gives a value."""
    for name in _VARIABLE.findall(text):
        key = _split(name)[0]
        if key not in ("*", "?", "$") and key.lower() not in KNOWN:
            raise S3Error("MalformedPolicy", f"Policy has an unknown variable: ${{{name[:100]}}}")


def expand(text: str, values: Mapping[str, str | Sequence[str]], *, is_pattern: bool) -> str | None:
    """The text with what the request says; None when it says nothing of a variable. In patterns values are literal."""
    pieces, end = [], 0
    for match in _VARIABLE.finditer(text):
        name, default = _split(match[1])
        value = name if name in ("*", "?", "$") else values.get(name.lower(), default)
        if not isinstance(value, str):
            return None
        pieces += [text[end : match.start()], literal(value) if is_pattern else value]
        end = match.end()
    return "".join((*pieces, text[end:]))


def _split(name: str) -> tuple[str, str | None]:
    key, _, default = name.partition(",")
    default = default.lstrip()
    is_quoted = len(default) > 1 and default[0] == default[-1] == "'" and "'" not in default[1:-1]
    return (key.rstrip(), default[1:-1]) if is_quoted else (name, None)
