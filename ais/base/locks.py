"""Locks by name within one event loop, kept only while somebody holds or wants them."""

import asyncio

from ais.base.wanted import Wanted


class Held:
    """A lock that was acquired; `release` may be called more than once."""

    def __init__(self, locks: "NamedLocks", name: str) -> None:
        self._locks: NamedLocks | None = locks
        self._name = name

    def release(self) -> None:
        """Let the next one in."""
        locks, self._locks = self._locks, None
        if locks is not None:
            locks.give_back(self._name)


class NamedLocks:
    """One holder per name at a time; the others wait in their order."""

    def __init__(self) -> None:
        self._locks = Wanted(asyncio.Lock)

    async def acquire(self, name: str) -> Held:
        """Wait for the lock."""
        try:
            await self._locks.take(name).acquire()
        except BaseException:
            self._locks.forget(name)
            raise
        return Held(self, name)

    def __contains__(self, name: str) -> bool:
        """Whether somebody holds or wants it."""
        return name in self._locks

    def is_wanted(self, name: str) -> bool:
        """Whether somebody waits for it, besides who holds it."""
        return self._locks.count(name) > 1

    def names(self) -> list[str]:
        """All that somebody holds or wants."""
        return self._locks.names()

    def give_back(self, name: str) -> None:
        """What `Held.release` does."""
        self._locks.forget(name).release()
