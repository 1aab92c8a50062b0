"""Mountpaths that were given up with what they have and may return, between nodes.

While there are any, all targets note what they remove, and tell it when one returns.
"""

import enum

import msgspec

RETURNS = "/v1/returns"
"""PUT of `Told` to the primary by a target. At a target: GET of notes (`SINCE`), POST of notes to be kept."""
SINCE = "since"


class Told(enum.StrEnum):
    """What a target tells of its mountpaths."""

    GONE = "gone"
    """One is given up with what it has."""
    BACK = "back"
    """One returns: any name may be on it."""
    WHOLE = "whole"
    """None of them is away any more."""


class Message(msgspec.Struct, frozen=True):
    """The body of PUT."""

    told: Told


class Note(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that was removed (`ais.fs.removed`)."""

    uname: str
    path: str
    map_version: int
