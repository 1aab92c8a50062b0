"""The backend of other clusters: what it shows them."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from harness.answering import answering

from ais.backend.ais import RemoteAis
from ais.base.errors import BadRequest


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

    asyncio.run(scenario())
    assert seen == ["Bearer first", *["Bearer second"] * 3]
