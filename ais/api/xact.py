"""Xactions on the wire (`wire.md` §12.8): kinds, start and stop arguments, queries, snapshots, statuses."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.base.errors import BadRequest

MOVE_BUCKET = "move-bck"
SUMMARY_BUCKET = "summary-bck"
SUMMARY_SHARD = "summary-shard"
LIFECYCLE = "s3-lifecycle"
MAKE_COPIES = "make-n-copies"
PUT_COPIES = "put-copies"
EC_ENCODE = "ec-encode"
EC_GET = "ec-get"
EC_PUT = "ec-put"
EC_RESPOND = "ec-resp"
RESILVER = "resilver"
REBALANCE = "rebalance"
CLEANUP = "cleanup-store"
LRU = "lru"
LOAD_METADATA = "load-lom-cache"
SCRUB = "scrub"
REWRAP = "rewrap-keys"
REPLICATE = "replicate-existing"

NO_REPAIR, METADATA_ONLY, DRY_RUN, WITH_QUARANTINE = 1 << 16, 1 << 17, 1 << 18, 1 << 19
"""Bits of `ArgsMsg.flags` that are ours: a scrub that only looks, at metadata only; a cleanup that only counts, or
empties the quarantine too."""
ZERO_SIZE, KEEP_MISPLACED = 1 << 0, 1 << 3
"""AIStore's, of a cleanup: objects without content go too; misplaced ones stay."""

DISPLAY_NAME = {
    "election": "elect-primary",
    "rebalance": "rebalance",
    "etl-inline": "etl-inline",
    "lru": "lru-eviction",
    "cleanup-store": "cleanup",
    "summary-bck": "summary",
    "summary-shard": "shard-summary",
    "resilver": "resilver",
    "rechunk": "rechunk",
    "index-shard": "shard-index",
    "ec-get": "ec-get",
    "ec-put": "ec-put",
    "ec-resp": "ec-resp",
    "put-copies": "put-copies",
    "archive": "archive",
    "copy-listrange": "copy-objects",
    "etl-listrange": "etl-objects",
    "blob-download": "blob-download",
    "download": "download",
    "dsort": "dsort",
    "promote": "promote-files",
    "evict-listrange": "evict-objects",
    "evict-remote-bck": "evict-remote-bucket",
    "delete-listrange": "delete-objects",
    "prefetch-listrange": "prefetch-objects",
    "ec-encode": "ec-bucket",
    "make-n-copies": "mirror",
    "move-bck": "rename-bucket",
    "copy-bck": "copy-bucket",
    "etl-bck": "etl-bucket",
    "list": "list",
    "get-batch": "get-batch",
    "create-inventory": "create-inventory",
    LOAD_METADATA: "warm-up-metadata",
    LIFECYCLE: "lifecycle",
    SCRUB: "scrub",
    REWRAP: "rewrap-keys",
    REPLICATE: "replicate-existing",
}
"""Every kind AIStore has and four of ours, with the name the CLI shows; clients may send either."""

TRACKED = frozenset(DISPLAY_NAME) - {
    "election",
    "summary-bck",
    "summary-shard",
    "ec-get",
    "ec-put",
    "ec-resp",
    "put-copies",
    "archive",
    "copy-listrange",
    "etl-listrange",
    "blob-download",
    "dsort",
    "evict-remote-bck",
    "list",
    "get-batch",
}
"""Kinds of which the cluster as a whole has a status; whoever waits for another one looks at its snaps."""

IDLING = frozenset(
    (
        *("archive", "copy-listrange", "download", "ec-get", "ec-put", "ec-resp", "etl-listrange", "get-batch", "list"),
        "put-copies",
    )
)
"""Kinds that run on for a while at AIStore when their work is done: whoever waits for one looks whether it idles."""

_KIND_OF = {display: kind for kind, display in DISPLAY_NAME.items()} | {kind: kind for kind in DISPLAY_NAME}
ZERO_TIME = "0001-01-01T00:00:00Z"
_NO_BUCKET = Bck("", provider="")
_FRACTION = re.compile(r"\.(\d{1,9})")


def parse_kind(text: str) -> str:
    """The kind for a kind or display name; empty stays empty. Raise `BadRequest` for anything else."""
    if not text:
        return ""
    try:
        return _KIND_OF[text]
    except KeyError:
        raise BadRequest(f'invalid xaction kind "{text}" (expected one of {sorted(DISPLAY_NAME)})') from None


