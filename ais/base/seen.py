"""What came lately: whether something is worth remembering is known when it comes a second time."""

from collections.abc import Hashable


class Seen:
    """Remembers up to `count_max` keys, then begins anew: what comes again only after more others counts as new."""

    __slots__ = ("_count_max", "_keys")

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._keys: set[Hashable] = set()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys

    def again(self, key: Hashable) -> bool:
        """Whether `key` came lately; it has now."""
        if key in self._keys:
            return True
        if len(self._keys) >= self._count_max:
            self._keys.clear()
        self._keys.add(key)
        return False
