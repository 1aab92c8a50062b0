"""Requests that cost a node much and their sender little: finding 8 of the review, and what is like them."""

import json
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import md5
from typing import NamedTuple

from harness.meanwhile import Meanwhile
from harness.wire import Answer, request

MIB = 1 << 20
GROWTH_MIB_MAX = 512
"""Resident memory that all of this may add to a node: twice what request bodies may take (`limits.body_memory`)."""
INNOCENT = "127.0.0.3"
"""Where the client is that does no harm."""


class Attack(NamedTuple):
    """One request, and the statuses that are right for it."""

    name: str
    method: str
    target: str
    body: bytes
    statuses: tuple[int, ...]


def _json_of(size: int) -> bytes:
    return b'{"action":"set-config","value":[' + b"{}," * (size // 3) + b"{}]}"


def _policy(stars: int, bucket: str) -> bytes:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{bucket}/" + "*a" * stars + "b",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()


def _xml(root: str, levels: int) -> bytes:
    return f"<{root}>".encode() + b"<a>" * levels + b"</a>" * levels + f"</{root}>".encode()


def attacks(bucket: str, scale: int) -> Iterator[Attack]:
    """All of them; `scale` 1 is quick, 100 what the review names."""
    length = 20_000 * scale
    yield Attack("name of a setting", "PUT", "/v1/cluster", _set("a." * (length // 2)), (400, 413))
    yield Attack(
        "nested setting", "PUT", "/v1/cluster", b'{"action":"set-config","value":' + b'{"a":' * length, (400, 413)
    )
    yield Attack("nested lists", "PUT", "/v1/cluster", b'{"action":"set-config","value":' + b"[" * length, (400, 413))
    yield Attack("JSON", "PUT", "/v1/cluster", _json_of(MIB * scale), (400, 413))
    yield Attack("JSON of a list route", "DELETE", f"/v1/buckets/{bucket}", _json_of(MIB * scale), (400, 413))
    longest = min(scale, 63)
    yield Attack("JSON as long as lists", "DELETE", f"/v1/buckets/{bucket}", _json_of(MIB * longest), (400,))
    commas = b'{"action":"no action","name":"' + b"," * (MIB * longest - 100) + b'","value":{}}'
    yield Attack("one string of commas", "DELETE", f"/v1/buckets/{bucket}", commas, (400,))
    yield Attack("entries of a batch", "GET", f"/v1/ml/moss/{bucket}", _entries(10_000 * scale), (307, 400, 413))
    for stars in (12, 64, 1000):
        yield Attack(f"policy of {stars} stars", "PUT", f"/s3/{bucket}?policy", _policy(stars, bucket), (204, 400))
        yield Attack("a key for it", "GET", f"/s3/{bucket}/" + "a" * 900, b"", (404,))
    yield Attack("policy away", "DELETE", f"/s3/{bucket}?policy", b"", (204,))
    for root, target in (("Delete", f"/s3/{bucket}?delete"), ("CompleteMultipartUpload", f"/s3/{bucket}/o?uploadId=u")):
        yield Attack(f"nested {root}", "POST", target, _xml(root, 1000 * scale), (400, 404, 413))
        yield Attack(f"tags of {root}", "POST", target, _tags(root, 2400 * scale), (400, 404))
    attributes = b" ".join(b'a%d="x"' % number for number in range(3000 * scale))
    yield Attack("attributes of Delete", "POST", f"/s3/{bucket}?delete", b"<Delete " + attributes + b"/>", (400,))
    yield Attack("digits", "PUT", "/v1/cluster/set-config?timeout.max_keepalive=" + "9" * 5000, b"", (400,))
    yield Attack("names to delete", "DELETE", f"/v1/buckets/{bucket}", _names(10_000 * scale), (200, 202))
    yield Attack("too many names", "DELETE", f"/v1/buckets/{bucket}", _names(1_100_000), (413,))


def _tags(root: str, count: int) -> bytes:
    return f"<{root}>".encode() + b"<a/>" * count + f"</{root}>".encode()


def _entries(count: int) -> bytes:
    return json.dumps({"in": [{"objname": f"no-such-object-{number}"} for number in range(count)]}).encode()


def _set(name: str) -> bytes:
    return json.dumps({"action": "set-config", "value": {name + "a": 1}}).encode()


def _names(count: int) -> bytes:
    names = [f"no-such-object-{number}" for number in range(count)]
    return json.dumps({"action": "delete-listrange", "name": "", "value": {"objnames": names}}).encode()


def send(url: str, attack: Attack) -> Answer | None:
    """The answer; None when the node closed the connection in the middle of the body, which is an answer too."""
    try:
        headers = {"Content-MD5": b64encode(md5(attack.body).digest()).decode()} if "?delete" in attack.target else {}
        return request(url, attack.method, attack.target, body=attack.body, headers=headers)
    except (BrokenPipeError, ConnectionResetError):
        return None


class Health(Meanwhile):
    """Asks nodes for their health all the time: how often they answered, what they did not, and how long it took."""

    def __init__(self, urls: list[str], tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        super().__init__(*[self._asker(url) for url in urls])
        self.took_s: list[float] = []
        self.failures: list[str] = []

    def _asker(self, url: str) -> Callable[[], None]:
        def ask() -> None:
            while not self.ended.wait(0.02):
                began = time.monotonic()
                try:
                    status = request(url, "GET", "/v1/health", tls=self._tls, source=(INNOCENT, 0)).status
                except OSError as error:
                    self.failures.append(f"{url}: {error!r}")
                else:
                    self.took_s.append(time.monotonic() - began)
                    if status != 200:
                        self.failures.append(f"{url}: {status}")

        return ask


class Innocent(Meanwhile):
    """Reads an object over S3, so many times a second at most; how often it could, and what it got else."""

    def __init__(self, url: str, target: str, tls: ssl.SSLContext | None = None, rate: int = 50) -> None:
        self._url, self._target, self._tls, self._rate = url, target, tls, rate
        self.done = 0
        self.failures: list[str] = []
        super().__init__(self._read)

    def _read(self) -> None:
        began = time.monotonic()
        next_s = began
        while not self.ended.is_set():
            try:
                status = request(self._url, "GET", self._target, tls=self._tls, source=(INNOCENT, 0)).status
            except OSError as error:
                status = 0
                self.failures.append(repr(error))
            if status == 200:
                self.done += 1
            else:
                self.failures.append(f"{status}")
            next_s = max(next_s + 1 / self._rate, time.monotonic() - 0.5)
            self.ended.wait(max(0.0, next_s - time.monotonic()))
        self.per_s = self.done / (time.monotonic() - began)


@contextmanager
def held_open(url: str, count: int, host: str = "127.0.0.1", first: bytes = b"") -> Iterator[int]:
    """So many connections from one address that send `first` and nothing else; how many the node took."""
    address, _, port = url.rpartition("//")[2].partition(":")
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            with suppress(OSError):
                sock = socket.create_connection((address, int(port)), timeout=20, source_address=(host, 0))
                opened.append(sock)
                sock.sendall(first)
        yield len(opened)
    finally:
        for sock in opened:
            sock.close()
