"""Unfinished uploads get another mountpath: no part that was acknowledged is lost, whenever it is killed."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from harness.failing import FailingDisk, HastyDisk

from ais.base.errors import AisError, NotReady
from ais.core.store import Store
from ais.env import Env
from ais.fs.mountpath import Mountpath
from ais.fs.record import State

SIZE = 1 << 16
CONTENTS = {1: b"\1" * SIZE, 2: b"\2" * SIZE, 3: b"\3" * 100}
CALLS_MAX = 300


@pytest.fixture
def bench(make_bench: Callable[..., Any]) -> Any:
    """A bench on three mountpaths; it does not wait for the hardware."""
    bench = make_bench(3)
    bench.env = Env(disk=HastyDisk())
    bench.store = Store(bench.volume, bench.env)
    return bench


def start(bench: Any) -> Any:
    """An upload with two parts, the second of which came twice."""
    uploads = bench.store.uploads
    upload = uploads.find(bench.bck, "o", uploads.create(bench.bck, "o", {"k": "v"}, {}))
    for number in (1, 2, 2):
        send(bench, upload, number)
    return upload


def send(bench: Any, upload: Any, number: int) -> None:
    """A part."""
    writer = bench.store.uploads.part_writer(upload, number, len(CONTENTS[number]))
    writer.write(CONTENTS[number])
    writer.commit({"own": "digest"})


def home(bench: Any, upload: Any) -> Mountpath:
    """Where it is."""
    return next(one for one in bench.volume.available if upload.directory.startswith(f"{one.path}/"))


def complete(bench: Any, upload_id: str) -> bytes:
    """Send the last part, make the object, and read it."""
    uploads = bench.store.uploads
    upload = uploads.find(bench.bck, "o", upload_id)
    send(bench, upload, 3)
    parts = list(uploads.parts(upload).values())
    assert [part.digests for part in parts] == [{"own": "digest"}] * 3
    assert uploads.complete(upload, parts, bench.rules, upload.info.custom).custom == {"k": "v"}
    opened = bench.store.open(bench.bck, "o")
    with os.fdopen(opened.fd, "rb") as file:
        return file.read()


def test_an_upload_leaves_with_its_mountpath_whenever_that_is_killed(bench: Any) -> None:
    """At any system call: it is whole in one of both places, and the next attempt ends it."""
    for call in range(CALLS_MAX):
        upload = start(bench)
        leaving = home(bench, upload)
        bench.volume.drain(leaving.path, State.DETACHED)
        disk = FailingDisk(is_once=False)
        disk.left = call
        try:
            Store(bench.volume, Env(disk=disk)).upload_moves.bring_from(bench.bck, leaving)
            is_complete = disk.left >= 0
        except AisError:
            is_complete = False
        found = bench.store.uploads.find(bench.bck, "o", upload.id)
        assert list(bench.store.uploads.parts(found)) == [1, 2]
        bench.volume.sweep_workfiles()
        bench.store.upload_moves.bring_from(bench.bck, leaving)
        assert not list(bench.store.uploads.on(bench.bck, leaving))
        assert complete(bench, upload.id) == b"".join(CONTENTS.values())
        bench.volume.attach(leaving.path)
        bench.store.delete(bench.bck, "o")
        if is_complete:
            return
    pytest.fail("more system calls than the test tries")


def test_who_writes_a_part_meanwhile_is_told_to_send_it_again(bench: Any) -> None:
    """It is not lost in silence, nor is the upload said to be over."""
    upload = start(bench)
    leaving = home(bench, upload)
    late = bench.store.uploads.part_writer(upload, 3, len(CONTENTS[3]))
    late.write(CONTENTS[3])
    bench.volume.drain(leaving.path, State.DETACHED)
    bench.store.upload_moves.bring_from(bench.bck, leaving)
    with pytest.raises(NotReady, match="try again"):
        late.commit({})
    with pytest.raises(NotReady, match="try again"):
        bench.store.uploads.part_writer(upload, 3, None)
    assert complete(bench, upload.id) == b"".join(CONTENTS.values())


@pytest.mark.parametrize("how", ["flipped", "cut off"])
def test_a_damaged_part_is_left_behind(bench: Any, how: str) -> None:
    """It keeps nothing where it is; who completes the upload has to send it again, as before."""
    upload = start(bench)
    leaving = home(bench, upload)
    with open(f"{upload.directory}/data", "r+b") as file:
        file.write(b"x")
        if how == "cut off":
            file.truncate(SIZE - 1)
    bench.volume.drain(leaving.path, State.DETACHED)
    assert bench.store.upload_moves.bring_from(bench.bck, leaving) == 1
    upload = bench.store.uploads.find(bench.bck, "o", upload.id)
    assert list(bench.store.uploads.parts(upload)) == [2]
    send(bench, upload, 1)
    assert complete(bench, upload.id) == b"".join(CONTENTS.values())


def test_an_upload_whose_parts_went_with_a_restart_has_not_arrived(bench: Any) -> None:
    """Where it is to be, what there is of it is swept in the middle: then it is not there, and goes on being there."""
    upload = start(bench)
    leaving = home(bench, upload)
    bench.volume.drain(leaving.path, State.DETACHED)
    moves = bench.store.upload_moves
    with moves.held(upload) as held:
        moves._copy(held, held.parts[0])
        bench.volume.sweep_workfiles()
        moves._copy(held, held.parts[1])
        with pytest.raises(NotReady, match="not arrived whole"):
            moves.arrive(bench.bck, upload.id, upload.info, [1, 2], fsync=False)
    moves.bring_from(bench.bck, leaving)
    assert complete(bench, upload.id) == b"".join(CONTENTS.values())
