"""A file that has a name as an object has no writer, and its bytes are those that were acknowledged."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ais.base.errors import AisError, BadRequest, HandleNotFound, PartDamaged
from ais.core.meta import Cut, ObjectMeta
from ais.core.slicing import NoSlicing, Plan, Prepared
from ais.core.store import Store
from ais.core.workfile import Keeping, Staged, WriteRules
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume

SIZE = 1 << 16
CONTENTS = {number: bytes([number]) * SIZE for number in (1, 2, 3)}
WHOLE = b"".join(CONTENTS.values())
CALLS_MAX = 300


def start(bench: Any, name: str = "o") -> Any:
    uploads = bench.store.uploads
    return uploads.find(bench.bck, name, uploads.create(bench.bck, name, {}, {}))


def send(bench: Any, upload: Any, number: int, content: bytes | None = None, size: int | None = SIZE) -> Any:
    writer = bench.store.uploads.part_writer(upload, number, size)
    writer.write(CONTENTS[number] if content is None else content)
    return writer.commit({})


def complete(store: Any, bench: Any, upload_id: str, numbers: tuple[int, ...], **options: Any) -> ObjectMeta:
    upload = store.uploads.find(bench.bck, "o", upload_id)
    stored = store.uploads.parts(upload)
    meta = store.uploads.complete(upload, [stored[number] for number in numbers], bench.rules, {}, **options)
    assert isinstance(meta, ObjectMeta)
    return meta


def refuse(_stored: ObjectMeta | None) -> None:
    raise BadRequest("the condition does not hold")


class DyingDisk(Disk):
    """Ends the process before call number `left`, counted from zero, or before an unlink of `doomed`."""

    def __init__(self) -> None:
        self.left = -1
        self.doomed = ""

    def __getattribute__(self, call: str) -> Any:
        if call not in ("left", "doomed", "unlink", "__dict__", "__class__"):
            if self.left == 0:
                os._exit(9)
            self.left -= 1
        return super().__getattribute__(call)

    def unlink(self, path: str) -> None:  # type: ignore[override]
        if self.left == 0 or (self.doomed and path.endswith(self.doomed)):
            os._exit(9)
        self.left -= 1
        os.unlink(path)


class Killed(BaseException):
    """The process ends here."""


def die(_disk: Disk, path: str) -> None:
    if path.endswith("/data"):
        raise Killed


def complete_and_die(bench: Any, upload_id: str, numbers: tuple[int, ...], *, left: int = -1, doomed: str = "") -> bool:
    """Complete in a process that dies at a call; return whether it got through."""
    child = os.fork()
    if child == 0:
        disk = DyingDisk()
        env = Env(disk=disk)
        store = Store(Volume.load_or_create(env, [mountpath.path for mountpath in bench.volume.available]), env)
        disk.left, disk.doomed = left, doomed
        complete(store, bench, upload_id, numbers)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def test_killed_before_the_record_goes_a_repeated_complete_does_not_make_zeros(bench: Any) -> None:
    """The object has its name, the record `upload` is still there: who asks again gets what was made, and only that."""
    upload = start(bench)
    for number in CONTENTS:
        send(bench, upload, number)
    assert not complete_and_die(bench, upload.id, (1, 2, 3), doomed="/upload")
    assert bench.get("o") == WHOLE
    assert upload.id not in [one for one, _ in bench.store.uploads.list(bench.bck)]
    meta = complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.get("o") == WHOLE
    assert meta == bench.store.head(bench.bck, "o").meta
    assert not os.path.exists(upload.directory)


def test_a_completed_upload_whose_record_stayed_takes_nothing_more(bench: Any) -> None:
    """No part, no other list of parts, no abort: it is over, although its directory is still there."""
    upload = start(bench)
    for number in CONTENTS:
        send(bench, upload, number)
    assert not complete_and_die(bench, upload.id, (1, 2, 3), doomed="/upload")
    bench.put("o", b"newer")
    over = bench.store.uploads.find(bench.bck, "o", upload.id)
    for step in (
        lambda: bench.store.uploads.part_writer(over, 4, SIZE),
        lambda: complete(bench.store, bench, upload.id, (1, 2)),
        lambda: bench.store.uploads.abort(over),
    ):
        with pytest.raises(HandleNotFound):
            step()
    assert bench.get("o") == b"newer"
    assert not os.path.exists(upload.directory)


@pytest.mark.parametrize("rules", [WriteRules(), WriteRules(keeping=Keeping.ENABLED)], ids=["plain", "versions"])
def test_so_does_one_on_a_mountpath_that_does_not_own_the_name_any_more(
    make_bench: Callable[..., Any], rules: WriteRules
) -> None:
    """The object was made of a work file, and replaced since: it does not come back on top of what replaced it."""
    bench = make_bench(1)
    bench.rules = rules
    upload = start(bench)
    for number in CONTENTS:
        send(bench, upload, number)
    for number in range(1, 40):
        if not upload.directory.startswith(bench.volume.place(f"{bench.bck.uname}o").path + "/"):
            break
        path = bench.root / f"another{number}"
        path.mkdir()
        bench.volume.attach(str(path))
    assert not complete_and_die(bench, upload.id, (1, 2, 3), doomed="/upload")
    assert bench.get("o") == WHOLE
    bench.put("o", b"newer")
    complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.get("o") == b"newer"
    assert not os.path.exists(upload.directory)


class SlicesAlone(NoSlicing):
    """Every object is kept as slices alone, which this test does not look for."""

    def plan(self, _staged: Staged) -> Plan | None:
        return Plan(2, 1, is_alone=True, needs_all=False)

    def prepare(self, staged: Staged, meta: ObjectMeta, plan: Plan, *, is_replacing: bool) -> Prepared:
        return SlicesAside(msgspec.structs.replace(meta, cut=Cut(2, 1, 4096, meta.stamp)))


class SlicesAside:
    def __init__(self, meta: ObjectMeta) -> None:
        self.meta = meta

    def is_current(self) -> bool:
        """There are none that were removed."""
        return True

    def keep(self) -> None:
        """There are none."""

    def drop(self) -> None:
        """There are none."""


def test_killed_before_its_file_goes_an_object_of_slices_is_not_made_again(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object has its name, what its slices were cut of is still there; it was replaced since."""
    bench.volume.coded = frozenset((bench.bck,))
    bench.store.slice_with(SlicesAlone())
    bench.store.on_coded(lambda *_: None, lambda *_: None, lambda *_: nullcontext())
    upload = start(bench)
    for number in CONTENTS:
        send(bench, upload, number)
    with monkeypatch.context() as patched:
        patched.setattr("ais.core.publish.workfile.discard", die)
        with pytest.raises(Killed):
            complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.store.head(bench.bck, "o").meta.size == len(WHOLE)
    newer = bench.put("o", b"newer")
    complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.store.head(bench.bck, "o").meta.stamp == newer.stamp
    assert not os.path.exists(upload.directory)


