"""Uploads in parts: whatever the order, sizes and interruptions, the object is what was sent, or nothing."""

import errno
import hashlib
import os
import threading
from typing import Any

import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ais.api.bucket import Bck
from ais.base.errors import BadRequest, BucketNotFound, Busy, HandleNotFound, NotReady, OutOfSpace
from ais.core.meta import ObjectMeta, run_lengths
from ais.core.multipart import Part
from ais.core.workfile import WriteRules


def _start(bench: Any, name: str = "dir/o") -> Any:
    upload_id = bench.store.uploads.create(bench.bck, name, {"k": "v"}, {})
    return bench.store.uploads.find(bench.bck, name, upload_id)


def _put(bench: Any, upload: Any, number: int, content: bytes, size: int | None = -1) -> Part:
    writer = bench.store.uploads.part_writer(upload, number, len(content) if size == -1 else size)
    half = len(content) // 2
    writer.write(content[:half])
    writer.write(memoryview(content)[half:])
    return writer.commit({"n": str(number)})


def _complete(bench: Any, upload: Any, parts: list[Part], **options: Any) -> ObjectMeta:
    meta = bench.store.uploads.complete(upload, parts, bench.rules, upload.info.custom, **options)
    assert isinstance(meta, ObjectMeta)
    return meta


def _directories(bench: Any) -> list[str]:
    return [str(path) for path in bench.root.glob("mp*/@ais/*/%mp/*")]


def test_parts_in_any_order_become_the_object(bench: Any) -> None:
    """Content, checksum, custom metadata and part sizes are those of what was sent; nothing else stays."""
    upload = _start(bench)
    contents = {1: b"a" * 100, 2: b"b" * 100, 3: b"c" * 7}
    sent = {number: _put(bench, upload, number, contents[number]) for number in (2, 1, 3)}
    assert bench.store.uploads.parts(upload) == dict(sorted(sent.items()))
    assert sent[2].md5 == hashlib.md5(contents[2]).digest()
    whole = b"".join(contents.values())
    meta = _complete(bench, upload, [sent[1], sent[2], sent[3]])
    assert bench.get("dir/o") == whole
    assert bench.plain(meta) == ObjectMeta(
        207, "xxhash2", xxhash.xxh64_hexdigest(whole), "1", {"k": "v"}, ((2, 100), (1, 7))
    )
    assert meta.part_sizes == [100, 100, 7]
    assert not _directories(bench)
    with pytest.raises(HandleNotFound):
        bench.store.uploads.find(bench.bck, "dir/o", upload.id)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_sizes_order_repetition_and_choice(bench: Any, data: st.DataObject) -> None:
    """Parts of any sizes, sent in any order, some twice, some without a size, and a subset of them completed."""
    upload = _start(bench)
    numbers = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=10))
    contents: dict[int, bytes] = {}
    for number in numbers:
        contents[number] = data.draw(st.binary(min_size=0, max_size=40))
        _put(bench, upload, number, contents[number], data.draw(st.sampled_from([-1, None])))
    chosen = sorted(data.draw(st.sets(st.sampled_from(sorted(contents)), min_size=1)))
    parts = bench.store.uploads.parts(upload)
    _complete(bench, upload, [parts[number] for number in chosen])
    assert bench.get("dir/o") == b"".join(contents[number] for number in chosen)
    assert not os.path.exists(upload.directory)


def test_aborted_part_and_upload_leave_nothing(bench: Any) -> None:
    """A part that broke off does not count and its number can be sent again; an aborted upload is gone."""
    upload = _start(bench)
    broken = bench.store.uploads.part_writer(upload, 1, 4)
    broken.write(b"xx")
    broken.abort()
    assert bench.store.uploads.parts(upload) == {}
    part = _put(bench, upload, 1, b"good")
    assert (part.file, part.offset) == ("data", 0)
    bench.store.uploads.abort(upload)
    assert not _directories(bench)
    with pytest.raises(HandleNotFound):
        bench.store.uploads.abort(upload)
    with pytest.raises(HandleNotFound):
        _put(bench, upload, 2, b"late")


@pytest.mark.parametrize("size", [3, None])
def test_an_upload_that_ends_meanwhile_is_not_found(bench: Any, size: int | None) -> None:
    """Whoever found it before it was completed or aborted is told so at the next step, whichever that is."""
    uploads, upload = bench.store.uploads, _start(bench)
    part = _put(bench, upload, 1, b"abc")
    late = uploads.part_writer(upload, 2, size)
    late.write(b"def")
    uploads.abort(upload)
    steps = (
        lambda: uploads.parts(upload),
        lambda: uploads.part_writer(upload, 3, size),
        lambda: late.commit({}),
        lambda: _complete(bench, upload, [part]),
        lambda: uploads.abort(upload),
    )
    for step in steps:
        with pytest.raises(HandleNotFound):
            step()
    assert not _directories(bench)


def test_a_part_that_was_replaced_meanwhile_does_not_look_like_the_end_of_its_upload(bench: Any) -> None:
    """Completing with the part as it was before fails so that clients try again; the upload goes on."""
    uploads, upload = bench.store.uploads, _start(bench)
    before = _put(bench, upload, 1, b"abc", None)
    now = _put(bench, upload, 1, b"def", None)
    with pytest.raises(NotReady):
        _complete(bench, upload, [before])
    assert uploads.find(bench.bck, "dir/o", upload.id).info == upload.info
    _complete(bench, upload, [now])
    assert bench.get("dir/o") == b"def"


