"""A node's own settings on disk: `<confdir>/.ais.override_config`, a JSON object of dotted names and texts."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ais.base.errors import BadRequest, DiskFailure
from ais.env.disk import Disk

FILE = ".ais.override_config"


def load(confdir: str) -> dict[str, str]:
    """What was saved; nothing when there is no file. Raise `BadRequest` when the file makes no sense."""
    path = Path(confdir) / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise BadRequest(f"cannot read this node's own settings in {path}: {error}") from None


def save(disk: Disk, confdir: str, overrides: Mapping[str, str]) -> None:
    """Replace the file atomically; durable on return. Raise `DiskFailure`."""
    path = os.path.join(confdir, FILE)
    body = msgspec.json.format(msgspec.json.encode(dict(overrides)), indent=4)
    try:
        fd = disk.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            disk.write(fd, body)
            disk.fsync(fd)
        finally:
            disk.close(fd)
        disk.rename(path + ".new", path)
    except OSError as error:
        raise DiskFailure(f"cannot save this node's own settings in {path}: {error}") from None