@pytest.mark.parametrize("is_moved", [False, True], ids=["in place", "copied together"])
def test_every_point_of_death_of_a_complete(make_bench: Callable[..., Any], is_moved: bool) -> None:
    """Asked again, with the start-up sweep in between or without, the object is what was sent."""
    bench = make_bench(1)
    for call in range(CALLS_MAX):
        upload = start(bench)
        send(bench, upload, 1)
        send(bench, upload, 2, size=None if is_moved else SIZE)
        send(bench, upload, 3)
        numbers = (1, 3) if is_moved else (1, 2, 3)
        got_through = complete_and_die(bench, upload.id, numbers, left=call)
        if call % 2:
            bench.volume.sweep_workfiles()
        try:
            complete(bench.store, bench, upload.id, numbers)
        except HandleNotFound:
            assert not os.path.exists(f"{upload.directory}/upload")
        assert bench.get("o") == b"".join(CONTENTS[number] for number in numbers)
        bench.store.delete(bench.bck, "o")
        bench.volume.sweep_workfiles()
        assert not list(bench.root.glob("mp*/@ais/b/%mp/*"))
        if got_through:
            return
    pytest.fail(f"a complete makes more than {CALLS_MAX} calls")


@pytest.mark.parametrize("chosen", [(1,), (1, 2), (2, 3), (1, 3), (3,)])
def test_a_refused_complete_of_some_parts_takes_nothing_from_the_others(bench: Any, chosen: tuple[int, ...]) -> None:
    """A condition that does not hold: then the complete of all parts has all bytes, wherever they were meant to go."""
    upload = start(bench)
    for number in (1, 3):
        send(bench, upload, number)
    send(bench, upload, 2, size=None)
    with pytest.raises(BadRequest):
        complete(bench.store, bench, upload.id, chosen, condition=refuse)
    complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.get("o") == WHOLE


def test_a_refused_complete_with_a_longer_part_takes_nothing_from_its_neighbour(bench: Any) -> None:
    """A last part that is longer than its slot would lie where the next one is, which was left out of the list."""
    upload = start(bench)
    send(bench, upload, 1)
    send(bench, upload, 3)
    long = b"2" * (SIZE + 100)
    send(bench, upload, 2, long, len(long))
    with pytest.raises(BadRequest):
        complete(bench.store, bench, upload.id, (1, 2), condition=refuse)
    complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.get("o") == CONTENTS[1] + long + CONTENTS[3]


