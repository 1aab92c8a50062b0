"""What a PUT claims of a small body that is all here, the short way: headers of the same names claim the same.

`checksums` reads such headers for everybody else, and says what is wrong with what is not as it is claimed.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

from ais.net.http import Headers
from ais.s3 import checksums
from ais.s3.checksums import ALGORITHMS, Algorithm
from ais.s3.payload import DEFAULT

_MD5, _NAMED = "content-md5", "x-amz-sdk-checksum-algorithm"
_OF_HEADER = {one.header: one for one in ALGORITHMS.values()}
NAMES = frozenset((_MD5, _NAMED, *_OF_HEADER))
"""The headers that claim something."""


class Claims(NamedTuple):
    """What is claimed with headers of certain names."""

    algorithm: Algorithm
    """Of the checksum that is kept."""
    header: str
    """Of that checksum."""
    is_claimed: bool
    """Whether it is claimed, too."""
    has_md5: bool
    is_named: bool
    """Whether the algorithm is."""

    @classmethod
    def of(cls, names: Iterable[str]) -> Self | None:
        """By the names of all headers; None when they claim several checksums."""
        claimed = [_OF_HEADER[name] for name in names if name in _OF_HEADER]
        if len(claimed) > 1:
            return None
        algorithm = claimed[0] if claimed else DEFAULT
        return cls(algorithm, algorithm.header, bool(claimed), _MD5 in names, _NAMED in names)

    def are_true(self, headers: Headers, md5: bytes, value: str) -> bool:
        """Whether all that is claimed is so, of content that has this MD5, and `value` as its checksum.

        False: it is not, or is not spelled as usual, or the checksum that is named is another one.
        """
        if self.is_claimed and headers.get(self.header) != value:
            return False
        if self.has_md5 and headers.get(_MD5) != checksums.encode(md5):
            return False
        if not self.is_named:
            return True
        named = (headers.get(_NAMED) or "").upper()
        return named == self.algorithm.name if self.is_claimed else self.has_md5 and named in ALGORITHMS
