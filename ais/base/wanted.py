"""Things by name, each made for who wants it first, and kept only while somebody has or wants it."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Wanted(Generic[T]):
    """Of one event loop, or otherwise used by one at a time."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._known: dict[str, tuple[T, int]] = {}

    def take(self, name: str) -> T:
        """The one of a name; `forget` it once afterwards."""
        found, wanted = self._known.get(name) or (self._make(), 0)
        self._known[name] = found, wanted + 1
        return found

    def forget(self, name: str) -> T:
        """It is not wanted any more by one of those who took it."""
        found, wanted = self._known[name]
        if wanted == 1:
            del self._known[name]
        else:
            self._known[name] = found, wanted - 1
        return found

    def __contains__(self, name: str) -> bool:
        """Whether somebody has or wants it."""
        return name in self._known

    def count(self, name: str) -> int:
        """How many have or want it."""
        return self._known[name][1] if name in self._known else 0

    def names(self) -> list[str]:
        """All that somebody has or wants."""
        return list(self._known)
