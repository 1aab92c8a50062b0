"""The backend of Google Cloud Storage against fake-gcs-server, and against servers that fail as clouds do."""

import asyncio
import base64
import gzip
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import google_crc32c
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from harness.answering import answering
from harness.backends import Content, conform, conform_to_placeholders, read
from harness.clouds import make_gcs_bucket
from harness.loop import run

from ais.api.bucket import Bck
from ais.backend import gcs as module
from ais.backend.gcs import GCS
from ais.backend.interface import Place
from ais.base.errors import AccessDenied, AisError, BadRequest, MissingBackend, NotReady, Unreachable
from ais.config.sections import Extra, ExtraGCP

MISSING = Place(Bck("missing-bucket", "gcp"))
PLACE = Place(Bck("b", "gcp"))
BODY = b"0123456789" * 100
SUM = base64.b64encode(google_crc32c.value(BODY).to_bytes(4, "big")).decode()
ABOUT = {"size": "1000", "etag": "e", "generation": "7", "updated": "2026-11-28T11:13:30.5Z", "crc32c": SUM}
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def test_it_conforms(gcs: str) -> None:
    """All that a backend must do, fake-gcs-server confirms; parts of an upload arrive in order."""

    async def scenario() -> None:
        backend = GCS()
        make_gcs_bucket(gcs, "conforms")
        make_gcs_bucket(gcs, "placeholders")
        try:
            await conform_to_placeholders(backend, Place(Bck("placeholders", "gcp")))
            await conform(backend, Place(Bck("conforms", "gcp")), MISSING, large=bytes(range(256)) * 70_000)
        finally:
            await backend.close()

    run(scenario())


def test_what_google_says_of_an_object_is_kept(gcs: str) -> None:
    """Generation, MD5 and CRC32C; `Expires`, which it has no place for, is refused."""

    async def scenario() -> None:
        backend, place = GCS(), Place(Bck("says", "gcp"))
        make_gcs_bucket(gcs, "says")
        try:
            put = await backend.put(place, "o", Content(BODY), {"x-amz-meta-a_b-c": "v"})
            found = await backend.head(place, "o")
            assert found.custom("gcp") == {
                "source": "gcp",
                "ETag": put.etag,
                "version": put.version,
                "md5": hashlib.md5(BODY).hexdigest(),
                "crc32c": SUM,
                "LastModified": found.custom("gcp")["LastModified"],
                "x-amz-meta-a_b-c": "v",
            }
            assert found.version.isdigit()
            with pytest.raises(BadRequest, match="Expires"):
                await backend.put(place, "o", Content(BODY), {"expires": "0"})
        finally:
            await backend.close()

    run(scenario())


def test_what_is_packed_comes_as_it_is_stored(gcs: str) -> None:
    """Whole and from a range, also when it is not packed as it says."""

    async def scenario() -> None:
        backend, place = GCS(), Place(Bck("packed", "gcp"))
        make_gcs_bucket(gcs, "packed")
        try:
            for body in (gzip.compress(BODY), BODY):
                await backend.put(place, "o", Content(body), {"content-encoding": "gzip"})
                assert await read(backend, place, "o") == body
                assert await read(backend, place, "o", 7, 20) == body[7:27]
        finally:
            await backend.close()

    run(scenario())


async def _cut(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(BODY[:-1])
    assert request.transport is not None
    request.transport.close()
    return response


def _status(status: int) -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"error": {"code": status, "message": "said so"}}, status=status)

    return answer


def _content(body: bytes, generation: str = "7") -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, headers={"X-Goog-Generation": generation})

    return answer