def test_two_writers_of_one_part_do_not_mix(bench: Any) -> None:
    """The last one that completes wins, whole."""
    upload = _start(bench)
    writers = [bench.store.uploads.part_writer(upload, 1, 4) for _ in range(2)]
    for writer, byte in zip(writers, (b"a", b"b"), strict=True):
        writer.write(byte * 2)
    for writer, byte in zip(writers, (b"a", b"b"), strict=True):
        writer.write(byte * 2)
        writer.commit({})
    _complete(bench, upload, list(bench.store.uploads.parts(upload).values()))
    assert bench.get("dir/o") == b"bbbb"


def test_of_two_appends_to_one_part_at_a_time_one_fails(bench: Any) -> None:
    """What an append acknowledged is never lost: one that began before another was kept has to be sent again."""
    uploads, upload = bench.store.uploads, _start(bench)
    _put(bench, upload, 1, b"abc", 3)
    first, second, third = (uploads.part_appender(upload, 1) for _ in range(3))
    for writer, content in ((first, b"1"), (second, b"2"), (third, b"3")):
        writer.write(content)
    first.commit({})
    with pytest.raises(Busy):
        second.commit({})
    third.abort()
    again = uploads.part_appender(upload, 1)
    again.write(b"2")
    again.commit({})
    _complete(bench, upload, list(uploads.parts(upload).values()))
    assert bench.get("dir/o") == b"abc12"
    assert not _directories(bench)


def test_one_of_many_completes_wins(bench: Any) -> None:
    """Eight at once: one object, seven times "does not exist any more"."""
    upload = _start(bench)
    part = _put(bench, upload, 1, b"x" * 1000)
    outcomes: list[object] = []

    def complete() -> None:
        try:
            outcomes.append(_complete(bench, upload, [part]))
        except HandleNotFound as error:
            outcomes.append(error)

    threads = [threading.Thread(target=complete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in outcomes) == ["HandleNotFound"] * 7 + ["ObjectMeta"]
    assert bench.get("dir/o") == b"x" * 1000


def test_a_refused_complete_keeps_the_upload(bench: Any) -> None:
    """A condition that does not hold changes nothing; the upload can be completed later."""
    bench.put("dir/o", b"old")
    upload = _start(bench)
    parts = [_put(bench, upload, 1, b"n" * 10), _put(bench, upload, 3, b"m" * 10)]

    def refuse(stored: ObjectMeta | None) -> None:
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        _complete(bench, upload, parts, condition=refuse)
    assert bench.get("dir/o") == b"old"
    assert _complete(bench, upload, parts).version == "2"
    assert bench.get("dir/o") == b"n" * 10 + b"m" * 10


def test_uploads_survive_a_restart_and_ended_ones_are_swept(bench: Any) -> None:
    """What the start-up sweep leaves is what was not completed."""
    upload = _start(bench)
    part = _put(bench, upload, 1, b"x")
    dead = _start(bench, "other")
    os.unlink(f"{dead.directory}/upload")
    bench.volume.sweep_workfiles()
    assert [one for one, _ in bench.store.uploads.list(bench.bck)] == [upload.id]
    assert len(_directories(bench)) == 1
    assert bench.store.uploads.parts(upload) == {1: part}
    _complete(bench, upload, [part])


@pytest.mark.parametrize("call", ["write", "rename"])
def test_what_could_not_be_begun_leaves_nothing(bench: Any, call: str) -> None:
    """Its client has no ID, so nobody could end it."""
    bench.disk.faults[call] = errno.ENOSPC
    with pytest.raises(OutOfSpace):
        _start(bench)
    bench.disk.faults.clear()
    assert _directories(bench) == []


def test_what_a_power_loss_left_of_a_beginning_is_swept(bench: Any) -> None:
    """A record without content is none: the upload cannot be found, nor ended."""
    upload, kept = _start(bench, "torn"), _start(bench, "kept")
    os.truncate(f"{upload.directory}/upload", 0)
    bench.volume.sweep_workfiles()
    assert _directories(bench) == [kept.directory]
    bench.store.uploads.abort(kept)


@pytest.mark.parametrize("kind", ["none", "md5", "sha256"])
def test_checksum_of_the_buckets_kind(bench: Any, kind: str) -> None:
    """A kind that cannot be combined from parts is computed over the content."""
    upload = _start(bench)
    part = _put(bench, upload, 1, b"hello")
    meta = bench.store.uploads.complete(upload, [part], WriteRules(kind), {})
    expected = "" if kind == "none" else hashlib.new(kind, b"hello").hexdigest()
    assert (meta.checksum_kind, meta.checksum) == (kind, expected)


def test_unknown_uploads(bench: Any) -> None:
    """An ID of another object, of none, or that is no ID at all."""
    upload = _start(bench)
    for name, upload_id in (("other", upload.id), ("dir/o", "x" * 20), ("dir/o", "../../x"), ("dir/o", "")):
        with pytest.raises(HandleNotFound):
            bench.store.uploads.find(bench.bck, name, upload_id)
    with pytest.raises(BucketNotFound):
        bench.store.uploads.create(Bck("none"), "o", {}, {})
    bench.store.uploads.abort(upload)


def test_part_sizes_are_remembered_as_runs() -> None:
    """Equal sizes take one run; sizes that change all the time are not kept."""
    assert run_lengths([5, 5, 3]) == ((2, 5), (1, 3))
    assert run_lengths(list(range(65))) == ()
