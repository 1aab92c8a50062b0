"""Distributed sort on the wire (`wire.md` §13.2): the request, and what the parts of a job tell each other."""

from typing import Any

import msgspec

from ais.api.bucket import Bck
from ais.api.codec import U64

SORT = "/v1/sort"
DSORT = "/v1/dsort"
"""Between nodes: `<DSORT>/<job>/<what>`."""
KIND = "dsort"
ID_PREFIX = "srt-"

Key = str | int | float


class InputFormat(msgspec.Struct, frozen=True):
    """Which shards are read: a list, or a template (a text without a range is a prefix)."""

    template: str = ""
    names: list[str] | None = msgspec.field(name="objnames", default=None)


class Algorithm(msgspec.Struct, frozen=True):
    """How records are put in order. `extension`, `content_key_type`: of the file that holds the key of a record."""

    kind: str = ""
    decreasing: bool = False
    seed: str = ""
    extension: str = ""
    content_key_type: str = ""


class Overrides(msgspec.Struct, frozen=True):
    """Of the section `distributed_sort`, for one job; empty or 0: as configured."""

    duplicated_records: str = ""
    missing_shards: str = ""
    ekm_malformed_line: str = ""
    ekm_missing_key: str = ""
    default_max_mem_usage: str = ""
    dsorter_mem_threshold: str = ""
    compression: str = ""
    bundle_multiplier: int = msgspec.field(name="bundle_multiplier", default=0)
    burst_buffer: int = 0
    call_timeout: str | int = ""


class SortSpec(msgspec.Struct, frozen=True):
    """The body of POST `/v1/sort`. `extension` is what `input_extension` was called before."""

    input_bck: Bck | None = None
    input_format: InputFormat = InputFormat()
    output_format: str = ""
    output_shard_size: str = ""
    input_extension: str = ""
    output_extension: str = ""
    extension: str = ""
    description: str = ""
    output_bck: Bck | None = None
    algorithm: Algorithm = Algorithm()
    ekm_file: str = ""
    ekm_file_sep: str = ""
    max_mem_usage: str = ""
    extract_limit: int = msgspec.field(name="extract_concurrency_max_limit", default=0)
    create_limit: int = msgspec.field(name="create_concurrency_max_limit", default=0)
    dsorter_type: str = ""
    dry_run: bool = False
    config: Overrides = msgspec.field(name="Config", default=Overrides())


class SortTask(msgspec.Struct, frozen=True):
    """What every target is told: a checked request. `targets`: who takes part, by ID; the first leads.

    Sizes are bytes. `output_size` 0: as large as the output names need.
    """

    uuid: str
    source: Bck
    to: Bck
    targets: list[str]
    names: list[str] | None
    template: str
    input_extension: str
    output_format: str
    output_extension: str
    output_size: int
    algorithm: Algorithm
    description: str
    ekm_file: str
    ekm_separator: str
    memory_bytes: int
    extract_limit: int
    create_limit: int
    dry_run: bool
    duplicated_records: str
    missing_shards: str
    ekm_malformed_line: str
    ekm_missing_key: str
    timeout_s: float
    map_version: int = 0
    """Of the cluster map by which it was planned; 0: it is not known."""
    owners: tuple[tuple[str, ...], tuple[int, ...]] = ((), ())
    """The targets among which names are divided by that map, and their weights (`ais.reb.plan.Owners`)."""


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One file of a record: where its bytes lie, in the shard or in what was unpacked of it."""

    extension: str
    offset: int
    size: int
    is_unpacked: bool = False


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Files of one shard that have the same name up to the first dot. `position`: of the first of them."""

    key: Key
    shard: str
    position: int
    name: str
    parts: list[Part]
    source: int = 0
    """Number of the target that has it, in `SortTask.targets`."""

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(part.size for part in self.parts)


class Placed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record and the shard it goes to. `number` and `place` give the order of shards, and of records in one."""

    number: int
    place: int
    shard: str
    record: Record


class State(msgspec.Struct, frozen=True):
    """How far a target is: `extracted`, `created` say that it has done its part of that, `finished` that all have."""

    extracted: bool = False
    created: bool = False
    finished: bool = False
    size: int = 0
    """Bytes of all its records."""
    shards: list[str] = []
    """Once extracted, for the one who leads: what it read."""


class Wanted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Bytes that a target wants of another one's shard."""

    shard: str
    offset: int
    size: int
    is_unpacked: bool


class JobInfo(msgspec.Struct, frozen=True, omit_defaults=False):
    """A job on one target, or of the whole cluster. Durations are nanoseconds."""

    id: str
    src_bck: Bck = msgspec.field(name="src-bck")
    dst_bck: Bck = msgspec.field(name="dst-bck")
    started_time: str
    finish_time: str
    started_meta_sorting: int
    started_shard_creation: int
    finished_shard_creation: int
    objects: U64 = msgspec.field(name="loc-objs")
    bytes: U64 = msgspec.field(name="loc-bytes")
    metrics: dict[str, Any] = msgspec.field(name="Metrics")
    aborted: bool
    archived: bool
