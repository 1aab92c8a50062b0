"""Work that goes on in threads of its own while a block runs."""

import threading
from collections.abc import Callable
from typing import Self


class Meanwhile:
    """A context: each piece of work runs in a thread, until it returns, as it must soon after `ended` is set."""

    def __init__(self, *work: Callable[[], object]) -> None:
        self.ended = threading.Event()
        self._threads = [threading.Thread(target=one) for one in work]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join()
