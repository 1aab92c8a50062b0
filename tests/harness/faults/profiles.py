"""What a run promises itself: how its buckets are protected, and which faults that must withstand."""

from dataclasses import dataclass, field
from typing import Any

from harness.faults.schedule import ALWAYS, Kind


@dataclass(frozen=True)
class Profile:
    """Properties of the buckets, and the faults within their policy."""

    kinds: tuple[Kind, ...]
    props: dict[str, Any] = field(default_factory=dict)
    lists_sizes: bool = True
    """See `Book.lists_sizes`."""


PROFILES = {
    "plain": Profile(ALWAYS),
    "mirror": Profile(
        (Kind.KILL, Kind.FREEZE, Kind.CUT_SWALLOW, Kind.DAMAGE),
        {
            "mirror": {"enabled": True, "copies": 2},
            "protection": {"sync_copies": True},
            "checksum": {"validate_warm_get": True},
        },
        lists_sizes=False,
    ),
    "slices": Profile(
        (Kind.KILL, Kind.FREEZE, Kind.CUT_SWALLOW),
        {
            "ec": {"enabled": True, "data_slices": 2, "parity_slices": 1, "objsize_limit": 1},
            "protection": {"slices_only": True, "ack": "all"},
        },
        lists_sizes=False,
    ),
}
"""By name. `mirror`: both copies of an object are there before its PUT is acknowledged, and one may be damaged.
`slices`: so are all three slices, and there is nothing else of it.
"""
