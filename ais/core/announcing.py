"""Changes that others are told of: noted under the lock of the object, before they are made.

So a process killed in between has noted a change that may not have happened, and never the other way round. Whoever
keeps the notes (`Announcer`) tells nobody before the change is settled, and forgets one that is retracted.
"""

from typing import NamedTuple, Protocol

from ais.api.bucket import Bck
from ais.core.meta import ObjectMeta


class Event(NamedTuple):
    """Why objects of a bucket are written or removed, and by whom: what `Announcer` is told of.

    `name` is empty when the way of writing has no name of its own. `address` is the client's, `request` the ID.
    `is_replica`: what is written came from another bucket, whose version it is.
    """

    name: str = ""
    user: str = ""
    address: str = ""
    request: str = ""
    is_replica: bool = False


class Note(Protocol):
    """A change that was noted. Called in any thread but the event loop's."""

    def settle(self) -> None:
        """It has happened."""
        ...

    def retract(self) -> None:
        """It has not happened."""
        ...


class Change(NamedTuple):
    """What is about to happen. `meta`: of what is written, or removed (None: it is damaged).

    `is_certain`: the state of the name does not tell afterwards whether it happened. `marker_id`: of the delete marker
    that is made. `is_update`: metadata changes, and nothing else.
    """

    bck: Bck
    name: str
    event: Event
    is_removal: bool
    meta: ObjectMeta | None
    stamp: tuple[int, int]
    is_certain: bool = False
    marker_id: str = ""
    is_update: bool = False


class Announcer(Protocol):
    """Called in any thread but the event loop's."""

    def note(self, mountpath: str, change: Change, *, fsync: bool) -> Note | None:
        """Keep a change; None when nobody wants to know. Raise `OSError`, `OutOfSpace` when there is no room."""
        ...

    def marked(self, bck: Bck, name: str, event: Event, meta: ObjectMeta, *, is_update: bool = False) -> ObjectMeta:
        """What is to be stored in the place of `meta`, for a change to be told of: with who is to have it."""
        ...


class Unannounced:
    """Nobody wants to know."""

    def note(self, mountpath: str, change: Change, *, fsync: bool) -> Note | None:
        """See `Announcer`."""

    def marked(self, bck: Bck, name: str, event: Event, meta: ObjectMeta, *, is_update: bool = False) -> ObjectMeta:
        """See `Announcer`."""
        return meta
