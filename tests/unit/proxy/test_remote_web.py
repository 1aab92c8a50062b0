"""A web server as a bucket: read through the cluster, and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web
from harness.answering import answering
from harness.remote import CALM, Remote

from ais.backend import pacing

Run = Callable[[Any], Any]
LARGE = bytes(range(251)) * 10_000


def test_a_web_server_is_read(serve: Any, run: Run) -> None:
    """Files are fetched once and kept, ranges are not; a bucket says where it is; changes and lists are refused."""

    async def scenario() -> None:
        asked: list[str] = []
        modified = ["Sun, 29 Nov 2026 00:00:00 GMT"]

        async def answer(request: web.Request) -> web.StreamResponse:
            asked.append(request.path)
            files = {"/f/a/b": b"small", "/f/large": LARGE}
            if request.path not in files:
                return web.Response(status=404)
            return web.Response(body=files[request.path], headers={"Last-Modified": modified[-1]})

        async with (
            answering(answer) as root,
            serve(targets=2, storage=True, backend={"ht": {}}, **CALM) as cluster,
            aiohttp.ClientSession() as http,
        ):
            bucket = Remote(cluster, "pages", None, http)
            bucket.query = "?provider=ht"
            assert (await bucket.ask("GET", "a/b"))[0] == 400
            created = await bucket.act("POST", "create-bck", {"extra": {"http": {"original_url": f"{root}/f"}}})
            assert created.status == 200, created.body
            assert await bucket.get("large", Range="bytes=7-9") == LARGE[7:10]
            assert await bucket.cached() == []
            assert [await bucket.get("a/b") for _ in range(3)] == [b"small"] * 3
            assert asked.count("/f/a/b") == 1
            assert await bucket.get("large") == LARGE
            assert (await bucket.ask("GET", "none"))[0] == 404
            bucket.query += "&latest-ver=true"
            modified.append("Sun, 29 Nov 2026 00:00:01 GMT")
            assert await bucket.get("a/b") == b"small"
            assert asked.count("/f/a/b") == 3  # looked at, and fetched
            bucket.query = "?provider=ht"
            for method, key in (("PUT", "a/b"), ("DELETE", "a/b"), ("PUT", "new")):
                status, body, _ = await bucket.ask(method, key, data=b"x" if method == "PUT" else None)
                assert (status, json.loads(body)["tcode"]) == (501, "ErrUnsupp"), body
            assert (await bucket.act("GET", "list", {"props": "name", "flags": "0"})).status == 501
            assert await bucket.cached() == ["a/b", "large"]
            await bucket.job("DELETE", "evict-listrange", {"objnames": ["a/b"]})
            assert await bucket.cached() == ["large"]

    run(scenario())


def test_files_that_cannot_be_objects_keep_nobody_from_others(serve: Any, run: Run) -> None:
    """Who asks for what has no length hears why, again and again; the server answers, it is not left alone for that."""

    async def scenario() -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            if request.path == "/good":
                return web.Response(body=b"good")
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"endless")
            return response

        async with (
            answering(answer) as root,
            serve(targets=1, storage=True, backend={"ht": {}}, **CALM) as cluster,
            aiohttp.ClientSession() as http,
        ):
            bucket = Remote(cluster, "pages", None, http)
            bucket.query = "?provider=ht"
            created = await bucket.act("POST", "create-bck", {"extra": {"http": {"original_url": root}}})
            assert created.status == 200, created.body
            for _ in range(pacing.FAILURES_MAX + 1):
                status, body, _ = await bucket.ask("GET", "endless")
                assert (status, b"how large it is" in body) == (501, True), body
            assert await bucket.get("good") == b"good"

    run(scenario())


def test_files_without_tag_and_time_come_in_one_piece(serve: Any, run: Run) -> None:
    """Nothing would tell that the next part is another file's: what is replaced meanwhile is the old or the new one."""
    files = [LARGE, LARGE[::-1]]

    async def scenario() -> None:
        read = 0

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal read
            content = files[min(read, 1)]
            span = request.http_range
            if span.stop == 1:
                told = f"bytes 0-0/{len(content)}"
                return web.Response(status=206, body=content[:1], headers={"Content-Range": told})
            read += 1
            if span.start is None:
                return web.Response(body=content)
            told = f"bytes {span.start}-{span.stop - 1}/{len(content)}"
            return web.Response(status=206, body=content[span], headers={"Content-Range": told})

        async with (
            answering(answer) as root,
            serve(targets=1, storage=True, backend={"ht": {}}, **CALM) as cluster,
            aiohttp.ClientSession() as http,
        ):
            bucket = Remote(cluster, "pages", None, http)
            bucket.query = "?provider=ht"
            created = await bucket.act("POST", "create-bck", {"extra": {"http": {"original_url": root}}})
            assert created.status == 200, created.body
            asked = {"Ais-Blob-Download": "true", "Ais-Blob-Chunk": "256KiB"}
            assert await bucket.get("large", **asked) in files
            assert await bucket.get("large") in files

    run(scenario())
