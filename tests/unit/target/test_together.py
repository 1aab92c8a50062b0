"""Small objects that get another owner go many in one request, and none is let go of that is not there."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from harness.moving import follow, owner_of, rebalanced
from harness.recording import Recorder
from harness.target import BCK, LiveTarget, serving

from ais.api.xact import ArgsMsg
from ais.env.network import Answer
from ais.meta.bmd import apply_props
from ais.stats.names import STREAM_IN_N, STREAM_OUT_N
from ais.target.transfer import SMALL, SMALL_BYTES_MAX

NAMES = [f"d{number % 3}/o{number}" for number in range(90)]


async def filled(targets: list[LiveTarget]) -> tuple[LiveTarget, LiveTarget, list[str]]:
    """The second target is to leave: who stays, who leaves, and the names that it has."""
    stays, leaves = targets
    for one in targets:
        await one.create(BCK)
    for name in NAMES:
        for content in (b"old", content_of(name)):
            answer = await owner_of(targets, name).ask("PUT", name, data=content, headers={"Ais-Custom-Md": "k=v"})
            assert answer.status == 200
    names = [name for name in NAMES if owner_of(targets, name) is leaves]
    assert len(names) > 20
    return stays, leaves, names


def content_of(name: str) -> bytes:
    return name.encode() * (5000 if name.endswith("7") else 1)


def calls_of(target: LiveTarget, monkeypatch: pytest.MonkeyPatch, before: Any = None) -> tuple[list[str], list[str]]:
    """Requests with many objects, and with one, that a target sends. `before` is awaited when one with many has an
    answer, and gives another one.
    """
    many, alone, call, send_file = list[str](), list[str](), target.peers.call, target.peers.send_file

    async def noted(method: str, url: str, **options: Any) -> Answer:
        answer = await call(method, url, **options)
        if url.endswith(SMALL):
            many.append(url)
            answer = await before(answer) if before else answer
        return answer

    async def noted_alone(url: str, **options: Any) -> Answer:
        alone.append(url.partition(f"/{BCK.name}/")[2])
        return await send_file(url, **options)

    monkeypatch.setattr(target.peers, "call", noted)
    monkeypatch.setattr(target.peers, "send_file", noted_alone)
    return many, alone


def files_of(target: LiveTarget) -> list[str]:
    return [path for path in target.files() if "/%ob/" in path]


async def assert_given(stays: LiveTarget, leaves: LiveTarget, names: list[str]) -> None:
    """Content and metadata are as they were."""
    for name in names:
        got = await stays.ask("GET", name)
        assert (got.status, got.body) == (200, content_of(name))
        assert (got.headers["Ais-Version"], got.headers["Ais-Custom-Md"]) == ("2", "k=v")
    assert files_of(leaves) == []
    assert stays.work_files() == leaves.work_files() == []


@pytest.mark.parametrize("ack", ["", "synced"])
def test_small_ones_go_together_and_large_ones_alone(
    tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch, ack: str
) -> None:
    """Nothing of them changes on the way, nor when they were modified; who takes a large one rests as jobs do."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            stays, leaves, names = await filled(targets)
            if ack:
                for one in targets:
                    props = apply_props(one.node.bmd.require(BCK).props, {"protection": {"ack": ack}}, 2)
                    await one.take(one.node.bmd.with_props(BCK, props))
            big = next(name for name in (f"big{number}" for number in range(100)) if owner_of(targets, name) is leaves)
            content = os.urandom(SMALL_BYTES_MAX + 1)
            assert (await leaves.ask("PUT", big, data=content)).status == 200
            times = {path.partition("/%ob/")[2]: os.stat(path).st_mtime_ns for path in files_of(leaves)}
            many, alone = calls_of(leaves, monkeypatch)
            paced, rest = list[float](), stays.target._pace.rest_between

            async def noted_rest(worked_s: float) -> None:
                paced.append(worked_s)
                await rest(worked_s)

            monkeypatch.setattr(stays.target._pace, "rest_between", noted_rest)
            follow(targets, leaves)
            taken, given = (job.snap().stats for job in await rebalanced(targets))
            sizes = len(content) + sum(len(content_of(name)) for name in names)
            assert (given.out_objs, given.out_bytes) == (len(names) + 1, sizes)
            assert (taken.in_objs, taken.in_bytes) == (len(names) + 1, sizes)
            assert stays.node.stats.total(STREAM_IN_N) == leaves.node.stats.total(STREAM_OUT_N) == len(names) + 1
            assert alone == [big]
            assert 0 < len(many) < len(names) / 4
            assert paced
            assert (await stays.ask("GET", big)).body == content
            await assert_given(stays, leaves, names)
            now = {path.partition("/%ob/")[2]: os.stat(path).st_mtime_ns for path in files_of(stays)}
            assert times.items() <= now.items()

    run(scenario())


