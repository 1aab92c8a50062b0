"""Asking nodes how they are: a few blocking HTTP calls on the loopback interface."""

import http.client
import re
import socket
import ssl
import urllib.parse
from pathlib import Path
from typing import Any

from ais.api import codec
from ais.base.errors import BadRequest, Unreachable
from ais.playground.plan import TLS

TIMEOUT_S = 5.0


def tls_context(files: TLS | None) -> ssl.SSLContext | None:
    """How to talk to nodes that were given these files; None for plain HTTP."""
    if files is None:
        return None
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    context.check_hostname = False
    return context


class _Local(http.client.HTTPConnection):
    """To a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def call(
    method: str, url: str, tls: ssl.SSLContext | None, body: bytes = b"", via: Path | None = None
) -> tuple[int, bytes]:
    """One request: status and body. `via` is the node's Unix socket, if it has one: there all is permitted.

    Raise `Unreachable` when no answer came.
    """
    split = urllib.parse.urlsplit(url)
    assert split.hostname
    connection: http.client.HTTPConnection
    if via is not None and via.exists():
        connection = _Local(via)
    elif tls:
        connection = http.client.HTTPSConnection(split.hostname, split.port, timeout=TIMEOUT_S, context=tls)
    else:
        connection = http.client.HTTPConnection(split.hostname, split.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, url.partition(split.netloc)[2], body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{method} {url}: {error}") from None
    finally:
        connection.close()


def get_json(url: str, tls: ssl.SSLContext | None, via: Path | None = None) -> dict[str, Any] | None:
    """A JSON object; None when the node does not answer, or not with one. `via` as for `call`."""
    try:
        status, body = call("GET", url, tls, via=via)
        value = codec.parse_json(body) if status == 200 else None
    except (Unreachable, BadRequest):
        return None
    return value if isinstance(value, dict) else None


def is_ok(url: str, tls: ssl.SSLContext | None) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return call("GET", url, tls)[0] == 200
    except Unreachable:
        return False


def workers(url: str, tls: ssl.SSLContext | None) -> int:
    """How many workers of a node serve; 0 also when it does not answer."""
    try:
        _, body = call("GET", f"{url}/metrics", tls)
    except Unreachable:
        return 0
    found = re.search(rb"_workers\{[^}]*\} ([0-9]+)", body)
    return int(found[1]) if found else 0
