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
from harness.backends import Content
from harness.clouds import ACCOUNT, make_gcs_bucket
from harness.gate import Gate, gate_before
from harness.http import until
from harness.remote import CALM, Remote

from ais.api.bucket import Bck
from ais.backend import ais, azure, gcs, pacing, s3
from ais.backend import web as web_backend
from ais.backend.azure import Azure
from ais.backend.gcs import GCS
from ais.backend.interface import Backend, Place

Run = Callable[[Any], Any]
CONTENT = {"here": b"it was read before", "small": b"content", "following": bytes(range(251)) * 9_000}
CONTENT["detached"] = CONTENT["following"] * 4
"""Fetched as a whole; sent while it comes; and read without the library between."""
READ = ("small", "following", "detached")
TIMEOUT_S = 0.5
AT = "?provider=ais&namespace=%40rem%23"


@asynccontextmanager
async def _aws(
    serve: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Remote, Gate]]:
    remote = request.getfixturevalue("remote")
    async with gate_before(request.getfixturevalue("aws")) as gate:
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


@asynccontextmanager
async def _cloud(
    backend: Backend, bucket_name: str, serve: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch, variable: str
) -> AsyncIterator[tuple[Remote, Gate]]:
    """A bucket with the content, behind a gate that the variable names."""
    provider = "gcp" if isinstance(backend, GCS) else "azure"
    try:
        for name, body in CONTENT.items():
            await backend.put(Place(Bck(bucket_name, provider)), name, Content(body), {})
    finally:
        await backend.close()
    monkeypatch.setenv(variable, gate.url)
    async with (
        serve(targets=1, storage=True, backend={provider: {}}, **CALM) as cluster,
        aiohttp.ClientSession() as http,
    ):
        bucket = Remote(cluster, bucket_name, None, http)
        bucket.query = f"?provider={provider}"
        checked = {"checksum": {"validate_cold_get": True}}
        assert (await bucket.ask("GET", "here"))[0] == 200
        assert (await bucket.act("PATCH", "set-bprops", checked)).status == 200
        yield bucket, gate


@asynccontextmanager
async def _gcp(
    serve: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Remote, Gate]]:
    url = request.getfixturevalue("gcs")
    name = f"faults-{request.node.originalname.replace('_', '-')}"  # the server is that of all tests
    await asyncio.to_thread(make_gcs_bucket, url, name)
    async with (
        gate_before(url, lambda asked: asked.query.get("alt") == "media") as gate,
        _cloud(GCS(), name, serve, gate, monkeypatch, "STORAGE_EMULATOR_HOST") as found,
    ):
        yield found


@asynccontextmanager
async def _azure(
    serve: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Remote, Gate]]:
    url = request.getfixturevalue("azurite")
    backend = Azure()
    await (await backend._opened()).create_container("faults")
    async with gate_before(url.removesuffix(f"/{ACCOUNT}"), lambda asked: not asked.query_string) as gate:
        monkeypatch.setattr(gate, "url", f"{gate.url}/{ACCOUNT}")
        async with _cloud(backend, "faults", serve, gate, monkeypatch, "AIS_AZURE_URL") as found:
            yield found


@pytest.mark.parametrize(
    ("mounted", "expected", "names"),
    [
        pytest.param(_gcp, faults.FAULTS, READ, id="gcp"),
        pytest.param(_azure, faults.FAULTS, ("following",), id="azure"),  # its library waits a second between attempts
        pytest.param(_aws, faults.FAULTS, READ, id="aws"),
        pytest.param(_ais, faults.FAULTS, READ, id="ais"),
        pytest.param(_ht, faults.BREAKS, READ, id="ht"),  # nobody but the answer says what a file has
    ],
)
def test_cold_gets(
    serve: Any,
    run: Run,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    mounted: Any,
    expected: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    """See above."""
    monkeypatch.setattr(pacing, "FAILURES_MAX", 1000)
    monkeypatch.setattr(ais, "RETRIES", 0)
    for module in (s3, gcs, azure):
        monkeypatch.setattr(module, "ATTEMPTS_MAX", 1)
    for module in (s3, gcs, azure, ais, web_backend):
        monkeypatch.setattr(module, "READ_TIMEOUT_S", TIMEOUT_S)

    async def scenario() -> None:
        async with mounted(serve, request, monkeypatch) as (bucket, gate):
            assert await bucket.get("here") == CONTENT["here"]
            for fault in expected:
                for name in names:
                    gate.fault = fault
                    await _fails(bucket, name, fault)
                    await until(lambda: not gate.stalled)
                    assert await bucket.get("here") == CONTENT["here"]
                    gate.fault = ""
                    assert await bucket.cached() == ["here"], (fault, name)
            for name, body in CONTENT.items():
                assert await bucket.get(name) == body

    run(scenario())


@pytest.mark.parametrize("mounted", [pytest.param(_gcp, id="gcp"), pytest.param(_aws, id="aws")])
def test_what_comes_in_parts(
    serve: Any, run: Run, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, mounted: Any
) -> None:
    """Several ranges at a time are compared with what the backend says of the whole, too."""
    in_parts = {"Ais-Blob-Download": "true", "Ais-Blob-Chunk": "1MiB"}

    async def scenario() -> None:
        async with mounted(serve, request, monkeypatch) as (bucket, gate):
            gate.fault = faults.OTHER
            status, body, _ = await bucket.ask("GET", "following", headers=in_parts)
            assert (status, "following" in await bucket.cached()) == (502, False), body[:200]
            gate.fault = ""
            assert await bucket.get("following", **in_parts) == CONTENT["following"]

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
