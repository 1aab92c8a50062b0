"""What a token costs: CPU of gateway and target per GET of 4 KiB through the redirect, with and without tokens.

    python bench/macro/tokens.py [--requests 20000]

One client on one connection to each; the machine may be busy, as CPU time is compared, not rate. `again`: the same few
names, as in a second epoch over a small set; `once`: each name for the first time since the gateway knew its token.
"""

import argparse
import json
import socket
import sys
import urllib.request
from collections.abc import Iterable

import jwt
import psutil

from ais.testing import Cluster, Node

KEY = "a secret of more than thirty-two bytes"
NAMES, SIZE = 4000, 4096


class Line:
    """A connection that is kept."""

    def __init__(self, url: str) -> None:
        host, _, port = url.rpartition("/")[2].rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._file = self._socket.makefile("rb")

    def ask(self, method: str, target: str, more: str = "", body: bytes = b"") -> tuple[int, dict[str, str]]:
        """Status and headers."""
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        if method == "GET":
            head = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n{more}\r\n"
        self._socket.sendall(head.encode() + body)
        status = int(self._file.readline().split()[1])
        lines = {}
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            lines[name.lower()] = value.strip()
        self._file.read(int(lines.get("content-length", "0")))
        return status, lines


def cpu_us(node: Node) -> float:
    """CPU time that a node has used."""
    times = psutil.Process(node.pid).cpu_times()
    return (times.user + times.system) * 1e6


def measure(cluster: Cluster, names: Iterable[str], count: int, more: str) -> tuple[float, float]:
    """Microseconds of gateway and target per GET."""
    gateway, target = cluster.proxies[0], cluster.targets[0]
    one, two = Line(gateway.url), Line(target.url)
    before = cpu_us(gateway), cpu_us(target)
    for name in names:
        status, lines = one.ask("GET", f"/v1/objects/b/{name}?provider=ais", more)
        assert status == 301, status
        status, _ = two.ask("GET", lines["location"].removeprefix(target.url))
        assert status == 200, status
    after = cpu_us(gateway), cpu_us(target)
    return (after[0] - before[0]) / count, (after[1] - before[1]) / count


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20000)
    count = parser.parse_args().requests
    with Cluster(proxies=1, targets=1, mountpaths=1) as cluster:
        act(cluster, "POST", "/v1/buckets/b", {"action": "create-bck"})
        one, two = Line(cluster.endpoint), Line(cluster.targets[0].url)
        for number in range(NAMES):
            location = one.ask("PUT", f"/v1/objects/b/n{number}?provider=ais")[1]["location"]
            assert two.ask("PUT", location.removeprefix(cluster.targets[0].url), body=b"x" * SIZE)[0] == 200
        again = [f"n{number % 50}" for number in range(count)]
        once = [f"n{number}" for number in range(50, NAMES)]
        found = {}
        for label in ("without", "with") * 4:
            is_on = label == "with"
            value = {"auth": {"client_auth_required": is_on, "signature": {"key": KEY, "method": "HMAC"}}}
            admin = {"sub": "bench", "exp": 1 << 40, "admin": True}
            token = f"Authorization: Bearer {jwt.encode(admin, KEY, 'HS256')}\r\n"
            act(cluster, "PUT", "/v1/cluster", {"action": "set-config", "value": value}, token)
            more = token if is_on else ""
            measure(cluster, again[:1000], 1000, more)
            for kind, names in (("again", again), ("once", once)):
                costs = measure(cluster, names, len(names), more)
                found[kind, label] = min(found.get((kind, label), costs), costs, key=sum)
        for kind in ("again", "once"):
            off, on = found[kind, "without"], found[kind, "with"]
            share = sum(off) / sum(on)
            sys.stdout.write(
                f"{kind:6} gateway {off[0]:.1f} -> {on[0]:.1f} us, target {off[1]:.1f} -> {on[1]:.1f} us:"
                f" {share:.0%} of the rate\n"
            )


def act(cluster: Cluster, method: str, path: str, message: object, line: str = "") -> None:
    """An administrator's request."""
    name, _, value = line.strip().partition(": ")
    headers = {name: value} if name else {}
    body = json.dumps(message).encode()
    urllib.request.urlopen(urllib.request.Request(cluster.endpoint + path, body, headers, method=method)).close()


if __name__ == "__main__":
    main()
