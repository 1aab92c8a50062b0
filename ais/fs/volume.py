"""All mountpaths of one target: which are in use, where a name goes, and the buckets' directories on them.

Placement is the contract's (wire contract §4): the available mountpath with the highest `mix(digest(path) ^
digest(uname))`. Changes of the set are made by one control process, one at a time; each is durable on the mountpaths
before it takes effect.
"""

import contextlib
import os
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import msgspec
import structlog

from ais.api.bucket import Bck
from ais.base.errors import (
    BadRequest,
    BucketNotFound,
    Busy,
    Conflict,
    CorruptMetadata,
    DiskFailure,
    IntegrityError,
    MountpathNotFound,
    NotReady,
    OutOfSpace,
)
from ais.base.ids import new_id
from ais.env import Env
from ais.env.disk import Disk
from ais.fs import layout, record, removed, trash, whole
from ais.fs.failures import disk_failures
from ais.fs.locks import Stripes, probe_writing
from ais.fs.mountpath import Capacity, Mountpath
from ais.fs.moved import MovedNames
from ais.fs.orders import Orders
from ais.fs.record import IN_USE, KNOWN, LEAVING, GivenUp, Member, State, VolumeRecord
from ais.meta.placement import Candidates, mix
from ais.meta.smap import digest
from ais.meta.store import VMD, is_marked

_log = structlog.get_logger()
EPOCHS_MAX = 64
"""Changes of owners remembered; a write that takes longer than so many begins again."""

NOTED_MAX = 20_000
"""Names remembered that are noted as removed."""


@dataclass(frozen=True, slots=True)
class VolumeLimits:
    """Settings of a volume."""

    threads_per_mountpath: int = 4
    out_of_space_pct: float = 95.0


class Mirroring(NamedTuple):
    """How a bucket is mirrored: copies of each object in all."""

    copies: int


class BegunToMove(NotReady):
    """Others may have something of an object since a moment ago: nothing happened, ask them."""


class View:
    """The mountpaths in use at one time; immutable. A new one replaces it when the set changes.

    While it is unsettled, names may still be on the mountpaths `hidden`, which are known but not in use. Those that are
    `leaving` are read, and nothing new is `placed` on them. `went`: in which generation they went out of use, those
    that are `hidden` and those that have returned since. `came`: those that came into use since all was in its place.
    """

    __slots__ = (
        "_candidates",
        "_settled",
        "available",
        "generation",
        "hidden",
        "is_unsettled",
        "leaving",
        "placed",
        "went",
    )

    def __init__(
        self,
        available: tuple[Mountpath, ...],
        is_unsettled: bool,
        generation: int,
        hidden: Iterable[str] = (),
        leaving: Iterable[str] = (),
        went: Mapping[str, int] | None = None,
        came: Iterable[str] = (),
    ) -> None:
        self.available = available
        self.went = went or {}
        self.leaving = frozenset(leaving)
        self.placed = tuple(mountpath for mountpath in available if mountpath.path not in self.leaving)
        late = self.leaving.union(came)
        self._settled = tuple(mountpath for mountpath in available if mountpath.path not in late)
        """Those that had all that belongs there by the time others went."""
        self.is_unsettled = is_unsettled
        self.generation = generation
        self.hidden = tuple((digest(path), path) for path in hidden) if is_unsettled else ()
        self._candidates = Candidates([mountpath.digest for mountpath in self.placed])

    def require_shown(self, key: int) -> None:
        """Raise `NotReady` when a name with this digest may be on a mountpath that is not in use."""
        if not self.hidden:
            return
        _, path = max((mix(candidate ^ key), path) for candidate, path in self.hidden)
        if all(mix(one.digest ^ key) < mix(digest(path) ^ key) for one in self._settled):
            raise NotReady(f"mountpath {path} is disabled and may hold that: enable it, or detach it to give it up")

    def require_newest(self, mountpath: Mountpath, stamp: tuple[int, int], key: int) -> None:
        """Raise `NotReady` when what was found on a mountpath may have been replaced while that was out of use, on one
        that is out of use now.
        """
        left = self.went.get(mountpath.path)
        if not self.hidden or left is None or stamp[0] > left:
            return
        ranks = [(mix(candidate ^ key), path) for candidate, path in self.hidden if self.went[path] > left]
        stayed = [mix(one.digest ^ key) for one in self._settled if one.path not in self.went]
        rank, path = max(ranks, default=(0, ""))
        if path and rank > max(stayed, default=0):
            raise NotReady(
                f"mountpath {path} is disabled and may hold a newer one: enable it, or detach it to give it up"
            )

    def require_staying(self, mountpath: Mountpath) -> None:
        """Raise `NotReady` when a mountpath that something would be placed on began to leave meanwhile."""
        if mountpath.path in self.leaving:
            raise NotReady(f"mountpath {mountpath.path} is being taken out of use since a moment ago: try again")

    def owner(self, key: int) -> Mountpath:
        """The mountpath for a name whose digest is `key`. Raise `OutOfSpace` when there is none."""
        placed = self.placed
        if not placed:
            raise OutOfSpace("this target has no available mountpath")
        return placed[self._candidates.best(key)]


