"""Names of objects: those that PUTs make, and in which order those that exist are read."""

import random
import string
from collections.abc import Iterator

import xxhash

from ais_loader.arguments import Plan

_LETTERS = string.ascii_letters + string.digits
_RANDOM_LEN = 32
_SUBDIR_WIDTH = 5


def loader_prefix(plan: Plan) -> str:
    """What begins the names of this loader among several; empty: it is alone."""
    if plan.loader_count:
        return f"{int(plan.loader_id):x}"
    if plan.loader_bits:
        return f"{xxhash.xxh64_intdigest(plan.loader_id.encode()) & ((1 << plan.loader_bits) - 1):x}"
    return ""


class Names:
    """One process's names; `part` of `parts` makes those of different processes different."""

    def __init__(self, plan: Plan, rng: random.Random, existing: list[str], part: int, parts: int) -> None:
        self._plan = plan
        self._rng = rng
        self.known = existing[part::parts]
        """Names that can be read."""
        self._prefix = loader_prefix(plan) or ("" if plan.is_random_name else plan.loader_id)
        self._next, self._step = part, parts
        self._epoch: Iterator[str] | None = None
        self.epochs_begun = 0

    def new(self) -> str:
        """A name for a PUT."""
        if self._plan.is_random_name:
            name = "".join(self._rng.choices(_LETTERS, k=_RANDOM_LEN))
        else:
            name, self._next = f"{self._prefix}{self._next:x}", self._next + self._step
        if self._plan.subdirs:
            name = f"{self._rng.randrange(self._plan.subdirs):0{_SUBDIR_WIDTH}x}/{name}"
        return f"{self._plan.subdir}/{name}" if self._plan.subdir else name

    def known_one(self) -> str | None:
        """A name to read: any, or with epochs each once per epoch; None when there is none (left)."""
        if not self.known:
            return None
        if not self._plan.epochs:
            return self.known[self._rng.randrange(len(self.known))]
        if self._epoch is None:
            if self.epochs_begun == self._plan.epochs:
                return None
            self.epochs_begun += 1
            shuffled = list(self.known)
            self._rng.shuffle(shuffled)
            self._epoch = iter(shuffled)
        found = next(self._epoch, None)
        if found is None:
            self._epoch = None
            return self.known_one()
        return found
