"""What clients read while it gets another owner: small objects come from who has them, the others come here first."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from harness import loop
from harness.moving import follow, owner_of, rebalanced
from harness.target import BCK, Answer, LiveTarget, serving

from ais.api.xact import ArgsMsg
from ais.env.disk import Disk
from ais.target.transfer import SMALL, SMALL_BYTES_MAX

CONTENT = bytes(range(250)) * 16
LARGE = CONTENT * (SMALL_BYTES_MAX // len(CONTENT) + 1)
Read = Callable[[LiveTarget, str, dict[str, str]], Awaitable[Answer]]
CUSTOM = {"Ais-Custom-Md": "k=v"}


async def moved(targets: list[LiveTarget], content: bytes, patch: dict[str, Any]) -> str:
    """An object that the first target has and the second owns."""
    _, new = targets
    for one in targets:
        await one.create(BCK, patch)
    name = next(name for name in (f"d/o {number}" for number in range(99)) if owner_of(targets, name) is new)
    follow(targets, new)
    assert (await targets[0].ask("PUT", name, data=content, headers=CUSTOM)).status == 200
    follow(targets)
    return name


def is_at(target: LiveTarget) -> bool:
    return any("/%ob/" in path for path in target.files())


def told(answer: Answer) -> tuple[int, bytes, dict[str, str]]:
    """All but what no two answers have in common."""
    others = ("Date", "Ais-Atime", "x-amz-request-id", "x-amz-id-2")
    body = answer.body.partition(b"<RequestId>")[0]
    return answer.status, body, {name: text for name, text in answer.headers.items() if name not in others}


async def native(target: LiveTarget, name: str, lines: dict[str, str]) -> Answer:
    return await target.ask("GET", name, headers=lines)


async def s3(target: LiveTarget, name: str, lines: dict[str, str]) -> Answer:
    return await target.s3("GET", f"{BCK.name}/{quote(name)}", headers=lines)


async def s3_head(target: LiveTarget, name: str, lines: dict[str, str]) -> Answer:
    return await target.s3("HEAD", f"{BCK.name}/{quote(name)}", headers=lines)


@pytest.mark.parametrize("read", [native, s3, s3_head])
@pytest.mark.parametrize("patch", [{}, {"checksum": {"enable_read_range": True}}], ids=["plain", "hashes ranges"])
@pytest.mark.parametrize("lines", [{}, {"Range": "bytes=5-9"}, {"Range": "bytes=-7"}, {"Range": "bytes=9999-"}])
def test_small_ones_are_read_where_they_are(
    tmp_path: Path, read: Read, lines: dict[str, str], patch: dict[str, Any]
) -> None:
    """The answer is that of who has it later, and nothing has moved."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            name = await moved(targets, CONTENT, patch)
            meanwhile = await read(targets[1], name, lines)
            assert [is_at(one) for one in targets] == [True, False]
            await rebalanced(targets)
            assert [is_at(one) for one in targets] == [False, True]
            assert told(await read(targets[1], name, lines)) == told(meanwhile)
            if not lines:
                assert meanwhile.status == 200
                assert meanwhile.body == (b"" if read is s3_head else CONTENT)

    loop.run(scenario())


@pytest.mark.parametrize(
    ("content", "patch"),
    [
        (LARGE, {}),
        (CONTENT, {"mirror": {"enabled": True, "copies": 2}}),
        (CONTENT, {"checksum": {"validate_warm_get": True}}),
    ],
    ids=["large", "mirrored", "verified"],
)
def test_others_come_first(tmp_path: Path, content: bytes, patch: dict[str, Any]) -> None:
    """They are more than a file, or are looked at before they are sent."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            name = await moved(targets, content, patch)
            answer = await targets[1].ask("GET", name, headers={"Range": "bytes=0-"})
            assert (answer.status, answer.body) == (206, content)
            assert [is_at(one) for one in targets] == [False, True]

    loop.run(scenario())


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_changes_is_not_read_any_more(tmp_path: Path, method: str) -> None:
    """From the moment in which the new owner has acknowledged the change, and after the rebalance."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            name = await moved(targets, CONTENT, {})
            assert (await targets[1].ask("GET", name)).body == CONTENT
            assert (await targets[1].ask(method, name, data=b"new" if method == "PUT" else None)).status == 200
            for _ in range(2):
                answer = await targets[1].ask("GET", name)
                assert (answer.status, answer.body[:3]) == (
                    (200, b"new") if method == "PUT" else (404, answer.body[:3])
                )
                await rebalanced(targets)

    loop.run(scenario())


