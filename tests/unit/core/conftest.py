"""A volume on real directories, and a disk that fails on demand."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.at_once import put_at_once

from ais.api.bucket import Bck
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume


class FaultyDisk(Disk):
    """Fails the calls named in `faults` with the given errno, as long as they are there."""

    def __init__(self) -> None:
        self.faults: dict[str, int] = {}

    def __getattribute__(self, call: str) -> Any:
        if call != "faults" and (code := self.faults.get(call)):

            def fail(*args: object, **kwargs: object) -> None:
                raise OSError(code, os.strerror(code), str(args[0]))

            return fail
        return super().__getattribute__(call)


class Bench:
    """A store on mountpaths below one directory, with one bucket."""

    bck = Bck("b")
    rules = WriteRules()

    def __init__(self, root: Path, mountpaths: int) -> None:
        self.root = root
        self.disk = FaultyDisk()
        self.env = Env(disk=self.disk)
        paths = [root / f"mp{index}" for index in range(mountpaths)]
        for path in paths:
            path.mkdir(exist_ok=True)
        self.volume = Volume.load_or_create(self.env, [str(path) for path in paths])
        self.volume.create_bucket(self.bck, 1)
        self.store = Store(self.volume, self.env)

    def put(self, name: str, content: bytes = b"content", rules: WriteRules | None = None, **options: Any) -> Any:
        writer = self.store.writer(self.bck, name, rules or self.rules, **options)
        writer.write(content)
        return writer.commit()

    def put_at_once(self, name: str, content: bytes = b"content", rules: WriteRules | None = None) -> Any:
        return put_at_once(self.store, self.bck, name, rules or self.rules, content)

    def get(self, name: str) -> bytes:
        opened = self.store.open(self.bck, name)
        try:
            return os.pread(opened.fd, opened.meta.size + 1, 0)
        finally:
            os.close(opened.fd)

    @staticmethod
    def plain(meta: ObjectMeta) -> ObjectMeta:
        """Metadata without the stamp, which no two writes have in common."""
        return msgspec.structs.replace(meta, stamp=(0, 0))

    def leftovers(self) -> list[str]:
        """Work files and empty directories that nothing should leave behind."""
        found = [str(path) for path in self.root.glob("mp*/@ais/*/%wk/*")]
        objects = [top for top in self.root.glob("mp*/@ais/*/%ob/**/") if not top.name.startswith("%ob")]
        return found + [str(path) for path in objects if not any(path.iterdir())]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Make a `Bench` with some mountpaths; it is closed after the test, which must leave no work files."""
    made: list[Bench] = []

    def make(mountpaths: int = 1, name: str = ".") -> Bench:
        (tmp_path / name).mkdir(exist_ok=True)
        made.append(Bench(tmp_path / name, mountpaths))
        return made[-1]

    yield make
    for one in made:
        one.volume.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Iterator[Bench]:
    """A `Bench` with one mountpath."""
    one = make_bench()
    yield one
    one.disk.faults.clear()
    assert one.leftovers() == []
