"""Bucket summaries (`wire.md` §9.1.3): request, result, and how results of several targets make one."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from ais.api.bucket import GLOBAL, Bck, Namespace
from ais.api.codec import U64

LISTER = "lister"
"""Query parameter between nodes: the target that counts what backends have, for all."""


class SummaryMsg(msgspec.Struct, frozen=True):
    """The value of action `summary-bck`; `uuid` is empty on the first call. `cached`: do not ask backends."""

    uuid: str = ""
    prefix: str = ""
    cached: bool = False
    present: bool = False
    dont_add_remote: bool = False


class ObjCount(msgspec.Struct, frozen=True):
    """How many objects."""

    obj_count_present: U64 = U64(0)
    obj_count_remote: U64 = U64(0)


class ObjSize(msgspec.Struct, frozen=True):
    """Sizes of present objects, bytes."""

    obj_min_size: int = 0
    obj_avg_size: int = 0
    obj_max_size: int = 0


class TotalSize(msgspec.Struct, frozen=True):
    """Sums, bytes; `total_disks_size` is the capacity of the mountpaths."""

    size_on_disk: U64 = U64(0)
    size_all_present_objs: U64 = U64(0)
    size_all_remote_objs: U64 = U64(0)
    total_disks_size: U64 = U64(0)


# A field named like its class hides the class from the field's own annotation.
_Count: TypeAlias = ObjCount
_Sizes: TypeAlias = ObjSize
_Totals: TypeAlias = TotalSize


class BsummResult(msgspec.Struct, frozen=True):
    """One bucket's summary, of one target or of all."""

    name: str
    provider: str
    namespace: Namespace = GLOBAL
    ObjCount: _Count = _Count()
    ObjSize: _Sizes = _Sizes()
    TotalSize: _Totals = _Totals()
    used_pct: int = 0
    is_present: bool = True

    @property
    def bck(self) -> Bck:
        """Whose it is."""
        return Bck(self.name, self.provider, self.namespace)


def merge(per_target: Iterable[Sequence[BsummResult]]) -> list[BsummResult]:
    """Each bucket once, targets' figures added up, sorted by provider, namespace, name."""
    by_bucket: dict[tuple[str, str, str, str], list[BsummResult]] = {}
    for results in per_target:
        for one in results:
            key = (one.provider, one.namespace.uuid, one.namespace.name, one.name)
            by_bucket.setdefault(key, []).append(one)
    return [_merge_one(by_bucket[key]) for key in sorted(by_bucket)]


def _merge_one(parts: list[BsummResult]) -> BsummResult:
    count = sum(part.ObjCount.obj_count_present for part in parts)
    size_present = sum(part.TotalSize.size_all_present_objs for part in parts)
    on_disk = sum(part.TotalSize.size_on_disk for part in parts)
    capacity = sum(part.TotalSize.total_disks_size for part in parts)
    filled = [part.ObjSize for part in parts if part.ObjCount.obj_count_present]
    return msgspec.structs.replace(
        parts[0],
        ObjCount=ObjCount(U64(count), U64(sum(part.ObjCount.obj_count_remote for part in parts))),
        ObjSize=ObjSize(
            min((sizes.obj_min_size for sizes in filled), default=0),
            size_present // count if count else 0,
            max((sizes.obj_max_size for sizes in filled), default=0),
        ),
        TotalSize=TotalSize(
            U64(on_disk),
            U64(size_present),
            U64(sum(part.TotalSize.size_all_remote_objs for part in parts)),
            U64(capacity),
        ),
        used_pct=on_disk * 100 // capacity if capacity else 0,
        is_present=any(part.is_present for part in parts),
    )
