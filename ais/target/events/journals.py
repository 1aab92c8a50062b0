"""The journals of all mountpaths of a target."""

import threading
from collections import Counter

from ais.env.disk import Disk
from ais.target.events.journal import Journal


class Journals:
    """Its methods block and can be called in any thread."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._lock = threading.Lock()
        self._by_path: dict[str, Journal] = {}

    def get(self, path: str) -> Journal | None:
        """The journal of a mountpath, if it was read. Does not block."""
        return self._by_path.get(path)

    def all(self) -> list[Journal]:
        """Those that were read. Does not block."""
        return list(self._by_path.values())

    def of(self, path: str) -> Journal:
        """The journal of a mountpath in use, read from disk the first time."""
        found = self._by_path.get(path)
        if found is None or found.is_ended:
            with self._lock:
                found = self._by_path.get(path)
                if found is None or found.is_ended:
                    found = self._by_path[path] = Journal(self._disk, path)
        return found

    def waiting(self) -> Counter[str]:
        """How many events each receiver lacks. Does not block."""
        total: Counter[str] = Counter()
        for journal in self.all():
            total.update(journal.waiting)
        return total
