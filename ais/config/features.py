"""Feature flags: one bit each, named and ordered as AIStore does; the value travels as a decimal string."""

from collections.abc import Iterable

from ais.base.errors import BadRequest

NAMES = (
    "Enforce-IntraCluster-Access",
    "Skip-Loading-VersionChecksum-MD",
    "Do-not-Auto-Detect-FileShare",
    "S3-API-via-Root",
    "Fsync-PUT",
    "LZ4-Block-1MB",
    "LZ4-Frame-Checksum",
    "Do-not-Allow-Passing-FQN-to-ETL",
    "Ignore-LimitedCoexistence-Conflicts",
    "S3-Presigned-Request",
    "Do-not-Optimize-Listing-Virtual-Dirs",
    "Disable-Cold-GET",
    "Streaming-Cold-GET",
    "S3-Reverse-Proxy",
    "S3-Use-Path-Style",
    "Do-not-Delete-When-Rebalancing",
    "Do-not-Set-Control-Plane-ToS",
    "Trust-Crypto-Safe-Checksums",
    "S3-ListObjectVersions",
    "Enable-Detailed-Prom-Metrics",
    "Force-Container-CPU-Mem",
    "Resume-Interrupted-MPU",
    "Keep-Unknown-FQN",
    "Load-Balance-GET",
    "Count-Object-NotFound-Stats",
    "Enable-Go-Runtime-Metrics",
    "Dload-Allow-Private-Egress",
    "S3-Redirect-Rebuild",
)
BIT = {name: 1 << index for index, name in enumerate(NAMES)}
ALL = (1 << len(NAMES)) - 1

FSYNC_PUT = BIT["Fsync-PUT"]
PRIVATE_EGRESS = BIT["Dload-Allow-Private-Egress"]
DISABLE_COLD_GET, STREAMING_COLD_GET = BIT["Disable-Cold-GET"], BIT["Streaming-Cold-GET"]

BUCKET = frozenset(
    {
        "Skip-Loading-VersionChecksum-MD",
        "Fsync-PUT",
        "S3-Presigned-Request",
        "Disable-Cold-GET",
        "Streaming-Cold-GET",
        "S3-Use-Path-Style",
        "S3-ListObjectVersions",
        "Resume-Interrupted-MPU",
        "Count-Object-NotFound-Stats",
    }
)
"""Flags that a bucket may have for itself."""

ACTED_ON = frozenset({"Fsync-PUT", "Disable-Cold-GET", "Streaming-Cold-GET", "Dload-Allow-Private-Egress"})
"""Flags that change what we do; the others are kept for clients."""

_EXCLUSIVE = (("Disable-Cold-GET", "Streaming-Cold-GET"), ("S3-Reverse-Proxy", "S3-Redirect-Rebuild"))
_BY_LOWER = {name.lower(): bit for name, bit in BIT.items()}


def parse(text: str) -> int:
    """Flags from comma-separated names in any case, or a number; empty and `none` clear all. Raise `BadRequest`."""
    text = text.strip()
    flags = int(text) if text.isdecimal() and len(text) <= 20 else _from_names(text.split(","))
    check(flags)
    return flags


def check(flags: int, *, of_bucket: bool = False) -> None:
    """Raise `BadRequest` for unknown bits, flags that exclude each other, or (`of_bucket`) cluster-wide flags."""
    if flags & ~ALL:
        raise BadRequest(f"invalid feature flags {flags}: bits {hex(flags & ~ALL)} are unknown")
    for one, other in _EXCLUSIVE:
        if flags & BIT[one] and flags & BIT[other]:
            raise BadRequest(f"feature flags {one} and {other} exclude each other")
    if of_bucket and (wrong := [name for name in describe(flags) if name not in BUCKET]):
        raise BadRequest(f"feature flags {', '.join(wrong)} belong to the cluster, not to a bucket")


def describe(flags: int) -> list[str]:
    """The names of the flags that are set, in bit order."""
    return [name for name, bit in BIT.items() if flags & bit]


def _from_names(names: Iterable[str]) -> int:
    flags = 0
    for name in filter(None, (name.strip().lower() for name in names)):
        if name != "none" and name not in _BY_LOWER:
            raise BadRequest(f'unknown feature flag "{name}": must be one of {list(NAMES)}')
        flags |= _BY_LOWER.get(name, 0)
    return flags
