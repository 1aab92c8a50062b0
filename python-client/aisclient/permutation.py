"""A shuffle of `range(n)` that needs no memory: position to index and back, by a key.

A balanced Feistel network over the smallest power of four that holds `n` numbers; what falls outside goes through it
again (cycle walking), on average less than four times. Equal seeds give equal orders, on every
machine and in every version.
"""

import xxhash

ROUNDS = 6
_MASK_64 = (1 << 64) - 1


class Permutation:
    """Of the numbers below `size`. A few integers whatever the size."""

    __slots__ = ("_half", "_keys", "_low", "size")

    def __init__(self, size: int, seed: int, epoch: int = 0) -> None:
        if size < 0:
            raise ValueError("a negative size")
        self.size = size
        self._half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
        self._low = (1 << self._half) - 1
        self._keys = [xxhash.xxh64_intdigest(f"aisclient {seed} {epoch} {number}".encode()) for number in range(ROUNDS)]

    def __getitem__(self, position: int) -> int:
        """The index at a position. Raise `IndexError` beyond the size."""
        if not 0 <= position < self.size:
            raise IndexError(position)
        half, low, keys = self._half, self._low, self._keys
        value = position
        while True:
            left, right = value >> half, value & low
            for key in keys:
                left, right = right, left ^ (_mix(right ^ key) & low)
            value = left << half | right
            if value < self.size:
                return value

    def position_of(self, index: int) -> int:
        """The position at which an index is: the inverse. Raise `IndexError` beyond the size."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        half, low = self._half, self._low
        value = index
        while True:
            left, right = value >> half, value & low
            for key in reversed(self._keys):
                left, right = right ^ (_mix(left ^ key) & low), left
            value = left << half | right
            if value < self.size:
                return value


def _mix(value: int) -> int:
    """64 bits that each depend on all of `value`."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK_64
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK_64
    return value ^ value >> 31
