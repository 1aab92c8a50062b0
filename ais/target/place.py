"""How far a job went through the names it works on: its target goes on behind it when it was restarted.

A place holds as long as the same targets own names and the target has the same mountpaths, none of whose objects are on
their way to another one; else the job begins anew. It is written down now and then, so what was done since is done once
more, and counted once more.
"""

import contextlib

import msgspec

from ais.base.errors import AisError
from ais.reb import plan
from ais.target.parts import Parts
from ais.xact.registry import Xaction

MARK_EVERY_S = 1.0
ERRORS_TOLD = 4
_COUNTERS = ("objects", "bytes", "objects_sent", "bytes_sent", "visited")


class Reached(msgspec.Struct):
    """What is written down.

    `round`: of the job's rounds, from 0; `count`: names of a list that were looked at; `after`: by path of a mountpath,
    or empty for a backend, the name that was the last one; `failures`: how many, of which the first are `errors`.
    """

    owners: plan.Owners
    mountpaths: list[str]
    round: int = 0
    count: int = 0
    after: dict[str, str] = {}
    failures: int = 0
    errors: list[str] = []
    counters: tuple[int, ...] = (0,) * len(_COUNTERS)
    generation: int = 0
    """Of the set of mountpaths: also after objects were brought to their places it is another one."""


class Place:
    """Of one job. `kept`: what an earlier life of the target wrote down, if anything."""

    def __init__(self, parts: Parts, xaction: Xaction, kept: bytes) -> None:
        self._registry, self._clock, self._xaction = parts.registry, parts.host.env.clock, xaction
        self._marked_s = self._clock.monotonic()
        view = parts.volume.view
        paths = [one.path for one in view.available]
        self.at = Reached(plan.owners(parts.host.smap), paths, generation=view.generation)
        with contextlib.suppress(msgspec.DecodeError):
            found = msgspec.msgpack.decode(kept, type=Reached)
            if _is_same(found, self.at) and not view.is_unsettled:
                self.at = found
                for name, count in zip(_COUNTERS, found.counters, strict=True):
                    setattr(xaction, name, count)

    def enter(self, number: int) -> bool:
        """Whether a round is still to be done; it begins, unless it is the one that was interrupted."""
        if number > self.at.round:
            self.at.round, self.at.count, self.at.after = number, 0, {}
        return number == self.at.round

    def fail(self, error: AisError) -> None:
        """Note what failed for one object."""
        self.at.failures += 1
        if len(self.at.errors) < ERRORS_TOLD:
            self.at.errors.append(str(error))

    @property
    def failure(self) -> str:
        """What to say of it in the end; empty when nothing failed."""
        told, more = "; ".join(self.at.errors), self.at.failures - len(self.at.errors)
        return f"{told} (and {more} more)" if more else told

    async def mark(self) -> None:
        """Write it down if that was not done for a while; a disk that fails makes it no failure of the job."""
        now_s = self._clock.monotonic()
        if now_s < self._marked_s + MARK_EVERY_S:
            return
        self._marked_s = now_s
        self.at.counters = tuple(getattr(self._xaction, name) for name in _COUNTERS)
        with contextlib.suppress(AisError):
            await self._registry.mark(self._xaction.uuid, msgspec.msgpack.encode(self.at))


def _is_same(found: Reached, now: Reached) -> bool:
    return (found.owners, found.mountpaths, found.generation) == (now.owners, now.mountpaths, now.generation)
