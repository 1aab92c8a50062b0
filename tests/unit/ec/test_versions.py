"""Kept versions and delete markers of an erasure-coded bucket: slices on other targets bring back what is lost."""

import io
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from harness.coded import BCK, EC, LARGE, Group, run
from harness.target import LiveTarget, until

from ais.api.ack import HEADER
from ais.api.protection import State
from ais.api.xact import SCRUB, ArgsMsg
from ais.base.errors import BadRequest
from ais.base.ids import new_id
from ais.meta.bmd import Protection, apply_props
from ais.s3.documents import KeyToDelete

NAME = "dir/o"
BODIES = [b"a small version", LARGE[:500_000], LARGE]


async def begin(group: Group) -> list[str]:
    """The bucket with a name of several versions, the fourth a delete marker; their IDs, oldest first."""
    await group.create(EC)
    bmd = group.targets[0].node.bmd
    props = bmd.require(BCK).props.with_s3(versioning="Enabled")
    await group.take(bmd.with_props(BCK, apply_props(props, {"force": True}, len(group.targets))))
    owner = group.owner(NAME)
    ids = [(await owner.s3("PUT", f"b/{NAME}", data=io.BytesIO(body))).headers["x-amz-version-id"] for body in BODIES]
    ids.append((await owner.s3("DELETE", f"b/{NAME}")).headers["x-amz-version-id"])
    ids.append((await owner.s3("PUT", f"b/{NAME}", data=b"latest")).headers["x-amz-version-id"])
    await group.settled()
    return ids


def shelves(group: Group, content: str) -> dict[str, list[Path]]:
    """Files of the shelf of the name on all targets, by entry."""
    found: dict[str, list[Path]] = {}
    for target in group.targets:
        for one in target.volume.available:
            for path in (Path(one.path) / "@ais/b" / content / NAME / "%=").glob("*"):
                found.setdefault(path.name, []).append(path)
    return found


def home(target: LiveTarget) -> str:
    """The directory of its mountpaths."""
    return str(Path(target.volume.available[0].path).parent)


async def encoded(group: Group, *targets: LiveTarget) -> None:
    """Have these targets go through the bucket, and wait for what follows."""
    for one in targets or group.targets:
        job = one.target._ec.encode_bucket(BCK, new_id(one.node.env.rng))
        await job.wait()
        assert not job.error, job.error
    await group.settled()


async def read_all(target: LiveTarget, ids: list[str]) -> None:
    """Every version as it was written."""
    for version_id, body in zip(ids, [*BODIES, None, b"latest"], strict=True):
        answer = await target.s3("GET", f"b/{NAME}?versionId={version_id}")
        assert (answer.status, answer.body if body is not None else None) == (200 if body is not None else 405, body)


def test_every_version_has_slices(tmp_path: Path) -> None:
    """D+P slices (P copies of what is small) of each version and marker, which go with it, and with nothing else."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        found = shelves(group, "%ec/%ve")
        assert {entry: len(paths) for entry, paths in found.items()} == {ids[0]: 1, ids[1]: 3, ids[2]: 3, ids[3]: 1}
        owner = group.owner(NAME)
        assert all(not str(path).startswith(home(owner)) for paths in found.values() for path in paths)
        assert (await owner.s3("DELETE", f"b/{NAME}?versionId={ids[1]}")).status == 204
        await group.settled()
        assert sorted(shelves(group, "%ec/%ve")) == sorted([ids[0], ids[2], ids[3]])
        for version_id in (ids[4], ids[3]):
            assert (await owner.s3("DELETE", f"b/{NAME}?versionId={version_id}")).status == 204
        await group.settled()
        assert sorted(shelves(group, "%ec/%ve")) == [ids[0]]
        assert (await owner.s3("GET", f"b/{NAME}")).body == LARGE
        assert len(group.slices(NAME)) == 3

    run(tmp_path, 4, scenario)


@pytest.mark.parametrize("how", ["read", "job", "away"])
def test_versions_come_back_from_slices(tmp_path: Path, how: str) -> None:
    """The owner has lost all it had: each version is read, restored by a job, or read from others while it is away."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        owner = group.owner(NAME)
        before = shelves(group, "%ve")
        assert sorted(before) == sorted(ids[:4])
        for one in owner.volume.available:
            for content in ("%ob", "%ve"):
                path = Path(one.path) / "@ais/b" / content
                if path.exists():
                    shutil.rmtree(path)
            (Path(one.path) / "@ais/b/%ob").mkdir()
        if how == "away":
            group.away(owner)
            snode = owner.node.placement.reader(BCK.uname + NAME, is_coded=True)
            reader = next(one for one in group.targets if one.node.snode.id == snode.id)
            for version_id, body in zip([*ids[:3], ids[4]], [*BODIES, b"latest"], strict=True):
                answer = await reader.s3("GET", f"b/{NAME}?versionId={version_id}")
                assert (answer.status, answer.body) == (200, body)
            assert shelves(group, "%ve") == {}
            return
        if how == "read":
            for version_id, body in zip(ids[:3], BODIES, strict=True):
                answer = await owner.s3("GET", f"b/{NAME}?versionId={version_id}")
                assert (answer.status, answer.body) == (200, body)
        await encoded(group)
        assert sorted(shelves(group, "%ve")) == sorted(ids[:4])
        await read_all(owner, ids)

    run(tmp_path, 4, scenario)


