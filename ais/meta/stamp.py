"""The order of versions of cluster metadata: first the term, then the version number.

A term is the reign of one primary. Two primaries never share a term, so two different values never share a stamp, also
when a primary that was cut off wrote a version that nobody else took.
"""

from typing import NamedTuple


class Stamp(NamedTuple):
    """When a value was written; compares like a tuple."""

    term: int = 0
    version: int = 0

    def __str__(self) -> str:
        return f"v{self.version}@{self.term}"


NEVER = Stamp()
