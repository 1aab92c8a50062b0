"""Download jobs on the wire (`wire.md` §13.1): what is asked for, what is answered, and what targets are told."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.base import templates

DOWNLOAD = "/v1/download"
DOWNLOADS = "/v1/downloads"
"""Between nodes: `<DOWNLOADS>/<job>`."""
ONLY_ACTIVE = "only_active"
"""Query of GET there: only what is on its way."""
KIND = "download"
ID_PREFIX = "dnl-"
SINGLE, RANGE, MULTI, BACKEND = TYPES = ("single", "range", "multi", "backend")
RUNNING = "1970-01-01T00:00:00Z"
"""How the end of what has not ended is written here, and only here."""


class Limits(msgspec.Struct, frozen=True):
    """`connections`: of each target; `bytes_per_hour`: of all together. 0: no limit of the job's own."""

    connections: int = 0
    bytes_per_hour: int = 0


class DownloadMsg(msgspec.Struct, frozen=True):
    """The body of POST `/v1/download`, of every type."""

    type: str = ""
    description: str = ""
    bucket: Bck | None = None
    timeout: str = ""
    progress_interval: str = ""
    limits: Limits = Limits()
    headers: dict[str, str | list[str]] | None = None
    etl_name: str = ""
    etl_args: Any = None
    object_name: str = ""
    link: str = ""
    from_remote: bool = False
    template: str = ""
    subdir: str = ""
    objects: dict[str, str] | list[str] | None = None
    prefix: str = ""
    suffix: str = ""
    synchronize: bool = False


class DownloadQuery(msgspec.Struct, frozen=True):
    """The body of GET `/v1/download` and of its DELETEs."""

    id: str = ""
    regex: str = ""
    only_active: bool = msgspec.field(name="only_active_tasks", default=False)


class Started(msgspec.Struct, frozen=True):
    """The answer to POST."""

    id: str


class Wanted(NamedTuple):
    """One file of a job. `number` counts all files of the job, over all targets."""

    number: int
    name: str
    link: str


class DownloadTask(msgspec.Struct, frozen=True):
    """What every target is told: a checked request. Either `files` (name, link) or a template of links."""

    uuid: str
    bck: Bck
    description: str
    total: int
    timeout_s: float
    connections: int
    bytes_per_s: float
    """Of one target; 0: as fast as it goes."""
    headers: dict[str, str] = {}
    files: list[tuple[str, str]] | None = None
    template: str = ""
    subdir: str = ""
    map_version: int = 0
    """Of the cluster map by which it was planned; 0: it is not known."""
    owners: tuple[tuple[str, ...], tuple[int, ...]] = ((), ())
    """The targets among which names are divided by that map, and their weights (`ais.reb.plan.Owners`)."""

    def __iter__(self) -> Iterator[Wanted]:
        """Its files, in an order that is the same each time."""
        if self.files is not None:
            for number, (name, link) in enumerate(self.files):
                yield Wanted(number, name, link)
            return
        for number, link in enumerate(templates.parse(self.template)):
            yield Wanted(number, self.subdir + base_name(link), link)


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file as the status shows it. Times are RFC 3339."""

    name: str
    downloaded: U64
    total: U64 | msgspec.UnsetType = msgspec.UNSET
    start_time: str = ""
    end_time: str = ""


class FileError(msgspec.Struct, frozen=True):
    """Why one file was not downloaded."""

    name: str
    error: str


class JobInfo(msgspec.Struct, frozen=True):
    """A job, of one target or of all."""

    id: str
    xaction_id: str
    description: str
    started_time: str
    finished_time: str
    finished_cnt: int
    scheduled_cnt: int
    skipped_cnt: int
    error_cnt: int
    total: int
    all_dispatched: bool
    aborted: bool


class JobStatus(JobInfo, frozen=True, omit_defaults=True):
    """With its files."""

    current_tasks: list[File] = []
    finished_tasks: list[File] = []
    errors: list[FileError] = msgspec.field(name="download_errors", default=[])


class Files(msgspec.Struct, frozen=True):
    """The files of one target, as it tells a proxy."""

    current: list[File] = []
    finished: list[File] = []
    errors: list[FileError] = []


class Counts(msgspec.Struct, frozen=True):
    """How far a target is (`Snap.ext`). `of`: files of the whole job."""

    of: int = 0
    scheduled: int = 0
    finished: int = 0
    skipped: int = 0
    errors: int = 0
    all_dispatched: bool = False
    description: str = ""


def base_name(link: str) -> str:
    """The last part of a link's path, which names the object when nobody does; empty: there is none."""
    return unquote(urlsplit(link).path.rstrip("/").rpartition("/")[2])


def shown(link: str) -> str:
    """A link without what may be secret: its query and user."""
    parts = urlsplit(link)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
