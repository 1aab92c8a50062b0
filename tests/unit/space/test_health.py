"""Mountpaths that fail are found by a real check, disabled, and repaired from."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ais.base.errors import Conflict
from ais.config.sections import FSHC
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.space import health
from ais.space.health import Health


class BadDisk(Disk):
    """Below one directory, writes fail or what is read is not what was written."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.error = 0
        self.flips = False

    def open(self, path: Any, *args: Any, **options: Any) -> int:  # type: ignore[override]
        if self.error and os.path.realpath(path).startswith(f"{self.path}/.ais.check"):
            raise OSError(self.error, os.strerror(self.error), path)
        return os.open(path, *args, **options)

    def pread(self, fd: int, *args: Any) -> bytes:  # type: ignore[override]
        data = os.pread(fd, *args)
        is_there = os.readlink(f"/proc/self/fd/{fd}").startswith(f"{self.path}/.ais.check")
        return b"?" + data[1:] if self.flips and is_there else data


@pytest.fixture
def bad(tmp_path: Path) -> tuple[BadDisk, Volume, Health, list[str]]:
    """Two mountpaths, the first on a disk that can be told to fail; the third value collects what was disabled."""
    for name in ("mp1", "mp2"):
        (tmp_path / name).mkdir()
    disk, told = BadDisk(str(tmp_path / "mp1")), []
    env = Env(disk=disk)
    volume = Volume.load_or_create(env, [str(tmp_path / "mp1"), str(tmp_path / "mp2")])

    async def disabled(path: str) -> None:
        told.append(path)

    return disk, volume, Health(volume, env, FSHC, disabled), told


@pytest.mark.parametrize(("code", "flips"), [(errno.EIO, False), (errno.EROFS, False), (0, True)])
def test_a_failing_mountpath_is_disabled_after_two_checks(bad: Any, code: int, flips: bool) -> None:
    """Errors, a read-only file system, bytes that come back different; the good one stays; nothing is left behind."""
    disk, volume, checks, told = bad
    first, second = volume.available

    async def scenario() -> None:
        assert await checks.check(first)
        disk.error, disk.flips = code, flips
        assert not await checks.check(first)
        assert volume.available == (first, second)
        assert not await checks.check(first)
        assert await checks.check(second)

    asyncio.run(scenario())
    assert (volume.available, volume.disabled, told) == ((second,), (first.path,), [first.path])
    assert not list(Path(second.path).glob(".ais.check*"))


def test_a_full_or_missing_disk_and_the_last_one_stay_in_use(bad: Any) -> None:
    """Full is not broken, an unmounted disk is waited for, and without any mountpath nothing could be served."""
    disk, volume, checks, told = bad
    first, second = volume.available

    async def scenario() -> None:
        disk.error = errno.ENOSPC
        assert await checks.check(first)
        disk.error = 0
        os.rename(first.path, f"{first.path}.away")
        assert await checks.check(first)
        os.rename(f"{first.path}.away", first.path)
        await asyncio.to_thread(volume.disable, second.path)
        disk.error = errno.EIO
        for _ in range(3):
            assert not await checks.check(first)

    asyncio.run(scenario())
    assert (volume.available, told) == ((first,), [])
    with pytest.raises(Conflict):
        volume.disable(first.path)


def test_a_disk_that_does_not_answer_is_disabled(bad: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that never ends counts as failed."""
    _, volume, checks, told = bad
    first, _ = volume.available
    monkeypatch.setattr(health, "STALLED_S", 0.05)
    monkeypatch.setattr(checks, "_probe", lambda _: asyncio.run(asyncio.sleep(0.3)) or "")

    async def scenario() -> None:
        assert not await checks.check(first)
        assert not await checks.check(first)

    asyncio.run(scenario())
    assert told == [first.path]
