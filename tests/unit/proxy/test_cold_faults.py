"""Cold GETs from each kind of backend, with every fault between: a clear error within the timeout, nothing of it is
kept, nobody takes what came for the whole, what is here is read meanwhile, and the next try is right."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from harness import gate as faults
from harness.answering import answering
from harness.gate import Gate, gate_before
from harness.remote import CALM, Remote

from ais.backend import ais, pacing, s3
from ais.backend import web as web_backend

Run = Callable[[Any], Any]
CONTENT = {"here": b"it was read before", "small": b"content", "following": bytes(range(251)) * 9_000}
CONTENT["detached"] = CONTENT["following"] * 4
"""Fetched as a whole; sent while it comes; and read without the library between."""
TIMEOUT_S = 0.5
AT = "?provider=ais&namespace=%40rem%23"


@asynccontextmanager
async def _aws(
    serve: Any, aws: str, remote: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Remote, Gate]]:
    async with gate_before(aws) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
        async with remote() as bucket:
            for name, body in CONTENT.items():
                await bucket.put(name, body)
            checked = {"checksum": {"validate_cold_get": True}}
            assert (await bucket.act("PATCH", "set-bprops", checked)).status == 200
            yield bucket, gate


@asynccontextmanager
async def _ais(serve: Any, *_: Any) -> AsyncIterator[tuple[Remote, Gate]]:
    def is_read(request: web.BaseRequest) -> bool:
        return request.path.startswith("/v1/objects/")

    async with (
        serve(targets=1, storage=True, prefix="far", **CALM) as far,
        gate_before(far.primary.url, is_read) as gate,
        serve(targets=1, storage=True, **CALM) as near,
        aiohttp.ClientSession() as http,
    ):
        await far.create("there")
        origin = Remote(far, "there", None, http)
        origin.query = "?provider=ais"
        for name, body in CONTENT.items():
            assert (await origin.ask("PUT", name, data=io.BytesIO(body)))[0] == 200
        headers = {"Ais-Remote-Ais-Alias": "rem", "Ais-Remote-Ais-Url": gate.url}
        async with http.put(f"{near.primary.url}/v1/cluster/attach?what=remote", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        bucket = Remote(near, "there", None, http)
        bucket.query = AT
        yield bucket, gate


@asynccontextmanager
async def _ht(serve: Any, *_: Any) -> AsyncIterator[tuple[Remote, Gate]]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=CONTENT[request.path.rpartition("/")[2]], headers={"ETag": '"tag"'})

    async with (
        answering(answer) as origin,
        gate_before(origin, lambda _: True) as gate,
        serve(targets=1, storage=True, backend={"ht": {}}, **CALM) as cluster,
        aiohttp.ClientSession() as http,
    ):
        bucket = Remote(cluster, "pages", None, http)
        bucket.query = "?provider=ht"
        created = await bucket.act("POST", "create-bck", {"extra": {"http": {"original_url": f"{gate.url}/files"}}})
        assert created.status == 200, created.body
        yield bucket, gate


@pytest.mark.parametrize(
    ("mounted", "expected"),
    [
        pytest.param(_aws, faults.FAULTS, id="aws"),
        pytest.param(_ais, faults.FAULTS, id="ais"),
        pytest.param(_ht, faults.BREAKS, id="ht"),  # nobody but the answer says what a file has
    ],
)
def test_cold_gets(
    serve: Any,
    run: Run,
    aws: str,
    remote: Any,
    monkeypatch: pytest.MonkeyPatch,
    mounted: Any,
    expected: tuple[str, ...],
) -> None:
    """See above."""
    monkeypatch.setattr(pacing, "FAILURES_MAX", 1000)
    monkeypatch.setattr(s3, "ATTEMPTS_MAX", 1)
    monkeypatch.setattr(ais, "RETRIES", 0)
    for module in (s3, ais, web_backend):
        monkeypatch.setattr(module, "READ_TIMEOUT_S", TIMEOUT_S)

    async def scenario() -> None:
        async with mounted(serve, aws, remote, monkeypatch) as (bucket, gate):
            assert await bucket.get("here") == CONTENT["here"]
            for fault in expected:
                for name in ("small", "following", "detached"):
                    gate.fault = fault
                    await _fails(bucket, name, fault)
                    assert await bucket.get("here") == CONTENT["here"]
                    gate.fault = ""
                    assert await bucket.cached() == ["here"], (fault, name)
            for name, body in CONTENT.items():
                assert await bucket.get(name) == body

    run(scenario())


async def _fails(bucket: Remote, name: str, fault: str) -> None:
    """Once the answer has begun, nothing but a broken connection can tell."""
    try:
        async with asyncio.timeout(20):
            status, body, _ = await bucket.ask("GET", name)
    except aiohttp.ClientError:
        assert name != "small"
        return
    assert status == (503 if fault == faults.OVERLOADED else 502), (fault, name, status, body[:200])
    assert name.encode() in body, body
