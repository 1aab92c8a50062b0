"""Changing settings: by dotted names with text values, or by a JSON patch.

Pure: a change gives a new configuration with all of it, or raises and gives none.
"""

import difflib
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from ais.api import codec
from ais.api.codec import U64
from ais.base.errors import BadRequest, Unsupported
from ais.base.units import Duration, Size, is_whole
from ais.config import features
from ais.config.cluster import CLUSTER_ONLY, READ_ONLY, ClusterConfig
from ais.config.setting import OutOfRange, Section, plain_type

S = TypeVar("S", bound=Section)
Tree = dict[str, Any]
Read = Callable[[str, Any, Any], Any]

NOT_TRANSIENT = (
    "auth",
    "net",
    "tracing",
    "memsys",
    "keepalivetracker",
    "timeout.max_keepalive",
    "timeout.cplane_operation",
)
RENAMED = {
    "auth.cluster_key.enabled": "auth.intra_cluster.request_auth",
    "auth.cluster_key": "auth.intra_cluster",
    "auth.secret": "auth.signature.key",
    "auth.aud": "auth.required_claims.aud",
}
"""Names of older AIStore versions."""
NAME_LEN_MAX = 256
DEPTH_MAX = 8
"""Parts of a setting's name, beyond what any has: the work for a name grows with its parts."""

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "y", "on", "1", "enable", "enabled"), True),
    **dict.fromkeys(("false", "no", "n", "off", "0", "disable", "disabled"), False),
}


def set_values(config: S, values: Mapping[str, str]) -> S:
    """`config` with the settings named `section.name` changed; values are text as people write them.

    Raise `BadRequest` naming the setting that is unknown, read-only or has a bad value.
    """
    if not values:
        raise BadRequest("no settings to change")
    tree: Tree = {}
    for name, value in values.items():
        _insert(tree, _current_name(name), value)
    return _apply(config, tree, _from_text, "")


def apply_patch(config: S, patch: Any) -> S:
    """`config` with the settings of a JSON object changed; keys in any case, null: unchanged. Raise `BadRequest`."""
    if not isinstance(patch, dict):
        raise BadRequest("a configuration change must be a JSON object of sections")
    _check_depth(patch)
    return _apply(config, rename_old(patch), _from_json, "")


def _check_depth(patch: Tree) -> None:
    """Raise `BadRequest` for objects within objects, deeper than settings are."""
    level: list[Any] = [patch]
    for _ in range(DEPTH_MAX + 1):
        level = [below for one in level for below in one.values() if isinstance(below, dict)]
    if level:
        raise BadRequest(f"a configuration change has at most {DEPTH_MAX} levels")


