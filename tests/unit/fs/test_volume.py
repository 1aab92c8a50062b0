"""A target's mountpaths: placement, what is persisted, what is refused."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ais.api.bucket import Bck, Namespace
from ais.base.errors import (
    BadRequest,
    Conflict,
    CorruptMetadata,
    DiskFailure,
    IntegrityError,
    MountpathNotFound,
    NotReady,
    OutOfSpace,
)
from ais.env import Env
from ais.env.disk import Disk
from ais.fs import layout, removed
from ais.fs.mountpath import STALL_S, STALLED_S
from ais.fs.record import Member, State, VolumeRecord
from ais.fs.volume import Volume, VolumeLimits
from ais.meta import store
from ais.meta.placement import mix
from ais.meta.smap import digest

Open = Callable[..., Volume]
BCK = Bck("b")


@pytest.fixture
def open_volume(tmp_path: Path) -> Iterator[Open]:
    """Open a volume on subdirectories of the test's directory; all are closed afterwards."""
    opened: list[Volume] = []

    def open_(*names: str, node_id: str | None = None, disk: Disk | None = None, **limits: float) -> Volume:
        env = Env(disk=disk or Disk(), rng=random.Random(len(opened)))
        paths = [str(tmp_path / name) for name in names]
        opened.append(Volume.load_or_create(env, paths, node_id, limits=VolumeLimits(**limits)))  # type: ignore[arg-type]
        return opened[-1]

    for name in ("mp1", "mp2", "mp3"):
        (tmp_path / name).mkdir()
    yield open_
    for volume in opened:
        volume.close()


def names(volume: Volume) -> list[str]:
    return [os.path.basename(mountpath.path) for mountpath in volume.available]


def test_the_identity_is_kept_on_the_mountpaths(open_volume: Open) -> None:
    """A restart finds the node ID, also from one of the mountpaths alone, and another ID is refused."""
    made = open_volume("mp1", "mp2").node_id
    assert open_volume("mp1", "mp2").node_id == made
    assert names(open_volume("mp2")) == ["mp1", "mp2"]
    with pytest.raises(IntegrityError, match=f"belongs to target {made}"):
        open_volume("mp1", node_id="tOtherNode")


def test_names_fall_on_mountpaths_evenly(open_volume: Open) -> None:
    """3000 names over two mountpaths: each half, give or take 10 %; and a name stays where it is."""
    volume = open_volume("mp1", "mp2")
    placed = [volume.place(f"ais/@#/b/obj-{index}").path for index in range(3000)]
    assert abs(placed.count(placed[0]) - 1500) < 150
    assert [volume.place(f"ais/@#/b/obj-{index}").path for index in range(3000)] == placed


def test_labels_come_from_the_configuration(tmp_path: Path, open_volume: Open) -> None:
    """A map of paths to labels is what a node's local configuration holds."""
    volume = Volume.load_or_create(Env(), {f"{tmp_path}/mp1/": "nvme", f"{tmp_path}/mp2": ""})
    assert [mountpath.label for mountpath in volume.available] == ["nvme", ""]
    volume.close()
    assert open_volume("mp1").available[0].label == "nvme"


