"""The settings of this command on this machine: `$XDG_CONFIG_HOME/ais/ais_cli.json`.

Environment variables win over them, options over both. `version` says how to read the file.
"""

import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import click

from ais.base.errors import BadRequest
from ais.base.units import Duration, parse_bool
from ais.config.environment import ClientEnvironment, for_client

VERSION = 1
_TEXT, _BOOL, _DURATION = "text", "true or false", "a duration, such as 30s"
KINDS: dict[str, tuple[str, str]] = {
    "auth.url": (_TEXT, ""),
    "cluster.client_ca_tls": (_TEXT, ""),
    "cluster.client_crt": (_TEXT, ""),
    "cluster.client_crt_key": (_TEXT, ""),
    "cluster.skip_verify_crt": (_BOOL, "false"),
    "cluster.url": (_TEXT, ""),
    "no_color": (_BOOL, "false"),
    "timeout.http_timeout": (_DURATION, "1m"),
    "timeout.tcp_timeout": (_DURATION, "5s"),
}
"""By name: what a value looks like, and the default."""


def path() -> Path:
    """Where the file is."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "ais" / "ais_cli.json"


@cache
def _stored() -> dict[str, Any]:
    try:
        found = json.loads(path().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unreadable(str(error)) from None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise _unreadable("it was not written by this version")
    return found


def _unreadable(reason: str) -> click.ClickException:
    return click.ClickException(f"cannot read {path()}: {reason}. 'ais config cli reset' writes it anew.")


def forget() -> None:
    """Read the file again when it is next asked for."""
    _stored.cache_clear()


def values() -> dict[str, str]:
    """All settings by name, defaults included."""
    stored = _stored().get("settings", {})
    return {name: str(stored.get(name, default)) for name, (_, default) in KINDS.items()}


def wants_colour() -> bool:
    """Whether output may be coloured; a file that cannot be read is for the command to complain about."""
    try:
        return not parse_bool(values()["no_color"])
    except click.ClickException:
        return True


def change(wanted: dict[str, str]) -> None:
    """Store settings. Raise `BadRequest` for an unknown name or a wrong value."""
    for name, value in wanted.items():
        if name not in KINDS:
            raise BadRequest(f'unknown setting "{name}" of the command line: use one of {", ".join(KINDS)}')
        _check(name, value)
    _write({"settings": _stored().get("settings", {}) | wanted, "aliases": _stored().get("aliases", {})})


def _check(name: str, value: str) -> None:
    kind, _ = KINDS[name]
    try:
        if kind == _BOOL and value.lower() not in ("true", "false", "yes", "no", "on", "off"):
            raise BadRequest(value)
        if kind == _DURATION:
            Duration.parse(value)
    except BadRequest:
        raise BadRequest(f'invalid value "{value}" of {name}: write {kind}') from None


def reset() -> None:
    """Forget all settings and aliases."""
    path().unlink(missing_ok=True)
    forget()


def aliases() -> dict[str, str]:
    """Aliases that were made here, and the commands they stand for; an empty command: one that was removed."""
    found = _stored().get("aliases", {})
    return {str(name): str(command) for name, command in found.items()}


def set_aliases(wanted: dict[str, str]) -> None:
    """Store the aliases."""
    _write({"settings": _stored().get("settings", {}), "aliases": wanted})


def _write(content: dict[str, Any]) -> None:
    target = path()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False, encoding="utf-8") as file:
            json.dump({"version": VERSION, **content}, file, indent=4)
        Path(file.name).replace(target)
    except OSError as error:
        raise click.ClickException(f"cannot write {target}: {error.strerror}") from None
    forget()


def token_path() -> Path:
    """Where the token of whoever logged in is kept."""
    return path().with_name("auth.token")


def environment() -> ClientEnvironment:
    """What a client needs to know: the process's variables, else these settings."""
    given, stored = for_client(), values()
    return ClientEnvironment(
        endpoint=given.endpoint or stored["cluster.url"],
        token=given.token,
        token_file=given.token_file or _own_token_file(given.token),
        authn_url=given.authn_url or stored["auth.url"],
        certificate=given.certificate or stored["cluster.client_crt"],
        certificate_key=given.certificate_key or stored["cluster.client_crt_key"],
        ca=given.ca or stored["cluster.client_ca_tls"],
        skip_verify=given.skip_verify or parse_bool(stored["cluster.skip_verify_crt"]),
        key_id=given.key_id,
        key_secret=given.key_secret,
    )


def _own_token_file(token: str) -> str:
    return str(token_path()) if not token and token_path().exists() else ""


def timeouts_s() -> tuple[float, float]:
    """Longest silence of a cluster, and longest wait for a connection."""
    stored = values()
    return float(Duration.parse(stored["timeout.http_timeout"])), float(Duration.parse(stored["timeout.tcp_timeout"]))
