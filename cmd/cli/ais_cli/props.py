"""Bucket properties as people write and read them: `versioning.enabled=false access=ro`."""

import difflib
from collections.abc import Sequence
from typing import Any

from ais.api import access, codec
from ais.base.errors import BadRequest
from ais.config import features
from ais.meta.bmd import Bprops
from ais_cli import text

_TRUE = ("true", "yes", "y", "on", "1", "enable", "enabled")
_FALSE = ("false", "no", "n", "off", "0", "disable", "disabled")


def parse_assignments(words: Sequence[str]) -> dict[str, Any]:
    """Nested JSON for the wire from `name=value` words, or from one word of JSON. Raise `BadRequest`."""
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        parsed = codec.parse_json(words[0])
        assert isinstance(parsed, dict)
        return parsed
    known = codec.to_builtins(Bprops())
    tree: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator:
            raise BadRequest(
                f'"{word}" is not a property assignment: write NAME=VALUE, such as versioning.enabled=false'
            )
        _insert(tree, known, name.strip().lower(), value.strip())
    return tree


def _insert(tree: dict[str, Any], known: dict[str, Any], name: str, value: str) -> None:
    *path, last = name.split(".")
    for part in path:
        if not isinstance(known.get(part), dict):
            raise _unknown(name)
        tree, known = tree.setdefault(part, {}), known[part]
    if last not in known:
        raise _unknown(name)
    tree[last] = _value(name, known[last], value)


def _unknown(name: str) -> BadRequest:
    names = list(text.flatten(codec.to_builtins(Bprops())))
    close = difflib.get_close_matches(name, names, 1, cutoff=0.5)
    hint = f': did you mean "{close[0]}"?' if close else ""
    return BadRequest(f'unknown bucket property "{name}"{hint}')


def _value(name: str, default: Any, value: str) -> Any:
    """`value` with the type that the property has in JSON."""
    if name == "access":
        return str(_access(value))
    if name == "features":
        return str(features.parse(value))
    if isinstance(default, dict):
        raise BadRequest(
            f'"{name}" is a group of properties: name one of {", ".join(f"{name}.{one}" for one in default)}'
        )
    if isinstance(default, bool):
        if value.lower() in _TRUE or value.lower() in _FALSE:
            return value.lower() in _TRUE
        raise BadRequest(f'invalid value "{value}" of {name}: write true or false')
    if isinstance(default, int):
        if value.lstrip("-").isdecimal():
            return int(value)
        raise BadRequest(f'invalid value "{value}" of {name}: write a whole number')
    return value


def _access(value: str) -> int:
    """`ro`, `rw`, `su`, a number, or a list such as `GET,HEAD-OBJECT`."""
    if value.lower() in access.NAMED:
        return access.NAMED[value.lower()]
    if value.isdecimal():
        return int(value)
    bits = {bit.name: bit for bit in access.Access}
    total = 0
    for word in value.upper().replace("-", "_").split(","):
        if word.strip() not in bits:
            raise BadRequest(
                f'unknown access permission "{word.strip().replace("_", "-")}": use ro, rw, su, or a list of'
                f" {', '.join(access.describe(access.ALL))}"
            )
        total |= bits[word.strip()]
    return total


def readable(props: Bprops) -> dict[str, str]:
    """A bucket's properties by dotted name, in the words `parse_assignments` takes."""
    flat = text.flatten(codec.to_builtins(props))
    short = {bits: name for name, bits in access.NAMED.items()}
    flat["access"] = short.get(props.access) or ",".join(access.describe(props.access)) or "none"
    flat["features"] = ",".join(features.describe(props.features)) or "none"
    flat["created"] = text.moment(props.created)
    return {name: flat[name] for name in sorted(flat, key=lambda name: ("." in name, name))}


def compact(flat: dict[str, str]) -> dict[str, str]:
    """Properties by group in one line each: `mirror` is `enabled=false copies=2 burst_buffer=512`."""
    groups: dict[str, list[str]] = {}
    for name, value in flat.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, []).append(f"{rest}={value}" if rest else value)
    return {
        group: " ".join(sorted(values, key=lambda one: not one.startswith("enabled=")))
        for group, values in groups.items()
    }
