"""Reading AIStore's two configuration files (JSON): the cluster's initial one and the node's local one."""

from pathlib import Path
from typing import Any, TypeVar

from ais.api import codec
from ais.base.errors import BadRequest
from ais.config import change
from ais.config.cluster import READ_ONLY, ClusterConfig
from ais.config.local import LocalConfig, normalise_fspaths
from ais.config.setting import Section

S = TypeVar("S", bound=Section)


def load_cluster(path: str) -> tuple[ClusterConfig, list[str]]:
    """The cluster configuration in a file, and the names in it that are no settings of ours.

    Raise `BadRequest` with the file's name when it cannot be read or a value is wrong.
    """
    value = change.rename_old(_read(path))
    value = {key: item for key, item in value.items() if key.lower() not in READ_ONLY}
    return _build(path, value, ClusterConfig())


def load_local(path: str) -> tuple[LocalConfig, list[str]]:
    """The local configuration in a file, and the names in it that are no settings of ours. Raise `BadRequest`."""
    value = _read(path)
    for key in value:
        if key.lower() == "fspaths":
            value[key] = normalise_fspaths(value[key])
    return _build(path, value, LocalConfig())


def _read(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"cannot read configuration file {path}: {error}") from None
    try:
        value = codec.parse_json(text)
    except BadRequest as error:
        raise BadRequest(f"configuration file {path} {str(error).removeprefix('request body ')}") from None
    if not isinstance(value, dict):
        raise BadRequest(f"configuration file {path} must hold a JSON object of sections")
    return value


def _build(path: str, value: dict[str, Any], default: S) -> tuple[S, list[str]]:
    unknown = change.unknown_names(type(default), value)
    try:
        return change.apply_patch(default, _without(value, frozenset(unknown))), unknown
    except BadRequest as error:
        raise BadRequest(f"configuration file {path}: {error}") from None


def _without(value: dict[str, Any], names: frozenset[str], prefix: str = "") -> dict[str, Any]:
    return {
        key: _without(item, names, f"{prefix}{key}.") if isinstance(item, dict) else item
        for key, item in value.items()
        if prefix + key not in names
    }
