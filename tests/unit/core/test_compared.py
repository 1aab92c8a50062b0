"""Bytes that pass through us are compared, damage is never absence, and an order of our own decides between disks."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ais.api import checksum
from ais.base.errors import AlreadyExists, ContentDamaged, CorruptMetadata
from ais.core import meta as metadata
from ais.core.listing import Detail, Lister
from ais.core.workfile import Keeping, WriteRules
from ais.fs import names
from ais.target.transfer import absent

CONTENT = b"some bytes " * 1000


def file_of(bench: Any, name: str, mountpath: str = "mp0") -> Path:
    return Path(bench.root, mountpath, "@ais/b/%ob", names.to_path(name))


def damage(path: Path) -> None:
    """Flip a bit of a file's content and keep its times."""
    stat = path.stat()
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 4]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("kind", ["xxhash2", "md5"])
@pytest.mark.parametrize(
    "change",
    [
        lambda bench, rules: bench.store.copy(bench.bck, "o", bench.bck, "new", rules),
        lambda bench, rules: bench.store.appender(bench.bck, "o", rules, "t"),
    ],
    ids=["copy", "append"],
)
def test_a_damaged_object_does_not_become_another_one(
    bench: Any, kind: str, change: Callable[[Any, WriteRules], object]
) -> None:
    """What makes a new object of its bytes says that they are damaged, and makes nothing."""
    rules = WriteRules(kind)
    bench.put("o", CONTENT, rules)
    damage(file_of(bench, "o"))
    with pytest.raises(ContentDamaged):
        change(bench, rules)
    assert [entry.name for entry in Lister(bench.volume, bench.env).page(bench.bck).entries] == ["o"]


def test_appended_bytes_that_were_damaged_do_not_become_an_object(bench: Any) -> None:
    """The flush compares the work file with what each append was told to store."""
    appender = bench.store.appender(bench.bck, "o", bench.rules, "t")
    appender.write(CONTENT)
    handle = appender.keep()
    appender = bench.store.appender(bench.bck, "o", bench.rules, "t", handle)
    appender.write(b"more")
    handle = appender.keep()
    damage(next(bench.root.glob("mp0/@ais/b/%wk/ap-*")))
    with pytest.raises(ContentDamaged):
        bench.store.appender(bench.bck, "o", bench.rules, "t", handle).flush()


def test_an_append_that_is_repeated_is_compared_with_what_it_was_repeated_from(bench: Any) -> None:
    """An older handle cuts the work file; its sum is known for some appends back, and then the handle is unknown."""
    handles = [""]
    for number in range(5):
        appender = bench.store.appender(bench.bck, "o", bench.rules, "t", handles[-1])
        appender.write(str(number).encode() * 10)
        handles.append(appender.keep())
    appender = bench.store.appender(bench.bck, "o", bench.rules, "t", handles[2])
    appender.write(b"end")
    appender.flush()
    assert bench.get("o") == b"0" * 10 + b"1" * 10 + b"end"


