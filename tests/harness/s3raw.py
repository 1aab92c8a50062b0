"""S3 requests made by hand: signed as AWS documents it, then broken on purpose, then sent byte for byte as they are.

    request = Request("PUT", "/bucket/key", body=b"data")
    sign(request, access)
    request.body = b"Data"
    answer = send(access, request)

The signing here shares no code with `ais.s3`: source is Amazon's "Authenticating Requests (AWS Signature Version 4)".
"""

import base64
import contextlib
import dataclasses
import hashlib
import hmac
import http.client
import re
import time
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote

from harness.s3access import REGION, Access
from harness.wire import TIMEOUT_S, Answer

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_CODE = re.compile(rb"<Error>.*?<Code>([^<]*)</Code>", re.DOTALL)


@dataclasses.dataclass(slots=True)
class Request:
    """What goes on the wire. `path` and `query` are percent-encoded already; a body's length is added when sent."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


class Seal(NamedTuple):
    """What the chunks of a signed body are signed with."""

    key: bytes
    scope: str
    timestamp: str
    signature: str


def sign(
    request: Request,
    access: Access,
    *,
    payload: str | None = None,
    time_s: float | None = None,
    leave_out: Iterable[str] = (),
) -> Seal:
    """Add `Authorization` and what it needs. `payload`: value of `x-amz-content-sha256`, by default the body's hash.

    Every header there is gets signed, except those in `leave_out`.
    """
    timestamp = stamp(time_s)
    payload = hashlib.sha256(request.body).hexdigest() if payload is None else payload
    headers = {"Host": access.host, "x-amz-date": timestamp, "x-amz-content-sha256": payload}
    request.headers = {**headers, **request.headers}
    signed = {name.lower(): value for name, value in request.headers.items() if name not in leave_out}
    seal = _seal(request, access, signed, payload, timestamp, request.query)
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access.key_id}/{seal.scope}, "
        f"SignedHeaders={';'.join(sorted(signed))}, Signature={seal.signature}"
    )
    return seal


def presign(request: Request, access: Access, *, expires_s: int = 600, time_s: float | None = None) -> None:
    """Add the signature to the query; only `Host` is signed."""
    timestamp = stamp(time_s)
    scope = f"{timestamp[:8]}/{REGION}/s3/aws4_request"
    query = (
        f"{request.query}&" * bool(request.query) + "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Credential={quote(f'{access.key_id}/{scope}', safe='')}&X-Amz-Date={timestamp}"
        f"&X-Amz-Expires={expires_s}&X-Amz-SignedHeaders=host"
    )
    request.headers = {"Host": access.host, **request.headers}
    seal = _seal(request, access, {"host": access.host}, UNSIGNED, timestamp, query)
    request.query = f"{query}&X-Amz-Signature={seal.signature}"


def stamp(time_s: float | None = None) -> str:
    """`20151021T072800Z`, by default now."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time_s))


def _seal(request: Request, access: Access, signed: dict[str, str], payload: str, timestamp: str, query: str) -> Seal:
    names = sorted(signed)
    canonical = "\n".join(
        (
            request.method,
            request.path,
            _canonical_query(query),
            *(f"{name}:{' '.join(signed[name].split())}" for name in names),
            "",
            ";".join(names),
            payload,
        )
    )
    scope = f"{timestamp[:8]}/{REGION}/s3/aws4_request"
    key = f"AWS4{access.secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{_sha256(canonical.encode())}"
    return Seal(key, scope, timestamp, _hmac(key, text))


def _canonical_query(query: str) -> str:
    pairs = (part.partition("=")[::2] for part in query.split("&") if part)
    return "&".join(sorted(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs))


def _encoded(text: str) -> str:
    return quote(unquote(text, errors="surrogateescape"), safe="~", errors="surrogateescape")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hmac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def signed_chunks(seal: Seal, pieces: Iterable[bytes], trailer: str = "") -> list[bytes]:
    """The chunks of a signed body as they go on the wire, the final one (with the signed trailer) last.

    `trailer` reads `name:value`.
    """
    previous, chunks = seal.signature, []
    for piece in (*pieces, b""):
        text = "\n".join(
            ("AWS4-HMAC-SHA256-PAYLOAD", seal.timestamp, seal.scope, previous, _sha256(b""), _sha256(piece))
        )
        previous = _hmac(seal.key, text)
        data = piece + b"\r\n" if piece else b""
        chunks.append(f"{len(piece):x};chunk-signature={previous}\r\n".encode() + data)
    if trailer:
        text = "\n".join(
            ("AWS4-HMAC-SHA256-TRAILER", seal.timestamp, seal.scope, previous, _sha256(f"{trailer}\n".encode()))
        )
        chunks[-1] += f"{trailer}\r\nx-amz-trailer-signature:{_hmac(seal.key, text)}\r\n".encode()
    chunks[-1] += b"\r\n"
    return chunks


def unsigned_chunks(pieces: Iterable[bytes], trailer: str) -> list[bytes]:
    """The same without signatures."""
    chunks = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
    return [*chunks, f"0\r\n{trailer}\r\n\r\n".encode()]


def send(access: Access, request: Request) -> Answer:
    """The answer to exactly this request, on a connection of its own."""
    address, _, port = access.host.partition(":")
    if tls := access.tls():
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            address, int(port), timeout=TIMEOUT_S, context=tls
        )
    else:
        connection = http.client.HTTPConnection(address, int(port), timeout=TIMEOUT_S)
    length = {"Content-Length": str(len(request.body))} if request.body or request.method in ("PUT", "POST") else {}
    headers = {"Host": access.host, **length, **request.headers}
    with contextlib.closing(connection):
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value.encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # A refusal may close the sending half before the body is through: read the answer all the same.
            connection.endheaders(request.body)
        response = connection.getresponse()
        body = response.read()
        return Answer(response.status, response.reason, tuple(response.getheaders()), body, access.url + request.target)


def call(
    access: Access,
    method: str,
    path: str,
    query: str = "",
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """A request signed as it should be."""
    request = Request(method, path, query, dict(headers or {}), body)
    sign(request, access)
    return send(access, request)


def code(answer: Answer) -> str:
    """The S3 code of an error answer, empty when there is none (as after a HEAD)."""
    found = _CODE.search(answer.body)
    return found[1].decode() if found else ""


def md5_of(body: bytes) -> dict[str, str]:
    """The header that says what the body is."""
    return {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