def changed_names(patch: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of the settings in a JSON patch. Raise `BadRequest` for one that is too deep."""
    if prefix.count(".") > DEPTH_MAX:
        raise BadRequest(f"a configuration change has at most {DEPTH_MAX} levels")
    for key, value in patch.items() if isinstance(patch, dict) else ():
        name = f"{prefix}{key}".lower()
        if isinstance(value, dict):
            yield from changed_names(value, name + ".")
        elif value is not None:
            yield name


def check_transient(names: Iterable[str]) -> None:
    """Raise `Unsupported` when one of the settings cannot change for a while only (wire contract §12.7)."""
    for name in names:
        if any(name == fixed or name.startswith(fixed + ".") for fixed in NOT_TRANSIENT):
            raise Unsupported(f'setting "{name}" cannot be changed temporarily')


def check_node_override(names: Iterable[str]) -> None:
    """Raise `BadRequest` when one of the settings belongs to the whole cluster."""
    for name in names:
        if name.partition(".")[0] in CLUSTER_ONLY:
            raise BadRequest(f'setting "{name}" belongs to the whole cluster, a single node cannot have its own')


def flatten(config: Section, prefix: str = "") -> dict[str, str]:
    """Every setting by dotted name, values as text that `set_values` takes."""
    flat: dict[str, str] = {}
    for field in msgspec.structs.fields(type(config)):
        value = getattr(config, field.name)
        if isinstance(value, Section):
            flat |= flatten(value, f"{prefix}{field.name}.")
        else:
            flat[prefix + field.name] = _to_text(value)
    return flat


def unknown_names(kind: type[Section], value: Any, prefix: str = "") -> list[str]:
    """Dotted names in a JSON object that are no settings of `kind`."""
    unknown: list[str] = []
    if not isinstance(value, dict):
        return unknown
    known = {field.name: plain_type(field.type) for field in msgspec.structs.fields(kind)}
    for key, item in value.items():
        found = known.get(key.lower())
        if found is None:
            unknown.append(prefix + key)
        elif _is_section(found):
            unknown += unknown_names(found, item, f"{prefix}{key}.")
    return unknown


def _apply(config: S, tree: Tree, read: Read, prefix: str) -> S:
    changes: dict[str, Any] = {}
    fields = {field.name: plain_type(field.type) for field in msgspec.structs.fields(type(config))}
    for key, value in tree.items():
        name, kind = prefix + key.lower(), fields.get(key.lower())
        if kind is None:
            raise BadRequest(f'unknown setting "{_first_name(name, value)}"{_suggestion(type(config), prefix, key)}')
        if name in READ_ONLY:
            raise BadRequest(f'setting "{name}" is read-only')
        if value is None:
            continue
        current = getattr(config, key.lower())
        if isinstance(current, Section):
            if not isinstance(value, dict):
                raise BadRequest(
                    f'"{name}" is a section, not a setting: name one of {_settings_of(type(current), name)}'
                )
            changes[key.lower()] = _apply(current, value, read, name + ".")
        else:
            changes[key.lower()] = read(name, kind, value)
    try:
        changed = msgspec.structs.replace(config, **changes)
        changed.check_asked()
    except OutOfRange as error:
        raise BadRequest(f'invalid value for setting "{prefix}{error.setting}": {error.problem}') from None
    except ValueError as error:
        raise BadRequest(f"invalid {prefix.rstrip('.') or 'configuration'} setting: {error}") from None
    return changed


def _from_text(name: str, kind: Any, text: Any) -> Any:
    """One setting from text. A dict where text was expected means that the name went too deep."""
    if isinstance(text, dict):
        raise BadRequest(f'unknown setting "{name}.{next(iter(text))}": "{name}" has no parts')
    if name == "features":
        return U64(features.parse(text))
    try:
        return _parse(kind, text.strip())
    except (ValueError, KeyError, BadRequest) as error:
        raise BadRequest(f'invalid value "{text}" for setting "{name}": {_expectation(kind, error)}') from None


def _parse(kind: Any, text: str) -> Any:
    if kind is bool:
        return _BOOLEANS[text.lower()]
    if kind is int:
        return int(text) if is_whole(text.removeprefix("-")) else int(Size.parse(text))
    if kind is U64:
        return U64(text)
    if kind in (Duration, Size):
        return kind.parse(text)
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.strip("[]").split(",") if part.strip())
    if typing.get_origin(kind) is dict:
        return codec.convert(codec.parse_json(text or "{}"), kind)
    return codec.convert(text, kind)


def _from_json(name: str, kind: Any, value: Any) -> Any:
    if name == "features" and isinstance(value, str):
        return U64(features.parse(value))
    try:
        return codec.convert(value, kind)
    except BadRequest as error:
        raise BadRequest(f'invalid value {value!r} for setting "{name}": {_expectation(kind, error)}') from None


def _expectation(kind: Any, error: Exception) -> str:
    if kind is bool:
        return "expected true or false"
    if kind in (int, U64):
        return "expected a whole number"
    if typing.get_origin(kind) is typing.Literal:
        return f"must be one of {list(typing.get_args(kind))}"
    return str(error).removeprefix("invalid value: ")


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, dict):
        return codec.to_json(value).decode()
    return str(value)


def _insert(tree: Tree, name: str, value: str) -> None:
    if len(name) > NAME_LEN_MAX or name.count(".") >= DEPTH_MAX:
        raise BadRequest(f'unknown setting "{name[:80]}...": names have at most {DEPTH_MAX} parts')
    *path, last = name.split(".")
    for part in path:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            raise BadRequest(f'unknown setting "{name}"')
        tree = below
    tree[last] = value


def _current_name(name: str) -> str:
    lowered = name.strip().lower()
    for old, new in RENAMED.items():
        if lowered == old or lowered.startswith(old + "."):
            return new + lowered.removeprefix(old)
    return lowered


def rename_old(patch: Tree) -> Tree:
    """A JSON object of sections with the names of older AIStore versions replaced."""
    renamed: Tree = {}
    _move(patch, "", renamed)
    return renamed


def _move(tree: Tree, prefix: str, into: Tree) -> None:
    for key, value in tree.items():
        name = prefix + key
        if isinstance(value, dict) and value and any(old.startswith(name.lower() + ".") for old in RENAMED):
            _move(value, name + ".", into)
        else:
            _insert(into, _current_name(name), value)


def _first_name(name: str, value: Any) -> str:
    """The name of the first setting below `name`, as it was asked for."""
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        name = f"{name}.{key}"
    return name


def _suggestion(kind: type[Section], prefix: str, key: str) -> str:
    names = [field.name for field in msgspec.structs.fields(kind)]
    close = difflib.get_close_matches(key.lower(), names, 1)
    return f': did you mean "{prefix}{close[0]}"?' if close else ""


def _settings_of(kind: type[Section], prefix: str) -> list[str]:
    return [f"{prefix}.{field.name}" for field in msgspec.structs.fields(kind)]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def reset(config: ClusterConfig, initial: ClusterConfig) -> ClusterConfig:
    """The settings of `initial` under the identity and version of `config`."""
    return msgspec.structs.replace(initial, **{name: getattr(config, name) for name in READ_ONLY})
