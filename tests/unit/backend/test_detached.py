"""A body that is taken from its connection arrives as it was sent, or not at all."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
from aiohttp import web
from harness.answering import answering
from harness.loop import run

from ais.backend.detached import detach
from ais.base.errors import Unreachable

CONTENT = bytes(range(251)) * 50_000


@pytest.mark.parametrize("missing", [0, 1])
def test_a_body(missing: int) -> None:
    """All of it in order, whatever the client had read before; a byte that does not come is an error."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(CONTENT))})
        await response.prepare(request)
        await response.write(CONTENT[:1000])
        await asyncio.sleep(0.05)
        await response.write(CONTENT[1000 : len(CONTENT) - missing])
        assert request.transport is not None
        if missing:
            request.transport.close()
        return response

    async def scenario() -> bytes:
        got, counts = bytearray(), list[int]()
        async with answering(answer) as url, aiohttp.ClientSession() as http, http.get(url) as response:
            detached = detach(response, "b/o", 5)
            assert detached is not None
            with ThreadPoolExecutor(1) as pool:
                await detached.run(pool, got.extend, counts.append)
        assert sum(counts) == len(got)
        return bytes(got)

    if missing:
        with pytest.raises(Unreachable, match="1 bytes did not come"):
            run(scenario())
    else:
        assert run(scenario()) == CONTENT


def test_what_cannot_be_taken() -> None:
    """A body without a length, or in an encoding, is left to the client."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if request.path == "/encoded":
            response.headers["Content-Length"] = "4"
            response.headers["Content-Encoding"] = "x-own"
        await response.prepare(request)
        await response.write(b"body")
        return response

    async def scenario() -> None:
        async with answering(answer) as url, aiohttp.ClientSession() as http:
            for path in ("chunked", "encoded"):
                async with http.get(f"{url}/{path}") as response:
                    assert detach(response, "b/o", 5) is None
                    assert await response.read() == b"body"

    run(scenario())
