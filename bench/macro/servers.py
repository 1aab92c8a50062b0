"""The two servers compared, each pinned to one core: nginx as Debian ships it, and an ais cluster of one target."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import psutil

from ais.testing import Cluster

NGINX_CONF = """
worker_processes 1;
daemon off;
error_log {dir}/error.log;
pid {dir}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {dir}/tmp;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {dir}/root;
        location /redirect/ {{ return 307 http://127.0.0.1:{port}$request_uri; }}
        location /put/ {{ dav_methods PUT; create_full_put_path on; }}
    }}
}}
"""


SERVE = """
import json, sys
from ais.testing import Cluster
settings = json.loads(sys.argv[2])
with Cluster(proxies=1, targets=1, mountpaths=1, dir=sys.argv[1], config_overrides=settings) as cluster:
    nodes = [*cluster.proxies, *cluster.targets]
    print(json.dumps([[node.url, node.pid, str(node.plan.socket)] for node in nodes]), flush=True)
    sys.stdin.read()
"""


class Server(Protocol):
    """What the scenarios need of a server under test."""

    name: str

    def url(self, scenario: str) -> str:
        """Base URL that serves the scenario."""
        ...

    def prefix(self, scenario: str, size_bytes: int) -> tuple[str, str]:
        """Path before and after the running number of a name."""
        ...

    def cpu_s(self) -> float:
        """CPU seconds used so far by all its processes."""
        ...


def pin(pids: list[int], core: int) -> None:
    """Bind processes, with all their threads, to a core."""
    for pid in pids:
        subprocess.run(["taskset", "-a", "-c", "-p", str(core), str(pid)], check=True, stdout=subprocess.DEVNULL)


def cpu_of(pids: list[int]) -> float:
    """User and system seconds of processes, by their clocks (`clock_getcpuclockid(3)`): `/proc` has ticks of 10 ms."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


class Served:
    """A cluster of whatever code an interpreter has, in place of `ais.testing.Cluster`."""

    def __init__(self, python: str, directory: Path, settings: dict[str, str] | None = None) -> None:
        self._command = [python, "-c", SERVE, str(directory), json.dumps(settings or {})]

    def __enter__(self) -> "Served":
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        )
        assert self._process.stdout
        nodes = [
            SimpleNamespace(url=url, pid=pid, plan=SimpleNamespace(socket=Path(path)))
            for url, pid, path in json.loads(self._process.stdout.readline())
        ]
        self.proxies, self.targets = nodes[:1], nodes[1:]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


class Nginx:
    """nginx with sendfile, dav PUT and a plain redirect."""

    name = "nginx"

    def __init__(self, directory: Path, core: int) -> None:
        if shutil.which("nginx") is None:
            raise SystemExit("nginx not found: apt-get install nginx-light wrk")
        self._dir = directory
        for sub in ("root/get", "root/put", "tmp"):
            (directory / sub).mkdir(parents=True)
        os.chmod(directory, 0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        conf = directory / "nginx.conf"
        conf.write_text(f"user {os.environ.get('USER', 'root')};" + NGINX_CONF.format(dir=directory, port=self._port))
        self._process = subprocess.Popen(["nginx", "-c", str(conf), "-p", str(directory)])
        deadline = time.monotonic() + 10
        while not psutil.Process(self._process.pid).children():
            if time.monotonic() > deadline:
                raise SystemExit((directory / "error.log").read_text())
            time.sleep(0.05)
        self._pids = [self._process.pid, *(one.pid for one in psutil.Process(self._process.pid).children())]
        pin(self._pids, core)

    def fill(self, size_bytes: int, count: int) -> None:
        """Write the files that GETs read."""
        for number in range(count):
            (self._dir / "root/get" / f"{size_bytes}-{number}").write_bytes(os.urandom(size_bytes))

    def url(self, scenario: str) -> str:
        return f"http://127.0.0.1:{self._port}"

    def prefix(self, scenario: str, size_bytes: int) -> tuple[str, str]:
        return f"/{scenario}/{size_bytes}-", ""

    def cpu_s(self) -> float:
        return cpu_of(self._pids)

    def close(self) -> None:
        """Stop nginx."""
        self._process.terminate()
        self._process.wait()


class Ais:
    """A playground cluster of one gateway and one target with one mountpath."""

    name = "ais"
    bucket = "bench"

    def __init__(self, directory: Path, core: int) -> None:
        self._cluster = Cluster(proxies=1, targets=1, mountpaths=1, dir=directory)
        self._cluster.__enter__()
        [self._proxy], [self._target] = self._cluster.proxies, self._cluster.targets
        self._pids = [self._proxy.pid, self._target.pid]
        pin(self._pids, core)
        self._call("POST", f"/v1/buckets/{self.bucket}", b'{"action":"create-bck"}')

    @property
    def target_pid(self) -> int:
        """The process of the target."""
        return self._target.pid

    def _call(self, method: str, path: str, body: bytes) -> None:
        request = urllib.request.Request(self._proxy.url + path, body, method=method)
        urllib.request.urlopen(request).read()

    def fill(self, size_bytes: int, count: int) -> None:
        """Put the objects that GETs read."""
        for number in range(count):
            path = f"/v1/objects/{self.bucket}/get/{size_bytes}-{number}?pid=bench&utm=1"
            request = urllib.request.Request(self._target.url + path, os.urandom(size_bytes), method="PUT")
            urllib.request.urlopen(request).read()

    def url(self, scenario: str) -> str:
        return self._proxy.url if scenario == "redirect" else self._target.url

    def prefix(self, scenario: str, size_bytes: int) -> tuple[str, str]:
        suffix = "?pid=bench&utm=1" if scenario == "put" else ""
        return f"/v1/objects/{self.bucket}/{scenario}/{size_bytes}-", suffix

    def cpu_s(self) -> float:
        return cpu_of(self._pids)

    def close(self) -> None:
        """Stop the cluster."""
        self._cluster.__exit__(None, None, None)
