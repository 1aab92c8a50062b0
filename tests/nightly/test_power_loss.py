"""Power lost after each acknowledged change: what docs/reliability.md promises, on a disk that is recorded."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from harness.images import KINDS, make
from harness.powerloss import Recorder, after_cut, choices, replay, why_no_power_loss

from ais.api.bucket import Bck
from ais.base.errors import AisError, NotFound
from ais.core.listing import Lister
from ais.core.meta import ObjectMeta
from ais.core.recovery import remove_torn
from ais.core.store import Store
from ais.core.workfile import Keeping, WriteRules
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume

IMAGE_BYTES = 512 << 20
COMMIT_S = 3.0
"""Longer than the file systems' own interval, which the mount option sets to a second where there is one."""
BCK, KEPT = Bck("b"), Bck("kept")
OLD, NEW = os.urandom(70_000), os.urandom(90_000)
SMALL = os.urandom(4096)
PART = 1 << 20
PARTS = [os.urandom(PART), os.urandom(PART), os.urandom(1000)]

State = dict[str, Any]


class Bench(NamedTuple):
    """A store on the disk, and how its bucket writes."""

    volume: Volume
    store: Store
    env: Env
    rules: WriteRules

    @property
    def keeping(self) -> WriteRules:
        """Of the bucket that keeps versions."""
        return msgspec.structs.replace(self.rules, keeping=Keeping.ENABLED)

    def put(self, name: str, content: bytes, bck: Bck = BCK) -> ObjectMeta:
        rules = self.keeping if bck == KEPT else self.rules
        writer = self.store.writer(bck, name, rules)
        writer.write(content)
        return writer.commit()

    def append(self, name: str) -> None:
        appender = self.store.appender(BCK, name, self.rules, "t")
        appender.write(NEW)
        handle = appender.keep()
        appender = self.store.appender(BCK, name, self.rules, "t", handle)
        appender.write(SMALL)
        appender.flush()

    def begin(self, name: str) -> Any:
        uploads = self.store.uploads
        return uploads.find(BCK, name, uploads.create(BCK, name, {}, {}, fsync=self.rules.fsync))

    def send(self, upload: Any, number: int) -> None:
        size = PART if number < len(PARTS) else None
        writer = self.store.uploads.part_writer(upload, number, size, fsync=self.rules.fsync)
        writer.write(PARTS[number - 1])
        writer.commit({})

    def upload(self, name: str) -> None:
        upload = self.begin(name)
        for number in (2, 1, 3):
            self.send(upload, number)
        self.store.uploads.complete(upload, list(self.store.uploads.parts(upload).values()), self.rules, {})

    def pending(self, name: str) -> Any:
        return next((one for one, info in self.store.uploads.list(BCK) if info.name == name), None)

    def object(self, name: str, bck: Bck = BCK, version_id: str | None = None) -> Any:
        """Content, custom metadata and tags; None when it is absent, and text when it is damaged."""
        try:
            opened = self.store.open(bck, name, version_id)
        except NotFound:
            return None
        except AisError as error:
            return f"damaged: {error}"
        try:
            content = os.pread(opened.fd, 1 << 24, 0)
        finally:
            os.close(opened.fd)
        if len(content) != opened.meta.size or not content.strip(b"\0"):
            return "zeros"
        return content, tuple(opened.meta.custom.items()), tuple(opened.meta.facts.items())

    def objects(self, *names: str) -> State:
        return {name: self.object(name) for name in names}

    def versions(self, name: str) -> State:
        """The latest version, and each that was ever written, by its content."""
        found = {"latest": self.object(name, KEPT)}
        for version_id in VERSION_IDS.get(name, ()):
            found[version_id] = self.object(name, KEPT, version_id)
        return found


VERSION_IDS: dict[str, list[str]] = {}


class Change(NamedTuple):
    """An acknowledged change, what it needs before, and what shows whether it happened."""

    prepare: Callable[[Bench], object]
    do: Callable[[Bench], object]
    observe: Callable[[Bench], State]
    is_move: bool = False


def _nothing(_bench: Bench) -> None:
    return None


def _tag(bench: Bench) -> None:
    def change(meta: ObjectMeta) -> ObjectMeta:
        return msgspec.structs.replace(meta, facts={"tagging": "a=b"})

    bench.store.update(BCK, "tagged", change, fsync=bench.rules.fsync)


def _put_kept(bench: Bench, name: str, content: bytes) -> None:
    VERSION_IDS.setdefault(name, []).append(bench.put(name, content, KEPT).version_id)


def _two_kept(bench: Bench, name: str) -> None:
    VERSION_IDS[name] = []
    _put_kept(bench, name, SMALL)
    _put_kept(bench, name, OLD)


def _complete_after(bench: Bench) -> State:
    """The parts of an upload that is still there, by what completing it makes."""
    upload_id = bench.pending("parts")
    if upload_id is None:
        return {"parts": None}
    uploads = bench.store.uploads
    upload = uploads.find(BCK, "parts", upload_id)
    found = uploads.parts(upload)
    try:
        uploads.complete(upload, list(found.values()), bench.rules, {})
    except AisError:
        return {"parts": None}
    made = bench.object("parts")
    return {"parts": made if len(found) == len(PARTS) else None}