@pytest.mark.parametrize("damaged", [CONTENT[:-1], bytes(len(CONTENT))], ids=["short", "other"])
def test_what_is_damaged_or_gone_is_said(tmp_path: Path, damaged: bytes) -> None:
    """By who is to bring it here, as if nobody had looked before."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            name = await moved(targets, CONTENT, {})
            missing = next(str(one) for one in range(99) if owner_of(targets, str(one)) is targets[1])
            assert (await targets[1].ask("GET", missing)).status == 404
            (path,) = (Path(path) for path in targets[0].files() if "/%ob/" in path)
            path.write_bytes(damaged)
            answer = await targets[1].ask("GET", name)
            assert (answer.status, b"it is still at" in answer.body) == (500, True), answer.body

    loop.run(scenario())


def test_it_is_for_targets(tmp_path: Path) -> None:
    """Clients ask for objects as always."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            name = await moved(targets, CONTENT, {})
            url = f"{targets[0].url}{SMALL}/{BCK.name}/{name}?provider=ais"
            assert (await targets[0].call("GET", url)).status == 403
            lines = {"Ais-Caller-Id": targets[1].node.snode.id}
            assert (await targets[0].call("GET", url, headers=lines)).status == 200
            assert (await targets[0].call("PUT", url, headers=lines)).status == 400

    loop.run(scenario())


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["small", "large"])
def test_a_bucket_made_anew_has_nothing_of_the_old_one(tmp_path: Path, content: bytes) -> None:
    """Whom nobody told yet that a bucket was removed, and made anew, gives nothing of what it has by that name: not to
    who asks for it, and not because it moves.
    """

    async def anew(target: LiveTarget) -> None:
        await target.take(target.node.bmd.without_bucket(BCK))
        await target.create(BCK)

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            name = await moved(targets, content, {})
            await anew(new)
            moving = old.node.smap.moving
            assert moving
            job = old.target._scrub._rebalance.start(ArgsMsg(id=moving.id))
            await job.wait()
            assert "another bucket has the name" in job.error
            asked = [asyncio.create_task(read(new, name, {})) for read in (native, s3)]
            await asyncio.wait(asked, timeout=0.2)
            assert [is_at(one) for one in targets] == [True, False]
            await anew(old)
            assert [(await one).status for one in asked] == [404, 404]

    loop.run(scenario())


class _Noting(Disk):
    """Remembers what was unlinked, and the directories that were synced, in order."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def unlink(self, path: str, **where: Any) -> None:  # type: ignore[override]
        super().unlink(path, **where)
        self.done.append(("unlink", path))

    def fsync(self, fd: int) -> None:  # type: ignore[override]
        super().fsync(fd)
        self.done.append(("fsync", os.readlink(f"/proc/self/fd/{fd}")))


@pytest.mark.parametrize("versioning", ["", "Enabled"])
def test_what_is_deleted_durably_is_gone_from_who_had_it(tmp_path: Path, versioning: str) -> None:
    """Or it would be there again after a loss of power, and be asked for."""

    async def scenario() -> None:
        disk = _Noting()
        async with serving(tmp_path, 2, disk) as targets:
            name = await moved(targets, CONTENT, {})
            for one in targets:
                props = one.node.bmd.require(BCK).props.with_s3(versioning=versioning)
                await one.take(one.node.bmd.with_props(BCK, props))
            assert (await targets[1].ask("DELETE", name, headers={"Ais-Ack": "synced"})).status == 200
            of_old = [(what, "/%ob" in path) for what, path in disk.done if path.startswith(str(tmp_path / "t0"))]
            last = max(index for index, one in enumerate(of_old) if one == ("unlink", True))
            assert ("fsync", True) in of_old[last:]

    loop.run(scenario())
