"""Who this node is: its configuration directory, the ID a proxy keeps there, the mountpaths a target had, and the
address others reach it at.
"""

import contextlib
import fcntl
import os
import random
import socket
import urllib.parse
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from ais.base.errors import AlreadyExists, BadRequest, CorruptMetadata, IntegrityError
from ais.base.ids import is_valid_node_id, new_id

PROXY_ID_FILE = ".ais.proxy_id"
MOUNTPATHS_FILE = ".ais.mountpaths"
"""With the ID of a target behind it, because several may have one directory."""
LOCK_FILE = ".ais.lock"
_ANYWHERE = "192.0.2.1"
"""An address reserved for documentation: the route to it is the default route. Nothing is sent there."""


def make_confdir(confdir: str) -> None:
    """Make the directory unless it is there. Raise `BadRequest` when that does not work."""
    try:
        Path(confdir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(confdir, error) from None


@contextlib.contextmanager
def claimed(confdir: str) -> Iterator[None]:
    """Have the directory alone while the block runs; also a process that is killed gives it back.

    Raise `AlreadyExists` when another proxy runs with it, `BadRequest` when it cannot be used.
    """
    make_confdir(confdir)
    path = Path(confdir) / LOCK_FILE
    try:
        file = path.open("w")
    except OSError as error:
        raise _unusable(confdir, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyExists(
                f"another proxy runs with confdir={confdir}: stop that one, or give this one a directory of its own"
            ) from None
        yield


def proxy_id(confdir: str, demanded: str, rng: random.Random) -> str:
    """The proxy's persisted ID, else the one demanded by the environment, else a new one; durable on return.

    Raise `BadRequest` when the directory cannot be written, `CorruptMetadata` when the file holds no ID,
    `IntegrityError` when it holds another one than demanded.
    """
    make_confdir(confdir)
    path = Path(confdir) / PROXY_ID_FILE
    try:
        if path.exists():
            return _checked(path, path.read_text("ascii").strip(), demanded)
        node_id = demanded or new_id(rng)
        write_proxy_id(confdir, node_id)
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(confdir, error) from None
    return node_id


def require_mounted(confdir: str, empty: Collection[str]) -> None:
    """Raise `IntegrityError` when one of these directories, none of which is a mountpath yet, was one of a target here:
    started before its disks were mounted it would be a new target, that knows of nothing and writes on mount points.
    """
    for path in sorted(Path(confdir).glob(f"{MOUNTPATHS_FILE}.*")):
        try:
            had = msgspec.json.decode(path.read_bytes(), type=list[str])
        except (OSError, msgspec.DecodeError) as error:
            raise _unusable(confdir, error) from None
        if lost := [one for one in empty if one in had]:
            raise IntegrityError(
                f"{', '.join(lost)}: target {path.suffix[1:]} had its data there, and none of its mountpaths has volume"
                f" metadata any more: are the disks mounted? If all are gone for good, remove {path} and start again"
            )


def remember_mountpaths(confdir: str, node_id: str, mountpaths: Collection[str]) -> None:
    """Note which mountpaths a target has, for `require_mounted`. Raise `BadRequest`."""
    try:
        _replace(Path(confdir) / f"{MOUNTPATHS_FILE}.{node_id}", msgspec.json.encode(sorted(mountpaths)) + b"\n")
    except OSError as error:
        raise _unusable(confdir, error) from None


def forget_mountpaths(confdir: str, node_id: str) -> None:
    """The target has none any more."""
    (Path(confdir) / f"{MOUNTPATHS_FILE}.{node_id}").unlink(missing_ok=True)


def own_host(primary_url: str) -> str:
    """The address this machine uses towards the primary, or towards the world; the loopback address without either."""
    try:
        target = urllib.parse.urlsplit(primary_url).hostname or _ANYWHERE
    except ValueError:
        target = _ANYWHERE
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _unusable(confdir: str, error: Exception) -> BadRequest:
    return BadRequest(f"cannot use the directory confdir={confdir}: {error}")


def _checked(path: Path, node_id: str, demanded: str) -> str:
    if not is_valid_node_id(node_id):
        raise CorruptMetadata(f"{path} holds no node ID: correct it, or remove it to become a new node")
    if demanded and demanded != node_id:
        raise IntegrityError(
            f'the ID asked for is "{demanded}", but {path} says "{node_id}": ask for that one, or remove the file'
        )
    return node_id


def write_proxy_id(confdir: str, node_id: str) -> None:
    """Keep the ID; durable on return. Raise `OSError`."""
    _replace(Path(confdir) / PROXY_ID_FILE, node_id.encode() + b"\n")


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name("new" + path.name)
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
