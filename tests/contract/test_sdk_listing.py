"""The SDK's listings: pages, iterators, properties, flags; everything exactly once and in order."""

import itertools
import re
import time

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.list_object_flag import ListObjectFlag

NAMES = sorted([f"dir{number % 3}/obj{number:03}" for number in range(30)] + ["top1", "top2"])


@pytest.fixture(scope="module")
def filled(client: Client):
    """A bucket with NAMES; the content of each is its name, repeated by its index."""
    bucket = client.bucket("sdk-listing").create(exist_ok=True)
    for index, name in enumerate(NAMES):
        bucket.object(name).get_writer().put_content(name.encode() * index)
    yield bucket
    bucket.delete()


def names(entries) -> list[str]:
    """The names of entries, in the order given."""
    return [entry.name for entry in entries]


def test_first_page_and_continuation(filled: Bucket):
    """A page has exactly page_size entries, its token is its last name, and the pages cover everything once."""
    seen: list[str] = []
    page = filled.list_objects(page_size=10)
    while True:
        seen += names(page.entries)
        if not page.continuation_token:
            break
        assert len(page.entries) == 10
        assert page.continuation_token == page.entries[-1].name
        assert page.uuid
        page = filled.list_objects(page_size=10, uuid=page.uuid, continuation_token=page.continuation_token)
    assert seen == NAMES


def test_default_entries_carry_name_size_and_cached(filled: Bucket):
    """Without props an entry has name, size and the cached bit, and nothing that would need a stat more."""
    for entry in filled.list_objects().entries:
        assert entry.size == len(entry.name) * NAMES.index(entry.name)
        assert entry.is_cached()
        assert entry.is_ok()
        assert entry.checksum == ""
        assert entry.version == ""


def test_all_props(filled: Bucket, client: Client, cluster):
    """Every property asked for is the object's own."""
    entries = filled.list_all_objects(props="name,size,version,checksum,atime,copies,location,cached,status")
    assert names(entries) == NAMES
    target_ids = {node.id for node in cluster.targets}
    for entry in entries:
        props = filled.object(entry.name).props
        assert entry.checksum == props.checksum_value
        assert entry.version == props.obj_version == "1"
        assert entry.copies == 1
        assert entry.size == filled.object(entry.name).head().size
        node, mountpath = re.fullmatch(r"t\[(.+?)\]:mp\[(/.+)\]", entry.location).groups()
        assert node in target_ids
        assert mountpath
        assert re.fullmatch(r"\d\d \w{3} \d\d \d\d:\d\d [A-Z0-9+-]+", entry.atime), entry.atime


def test_iterators_give_every_object_once(filled: Bucket):
    """list_objects_iter, list_all_objects and list_all_objects_iter agree, whatever the page size."""
    assert names(filled.list_objects_iter(page_size=7)) == NAMES
    assert names(filled.list_all_objects(page_size=len(NAMES))) == NAMES
    assert names(filled.list_all_objects(page_size=1)) == NAMES
    objects = list(filled.list_all_objects_iter(props="name,size"))
    assert names(objects) == NAMES
    assert [obj.props_cached.size for obj in objects] == [len(name) * index for index, name in enumerate(NAMES)]


def test_entry_objects_can_be_read(filled: Bucket):
    """The object attached to an entry reads its bytes."""
    entry = filled.list_objects(prefix="top2").entries[0]
    assert entry.object.get_reader().read_all() == b"top2" * NAMES.index("top2")


@pytest.mark.parametrize("prefix", ["dir1/", "dir1/obj0", "top", "top1", "nothing", "dir1/*"])
def test_prefix(filled: Bucket, prefix: str):
    """Only names that start with the prefix are listed; a trailing asterisk means nothing more."""
    expected = [name for name in NAMES if name.startswith(prefix.rstrip("*"))]
    assert names(filled.list_all_objects(prefix=prefix)) == expected


@pytest.mark.parametrize("after", ["", "dir0/obj015", "dir0/obj016", "m", "zzz"])
def test_start_after_is_exclusive(filled: Bucket, after: str):
    """start_after lists names strictly greater, existing or not, over several pages."""
    assert names(filled.list_all_objects(start_after=after, page_size=4)) == [name for name in NAMES if name > after]


def test_not_recursive(filled: Bucket):
    """Without recursion a directory is one entry with the directory flag, and can be left out."""
    entries = filled.list_all_objects(flags=[ListObjectFlag.NO_RECURSION])
    directories = [entry for entry in entries if entry.flags & (1 << 8)]
    assert sorted(name.rstrip("/") for name in names(directories)) == ["dir0", "dir1", "dir2"]
    assert [entry.name for entry in entries if entry not in directories] == ["top1", "top2"]
    below = filled.list_all_objects(prefix="dir1/", flags=[ListObjectFlag.NO_RECURSION])
    assert [n for n in names(below) if not n.endswith("/")] == [n for n in NAMES if n.startswith("dir1/")]
    flat = filled.list_all_objects(flags=[ListObjectFlag.NO_RECURSION, ListObjectFlag.NO_DIRS])
    assert names(flat) == ["top1", "top2"]


def test_name_only(filled: Bucket):
    """Name-only entries have a name and a status and no size."""
    entries = filled.list_all_objects(flags=[ListObjectFlag.NAME_ONLY])
    assert names(entries) == NAMES
    assert {entry.size for entry in entries} == {0}
    assert names(filled.list_all_objects(props="name")) == NAMES


def test_listing_one_target_at_a_time_covers_all(filled: Bucket, cluster):
    """The targets' own listings are disjoint and together are the whole."""
    parts = [names(filled.list_all_objects(target=node.id)) for node in cluster.targets]
    assert all(part == sorted(part) for part in parts)
    assert sorted(itertools.chain.from_iterable(parts)) == NAMES


def test_empty_bucket(bck: Bucket):
    """An empty bucket lists nothing, in one page."""
    page = bck.list_objects()
    assert page.entries == []
    assert page.continuation_token == ""


def test_listing_while_objects_come_and_go(bck: Bucket):
    """What exists during the whole listing is listed exactly once, in order, while neighbours appear and vanish."""
    stay = [f"stay/{number:03}" for number in range(60)]
    for name in stay:
        bck.object(name).get_writer().put_content(b"x")
    seen: list[str] = []
    for count, entry in enumerate(bck.list_objects_iter(page_size=5)):
        seen.append(entry.name)
        if count % 5 == 0:
            bck.object(f"stay/{(count * 7) % 60:03}-come").get_writer().put_content(b"y")
            bck.object(f"gone/{count}").get_writer().put_content(b"z")
            bck.object(f"gone/{count}").delete()
    assert seen == sorted(set(seen))
    assert [name for name in seen if name in set(stay)] == stay


def test_atime_is_when_it_was_written(bck: Bucket):
    """The access time of a new object is the time of its PUT."""
    before = time.time_ns()
    bck.object("o").get_writer().put_content(b"x")
    # The kernel stamps files with its tick, a few milliseconds behind the clock.
    assert before - 20_000_000 <= int(bck.object("o").props.access_time) <= time.time_ns()
