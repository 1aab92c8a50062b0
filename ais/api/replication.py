"""How far buckets are with their replication: `GET /v1/cluster?what=replication` (ours, not AIStore's)."""

from collections.abc import Iterable

import msgspec

REPLICAS = "/v1/replicas"
"""Of targets, for gateways and each other: what waits; `POST` of what came of versions (`ais.target.s3.replicas`)."""


class Behind(msgspec.Struct, frozen=True):
    """One destination, as one target sees it or all do. `why`: what it said when it last took nothing."""

    destination: str
    waiting: int = 0
    behind_s: float = 0.0
    why: str = ""

    def with_other(self, other: "Behind") -> "Behind":
        """Of two targets together."""
        waiting, behind_s = self.waiting + other.waiting, max(self.behind_s, other.behind_s)
        return Behind(self.destination, waiting, behind_s, self.why or other.why)


class ClusterReplication(msgspec.Struct, frozen=True):
    """All destinations by ARN. `missing`: names of targets that did not answer, whose changes are not counted."""

    destinations: list[Behind] = []
    missing: list[str] = []


def together(found: Iterable[Behind]) -> list[Behind]:
    """What several targets say, by destination."""
    merged: dict[str, Behind] = {}
    for one in found:
        before = merged.get(one.destination)
        merged[one.destination] = one if before is None else before.with_other(one)
    return [merged[arn] for arn in sorted(merged)]
