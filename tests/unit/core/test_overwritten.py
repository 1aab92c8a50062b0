"""Names that are there all the time are listed while they are overwritten, on every file system."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.images import KINDS, mounted

from ais.api.bucket import Bck
from ais.core.listing import Lister
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume

BCK, RULES = Bck("b"), WriteRules()
NAMES = [f"o{number:04}" for number in range(2000)]
"""More than one read of a directory brings."""


class Meddling(Disk):
    """While a directory is read, something happens after its first entries."""

    def __init__(self) -> None:
        self.meddle: Callable[[set[str]], None] | None = None

    @contextmanager
    def scandir(self, path: str) -> Iterator[Iterator[os.DirEntry[str]]]:  # type: ignore[override]
        with os.scandir(path) as entries:
            yield self._between(entries)

    def _between(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        seen = set()
        for entry in itertools.islice(entries, 100):
            seen.add(entry.name)
            yield entry
        if self.meddle is not None:
            self.meddle(seen)
        yield from entries


@pytest.fixture(params=["tmpfs", *KINDS])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """An empty directory on a file system of this kind."""
    with mounted(request.param, tmp_path) as path:
        yield path


def put(store: Store, name: str, content: bytes) -> None:
    writer = store.writer(BCK, name, RULES)
    writer.write(content)
    writer.commit()


def overwrite(store: Store, name: str) -> None:
    put(store, name, b"new")


def rename_over(store: Store, name: str) -> None:
    put(store, "spare", b"new")
    store.rename(BCK, "spare", name, RULES)


def put_below(store: Store, name: str) -> None:
    put(store, f"{name}/below", b"new")


@pytest.mark.parametrize("change", [overwrite, rename_over, put_below])
def test_no_name_is_missed(root: Path, change: Callable[[Store, str], None]) -> None:
    """Every name not read yet is overwritten, renamed over, or becomes a directory: the page has all of them, once."""
    disk = Meddling()
    env = Env(disk=disk)
    volume = Volume.load_or_create(env, [str(root)])
    try:
        volume.create_bucket(BCK, 1)
        store = Store(volume, env)
        for name in NAMES:
            put(store, name, b"old")

        def meddle(seen: set[str]) -> None:
            disk.meddle = None
            for name in NAMES:
                if name not in seen:
                    change(store, name)

        disk.meddle = meddle
        found = [entry.name for entry in Lister(volume, env).page(BCK, limit=10_000).entries]
        assert disk.meddle is None
        assert [name for name in found if "/" not in name and name != "spare"] == NAMES
    finally:
        volume.close()


def test_a_prefix_is_not_missed(root: Path) -> None:
    """The only object below a prefix is overwritten while it is looked for."""
    disk = Meddling()
    env = Env(disk=disk)
    volume = Volume.load_or_create(env, [str(root)])
    try:
        volume.create_bucket(BCK, 1)
        store = Store(volume, env)
        put(store, "d/o", b"old")
        directory = root / "@ais/b/%ob/d"
        for number in range(2000):
            (directory / f"%x{number}").touch()

        def meddle(seen: set[str]) -> None:
            if "o" not in seen:
                overwrite(store, "d/o")

        disk.meddle = meddle
        assert [entry.name for entry in Lister(volume, env).page(BCK, delimiter="/").entries] == ["d/"]
    finally:
        volume.close()


def test_a_part_that_is_sent_again_is_not_missed(root: Path) -> None:
    """The parts of an upload are listed while each of them is replaced."""
    disk = Meddling()
    env = Env(disk=disk)
    volume = Volume.load_or_create(env, [str(root)])
    try:
        volume.create_bucket(BCK, 1)
        uploads = Store(volume, env).uploads
        upload = uploads.find(BCK, "o", uploads.create(BCK, "o", {}, {}))

        def send(number: int) -> None:
            writer = uploads.part_writer(upload, number, None)
            writer.write(b"x")
            writer.commit({})

        for number in range(1, 801):
            send(number)

        def meddle(seen: set[str]) -> None:
            disk.meddle = None
            for number in range(1, 801):
                if f"{number}.part" not in seen:
                    send(number)

        disk.meddle = meddle
        assert list(uploads.parts(upload)) == list(range(1, 801))
        uploads.abort(upload)
    finally:
        volume.close()
