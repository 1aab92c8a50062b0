"""The backend of other clusters: what it shows them."""

import hashlib
from pathlib import Path

import pytest
from aiohttp import web
from harness.answering import answering
from harness.backends import Content
from harness.loop import run

from ais.api.bucket import Bck, Namespace
from ais.backend.ais import RemoteAis
from ais.backend.interface import Place
from ais.base.errors import BadRequest, Unreachable


def test_a_token_in_a_file_may_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request carries the one that the file has then; while it has none, the one before. One that is not there at
    first is an error until it comes."""
    file = tmp_path / "token"
    monkeypatch.delenv("AIS_AUTHN_TOKEN", raising=False)
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(file))
    seen: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization", ""))
        return web.json_response([])

    async def scenario() -> None:
        async with answering(answer) as url:
            cluster = RemoteAis("rem", url)
            try:
                for _ in range(2):
                    with pytest.raises(BadRequest, match="AIS_AUTHN_TOKEN_FILE"):
                        await cluster.buckets()
                for token in ("first", "second", ""):
                    file.write_text(token)
                    await cluster.buckets()
                file.unlink()
                await cluster.buckets()
            finally:
                await cluster.close()

    run(scenario())
    assert seen == ["Bearer first", *["Bearer second"] * 3]


def test_what_is_written_is_compared_there() -> None:
    """The cluster is told the checksum that the content has here."""
    claimed: list[tuple[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if body := await request.read():
            value = request.headers.get("Ais-Checksum-Value", "")
            claimed.append((request.headers.get("Ais-Checksum-Type", ""), value))
            if value != hashlib.md5(body).hexdigest():
                return web.Response(status=500)
        return web.Response()

    async def scenario() -> None:
        content = Content(b"content")
        content.claim = ("md5", hashlib.md5(b"content").hexdigest())
        async with answering(answer) as url:
            cluster, place = RemoteAis("rem", url), Place(Bck("b", "ais", Namespace("rem")))
            try:
                await cluster.put(place, "o", content, {})
                content.body = b"another"
                with pytest.raises(Unreachable):
                    await cluster.put(place, "o", content, {})
            finally:
                await cluster.close()

    run(scenario())
    assert {kind for kind, _ in claimed} == {"md5"}
