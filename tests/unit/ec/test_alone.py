"""Objects that are kept as slices alone, on several targets in one process."""

import asyncio
import io
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from harness.coded import BCK, BODIES, EC, LARGE, Group, check_deleted, delete_when_sent, fill, run
from harness.target import LiveTarget, until

from ais.api import headers, query
from ais.ec import slice as slices
from ais.ec.encode import plan_repair

ALONE: dict[str, Any] = {"ec": EC["ec"], "protection": {"slices_only": True}}
ALONE_2_2: dict[str, Any] = {"ec": {**EC["ec"], "parity_slices": 2}, "protection": {"slices_only": True}}
CUT = [name for name, body in BODIES.items() if len(body) >= 1000]
OTHER = os.urandom(900_001)


async def read_exactly(reader: LiveTarget, name: str, body: bytes, *, s3: bool = True) -> None:
    """Whole and in ranges, over both APIs."""
    assert (await reader.ask("GET", name)).body == body
    if s3:
        assert (await reader.s3("GET", f"b/{name}")).body == body
    size = len(body)
    for first, last in ((0, 0), (5, 9), (size // 2 - 3, size // 2 + 3), (size - 2, size - 1)):
        asked = {"headers": {"Range": f"bytes={first}-{last}"}}
        answer = await reader.ask("GET", name, **asked)
        assert (answer.status, answer.body) == (206, body[first : last + 1])
        if s3:
            answer = await reader.s3("GET", f"b/{name}", **asked)
            assert (answer.status, answer.body) == (206, body[first : last + 1])


def aside(group: Group) -> list[str]:
    """Slices that wait aside on any target."""
    roots = [f"{one.path}/@ais/b/%es" for target in group.targets for one in target.volume.available]
    return [os.path.join(base, file) for root in roots for base, _, files in os.walk(root) for file in files]


def work_files(group: Group) -> list[str]:
    """What writes left behind."""
    return [path for one in group.targets for path in one.work_files()]


def test_content_is_kept_once_and_read_from_slices(tmp_path: Path) -> None:
    """D+P slices, an empty file at the owner, exact bytes and sizes by GET, ranges, HEAD and listings."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        await fill(group)
        sizes: dict[str, int] = {}
        for name, body in BODIES.items():
            owner = group.owner(name)
            (path,) = group.files(name)
            assert os.path.getsize(path) == (0 if name in CUT else len(body))
            assert len(group.slices(name)) == (3 if name in CUT else 1)
            if body:
                await read_exactly(owner, name, body)
            for head in (await owner.ask("HEAD", name), await owner.s3("HEAD", f"b/{name}")):
                assert head.headers["Content-Length"] == str(len(body))
        for one in group.targets:
            sizes |= {entry.n: entry.s for entry in (await one.page(BCK, props="name,size")).Entries or ()}
        assert sizes == {name: len(body) for name, body in BODIES.items()}
        assert (aside(group), work_files(group)) == ([], [])

    run(tmp_path, 3, scenario)


def test_what_reads_all_of_an_object_puts_it_together(tmp_path: Path) -> None:
    """A file goes into a shard that is kept as slices, and HEAD compares content with its checksum."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        owner, members = group.owner("s.tar"), {"one": LARGE[:5000], "two": LARGE[:7000]}
        for member, body in members.items():
            asked = {"query": {query.ARCHPATH: member}, "headers": {headers.ARCHIVE_APPEND: "2"}}
            answer = await owner.ask("PUT", "s.tar", data=io.BytesIO(body), **asked)
            assert answer.status == 200, answer.message
            await group.settled()
            (path,) = group.files("s.tar")
            assert os.path.getsize(path) == 0
        for member, body in members.items():
            assert (await owner.ask("GET", "s.tar", query={query.ARCHPATH: member})).body == body
        assert (await owner.ask("HEAD", "s.tar", query={"validate-checksum": "true"})).status == 200
        assert work_files(group) == []

    run(tmp_path, 4, scenario)


def test_up_to_p_targets_may_be_away(tmp_path: Path) -> None:
    """Whichever two of five targets are away, the others serve every object exactly, and keep nothing of it."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE_2_2)
        await fill(group)
        for name, gone in itertools.product(CUT, itertools.combinations(group.targets, 2)):
            group.away(*gone)
            reader_id = group.targets[0].node.placement.reader(BCK.uname + name, is_coded=True).id
            reader = next(one for one in group.targets if one.node.snode.id == reader_id)
            await read_exactly(reader, name, BODIES[name])
            group.away()
        assert all(len(group.files(name)) == 1 for name in BODIES)

    run(tmp_path, 5, scenario)


def test_a_damaged_slice_is_never_served_and_made_again(tmp_path: Path) -> None:
    """Each slice with data is damaged in turn: reads are exact, and the slice is made again because it was read."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        await fill(group)
        owner = group.owner("large")
        for path in map(Path, group.slices("large")):
            good = path.read_bytes()
            if slices.decode(good)[0].index >= 2:
                continue  # it has parity, which nobody needs
            content = bytearray(good)
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
            await read_exactly(owner, "large", LARGE)
            await until(lambda path=path, good=good: path.exists() and path.read_bytes()[-1000:] == good[-1000:])
            await until(lambda path=path, bad=bytes(content): path.exists() and path.read_bytes() != bad)
            await group.settled()
            await read_exactly(owner, "large", LARGE)
        two = group.slices("large")[:2]
        for path in two:
            content = bytearray(Path(path).read_bytes())
            content[-1] ^= 1
            Path(path).write_bytes(content)
        answer = await owner.ask("GET", "large")
        assert answer.status >= 500

    run(tmp_path, 3, scenario)


def test_whatever_changes_an_object_leaves_one_of_its_forms(tmp_path: Path) -> None:
    """Overwrite, shrink, grow, append, metadata, copy and delete: exact bytes, no leftovers."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        await fill(group)
        owner = group.owner("large")
        for body in (OTHER, b"small now", LARGE, b"", OTHER):
            assert (await owner.ask("PUT", "large", data=io.BytesIO(body))).status == 200
            await group.settled()
            answer = await owner.ask("GET", "large")
            assert answer.body == body
            assert len(group.slices("large")) == (3 if len(body) >= 1000 else 1)
        assert (await owner.s3("PUT", "b/large", data=io.BytesIO(LARGE), headers={"If-None-Match": "*"})).status == 412
        assert (await owner.ask("PATCH", "large", json={"action": "set-custom", "value": {"k": "v"}})).status == 200
        await group.settled()
        (path,) = group.files("large")
        os.unlink(path)
        head = await owner.ask("HEAD", "large")
        assert "k=v" in head.headers.get("Ais-Custom-Md", "")
        await read_exactly(owner, "large", OTHER)

        flush = await owner.ask("PUT", "large", query={"append_type": "append"}, data=b"tail")
        handle = flush.headers["Ais-Append-Handle"]
        answer = await owner.ask("PUT", "large", query={"append_type": "flush", "append_handle": handle})
        assert answer.status == 200, answer.message
        await read_exactly(owner, "large", OTHER + b"tail")

        name = next(name for name in map(str, range(100)) if group.owner(name) is owner)
        other = next(name for name in map(str, range(100)) if group.owner(name) is not owner)
        for new in (name, other):
            answer = await owner.ask("PUT", "large", query={query.OBJECT_TO: f"{BCK.uname}{new}"})
            assert answer.status == 200, answer.message
            await group.settled()
            await read_exactly(group.owner(new), new, OTHER + b"tail")

        for gone in ("large", name, other):
            assert (await group.owner(gone).ask("DELETE", gone)).status == 200
            assert (await group.owner(gone).ask("GET", gone)).status == 404
            assert group.slices(gone) == []
        assert (aside(group), work_files(group)) == ([], [])

    run(tmp_path, 3, scenario)


def test_lost_slices_and_entries_come_back(tmp_path: Path) -> None:
    """Everything of one target is gone: `ec-encode` makes its slices and entries again, reads are exact meanwhile."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        await fill(group)
        lost = group.owner("large")
        for mountpath in lost.volume.available:
            for content in ("%ob", "%ec"):
                for base, _, files in os.walk(f"{mountpath.path}/@ais/b/{content}"):
                    for file in files:
                        os.unlink(os.path.join(base, file))
        for name in CUT:
            await read_exactly(group.owner(name), name, BODIES[name])
        for one in group.targets:
            one.target._ec.encode_bucket(BCK, f"encode-{one.node.snode.id}")
        await until(lambda: all(len(group.slices(name)) == 3 and len(group.files(name)) == 1 for name in CUT))
        await group.settled()
        for name in CUT:
            await read_exactly(group.owner(name), name, BODIES[name])

    run(tmp_path, 4, scenario)


def test_a_slice_that_is_made_again_does_not_outlive_a_deletion(tmp_path: Path) -> None:
    """A lost slice is on its way when its object is deleted: it is dropped with the others, not left behind."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        owner = group.owner("o")
        assert (await owner.ask("PUT", "o", data=LARGE[:5000])).status == 200
        await group.settled()
        deletions = delete_when_sent(owner, "o")
        os.unlink(group.slices("o")[-1])
        owner.target._ec.recode(BCK, ["o"])
        await check_deleted(group, owner, "o", deletions)

    run(tmp_path, 4, scenario)


@pytest.mark.parametrize("patch", [ALONE_2_2, EC, {"ec": {"enabled": False}, "protection": {"slices_only": False}}])
def test_the_form_follows_the_bucket(tmp_path: Path, patch: dict[str, Any]) -> None:
    """Other numbers of slices, a replica beside them, or none: objects are read exactly before, during and after."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        await fill(group)
        changed = patch if patch is not EC else {**EC, "protection": {"slices_only": False}}
        await group.change(changed)
        for name in CUT:
            await read_exactly(group.owner(name), name, BODIES[name])
        jobs = [one.target._ec.encode_bucket(BCK, f"encode-{one.node.snode.id}") for one in group.targets]
        await asyncio.gather(*(job.wait() for job in jobs))
        await group.settled()
        assert [job.error for job in jobs] == [""] * len(jobs)
        wanted = 4 if patch is ALONE_2_2 else 3 if patch is EC else 0
        for name in CUT:
            (path,) = group.files(name)
            assert os.path.getsize(path) == (0 if patch is ALONE_2_2 else len(BODIES[name]))
            assert len(group.slices(name)) == wanted
            await read_exactly(group.owner(name), name, BODIES[name])
        assert (aside(group), work_files(group)) == ([], [])

    run(tmp_path, 5, scenario)


@pytest.mark.parametrize(
    ("there", "made"),
    [
        ({}, [("a", 0), ("b", 1), ("c", 2)]),
        ({"a": 2, "b": 0}, [("c", 1)]),
        ({"b": 0, "d": 1}, [("a", 1), ("c", 2)]),
        ({"a": 1, "b": 1, "c": 0}, [("b", 2)]),
    ],
)
def test_slices_stay_where_they_are(there: dict[str, int], made: list[tuple[str, int]]) -> None:
    """Only what is missing is made, for targets that shall have a slice and have none."""
    assert plan_repair(["a", "b", "c"], there, 3) == made


def test_every_name_that_s3_has_can_be_cut(tmp_path: Path) -> None:
    """Names that the native API refuses are stored, read and deleted as others, slices and all."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        for name in ("dir/", "d//e/", "a~/b"):
            owner = group.owner(name)
            path = f"b/{name}"
            assert (await owner.s3("PUT", path, data=OTHER[:5000])).status == 200
            await group.settled()
            assert (await owner.s3("GET", path)).body == OTHER[:5000]
            group.away(owner)
            reader_id = group.targets[0].node.placement.reader(BCK.uname + name, is_coded=True).id
            reader = next(one for one in group.targets if one.node.snode.id == reader_id)
            assert (await reader.s3("GET", path)).body == OTHER[:5000]
            group.away()
            assert (await owner.s3("DELETE", path)).status == 204
            assert (await owner.s3("GET", path)).status == 404
        for content in ("%ec", "%es"):
            roots = [f"{one.path}/@ais/b/{content}" for target in group.targets for one in target.volume.available]
            assert [file for root in roots for _, _, files in os.walk(root) for file in files] == []

    run(tmp_path, 3, scenario)


def test_readers_see_one_of_the_objects_however_often_it_is_replaced(tmp_path: Path) -> None:
    """Beside three writers of a name every read succeeds and is one of what was written; one that has begun ends."""
    bodies = [bytes([number]) * (700_000 + number) for number in range(6)]

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        owner = group.owner("o")
        assert (await owner.ask("PUT", "o", data=io.BytesIO(bodies[0]))).status == 200
        is_over = asyncio.Event()

        async def write_all() -> None:
            await asyncio.gather(*(write(number) for number in range(3)))
            is_over.set()

        async def write(first: int) -> None:
            for number in range(first, first + 4):
                answer = await owner.ask("PUT", "o", data=io.BytesIO(bodies[number % 6]))
                assert answer.status == 200, answer.message

        async def read(api: Any, path: str) -> int:
            count = 0
            while not is_over.is_set():
                answer = await api("GET", path)
                assert (answer.status, answer.body in bodies) == (200, True), (answer.status, answer.body[:200])
                count += 1
            return count

        async with owner.http.get(f"{owner.url}/v1/objects/b/o?provider=ais") as slow:
            assert slow.status == 200
            begun = await slow.content.readexactly(1000)
            counts = await asyncio.gather(
                write_all(), read(owner.ask, "o"), read(owner.s3, "b/o"), read(owner.ask, "o")
            )
            assert begun + await slow.read() in bodies
        assert all(counts[1:])
        await group.settled()
        assert (await owner.ask("GET", "o")).body in bodies
        assert (len(group.slices("o")), aside(group), work_files(group)) == (3, [], [])

    run(tmp_path, 3, scenario)
