"""Jobs on groups of objects (`wire.md` §9.3, §9.4): delete a list, a range, a prefix or all; copy them to a bucket."""

import msgspec

from ais.api import codec, pieces
from ais.api.blob import Parts
from ais.api.bucket import Bck

GROUPS = "/v1/groups"
"""Between nodes: start the job on a target."""
DELETE = "delete-listrange"
EVICT = "evict-listrange"
PREFETCH = "prefetch-listrange"
COPY = "copy-listrange"
COPY_BUCKET = "copy-bck"
INDEX = "index-shard"
RECHUNK = "rechunk"
KINDS = (DELETE, EVICT, PREFETCH, COPY, COPY_BUCKET, INDEX, RECHUNK)
WORKERS_DEFAULT, WORKERS_MAX = 4, 64


class DeleteMsg(msgspec.Struct, frozen=True):
    """The value of `delete-listrange`. Neither names nor template: every object of the bucket."""

    names: list[str] | None = msgspec.field(name="objnames", default=None)
    template: str = ""
    workers: int = msgspec.field(name="num-workers", default=0)
    continue_on_error: bool = msgspec.field(name="coer", default=False)
    not_recursive: bool = msgspec.field(name="non-recurs", default=False)


class PrefetchMsg(DeleteMsg, frozen=True):
    """The value of `prefetch-listrange`. `blob_*`: objects from that size on are fetched in parts."""

    latest: bool = msgspec.field(name="latest-ver", default=False)
    blob_threshold: int = msgspec.field(name="blob-threshold", default=0)
    blob_chunk_size: int = msgspec.field(name="blob-chunk-size", default=0)
    blob_workers: int = msgspec.field(name="blob-num-workers", default=0)


class IndexMsg(msgspec.Struct, frozen=True):
    """The value of `index-shard`. `skip_verify`: a shard that has an index has a good one."""

    prefix: str = ""
    workers: int = msgspec.field(name="num-workers", default=0)
    skip_verify: bool = msgspec.field(name="skip-verify", default=False)
    not_recursive: bool = msgspec.field(name="non-recurs", default=False)


class RechunkMsg(msgspec.Struct, frozen=True):
    """The value of `rechunk`: objects of `limit` bytes and more are read in chunks of `chunk_size`; 0: none is."""

    limit: int = msgspec.field(name="objsize-limit", default=0)
    chunk_size: int = msgspec.field(name="chunk-size", default=0)
    prefix: str = ""
    synchronize: bool = msgspec.field(name="sync-remote", default=False)


class CopyBucketMsg(msgspec.Struct, frozen=True):
    """The value of `copy-bck`. `extensions` maps old to new ones; `workers`: 0 for the default, -1 for one."""

    prefix: str = ""
    prepend: str = ""
    extensions: dict[str, str] | None = msgspec.field(name="ext", default=None)
    dry_run: bool = False
    force: bool = False
    latest: bool = msgspec.field(name="latest-ver", default=False)
    synchronize: bool = False
    workers: int = msgspec.field(name="num-workers", default=0)
    continue_on_error: bool = msgspec.field(name="coer", default=False)
    not_recursive: bool = msgspec.field(name="non-recurs", default=False)
    etl: str = msgspec.field(name="id", default="")
    pipeline: list[str] | None = None
    request_timeout: str = ""


class CopyMsg(CopyBucketMsg, frozen=True):
    """The value of `copy-listrange`: as `copy-bck`, for the objects named, to the bucket in the value."""

    to: Bck | None = msgspec.field(name="tobck", default=None)
    names: list[str] | None = msgspec.field(name="objnames", default=None)
    template: str = ""


class GroupTask(msgspec.Struct, frozen=True):
    """What every target is told; `template` may be a prefix."""

    uuid: str
    kind: str
    bck: Bck
    to: Bck | None = None
    names: list[str] | None = None
    template: str = ""
    prepend: str = ""
    extensions: dict[str, str] = {}
    dry_run: bool = False
    synchronize: bool = False
    workers: int = 0
    continue_on_error: bool = False
    not_recursive: bool = False
    started_ns: int = 0
    """When a target was told: one that was restarted does not delete what was written later."""
    latest: bool = False
    """Objects that are here already are compared with their backend."""
    only_here: bool = False
    """Of a remote bucket, only what is in the cluster."""
    skip_verify: bool = False
    """As `IndexMsg.skip_verify`."""
    chunked_from: int = 0
    chunk_size: int = 0
    """As `RechunkMsg.limit` and `chunk_size`."""
    blob_threshold: int = 0
    """Objects of at least so many bytes are fetched in `parts`; 0: none."""
    parts: Parts = Parts()
    map_version: int = 0
    """Of the cluster map by which it was planned; 0: it is not known."""
    owners: tuple[tuple[str, ...], tuple[int, ...]] = ((), ())
    """The targets among which names are divided by that map, and their weights (`ais.reb.plan.Owners`)."""
    of: tuple[str, ...] = ()
    """Which buckets had the names of `bck` and `to` when a target was told; empty: it is not known."""

    def to_json(self) -> bytes:
        """The body of the message; long lists in pieces."""
        if self.names is None:
            return codec.to_json(self)
        return pieces.encode(lambda names: codec.to_json(msgspec.structs.replace(self, names=names)), self.names)

    @property
    def workers_count(self) -> int:
        """How many objects are worked on at a time."""
        return 1 if self.workers < 0 else min(self.workers or WORKERS_DEFAULT, WORKERS_MAX)

    def new_name(self, name: str) -> str:
        """What the copy of an object is called."""
        stem, dot, extension = name.rpartition(".")
        if dot and extension in self.extensions and "/" not in extension:
            name = f"{stem}.{self.extensions[extension]}"
        return self.prepend + name