class Volume:
    """See the module. `view` may be read by any thread at any time."""

    def __init__(
        self,
        env: Env,
        found: VolumeRecord,
        limits: VolumeLimits,
        stripes: Callable[[Disk, str], Stripes] = Stripes,
    ) -> None:
        """`stripes` opens the locks of a mountpath."""
        self.limits = limits
        self._stripes = stripes
        self._env = env
        self._disk = env.disk
        self._record = found
        self._changing = threading.Lock()
        self._mountpaths: dict[str, Mountpath] = {}
        self._closed: frozenset[Bck] = frozenset()
        self._renamed: frozenset[Bck] = frozenset()
        self._shut: frozenset[Bck] = frozenset()
        """Those of both."""
        self.mirrored: Mapping[Bck, Mirroring] = {}
        """The buckets whose objects have copies. Whoever changes an object asks this under its lock."""
        self._knows_mirrored = False
        self.keeping: Mapping[Bck, str] = {}
        """How the buckets that keep versions do so (`ais.core.workfile.Keeping`). Whoever changes an object asks this
        under its lock: what a request was told when it began may be older."""
        self._bids: dict[Bck, int] = {}
        """The buckets that have directories here, or must have."""
        self.vouch: Callable[[int], None] = _vouch_for_all
        """Raises `NotReady` unless this target knows that it owns the names of a digest."""
        self.of_versions = removed.OfVersions(lambda *_: None, lambda *_: None)
        """What is done with versions on a mountpath that comes back."""
        self.coded: frozenset[Bck] = frozenset()
        """The buckets whose objects have slices on other targets."""
        self._coding_ids: dict[Bck, int] = {}
        self.epoch = 0
        """Counts how often names got other owners since the target was started."""
        self._owned: deque[tuple[int, Callable[[int], bool]]] = deque(maxlen=EPOCHS_MAX)
        """Whether the names of a digest were this target's from that epoch on."""
        self._is_owner: Callable[[int], bool] | None = None
        self.moves = 0
        """Counts how often names began to move among targets since this one was started."""
        self._moving_id = ""
        self.aside: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
        """Entered around each change of the set of mountpaths: other processes that use them stand aside meanwhile."""
        self._given_up: set[str] = set()
        """Paths of mountpaths that were not there, or without their buckets, when they were to be emptied."""
        self._noted: dict[removed.Line, bool] = {}
        """What was noted as removed, and whether durably: that needs no other line."""
        self._compacted: dict[str, int] = {}
        """How long the notes of a mountpath are for sure, in bytes."""
        self.map_version = 0
        """Of the cluster map that this target has."""
        self.notes_for_others = False
        """Whether other targets may get mountpaths back that they gave up: what is removed here is noted for them."""
        self._is_partial = False
        """Whether mountpaths of this target are known that are not in use, had something when they went, and may
        return."""
        self.moved = MovedNames()
        self.unshelved = MovedNames()
        """Whose shelf of versions is about to go: at most an object is left."""
        self.scattered = MovedNames()
        """Of which something came to lie elsewhere than placement says, while the volume was unsettled."""
        self._is_settling = False
        self.orders = Orders(env.disk)
        self.view = self._build_view()

    @classmethod
    def load_or_create(
        cls,
        env: Env,
        fspaths: Mapping[str, str] | Sequence[str],
        node_id: str | None = None,
        *,
        limits: VolumeLimits | None = None,
        stripes: Callable[[Disk, str], Stripes] = Stripes,
    ) -> Self:
        """Open the volume on these mountpaths (with their labels) and on those its record names, or make a new one.

        `node_id` None: the recorded one, or a fresh one. Raise `BadRequest` (paths that are nested, relative, twice),
        `MountpathNotFound`, `IntegrityError` (another node's, or a disk that is not mounted), `CorruptMetadata`,
        `Busy` (another process uses them).
        """
        if sys.getfilesystemencoding() != "utf-8":
            raise BadRequest("file names must be UTF-8: set PYTHONUTF8=1, or LANG to a UTF-8 locale such as C.UTF-8")
        configured: dict[str, str] = {}
        for path in fspaths:
            clean = record.clean_path(path)
            record.check_disjoint(clean, configured)
            configured[clean] = fspaths[path] if isinstance(fspaths, Mapping) else ""
        copies = _load_copies(env.disk, configured)
        found = record.resolve(configured, copies, _agreed_node_id(copies, node_id, env.rng))
        for path in found.paths(*IN_USE):
            record.check_directory(path)
        _require_in_place(env.disk, found, copies)
        found = _without_unwritable(env.disk, found)
        is_changed, in_use = found not in copies.values() or None in copies.values(), found.paths(*IN_USE)
        with disk_failures(f"mountpaths {', '.join(configured)}"):
            if is_changed or not all(whole.place_of(env.disk, path) for path in in_use):
                _mark(env.disk, {path: path for path in in_use}, found.node_id)
            if is_changed:
                found = msgspec.structs.replace(found, generation=found.generation + 1)
                out_of_use = [path for path in found.paths(State.DISABLED) if is_marked(env.disk, path)]
                record.save(env.disk, found, [*in_use, *out_of_use])
        volume = cls(env, found, limits or VolumeLimits(), stripes)
        new = {path for path, copy in copies.items() if copy is None}
        volume._complete_buckets(new)
        for path in new.intersection(found.paths(*IN_USE)):
            with disk_failures(path):
                removed.carry(env.disk, [one.path for one in volume.available if one.path not in new], path)
        return volume

    @property
    def node_id(self) -> str:
        """The target's identity, which its mountpaths carry."""
        return self._record.node_id

    @property
    def cluster_uuid(self) -> str:
        """The cluster the data belongs to; empty before the first join."""
        return self._record.cluster_uuid

    @property
    def record(self) -> VolumeRecord:
        """What the mountpaths say of the set they belong to."""
        return self._record

    def take(self, found: VolumeRecord) -> None:
        """Use the mountpaths that a record, which is durable already, names."""
        before = self.view.available
        self._record = found
        self.view = self._build_view()
        for mountpath in before:
            if mountpath not in self.view.available:
                mountpath.retire()
        for mountpath in self.view.available:
            mountpath.stripes.wake()

    @property
    def available(self) -> tuple[Mountpath, ...]:
        """The mountpaths in use."""
        return self.view.available

    @property
    def disabled(self) -> tuple[str, ...]:
        """Paths known but not in use."""
        return tuple(self._record.paths(State.DISABLED))

    @property
    def may_have_lost(self) -> bool:
        """Whether what is not here may have been on a mountpath that was given up, or is not in its place."""
        members = self._record.mountpaths.values()
        return self.view.is_unsettled or any(one.state is State.DETACHED and not one.is_drained for one in members)

    def place(self, uname: str) -> Mountpath:
        """The mountpath for `<provider>/@uuid#ns/<bucket>/<object>`. Raise `OutOfSpace` when there is none."""
        return self.view.owner(digest(uname))

    def find(self, path: str) -> Mountpath:
        """The available mountpath at `path`. Raise `MountpathNotFound`."""
        clean = record.clean_path(path)
        for mountpath in self.view.available:
            if mountpath.path == clean:
                return mountpath
        raise MountpathNotFound(path)

    def capacity(self) -> dict[str, Capacity]:
        """Space of each available mountpath, at most a second old. Raise `DiskFailure`."""
        return {mountpath.path: mountpath.capacity() for mountpath in self.view.available}

    def set_cluster_uuid(self, uuid: str) -> None:
        """Record the cluster at the first join. Raise `IntegrityError` when the data belongs to another."""
        with self._changing:
            recorded = self._record.cluster_uuid
            if recorded == uuid:
                return
            if recorded:
                raise IntegrityError(
                    f"the mountpaths of target {self.node_id} belong to cluster {recorded}, not {uuid}"
                )
            self._change(msgspec.structs.replace(self._record, cluster_uuid=uuid))

    @property
    def may_get_back(self) -> bool:
        """Whether mountpaths were given up with what they have, and may return."""
        return any(one.may_return for one in self._record.mountpaths.values())

    def may_return(self, path: str) -> bool:
        """Whether a mountpath was given up with what it has, and may return."""
        member = self._record.mountpaths.get(record.clean_path(path))
        return member is not None and member.may_return

    def given_up_at(self, path: str) -> int:
        """The version of the cluster map when a mountpath was given up; 0: it is not known."""
        member = self._record.mountpaths.get(record.clean_path(path))
        return member.given_up.map_version if member and member.given_up else 0

    def recall(self, path: str, label: str = "") -> None:
        """A mountpath that was given up is to return: until it is enabled it is known that what is not found may be
        there. Errors as `attach`.
        """
        clean = record.clean_path(path)
        with self._changing:
            member = self._record.mountpaths[clean]
            if not member.may_return or member.state is State.DISABLED:
                return
            self._check_new(clean)
            known = self._mountpaths.get(clean)
            if known is not None and not known.is_own:  # another disk in its place
                del self._mountpaths[clean]
            given_up = member.given_up or GivenUp(self._now_s, 0)
            found = msgspec.structs.replace(member, state=State.DISABLED, label=label, given_up=given_up)
            self._change(self._record.with_member(clean, found))

    def void(self, before_s: int) -> None:
        """What was given up before that time, in Unix time, does not return any more. When that was is known from now
        on of all that may.
        """
        with self._changing:
            members = dict(self._record.mountpaths)
            for path, one in members.items():
                if one.may_return and one.state is State.DETACHED:
                    given_up = one.given_up or GivenUp(self._now_s, 0)
                    given_up = msgspec.structs.replace(given_up, is_void=given_up.at_s < before_s)
                    members[path] = msgspec.structs.replace(one, given_up=given_up)
            if members != self._record.mountpaths:
                self._change(msgspec.structs.replace(self._record, mountpaths=members))

    def attach(self, path: str, label: str = "") -> bool:
        """Take a new (or detached) directory into use; False when it is in use. Errors as `load_or_create`.

        Raise `Conflict` for one with content that may not return.
        """
        clean = record.clean_path(path)
        with self._changing:
            if self._state(clean) is State.AVAILABLE:
                return False
            if self._state(clean) in LEAVING:
                return self._stay(clean)
            self._check_new(clean)
            self._admit(clean, label)
            return True

    def enable(self, path: str, of_others: Iterable[removed.Line] = ()) -> bool:
        """Use a disabled mountpath again; False when it is in use. Raise `MountpathNotFound`, `IntegrityError`.

        `of_others`: what other targets removed since it was given up.
        """
        clean = record.clean_path(path)
        with self._changing:
            state = self._state(clean)
            if state is State.AVAILABLE:
                return False
            if state in LEAVING:
                return self._stay(clean)
            if state is not State.DISABLED:
                raise MountpathNotFound(path)
            record.check_directory(clean)
            record.check_owner(clean, record.load_copy(self._disk, clean), self.node_id, self.cluster_uuid)
            self._check_place(clean)
            self._admit(clean, self._record.mountpaths[clean].label, of_others)
            return True

    def disable(self, path: str) -> bool:
        """Stop using a mountpath but remember it; False when it is disabled. Its objects are not served meanwhile.

        Raise `MountpathNotFound`, or `Conflict` for the last one.
        """
        clean = record.clean_path(path)
        with self._changing:
            if self._state(clean) is State.DISABLED:
                return False
            self._retire(clean, State.DISABLED)
            return True

    def detach(self, path: str) -> bool:
        """Forget a mountpath; its files stay and it may be attached again. Raise as `disable`."""
        clean = record.clean_path(path)
        with self._changing:
            self._retire(clean, State.DETACHED)
            self._forget(clean)
            return True

    def drain(self, path: str, state: State) -> bool:
        """Place nothing new on a mountpath; when all it has has gone to the others it gets `state` (`settle`).

        False when it has that state, or gets it already. One that is not in use has nothing that could be moved: it is
        detached at once. Raise as `disable`.
        """
        clean = record.clean_path(path)
        leaving = State.DISABLING if state is State.DISABLED else State.DETACHING
        with self._changing:
            before = self._state(clean)
            if before in (state, leaving):
                return False
            if before is State.DISABLED:
                self._retire(clean, state)
                self._forget(clean)
                return True
            self._require_others(clean)
            self._given_up.discard(clean)
            member = self._record.mountpaths[clean]
            self._change(self._record.with_member(clean, msgspec.structs.replace(member, state=leaving)))
        self._mountpaths[clean].stripes.wait_for_all()
        return True

    def buckets(self) -> dict[Bck, int]:
        """Every bucket that has a directory with a recorded ID on an available mountpath."""
        found: dict[Bck, int] = {}
        for mountpath in self.view.available:
            with disk_failures(mountpath.path):
                for bck, path in layout.scan_buckets(self._disk, mountpath.path):
                    if (bid := layout.read_bid(self._disk, path)) is not None:
                        found.setdefault(bck, bid)
        return found

    def has_objects(self) -> bool:
        """Whether there is an object in any bucket on an available mountpath, a kept version, a delete marker or a
        slice: what brings back something that was deleted. So may a mountpath that is out of use.
        """
        if self.view.hidden:
            return True
        return any(_has_objects(self._disk, one.path) for one in self.view.available)

    def create_bucket(self, bck: Bck, bid: int) -> bool:
        """Make the bucket's directories on every mountpath; idempotent. Return whether stale ones were trashed.

        Raise `NotReady` when a mountpath is not there any more, `DiskFailure`, `OutOfSpace`.
        """
        trashed = False
        self._bids[bck] = bid
        for mountpath in self.view.available:
            with disk_failures(mountpath.path), mountpath.entered() as root:
                trashed |= layout.create_bucket(self._disk, root, bck, bid)
        return trashed

    def trash_bucket(self, bck: Bck) -> None:
        """Make the bucket's objects unreachable at once; `empty_trash` frees the space. Nothing to do is fine."""
        self._bids.pop(bck, None)
        self._in_each(lambda root: trash.discard(self._disk, root, layout.bucket_path(root, bck)))

    def close_buckets(self, closed: frozenset[Bck], renamed: frozenset[Bck] = frozenset()) -> None:
        """From now on nothing becomes an object in these buckets, in `renamed` only what nodes move; in all others
        everything may. Blocks for what is under way: who walks through one of them afterwards sees all of it.
        """
        new = (closed - self._closed) | (renamed - self._renamed)
        self._closed, self._renamed, self._shut = closed, renamed, closed | renamed
        if new:
            for mountpath in self.view.available:
                mountpath.stripes.wait_for_all()

    def mirror_buckets(self, mirrored: Mapping[Bck, Mirroring], others: Iterable[Bck]) -> None:
        """From now on objects of these buckets may have copies, of `others` not; blocks for what is under way.

        Copies are trusted only below a directory that is marked: the mark goes before the first write that does not
        look after copies. So what is found unmarked may be stale and is thrown away.
        """
        ended = [bck for bck in others if bck in self.mirrored or not self._knows_mirrored]

        def begin(root: str) -> None:
            for bck in mirrored.keys() - self.mirrored.keys():
                layout.drop_copies(self._disk, root, bck, only_unmarked=True)
            for bck in ended:
                layout.unmark_copies(self._disk, root, bck)

        def end(root: str) -> None:
            for bck in ended:
                layout.drop_copies(self._disk, root, bck)

        self._in_each(begin)
        is_change = mirrored.keys() != self.mirrored.keys()
        self.mirrored, self._knows_mirrored = dict(mirrored), True
        if is_change:
            for mountpath in self.view.available:
                mountpath.stripes.wait_for_all()
        self._in_each(end)

    def keep_versions(self, keeping: Mapping[Bck, str]) -> None:
        """From now on these buckets keep versions so, all others none; blocks for what is under way."""
        is_change = keeping != self.keeping
        self.keeping = dict(keeping)
        if is_change:
            for mountpath in self.view.available:
                mountpath.stripes.wait_for_all()

    def code_buckets(self, coded: Mapping[Bck, int], known: Iterable[Bck]) -> None:
        """From now on objects of these buckets have slices elsewhere, since each has its ID (`Bprops.coding_id`);
        earlier slices, and those of the other known ones, are dropped.

        Blocks for writes that are under way.
        """

        def drop(root: str) -> None:
            for bck in known:
                if bck not in coded:
                    trash.discard(self._disk, root, f"{layout.bucket_path(root, bck)}/{layout.SLICES}")

        def begin(root: str) -> None:
            for bck, coding_id in coded.items():
                layout.begin_coding(self._disk, root, bck, coding_id)

        self._in_each(begin)
        self._coding_ids = dict(coded)

        is_change = not coded.keys() <= self.coded
        self.coded = frozenset(coded)
        if is_change:
            for mountpath in self.view.available:
                mountpath.stripes.wait_for_all()
        self._in_each(drop)

    def follow_owners(self, owns: Callable[[int], bool] | None, moving_id: str = "") -> None:
        """Names get other owners: `owns` says whether those of a digest are this target's now. None: all that come.

        `moving_id`: of what moves, which others may have.
        """
        self._is_owner = owns
        self.moves += bool(moving_id) and moving_id != self._moving_id
        self._moving_id = moving_id
        if owns is not None:
            self.epoch += 1
            self._owned.append((self.epoch, owns))

    def require_place(
        self, bck: Bck, key: int, mountpath: Mountpath, since: int | None, *, is_moved: bool = False
    ) -> None:
        """Raise `BucketNotFound`, `Busy` or `NotReady` when a file must not become the object there: of a name with
        that digest, which was this target's `since` that epoch if one is given. Asked under the object's lock.
        """
        self.require_open(bck, is_moved=is_moved)
        if self._is_owner is not None or since not in (None, self.epoch):
            self.require_owned(key, since)
        if self.view.leaving:
            self.view.require_staying(mountpath)

    def require_owned(self, key: int, since: int | None = None) -> None:
        """Raise `NotReady` when another target owns the names of a digest by now. Asked under the object's lock.

        `since`: or has owned them since that epoch: what it wrote then must not be replaced unseen.
        """
        if self._is_owner is not None and not self._is_owner(key):
            raise NotReady("the object belongs to another target since a moment ago: try again")
        if since is None or since == self.epoch:
            return
        later = [(epoch, owns) for epoch, owns in self._owned if epoch > since]
        if len(later) < self.epoch - since or not all(owns(key) for _, owns in later):
            raise NotReady("the object belonged to another target while it was sent: try again")

    def require_unmoved(self, key: int, since: int | None) -> None:
        """Raise `NotReady` as `require_owned`, and `BegunToMove` when others may have objects since there were so many
        `moves`: they were not asked. None: whenever. Asked under the object's lock.
        """
        self.require_owned(key)
        if since not in (None, self.moves):
            raise BegunToMove("objects began to move since a moment ago: try again")

    def note_removed(
        self, bck: Bck, path: str, *, fsync: bool = False, is_moved: bool = False, keeps_none: bool = False
    ) -> None:
        """An object is about to be removed or replaced: a mountpath that is out of use must not bring it back.

        Durably when `fsync`. `is_moved`: it is another target's now, who notes for others what becomes of it.
        `keeps_none`: nor as a null version, should its bucket keep versions by then. Raise `OSError`, or `NotReady`
        when one that is in use is not there to remember it.
        """
        if not (self._is_partial or (self.notes_for_others and not is_moved)):
            return
        noted = removed.Line(self._record.generation, bck.uname, path, 0 if is_moved else self.map_version)
        if self._noted.get(noted) in (fsync, True):
            return
        lines = (noted, noted._replace(path=removed.null_version(path))) if keeps_none else (noted,)
        removed.note(self._disk, self.view.available, lines, fsync=fsync)
        if len(self._noted) >= NOTED_MAX:
            self._noted.clear()
        self._noted[noted] = fsync

    def note_removed_version(
        self, bck: Bck, path: str, version_id: str, *, fsync: bool = False, is_moved: bool = False
    ) -> None:
        """As `note_removed`, of one version of an object (`null`: the null version) that is removed for good."""
        self.note_removed(bck, removed.shelved(path, version_id), fsync=fsync, is_moved=is_moved)

    def note_covered(self, bck: Bck, path: str, *, fsync: bool = False, is_moved: bool = False) -> None:
        """As `note_removed`, when something comes on top of the latest version of an object, which is kept."""
        self.note_removed(bck, removed.covered(path), fsync=fsync, is_moved=is_moved)

    def is_known(self, bck: Bck) -> bool:
        """Whether a bucket has directories here, or must have; others may lie on a mountpath and belong to nobody."""
        return bck in self._bids

    def is_given_up(self, mountpath: Mountpath) -> bool:
        """Whether a mountpath leaves with what it has: it was not there to be emptied."""
        return mountpath.path in self._given_up

    def note_scattered(self, bucket: str, name: str) -> None:
        """Something of an object is about to come to lie elsewhere than placement says. Asked under its lock.

        Raise `NotReady` when that is over: it would not be found.
        """
        if self._is_settling:
            raise NotReady("all objects came to their mountpaths this moment: try again")
        self.scattered.note(bucket, name)

    def settle(self, generation: int, scattered: int | None = None) -> int:
        """Everything is where placement says, as of a view with that generation, and as far as was known when so many
        were `scattered`; return the generation that is so of, 0 when either is not so any more.

        What a disabled mountpath holds is still missing, so then each object is looked for everywhere as before.
        """
        self._is_settling = True
        try:
            for mountpath in self.view.available:
                mountpath.stripes.wait_for_all()
            settled = self._settle(generation) if scattered in (None, self.scattered.count) else 0
        finally:
            self._is_settling = False
        if settled:
            self.tidy_notes()
        return settled

    def _settle(self, generation: int) -> int:
        with self._changing:
            if self._record.generation != generation:
                return 0
            left = self._record.paths(*LEAVING)
            members = dict(self._record.mountpaths)
            for path in left:
                is_drained = path not in self._given_up
                member = Member(LEAVING[members[path].state], members[path].label, generation, is_drained)
                members[path] = member if is_drained else self._given_up_now(member)
            is_complete = all(one.state is not State.DISABLED or one.is_drained for one in members.values())
            if is_complete:
                for path in self._record.paths(State.AVAILABLE):
                    members[path] = Member(label=members[path].label)
            if left or is_complete:
                changed = msgspec.structs.replace(self._record, mountpaths=members, is_unsettled=not is_complete)
                self._change(changed)
            self._given_up.difference_update(left)
            for path in left:
                if members[path].state is State.DETACHED:
                    self._forget(path)
                self._mountpaths[path].retire()
            return self._record.generation

    @property
    def gives_up(self) -> bool:
        """Whether mountpaths that leave are given up with what they have: they were not there to be emptied."""
        return bool(self._given_up)

    @property
    def keeps_notes(self) -> bool:
        """Whether mountpaths, of this target or others, are not in use, had something when they went, and may return:
        what is removed is noted.
        """
        return self._is_partial or self.notes_for_others

    def tidy_notes(self) -> None:
        """Forget what was removed when nobody needs it any more; compact it else. Blocks. Raise `DiskFailure`."""
        for mountpath in self.view.available:
            with disk_failures(mountpath.path), contextlib.suppress(NotReady):
                known = self._compacted.get(mountpath.path, 0)
                self._compacted[mountpath.path] = removed.compact(self._disk, mountpath, known)
        with self._changing:
            if self.keeps_notes or self.view.is_unsettled:
                return
            for mountpath in self.view.available:
                with disk_failures(mountpath.path):
                    removed.clear(self._disk, mountpath.path)

    def notes_since(self, map_version: int) -> list[removed.Line]:
        """What was removed here by that version of the cluster map or later, for other targets. Blocks."""
        with disk_failures("notes of what was removed"):
            lines = removed.all_lines(self._disk, [one.path for one in self.view.available])
            return list(removed.of_objects(lines, map_version))

    def add_notes(self, lines: Sequence[removed.Line]) -> None:
        """Keep notes of a target that leaves. Blocks. Raise `DiskFailure`, `NotReady`."""
        for mountpath in self.view.available:
            with disk_failures(mountpath.path):
                removed.add(self._disk, mountpath, lines)

    def require_open(self, bck: Bck, *, is_moved: bool = False) -> None:
        """Raise `Busy` for a closed bucket, `BucketNotFound` for one that has another name now, unless a node moves an
        object (`is_moved`). Whoever adds to a bucket asks this under the object's lock.
        """
        if bck not in self._shut:
            return
        if bck in self._closed:
            raise Busy(f'bucket "{bck.cname()}" is being deleted')
        if not is_moved:
            raise BucketNotFound(bck.cname())

    def reconcile_buckets(self, expected: Mapping[Bck, int], known: Mapping[Bck, int] | None = None) -> list[Bck]:
        """Make the directories agree with the cluster's buckets (identity to ID); return those with stale data trashed.

        Of a bucket that was `known` before a missing directory is not made: what was in it would seem never to have
        been. A directory of a bucket that is not in `expected` is left alone: it is no proof that it was destroyed.
        """
        self._bids = dict(expected)
        fresh = (bck for bck, bid in expected.items() if known is None or known.get(bck) != bid)
        return [bck for bck in fresh if self.create_bucket(bck, expected[bck])]

    def require_whole(self, bck: Bck, key: int | None = None, *, is_owner: bool = True) -> None:
        """Raise `NotReady` unless a name (its digest is `key`) that was not found in a bucket is not there.

        Without `key`: unless all names of the bucket on this target could be found. `is_owner` False: the name is
        another target's, and whether it is here is asked.
        """
        view, bid = self.view, self._bids.get(bck)
        if key is not None:
            if is_owner:
                self.vouch(key)
            view.require_shown(key)
        elif view.hidden:
            raise NotReady(f"mountpath {view.hidden[0][1]} is disabled: enable it, or detach it to give it up")
        if bid is None:  # destroyed meanwhile: whoever asked finds out
            return
        homes = view.available if key is None or view.is_unsettled else (view.owner(key),)
        for mountpath in homes:
            mountpath.require_own()
            whole.require_bucket(self._disk, mountpath.path, bck, bid)

    def require_mounted(self) -> None:
        """Raise `NotReady` when the disk of a mountpath in use is not there. Blocks."""
        for mountpath in self.view.available:
            mountpath.require_own()

    def require_on(self, mountpath: Mountpath, bck: Bck) -> None:
        """Raise `NotReady` unless a mountpath is there and has the directory of the bucket, if that exists. Blocks."""
        bid = self._bids.get(bck)
        mountpath.require_own()
        try:
            if bid is not None:
                whole.require_bucket(self._disk, mountpath.path, bck, bid)
        except NotReady:
            if self._bids.get(bck) == bid:  # else it was destroyed meanwhile
                raise

    def require_walked(self, mountpath: Mountpath, bck: Bck) -> None:
        """Raise `NotReady` unless who went through a bucket on a mountpath has met all it has.

        Not of one that is being detached: what is on its disk no more, as on a failed one, is given up. Should it come
        back, it was not emptied.
        """
        state = self._state(mountpath.path)
        if state in (State.DETACHED, None):
            return
        try:
            self.require_on(mountpath, bck)
        except NotReady:
            if state is not State.DETACHING:
                raise
            self._given_up.add(mountpath.path)

    def empty_trash(self) -> None:
        """Delete what was trashed. Blocks as long as that takes."""
        for mountpath in self.view.available:
            with disk_failures(mountpath.path):
                trash.empty(self._disk, mountpath.path)

    def sweep_workfiles(self) -> None:
        """Delete all work files, and what is left of ended uploads. Only at start-up, before anything writes."""
        for mountpath in self.view.available:
            with disk_failures(mountpath.path):
                for directory in layout.work_directories(self._disk, mountpath.path):
                    trash.remove_contents(self._disk, directory)
                for upload in list(layout.dead_uploads(self._disk, mountpath.path)):
                    trash.remove_tree(self._disk, upload)

    def leave_cluster(self, *, remove_data: bool) -> None:
        """Forget the cluster: remove all that is ours on the mountpaths, or only its metadata, and set the data aside
        below `decommissioned.<cluster UUID>`. Nothing may use the volume any more. Blocks. Raise `DiskFailure`.
        """
        for path in self._record.paths(*KNOWN):
            if os.path.isdir(path):
                with disk_failures(path):
                    whole.leave(self._disk, path, "" if remove_data else self._record.cluster_uuid or "unknown")

    def sweep_workfiles_of(self, tag: str) -> None:
        """Delete the work files whose names begin so: those of a process that died. Raise `DiskFailure`."""
        for mountpath in self.view.available:
            with disk_failures(mountpath.path):
                for directory in layout.work_directories(self._disk, mountpath.path):
                    for name in self._disk.listdir(directory):
                        if name.startswith(tag):
                            with contextlib.suppress(FileNotFoundError):
                                self._disk.unlink(f"{directory}/{name}")

    def close(self) -> None:
        """Wait for the pools' running work, forget what was kept for listings, and close lock files."""
        self.orders.close()
        for mountpath in self._mountpaths.values():
            mountpath.close()

    def _in_each(self, step: Callable[[str], object]) -> None:
        """Do something in each mountpath that is there, given its path (`Mountpath.entered`). Raise `DiskFailure`."""
        for mountpath in (one for one in self.view.available if one.is_own):
            with disk_failures(mountpath.path), mountpath.entered() as root:
                step(root)

    def _state(self, path: str) -> State | None:
        member = self._record.mountpaths.get(path)
        return member.state if member else None

    def _check_new(self, path: str) -> None:
        """Raise as `attach` unless a directory may be taken into use."""
        record.check_directory(path)
        record.check_disjoint(path, set(self._record.paths(*KNOWN)) - {path})
        record.check_owner(path, record.load_copy(self._disk, path), self.node_id, self.cluster_uuid)
        known = self._record.mountpaths.get(path)
        if known is not None and (known.may_return or known.state is State.DISABLED):
            self._check_place(path)
        elif _has_objects(self._disk, path):
            is_void = known is not None and known.is_void
            how = "detached too long ago with what it has" if is_void else "no mountpath here"
            raise Conflict(
                f"{path} was {how}: nobody knows what of its objects was removed since. Attach a disk that comes back"
                " where it was before, or empty it"
            )

    def _check_place(self, path: str) -> None:
        """Raise `IntegrityError` for the directory of another mountpath that comes back, unless it was emptied."""
        if (place := whole.place_of(self._disk, path)) not in ("", path) and _has_objects(self._disk, path):
            raise whole.misplaced(path, place)

    def _admit(self, path: str, label: str, of_others: Iterable[removed.Line] = ()) -> None:
        buckets = {**self.buckets(), **self._bids}
        with disk_failures(path):
            if self._state(path) is State.DISABLED and path in self._mountpaths:
                self._mountpaths[path].require_own()
            elif (
                path in self._mountpaths and not self._mountpaths[path].is_own
            ):  # another disk, in place of a detached one
                del self._mountpaths[path]
            if path not in self._mountpaths:  # refused before anything is changed when another process uses it
                self._stripes(self._disk, path).close()
            else:
                self._mountpaths[path].stripes.wake()
            for bck, bid in buckets.items():
                layout.create_bucket(self._disk, path, bck, bid)
            for bck, _ in list(layout.scan_buckets(self._disk, path)):
                layout.drop_copies(self._disk, path, bck)
            for bck, coding_id in self._coding_ids.items():
                layout.begin_coding(self._disk, path, bck, coding_id)
            before, others = self._record.mountpaths.get(path), [one.path for one in self.view.available]
            if before is not None:
                went = removed.Went(before.since, before.given_up.map_version if before.given_up else None)
                removed.apply(self._disk, others, path, went, self.of_versions, of_others)
            removed.carry(self._disk, others, path)
        since = before.since if before is not None and not before.is_drained else 0
        came = self._record.generation + 1
        self._change(self._record.with_member(path, Member(label=label, since=since, came=came)))

    def _retire(self, path: str, state: State) -> None:
        """Take a mountpath out of use at once, with what it has."""
        self._require_others(path)
        before = self._record.mountpaths[path]
        since = self._record.generation if before.state in IN_USE else before.since
        member = Member(state, before.label, since, before.is_drained, given_up=before.given_up)
        if state is State.DETACHED and not (member.is_drained or member.given_up):
            member = self._given_up_now(member)
        self._change(self._record.with_member(path, member))
        if path in self._mountpaths:
            self._mountpaths[path].retire()

    def _given_up_now(self, member: Member) -> Member:
        return msgspec.structs.replace(member, given_up=GivenUp(self._now_s, self.map_version))

    @property
    def _now_s(self) -> int:
        return self._env.clock.now_ns() // 1_000_000_000

    def _require_others(self, path: str) -> None:
        """Raise `MountpathNotFound`, or `Conflict` when no other one would be left."""
        if self._state(path) not in KNOWN:
            raise MountpathNotFound(path)
        if self._record.paths(State.AVAILABLE) == [path]:
            raise Conflict(f"mountpath {path} is the last one available: attach or enable another first")

    def _stay(self, path: str) -> bool:
        """Go on using a mountpath that was to leave."""
        member = self._record.mountpaths[path]
        came = self._record.generation + 1
        stays = msgspec.structs.replace(member, state=State.AVAILABLE, came=came)
        self._change(self._record.with_member(path, stays))
        return True

    def _forget(self, path: str) -> None:
        """Remove our record from a mountpath that was detached."""
        with disk_failures(path), contextlib.suppress(FileNotFoundError):
            self._disk.unlink(f"{path}/{VMD}")

    def _change(self, changed: VolumeRecord) -> None:
        changed = msgspec.structs.replace(changed, generation=changed.generation + 1)
        with self.aside():
            with disk_failures("volume metadata"), contextlib.ExitStack() as entered:
                roots = {path: self._enter(entered, path, changed) for path in changed.paths(*KNOWN)}
                in_use = {path: root for path in changed.paths(*IN_USE) if (root := roots[path])}
                _mark(self._disk, in_use, self.node_id)
                record.save(self._disk, changed, [root for root in roots.values() if root])
            self.take(changed)

    def _enter(self, entered: contextlib.ExitStack, path: str, changed: VolumeRecord) -> str:
        """A path of a mountpath's own directory; empty when that is not there."""
        with contextlib.suppress(NotReady, FileNotFoundError, NotADirectoryError):
            if path in self._mountpaths:
                return entered.enter_context(self._mountpaths[path].entered())
            root = entered.enter_context(self._disk.entered(path))
            if changed.mountpaths[path].state is not State.DISABLED or is_marked(self._disk, root):
                return root
        return ""

    def _build_view(self) -> View:
        available = []
        for path in self._record.paths(*IN_USE):
            if path not in self._mountpaths:
                self._mountpaths[path] = self._begin(path)
            available.append(self._mountpaths[path])
        members = self._record.mountpaths.items()
        self._is_partial = any(
            one.may_return or (one.state is State.DISABLED and not one.is_drained) for _, one in members
        )
        hidden = [path for path, one in members if one.state is State.DISABLED and not one.is_drained]
        leaving = self._record.paths(*LEAVING)
        went = {path: one.since for path, one in members if one.since or path in hidden}
        came = [path for path, one in members if one.came]
        return View(tuple(available), self._record.is_unsettled, self._record.generation, hidden, leaving, went, came)

    def _begin(self, path: str) -> Mountpath:
        """Begin to use a mountpath, which carries the record."""
        label, threads = self._record.mountpaths[path].label, self.limits.threads_per_mountpath
        return Mountpath(path, label, self._env, threads, self.node_id, self._stripes)

    def _complete_buckets(self, new: set[str]) -> None:
        """Make the bucket directories on new mountpaths; where IDs differ only the cluster knows who is right."""
        self._bids = self.buckets()
        for bck, bid in self._bids.items():
            for mountpath in (one for one in self.view.available if one.path in new):
                with disk_failures(mountpath.path):
                    if layout.read_bid(self._disk, layout.bucket_path(mountpath.path, bck)) in (None, bid):
                        layout.create_bucket(self._disk, mountpath.path, bck, bid)


