"""Writers, readers and deleters of the same names at the same time, and processes that are killed."""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ais.base.errors import Busy, NotReady, ObjectNotFound
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.fs.locks import Stripes

WRITERS = 4
_WRITER = """
import random, sys
from ais.api.bucket import Bck
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.fs.locks import Stripes
from ais.env import Env
from ais.fs.volume import Volume

env, bck, rules = Env(), Bck("b"), WriteRules()
volume = Volume.load_or_create(env, sys.argv[2:])
store, rng = Store(volume, env), random.Random(int(sys.argv[1]))
names = ["a", "a/b", "a/b/c", "d/e", "x" * 300, "x" * 300 + "/y"]
print("ready", flush=True)
turn = 0
while True:
    turn += 1
    name = rng.choice(names)
    writer = store.writer(bck, name, rules, custom={"turn": str(turn)})
    for _ in range(4):
        writer.write(b"%08d" % turn * 4096)
    writer.commit()
    print(name, turn, flush=True)
    if turn % 7 == 0:
        name = rng.choice(names)
        print(name, "deleting", flush=True)
        try:
            store.delete(bck, name)
        except Exception as error:
            assert "does not exist" in str(error), error
        print(name, "deleted", flush=True)
"""


def whole(bench: Any, name: str) -> int | None:
    """The turn that wrote the object, None when there is no object; it must be whole."""
    try:
        opened = bench.store.open(bench.bck, name)
    except ObjectNotFound:
        return None
    try:
        content = os.read(opened.fd, 1 << 20)
        turn = int(opened.meta.custom["turn"])
        assert content == b"%08d" % turn * 4096 * 4
        bench.store.verify(bench.bck, name, opened)
    finally:
        os.close(opened.fd)
    return turn


@pytest.mark.parametrize("seed", range(8))
def test_a_killed_writer_leaves_old_or_new(make_bench: Callable[..., Any], seed: int) -> None:
    """`kill -9` at any moment: each object is whole, what was acknowledged is there, the next start sweeps the rest."""
    bench = make_bench(2)
    paths = [mountpath.path for mountpath in bench.volume.available]
    lines_wanted = random.Random(seed).randrange(5, 60)
    child = subprocess.Popen([sys.executable, "-c", _WRITER, str(seed), *paths], stdout=subprocess.PIPE, text=True)
    acknowledged: dict[str, str] = {}
    last = 0
    with child:
        assert child.stdout is not None
        for count, line in enumerate(child.stdout):
            if count == lines_wanted:
                child.send_signal(signal.SIGKILL)
            if len(words := line.split()) == 2 and line.endswith("\n"):
                acknowledged[words[0]] = words[1]
                last = max(last, int(words[1]) if words[1].isdigit() else 0)
    for name, turn in acknowledged.items():
        found = whole(bench, name)
        if turn == "deleted":
            assert found in (None, last + 1)
        elif turn != "deleting":
            assert found in (int(turn), last + 1)
    bench.volume.sweep_workfiles()
    assert not list(bench.root.glob("mp*/@ais/*/%wk/*"))
    for name in acknowledged:
        bench.put(name, b"after")
        assert bench.get(name) == b"after"


