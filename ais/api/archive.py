"""The `archive` action (`wire.md` §9.4): many objects made one shard."""

import msgspec

from ais.api.bucket import Bck

ARCHIVE = "/v1/archive"
"""Between nodes: start the job at the target that will own the shard."""
NO_BUCKET = Bck("")


class ArchiveMsg(msgspec.Struct, frozen=True):
    """The action's value. Objects are named by `names` or `template`; neither: the whole bucket."""

    archive: str = msgspec.field(name="archname", default="")
    to: Bck | None = msgspec.field(name="tobck", default=None)
    mime: str = ""
    names: list[str] | None = msgspec.field(name="objnames", default=None)
    template: str = ""
    with_bucket: bool = msgspec.field(name="isbn", default=False)
    append: bool = msgspec.field(name="aate", default=False)
    continue_on_error: bool = msgspec.field(name="coer", default=False)


class ArchiveTask(msgspec.Struct, frozen=True):
    """What the owner of the shard is told."""

    uuid: str
    source: Bck
    to: Bck
    message: ArchiveMsg
    before: tuple[int, int] | None = None
    """Stamp of what the shard's name had when the shard was complete; with `size`: only on the owner's disk."""
    size: int = -1
    """Of the complete shard, in bytes; -1: it was not complete yet."""
