"""Backends that answer with something else than what they were asked for: an error that says what it means."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from aiohttp import web
from harness.answering import answering
from harness.backends import read
from harness.loop import run

from ais.api.bucket import Bck, Namespace
from ais.backend.ais import RemoteAis
from ais.backend.gcs import GCS
from ais.backend.interface import Backend, Place
from ais.backend.s3 import S3
from ais.backend.web import Web
from ais.base.errors import AisError, BadRequest, Conflict, NotReady, OutOfSpace, Unreachable, Unsupported
from ais.config.sections import Extra, ExtraAWS, ExtraHTTP
from ais.net.egress import Egress

BODY = b"0123456789" * 100
HEADERS = {"ETag": '"e"', "Last-Modified": "Sat, 28 Nov 2026 11:13:30 GMT", "X-Goog-Generation": "1"}
Make = Callable[[str, pytest.MonkeyPatch], tuple[Backend, Place]]


def _s3(url: str, _: pytest.MonkeyPatch) -> tuple[Backend, Place]:
    return S3(), Place(Bck("b", "aws"), Extra(aws=ExtraAWS(endpoint=url)))


def _ais(url: str, _: pytest.MonkeyPatch) -> tuple[Backend, Place]:
    return RemoteAis("rem", url), Place(Bck("b", "ais", Namespace("rem")))


def _gcs(url: str, patch: pytest.MonkeyPatch) -> tuple[Backend, Place]:
    patch.setenv("STORAGE_EMULATOR_HOST", url)
    return GCS(), Place(Bck("b", "gcp"))


def _web(url: str, _: pytest.MonkeyPatch) -> tuple[Backend, Place]:
    egress = Egress(allow_private=False, networks=[ip_network("127.0.0.0/8")])
    return Web(lambda: egress), Place(Bck("b", "ht"), Extra(http=ExtraHTTP(original_url=url)))


@pytest.mark.parametrize("sent", ["bytes 0-9/1000", "bytes 500-508/1000", "bytes 500-510/1000", "rubbish"])
@pytest.mark.parametrize("make", [_s3, _ais, _gcs, _web])
@pytest.mark.usefixtures("aws")
def test_another_range(make: Make, sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a range that begins elsewhere, ends elsewhere, or says nothing that can be understood no byte is taken."""
    monkeypatch.setattr("ais.backend.gcs.ATTEMPTS_MAX", 1)

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=206, body=BODY[:10], headers={**HEADERS, "Content-Range": sent})

    async def scenario() -> None:
        async with answering(answer) as url:
            backend, place = make(url, monkeypatch)
            try:
                with pytest.raises(Unreachable):
                    await read(backend, place, "o", 500, 10)
            finally:
                await backend.close()

    run(scenario())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (409, Conflict),
        (414, BadRequest),
        (408, Unreachable),
        (429, NotReady),
        (500, Unreachable),
        (501, Unsupported),
        (507, OutOfSpace),
    ],
)
@pytest.mark.parametrize("make", [_s3, _ais, _gcs, _web])
@pytest.mark.usefixtures("aws")
def test_what_is_refused_for_good(
    make: Make, status: int, kind: type[AisError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what another attempt may mend says that the backend does not answer: the breaker counts that."""
    for module in ("s3", "gcs"):
        monkeypatch.setattr(f"ais.backend.{module}.ATTEMPTS_MAX", 1)

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status)

    async def scenario() -> None:
        async with answering(answer) as url:
            backend, place = make(url, monkeypatch)
            try:
                with pytest.raises(AisError) as raised:
                    await read(backend, place, "o")
                assert type(raised.value) is kind, raised.value
            finally:
                await backend.close()

    run(scenario())