def _load_copies(disk: Disk, configured: Iterable[str]) -> dict[str, VolumeRecord | None]:
    """The records on the configured paths and on the paths those name, by path, without directories that are missing.

    A damaged copy is replaced in memory by an intact one that names its path. Raise `MountpathNotFound` for a
    configured path that is missing and not known as out of use, `CorruptMetadata` for damage without a replacement.
    """
    copies: dict[str, VolumeRecord | None] = {}
    damaged: dict[str, CorruptMetadata] = {}

    def load(paths: Iterable[str]) -> None:
        for path in paths:
            if os.path.isdir(path) and path not in copies and path not in damaged:
                try:
                    copies[path] = record.load_copy(disk, path)
                except CorruptMetadata as error:
                    damaged[path] = error

    load(configured)
    known = max((copy for copy in copies.values() if copy), key=lambda copy: copy.generation, default=None)
    if known is not None:
        load(known.paths(*IN_USE))
    for path, error in damaged.items():
        if known is None or path not in known.mountpaths:
            raise error
        copies[path] = known
    for path in configured:
        if path not in copies and (known is None or known.mountpaths.get(path, Member()).state in IN_USE):
            raise MountpathNotFound(path)
    return copies


def _agreed_node_id(copies: Mapping[str, VolumeRecord | None], node_id: str | None, rng: random.Random) -> str:
    if node_id:
        return node_id
    recorded = next((copy.node_id for copy in copies.values() if copy), None)
    return recorded or new_id(rng)


