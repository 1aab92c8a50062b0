"""What was found in one bucket, counted. Pure."""

import msgspec
import xxhash

from ais.core.meta import ObjectMeta

_DIGEST_BITS = 128
_DIGEST_MASK = (1 << _DIGEST_BITS) - 1
EXAMPLES_MAX = 10


class Tally(msgspec.Struct, kw_only=True):
    """Counts of one bucket, on one target or of several together.

    A copy is whatever the bucket promises of an object: the object itself, its copies on other mountpaths, its slices
    on other targets. `promised` of them there should be, `found` were there and good, at the end; `repaired` of these
    only after a repair. `lost` objects have nothing left that they could be read or made from. `damaged` files were
    there but not what was stored, `quarantined` of them kept aside. `misplaced` files lie where nobody looks for them.
    """

    objects: int = 0
    bytes: int = 0
    promised: int = 0
    found: int = 0
    repaired: int = 0
    lost: int = 0
    damaged: int = 0
    quarantined: int = 0
    misplaced: int = 0
    bytes_read: int = 0
    digest: str = ""
    """Of names, sizes, stamps and checksums of all objects, in any order: equal when nothing was changed."""
    examples: list[str] = []
    """Some names of what is not as it should be."""

    @property
    def missing(self) -> int:
        """Copies that are promised and not there."""
        return max(0, self.promised - self.found)

    @property
    def is_well(self) -> bool:
        """Whether everything is there, in its place."""
        return not (self.missing or self.lost or self.misplaced)

    def note(self, name: str) -> None:
        """Remember a name of what is not as it should be."""
        if len(self.examples) < EXAMPLES_MAX and name not in self.examples:
            self.examples = [*self.examples, name]

    def include(self, name: str, meta: ObjectMeta) -> None:
        """Add an object to the digest."""
        text = f"{name}\0{meta.size}\0{meta.checksum}\0{meta.stamp[0]}.{meta.stamp[1]}"
        added = int(self.digest or "0", 16) + xxhash.xxh3_128_intdigest(text.encode())
        self.digest = f"{added & _DIGEST_MASK:032x}"

    def add(self, other: "Tally") -> None:
        """Count what another target, or another part of the work, found too."""
        for field in _COUNTS:
            setattr(self, field, getattr(self, field) + getattr(other, field))
        if other.digest:
            self.digest = f"{int(self.digest or '0', 16) + int(other.digest, 16) & _DIGEST_MASK:032x}"
        for name in other.examples:
            self.note(name)


_COUNTS = tuple(name for name in Tally.__struct_fields__ if name not in ("digest", "examples"))