def test_bad_paths_are_refused(open_volume: Open, tmp_path: Path) -> None:
    """Missing, relative, root, twice, nested, the same directory under another name."""
    (tmp_path / "mp1" / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mp1")
    with pytest.raises(MountpathNotFound):
        open_volume("mp1", "none")
    for bad in (("mp1", "mp1"), ("mp1", "mp1/sub"), ("mp1/sub", "mp1"), ("mp1", "link"), ("mp1/", "mp2/../mp1")):
        with pytest.raises(BadRequest):
            open_volume(*bad)
    for path in ("relative", "/", "//", "/a\0b"):
        with pytest.raises(BadRequest):
            Volume.load_or_create(Env(), [path])


def test_file_names_must_be_utf8(tmp_path: Path) -> None:
    """Under another locale half of all names could not be stored: the target says so at the start."""
    code = f"from ais.env import Env; from ais.fs.volume import Volume; Volume.load_or_create(Env(), ['{tmp_path}'])"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "BadRequest: file names must be UTF-8: set PYTHONUTF8=1" in run.stderr.replace("ais.base.errors.", "")


def test_the_cluster_is_recorded_once(open_volume: Open) -> None:
    """Data of one cluster does not join another."""
    volume = open_volume("mp1")
    volume.set_cluster_uuid("cluster-one")
    again = open_volume("mp1")
    again.set_cluster_uuid("cluster-one")
    with pytest.raises(IntegrityError, match="belong to cluster cluster-one"):
        again.set_cluster_uuid("cluster-two")


def test_mountpaths_come_and_go(open_volume: Open, tmp_path: Path) -> None:
    """Each change holds after a restart, whatever the configuration says; a repeated one says so."""
    volume = open_volume("mp1", "mp2")
    mp2, mp3 = str(tmp_path / "mp2"), str(tmp_path / "mp3")
    assert not volume.view.is_unsettled
    assert volume.disable(mp2)
    assert not volume.disable(mp2)
    assert volume.disabled == (mp2,)
    assert volume.attach(mp3 + "/", "ssd")
    assert not volume.attach(mp3)
    assert volume.find(mp3).label == "ssd"
    again = open_volume("mp1", "mp2")
    assert (names(again), again.disabled, again.view.is_unsettled) == (["mp1", "mp3"], (mp2,), True)
    assert again.enable(mp2)
    assert not again.enable(mp2)
    assert again.detach(str(tmp_path / "mp1"))
    assert names(open_volume("mp1", "mp2")) == ["mp2", "mp3"]
    assert not (tmp_path / "mp1" / store.VMD).exists()
    assert again.attach(str(tmp_path / "mp1"))


def test_the_last_mountpath_stays(open_volume: Open, tmp_path: Path) -> None:
    """A target without one could neither serve nor say what happened."""
    volume = open_volume("mp1", "mp2")
    volume.disable(str(tmp_path / "mp2"))
    for change in (volume.disable, volume.detach):
        with pytest.raises(Conflict):
            change(str(tmp_path / "mp1"))
    for change in (volume.disable, volume.detach, volume.enable, volume.find):
        with pytest.raises(MountpathNotFound):
            change(str(tmp_path / "mp3"))


def test_another_targets_mountpath_is_refused(open_volume: Open, tmp_path: Path) -> None:
    """At start and at run time; so is a nested one and one of another cluster."""
    open_volume("mp1", node_id="tFirstNode")
    volume = open_volume("mp2", node_id="tOtherNode")
    with pytest.raises(IntegrityError):
        volume.attach(str(tmp_path / "mp1"))
    with pytest.raises(IntegrityError):
        open_volume("mp1", "mp2")
    (tmp_path / "mp2" / "sub").mkdir()
    with pytest.raises(BadRequest):
        volume.attach(str(tmp_path / "mp2" / "sub"))
    with pytest.raises(MountpathNotFound):
        volume.attach(str(tmp_path / "none"))


def test_an_unmounted_disk_stops_the_start(open_volume: Open, tmp_path: Path) -> None:
    """An empty directory where data was is not taken for a new disk; out of the configuration it is disabled."""
    open_volume("mp1", "mp2")
    shutil.rmtree(tmp_path / "mp2")
    with pytest.raises(MountpathNotFound):
        open_volume("mp1", "mp2")
    (tmp_path / "mp2").mkdir()
    with pytest.raises(IntegrityError, match="is its disk mounted"):
        open_volume("mp1", "mp2")
    volume = open_volume("mp1")
    assert (names(volume), volume.disabled) == (["mp1"], (str(tmp_path / "mp2"),))


def swap(tmp_path: Path, one: str, other: str) -> None:
    """Each disk is mounted where the other one was."""
    for old, new in ((one, "spare"), (other, one), ("spare", other)):
        (tmp_path / old).rename(tmp_path / new)


def test_disks_in_each_others_place_are_not_taken_into_use(open_volume: Open, tmp_path: Path) -> None:
    """Devices got other names: what is looked for by the paths of mountpaths would not be found, and what was found
    again after they changed back would be old. Whether the target starts, or runs and one of them is mounted anew."""
    volume = open_volume("mp1", "mp2", "mp3")
    volume.create_bucket(BCK, 1)
    (tmp_path / "mp2/@ais/b/%ob/o").touch()
    volume.disable(str(tmp_path / "mp3"))
    swap(tmp_path, "mp1", "mp2")
    for mountpath in volume.available:
        with pytest.raises(NotReady, match="not the directory"):
            mountpath.require_own()
    for names_given in (("mp1", "mp2"), ("mp1",)):
        with pytest.raises(IntegrityError, match="is mounted at"):
            open_volume(*names_given)
    swap(tmp_path, "mp1", "mp2")
    swap(tmp_path, "mp2", "mp3")
    with pytest.raises(IntegrityError, match="is mounted at"):
        volume.enable(str(tmp_path / "mp3"))
    swap(tmp_path, "mp2", "mp3")
    assert volume.enable(str(tmp_path / "mp3"))
    assert names(open_volume("mp1", "mp2", "mp3")) == ["mp1", "mp2", "mp3"]


def test_mountpaths_may_all_get_other_paths(open_volume: Open, tmp_path: Path) -> None:
    """By the configuration: what they have is looked for on all of them."""
    made = open_volume("mp1", "mp2").node_id
    for name in ("mp1", "mp2"):
        (tmp_path / name).rename(tmp_path / f"new-{name}")
    for _ in range(2):
        volume = open_volume("new-mp1", "new-mp2")
        assert (volume.node_id, names(volume)) == (made, ["new-mp1", "new-mp2"])
        assert volume.view.is_unsettled
        volume.close()


@pytest.mark.parametrize("state", [State.DETACHED, State.DISABLED])
def test_a_disk_that_comes_back_elsewhere_brings_nothing_back(open_volume: Open, tmp_path: Path, state: State) -> None:
    """What was removed since is known of the path that it had; where it was, it loses that, and may be used."""
    volume, mp1, elsewhere = open_volume("mp1", "mp2"), str(tmp_path / "mp1"), tmp_path / "elsewhere"
    volume.create_bucket(BCK, 1)
    gone, kept = (tmp_path / "mp1" / "@ais" / "b" / "%ob" / name for name in ("gone", "kept"))
    gone.touch()
    kept.touch()
    (volume.detach if state is State.DETACHED else volume.disable)(mp1)
    volume.note_removed(BCK, "gone")
    (tmp_path / "mp1").rename(elsewhere)
    with pytest.raises(Conflict, match="where it was before"):
        volume.attach(str(elsewhere))
    with pytest.raises(IntegrityError, match="where it was"):
        open_volume("mp2", "elsewhere")
    elsewhere.rename(mp1)
    assert volume.attach(mp1)
    assert (gone.exists(), kept.exists()) == (False, True)


def test_a_damaged_record_is_healed_from_another(open_volume: Open, tmp_path: Path) -> None:
    """One copy suffices; when none is intact the target does not guess."""
    made = open_volume("mp1", "mp2").node_id
    (tmp_path / "mp1" / store.VMD).write_bytes(b"junk")
    assert open_volume("mp1", "mp2").node_id == made
    for name in ("mp1", "mp2"):
        (tmp_path / name / store.VMD).write_bytes(b"junk")
    with pytest.raises(CorruptMetadata):
        open_volume("mp1", "mp2")


def test_the_record_is_a_format(open_volume: Open, tmp_path: Path) -> None:
    """What this version wrote, later ones read."""
    payload = (
        b'{"node_id":"tNodeNode","mountpaths":{"%b":{"state":"available","label":"","since":0,"is_drained":false}},"generation":1,'
        b'"cluster_uuid":"","is_unsettled":false}' % os.fsencode(tmp_path / "mp1")
    )
    open_volume("mp1", node_id="tNodeNode")
    (record,) = store.load(Disk(), (str(tmp_path / "mp1"),), store.VMD)
    assert record == store.Record(1, payload)
    assert State.DETACHED == "detached"
    assert VolumeRecord("t", {"/a": Member()}).with_member("/a", Member(State.DISABLED)).is_unsettled


def test_a_mountpath_that_leaves_is_still_ours(open_volume: Open, tmp_path: Path) -> None:
    """Until everything has left it: nothing is attached inside it, and who leaves the cluster leaves nothing on it."""
    volume = open_volume("mp1", "mp2")
    volume.create_bucket(BCK, 1)
    assert volume.drain(str(tmp_path / "mp2"), State.DETACHED)
    (tmp_path / "mp2/inner").mkdir()
    with pytest.raises(BadRequest, match="inner"):
        volume.attach(str(tmp_path / "mp2/inner"))
    volume.leave_cluster(remove_data=True)
    assert os.listdir(tmp_path / "mp1") == []
    assert os.listdir(tmp_path / "mp2") == ["inner"]


def test_bucket_directories(open_volume: Open, tmp_path: Path) -> None:
    """Made on every mountpath with the bucket's ID, found again, put in the trash as a whole."""
    volume = open_volume("mp1", "mp2")
    buckets = {
        BCK: 1,
        Bck("b", "aws"): 2,
        Bck("b", namespace=Namespace("u", "n")): 3,
        Bck("c", namespace=Namespace("", "n")): 4,
    }
    for bck, bid in buckets.items():
        assert not volume.create_bucket(bck, bid)
        assert not volume.create_bucket(bck, bid)
    assert volume.buckets() == buckets
    assert (tmp_path / "mp2/@ais/@u#n/b/%ob").is_dir()
    volume.trash_bucket(BCK)
    volume.trash_bucket(BCK)
    assert BCK not in volume.buckets()
    assert len(list((tmp_path / "mp1/.$deleted").iterdir())) == 1
    volume.empty_trash()
    assert list((tmp_path / "mp1/.$deleted").iterdir()) == []


def test_a_directory_of_an_older_bucket_is_trashed(open_volume: Open, tmp_path: Path) -> None:
    """The ID tells it from the present bucket; a bucket nobody mentions is left alone."""
    volume = open_volume("mp1", "mp2")
    volume.create_bucket(BCK, 1)
    volume.create_bucket(Bck("unknown"), 5)
    (tmp_path / "mp1/@ais/b/%ob/o").touch()
    assert volume.reconcile_buckets({BCK: 1, Bck("new"): 3}) == []
    assert (tmp_path / "mp1/@ais/b/%ob/o").exists()
    assert volume.reconcile_buckets({BCK: 2}) == [BCK]
    assert not (tmp_path / "mp1/@ais/b/%ob/o").exists()
    assert volume.buckets() == {BCK: 2, Bck("new"): 3, Bck("unknown"): 5}


def test_a_mountpath_that_returns_gets_the_buckets(open_volume: Open, tmp_path: Path) -> None:
    """New buckets are made on it, and what belongs to one destroyed meanwhile is trashed."""
    volume = open_volume("mp1", "mp2")
    volume.create_bucket(BCK, 1)
    (tmp_path / "mp2/@ais/b/%ob/old").touch()
    volume.disable(str(tmp_path / "mp2"))
    volume.trash_bucket(BCK)
    volume.create_bucket(BCK, 2)
    volume.create_bucket(Bck("new"), 3)
    volume.enable(str(tmp_path / "mp2"))
    assert not (tmp_path / "mp2/@ais/b/%ob/old").exists()
    assert (tmp_path / "mp2/@ais/new/%wk").is_dir()
    volume.attach(str(tmp_path / "mp3"))
    assert layout.read_bid(Disk(), str(tmp_path / "mp3/@ais/b")) == 2


def test_work_files_are_swept(open_volume: Open, tmp_path: Path) -> None:
    """Files and directories that a killed process left; objects stay."""
    volume = open_volume("mp1")
    volume.create_bucket(BCK, 1)
    work = tmp_path / "mp1/@ais/b/%wk"
    (work / "spare").mkdir()
    (work / "spare" / "%=").touch()
    (work / "file").touch()
    (tmp_path / "mp1/@ais/b/%ob/o").touch()
    volume.sweep_workfiles()
    assert list(work.iterdir()) == []
    assert (tmp_path / "mp1/@ais/b/%ob/o").exists()


def test_the_trash_takes_very_deep_trees(open_volume: Open, tmp_path: Path) -> None:
    """A name may have a thousand components."""
    volume = open_volume("mp1")
    volume.create_bucket(BCK, 1)
    path = f"{tmp_path}/mp1/@ais/b/%ob"
    for _ in range(1024):
        path += "/%"
        os.mkdir(path)
    volume.trash_bucket(BCK)
    volume.empty_trash()
    assert list((tmp_path / "mp1/.$deleted").iterdir()) == []


def test_space_is_known_and_its_limit_kept(open_volume: Open, tmp_path: Path) -> None:
    """Beyond the watermark nothing is written; the numbers are those of the file system."""
    volume = open_volume("mp1", out_of_space_pct=0.0)
    ((path, capacity),) = volume.capacity().items()
    assert path == str(tmp_path / "mp1")
    assert 0 < capacity.avail_bytes < capacity.total_bytes
    assert 0 < capacity.used_pct < 100
    with pytest.raises(OutOfSpace, match=r"full, the limit is 0%"):
        volume.available[0].check_room(0, volume.limits.out_of_space_pct)
    assert volume.available[0].file_system.mount_point in path


def test_a_write_that_made_its_caller_wait_marks_the_mountpath(
    open_volume: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a second after it writes belong into the pool; quick ones change nothing."""
    mountpath = open_volume("mp1").available[0]
    now_s = 100.0
    monkeypatch.setattr(mountpath, "now_s", lambda: now_s)
    mountpath.wrote(now_s - STALL_S)
    assert not mountpath.is_stalled
    mountpath.wrote(now_s - STALL_S * 1.01)
    now_s += STALLED_S * 0.99
    assert mountpath.is_stalled
    mountpath.wrote(now_s)
    now_s += STALLED_S * 0.02
    assert not mountpath.is_stalled


def test_a_disk_that_fails_is_named(open_volume: Open) -> None:
    """Errors of the disk say which mountpath they are about."""

    class Broken(Disk):
        def statvfs(self, path: str) -> os.statvfs_result:
            raise OSError(5, "Input/output error", path)

    with pytest.raises(DiskFailure, match="mp1"):
        open_volume("mp1", disk=Broken())


class ReadOnly(Disk):
    broken: tuple[str, ...] = ("mp1",)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:  # type: ignore[override]
        if flags & os.O_RDWR and any(f"/{one}/" in path for one in self.broken):
            raise OSError(30, "Read-only file system", path)
        return os.open(path, flags, mode)


def test_a_mountpath_that_cannot_be_written_is_left_out_at_start(open_volume: Open, tmp_path: Path) -> None:
    """The target starts with the others and says what to do; with none left it says so. Names on it are not gone."""
    open_volume("mp1", "mp2").create_bucket(BCK, 1)

    volume = open_volume("mp1", "mp2", disk=ReadOnly())
    assert ([one.path for one in volume.available], volume.disabled) == ([f"{tmp_path}/mp2"], (f"{tmp_path}/mp1",))
    outcomes = set()
    for key in range(1, 1 << 63, 1 << 58):
        try:
            volume.require_whole(BCK, key)
            outcomes.add("proven")
        except NotReady as error:
            outcomes.add(str(error))
    assert outcomes == {
        "proven",
        f"mountpath {tmp_path}/mp1 is disabled and may hold that: enable it, or detach it to give it up",
    }
    both = ReadOnly()
    both.broken = ("mp1", "mp2")
    with pytest.raises(DiskFailure, match=r"no mountpath is left to start with.*mount it for writing"):
        open_volume("mp1", "mp2", disk=both)


def test_an_empty_disk_may_take_the_place_of_one_that_was_detached(open_volume: Open, tmp_path: Path) -> None:
    """It gets what a mountpath has, without a restart; enabling a disk that is not mounted is refused with advice."""
    volume = open_volume("mp1", "mp2", "mp3")
    volume.create_bucket(BCK, 1)
    volume.disable(str(tmp_path / "mp2"))
    volume.detach(str(tmp_path / "mp3"))
    for name in ("mp2", "mp3"):
        (tmp_path / name).rename(tmp_path / f"{name}.broken")
        (tmp_path / name).mkdir()
    with pytest.raises(NotReady, match="mount its disk again"):
        volume.enable(str(tmp_path / "mp2"))
    assert not list((tmp_path / "mp2").iterdir())
    assert volume.attach(str(tmp_path / "mp3"))
    assert names(volume) == ["mp1", "mp3"]
    volume.require_on(volume.available[1], BCK)


@pytest.mark.parametrize("how", ["read-only", "not mounted"])
def test_a_mountpath_that_is_left_out_at_start_loses_only_what_was_removed_since(
    open_volume: Open, tmp_path: Path, how: str
) -> None:
    """What was deleted before, while another one was out of use, and then written again, is there when it returns."""
    volume = open_volume("mp1", "mp2", "mp3")
    volume.create_bucket(BCK, 1)
    volume.disable(str(tmp_path / "mp3"))
    volume.note_removed(BCK, "again")
    again, gone = (tmp_path / "mp1" / "@ais" / "b" / "%ob" / name for name in ("again", "gone"))
    again.touch()
    gone.touch()
    volume.close()
    broken = ReadOnly()
    if how == "not mounted":
        broken.broken = ()
        (tmp_path / "mp1").rename(tmp_path / "away")
    volume = open_volume("mp2", disk=broken)
    assert volume.disabled == (f"{tmp_path}/mp1", f"{tmp_path}/mp3")
    volume.note_removed(BCK, "gone")
    broken.broken = ()
    if how == "not mounted":
        (tmp_path / "away").rename(tmp_path / "mp1")
    volume.enable(str(tmp_path / "mp1"))
    assert (again.exists(), gone.exists()) == (True, False)


def test_what_is_removed_again_and_again_is_noted_once(open_volume: Open, tmp_path: Path) -> None:
    """For as long as a mountpath is out of use; when another one goes, anew."""
    volume = open_volume("mp1", "mp2", "mp3")
    volume.create_bucket(BCK, 1)
    for gone in ("mp3", "mp2"):
        volume.disable(str(tmp_path / gone))
        for _ in range(3):
            volume.note_removed(BCK, "o")
            volume.note_removed(BCK, "other")
    assert len((tmp_path / "mp1" / ".ais.removed").read_text().splitlines()) == 4


@pytest.mark.parametrize("how", ["attached", "configured"])
def test_whoever_is_left_knows_what_was_removed(open_volume: Open, tmp_path: Path, how: str) -> None:
    """A mountpath comes while another one is out of use, and is the only one that is left when that returns."""
    volume = open_volume("mp1", "mp2")
    volume.create_bucket(BCK, 1)
    gone, later = (tmp_path / "mp1" / "@ais" / "b" / "%ob" / name for name in ("gone", "later"))
    gone.touch()
    later.touch()
    volume.disable(str(tmp_path / "mp1"))
    volume.note_removed(BCK, "gone")
    if how == "attached":
        volume.attach(str(tmp_path / "mp3"))
    else:
        volume.close()
        volume = open_volume("mp2", "mp3")
    volume.disable(str(tmp_path / "mp2"))
    volume.note_removed(BCK, "later")
    volume.enable(str(tmp_path / "mp1"))
    assert not gone.exists()
    assert not later.exists()
    volume.enable(str(tmp_path / "mp2"))
    assert volume.settle(volume.view.generation)
    assert not [one for one in volume.available if Path(one.path, ".ais.removed").exists()]


@pytest.mark.parametrize("content", ["%ob/dir/o", "%ve/o/%=/null", "%ec/o", "%ec/%ve/o/%=/deleted"])
def test_whatever_may_come_back_makes_a_volume_no_empty_one(open_volume: Open, tmp_path: Path, content: str) -> None:
    """Objects, what is kept of them, and slices of those of others; directories alone do not."""
    volume = open_volume("mp1", "mp2")
    volume.create_bucket(BCK, 1)
    path = tmp_path / "mp2" / "@ais" / "b" / content
    path.parent.mkdir(parents=True, exist_ok=True)
    assert not volume.has_objects()
    path.touch()
    assert volume.has_objects()


def made(volume: Volume, tmp_path: Path) -> Path:
    """An object on the first mountpath, which is given up with it."""
    volume.create_bucket(BCK, 1)
    path = tmp_path / "mp1" / "@ais" / "b" / "%ob" / "o"
    path.touch()
    volume.map_version = 7
    volume.detach(str(tmp_path / "mp1"))
    return path


def test_what_was_given_up_may_return_for_some_time(open_volume: Open, tmp_path: Path) -> None:
    """Until then what is removed is noted, afterwards nobody knows: it is refused while anything is on it."""
    volume, mp1 = open_volume("mp1", "mp2"), str(tmp_path / "mp1")
    path = made(volume, tmp_path)
    now_s = volume._now_s
    volume.void(now_s - 10)
    assert (volume.may_return(mp1), volume.given_up_at(mp1), volume.keeps_notes) == (True, 7, True)
    volume.note_removed(BCK, "o")
    volume.void(now_s + 10)
    assert (volume.may_return(mp1), volume.may_get_back, volume.keeps_notes) == (False, False, False)
    assert volume.may_have_lost
    volume.close()
    volume = open_volume("mp1", "mp2")
    with pytest.raises(Conflict, match="detached too long ago"):
        volume.attach(mp1)
    path.unlink()
    assert volume.attach(mp1)


def test_what_other_targets_removed_does_not_return(open_volume: Open, tmp_path: Path) -> None:
    """They note it while somebody else's mountpath may return, and tell what they removed since that went."""
    volume, mp1 = open_volume("mp1", "mp2"), str(tmp_path / "mp1")
    path = made(volume, tmp_path)
    volume.recall(mp1, "label")
    assert volume.disabled == (mp1,)
    with pytest.raises(NotReady, match="is disabled"):
        volume.require_whole(BCK)
    other = open_volume("mp3")
    other.create_bucket(BCK, 1)
    other.note_removed(BCK, "o")
    assert other.notes_since(1) == []
    for other.map_version in (6, 7):
        other.notes_for_others = True
        other.note_removed(BCK, f"o{other.map_version}")
    other.note_removed(BCK, "%ec/o")
    other.note_removed(BCK, "o")
    notes = other.notes_since(7)
    assert [(one.generation, one.path) for one in notes] == [(0, "o7"), (0, "o")]
    other.tidy_notes()
    assert len(other.notes_since(1)) == 3
    volume.enable(mp1, notes)
    assert not path.exists()
    generation = volume.view.generation
    assert volume._record.mountpaths[mp1] == Member(label="label", since=generation - 3, came=generation)
    other.add_notes(notes)
    other.notes_for_others = False
    other.tidy_notes()
    assert other.notes_since(1) == []


def test_notes_are_compacted(open_volume: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each path the last one stays; what is too long even so says that anything may have been removed."""
    monkeypatch.setattr(removed, "COMPACTED_BYTES", 100)
    volume, file = open_volume("mp1", "mp2", "mp3"), tmp_path / "mp1" / ".ais.removed"
    volume.create_bucket(BCK, 1)
    volume.disable(str(tmp_path / "mp3"))
    for volume.map_version in range(20):
        volume.note_removed(BCK, "o")
        volume.note_removed(BCK, "other")
    volume.add_notes([removed.Line(0, BCK.uname, "o", 30)])
    volume.tidy_notes()
    assert [one.map_version for one in volume.notes_since(1)] == [19, 19, 30]
    assert len(file.read_text().splitlines()) == 3
    volume.note_removed(BCK, "last")
    gone = tmp_path / "mp3" / "@ais" / "b" / "%ob" / "last"
    gone.touch()
    monkeypatch.setattr(removed, "BYTES_MAX", 50)
    monkeypatch.setattr(removed, "COMPACTED_BYTES", 70)
    volume.tidy_notes()
    assert len(file.read_text().splitlines()) == 4, "it is not twice as long"
    volume._compacted.clear()
    volume.tidy_notes()
    volume.note_removed(BCK, "later")
    assert len(file.read_text().splitlines()) == 2
    with pytest.raises(Conflict, match="more was removed"):
        volume.enable(str(tmp_path / "mp3"))


@pytest.mark.parametrize("how", ["attached", "returned", "leaving", "stayed"])
def test_what_a_disabled_mountpath_may_have_is_not_known_whatever_came_since(
    open_volume: Open, tmp_path: Path, how: str
) -> None:
    """A name that belongs to another mountpath by now was not brought there before the one it lies on went."""
    volume = open_volume("mp1", "mp2")
    volume.create_bucket(BCK, 1)
    homes = [f"{tmp_path}/{name}" for name in ("mp1", "mp2", "mp3")]

    def ranked(name: str) -> list[str]:
        key = digest(BCK.uname + name)
        return sorted(homes, key=lambda path: mix(digest(path) ^ key), reverse=True)

    key = digest(
        BCK.uname + next(name for name in map(str, range(99)) if ranked(name) == [homes[2], homes[0], homes[1]])
    )
    if how != "attached":
        volume.attach(homes[2])
        assert volume.settle(volume.view.generation)
    if how == "returned":
        volume.disable(homes[2])
    elif how in ("leaving", "stayed"):
        volume.drain(homes[2], State.DISABLED)
    volume.disable(homes[0])
    if how in ("attached", "stayed"):
        assert volume.attach(homes[2])
    elif how == "returned":
        volume.enable(homes[2])
    with pytest.raises(NotReady, match="mp1 is disabled and may hold that"):
        volume.require_whole(BCK, key)
    volume.enable(homes[0])
    volume.require_whole(BCK, key)
