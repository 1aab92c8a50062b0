"""Names whose files went from one mountpath to another lately.

A listing reads the same directory on one mountpath after the other. What goes from one that it has not read yet to one
that it has read already is in neither: such names are told here, before the file goes, and the listing adds them. In
the same way who brings everything to its place is told of what comes to lie elsewhere meanwhile.
"""

import itertools
import threading
from collections import deque

KEPT_MAX = 50_000


class MovedNames:
    """The last so many, with the paths of their buckets on any mountpath. `count`: how many there were so far.

    Any thread may call.
    """

    def __init__(self) -> None:
        self.count = 0
        self._names: deque[tuple[str, str]] = deque(maxlen=KEPT_MAX)
        self._guard = threading.Lock()

    def note(self, bucket: str, name: str) -> None:
        """A listing: the object is in its new place, and its file is about to be removed from the old one."""
        with self._guard:
            self._names.append((bucket, name))
            self.count += 1

    def since(self, count: int) -> tuple[int, list[tuple[str, str]] | None]:
        """The count now, and what was noted after `count`, the last first; None when that is not known any more."""
        with self._guard:
            missing = self.count - count
            if missing > len(self._names):
                return self.count, None
            return self.count, list(itertools.islice(reversed(self._names), missing))
