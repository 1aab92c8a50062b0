"""The Unix socket of a node: whoever may open it, its own user and root, is an administrator without a token or key."""

import os
import socket

from structlog.typing import FilteringBoundLogger

from ais.net.http import Network
from ais.net.server import HttpServer
from ais_node.listeners import Servers

_PATH_BYTES_MAX = 107
BACKLOG = 64


def path_of(confdir: str, role: str) -> str:
    """Where the socket of a node of this role is."""
    return os.path.join(confdir, f"{role}.sock")


async def open_socket(makes: Servers, path: str, log: FilteringBoundLogger) -> HttpServer | None:
    """Serve on a socket there. None, and a warning, where that cannot be: nodes run without it."""
    try:
        sock = _listening(path)
    except OSError as error:
        log.warning("no Unix socket for administrators", path=path, error=error.strerror or str(error))
        return None
    server = makes.make(Network.PUBLIC | Network.LOCAL)
    await server.start_local(sock)
    return server


def _listening(path: str) -> socket.socket:
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise OSError(f"the path has more than {_PATH_BYTES_MAX} bytes: choose a shorter confdir")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_dead(path):
            os.unlink(path)
        sock.bind(path)
        os.chmod(path, 0o600)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _is_dead(path: str) -> bool:
    """Whether a socket was left behind there by a process that has ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
