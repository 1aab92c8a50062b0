"""A target that dies at a given instruction: from then on none of its changes reaches a disk or another target."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ais.base.errors import Unreachable
from ais.ec.peers import SlicePeers
from ais.env.disk import Disk
from harness.target import LiveTarget

_BY_PATH = ("rename", "unlink", "exchange", "mkdir", "rmdir", "link")
_BY_EITHER = ("setxattr", "ftruncate", "fsync", "utime", "write")


class Death:
    """Counts the changes that a target makes. `at`: it dies in the place of this one (from 1), None: it does not."""

    def __init__(self, target: LiveTarget, at: int | None) -> None:
        self.steps = 0
        self._target = target
        self._roots = tuple(f"{one.path}/" for one in target.volume.available)
        self._at = at

    @property
    def is_dead(self) -> bool:
        """Whether it came to that."""
        return self._at is not None and self.steps >= self._at

    def step(self, what: Any) -> None:
        """Before a change of a file, by path or descriptor. Raise `OSError` once the target is dead."""
        path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what)
        if path.startswith(self._roots):
            self.steps += 1
            if self.is_dead:
                raise OSError(5, "the target is dead", path)

    def call(self, peers: SlicePeers) -> None:
        """Before a request to another target."""
        if peers is self._target.target._ec._peers:
            self.steps += 1
            if self.is_dead:
                raise Unreachable("the target is dead")


@contextmanager
def dying(target: LiveTarget, at: int | None) -> Iterator[Death]:
    """Within the block the target may die."""
    death = Death(target, at)
    saved = {name: Disk.__dict__[name] for name in (*_BY_PATH, *_BY_EITHER)}
    called, sent = SlicePeers._call, SlicePeers.send

    def stepping(really: Any, is_method: bool) -> Any:
        def method(self: Disk, what: Any, *args: Any, **kwargs: Any) -> Any:
            death.step(what)
            return really(self, what, *args, **kwargs)

        def function(what: Any, *args: Any, **kwargs: Any) -> Any:
            death.step(what)
            return really(what, *args, **kwargs)

        return method if is_method else staticmethod(function)

    async def call(self: SlicePeers, *args: Any, **kwargs: Any) -> Any:
        death.call(self)
        return await called(self, *args, **kwargs)

    async def send(self: SlicePeers, *args: Any, **kwargs: Any) -> Any:
        death.call(self)
        return await sent(self, *args, **kwargs)

    try:
        for name, value in saved.items():
            is_method = not isinstance(value, staticmethod)
            setattr(Disk, name, stepping(value if is_method else value.__func__, is_method))
        SlicePeers._call, SlicePeers.send = call, send  # type: ignore[method-assign]
        yield death
    finally:
        for name, value in saved.items():
            setattr(Disk, name, value)
        SlicePeers._call, SlicePeers.send = called, sent  # type: ignore[method-assign]