class ArgsMsg(msgspec.Struct, frozen=True):
    """The value of actions `start` and `stop`. `bck_to` (a bucket's uname) is ours, from primary to targets only."""

    id: str = ""
    kind: str = ""
    node: str = msgspec.field(default="", name="DaemonID")
    bck: Bck | None = None
    buckets: list[Bck] | None = None
    timeout: int = 0
    flags: int = 0
    force: bool = False
    only_running: bool = msgspec.field(default=False, name="OnlyRunning")
    bck_to: str = ""

    @property
    def all_buckets(self) -> list[Bck]:
        """The buckets named, either way."""
        return [one for one in (self.bck, *(self.buckets or ())) if one is not None and one.name]


class QueryMsg(msgspec.Struct, frozen=True):
    """The body of the status queries; `id` may be a comma-separated list."""

    show_active: bool | None = None
    bck: Bck | None = None
    id: str = ""
    kind: str = ""
    node: str = ""
    daemon_id: str = msgspec.field(default="", name="DaemonID")
    buckets: list[Bck] | None = None


class Stats(msgspec.Struct, frozen=True):
    """Progress of an xaction on one target: objects and bytes handled here, sent, received."""

    loc_objs: U64 = msgspec.field(default=U64(0), name="loc-objs")
    loc_bytes: U64 = msgspec.field(default=U64(0), name="loc-bytes")
    out_objs: U64 = msgspec.field(default=U64(0), name="out-objs")
    out_bytes: U64 = msgspec.field(default=U64(0), name="out-bytes")
    in_objs: U64 = msgspec.field(default=U64(0), name="in-objs")
    in_bytes: U64 = msgspec.field(default=U64(0), name="in-bytes")


class Progress(msgspec.Struct, frozen=True):
    """How far a running xaction is on one target: objects looked at (or bytes of one), of how many, how long.

    Ours; AIStore does not say it.
    """

    done: int
    total: int
    left_s: float | msgspec.UnsetType = msgspec.UNSET


class Snap(msgspec.Struct, frozen=True, kw_only=True):
    """An xaction as one target sees it. `ext`: what only its kind tells."""

    ext: dict[str, Any] | None = None
    start_time: str = msgspec.field(default=ZERO_TIME, name="start-time")
    end_time: str = msgspec.field(default=ZERO_TIME, name="end-time")
    bck: Bck = _NO_BUCKET
    src_bck: Bck = msgspec.field(default=_NO_BUCKET, name="src-bck")
    dst_bck: Bck = msgspec.field(default=_NO_BUCKET, name="dst-bck")
    id: str
    kind: str
    ctlmsg: str = ""
    abort_err: str = msgspec.field(default="", name="abort-err")
    err: str = ""
    packed: U64 = msgspec.field(default=U64(0), name="glob.id")
    stats: Stats = Stats()
    aborted: bool = False
    is_idle: bool = False
    progress: Progress | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.end_time != ZERO_TIME


class Status(msgspec.Struct, frozen=True):
    """An xaction of the whole cluster: `end_time` in ns since the epoch, 0 while it runs on any target."""

    kind: str
    uuid: str
    err: str = ""
    end_time: int = 0
    aborted: bool = False
    is_idle: bool | msgspec.UnsetType = msgspec.UNSET
    """Left out when it is not."""


def time_ns_of(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time with up to nine fractional digits; the zero time is 0."""
    if text in ("", ZERO_TIME):
        return 0
    fraction = _FRACTION.search(text)
    seconds = int(datetime.fromisoformat(_FRACTION.sub("", text)).timestamp())
    return seconds * 1_000_000_000 + (int(fraction.group(1).ljust(9, "0")) if fraction else 0)


def status_of(snaps: Iterable[Snap]) -> Status:
    """The cluster's view of one xaction from the snaps (at least one) of its targets."""
    parts = list(snaps)
    is_running = not all(part.is_finished for part in parts)
    return Status(
        kind=parts[0].kind,
        uuid=parts[0].id,
        err=next((part.err for part in parts if part.err), ""),
        end_time=0 if is_running else max(1, *(time_ns_of(part.end_time) for part in parts), 1),
        aborted=any(part.aborted for part in parts),
        is_idle=(is_running and all(part.is_idle or part.is_finished for part in parts)) or msgspec.UNSET,
    )
