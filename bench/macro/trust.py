"""What trust costs: a GET of 4 KiB with everything on beside the same with everything off, and each signature alone.

    python bench/macro/trust.py [--requests 1000]         (or: make cost)

One client on one connection to each node. CPU time of gateway and target is compared, and the rate; on a machine that
is busy only the first means anything. Rounds with and without alternate; figures are medians of ten rounds, ratios
those of pairs. `again`: the same few names, as in a second epoch over a small set; `once`: each name for the first
time since the gateway knew its token; `direct`: with the token at the target; `relayed`: over S3 through the gateway,
with the token as session token; the gateway's note for the target is signed in either case; `session`: signed with the
key and token of a session of STS, beside signed with an access key. Then what is done once for each request, in
microseconds: the mark of a redirect, a token, the note and signature of nodes.
"""

import argparse
import json
import socket
import sys
import time
import timeit
import urllib.request
from collections.abc import Callable, Iterable
from statistics import median
from typing import NamedTuple

import boto3
import jwt

from ais.auth import marks, signing, tokens
from ais.auth.nodes import Proof
from ais.s3 import via
from ais.s3.via import Via
from ais.testing import Cluster, Node

KEY = "a secret of more than thirty-two bytes"
NAMES, SIZE, ROUNDS = 500, 4096, 10


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
    """CPU time that the event loop of a node has used, in microseconds."""
    with open(f"/proc/{node.pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e3


class Cost(NamedTuple):
    """Of one request: CPU of both nodes in microseconds, and how many there were in a second."""

    gateway: float
    target: float
    rate: float

    @property
    def cpu(self) -> float:
        """Of both."""
        return self.gateway + self.target


def measure(cluster: Cluster, ask: Callable[[str], None], names: Iterable[str]) -> Cost:
    """What `ask` costs per name."""
    gateway, target = cluster.proxies[0], cluster.targets[0]
    before, began, count = (cpu_us(gateway), cpu_us(target)), time.perf_counter(), 0
    for name in names:
        ask(name)
        count += 1
    took_s = time.perf_counter() - began
    after = cpu_us(gateway), cpu_us(target)
    return Cost((after[0] - before[0]) / count, (after[1] - before[1]) / count, count / took_s)


class Signer:
    """Reads objects over S3 through the gateway, signed by an access key; `token`: of the session that it is of."""

    def __init__(self, cluster: Cluster, key_id: str, secret: str, token: str = "") -> None:
        self._line, self._key_id, self._secret = Line(cluster.proxies[0].url), key_id, secret
        self._more = {"x-amz-security-token": token} if token else {}

    def read(self, name: str) -> None:
        """Each signed anew."""
        target = f"/s3/b/{name}"
        lines = self._more | signing.lines_of(
            "GET",
            "127.0.0.1",
            target,
            None,
            key_id=self._key_id,
            secret=self._secret,
            now_s=time.time(),
            more=self._more,
        )
        status, _ = self._line.ask("GET", target, "".join(f"{name}: {value}\r\n" for name, value in lines.items()))
        assert status == 200, status


class Client:
    """Reads objects in each of the ways; `token` empty: without one."""

    def __init__(self, cluster: Cluster, token: str) -> None:
        self._target = cluster.targets[0].url
        self._one, self._two = Line(cluster.proxies[0].url), Line(self._target)
        self._bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        self._session = f"x-amz-security-token: {token}\r\n" if token else ""

    def redirected(self, name: str) -> None:
        """By the gateway to the target."""
        status, lines = self._one.ask("GET", f"/v1/objects/b/{name}?provider=ais", self._bearer)
        assert status == 301, status
        status, _ = self._two.ask("GET", lines["location"].removeprefix(self._target))
        assert status == 200, status

    def direct(self, name: str) -> None:
        """At the target, as clients do that compute owners."""
        assert self._two.ask("GET", f"/v1/objects/b/{name}?provider=ais", self._bearer)[0] == 200

    def relayed(self, name: str) -> None:
        """Over S3 through the gateway."""
        assert self._one.ask("GET", f"/s3/b/{name}", self._session)[0] == 200


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    count = parser.parse_args().requests
    token = jwt.encode({"sub": "bench", "exp": 1 << 40, "admin": True}, KEY, "HS256")
    with Cluster(proxies=1, targets=1, mountpaths=1) as cluster:
        act(cluster, "POST", "/v1/buckets/b", {"action": "create-bck"})
        one, two = Line(cluster.endpoint), Line(cluster.targets[0].url)
        for number in range(NAMES):
            location = one.ask("PUT", f"/v1/objects/b/n{number}?provider=ais")[1]["location"]
            assert two.ask("PUT", location.removeprefix(cluster.targets[0].url), body=b"x" * SIZE)[0] == 200
        again = [f"n{number % 50}" for number in range(count)]
        once = [f"n{number}" for number in range(50, NAMES)]
        found: dict[str, dict[str, list[Cost]]] = {}
        for label in ("off", "on") * ROUNDS:
            value = {"auth": {"client_auth_required": label == "on", "signature": {"key": KEY, "method": "HMAC"}}}
            line = f"Authorization: Bearer {token}\r\n"
            act(cluster, "PUT", "/v1/cluster", {"action": "set-config", "value": value}, line)
            client = Client(cluster, token if label == "on" else "")
            for kind, ask, names in (
                ("again", client.redirected, again),
                ("once", client.redirected, once),
                ("direct", client.direct, again),
                ("relayed", client.relayed, again),
            ):
                measure(cluster, ask, names[:500])
                found.setdefault(kind, {}).setdefault(label, []).append(measure(cluster, ask, names))
        signers = begin_session(cluster, token)
        for label in ("off", "on") * ROUNDS:
            measure(cluster, signers[label].read, again[:500])
            found.setdefault("session", {}).setdefault(label, []).append(measure(cluster, signers[label].read, again))
    for kind, costs in found.items():
        off, on = (Cost(*map(median, zip(*costs[label], strict=True))) for label in ("off", "on"))
        by_cpu, by_rate = (
            median(ratio(*pair) for pair in zip(costs["off"], costs["on"], strict=True))
            for ratio in (lambda one, other: one.cpu / other.cpu, lambda one, other: other.rate / one.rate)
        )
        sys.stdout.write(
            f"{kind:8} gateway {off.gateway:5.1f} -> {on.gateway:5.1f} us, target {off.target:5.1f} ->"
            f" {on.target:5.1f} us: {by_cpu:4.0%} by CPU;"
            f" {off.rate:.0f} -> {on.rate:.0f}/s: {by_rate:4.0%} of the rate\n"
        )
    signatures(token)


def signatures(token: str) -> None:
    """What each costs alone."""
    key, now_ns = b"k" * 32, time.time_ns()
    location = "/v1/objects/b/name?provider=ais&pid=p1"
    mark, reader = (
        f"{marks.sign(key, 't1', 'PUT', location, now_ns)}&utm={now_ns}",
        marks.Reader("t1", lambda _: (key,)),
    )
    note = Via("127.0.0.1:1", "http", time_s=now_ns // 10**9, to="t1", by="p1", nonce=b"n" * 12, map=7)
    proof = Proof.make("p1", now_ns / 1e9, b"x" * 100)
    tag = proof.sign(key, "PUT", "/v1/metasync")
    for name, work in {
        "mark of a redirect": lambda: marks.sign(key, "t1", "GET", location, now_ns),
        "mark read": lambda: reader.read("PUT", mark, now_ns),
        "token (HS256)": lambda: tokens.decode(token, KEY, ("HS256",)),
        "note of a relay": lambda: via.header(note, key, "GET", "/s3/b/name"),
        "node signs": lambda: Proof.make("p1", now_ns / 1e9, b"x" * 100).sign(key, "PUT", "/v1/metasync"),
        "signature read": lambda: proof.is_signed(tag, key, "PUT", "/v1/metasync"),
    }.items():
        best = min(timeit.repeat(work, number=2000, repeat=5)) / 2000
        sys.stdout.write(f"{name:20} {best * 1e6:6.1f} us\n")


def begin_session(cluster: Cluster, token: str) -> dict[str, Signer]:
    """Who signs with an administrator's key, and with a session that it began."""
    line = f"Authorization: Bearer {token}\r\n"
    made = json.loads(act(cluster, "POST", "/v1/auth/keys", {"user": "bench", "admin": True}, line))
    given = {"aws_access_key_id": made["id"], "aws_secret_access_key": made["secret"]}
    sts = boto3.client("sts", endpoint_url=cluster.endpoint, region_name="us-east-1", **given)
    held = sts.get_session_token()["Credentials"]
    return {
        "off": Signer(cluster, made["id"], made["secret"]),
        "on": Signer(cluster, held["AccessKeyId"], held["SecretAccessKey"], held["SessionToken"]),
    }


def act(cluster: Cluster, method: str, path: str, message: object, line: str = "") -> bytes:
    """An administrator's request; what was answered."""
    name, _, value = line.strip().partition(": ")
    headers = {name: value} if name else {}
    body = json.dumps(message).encode()
    with urllib.request.urlopen(
        urllib.request.Request(cluster.endpoint + path, body, headers, method=method)
    ) as answer:
        return answer.read()


if __name__ == "__main__":
    main()
