"""Messages that name very many objects: work on them is done beside the event loop, for others to be served meanwhile.

A thread lets the loop go on every few milliseconds; what one call of C code does (decoding, encoding) it does not, and
that is some 50 ms for a million names.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ais.base.errors import TooLarge
from ais.config.limits import Limits

T = TypeVar("T")
V = TypeVar("V")
BYTES_MIN = 64 << 10
COUNT_MIN = 1000
"""Less takes no longer than going to a thread is worth."""


async def decoded(body: bytes, decode: Callable[[bytes], T]) -> T:
    """What `decode` makes of a body. Raise what it raises."""
    return decode(body) if len(body) < BYTES_MIN else await asyncio.to_thread(decode, body)


async def aside(count: int, work: Callable[[V], T], value: V) -> T:
    """What `work` makes of a value with so many names. Raise what it raises."""
    return work(value) if count < COUNT_MIN else await asyncio.to_thread(work, value)


def check_count(count: int, limits: Limits) -> None:
    """Raise `TooLarge` for more names than a list may have."""
    if count > limits.list_names:
        raise TooLarge(
            f"the list has {count} names, and limits.list_names permits {limits.list_names}: send several,"
            " or name them by a template or prefix"
        )
