"""What a cluster says about the protection of its data: `GET /v1/cluster?what=protection` (ours, not AIStore's)."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from ais.api.bucket import Bck


class State(StrEnum):
    """Of a bucket, from bad to good. `CHECKING`: something has changed and nobody has looked yet."""

    UNREACHABLE = "unreachable"
    SHORT = "short"
    CHECKING = "checking"
    OK = "ok"


_ORDER = list(State)


def worst(states: Iterable[State]) -> State:
    """The first of them in the order above; of none `OK`."""
    return min(states, key=_ORDER.index, default=State.OK)


class BucketProtection(msgspec.Struct, kw_only=True):
    """A bucket, on one target or all. Counts as in `ais.scrub.tally.Tally`.

    `pending`: objects written lately that wait for their copies or slices. `unreachable`: objects that only absent
    targets have, as of when they were last heard of. `as_of_ns`: when the oldest of the counts ended, 0: never.
    """

    bck: Bck
    state: State = State.CHECKING
    objects: int = 0
    bytes: int = 0
    promised: int = 0
    found: int = 0
    missing: int = 0
    lost: int = 0
    misplaced: int = 0
    pending: int = 0
    unreachable: int = 0
    is_coded: bool = False
    as_of_ns: int = 0
    reasons: list[str] = []
    """Why it may be short."""

    def add(self, other: "BucketProtection") -> None:
        """Count another target's part too."""
        for name in ("objects", "bytes", "promised", "found", "missing", "lost", "misplaced", "pending", "unreachable"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.state = worst((self.state, other.state))
        self.as_of_ns = min(self.as_of_ns, other.as_of_ns)
        self.reasons = list(dict.fromkeys([*self.reasons, *other.reasons]))


class TargetProtection(msgspec.Struct, kw_only=True):
    """What one target answers."""

    buckets: list[BucketProtection] = []
    reasons: list[str] = []
    """What is wrong or going on that concerns all buckets."""


class ClusterProtection(msgspec.Struct, kw_only=True):
    """The whole. `unreachable`: by ID of a target that cannot be asked, why, and what it holds as far as is known."""

    state: State
    buckets: list[BucketProtection] = []
    reasons: list[str] = []
    unreachable: dict[str, str] = {}
