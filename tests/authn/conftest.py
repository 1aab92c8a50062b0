"""A shared `authn` process, and a stand-in for a cluster that records what AuthN tells it."""

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aistore.sdk.authn import AuthNClient
from harness.authn import PASSWORD, SECRET, running


@pytest.fixture(scope="session")
def authn_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One AuthN that signs with a secret, shared by all tests."""
    directory = tmp_path_factory.mktemp("authn")
    with running(directory, AIS_AUTHN_SU_PASS=PASSWORD, AIS_AUTHN_SECRET_KEY=SECRET) as url:
        yield url


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[str]]:
    """Start one with settings of its own, in the same directory each time."""
    return lambda **variables: running(tmp_path, **variables)


@pytest.fixture
def admin(authn_url: str) -> AuthNClient:
    """The SDK's client, logged in as the administrator."""
    client = AuthNClient(authn_url)
    client.login("admin", PASSWORD)
    return client


class _Recorder(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.calls.append((self.command, self.path, self.headers["Authorization"], None))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_DELETE(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append((self.command, self.path, self.headers["Authorization"], body))
        self.send_response(503 if self.server.refuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def tokens_endpoint() -> Iterator[http.server.ThreadingHTTPServer]:
    """What AuthN sees of a cluster: `/v1/tokens`. `calls`: what it was told; `status`: its answer to POST.

    `refuses`: it takes back no token.
    """
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Recorder)
    server.calls, server.status, server.refuses = [], 200, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
