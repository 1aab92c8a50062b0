"""Volume metadata (VMD): which mountpaths a target has, stored on every one of them; and the rules they must obey.

The record, once it exists, is the truth about the mountpaths; the configuration only adds paths it has never seen. A
mountpath detached at run time stays in the record as such, or the next start would attach it again.
"""

import enum
import os
from collections.abc import Iterable, Mapping

import msgspec

from ais.base.errors import BadRequest, CorruptMetadata, IntegrityError, MountpathNotFound
from ais.env.disk import Disk
from ais.meta import store


class State(enum.StrEnum):
    """What a target does with a mountpath."""

    AVAILABLE = "available"
    DISABLED = "disabled"
    DETACHED = "detached"
    DISABLING = "disabling"
    DETACHING = "detaching"
    """Nothing new goes there, and what is there goes to the others; then it is what it shall be."""


LEAVING = {State.DISABLING: State.DISABLED, State.DETACHING: State.DETACHED}
IN_USE = (State.AVAILABLE, *LEAVING)
KNOWN = (*IN_USE, State.DISABLED)


class GivenUp(msgspec.Struct, frozen=True):
    """When a mountpath went out of use with what it has, to be forgotten, in Unix time. `map_version`: of the cluster
    map then; what targets removed by a later one must not return. `is_void`: nor anything else any more.
    """

    at_s: int
    map_version: int
    is_void: bool = False


class Member(msgspec.Struct, frozen=True):
    """One mountpath in the record."""

    state: State = State.AVAILABLE
    label: str = ""
    since: int = 0
    """Generation of the record in which it went out of use; of one that has returned, until all is in its place."""
    is_drained: bool = False
    """Everything had left it by then."""
    came: int | msgspec.UnsetType = msgspec.UNSET
    """Generation of the record in which it came into use, until all is in its place."""
    given_up: GivenUp | msgspec.UnsetType = msgspec.UNSET
    """It was given up with what it has; before there was this, nobody noted when."""

    @property
    def is_void(self) -> bool:
        """Whether what it has may not return any more."""
        return isinstance(self.given_up, GivenUp) and self.given_up.is_void

    @property
    def may_return(self) -> bool:
        """Whether it was given up with what it has, which may come back."""
        is_given_up = self.state is State.DETACHED or (self.state is State.DISABLED and bool(self.given_up))
        return is_given_up and not (self.is_drained or self.is_void)


class VolumeRecord(msgspec.Struct, frozen=True):
    """The value on disk. `is_unsettled`: the set changed, objects may lie off the mountpath that placement says."""

    node_id: str
    mountpaths: dict[str, Member]
    generation: int = 0
    cluster_uuid: str = ""
    is_unsettled: bool = False

    def with_member(self, path: str, member: Member) -> "VolumeRecord":
        """The record after a change of one mountpath."""
        return msgspec.structs.replace(self, mountpaths={**self.mountpaths, path: member}, is_unsettled=True)

    def paths(self, *states: State) -> list[str]:
        """The mountpaths in one of the states, in the order they were added."""
        return [path for path, member in self.mountpaths.items() if member.state in states]


def load_copy(disk: Disk, path: str) -> VolumeRecord | None:
    """The record on one mountpath; None when there is none. Raise `CorruptMetadata`."""
    copies = store.load(disk, (path,), store.VMD)
    if not copies:
        return None
    try:
        return msgspec.json.decode(copies[0].payload, type=VolumeRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptMetadata(f"{path}/{store.VMD} cannot be decoded: {error}") from None


def save(disk: Disk, record: VolumeRecord, roots: Iterable[str]) -> None:
    """Write the record below these paths of mountpaths; durable on return. Raise `DiskFailure` if nowhere."""
    store.save(disk, tuple(roots), store.VMD, store.Record(record.generation, msgspec.json.encode(record)))


def clean_path(path: str) -> str:
    """The canonical spelling that placement hashes. Raise `BadRequest` unless it is absolute and not the root."""
    if not path.startswith("/") or "\0" in path:
        raise BadRequest(f'mountpath "{path}" is invalid: it must be an absolute path')
    clean = "/" + os.path.normpath(path).strip("/")
    if clean == "/":
        raise BadRequest('mountpath "/" is invalid: give a directory of its own')
    return clean


def check_directory(path: str) -> None:
    """Raise `MountpathNotFound` unless `path` is a directory."""
    if not os.path.isdir(path):
        raise MountpathNotFound(path)


def check_disjoint(path: str, others: Iterable[str]) -> None:
    """Raise `BadRequest` when `path` is one of `others`, lies inside one or contains one (symbolic links resolved)."""
    real = os.path.realpath(path)
    for other in others:
        other_real = os.path.realpath(other)
        if real == other_real:
            raise BadRequest(f"mountpath {path} is the same directory as mountpath {other}")
        if os.path.commonpath((real, other_real)) in (real, other_real):
            raise BadRequest(f"mountpath {path} and mountpath {other} are nested: one contains the other")


def check_owner(path: str, found: VolumeRecord | None, node_id: str, cluster_uuid: str = "") -> None:
    """Raise `IntegrityError` when the record on a mountpath is another node's or another cluster's."""
    if found is None:
        return
    if found.node_id != node_id:
        raise IntegrityError(
            f"mountpath {path} belongs to target {found.node_id}, this is {node_id}: give the right path, or empty it"
        )
    if cluster_uuid and found.cluster_uuid and found.cluster_uuid != cluster_uuid:
        raise IntegrityError(
            f"mountpath {path} belongs to cluster {found.cluster_uuid}, this target to {cluster_uuid}: empty it first"
        )


def resolve(configured: Mapping[str, str], copies: dict[str, VolumeRecord | None], node_id: str) -> VolumeRecord:
    """Decide the record to start with, from the configured paths (with labels) and the copies found there and beyond.

    `copies` has an entry for each directory that exists (None: no record on it). Pure. Raise `IntegrityError` for
    foreign copies and for a configured mountpath whose own copy is gone although others name it.
    """
    for path, copy in copies.items():
        check_owner(path, copy, node_id)
    known = max((copy for copy in copies.values() if copy), key=lambda copy: copy.generation, default=None)
    if known is None:
        return VolumeRecord(node_id, {path: Member(label=label) for path, label in configured.items()})
    for path in known.paths(*IN_USE):
        if copies.get(path) is not None:
            continue
        if path in configured:
            raise IntegrityError(
                f"mountpath {path} has lost its volume metadata: is its disk mounted? If the disk is gone for good, "
                f"take the path out of the configuration and start again"
            )
        known = known.with_member(path, Member(State.DISABLED, known.mountpaths[path].label, known.generation))
    for path, label in configured.items():
        if path not in known.mountpaths:
            known = known.with_member(path, Member(label=label, came=known.generation + 1))
    return known
