"""What nodes say to each other about the cluster: msgpack bodies of the internal control plane (wire contract §12)."""

from enum import StrEnum

import msgspec

from ais.meta.smap import Snode
from ais.meta.stamp import NEVER, Stamp


class Part(StrEnum):
    """The kinds of cluster metadata; each has its own versions."""

    CONFIG = "config"
    BMD = "bmd"
    SECRET = "secret"  # noqa: S105 - a name
    """Before the keys: whoever has these can open them."""
    KEYS = "keys"
    SMAP = "smap"


class Stamps(msgspec.Struct, frozen=True):
    """The versions of all parts that a node has."""

    config: Stamp = NEVER
    bmd: Stamp = NEVER
    secret: Stamp = NEVER
    keys: Stamp = NEVER
    smap: Stamp = NEVER

    def of(self, part: Part) -> Stamp:
        """The version of one part."""
        found: Stamp = getattr(self, part.value)
        return found

    def newer_than(self, other: "Stamps") -> list[Part]:
        """The parts of which `self` has a newer version than `other`."""
        return [part for part in Part if self.of(part) > other.of(part)]


class Sealed(msgspec.Struct, frozen=True):
    """One version of one part, encoded."""

    part: Part
    stamp: Stamp
    body: bytes


class Sync(msgspec.Struct, frozen=True):
    """The primary's heartbeat, with the parts that the receiver lacks. The answer is a `SyncAnswer`.

    Whoever accepts it promises to vote for nobody else for `patience_s` seconds.
    """

    uuid: str
    to: str
    term: int
    primary: Snode
    stamps: Stamps
    patience_s: float
    parts: tuple[Sealed, ...] = ()
    committed: Stamp = NEVER
    """The newest cluster map that is known to be decided."""
    echo: float = 0.0
    """What the receiver's clock said (`SyncAnswer.clock`) in its last answer: this message was made after that."""
    echo_boot: str = ""
    """The process whose clock that was; empty: none answered yet."""
    now_ns: int = 0
    """What the sender's clock says (Unix nanoseconds)."""


class Heard(StrEnum):
    """How a `Sync` was taken."""

    OK = "ok"
    STALE = "stale"
    """The sender's term is over: it must step down."""
    WRONG_NODE = "wrong-node"
    """Somebody else listens at that address now."""
    FOREIGN = "foreign"
    """The receiver belongs to another cluster."""


class SyncAnswer(msgspec.Struct, frozen=True):
    """How a `Sync` was taken, and what the receiver has now."""

    heard: Heard
    stamps: Stamps
    term: int
    uuid: str
    clock: float = 0.0
    """Seconds of the answering process's own monotonic clock."""
    boot: str = ""
    """Identity of that process."""


class VoteRequest(msgspec.Struct, frozen=True):
    """A candidate asks for a vote in `term`. A `trial` asks whether it would be given, and changes nothing."""

    uuid: str
    term: int
    candidate: Snode
    stamps: Stamps
    trial: bool = False
    consent: str = ""
    """ID of the primary that hands over to the candidate, if it does."""


class VoteAnswer(msgspec.Struct, frozen=True):
    """A vote, or why not."""

    granted: bool
    reason: str
    term: int
    stamps: Stamps


class TakeOver(msgspec.Struct, frozen=True):
    """The primary asks a proxy to become primary in its place."""

    uuid: str
    to: str
    term: int
    primary_id: str


ASK_WHO = "?"


class JoinRequest(msgspec.Struct, frozen=True):
    """A node wants to be in the cluster (or is in it, and tells that it started again or moved)."""

    node: Snode
    uuid: str
    stamps: Stamps
    boot: str
    """Random identity of the process; tells two nodes with the same ID apart."""
    has_objects: bool = False
    """Whether it holds any."""
    is_leaving: bool = False
    """It was being decommissioned as far as it knows, and nobody has asked it to return."""
    is_invited: bool = False
    """An administrator has asked it to return."""
    to: str = ""
    """The process that is asked (`JoinAnswer.boot`), so that nobody sends the request on to another; `ASK_WHO` to be
    told which that is. Empty: of a node of an earlier version, which does not say."""


class JoinAnswer(msgspec.Struct, frozen=True):
    """The node is in the cluster: everything it needs has been sent to it. `is_self`: it asked itself."""

    uuid: str = ""
    is_self: bool = False
    boot: str = ""
    """Nothing happened: ask this process by its name (`JoinRequest.to`)."""


class LeaveRequest(msgspec.Struct, frozen=True):
    """A node says goodbye."""

    uuid: str
    node_id: str


class Identity(msgspec.Struct, frozen=True):
    """Who listens at an address."""

    id: str
    boot: str
    uuid: str


class Prepare(msgspec.Struct, frozen=True):
    """The primary asks a node to make ready for a bucket change, or (`abort`) to forget about it."""

    uuid: str
    term: int
    old: Stamp
    new: Sealed
    abort: bool = False
