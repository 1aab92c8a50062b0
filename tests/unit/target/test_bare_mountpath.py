"""A disk that is unmounted leaves a bare directory: what is written there is gone when it is mounted again."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from ais.api.bucket import Bck
from ais.base.errors import AisError
from ais.config.sections import FSHC
from ais.core.store import Store
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.mountpath import Mountpath
from ais.fs.volume import Mirroring, Volume
from ais.meta import store as files
from ais.scrub.jobs import ScrubJobs
from ais.scrub.statements import Statement, Statements
from ais.scrub.tally import Tally
from ais.space.health import Health
from ais.target.dsort.files import Files
from ais.xact.history import History
from ais.xact.mark import Mark
from ais.xact.unfinished import Task, Unfinished

BCK, OTHER = Bck("b"), Bck("other")
STATEMENT = Statement(
    target="t1", bucket=BCK.uname, bid=1, job="j", depth="", repairs=True, began_ns=1, ended_ns=2, tally=Tally()
)


class Unmounting(Disk):
    """Swaps a mountpath for an empty directory after the `after`-th system call on its path."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.after = 0

    def stat(self, path: Any, *args: Any, **options: Any) -> os.stat_result:  # type: ignore[override]
        found = os.stat(path, *args, **options)
        self._called(path)
        return found

    def open(self, path: Any, *args: Any, **options: Any) -> int:  # type: ignore[override]
        fd = os.open(path, *args, **options)
        self._called(path)
        return fd

    def _called(self, path: Any) -> None:
        if self.path is None or str(path) != str(self.path):
            return
        self.after -= 1
        if self.after == 0:
            self.path.rename(f"{self.path}.away")
            self.path.mkdir()


def scrub_progress(volume: Volume, env: Env) -> None:
    """What a scrub writes down while it runs."""
    jobs = object.__new__(ScrubJobs)
    jobs._store, jobs._disk, jobs._log = Store(volume, env), env.disk, structlog.get_logger()
    ScrubJobs._write(jobs, b"{}")


def remember_removal(volume: Volume, _env: Env) -> None:
    """A delete while another mountpath is out of use."""
    volume.disable(str(Path(volume.available[0].path).with_name("mp2")))
    volume.note_removed(BCK, "o")


def first(volume: Volume) -> Mountpath:
    return volume.available[0]


WRITERS: dict[str, Callable[[Volume, Env], object]] = {
    "bucket made": lambda volume, _: volume.create_bucket(OTHER, 2),
    "bucket trashed": lambda volume, _: volume.trash_bucket(BCK),
    "mirroring begun": lambda volume, _: volume.mirror_buckets({BCK: Mirroring(2)}, []),
    "mirroring ended": lambda volume, _: volume.mirror_buckets({}, [BCK]),
    "slices dropped": lambda volume, _: volume.code_buckets({}, [BCK]),
    "removal noted": remember_removal,
    "loss settled": lambda volume, _: first(volume).settle_loss(),
    "checked": lambda volume, env: asyncio.run(Health(volume, env, lambda: FSHC(), None).probe(first(volume))),  # type: ignore[arg-type]
    "mark": lambda volume, env: Mark(volume, env.disk, ".ais.uncopied").set(),
    "job noted": lambda volume, env: History(env.disk, lambda: volume.available)._note(b"{}\n"),
    "jobs rewritten": lambda volume, env: History(env.disk, lambda: volume.available).rewrite([]),
    "task": lambda volume, env: Unfinished(env.disk, lambda: volume.available).keep(Task("u", "k", b"")),
    "statement": lambda volume, env: Statements(env.disk, lambda: volume.available).append(STATEMENT),
    "scrub": scrub_progress,
    "sort": lambda volume, _: Files(volume.available, "u").make(),
    "metadata": lambda volume, env: files.save(
        env.disk, tuple(one.path for one in volume.available), files.BMD, files.Record(1, b"x"), only_marked=True
    ),
}


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("writer", WRITERS)
def test_nothing_is_made_on_a_bare_mount_point(tmp_path: Path, writer: str, after: int) -> None:
    """Whatever a target writes directly on a mountpath; its disk is gone before, or goes between the first calls."""
    disk = Unmounting()
    env = Env(disk=disk)
    paths = [tmp_path / "mp1", tmp_path / "mp2"]
    for path in paths:
        path.mkdir()
    volume = Volume.load_or_create(env, [str(path) for path in paths])
    volume.create_bucket(BCK, 1)
    disk.path, disk.after = paths[0], after
    if after == 0:
        paths[0].rename(f"{paths[0]}.away")
        paths[0].mkdir()
    try:
        WRITERS[writer](volume, env)
    except AisError:
        pass
    finally:
        volume.close()
    assert [path.name for path in paths[0].iterdir()] == [] or disk.after > 0
