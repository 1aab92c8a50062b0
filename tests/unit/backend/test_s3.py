"""The S3 backend against moto, and against servers that fail in the ways networks and clouds do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from harness.answering import answering
from harness.backends import Content, conform, conform_to_placeholders, read
from harness.loop import run

from ais.api.bucket import Bck
from ais.backend import providers, s3
from ais.backend.interface import Place
from ais.backend.providers import Backends
from ais.backend.s3 import S3
from ais.base.errors import AccessDenied, AisError, MissingBackend, NotReady, Unreachable
from ais.config.sections import Extra, ExtraAWS
from ais.env import Env
from ais.net.egress import Egress

MISSING = Place(Bck("missing-bucket", "aws"))
BODY = b"0123456789" * 100
DATED = b'Last-Modified: Sat, 28 Nov 2026 11:13:30 GMT\r\nETag: "e"\r\n'


@pytest.fixture(autouse=True)
def _one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are the library's."""
    monkeypatch.setattr(s3, "ATTEMPTS_MAX", 1)


def test_it_conforms(aws: str) -> None:
    """All that a backend must do, moto confirms; parts of an upload arrive in order."""

    async def scenario() -> None:
        backend = S3()
        client = await backend._client(ExtraAWS())
        await client.create_bucket(Bucket="conforms")
        await client.create_bucket(Bucket="placeholders")
        try:
            await conform_to_placeholders(backend, Place(Bck("placeholders", "aws")))
            await conform(backend, Place(Bck("conforms", "aws")), MISSING, large=bytes(range(256)) * 70_000)
        finally:
            await backend.close()

    run(scenario())


@pytest.mark.usefixtures("aws")
def test_pages_without_names() -> None:
    """They may come while more follow: the listing goes on behind them. One that says nothing of where is an error."""
    page = "<ListBucketResult><IsTruncated>{}</IsTruncated>{}</ListBucketResult>"
    key = "<Contents><Key>o</Key><Size>1</Size><LastModified>2026-11-28T11:13:30.000Z</LastModified></Contents>"
    answers = {
        "": page.format("true", "<NextContinuationToken>more</NextContinuationToken>"),
        "more": page.format("false", key),
        "lost": page.format("true", ""),
    }

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        which = request.query.get("continuation-token", request.query.get("prefix", ""))
        return web.Response(text=answers[which], content_type="application/xml")

    async def scenario() -> None:
        async with answering(answer) as url:
            backend, place = S3(), Place(Bck("b", "aws"), Extra(aws=ExtraAWS(endpoint=url)))
            try:
                found = await backend.page(place, "", "", 10)
                assert ([one.name for one in found.objects], found.has_more) == (["o"], False)
                with pytest.raises(Unreachable):
                    await backend.page(place, "lost", "", 10)
            finally:
                await backend.close()

    run(scenario())


@asynccontextmanager
async def saying(answer: bytes, *, stalls: bool = False) -> AsyncIterator[tuple[S3, Place]]:
    """A server that gives every request these bytes and closes, or sends no more; and a backend that uses it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if stalls:
                await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    served: set[asyncio.Task[None] | None] = set()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    backend = S3()
    try:
        yield backend, Place(Bck("b", "aws"), Extra(aws=ExtraAWS(endpoint=f"http://127.0.0.1:{port}")))
    finally:
        await backend.close()
        server.close()
        await asyncio.gather(*(one for one in served if one is not None))


def _ok(body: bytes, length: int, *lines: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b%b\r\n" % (length, DATED, b"".join(lines)) + body


@pytest.mark.parametrize(
    ("answer", "stalls", "kind", "text"),
    [
        (_ok(BODY[:-1], len(BODY)), False, Unreachable, "s3://b/o"),
        (_ok(BODY[:-1], len(BODY)), True, Unreachable, "did not answer in time"),
        (b"", False, Unreachable, "s3://b/o"),
        (b"HTTP/1.1 200 OK\r\nrubbish", False, Unreachable, "s3://b/o"),
        (_ok(BODY, len(BODY), b"x-amz-checksum-crc32: AAAAAA==\r\n"), False, Unreachable, "checksum"),
        (b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n", False, NotReady, "try again"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", False, AccessDenied, "s3://b/o"),
    ],
    ids=["cut", "stalled", "no answer", "rubbish", "wrong checksum", "overloaded", "denied"],
)
@pytest.mark.usefixtures("aws")
def test_a_backend_that_fails_is_a_clear_error(
    answer: bytes, stalls: bool, kind: type[AisError], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server does instead of sending the object: an error that names the object, never fewer bytes."""

    if stalls:
        monkeypatch.setattr(s3, "READ_TIMEOUT_S", 1)

    async def scenario() -> None:
        async with saying(answer, stalls=stalls) as (backend, place):
            with pytest.raises(kind) as failure:
                await read(backend, place, "o")
            assert text in str(failure.value)

    run(scenario())


