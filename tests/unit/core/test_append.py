"""Objects that grow by appends."""

from typing import Any

import pytest

from ais.base.errors import BadRequest, Busy, ChecksumMismatch, HandleNotFound, ObjectNotFound
from ais.core.appender import Handle


def append(bench: Any, handle: str, content: bytes, name: str = "o") -> str:
    appender = bench.store.appender(bench.bck, name, bench.rules, "t1", handle)
    appender.write(content)
    kept: str = appender.keep()
    return kept


def test_appends_become_an_object_at_the_flush(bench: Any) -> None:
    """Nothing is visible before; the flush may bring bytes too; the handle ends with it."""
    handle = append(bench, append(bench, "", b"one "), b"two ")
    with pytest.raises(ObjectNotFound):
        bench.store.open(bench.bck, "o")
    flush = bench.store.appender(bench.bck, "o", bench.rules, "t1", handle)
    flush.write(b"three")
    assert flush.flush().size == 13
    assert bench.get("o") == b"one two three"
    with pytest.raises(HandleNotFound):
        append(bench, handle, b"x")


def test_an_append_starts_from_the_object(bench: Any) -> None:
    """Content and custom metadata of the present object are kept."""
    bench.put("o", b"old ", custom={"k": "v"})
    handle = append(bench, "", b"new")
    stored = bench.store.appender(bench.bck, "o", bench.rules, "t1", handle).flush()
    assert bench.get("o") == b"old new"
    assert (stored.version, stored.custom) == ("2", {"k": "v"})


def test_a_repeated_append_does_not_add_twice(bench: Any) -> None:
    """The handle says how much the client knows to be stored."""
    first = append(bench, "", b"one ")
    append(bench, first, b"two ")
    second = append(bench, first, b"two ")
    bench.store.appender(bench.bck, "o", bench.rules, "t1", second).flush()
    assert bench.get("o") == b"one two "


def test_an_aborted_append_changes_nothing(bench: Any) -> None:
    """A lost connection leaves what the handle promised, or no work file when there is no handle yet."""
    appender = bench.store.appender(bench.bck, "o", bench.rules, "t1")
    appender.write(b"lost")
    appender.abort()
    handle = append(bench, "", b"kept")
    appender = bench.store.appender(bench.bck, "o", bench.rules, "t1", handle)
    appender.write(b"lost")
    appender.abort()
    appender.abort()
    bench.store.appender(bench.bck, "o", bench.rules, "t1", handle).flush()
    assert bench.get("o") == b"kept"


def test_two_requests_cannot_append_at_once(bench: Any) -> None:
    """The second one is told to try later."""
    handle = append(bench, "", b"x")
    running = bench.store.appender(bench.bck, "o", bench.rules, "t1", handle)
    with pytest.raises(Busy):
        append(bench, handle, b"y")
    running.flush()


def test_a_flush_verifies_the_claimed_checksum(bench: Any) -> None:
    """Bad content is dropped, the old object stays."""
    bench.put("o", b"old")
    handle = append(bench, "", b"new")
    with pytest.raises(ChecksumMismatch):
        bench.store.appender(bench.bck, "o", bench.rules, "t1", handle).flush(claimed=("md5", "00"))
    assert bench.get("o") == b"old"


@pytest.mark.parametrize(
    "text", ["x", "t1|a|1", "t1|ap-0123456789abcdef-1|-1", "t1|../../x|1", "t1|ap-0123456789abcdef-1/..|1"]
)
def test_malformed_handles_are_the_clients_mistake(bench: Any, text: str) -> None:
    """A handle is never used as a path before it is understood."""
    with pytest.raises(BadRequest):
        append(bench, text, b"x")


def test_a_handle_is_good_for_its_object_only(bench: Any) -> None:
    """Another name, another target, a size beyond the file, a swept work file: unknown."""
    handle = append(bench, "", b"x")
    parsed = Handle.parse(handle)
    longer = str(Handle(parsed.target_id, parsed.work_id, 100))
    for name, text in (("p", handle), ("o", handle.replace("t1|", "t2|")), ("o", longer)):
        with pytest.raises(HandleNotFound):
            append(bench, text, b"y", name)
    bench.store.drop_idle(3600)
    handle = append(bench, handle, b"y")
    bench.volume.sweep_workfiles()
    with pytest.raises(HandleNotFound):
        append(bench, handle, b"z")
    handle = append(bench, "", b"x")
    bench.store.drop_idle(-1)
    with pytest.raises(HandleNotFound):
        append(bench, handle, b"y")
