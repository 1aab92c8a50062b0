"""Waiting for steps of threads, which go on when whoever asked for them is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(
    step: Awaitable[T], undo: Callable[[T], object] | None = None, *, stop: Callable[[], object] | None = None
) -> T:
    """Wait for a thread's step; cancelled, however often, only when it is over.

    For what uses descriptors that are closed next: closed under it, their numbers are those of other files, and it
    would write into these. `stop` tells a long step that we are cancelled; `undo` takes back what it gave nevertheless.
    """
    running = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait((running,))
        except asyncio.CancelledError as error:
            cancelled = error
            if stop is not None:
                stop()
    if cancelled is None:
        return running.result()
    if not running.cancelled() and running.exception() is None and undo is not None:
        undo(running.result())
    raise cancelled