@pytest.mark.usefixtures("aws")
def test_nobody_listens() -> None:
    """A backend that is down is unreachable, for writes too."""

    async def scenario() -> None:
        backend, place = S3(), Place(Bck("b", "aws"), Extra(aws=ExtraAWS(endpoint="http://127.0.0.1:1")))
        try:
            with pytest.raises(Unreachable, match="s3://b/o"):
                await backend.put(place, "o", Content(BODY), {})
        finally:
            await backend.close()

    run(scenario())


def test_without_credentials_the_error_says_what_to_do(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has configured the provider and forgot the credentials reads where these go."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    async def scenario() -> None:
        backend = S3()
        try:
            with pytest.raises(AccessDenied, match="credentials"):
                await backend.head(MISSING, "o")
        finally:
            await backend.close()

    run(scenario())


def test_credentials_in_files_may_be_replaced(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is signed with those that the file has then: from none on, of a profile too, while one is read.

    And for the region that the profile has, or the bucket.
    """
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[profile own]\nregion = eu-north-1\n")
    signed: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        key, _, region, *_ = request.headers["Authorization"].partition("Credential=")[2].split("/")
        signed.append(f"{key} {region}")
        headers = {"Last-Modified": "Sat, 28 Nov 2026 11:13:30 GMT", "ETag": '"e"'}
        return web.Response(headers=headers, body=b"content")

    def write(key: str) -> None:
        sections = {"default": key, "own": f"{key}-own"}
        lines = (f"[{one}]\naws_access_key_id = {id_}\naws_secret_access_key = s\n" for one, id_ in sections.items())
        (tmp_path / "credentials").write_text("".join(lines))

    async def scenario() -> None:
        async with answering(answer) as url:
            plain, own = (Place(Bck("b", "aws"), Extra(aws=ExtraAWS(endpoint=url, profile=one))) for one in ("", "own"))
            elsewhere = Place(Bck("b", "aws"), Extra(aws=ExtraAWS(cloud_region="ap-south-1", endpoint=url)))
            backend = S3()
            try:
                for text in (None, "[default]\naws_access_key_id = half\n", "rubbish"):
                    if text is not None:
                        (tmp_path / "credentials").write_text(text)
                    with pytest.raises(AccessDenied):
                        await backend.head(plain, "o")
                for key in ("first", "second"):
                    write(key)
                    await asyncio.gather(*(backend.head(plain, "o") for _ in range(3)))
                    await backend.head(own, "o")
                    await backend.head(elsewhere, "o")
                async with backend.get(plain, "o") as download:
                    write("third")
                    await backend.head(plain, "o")
                    assert [chunk async for chunk in download.chunks] == [b"content"]
            finally:
                await backend.close()

    run(scenario())
    assert signed == [
        *(f"{key} us-east-1" for key in ("first", "first", "first")),
        "first-own eu-north-1",
        "first ap-south-1",
        *(f"{key} us-east-1" for key in ("second", "second", "second")),
        "second-own eu-north-1",
        "second ap-south-1",
        "second us-east-1",
        "third us-east-1",
    ]


@pytest.mark.parametrize(
    ("configured", "message"),
    [({}, "missing in the cluster configuration"), ({"aws": {providers.DISABLED: True}}, "disabled: enable it")],
)
def test_only_what_is_configured_is_used(configured: dict[str, Any], message: str) -> None:
    """A provider that is not configured, or disabled, is refused before anything is sent."""
    with pytest.raises(MissingBackend, match=message):
        Backends(lambda: configured, lambda: Egress(allow_private=False), Env(), lambda: 1.0).of(MISSING)
    assert providers.served(configured) == list(configured)
