"""`ais auth` against a real AuthN server: log in, add, change, show and remove users, roles and clusters."""

import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ais_cli import settings
from harness.authn import PASSWORD, SECRET, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An AuthN that signs with a secret."""
    with running(tmp_path_factory.mktemp("authn"), AIS_AUTHN_SU_PASS=PASSWORD, AIS_AUTHN_SECRET_KEY=SECRET) as url:
        yield url


@pytest.fixture
def admin(server: str, ais_offline: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`ais` with that server, logged in as its administrator."""
    monkeypatch.setenv("AIS_AUTHN_URL", server)
    ais_offline("auth", "login", "admin", "-p", PASSWORD)
    return ais_offline


def test_log_in_and_out(server: str, ais_offline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who logs in is known until they log out; the token's file is theirs alone; a wrong password is refused."""
    monkeypatch.setenv("AIS_AUTHN_URL", server)
    assert "nobody is logged in" in ais_offline("auth", "whoami", code=3).stderr
    ais_offline("auth", "login", "admin", "-p", "wrong", code=1)
    ais_offline("auth", "login", "admin", stdin=PASSWORD.encode() + b"\n")
    assert settings.token_path().stat().st_mode & 0o777 == 0o600
    shown = ais_offline("auth", "whoami").stdout
    assert "admin" in shown
    assert "true" in shown
    ais_offline("auth", "logout")
    assert "nobody is logged in" in ais_offline("auth", "logout", code=3).stderr


class _Tokens(http.server.BaseHTTPRequestHandler):
    """What AuthN sees of a cluster: one that takes its tokens."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_DELETE(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cluster_url() -> Iterator[str]:
    """Where AuthN finds a cluster."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Tokens)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_clusters_roles_users(admin: Any, cluster_url: str) -> None:
    """A cluster brings roles, a role of one's own permits what it says, and a user has both."""
    admin("auth", "add", "cluster", "ClusterID1", "main", cluster_url)
    assert cluster_url in admin("auth", "show", "cluster", "main").stdout
    assert "Guest-main" in admin("auth", "show", "role").stdout
    admin("auth", "add", "role", "reader", "ro", "--cluster", "main", "--bucket", "ais://data", "--desc", "reads")
    assert "ais://data: ro" in admin("show", "auth", "role", "reader").stdout
    admin("auth", "set", "role", "reader", "rw", "--cluster", "main", "--bucket", "ais://data")
    assert "ais://data: rw" in admin("auth", "show", "role", "reader").stdout
    admin("auth", "add", "user", "ann", "reader", "-p", "secret-of-ann")
    admin("auth", "set", "user", "ann", "reader", "Guest-main")
    assert "reader, Guest-main" in admin("auth", "show", "user", "ann").stdout
    for kind, name in (("user", "ann"), ("role", "reader"), ("cluster", "ClusterID1")):
        admin("auth", "rm", kind, name)
        admin("auth", "rm", kind, name, code=3)


def test_tokens(admin: Any) -> None:
    """A token that was revoked lets nobody in."""
    assert "--yes" in admin("auth", "rm", "token", code=2).stderr
    admin("auth", "login", "admin", "-p", PASSWORD, "--expire", "2h")  # another one than that of the other tests
    admin("auth", "rm", "token", "--yes")
    admin("auth", "show", "user", code=1)


def test_settings_of_the_server(admin: Any) -> None:
    """Its settings are shown and set, what OpenID Connect asks for is shown."""
    admin("auth", "set", "config", "log.level=4")
    assert "log.level" in admin("auth", "show", "config").stdout
    assert "issuer" in admin("auth", "show", "oidc").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", "role", "r", "fly", "--cluster", "c"), "unknown permission"),
        (("add", "role", "r", "ro"), "permissions need --cluster"),
        (("add", "cluster", "ID"), "name the cluster's URL"),
        (("set", "user", "ann"), "name the roles"),
        (("set", "config", "log.level"), "is not NAME=VALUE"),
    ],
)
def test_wrong_input(words: tuple[str, ...], message: str, admin: Any) -> None:
    """What is missing or unknown is named."""
    assert message in admin("auth", *words, code=2).stderr


def test_no_server(ais_offline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server the answer says how to start or name one."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AIS_AUTHN_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert "auth.url" in ais_offline("auth", "login", "ann", "-p", "x", code=4).stderr
