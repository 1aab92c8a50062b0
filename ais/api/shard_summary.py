"""Summaries of shards (`summary-shard`): how many there are in a bucket, and how many have an index that holds."""

from collections.abc import Iterable, Sequence

import msgspec

from ais.api.codec import U64


class ShardSummaryMsg(msgspec.Struct, frozen=True):
    """The action's value; `uuid` is empty on the first call."""

    uuid: str = ""
    prefix: str = ""


class ShardSummary(msgspec.Struct, frozen=True):
    """Of one target or of all. TAR: tar and zip, which are indexed; sizes in bytes. Shards: with a good index."""

    tar_objects: U64 = msgspec.field(name="tar-objs", default=U64(0))
    tar_size: U64 = msgspec.field(name="tar-size", default=U64(0))
    shards: U64 = U64(0)
    shard_size: U64 = msgspec.field(name="shard-size", default=U64(0))
    archived_objects: U64 = msgspec.field(name="archived-objs", default=U64(0))
    stale: U64 = msgspec.field(name="stale-indexes", default=U64(0))
    invalid: U64 = msgspec.field(name="invalid-indexes", default=U64(0))


def merge(per_target: Iterable[Sequence[ShardSummary]]) -> list[ShardSummary]:
    """The figures of all targets added up, as a list of one."""
    parts = [one for found in per_target for one in found]
    names = ShardSummary.__struct_fields__
    return [ShardSummary(**{name: U64(sum(getattr(part, name) for part in parts)) for name in names})]
