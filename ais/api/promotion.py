"""Promotion on the wire (`wire.md` §10): files on the targets' disks made objects."""

import msgspec

from ais.api.bucket import Bck

ACTION = KIND = "promote"
PROMOTIONS = "/v1/promotions"
"""Between nodes: `<PROMOTIONS>/<job>`; GET looks, PUT starts."""


class PromoteMsg(msgspec.Struct, frozen=True):
    """The value of the action. `not_shared`: targets see different files under this path, do not find out."""

    target_id: str = msgspec.field(name="tid", default="")
    source: str = msgspec.field(name="src", default="")
    name: str = msgspec.field(name="obj", default="")
    recursive: bool = msgspec.field(name="rcr", default=False)
    overwrite: bool = msgspec.field(name="ovw", default=False)
    delete: bool = msgspec.field(name="dls", default=False)
    not_shared: bool = msgspec.field(name="notshr", default=False)


class PromoteTask(msgspec.Struct, frozen=True):
    """What a target is told. `is_shared`: all targets see these files, each takes those whose names it owns.

    `waits`: the answer comes when it is done.
    """

    uuid: str
    bck: Bck
    source: str
    name: str = ""
    recursive: bool = False
    overwrite: bool = False
    delete: bool = False
    is_shared: bool = False
    waits: bool = False
    map_version: int = 0
    """Of the cluster map by which it was planned; 0: it is not known."""
    owners: tuple[tuple[str, ...], tuple[int, ...]] = ((), ())
    """The targets among which names are divided by that map, and their weights (`ais.reb.plan.Owners`)."""

    @property
    def description(self) -> str:
        """As AIStore tells it."""
        flags = {"recurs": self.recursive, "overwrite": self.overwrite, "delete-src": self.delete}
        said = "|".join(flag for flag, is_set in flags.items() if is_set)
        return f"src:{self.source}, dst:{self.name}" + (f", flags:{said}" if said else "")


class Found(msgspec.Struct, frozen=True):
    """What a target sees. `digest`: equal where names, sizes and times are."""

    is_directory: bool
    files: int
    digest: str
