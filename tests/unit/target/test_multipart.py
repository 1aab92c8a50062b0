"""Uploads in parts over HTTP: the answers of each step, and what wrong steps get."""

from collections.abc import Callable
from typing import Any

import pytest

Scenario = Callable[[Any], Any]


async def _start(live: Any, name: str = "dir/o", **kwargs: Any) -> str:
    answer = await live.act("POST", name, "mpt-upload", **kwargs)
    assert answer.status == 200
    return str(answer.body.decode())


async def _part(live: Any, upload_id: str, number: object, content: bytes, **kwargs: Any) -> Any:
    query = {"uploadId": upload_id, "partNumber": str(number)}
    return await live.ask("PUT", "dir/o", query=query, data=content, **kwargs)


async def _complete(live: Any, upload_id: str, *numbers: int, etag: str = "") -> Any:
    parts = [{"part-number": number, "etag": etag} for number in numbers]
    return await live.act("POST", "dir/o", "mpt-complete", value=parts, query={"uploadId": upload_id})


def test_an_object_in_parts(serve: Any, run: Scenario) -> None:
    """Parts in any order become the object; HEAD tells how many there were; custom metadata was given at the start."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            upload_id = await _start(live, headers={"Ais-Custom-Md": "k=v"})
            for number, content in ((2, b"b" * 7), (1, b"a" * 10)):
                assert (await _part(live, upload_id, number, content)).status == 200
            assert (await live.ask("GET", "dir/o")).status == 404
            assert (await _complete(live, upload_id, 2, 1)).status == 200
            answer = await live.ask("GET", "dir/o")
            assert answer.body == b"a" * 10 + b"b" * 7
            assert answer.headers["Ais-Checksum-Type"] == "xxhash2"
            assert answer.headers["Ais-Custom-Md"] == "k=v"
            head = await live.ask("HEAD", "dir/o", query={"props": "chunked"})
            assert (head.headers["Ais-Chunks-Count"], head.headers["Ais-Chunks-Max-Chunk-Size"]) == ("2", "10")
            assert (await _complete(live, upload_id, 1, 2)).status == 404

    run(scenario())


def test_appending_to_a_part(serve: Any, run: Scenario) -> None:
    """Appends make a part longer, also one that was written before; the object stays as it is until the end."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "dir/o", data=b"old")
            upload_id = await _start(live)
            append = {"uploadId": upload_id, "partNumber": "1", "append_type": "append", "append_handle": ""}
            assert (await _part(live, upload_id, 1, b"")).status == 200
            for content in (b"a" * 10, b"b" * 200_000, b"", b"c"):
                answer = await live.ask("PUT", "dir/o", query=append, data=content)
                assert (answer.status, answer.headers.get("Ais-Append-Handle")) == (200, None)
            assert (await _part(live, upload_id, 2, b"d" * 7)).status == 200
            assert (await live.ask("PUT", "dir/o", query=append | {"partNumber": "2"}, data=b"e")).status == 200
            assert (await live.ask("GET", "dir/o")).body == b"old"
            assert (await _complete(live, upload_id, 1, 2)).status == 200
            assert (await live.ask("GET", "dir/o")).body == b"a" * 10 + b"b" * 200_000 + b"c" + b"d" * 7 + b"e"

    run(scenario())


@pytest.mark.parametrize(
    "extra",
    [
        {"append_type": "flush"},
        {"append_type": "append", "append_handle": "t|x|y|z"},
        {"append_type": "bad"},
        {"object_to": "@#b/c"},
        {"archpath": "x"},
    ],
)
def test_what_a_part_cannot_be_asked_for_is_refused(serve: Any, run: Scenario, extra: dict[str, str]) -> None:
    """Nothing of such a request is carried out: neither the object nor the part changes."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "dir/o", data=b"old")
            upload_id = await _start(live)
            assert (await _part(live, upload_id, 1, b"part")).status == 200
            query = {"uploadId": upload_id, "partNumber": "1"} | extra
            assert (await live.ask("PUT", "dir/o", query=query, data=b"new")).status == 400
            assert (await live.ask("GET", "dir/o")).body == b"old"
            assert (await _complete(live, upload_id, 1)).status == 200
            assert (await live.ask("GET", "dir/o")).body == b"part"

    run(scenario())


def test_wrong_steps(serve: Any, run: Scenario) -> None:
    """Each has its status; none of them ends the upload or touches the object."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "dir/o", data=b"old")
            upload_id = await _start(live)
            assert (await _part(live, upload_id, 1, b"a" * 10)).status == 200
            claim = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "0" * 32}
            refused = [
                (await _part(live, upload_id, 0, b"x"), 400, "partNumber"),
                (await _part(live, upload_id, "x", b"x"), 400, "partNumber"),
                (await _part(live, upload_id, 10_000, b"x"), 400, "exceeds the maximum allowed (9999)"),
                (await _part(live, "nosuchupload", 1, b"x"), 404, "does not exist"),
                (await _part(live, upload_id, 2, b"x", headers=claim), 500, "BAD DATA CHECKSUM"),
                (await _complete(live, upload_id), 400, "empty"),
                (await _complete(live, upload_id, 2), 400, "without a gap"),
                (await _complete(live, upload_id, 1, 1), 400, "without a gap"),
                (await _complete(live, upload_id, 1, 2), 400, "1 were uploaded"),
                (await _complete(live, upload_id, 1, etag='"x"'), 400, "another ETag"),
                (await _complete(live, "nosuchupload", 1), 404, "does not exist"),
            ]
            for answer, status, text in refused:
                assert answer.status == status
                assert text in answer.body.decode()
            assert (await live.ask("GET", "dir/o")).body == b"old"
            assert (await _complete(live, upload_id, 1)).status == 200
            assert (await live.ask("GET", "dir/o")).body == b"a" * 10

    run(scenario())


@pytest.mark.parametrize("twice", [False, True])
def test_abort(serve: Any, run: Scenario, twice: bool) -> None:
    """An aborted upload is gone; aborting it again says so."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            upload_id = await _start(live)
            assert (await _part(live, upload_id, 1, b"a")).status == 200
            statuses = [
                (await live.act("DELETE", "dir/o", "mpt-abort", query={"uploadId": upload_id})).status
                for _ in range(1 + twice)
            ]
            assert statuses == [200, 404][: 1 + twice]
            assert (await _part(live, upload_id, 2, b"b")).status == 404

    run(scenario())