def _mark(disk: Disk, roots: Mapping[str, str], node_id: str) -> None:
    """Write the target's ID and its path on each mountpath, by path a path of its own directory; this also refuses a
    file system without extended attributes.
    """
    for path, root in roots.items():
        disk.setxattr(root, whole.NODE_XATTR, node_id.encode())
        disk.setxattr(root, whole.PATH_XATTR, path.encode())


def _require_in_place(disk: Disk, found: VolumeRecord, copies: Mapping[str, VolumeRecord | None]) -> None:
    """Raise `IntegrityError` when a mountpath's disk lies where another one was, or came back elsewhere.

    All may get other paths at once: their objects are looked for everywhere then.
    """
    known = max((copy for copy in copies.values() if copy), key=lambda copy: copy.generation, default=None)
    if known is None:
        return
    for path in found.paths(*IN_USE):
        place = whole.place_of(disk, path)
        if place not in ("", path):
            before = known.mountpaths.get(place, Member())
            is_out_of_use = before.state not in IN_USE and not before.is_drained
            if path in known.mountpaths or copies.get(place) is not None or is_out_of_use:
                raise whole.misplaced(path, place)
        if path not in known.mountpaths and copies.get(path) is None and _has_objects(disk, path):
            raise IntegrityError(
                f"{path} was no mountpath of target {found.node_id}, and has objects: nobody knows what of them was"
                " removed since. Mount the disk of a mountpath where it was before, or empty it"
            )


def _has_objects(disk: Disk, root: str) -> bool:
    with disk_failures(root):
        for _, path in layout.scan_buckets(disk, root):
            contents = (f"{path}/{one}" for one in (layout.OBJECTS, layout.VERSIONS, layout.SLICES))
            if any(layout.has_file(disk, one) for one in contents):
                return True
    return False


def _without_unwritable(disk: Disk, found: VolumeRecord) -> VolumeRecord:
    """The record in which mountpaths that cannot be written are disabled. Raise `DiskFailure` when none is left."""
    problem = ""
    for path in found.paths(*IN_USE):
        try:
            probe_writing(disk, path)
        except OSError as error:
            problem = (
                f"mountpath {path} cannot be written ({error.strerror}): mount it for writing and enable it again"
                " (`ais storage mountpath enable`)"
            )
            _log.error("mountpath disabled", reason=problem)
            found = found.with_member(path, Member(State.DISABLED, found.mountpaths[path].label, found.generation))
    if problem and not found.paths(State.AVAILABLE):
        raise DiskFailure(f"no mountpath is left to start with: {problem}")
    return found


def _vouch_for_all(_key: int) -> None:
    """A volume without a cluster owns everything."""