def test_who_writes_meanwhile_wins(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new owner asks for what there was, which is on its way, before it replaces or deletes it."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            stays, leaves, names = await filled(targets)
            writes = list[asyncio.Task[Any]]()

            async def write(answer: Answer) -> Answer:
                if not writes:
                    writes.append(asyncio.create_task(stays.ask("PUT", names[0], data=b"newer")))
                    writes.append(asyncio.create_task(stays.ask("DELETE", names[1])))
                    await asyncio.sleep(0.05)
                return answer

            calls_of(leaves, monkeypatch, write)
            follow(targets, leaves)
            await rebalanced(targets)
            assert [answer.status for answer in await asyncio.gather(*writes)] == [200, 200]
            assert (await stays.ask("GET", names[0])).body == b"newer"
            assert (await stays.ask("GET", names[1])).status == 404
            await assert_given(stays, leaves, names[2:])

    run(scenario())


def test_what_is_not_there_is_kept(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged object is refused by its owner and stays; the others of the same request go."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            stays, leaves, names = await filled(targets)
            damaged = names[0]
            [path] = [path for path in files_of(leaves) if path.endswith(f"/{damaged}")]
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, b"X")
            os.close(fd)
            calls_of(leaves, monkeypatch)
            moving = follow(targets, leaves).moving
            assert moving
            job = leaves.target._scrub._rebalance.start(ArgsMsg(id=moving.id))
            await job.wait()
            assert "1 damaged objects stay" in job.error
            assert damaged in job.error
            assert files_of(leaves) == [path]
            os.unlink(path)
            await assert_given(stays, leaves, [name for name in names if name != damaged])

    run(scenario())


@pytest.mark.parametrize("answer", [Answer(404, {}, b""), Answer(413, {}, b"")])
def test_who_takes_none_together_gets_each_alone(
    tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """A target of an earlier version, or one that permits smaller messages."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            stays, leaves, names = await filled(targets)

            async def refused(_answer: Answer) -> Answer:
                return answer

            _, alone = calls_of(leaves, monkeypatch, refused)
            follow(targets, leaves)
            await rebalanced(targets)
            assert sorted(alone) == sorted(names)
            await assert_given(stays, leaves, names)

    run(scenario())


@pytest.mark.parametrize("content", [b"small", bytes(SMALL_BYTES_MAX + 1)], ids=["together", "alone"])
def test_what_was_let_go_of_does_not_come_back_with_the_power(tmp_path: Path, run: Any, content: bytes) -> None:
    """When the rebalance is over it is off the disk of who had it, too."""

    async def scenario() -> None:
        disk = Recorder()
        async with serving(tmp_path, 2, disk) as targets:
            _, leaves, names = await filled(targets)
            assert (await leaves.ask("PUT", names[0], data=content)).status == 200
            follow(targets, leaves)
            await rebalanced(targets)
            assert files_of(leaves) == []
            had = tuple(f"{one.path}/" for one in leaves.volume.available)
            assert [path for path in disk.unsynced() if path.startswith(had)] == []

    run(scenario())
