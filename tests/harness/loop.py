"""The event loop of tests that serve in this process."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario on the loop that production uses.

    That of asyncio forgets a connection that it accepted when its server closes before it is taken, until the garbage
    collector warns of it in some other test.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario)
