"""Requests to a live cluster with nothing hidden: exact status, header lines and bytes.

Built on `http.client` and sockets only, so that no client library follows, retries, decodes or repairs anything for us.
"""

import contextlib
import dataclasses
import http.client
import json
import secrets
import socket
import ssl
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgpack

from ais.auth import signing

TIMEOUT_S = 20.0
MSGPACK = {"Accept": "application/msgpack"}


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer as it came over the wire."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    url: str

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever its case."""
        return next(iter(self.header_all(name)), None)

    def header_all(self, name: str) -> list[str]:
        """Every value of a header, one per line received."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header_names(self) -> set[str]:
        """The names exactly as they were spelled."""
        return {key for key, _ in self.headers}

    def json(self) -> Any:
        """The body decoded as JSON."""
        return json.loads(self.body)

    def msgpack(self) -> Any:
        """The body decoded as msgpack."""
        return msgpack.unpackb(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error JSON, from the body or (for HEAD) from `Hdr-Error`."""
        return json.loads(self.body or self.header("Hdr-Error") or "{}")


def request(
    url: str,
    method: str,
    target: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    source: tuple[str, int] | None = None,
) -> Answer:
    """One request on a connection of its own; the answer of exactly that request, redirect or not.

    With a `Transfer-Encoding` in `headers` the body is sent as it is: it holds its own frames. `tls` is how to speak to
    an `https` address, `source` the address to come from.
    """
    split = urllib.parse.urlsplit(url)
    host = split.hostname or ""
    connection: http.client.HTTPConnection
    if split.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, split.port, timeout=TIMEOUT_S, source_address=source, context=tls
        )
    else:
        connection = http.client.HTTPConnection(host, split.port, timeout=TIMEOUT_S, source_address=source)
    with contextlib.closing(connection):
        is_framed = "Transfer-Encoding" in (headers or {})
        has_length = (body or method in ("PUT", "POST", "PATCH")) and not is_framed
        sent = {"Content-Length": str(len(body))} if has_length else {}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # An early answer (redirect, refusal) may close the sending half: read the answer all the same.
            connection.request(method, target, body=body or None, headers={**sent, **(headers or {})})
        response = connection.getresponse()
        content = response.read()
        return Answer(response.status, response.reason, tuple(response.getheaders()), content, url + target)


def follow(answer: Answer, method: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """Send the same request to where `answer` points, up to three times, as a Go client does."""
    for _ in range(3):
        if answer.status not in (301, 307):
            break
        location = urllib.parse.urlsplit(answer.header("Location") or "")
        target = location.path + (f"?{location.query}" if location.query else "")
        answer = request(f"{location.scheme}://{location.netloc}", method, target, body=body, headers=headers)
    return answer


def object_path(bucket: str, name: str) -> str:
    """The request path of an object; the name percent-encoded, slashes kept."""
    return f"/v1/objects/{bucket}/{urllib.parse.quote(name)}"


def message(action: str, name: str = "", value: Any = None) -> bytes:
    """An `ActMsg` with all three keys, as the Python SDK sends it."""
    return json.dumps({"action": action, "name": name, "value": value}).encode()


class Api:
    """The native API of one node, spoken by hand. Every method returns the `Answer`; nothing raises on a status.

    With `key` (ID and secret of an administrator's) requests to that node are signed.
    """

    def __init__(self, url: str, key: tuple[str, str] | None = None) -> None:
        self.url = url
        self._key = key

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        redirects: bool = True,
    ) -> Answer:
        """One request; redirects are followed (method and body kept) unless told not to."""
        target = path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        lines = {}
        if self._key is not None:
            host, (key_id, secret) = urllib.parse.urlsplit(self.url).netloc, self._key
            lines = signing.lines_of(method, host, target, body, key_id=key_id, secret=secret, now_s=time.time())
        answer = request(self.url, method, target, body=body, headers={**lines, **(headers or {})})
        return follow(answer, method, body=body, headers=headers) if redirects else answer

    def act(
        self,
        method: str,
        path: str,
        action: str,
        *,
        name: str = "",
        value: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A control message."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self.call(method, path, query, body=message(action, name, value), headers=sent)

    def create(self, bucket: str, props: Any = None, **query: str) -> Answer:
        return self.act("POST", f"/v1/buckets/{bucket}", "create-bck", value=props, query={"provider": "ais", **query})

    def destroy(self, bucket: str, **query: str) -> Answer:
        return self.act("DELETE", f"/v1/buckets/{bucket}", "destroy-bck", query={"provider": "ais", **query})

    def put(self, bucket: str, name: str, data: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        return self.call("PUT", object_path(bucket, name), {"provider": "ais"}, body=data, headers=headers)

    def get(self, bucket: str, name: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.call("GET", object_path(bucket, name), {"provider": "ais"}, headers=headers)

    def head(self, bucket: str, name: str, **query: str) -> Answer:
        return self.call("HEAD", object_path(bucket, name), {"provider": "ais", **query})

    def delete(self, bucket: str, name: str) -> Answer:
        return self.call("DELETE", object_path(bucket, name), {"provider": "ais"})

    def page(self, bucket: str, headers: Mapping[str, str] | None = None, **value: Any) -> Answer:
        """One page of a listing; `value` are the keys of `LsoMsg`."""
        return self.act(
            "GET", f"/v1/buckets/{bucket}", "list", value=value, query={"provider": "ais"}, headers=headers or MSGPACK
        )

    def entries(self, bucket: str, **value: Any) -> Iterator[dict[str, Any]]:
        """Every entry of a bucket, page after page, in the order received (msgpack keys)."""
        token = uuid = ""
        while True:
            answer = self.page(bucket, **value, uuid=uuid, continuation_token=token)
            assert answer.status == 200, answer
            page = answer.msgpack()
            yield from page["Entries"] or ()
            token, uuid = page["ContinuationToken"], page["UUID"]
            if not token:
                return

    def names(self, bucket: str, **value: Any) -> list[str]:
        """Every name of a bucket in the order received."""
        return [entry["n"] for entry in self.entries(bucket, **value)]

    def smap(self) -> dict[str, Any]:
        """The cluster map this node has."""
        answer = self.call("GET", "/v1/daemon", {"what": "smap"})
        assert answer.status == 200, answer
        return answer.json()

    def of_node(self, node_id: str, what: str) -> Answer:
        """`what=` of any node, through this proxy."""
        return self.call("GET", "/v1/reverse/daemon", {"what": what}, headers={"Ais-Node-Id": node_id})


def fresh_name(stem: str = "b") -> str:
    """A bucket name nobody else uses."""
    return f"{stem}-{secrets.token_hex(5)}"


class RawConnection:
    """A socket on which a test writes what no decent client would."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        split = urllib.parse.urlsplit(url)
        self.host = split.netloc
        self.socket = socket.create_connection((split.hostname, split.port), timeout=timeout_s)

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_head(self, method: str, target: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """A request head with `Host` and the headers given, nothing else."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", *(f"{key}: {value}" for key, value in headers)]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def answer(self, method: str = "GET") -> Answer:
        """Read exactly one final or interim answer, never a byte of the next one."""
        head = self._head()
        status_line, *lines = head.decode("latin-1").split("\r\n")
        _, status, *reason = status_line.split(" ", 2)
        headers = tuple((key, value.strip()) for key, _, value in (line.partition(":") for line in lines))
        answer = Answer(int(status), "".join(reason), headers, b"", self.host)
        if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
            return answer
        if (answer.header("Transfer-Encoding") or "").lower() == "chunked":
            return dataclasses.replace(answer, body=self._chunked())
        length = answer.header("Content-Length")
        body = self._exactly(int(length)) if length is not None else self.rest()
        return dataclasses.replace(answer, body=body)

    def rest(self) -> bytes:
        """Everything until the server closes."""
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := self.socket.recv(65536):
                parts.append(part)
        return b"".join(parts)

    def is_closed(self) -> bool:
        """True when the server closed, without a further byte."""
        return self.rest() == b""

    def _head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._exactly(1)
        return head[:-4]

    def _chunked(self) -> bytes:
        parts = []
        while size := int(self._line().split(b";")[0], 16):
            parts.append(self._exactly(size))
            self._exactly(2)
        while self._line():
            pass
        return b"".join(parts)

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._exactly(1)
        return line[:-2]

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = self.socket.recv(count)
            if not part:
                raise ConnectionResetError("the server closed in the middle of an answer")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
