"""How a node is told to stop: by a signal, or by the end of its standard input."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from structlog.typing import FilteringBoundLogger

STDIN = 0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Sets an event at the first request; at the second signal the process ends at once."""

    def __init__(self, requested: asyncio.Event, log: FilteringBoundLogger) -> None:
        self._requested, self._log = requested, log
        self._signalled = False

    @contextlib.contextmanager
    def obeying_signals(self) -> Iterator[None]:
        """`SIGTERM` and `SIGINT` ask to stop."""
        loop = asyncio.get_running_loop()
        for one in SIGNALS:
            loop.add_signal_handler(one, self._on_signal, one)
        try:
            yield
        finally:
            for one in SIGNALS:
                loop.remove_signal_handler(one)

    @contextlib.contextmanager
    def obeying_stdin(self) -> Iterator[None]:
        """The end of standard input asks to stop; what comes before it is ignored."""
        loop = asyncio.get_running_loop()
        loop.add_reader(STDIN, self._on_input)
        try:
            yield
        finally:
            loop.remove_reader(STDIN)

    def _on_signal(self, which: signal.Signals) -> None:
        if self._signalled:
            sys.stderr.write(f"second {which.name}: ending at once\n")
            os._exit(128 + which)
        self._signalled = True
        self._log.info("stopping", signal=which.name)
        self._requested.set()

    def _on_input(self) -> None:
        if not os.read(STDIN, 4096):
            asyncio.get_running_loop().remove_reader(STDIN)
            self._log.info("stopping", reason="standard input was closed")
            self._requested.set()