def _send_all(bench: Bench) -> None:
    upload = bench.begin("parts")
    for number in (1, 2, 3):
        bench.send(upload, number)


def _abort(bench: Bench) -> None:
    uploads = bench.store.uploads
    uploads.abort(uploads.find(BCK, "aborted", bench.pending("aborted")), fsync=bench.rules.fsync)


CHANGES: dict[str, Change] = {
    "PUT, new, 4 KiB": Change(_nothing, lambda b: b.put("new", SMALL), lambda b: b.objects("new")),
    "PUT, new, 90 KB, in new directories": Change(
        _nothing, lambda b: b.put("d/e/f", NEW), lambda b: b.objects("d/e/f")
    ),
    "PUT, overwrite, 4 KiB": Change(
        lambda b: b.put("over", OLD), lambda b: b.put("over", SMALL), lambda b: b.objects("over")
    ),
    "PUT, overwrite, 90 KB": Change(
        lambda b: b.put("larger", SMALL), lambda b: b.put("larger", NEW), lambda b: b.objects("larger")
    ),
    "PUT below an object": Change(
        lambda b: b.put("x", OLD), lambda b: b.put("x/below", NEW), lambda b: b.objects("x", "x/below")
    ),
    "DELETE": Change(
        lambda b: b.put("gone", OLD),
        lambda b: b.store.delete(BCK, "gone", rules=b.rules),
        lambda b: b.objects("gone"),
    ),
    "DELETE of the last in its directories": Change(
        lambda b: b.put("g/h/i", OLD),
        lambda b: b.store.delete(BCK, "g/h/i", rules=b.rules),
        lambda b: b.objects("g/h/i"),
    ),
    "PATCH": Change(
        lambda b: b.put("patched", OLD),
        lambda b: b.store.set_custom(BCK, "patched", {"k": "v"}, replace=True, fsync=b.rules.fsync),
        lambda b: b.objects("patched"),
    ),
    "tags": Change(lambda b: b.put("tagged", OLD), _tag, lambda b: b.objects("tagged")),
    "copy, new": Change(
        lambda b: b.put("source", NEW),
        lambda b: b.store.copy(BCK, "source", BCK, "copied", b.rules),
        lambda b: b.objects("source", "copied"),
    ),
    "copy, overwrite": Change(
        lambda b: (b.put("source2", NEW), b.put("copied2", OLD)),
        lambda b: b.store.copy(BCK, "source2", BCK, "copied2", b.rules),
        lambda b: b.objects("source2", "copied2"),
    ),
    "rename, new": Change(
        lambda b: b.put("p/from", OLD),
        lambda b: b.store.rename(BCK, "p/from", "q/to", b.rules),
        lambda b: b.objects("p/from", "q/to"),
        is_move=True,
    ),
    "rename, overwrite": Change(
        lambda b: (b.put("from", NEW), b.put("to", OLD)),
        lambda b: b.store.rename(BCK, "from", "to", b.rules),
        lambda b: b.objects("from", "to"),
        is_move=True,
    ),
    "PUT, then rename over": Change(
        lambda b: b.put("to3", OLD),
        lambda b: (b.put("from3", NEW), b.store.rename(BCK, "from3", "to3", b.rules)),
        lambda b: b.objects("to3"),
    ),
    "append, new": Change(_nothing, lambda b: b.append("grown"), lambda b: b.objects("grown")),
    "append to an object": Change(
        lambda b: b.put("grown2", OLD), lambda b: b.append("grown2"), lambda b: b.objects("grown2")
    ),
    "multipart, new": Change(_nothing, lambda b: b.upload("mp"), lambda b: b.objects("mp")),
    "multipart, overwrite": Change(lambda b: b.put("mp2", OLD), lambda b: b.upload("mp2"), lambda b: b.objects("mp2")),
    "parts of an upload": Change(_nothing, _send_all, _complete_after),
    "abort of an upload": Change(lambda b: b.begin("aborted"), _abort, lambda b: {"aborted": b.pending("aborted")}),
    "versions: PUT": Change(
        lambda b: _two_kept(b, "v1"), lambda b: _put_kept(b, "v1", NEW), lambda b: b.versions("v1")
    ),
    "versions: DELETE": Change(
        lambda b: _two_kept(b, "v2"),
        lambda b: b.store.delete(KEPT, "v2", rules=b.keeping),
        lambda b: b.versions("v2"),
    ),
    "versions: DELETE of the latest": Change(
        lambda b: _two_kept(b, "v3"),
        lambda b: b.store.delete_version(KEPT, "v3", VERSION_IDS["v3"][1], fsync=b.rules.fsync),
        lambda b: b.versions("v3"),
    ),
    "versions: DELETE of an older one": Change(
        lambda b: _two_kept(b, "v4"),
        lambda b: b.store.delete_version(KEPT, "v4", VERSION_IDS["v4"][0], fsync=b.rules.fsync),
        lambda b: b.versions("v4"),
    ),
}


