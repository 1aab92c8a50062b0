"""Inventories: the names of a bucket at a backend as they once were, to list without asking it (`wire.md` §9)."""

import re
from typing import Any

import msgspec

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.listing import Flag, LsoMsg
from ais.base import names
from ais.base.errors import BadRequest

CREATE, SHOW, DESTROY = "create-inventory", "show-inventory", "destroy-inventory"
INVENTORIES = "/v1/inventories"
"""Between nodes: a target makes one, shows those it has, gives a page of one, removes one."""
BUCKET = Bck(".sys-inventory")
"""Each is an object in here, below the unique name of its bucket."""
ID_PREFIX = "inv-"
NAMES_PER_CHUNK, NAMES_PER_CHUNK_MIN, NAMES_PER_CHUNK_MAX = 20_000, 2, 640_000
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_NOT_WHEN_MADE = (
    Flag.CACHED
    | Flag.NOT_CACHED
    | Flag.MISSING
    | Flag.DELETED
    | Flag.ARCHIVE_DIRS
    | Flag.BUCKET_PRESENT
    | Flag.DONT_HEAD_REMOTE
    | Flag.DONT_ADD_REMOTE
    | Flag.ONLY_REMOTE_PROPS
    | Flag.NO_RECURSION
    | Flag.DIFF
    | Flag.IS_S3
    | Flag.INVENTORY
)


class CreateMsg(LsoMsg, frozen=True):
    """The value of `create-inventory`. Sizes, tags, versions and times are kept whatever `props` says."""

    name: str = ""
    names_per_chunk: int = 0
    force: bool = False


class InventoryTask(msgspec.Struct, frozen=True):
    """What a target is told: list `bck` (in the metadata by that name), and make the inventory `name` of it."""

    uuid: str
    bck: Bck
    name: str
    prefix: str
    names_per_chunk: int
    described: str

    @property
    def object_name(self) -> str:
        """In `BUCKET`."""
        return object_name(self.bck, self.name)


class Made(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of an inventory besides its content; times in Unix nanoseconds."""

    prefix: str = ""
    started: int = 0
    finished: int = 0
    ntotal: int = 0
    smap_ver: int = 0
    chunks: int = 0
    nat: int = 0
    """How many targets there were."""


class Info(msgspec.Struct, frozen=True):
    """An inventory as targets tell of it."""

    obj_name: str
    name: str
    size: int
    made: Made
    is_current: bool = True
    """Else it is of a bucket that had the name before, or was linked to something else."""


class Shown(Made, frozen=True, kw_only=True, omit_defaults=True):
    """An inventory as clients see it."""

    bucket: str
    name: str
    obj_name: str
    size: int

    @classmethod
    def of(cls, info: Info) -> "Shown":
        """With the name of its bucket."""
        bucket = Bck.parse_uname(info.obj_name)[0].cname()
        return cls(
            bucket=bucket, name=info.name, obj_name=info.obj_name, size=info.size, **msgspec.structs.asdict(info.made)
        )


class Ask(msgspec.Struct, frozen=True):
    """Between nodes: inventories below a prefix of object names; one of them, and what part of it."""

    prefix: str = ""
    name: str = ""
    names_prefix: str = ""
    after: str = ""
    limit: int = 0
    delimiter: str = ""


def object_name(bck: Bck, name: str) -> str:
    """Of an inventory in `BUCKET`."""
    return f"{bck.uname}{name}"


def check_name(name: str) -> None:
    """Raise `BadRequest`."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f'invalid inventory name "{name[:80]}": expected up to 64 letters, digits, ".", "_" and "-", with a letter '
            "or digit at both ends"
        )


def task_of(uuid: str, bck: Bck, value: Any) -> InventoryTask:
    """What a client asks for, checked as AIStore does. Raise `BadRequest`."""
    message = codec.convert_strictly({} if value is None else value, CreateMsg)
    if message.continuation_token or message.start_after:
        raise BadRequest(f"invalid '{CREATE}': continuation_token and start_after are not supported")
    if unserved := Flag(message.flags & 0xFFFF) & _NOT_WHEN_MADE:
        raise BadRequest(f"invalid '{CREATE}': flags:{unserved.name}")
    count = message.names_per_chunk or NAMES_PER_CHUNK
    if not NAMES_PER_CHUNK_MIN <= count <= NAMES_PER_CHUNK_MAX:
        raise BadRequest(f"{CREATE}: names_per_chunk={count}: expected {NAMES_PER_CHUNK_MIN} to {NAMES_PER_CHUNK_MAX}")
    if message.name:
        check_name(message.name)
    prefix = message.prefix.rstrip("*")
    names.check_object_prefix(prefix)
    props = message.props or "name,size,cached"
    described = f"{bck.cname()}, {f'prefix:{prefix}, ' if prefix else ''}props:{props}, flags:no-dirs"
    return InventoryTask(uuid, bck, message.name or uuid, prefix, count, described)
