"""Locks by name within one event loop, kept only while somebody holds or wants them."""

import asyncio


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
        self._known: dict[str, tuple[asyncio.Lock, int]] = {}

    async def acquire(self, name: str) -> Held:
        """Wait for the lock."""
        lock, wanted = self._known.get(name) or (asyncio.Lock(), 0)
        self._known[name] = lock, wanted + 1
        try:
            await lock.acquire()
        except BaseException:
            self._forget(name)
            raise
        return Held(self, name)

    def __contains__(self, name: str) -> bool:
        """Whether somebody holds or wants it."""
        return name in self._known

    def names(self) -> list[str]:
        """All that somebody holds or wants."""
        return list(self._known)

    def give_back(self, name: str) -> None:
        """What `Held.release` does."""
        self._known[name][0].release()
        self._forget(name)

    def _forget(self, name: str) -> None:
        lock, wanted = self._known[name]
        if wanted == 1:
            del self._known[name]
        else:
            self._known[name] = lock, wanted - 1
