"""The backend for web servers: three real ones, of which one knows no ranges; and where nobody may go."""

import ipaddress
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiohttp import web
from harness.backends import NAMES, Content, conform_reads
from harness.clouds import running
from harness.loop import run

from ais.api.bucket import Bck
from ais.backend.interface import Place
from ais.backend.web import Web
from ais.base.errors import AccessDenied, BadRequest, Unsupported
from ais.config.sections import Extra, ExtraHTTP
from ais.net.egress import Egress
from ais.testing import free_ports

LARGE = bytes(range(256)) * 9000
HERE = [ipaddress.ip_network("127.0.0.0/8")]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Files that a web server has. A directory cannot have an empty name."""
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "large").write_bytes(LARGE)
    (tmp_path / "empty").write_bytes(b"")
    return tmp_path


@pytest.fixture
def without_ranges(directory: Path) -> Iterator[str]:
    """The URL of a server of the standard library."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nginx(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of nginx, where it is installed."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not there: apt-get install nginx-light")
    own, url = tmp_path_factory.mktemp("nginx"), f"http://127.0.0.1:{(port := free_ports(1))}"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (own / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {own}/pid; error_log {own}/error.log; events {{}}\n"
        f"http {{ access_log off; {' '.join(f'{kind}_temp_path {own}/{kind};' for kind in kinds)}\n"
        f"server {{ listen 127.0.0.1:{port}; root {directory}; }} }}\n"
    )
    with running([program, "-p", str(own), "-e", str(own / "early.log"), "-c", str(own / "nginx.conf")], url):
        yield url


def _place(url: str) -> Place:
    return Place(Bck("pages", "ht"), Extra(http=ExtraHTTP(original_url=url)))


def test_a_server_without_ranges(without_ranges: str) -> None:
    """Ranges are right also where the server sends all of it; changes are refused."""

    async def scenario() -> None:
        backend = Web(lambda: Egress(allow_private=False, networks=HERE))
        try:
            place = _place(without_ranges)
            await conform_reads(backend, place, LARGE)
            for call in (
                backend.put(place, "z", Content(b"x"), {}),
                backend.delete(place, "z"),
                backend.page(place, "", "", 1),
            ):
                with pytest.raises(Unsupported):
                    await call
            with pytest.raises(BadRequest, match="original_url"):
                await backend.head_bucket(Place(Bck("pages", "ht")))
        finally:
            await backend.close()

    run(scenario())


def test_a_server_with_ranges(directory: Path) -> None:
    """All that a backend must do when it is read, over a server that sends what it is asked for."""

    async def scenario() -> None:
        app = web.Application()
        app.router.add_static("/files", directory)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        backend = Web(lambda: Egress(allow_private=False, networks=HERE))
        try:
            await conform_reads(backend, _place(f"http://127.0.0.1:{port}/files/"), LARGE)
        finally:
            await backend.close()
            await runner.cleanup()

    run(scenario())


def test_nginx(nginx: str) -> None:
    """The same over the server that most have."""

    async def scenario() -> None:
        backend = Web(lambda: Egress(allow_private=False, networks=HERE))
        try:
            await conform_reads(backend, _place(nginx), LARGE)
        finally:
            await backend.close()

    run(scenario())


def test_where_this_node_may_not_go(without_ranges: str) -> None:
    """A bucket is no way to what only this node can reach."""

    async def scenario() -> None:
        backend = Web(lambda: Egress(allow_private=False))
        try:
            with pytest.raises(AccessDenied, match="egress blocked"):
                await backend.head(_place(without_ranges), "z")
        finally:
            await backend.close()

    run(scenario())


def test_where_this_node_may_not_go_any_more(without_ranges: str) -> None:
    """The configuration says so from one moment on: no connection that is open is a way around it."""

    async def scenario() -> None:
        here = [*HERE, ipaddress.ip_network("::1/128")]
        networks = [here]
        backend = Web(lambda: Egress(allow_private=False, networks=networks[-1]))
        place = _place(without_ranges.replace("127.0.0.1", "localhost"))
        try:
            assert (await backend.head(place, "large")).size == len(LARGE)
            networks.append([])
            with pytest.raises(AccessDenied, match="egress blocked"):
                await backend.head(place, "large")
            networks.append(here)
            assert (await backend.head(place, "large")).size == len(LARGE)
        finally:
            await backend.close()

    run(scenario())
