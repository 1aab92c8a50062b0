"""A server between the cluster and its backend: it counts requests, and breaks answers as networks and clouds do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from harness.answering import answering

CUT, SLOW, OVERLOADED, LESS, OTHER = "cut", "slow", "overloaded", "less", "other content"
HUNG = "hung"
"""There is no answer before the fault ends."""
BREAKS = (CUT, SLOW, OVERLOADED, HUNG)
"""What may happen to GETs: it breaks off, it stalls until the fault ends, it is refused, or not answered before."""
FAULTS = (*BREAKS, LESS, OTHER)
"""Or all of it comes: one byte less than there is, as its head says, or other bytes."""
LOST, REFUSED, HELD, INVALID = "lost", "refused", "held", "invalid"
"""What may happen to PUTs: it is done and the answer does not come, or it is not done, or not before the fault ends (of
DELETEs, too), or refused for good."""
_HOP = ("connection", "transfer-encoding", "content-length", "date", "server")


class Gate:
    """`fault` is what happens to every GET or PUT of an object."""

    def __init__(self, origin: str, is_read: "Callable[[web.BaseRequest], bool] | None" = None) -> None:
        """`is_read`: what is a GET of an object; the gate follows redirects. None: as with S3."""
        self._follows = is_read is not None
        self._is_read = is_read or _is_s3_read
        self.url = ""
        self.fault = ""
        self.reads: Counter[str] = Counter()
        """GETs of objects: `key` or `key bytes=0-9`."""
        self.requests = 0
        self.held = 0
        """PUTs and DELETEs that wait."""
        self.stalled = 0
        """Answers that stall, and whose reader has not gone."""
        self._origin = origin
        self._http: aiohttp.ClientSession | None = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        is_read = request.method == "GET" and self._is_read(request)
        if is_read:
            key = request.path[1:].partition("/")[2]
            self.reads[f"{key} {request.headers.get('Range', '')}".strip()] += 1
        fault = self.fault if is_read else ""
        if fault == OVERLOADED:
            return web.Response(status=503, text="<Error><Code>SlowDown</Code><Message>slow</Message></Error>")
        while fault == HUNG and self.fault == HUNG:  # noqa: ASYNC110 - the test sets a string
            await asyncio.sleep(0.01)
        if self.fault == REFUSED and request.method == "PUT":
            return web.Response(status=500, text="<Error><Code>InternalError</Code></Error>")
        if self.fault == INVALID and request.method == "PUT":
            return web.Response(status=400, text="<Error><Code>InvalidArgument</Code></Error>")
        if self.fault == HELD and request.method in ("PUT", "DELETE"):
            self.held += 1
            while self.fault == HELD:  # noqa: ASYNC110 - the test sets a string
                await asyncio.sleep(0.01)
        assert self._http is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "expect")}
        url = f"{self._origin}{request.raw_path}"
        async with self._http.request(
            request.method, url, headers=headers, data=await request.read() or None, allow_redirects=self._follows
        ) as answer:
            body = await answer.read()
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            if request.method == "HEAD":
                kept["Content-Length"] = answer.headers.get("Content-Length", "0")
            if self.fault == LOST and request.method == "PUT":
                assert request.transport is not None
                request.transport.abort()
            if fault == LESS:
                body = body[:-1]
            if fault == OTHER:
                body = bytes(255 - byte for byte in body)
            if fault not in (CUT, SLOW):
                return web.Response(status=answer.status, body=body, headers=kept)
        response = web.StreamResponse(status=200, headers={**kept, "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        self.stalled += 1
        while fault == SLOW and self.fault == SLOW and request.transport is not None:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
        self.stalled -= 1
        if request.transport is not None:
            request.transport.abort()
        return response


def _is_s3_read(request: web.BaseRequest) -> bool:
    return request.path.count("/") > 1 and not request.query_string


@asynccontextmanager
async def gate_before(origin: str, is_read: Callable[[web.BaseRequest], bool] | None = None) -> AsyncIterator[Gate]:
    """The server while it runs."""
    gate = Gate(origin, is_read)
    async with aiohttp.ClientSession(auto_decompress=False) as gate._http, answering(gate._handle) as gate.url:
        yield gate
