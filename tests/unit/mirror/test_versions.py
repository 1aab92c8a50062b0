"""Kept versions and delete markers of a mirrored bucket over HTTP: read from copies, repaired, counted, scrubbed."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from harness import loop
from harness.target import BCK, LiveTarget, serving, until

from ais.api.protection import State
from ais.api.xact import MAKE_COPIES, PUT_COPIES, SCRUB, ArgsMsg
from ais.meta.bmd import apply_props

VERSIONS = 4


def run(root: Path, scenario: Callable[[LiveTarget, list[str]], Awaitable[None]]) -> None:
    """On a target with two mountpaths, whose bucket has `o` in some versions, the last but one a delete marker."""

    async def on_one() -> None:
        async with serving(root) as (target,):
            await target.create(BCK)
            props = target.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
            props = apply_props(props, {"mirror": {"enabled": True, "copies": 2}}, 1)
            await target.take(target.node.bmd.with_props(BCK, props))
            ids = [(await target.s3("PUT", "b/o", data=body(n))).headers["x-amz-version-id"] for n in range(VERSIONS)]
            marker = await target.s3("DELETE", "b/o")
            ids.append(marker.headers["x-amz-version-id"])
            ids.append((await target.s3("PUT", "b/o", data=body(5))).headers["x-amz-version-id"])
            await copied(target)
            await scenario(target, ids)

    loop.run(on_one())


def body(index: int) -> bytes:
    """The content of a version."""
    return f"version {index} ".encode() * 1000


def shelf(target: LiveTarget, content: str) -> dict[str, Path]:
    """The files on the shelf of `o`, by entry."""
    roots = [Path(one.path) / "@ais/b" / content / "o/%=" for one in target.volume.available]
    return {path.name: path for root in roots for path in root.glob("*")}


async def copied(target: LiveTarget) -> None:
    """Wait until everything has its copies."""
    registry = target.target.registry
    await until(lambda: all(one.snap().is_idle for one in registry.select(kind=PUT_COPIES, only_running=True)))
    await until(lambda: not any(registry.select(kind=MAKE_COPIES, only_running=True)))


def damage(path: Path, how: int) -> None:
    """Delete a file, cut it, or change a byte of it."""
    if how == 0:
        path.unlink()
    elif how == 1:
        os.truncate(path, 3)
    else:
        path.write_bytes(b"?" + path.read_bytes()[1:])


def test_every_version_is_read_whichever_file_of_it_is_lost(tmp_path: Path) -> None:
    """Deleted, cut or damaged, its own file or the copy: each `GET ?versionId` is right, and repairs the version."""

    async def scenario(target: LiveTarget, ids: list[str]) -> None:
        assert set(shelf(target, "%ve")) == set(shelf(target, "%cp/%ve")) == set(ids[:-1])
        for how in range(3):
            for content in ("%ve", "%cp/%ve"):
                for version_id in ids[:VERSIONS]:
                    damage(shelf(target, content)[version_id], how)
                for index, version_id in enumerate(ids[:VERSIONS]):
                    answer = await target.s3("GET", f"b/o?versionId={version_id}")
                    assert (answer.status, answer.body) == (200, body(index)), (how, content, index)
                await copied(target)
                if content == "%ve":
                    for index, version_id in enumerate(ids[:VERSIONS]):
                        assert shelf(target, "%ve")[version_id].read_bytes() == body(index)
                else:
                    await target.target._mirror.make_copies(BCK, f"again{how}").wait()
                    await asyncio.to_thread(target.target._mirror.mirror.bring, BCK, "o", verify=True)
        for files in (shelf(target, "%ve"), shelf(target, "%cp/%ve")):
            assert [files[version_id].read_bytes() for version_id in ids[:VERSIONS]] == list(map(body, range(VERSIONS)))

    run(tmp_path, scenario)


def test_a_scrub_heals_versions_and_the_status_counts_them(tmp_path: Path) -> None:
    """Every version and marker counts with its copies: what is damaged or lost is made again and kept aside."""

    async def scenario(target: LiveTarget, ids: list[str]) -> None:
        files = 2 * len(ids)
        damage(shelf(target, "%ve")[ids[0]], 2)
        damage(shelf(target, "%cp/%ve")[ids[1]], 2)
        damage(shelf(target, "%ve")[ids[2]], 0)
        damage(shelf(target, "%ve")[ids[4]], 0)
        damage(shelf(target, "%cp/%ve")[ids[3]], 0)
        xaction = target.target._scrub.start(ArgsMsg(id="scrubJOB1", kind=SCRUB, bck=BCK))
        await xaction.wait()
        tally = target.target._scrub.jobs.statements.all()[BCK.uname][-1].tally
        assert (xaction.error, tally.objects, tally.promised, tally.found) == ("", 1, files, files)
        assert (tally.repaired, tally.damaged, tally.quarantined, tally.lost) == (5, 2, 2, 0)
        for name in ("%ve", "%cp/%ve"):
            found = shelf(target, name)
            assert set(found) == set(ids[:-1])
            assert [found[one].read_bytes() for one in ids[:VERSIONS]] == list(map(body, range(VERSIONS)))
        protection = target.target._scrub.protection

        async def counted() -> tuple[State, int, int]:
            protection.census._counts.clear()
            await until(lambda: protection.census.is_current(BCK))
            found = (await protection.answer()).buckets[0]
            return found.state, found.promised, found.found

        assert await counted() == (State.OK, files, files)
        damage(shelf(target, "%cp/%ve")[ids[3]], 0)
        assert await counted() == (State.SHORT, files, files - 1)

    run(tmp_path, scenario)