def test_names_that_are_directories_survive_a_crowd(make_bench: Callable[..., Any]) -> None:
    """Two stores write and delete `a`, `a/b`, `a/b/c`; readers find those never deleted, and find them whole."""
    bench = make_bench(1)
    stores = [bench.store, Store(bench.volume, bench.env)]
    staying, going = ["a", "p/q"], ["a/b", "a/b/c", "p", "p/q/r"]
    for name in staying:
        bench.put(name, name.encode() * 100)
    stop = threading.Event()

    def repeat(step: Callable[[random.Random], None], seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            step(rng)

    def write(rng: random.Random) -> None:
        name = rng.choice(staying + going)
        writer = rng.choice(stores).writer(bench.bck, name, bench.rules)
        writer.write(name.encode() * 100)
        writer.commit()

    def delete(rng: random.Random) -> None:
        try:
            rng.choice(stores).delete(bench.bck, rng.choice(going))
        except ObjectNotFound:
            return

    def read(rng: random.Random) -> None:
        name = rng.choice(staying)
        assert bench.get(name) == name.encode() * 100

    with ThreadPoolExecutor(6) as pool:
        steps = [
            pool.submit(repeat, step, seed) for seed, step in enumerate([write, write, delete, delete, read, read])
        ]
        stop.wait(2.0)
        stop.set()
    for step in steps:
        step.result()
    for name in going:
        bench.put(name)
        bench.store.delete(bench.bck, name)
    for name in staying:
        bench.store.delete(bench.bck, name)
    assert bench.leftovers() == []


def test_a_file_becomes_a_directory_without_a_gap(make_bench: Callable[..., Any]) -> None:
    """A reader of `a` finds it at every moment while `a/b` arrives for the first time."""
    bench = make_bench(1)
    names = [f"a{index}" for index in range(300)]
    for name in names:
        bench.put(name)
    current = names[0]
    done = threading.Event()

    def read() -> int:
        count = 0
        while not done.is_set():
            assert bench.get(current) == b"content"
            count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for current in names:
            bench.put(f"{current}/b")
        done.set()
    assert all(reader.result() for reader in readers)


def test_versions_of_concurrent_writers_are_all_different(make_bench: Callable[..., Any]) -> None:
    """Each commit sees the one before it, across stores that share nothing but the disk."""
    bench = make_bench(1)
    versions: list[str] = []

    def write(store: Store) -> None:
        for _ in range(50):
            writer = store.writer(bench.bck, "a", bench.rules)
            writer.write(b"x")
            versions.append(writer.commit().version)

    threads = [threading.Thread(target=write, args=(Store(bench.volume, bench.env),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, versions)) == list(range(1, 201))


def test_objects_stay_readable_when_mountpaths_change(make_bench: Callable[..., Any], tmp_path: Path) -> None:
    """Attached, disabled, enabled: reads find the newest copy, writes and deletes leave no older one."""
    bench = make_bench(2)
    names = [f"o{index}" for index in range(40)]
    for name in names:
        bench.put(name, b"1")
    (tmp_path / "mp9").mkdir()
    bench.volume.attach(str(tmp_path / "mp9"))
    assert {bench.get(name) for name in names} == {b"1"}
    for name in names[:20]:
        assert bench.put(name, b"2").version == "2"
    assert [bench.get(name) for name in names] == [b"2"] * 20 + [b"1"] * 20
    assert len(list(tmp_path.glob("mp*/@ais/b/%ob/*"))) == 40
    bench.volume.disable(str(tmp_path / "mp9"))
    held = [name for name in names if whole_or_none(bench, name) is None]
    assert held
    for name in held:
        bench.put(name, b"3")
    bench.volume.enable(str(tmp_path / "mp9"))
    assert {bench.get(name) for name in held} == {b"3"}
    for name in names:
        bench.store.delete(bench.bck, name)
    assert not list(tmp_path.glob("mp*/@ais/b/%ob/*"))


def whole_or_none(bench: Any, name: str) -> bytes | None:
    try:
        content: bytes = bench.get(name)
    except NotReady:  # it may be on the disabled mountpath
        return None
    return content


def test_a_write_follows_a_change_of_mountpaths(make_bench: Callable[..., Any], tmp_path: Path) -> None:
    """What was begun on a mountpath that is disabled before the commit lands on the new owner."""
    bench = make_bench(2)
    first, second = (mountpath.path for mountpath in bench.volume.available)
    name = next(f"o{i}" for i in range(100) if bench.volume.place(f"ais/@#/b/o{i}").path == first)
    writer = bench.store.writer(bench.bck, name, bench.rules)
    writer.write(b"begun here")
    handle = bench.store.appender(bench.bck, f"{name}", bench.rules, "t").keep()
    bench.volume.disable(first)
    assert writer.commit().size == 10
    assert bench.get(name) == b"begun here"
    assert list(Path(second).glob("@ais/b/%ob/o*"))
    bench.volume.enable(first)
    bench.volume.disable(second)
    appender = bench.store.appender(bench.bck, name, bench.rules, "t", handle)
    bench.volume.enable(second)
    bench.volume.disable(first)
    appender.write(b"appended")
    appender.flush()
    assert bench.get(name) == b"appended"
    bench.volume.enable(first)
    assert bench.get(name) == b"appended"
    assert bench.leftovers() == []


def test_nothing_appears_in_a_closed_bucket(make_bench: Any) -> None:
    """While four threads write new names, what is there when the bucket was closed is all that ever is."""
    bench = make_bench(2)
    under_way = threading.Barrier(WRITERS + 1)

    def write(number: int) -> int:
        for turn in itertools.count():
            if turn == 10:
                under_way.wait()
            try:
                bench.put(f"{number}/{turn}")
            except Busy:
                return turn
        raise AssertionError

    def names() -> int:
        return sum(path.is_file() for path in bench.root.glob("mp*/@ais/b/%ob/**/*"))

    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, number) for number in range(WRITERS)]
        under_way.wait()
        bench.volume.close_buckets(frozenset((bench.bck,)))
        closed = names()
        written = sum(one.result() for one in writing)
    assert closed == written == names()
    with pytest.raises(Busy):
        bench.store.rename(bench.bck, "0/0", "new", bench.rules)
    bench.volume.close_buckets(frozenset())
    bench.put("new")


@pytest.mark.parametrize("call", ["fsync", "acquire"])
def test_a_bucket_becomes_coded_while_an_object_is_written(
    bench: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """While its content goes to the disk, or while it waits for its lock: whoever makes slices is told of the object,
    and has a mark from before it is visible."""
    told: list[str] = []
    seen: list[bool] = []

    @contextlib.contextmanager
    def marking() -> Iterator[None]:
        seen.append(bool(list(bench.root.glob("mp*/@ais/b/%ob/o"))))
        yield

    owner = bench.disk if call == "fsync" else Stripes
    really = getattr(owner, call)

    def late(*args: Any) -> None:
        if bench.bck not in bench.volume.coded:
            bench.volume.coded = frozenset((bench.bck,))
        really(*args)

    bench.store.on_coded(lambda *_: None, lambda _bck, name: told.append(name), marking)
    writer = bench.store.writer(bench.bck, "o", WriteRules(fsync=True))
    writer.write(b"x" * (2 << 20))
    monkeypatch.setattr(owner, call, late)
    writer.commit()
    assert told == ["o"]
    assert seen == [False]
