"""Changes during which their bucket begins to keep versions, or a version is held: nothing that must stay goes."""

import os
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from harness.at_once import put_at_once

from ais.base.errors import AccessDenied
from ais.core import holds
from ais.core.meta import ObjectMeta
from ais.core.workfile import Keeping, WriteRules

BEFORE, SINCE = WriteRules(), WriteRules(keeping=Keeping.ENABLED)


def put(bench: Any) -> Callable[[], object]:
    writer = bench.store.writer(bench.bck, "o", BEFORE)
    writer.write(b"late")
    return lambda: writer.commit()


def put_in_one_go(bench: Any) -> Callable[[], object]:
    return lambda: put_at_once(bench.store, bench.bck, "o", BEFORE, b"late")


def append(bench: Any) -> Callable[[], object]:
    appender = bench.store.appender(bench.bck, "o", BEFORE, "t")
    appender.write(b"late")
    return lambda: appender.flush()


def complete(bench: Any) -> Callable[[], object]:
    uploads = bench.store.uploads
    upload = uploads.find(bench.bck, "o", uploads.create(bench.bck, "o", {}, {}))
    writer = uploads.part_writer(upload, 1, 4)
    writer.write(b"late")
    part = writer.commit({})
    return lambda: uploads.complete(upload, [part], BEFORE, {})


def copy(bench: Any) -> Callable[[], object]:
    bench.put("source", b"late")
    return lambda: bench.store.copy(bench.bck, "source", bench.bck, "o", BEFORE)


def rename(bench: Any) -> Callable[[], object]:
    bench.put("source", b"late")
    return lambda: bench.store.rename(bench.bck, "source", "o", BEFORE)


def delete(bench: Any) -> Callable[[], object]:
    return lambda: bench.store.delete(bench.bck, "o", rules=BEFORE)


WAITING = (put, append, complete, copy, rename, delete)
CHANGES = (put_in_one_go, *WAITING)


@pytest.mark.parametrize("mountpaths", [1, 3])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_bucket_keeps_since_then_is_kept(
    make_bench: Callable[..., Any], change: Callable[[Any], Callable[[], object]], mountpaths: int
) -> None:
    """The version on top when it ends lives on below, also one that must stay; whoever asks gets it by its ID."""
    bench = make_bench(mountpaths)
    bench.put("o", b"before")
    end = change(bench)
    bench.volume.keep_versions({bench.bck: "Enabled"})
    kept = bench.put("o", b"acknowledged", SINCE, facts={holds.LEGAL_HOLD: holds.ON})
    end()
    opened = bench.store.open(bench.bck, "o", kept.version_id)
    assert os.pread(opened.fd, 100, 0) == b"acknowledged"
    os.close(opened.fd)
    opened = bench.store.open(bench.bck, "o", "null")
    assert os.pread(opened.fd, 100, 0) == b"before"
    os.close(opened.fd)
    assert bench.leftovers() == []


@pytest.mark.parametrize("change", WAITING)
def test_what_waits_for_the_lock_meanwhile_looks_again(
    bench: Any, change: Callable[[Any], Callable[[], object]]
) -> None:
    """The same where everything but the lock was asked for before: what was there then becomes a version."""
    bench.put("o", b"before")
    end = change(bench)
    spot = bench.store.spot(bench.bck, "o")
    begun = threading.Event()

    def wait_and_end() -> None:
        begun.set()
        end()

    with spot.mountpath.stripes.held(spot.key):
        waiting = threading.Thread(target=wait_and_end)
        waiting.start()
        begun.wait()
        waiting.join(0.05)
        bench.volume.keeping = {bench.bck: "Enabled"}
    waiting.join()
    opened = bench.store.open(bench.bck, "o", "null")
    assert os.pread(opened.fd, 100, 0) == b"before"
    os.close(opened.fd)


def test_what_is_held_while_it_is_renamed_stays(bench: Any) -> None:
    """The hold was acknowledged: the version has its name still, whatever has become of the copy."""
    kept = bench.put("o", b"held", SINCE)
    store, copy_content = bench.store, bench.store._copy

    def hold(meta: ObjectMeta) -> ObjectMeta:
        return msgspec.structs.replace(meta, facts={holds.LEGAL_HOLD: holds.ON})

    def copy_and_hold(*args: Any, **kwargs: Any) -> Any:
        store._copy = copy_content
        done = copy_content(*args, **kwargs)
        store.update(bench.bck, "o", hold)
        return done

    store._copy = copy_and_hold
    with pytest.raises(AccessDenied):
        store.rename(bench.bck, "o", "p", SINCE)
    opened = store.open(bench.bck, "o", kept.version_id)
    assert os.pread(opened.fd, 100, 0) == b"held"
    os.close(opened.fd)
