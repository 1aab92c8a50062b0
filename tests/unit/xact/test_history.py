"""What a target remembers of its xactions over a restart."""

import asyncio
from pathlib import Path

from ais.api.bucket import Bck
from ais.env import Env
from ais.env.clock import SystemClock
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.xact.history import FILE_NAME, History
from ais.xact.registry import Registry, Xaction


async def count_one(xaction: Xaction) -> None:
    """Work that handles one object."""
    xaction.objects, xaction.bytes, xaction.ext = 1, 7, {"ec.encode.n": "1"}


async def wait_forever(_: Xaction) -> None:
    """Work that ends only when it is aborted."""
    await asyncio.Event().wait()


def registry_in(directory: Path) -> Registry:
    """A registry whose history lies in a directory."""
    volume = Volume.load_or_create(Env(), [str(directory)])
    return Registry(SystemClock(), History(Disk(), lambda: volume.available))


def test_ended_xactions_are_known_after_a_restart_as_they_ended(tmp_path: Path) -> None:
    """Counters, buckets, what only the kind tells and the reason of an abort come back just so."""

    async def scenario() -> None:
        before = registry_in(tmp_path)
        await before.recall()
        await before.start("ec-encode", "firstJOB1", count_one, bck=Bck("a")).wait()
        moving = before.start("move-bck", "secondJB2", wait_forever, bck=Bck("a"), bck_to=Bck("b"))
        before.abort(moving, "aborted by user")
        await moving.wait()
        await before.close()
        after = registry_in(tmp_path)
        await after.recall()
        assert [one.snap() for one in after.select()] == [one.snap() for one in before.select()]
        await after.close()

    asyncio.run(scenario())


def test_an_xaction_cut_short_by_a_crash_is_shown_as_aborted_and_may_start_again(tmp_path: Path) -> None:
    """One whose end nobody wrote did not succeed, also when the last line is torn."""

    async def scenario() -> None:
        before = registry_in(tmp_path)
        await before.recall()
        lost = before.start("make-n-copies", "firstJOB1", wait_forever, bck=Bck("a"))
        await asyncio.to_thread(before._history.close)
        with (tmp_path / FILE_NAME).open("ab") as file:
            file.write(b'{"kind": "make-n-cop')
        after = registry_in(tmp_path)
        await after.recall()
        found = after.get("firstJOB1")
        assert found is not None
        assert (found.is_running, found.is_aborted, found.started_ns) == (False, True, lost.started_ns)
        await after.start("make-n-copies", "firstJOB1", count_one, bck=Bck("a")).wait()
        assert not after.get("firstJOB1").is_aborted
        await after.close()

    asyncio.run(scenario())


def test_a_disk_that_takes_no_history_stops_no_xaction(tmp_path: Path) -> None:
    """Jobs run although their history cannot be written."""

    async def scenario() -> None:
        (tmp_path / "disk").mkdir()
        known = registry_in(tmp_path / "disk")
        (tmp_path / "disk").rename(tmp_path / "missing")
        await known.recall()
        xaction = known.start("lru", "firstJOB1", count_one)
        await xaction.wait()
        assert xaction.snap().err == ""
        await known.close()

    asyncio.run(scenario())
