"""What is done to objects: through a cluster's native API, or at an S3 endpoint. One per process."""

import json
import random
from typing import Protocol
from urllib.parse import quote

import xxhash

from ais.api import headers, query
from ais.base.errors import AisError, BadRequest, ChecksumMismatch
from ais_loader.arguments import Plan
from ais_loader.signing import Signer
from ais_loader.wire import Answer, Client

_CHECKSUM_TYPE, _CHECKSUM_VALUE = headers.CHECKSUM_TYPE.lower().encode(), headers.CHECKSUM_VALUE.lower().encode()
_XXH64 = (b"xxhash", b"xxhash2")
Content = bytes | memoryview


class Failed(AisError):
    """The server refused a request, or answered it wrong."""


class Operations(Protocol):
    """Each raises `AisError` when it fails."""

    async def put(self, name: str, content: Content) -> None: ...
    async def put_in_parts(self, name: str, content: Content, count: int) -> None: ...
    async def get(self, name: str) -> int:
        """Read an object; the bytes that came."""
        ...


def check(answer: Answer, *expected: int) -> Answer:
    """Raise `Failed` unless the status is one of these."""
    if answer.status not in expected:
        raise Failed(f"status {answer.status}: {answer.text[:300].decode(errors='replace')}")
    return answer


class Native:
    """A cluster, through its gateways."""

    def __init__(self, plan: Plan, client: Client, proxies: list[str], rng: random.Random) -> None:
        self._plan = plan
        self._client = client
        self._proxies = proxies
        self._rng = rng
        bck = plan.bucket
        namespace = f"&{query.NAMESPACE}={quote(bck.namespace.uname, safe='')}" if bck.namespace.name else ""
        self._query = f"?{query.PROVIDER}={bck.provider}{namespace}"
        self._path = f"/v1/objects/{bck.name}/"
        self._latest = f"&{query.LATEST_VERSION}=true" if plan.is_latest else ""

    async def put(self, name: str, content: Content) -> None:
        """One object, with its checksum unless told not to."""
        lines = b""
        if self._plan.checksum:
            digest = xxhash.xxh64_hexdigest(content)
            lines = f"{headers.CHECKSUM_TYPE}: xxhash2\r\n{headers.CHECKSUM_VALUE}: {digest}\r\n".encode()
        check(await self._client.request("PUT", self._url(name), body=content, lines=lines), 200)

    async def put_in_parts(self, name: str, content: Content, count: int) -> None:
        """The same as an upload of so many parts, sent one after the other."""
        url = self._url(name)
        start = await self._client.request("POST", url, body=b'{"action":"mpt-upload"}', keeps=True)
        upload = check(start, 200).text.decode()
        size = max(1, -(-len(content) // count))
        parts = []
        for number, offset in enumerate(range(0, max(len(content), 1), size), start=1):
            part = f"{url}&{query.UPLOAD_ID}={upload}&{query.PART_NUMBER}={number}"
            check(await self._client.request("PUT", part, body=content[offset : offset + size]), 200)
            parts.append({"part-number": number, "etag": ""})
        body = json.dumps({"action": "mpt-complete", "value": parts}).encode()
        check(await self._client.request("POST", f"{url}&{query.UPLOAD_ID}={upload}", body=body), 200)

    async def get(self, name: str) -> int:
        """One object or the range of it that was asked for; verified when that was asked for."""
        plan, lines = self._plan, b""
        if plan.read_length:
            last = plan.read_offset + plan.read_length - 1
            lines = f"Range: bytes={plan.read_offset}-{last}\r\n".encode()
        verifies = plan.verifies and not plan.read_length
        answer = await self._client.request("GET", self._url(name) + self._latest, lines=lines, hashes=verifies)
        check(answer, 200, 206)
        if verifies and answer.headers.get(_CHECKSUM_TYPE) in _XXH64:
            expected = answer.headers.get(_CHECKSUM_VALUE, b"").decode()
            if expected and expected != answer.digest:
                raise ChecksumMismatch("xxhash2", expected, answer.digest, name)
        return answer.size

    async def get_batch(self, names: list[str]) -> int:
        """Many objects in one answer."""
        entries = [{"objname": name} for name in names]
        body = json.dumps({"in": entries, "mime": ".tar", "strm": True, "coer": self._plan.goes_on}).encode()
        bck = self._plan.bucket
        url = f"{self._proxy()}/v1/ml/moss/{bck.name}{self._query}"
        answer = await self._client.request("GET", url, body=body, lines=b"Content-Type: application/json\r\n")
        return check(answer, 200).size

    def _url(self, name: str) -> str:
        return f"{self._proxy()}{self._path}{quote(name)}{self._query}"

    def _proxy(self) -> str:
        proxies = self._proxies
        return proxies[0] if len(proxies) == 1 else proxies[self._rng.randrange(len(proxies))]


class S3:
    """An S3 endpoint, path-style, with signatures of version 4."""

    def __init__(self, plan: Plan, client: Client, signer: Signer) -> None:
        self._plan = plan
        self._client = client
        self._signer = signer

    async def put(self, name: str, content: Content) -> None:
        """One object."""
        check(await self._call("PUT", name, content), 200)

    async def put_in_parts(self, name: str, content: Content, count: int) -> None:
        """Not over S3."""
        raise BadRequest("-multipart-chunks is for clusters, not for -s3endpoint")

    async def get(self, name: str) -> int:
        """One object or the range of it that was asked for."""
        lines: dict[str, str] = {}
        if self._plan.read_length:
            last = self._plan.read_offset + self._plan.read_length - 1
            lines["Range"] = f"bytes={self._plan.read_offset}-{last}"
        return check(await self._call("GET", name, b"", lines), 200, 206).size

    async def _call(self, method: str, name: str, body: Content, more: dict[str, str] | None = None) -> Answer:
        path = f"/{self._plan.bucket.name}/{quote(name)}"
        signed = self._signer.sign(method, path, "", more or {})
        lines = "".join(f"{key}: {value}\r\n" for key, value in signed.items()).encode()
        return await self._client.request(method, self._plan.endpoint + path, body=body, lines=lines)