async def _stalled(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await asyncio.sleep(3)
    return response


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (_cut, Unreachable, "gs://b/o"),
        (_stalled, Unreachable, "did not answer in time"),
        (_content(BODY[:-1] + b"x"), Unreachable, "checksum"),
        (_content(BODY, "8"), Unreachable, "was changed"),
        (_status(503), NotReady, "try again"),
        (_status(429), NotReady, "try again"),
        (_status(403), AccessDenied, "said so"),
        (_status(500), Unreachable, "gs://b/o"),
    ],
    ids=["cut", "stalled", "wrong checksum", "changed", "unavailable", "overloaded", "denied", "broken"],
)
def test_a_backend_that_fails_is_a_clear_error(
    content: Answer, kind: type[AisError], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server does instead of sending the object: an error that names the object, never fewer bytes."""
    monkeypatch.setattr(module, "ATTEMPTS_MAX", 1)
    monkeypatch.setattr(module, "READ_TIMEOUT_S", 1)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(ABOUT) if request.query.get("alt") == "json" else await content(request)

    async def scenario() -> None:
        async with answering(answer) as url:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
            backend = GCS()
            try:
                with pytest.raises(kind, match=text):
                    await read(backend, PLACE, "o")
            finally:
                await backend.close()

    run(scenario())


def test_an_upload_in_parts_goes_on_behind_what_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that is cut off is asked for, and nothing is sent twice; the sum of all is told before."""
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(module, "PART_BYTES", 400)
    kept, spans, told = bytearray(), [], {}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            told.update(await request.json())
            return web.Response(headers={"Location": f"http://{request.host}/session"})
        spans.append(request.headers["Content-Range"])
        body = await request.read()
        if len(spans) == 2:
            kept.extend(body[:100])
            return web.Response(status=503)
        kept.extend(body)
        if len(kept) == len(BODY):
            return web.json_response(ABOUT)
        return web.Response(status=308, headers={"Range": f"bytes=0-{len(kept) - 1}"})

    async def scenario() -> None:
        async with answering(answer) as url:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
            backend = GCS()
            try:
                assert (await backend.put(PLACE, "o", Content(BODY), {})).version == "7"
            finally:
                await backend.close()

    run(scenario())
    assert bytes(kept) == BODY
    assert told["crc32c"] == SUM
    assert spans == [f"bytes {span}/1000" for span in ("0-399", "400-799", "*", "500-899", "900-999")]


def test_an_upload_that_comes_no_further_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says to all parts that it has none: after some attempts that is an error."""
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(module, "PART_BYTES", 400)
    parts = 0

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal parts
        if request.method == "POST":
            return web.Response(headers={"Location": f"http://{request.host}/session"})
        parts += bool(await request.read())
        return web.Response(status=308 if request.method == "PUT" else 200)

    async def scenario() -> None:
        async with answering(answer) as url:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
            backend = GCS()
            try:
                async with asyncio.timeout(20):
                    with pytest.raises(Unreachable, match="takes no more than 0 bytes"):
                        await backend.put(PLACE, "o", Content(BODY), {})
            finally:
                await backend.close()

    run(scenario())
    assert parts == module.ATTEMPTS_MAX


def test_credentials_are_a_file_that_may_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the environment, or the bucket's own; a new file is a new token. Errors do not show secrets."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    seen: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/token/"):
            name = request.path.removeprefix("/token/")
            return web.json_response({"access_token": name, "expires_in": 3600}, status=400 if name == "bad" else 200)
        seen.append(request.headers["Authorization"])
        return web.json_response(ABOUT)

    def write(path: Path, url: str, name: str) -> str:
        account: dict[str, Any] = {"type": "service_account", "client_email": "a@b", "private_key": pem}
        path.write_text(json.dumps(account | {"private_key_id": name, "token_uri": f"{url}/token/{name}"}))
        return str(path)

    async def scenario() -> None:
        async with answering(answer) as url:
            monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
            monkeypatch.setattr(module, "_ROOT", url)
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", write(tmp_path / "env", url, "first"))
            own = Extra(gcp=ExtraGCP(application_creds=write(tmp_path / "own", url, "own")))
            backend = GCS()
            try:
                await backend.head(PLACE, "o")
                await backend.head(Place(PLACE.bck, own), "o")
                write(tmp_path / "env", url, "second")
                await backend.head(PLACE, "o")
                assert seen == ["Bearer first", "Bearer own", "Bearer second"]
                write(tmp_path / "env", url, "bad")
                with pytest.raises(AccessDenied, match=r"no token \(400\).*GOOGLE_APPLICATION_CREDENTIALS"):
                    await backend.head(PLACE, "o")
                for text in (
                    json.dumps({"key": pem}),
                    json.dumps({"type": "service_account", "private_key": pem[:40]}),
                ):
                    (tmp_path / "env").write_text(text)
                    with pytest.raises(AccessDenied, match="GOOGLE_APPLICATION_CREDENTIALS") as failure:
                        await backend.head(PLACE, "o")
                    assert "PRIVATE" not in str(failure.value)
                (tmp_path / "env").unlink()
                with pytest.raises(AccessDenied, match="No such file"):
                    await backend.head(PLACE, "o")
            finally:
                await backend.close()

    run(scenario())


def test_what_gcloud_left_may_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of a user, in the file that is found without being named: another login is another token."""
    seen: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/token":
            asked = parse_qs(await request.text())
            return web.json_response({"access_token": asked["refresh_token"][0], "expires_in": 3600})
        seen.append(request.headers["Authorization"])
        return web.json_response(ABOUT)

    async def scenario() -> None:
        async with answering(answer) as url:
            monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
            monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
            monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
            monkeypatch.setattr(module, "_ROOT", url)
            backend = GCS()
            try:
                for login in ("first", "second"):
                    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": login}
                    user["token_uri"] = f"{url}/token"
                    (tmp_path / "application_default_credentials.json").write_text(json.dumps(user))
                    await backend.head(PLACE, "o")
                    await backend.head(PLACE, "o")
            finally:
                await backend.close()

    run(scenario())
    assert seen == ["Bearer first"] * 2 + ["Bearer second"] * 2


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra of the package."""
    monkeypatch.setitem(sys.modules, "gcloud.aio.storage", None)

    async def scenario() -> None:
        backend = GCS()
        try:
            with pytest.raises(MissingBackend, match=r"pip install 'ais\[gcp\]'"):
                await backend.head(MISSING, "o")
        finally:
            await backend.close()

    run(scenario())
