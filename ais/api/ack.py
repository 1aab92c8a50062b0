"""What the answer to a write promises (docs/reliability.md): a property of buckets, a header or query of a request."""

import enum

from ais.base.errors import BadRequest

HEADER = "Ais-Ack"
QUERY = "ack"


class Ack(enum.StrEnum):
    """The levels. `SYNCED`: content, metadata and directory entries are on the disk; `ALL`: every copy and slice that
    the bucket promises is stored; `ALL_SYNCED`: and all of them are on their disks.
    """

    CACHED = "cached"
    SYNCED = "synced"
    ALL = "all"
    ALL_SYNCED = "all-synced"

    @property
    def is_synced(self) -> bool:
        """Whether a power loss takes nothing of it."""
        return self in (Ack.SYNCED, Ack.ALL_SYNCED)

    @property
    def is_all(self) -> bool:
        """Whether the loss of what took the write takes nothing of it."""
        return self in (Ack.ALL, Ack.ALL_SYNCED)

    @classmethod
    def of(cls, *, synced: bool, needs_all: bool) -> "Ack":
        """The level that promises this."""
        if synced:
            return cls.ALL_SYNCED if needs_all else cls.SYNCED
        return cls.ALL if needs_all else cls.CACHED

    @classmethod
    def parse(cls, text: str) -> "Ack":
        """Raise `BadRequest`."""
        try:
            return cls(text)
        except ValueError:
            raise BadRequest(f'invalid acknowledgement "{text:.40}": expected one of {", ".join(cls)}') from None


def check(level: Ack, *, is_mirrored: bool, is_coded: bool, keeps_versions: bool, cname: str) -> None:
    """Raise `BadRequest` when a bucket cannot give a level."""
    if not level.is_all:
        return
    if not (is_mirrored or is_coded):
        raise BadRequest(
            f'"{level}" waits for copies or slices, and {cname} has neither: set mirror or ec, or ask for less'
        )
    if is_mirrored and is_coded:
        raise BadRequest(f'"{level}" is for {cname} mirrored or erasure-coded, not for both at the same time')
    if is_coded and keeps_versions:
        raise BadRequest(
            f'"{level}" is not for {cname}, erasure-coded and with versions: their slices follow soon after'
        )