def test_no_flipped_bit_of_the_attribute_is_served(bench: Any) -> None:
    """Each bit of the metadata, one after the other: an error, never other metadata."""
    bench.put("o", CONTENT, custom={"k": "v"})
    path = file_of(bench, "o")
    value = os.getxattr(path, metadata.XATTR)
    for bit in range(8 * len(value)):
        flipped = bytearray(value)
        flipped[bit // 8] ^= 1 << bit % 8
        os.setxattr(path, metadata.XATTR, bytes(flipped))
        with pytest.raises(CorruptMetadata):
            bench.store.head(bench.bck, "o")
    os.setxattr(path, metadata.XATTR, value)
    assert bench.store.head(bench.bck, "o").meta.custom == {"k": "v"}


def lose_attribute(path: Path) -> None:
    os.removexattr(path, metadata.XATTR)


def damage_attribute(path: Path) -> None:
    os.setxattr(path, metadata.XATTR, b"junk")


@pytest.mark.parametrize("harm", [lose_attribute, damage_attribute])
@pytest.mark.parametrize("name", ["o", "o/below"])
@pytest.mark.parametrize("keeping", [Keeping.NONE, Keeping.ENABLED])
def test_a_damaged_object_is_not_absent(bench: Any, harm: Callable[[Path], None], name: str, keeping: Keeping) -> None:
    """A write that must not replace anything does not replace it; one without a condition mends it."""
    rules = WriteRules(keeping=keeping)
    bench.put("o", CONTENT, rules)
    bench.put("o/below", CONTENT, rules)
    harm(file_of(bench, name) if name != "o" else file_of(bench, "o") / "%=")
    writer = bench.store.writer(bench.bck, name, rules)
    writer.write(b"other")
    with pytest.raises((CorruptMetadata, AlreadyExists)):
        writer.commit(absent(name))
    with pytest.raises((CorruptMetadata, AlreadyExists)):
        bench.store.delete(bench.bck, name, absent(name), rules)
    bench.put("source", b"x", rules)
    with pytest.raises((CorruptMetadata, AlreadyExists)):
        bench.store.move(bench.bck, "source", bench.bck, name, rules, absent(name))
    with pytest.raises(CorruptMetadata):
        bench.store.open(bench.bck, name)
    bench.put(name, b"mended", rules)
    assert bench.get(name) == b"mended"


def test_the_same_bytes_again_mend_a_damaged_object(bench: Any) -> None:
    """A client that claims the checksum which is stored already has its bytes written all the same."""
    claim = ("xxhash2", checksum.compute("xxhash2", CONTENT))
    bench.put("o", CONTENT, claimed=claim)
    damage(file_of(bench, "o"))
    bench.put("o", CONTENT, claimed=claim)
    assert bench.get("o") == CONTENT


def test_not_the_clock_but_our_order_tells_the_newest_of_two_disks(make_bench: Callable[..., Any]) -> None:
    """The newer bytes were written while the clock was behind, or have an older time: they are served and listed."""
    bench = make_bench(2)
    for number in range(20):
        bench.put(f"o{number}", b"old content")
    bench.volume.disable(str(bench.root / "mp0"))
    for number in range(20):
        bench.put(f"o{number}", b"new")
    for path in (bench.root / "mp1/@ais/b/%ob").iterdir():
        os.utime(path, ns=(10**18, 10**18))
    bench.volume.enable(str(bench.root / "mp0"))
    assert {bench.get(f"o{number}") for number in range(20)} == {b"new"}
    page = Lister(bench.volume, bench.env).page(bench.bck, detail=Detail.STAT)
    assert {entry.size for entry in page.entries} == {3}
    bench.put("o1", b"newest")
    assert bench.get("o1") == b"newest"


def test_objects_written_before_there_was_an_order_are_older(make_bench: Callable[..., Any]) -> None:
    """Metadata of format 1 has no stamp and no checksum: it is read, and whatever is written now is newer."""
    bench = make_bench(2)
    meta = bench.put("o", b"old content")
    path = next(bench.root.glob("mp*/@ais/b/%ob/o"))
    value = metadata.encode(bench.plain(meta))
    assert value[:5] == b"AISO\x02"
    os.setxattr(path, metadata.XATTR, b"AISO\x01" + value[9:])
    os.utime(path, ns=(2 * 10**18, 2 * 10**18))
    assert bench.get("o") == b"old content"
    holder, other = (path.parts[-5], {"mp0": "mp1", "mp1": "mp0"}[path.parts[-5]])
    bench.volume.disable(str(bench.root / holder))
    bench.put("o", b"new")
    assert file_of(bench, "o", other).exists()
    bench.volume.enable(str(bench.root / holder))
    assert bench.get("o") == b"new"


def test_a_damaged_copy_is_not_passed_over_for_an_older_one(make_bench: Callable[..., Any]) -> None:
    """Of two disks one copy's metadata is damaged: it may have been the newer one, so neither is served."""
    bench = make_bench(2)
    bench.put("o", b"old")
    holder = next(bench.root.glob("mp*/@ais/b/%ob/o"))
    bench.volume.disable(str(bench.root / holder.parts[-5]))
    bench.put("o", b"new")
    bench.volume.enable(str(bench.root / holder.parts[-5]))
    for path in bench.root.glob("mp*/@ais/b/%ob/o"):
        if path.read_bytes() == b"new":
            damage_attribute(path)
    with pytest.raises(CorruptMetadata):
        bench.get("o")
    bench.put("o", b"mended")
    assert bench.get("o") == b"mended"