def test_what_was_removed_for_good_is_not_restored(tmp_path: Path) -> None:
    """A target that has a slice is away while the version is removed: with it nothing of the version comes back."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        owner = group.owner(NAME)
        holder = next(one for one in group.targets if str(shelves(group, "%ec/%ve")[ids[0]][0]).startswith(home(one)))
        group.away(holder)
        assert (await owner.s3("DELETE", f"b/{NAME}?versionId={ids[0]}")).status == 204
        group.away()
        await encoded(group)
        await encoded(group)
        answer = await owner.s3("GET", f"b/{NAME}?versionId={ids[0]}")
        assert answer.status == 404
        assert ids[0] not in shelves(group, "%ve")

    run(tmp_path, 4, scenario)


async def counted(group: Group) -> tuple[set[State], int, int]:
    """What all targets together say of the bucket, counted anew: states, promised, found."""
    promised = found = 0
    states = set()
    for one in group.targets:
        protection = one.target._scrub.protection
        protection.census._counts.clear()
        await until(lambda protection=protection: protection.census.is_current(BCK))
        bucket = (await protection.answer()).buckets[0]
        states.add(bucket.state)
        promised, found = promised + bucket.promised, found + bucket.found
    return states, promised, found


def test_the_status_counts_slices_of_versions_and_a_scrub_makes_them_again(tmp_path: Path) -> None:
    """Each version and marker, and each of its slices; one slice is lost, one damaged, and one version damaged."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        total = len(ids) + 1 + 3 + 3 + 1 + 1
        assert await counted(group) == ({State.OK}, total, total)
        slices, shelf = shelves(group, "%ec/%ve"), shelves(group, "%ve")
        slices[ids[2]][0].unlink()
        with slices[ids[1]][1].open("r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)
            file.seek(-1, 2)
            file.write(bytes([last[0] ^ 1]))
        with shelf[ids[0]][0].open("r+b") as file:
            file.write(b"B")
        states, promised, found = await counted(group)
        assert (State.SHORT in states, promised, found) == (True, total, total - 1)
        for one in group.targets:
            job = one.target._scrub.start(ArgsMsg(id=new_id(one.node.env.rng), kind=SCRUB, bck=BCK))
            await job.wait()
            assert not job.error
        await group.settled()
        assert {entry: len(paths) for entry, paths in shelves(group, "%ec/%ve").items()} == {
            entry: len(paths) for entry, paths in slices.items()
        }
        assert await counted(group) == ({State.OK}, total, total)
        await read_all(group.owner(NAME), ids)

    run(tmp_path, 4, scenario)


def test_a_refused_removal_leaves_the_slices(tmp_path: Path) -> None:
    """Versions that a condition keeps can be restored afterwards as before, though a target was away meanwhile."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        owner = group.owner(NAME)
        group.away(next(one for one in group.targets if one is not owner))
        for version_id in (*ids[:3], ids[4]):
            answer = await owner.s3("DELETE", f"b/{NAME}?versionId={version_id}", headers={"If-Match": '"other"'})
            assert answer.status == 412
        group.away()
        assert (await owner.s3("PUT", f"b/{NAME}", data=b"above")).status == 200
        await encoded(group)
        for one in owner.volume.available:
            shutil.rmtree(Path(one.path) / "@ais/b/%ve", ignore_errors=True)
        for version_id, body in zip((*ids[:3], ids[4]), [*BODIES, b"latest"], strict=True):
            answer = await owner.s3("GET", f"b/{NAME}?versionId={version_id}")
            assert (answer.status, answer.body) == (200, body)

    run(tmp_path, 4, scenario)


def test_a_lost_version_is_asked_before_it_is_removed(tmp_path: Path) -> None:
    """Its file is lost when somebody removes it under a condition that does not hold, and it is read afterwards."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        owner = group.owner(NAME)
        for path in shelves(group, "%ve")[ids[1]]:
            path.unlink()
        answer = await owner.s3("DELETE", f"b/{NAME}?versionId={ids[1]}", headers={"If-Match": '"other"'})
        assert answer.status == 412
        assert (await owner.s3("GET", f"b/{NAME}?versionId={ids[1]}")).body == BODIES[1]
        for path in shelves(group, "%ve")[ids[2]]:
            path.unlink()
        assert (await owner.s3("DELETE", f"b/{NAME}?versionId={ids[2]}")).status == 204
        await encoded(group)
        assert (await owner.s3("GET", f"b/{NAME}?versionId={ids[2]}")).status == 404

    run(tmp_path, 4, scenario)


def test_a_lost_latest_version_is_kept_when_it_is_replaced(tmp_path: Path) -> None:
    """Its file is lost when somebody overwrites the name: it is below the new one all the same."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        owner = group.owner(NAME)
        Path(group.files(NAME)[0]).unlink()
        assert (await owner.ask("PUT", NAME, data=b"above")).status == 200
        await encoded(group)
        answer = await owner.s3("GET", f"b/{NAME}?versionId={ids[4]}")
        assert (answer.status, answer.body) == (200, b"latest")

    run(tmp_path, 4, scenario)


def test_what_is_lost_is_deleted_for_good(tmp_path: Path) -> None:
    """An object whose file is lost, in a bucket without versions, does not come back after DeleteObjects took it."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        owner = group.owner(NAME)
        assert (await owner.ask("PUT", NAME, data=io.BytesIO(LARGE))).status == 200
        await group.settled()
        Path(group.files(NAME)[0]).unlink()
        deletes, view = owner.target._s3.deletes, owner.target._front.views.require(BCK)
        outcome = await deletes.delete_key(view, KeyToDelete(NAME), bypass=False, since=0)
        assert not outcome.code
        await encoded(group)
        assert (await owner.ask("GET", NAME)).status == 404

    run(tmp_path, 4, scenario)


def spoil(path: Path, at: int = -1) -> None:
    """Change one byte of a file, which keeps its size and metadata."""
    with path.open("r+b") as file:
        file.seek(at, 2 if at < 0 else 0)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize(("how", "is_cut_off"), [("PUT", False), ("PUT", True), ("DELETE", False)])
def test_a_damaged_latest_version_is_kept_as_it_was_written(tmp_path: Path, how: str, is_cut_off: bool) -> None:
    """Its file is damaged when something comes on top: the version below is what was stored, with good slices."""

    async def scenario(group: Group) -> None:
        await begin(group)
        owner = group.owner(NAME)
        written = await owner.s3("PUT", f"b/{NAME}", data=io.BytesIO(LARGE))
        version_id = written.headers["x-amz-version-id"]
        await group.settled()
        path = Path(group.files(NAME)[0])
        os.truncate(path, 1000) if is_cut_off else spoil(path)
        assert (await owner.s3(how, f"b/{NAME}", data=b"above")).status in (200, 204)
        await group.settled()
        for path in shelves(group, "%ve")[version_id]:
            assert path.read_bytes() == LARGE
            path.unlink()
        answer = await owner.s3("GET", f"b/{NAME}?versionId={version_id}")
        assert (answer.status, answer.body) == (200, LARGE)

    run(tmp_path, 4, scenario)


def test_the_version_below_one_that_is_removed_is_made_good_first(tmp_path: Path) -> None:
    """Its file is damaged when it becomes the latest again: it is what was stored, with good slices."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        owner = group.owner(NAME)
        assert (await owner.s3("DELETE", f"b/{NAME}?versionId={ids[3]}")).status == 204
        (path,) = shelves(group, "%ve")[ids[2]]
        spoil(path)
        assert (await owner.s3("DELETE", f"b/{NAME}?versionId={ids[4]}")).status == 204
        await group.settled()
        Path(group.files(NAME)[0]).unlink()
        answer = await owner.s3("GET", f"b/{NAME}")
        assert (answer.status, answer.body) == (200, LARGE)

    run(tmp_path, 4, scenario)


def test_a_lost_version_can_be_retained(tmp_path: Path) -> None:
    """Its file is lost when somebody gives it tags, or asks for them."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        owner = group.owner(NAME)
        tagging = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
        for path in [one for version_id in ids[1:3] for one in shelves(group, "%ve")[version_id]]:
            path.unlink()
        answer = await owner.s3("PUT", f"b/{NAME}?versionId={ids[1]}&tagging", data=tagging)
        assert answer.status == 200, answer.message
        answer = await owner.s3("GET", f"b/{NAME}?versionId={ids[1]}&tagging")
        assert b"<Key>k</Key>" in answer.body
        assert (await owner.s3("GET", f"b/{NAME}?versionId={ids[2]}&tagging")).status == 200

    run(tmp_path, 4, scenario)


def test_what_is_lost_for_good_does_not_refuse_what_comes(tmp_path: Path) -> None:
    """The file of the latest version and too many of its slices are lost, and nobody is away: the name can be used."""

    async def scenario(group: Group) -> None:
        await begin(group)
        owner = group.owner(NAME)
        assert (await owner.s3("PUT", f"b/{NAME}", data=io.BytesIO(LARGE))).status == 200
        await group.settled()
        for path in (*group.files(NAME), *group.slices(NAME)[:2]):
            Path(path).unlink()
        assert (await owner.s3("PUT", f"b/{NAME}", data=b"above")).status == 200
        assert (await owner.s3("GET", f"b/{NAME}")).body == b"above"
        await group.settled()

    run(tmp_path, 4, scenario)


def test_versions_and_all_slices_at_once_exclude_each_other(tmp_path: Path) -> None:
    """Who asks for both is refused; a bucket that has promised both keeps its versions."""

    async def scenario(group: Group) -> None:
        ids = await begin(group)
        owner, large = group.owner(NAME), LARGE[:700_000]
        for name, answer in (
            ("s3", await owner.s3("PUT", f"b/{NAME}", data=io.BytesIO(large), headers={HEADER: "all"})),
            ("native", await owner.ask("PUT", NAME, data=io.BytesIO(large), headers={HEADER: "all-synced"})),
        ):
            assert answer.status == 400, name
        bmd = owner.node.bmd
        props = bmd.require(BCK).props
        with pytest.raises(BadRequest, match="versions"):
            apply_props(props, {"protection": {"ack": "all"}}, len(group.targets))
        props = msgspec.structs.replace(props, protection=Protection(ack="all"))
        await group.take(bmd.with_props(BCK, props))
        ids.append((await owner.s3("PUT", f"b/{NAME}", data=io.BytesIO(large))).headers["x-amz-version-id"])
        await group.settled()
        assert (await owner.s3("GET", f"b/{NAME}?versionId={ids[-2]}")).body == b"latest"
        assert (await owner.s3("GET", f"b/{NAME}?versionId={ids[-1]}")).body == large
        assert (await owner.s3("GET", f"b/{NAME}?versionId={ids[2]}")).body == LARGE

    run(tmp_path, 4, scenario)
