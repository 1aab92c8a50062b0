"""Parameters of the query API: a form in the body, or the query of a signed URL."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from ais.base.units import is_whole
from ais.iam.errors import IamError

PARAMETERS_MAX = 1000
NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,128}")
USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
"""What access keys can belong to: without `+`, `=` and `,`, which Amazon takes."""
PATH = re.compile(r"/|/[!-~]{1,510}/")
_TEXT = re.compile(r"[\t\n\r -\U0010ffff]*")
_MEMBER = re.compile(r"member\.([1-9][0-9]{0,3})(?:\.([A-Za-z]+))?")


def parse(body: bytes) -> dict[str, str]:
    """A form. Raise `IamError` for what is said twice."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=PARAMETERS_MAX, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise IamError("ValidationError", "The parameters are no form of at most 1000 fields in UTF-8") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise IamError("ValidationError", "A parameter was sent twice")
    return found


class Params:
    """What a request says; names that an action does not have are refused when this is made."""

    def __init__(self, given: Mapping[str, str], known: frozenset[str], refused: Mapping[str, str]) -> None:
        """Raise `IamError`."""
        for name in given:
            head = name.partition(".")[0]
            if head in refused:
                raise IamError("NotImplemented", f"{head} is not supported: {refused[head]}")
            if head not in known:
                raise IamError("ValidationError", f"{name[:100]} is no parameter of {given.get('Action', '')[:100]}")
        self._given = given

    def get(self, name: str) -> str | None:
        """A parameter that may be missing."""
        return self._given.get(name)

    def require(self, name: str) -> str:
        """One that may not. Raise `IamError`."""
        value = self._given.get(name)
        if not value:
            raise IamError("ValidationError", f"The request must contain the parameter {name}.")
        return value

    def named(self, name: str, pattern: re.Pattern[str] = NAME) -> str:
        """A name. Raise `IamError`."""
        value = self.require(name)
        if not pattern.fullmatch(value):
            raise IamError(
                "ValidationError", f"The specified value for {name} is invalid. It must match {pattern.pattern}"
            )
        return value

    def path(self) -> str:
        """The path of a new entity. Raise `IamError`."""
        value = self.get("Path") or "/"
        if not PATH.fullmatch(value):
            raise IamError("ValidationError", "The specified value for Path is invalid: begin and end it with a slash")
        return value

    def text(self, name: str, size_max: int) -> str:
        """Free text; empty when it is missing. Raise `IamError`."""
        value = self.get(name) or ""
        if len(value) > size_max or not _TEXT.fullmatch(value):
            raise IamError("ValidationError", f"{name} has at most {size_max} printable characters")
        return value

    def number(self, name: str, least: int, most: int, default: int) -> int:
        """A whole number. Raise `IamError`."""
        value = self.get(name)
        if value is None:
            return default
        if not is_whole(value) or not least <= int(value) <= most:
            raise IamError("ValidationError", f"{name} must be a number from {least} to {most}")
        return int(value)

    def flag(self, name: str) -> bool:
        """`true` or `false`, which is the default. Raise `IamError`."""
        value = self.get(name) or "false"
        if value not in ("true", "false"):
            raise IamError("ValidationError", f"{name} must be true or false")
        return value == "true"

    def items(self, name: str) -> list[str]:
        """A list of texts, or of names. Raise `IamError`."""
        return [members[""] for members in self._members(name)]

    def tags(self) -> dict[str, str]:
        """Tags. Raise `IamError`."""
        found: dict[str, str] = {}
        for one in self._members("Tags"):
            if one.keys() != {"Key", "Value"} or not 0 < len(one["Key"]) <= 128 or len(one["Value"]) > 256:
                raise IamError("ValidationError", "A tag has a Key of 1 to 128 and a Value of at most 256 characters")
            if one["Key"] in found:
                raise IamError("InvalidInput", f"Duplicate tag keys found: {one['Key']}")
            found[one["Key"]] = one["Value"]
        return found

    def policies(self) -> list[str]:
        """`PolicyArns`. Raise `IamError`."""
        members = list(self._members("PolicyArns"))
        if any(one.keys() != {"arn"} for one in members) or len(members) > 10:
            raise IamError("ValidationError", "PolicyArns is a list of at most 10 ARNs")
        return [one["arn"] for one in members]

    def _members(self, name: str) -> Iterator[dict[str, str]]:
        found: dict[int, dict[str, str]] = {}
        for key, value in self._given.items():
            if key.startswith(f"{name}."):
                match = _MEMBER.fullmatch(key[len(name) + 1 :])
                if match is None:
                    raise IamError("ValidationError", f"{key[:100]} is no member of a list")
                found.setdefault(int(match[1]), {})[match[2] or ""] = value
        for _, one in sorted(found.items()):
            if name not in ("Tags", "PolicyArns") and one.keys() != {""}:
                raise IamError("ValidationError", f"{name} is a list of texts")
            yield one