def test_a_part_that_hung_does_not_change_the_object(bench: Any) -> None:
    """It was sent again, the upload completed; what the first connection still brings goes nowhere."""
    upload = start(bench)
    hanging = bench.store.uploads.part_writer(upload, 1, SIZE)
    hanging.write(b"x" * 10)
    for number in CONTENTS:
        send(bench, upload, number)
    complete(bench.store, bench, upload.id, (1, 2, 3))
    hanging.write(b"x" * (SIZE - 10))
    with pytest.raises(HandleNotFound):
        hanging.commit({})
    assert bench.get("o") == WHOLE


def test_a_part_in_flight_does_not_damage_the_object_for_ever(bench: Any) -> None:
    """A part that is not listed makes the file longer after it was cut: the object must not have another size."""
    upload = start(bench)
    for number in (1, 2):
        send(bench, upload, number)
    flying = bench.store.uploads.part_writer(upload, 3, SIZE)
    complete(bench.store, bench, upload.id, (1, 2))
    flying.write(CONTENTS[3])
    assert bench.get("o") == CONTENTS[1] + CONTENTS[2]
    flying.abort()


def test_a_part_cannot_come_between_the_list_and_the_object(bench: Any) -> None:
    """A part that begins while its upload is being completed is written elsewhere, and does not count."""
    upload = start(bench)
    for number in (1, 2):
        send(bench, upload, number)
    late: list[Any] = []

    def begin(_stored: ObjectMeta | None) -> None:
        late.append(bench.store.uploads.part_writer(upload, 3, SIZE))
        late[0].write(CONTENTS[3])
        with pytest.raises(AisError):
            late[0].commit({})

    complete(bench.store, bench, upload.id, (1, 2), condition=begin)
    assert late
    assert bench.get("o") == CONTENTS[1] + CONTENTS[2]


def test_bytes_changed_on_the_disk_do_not_get_the_name(bench: Any) -> None:
    """A part damaged behind our back is named; sent again, the upload completes."""
    bench.put("o", b"before")
    upload = start(bench)
    for number in CONTENTS:
        send(bench, upload, number)
    with Path(upload.directory, "data").open("r+b") as file:
        file.seek(SIZE + 5)
        file.write(b"\x00")
    with pytest.raises(PartDamaged, match="part 2"):
        complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.get("o") == b"before"
    send(bench, upload, 2)
    complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.get("o") == WHOLE


def test_parts_whose_bytes_a_power_loss_took_do_not_become_zeros(bench: Any) -> None:
    """The records came through, the bytes did not: the complete says so."""
    upload = start(bench)
    for number in CONTENTS:
        send(bench, upload, number)
    os.truncate(f"{upload.directory}/data", 0)
    with pytest.raises(PartDamaged):
        complete(bench.store, bench, upload.id, (1, 2, 3))
    bench.store.uploads.abort(upload)


@pytest.mark.parametrize("attached", ["mp1", "mp1 mp2 mp3 mp4"])
def test_mountpaths_attached_during_an_upload(make_bench: Callable[..., Any], attached: str) -> None:
    """Refused and then completed after the owner changed, the object has all bytes."""
    bench = make_bench(1)
    upload = start(bench)
    for number in CONTENTS:
        send(bench, upload, number)
    for name in attached.split():
        (bench.root / name).mkdir()
        bench.volume.attach(str(bench.root / name))
    with pytest.raises(BadRequest):
        complete(bench.store, bench, upload.id, (1, 2, 3), condition=refuse)
    complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.get("o") == WHOLE
    assert bench.leftovers() == []
    assert not list(bench.root.glob("mp*/@ais/b/%mp/*"))


def test_mountpaths_attached_while_the_object_is_made(make_bench: Callable[..., Any]) -> None:
    """The owner changes after the parts were compared: what is refused then is still all there."""
    bench = make_bench(1)
    upload = start(bench)
    for number in CONTENTS:
        send(bench, upload, number)

    class Attaching(Disk):
        @staticmethod
        def fdatasync(fd: int) -> None:
            os.fdatasync(fd)
            for index in range(1, 5):
                (bench.root / f"mp{index}").mkdir(exist_ok=True)
                bench.volume.attach(str(bench.root / f"mp{index}"))

    store = Store(bench.volume, Env(disk=Attaching()))
    with pytest.raises(BadRequest):
        complete(store, bench, upload.id, (1, 2, 3), condition=refuse)
    complete(bench.store, bench, upload.id, (1, 2, 3))
    assert bench.get("o") == WHOLE