class NextBoot(Disk):
    """The disk after the machine was off."""

    boot_id = staticmethod(lambda: "the next boot")


def _open(root: Path, rules: WriteRules, disk: Disk) -> Bench:
    env = Env(disk=disk)
    volume = Volume.load_or_create(env, [str(root / "mp")])
    return Bench(volume, Store(volume, env), env, rules)


def _copy(image: Path, to: Path) -> None:
    subprocess.run(["cp", "--sparse=always", str(image), str(to)], check=True)


def _judge(change: Change, found: State, old: State, new: State, *, fsync: bool) -> str:
    """`old`, `new` or `partly`, or what is wrong."""
    if found == new:
        return "new"
    if fsync:
        return f"LOST: {_short(found)}"
    wrong = {key: value for key, value in found.items() if value not in (old.get(key), new.get(key))}
    if wrong or (change.is_move and not any(found.values())):
        return f"NEITHER: {_short(found)}"
    return "old" if all(found[key] == old.get(key) for key in found) else "partly"


def _short(state: State) -> dict[str, str]:
    return {key: str(value)[:80] for key, value in state.items()}


def _look(whats: list[str], root: Path, rules: WriteRules) -> dict[str, tuple[State, State]]:
    """What the next start shows: at once, and when it has looked for what is torn; a listing agrees with it then."""
    bench = _open(root, rules, NextBoot())
    try:
        bench.volume.sweep_workfiles()
        before = {what: CHANGES[what].observe(bench) for what in whats}
        remove_torn(bench.store, bench.env.disk)
        again = [what for what in whats if CHANGES[what].observe is not _complete_after]
        after = before | {what: CHANGES[what].observe(bench) for what in again}
        for entry in Lister(bench.volume, bench.env).page(BCK).entries:
            assert bench.object(entry.name) is not None, f"{entry.name} is listed and absent"
        return {what: (before[what], after[what]) for what in whats}
    finally:
        bench.volume.close()


@pytest.mark.parametrize("fsync", [False, True], ids=["default", "Fsync-PUT"])
@pytest.mark.parametrize("kind", KINDS)
def test_power_is_lost_after_every_change(tmp_path: Path, kind: str, fsync: bool) -> None:
    """Default: each object is old or new, or absent if it was. Fsync-PUT: every acknowledged change is there."""
    if reason := why_no_power_loss(kind):
        pytest.skip(reason)
    VERSION_IDS.clear()
    rules, image, base, cut = WriteRules(fsync=fsync), tmp_path / "image", tmp_path / "base", tmp_path / "cut"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    make(kind, str(image))
    live = tmp_path / "live"
    with after_cut(kind, image, live) as root:
        (root / "mp").mkdir()
        bench = _open(root, rules, Disk())
        bench.volume.create_bucket(BCK, 1)
        bench.volume.create_bucket(KEPT, 2)
        for change in CHANGES.values():
            change.prepare(bench)
        old = {what: change.observe(bench) for what, change in CHANGES.items()}
        bench.volume.close()
    live.rmdir()
    _copy(image, base)
    recorder = Recorder(kind, tmp_path, image)
    cuts: dict[str, list[tuple[str, int]]] = {}
    new: dict[str, State] = {}
    bench = _open(recorder.directory, rules, Disk())
    for what, change in CHANGES.items():
        change.do(bench)
        cuts[what] = [("acknowledged", recorder.position())]
        new[what] = change.observe(bench) if change.observe is not _complete_after else {
            "parts": (b"".join(PARTS), (), ())
        }  # fmt: skip
        unrelated = os.open(recorder.directory / "unrelated", os.O_CREAT | os.O_WRONLY)
        os.write(unrelated, what.encode())
        os.fsync(unrelated)
        os.close(unrelated)
        cuts[what].append(("after another's fsync", recorder.position()))
    time.sleep(COMMIT_S)
    late = recorder.position()
    bench.volume.close()
    recorder.stop()
    outcomes: dict[str, Counter[str]] = {what: Counter() for what in CHANGES}
    wrong: list[str] = []

    def judge(whats: list[str], when: str) -> None:
        for what, looks in _look(whats, live, rules).items():
            for found in looks:
                wanted = {**dict.fromkeys(found), **new[what]} if what.startswith("versions") else new[what]
                verdict = _judge(CHANGES[what], found, old[what], wanted, fsync=fsync)
                outcomes[what][verdict.partition(":")[0]] += 1
                if verdict[:3].isupper():
                    wrong.append(f"{kind} {what} {when}: {verdict}")

    cuts_and_late = [(when, [what], at) for what, taken in cuts.items() for when, at in taken]
    for when, whats, position in [*cuts_and_late, (f"{COMMIT_S:g} s later", list(CHANGES), late)]:
        for name, choice in choices(position).items():
            _copy(base, cut)
            replay(recorder.log, position, cut, choice)
            with after_cut(kind, cut, live):
                judge(whats, f"{when}, unflushed: {name}")
    for what, counted in outcomes.items():
        print(f"| {kind} | {'Fsync-PUT' if fsync else 'default'} | {what} | {dict(counted)} |")
    assert wrong == []
