"""An epoch over any list: shuffled by a seed, split over workers, stopped anywhere and resumed exactly, by any
number of workers.

    epoch = Epoch(len(names), seed=7)
    share = epoch.share(worker, workers)          # in each worker
    for index in share: ...                       # names[index]
    share.state()                                 # some 30 bytes; share.done tells how many indices were given

    epoch = Epoch.resume([every worker's state])  # what is left, for as many workers as there are now

The order is that of a keyed permutation: nothing here grows with the list. Worker w of W takes every W-th index from
the w-th on; what several workers left behind when they stopped is described by how many indices each had taken.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from aisclient.permutation import Permutation

_FORMAT = 1


class _Taken:
    """A sequence without what W workers took of it: worker w its w-th, (w+W)-th, ... elements, `counts[w]` of them."""

    __slots__ = ("_sorted", "_sums", "counts", "threshold", "total")

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = tuple(counts)
        self.total = sum(counts)
        self.threshold = max(counts) * len(counts) - self.total
        """How many elements are left before the place from which on nobody took anything."""
        self._sorted = sorted(counts)
        self._sums = [0]
        for count in self._sorted:
            self._sums.append(self._sums[-1] + count)

    def place_of(self, rank: int) -> int:
        """Where the element is, in the sequence, that has `rank` of those that are left before it."""
        if rank >= self.threshold:
            return rank + self.total
        low, high = self._sorted[0], self._sorted[-1]
        while high - low > 1:  # the last row before which at most `rank` are left
            middle = (low + high) // 2
            low, high = (middle, high) if self._left_before(middle) <= rank else (low, middle)
        rank -= self._left_before(low)
        for worker, count in enumerate(self.counts):
            if count <= low:
                if not rank:
                    return low * len(self.counts) + worker
                rank -= 1
        raise AssertionError("a row has as many left as were counted")

    def _left_before(self, row: int) -> int:
        behind = bisect_right(self._sorted, row)
        return row * behind - self._sums[behind]


class _State(msgspec.Struct, frozen=True, array_like=True):
    format: int
    size: int
    seed: int
    epoch: int
    fingerprint: int
    skip: int
    taken: tuple[tuple[int, ...], ...]
    workers: int
    worker: int
    done: int


class Epoch:
    """What is to be given out: all of it, or what was left. `fingerprint` tells the list from others, if given."""

    def __init__(self, size: int, seed: int, epoch: int = 0, *, fingerprint: int = 0) -> None:
        self._set_up(size, seed, epoch, fingerprint, 0, ())

    def _set_up(
        self, size: int, seed: int, epoch: int, fingerprint: int, skip: int, taken: tuple[tuple[int, ...], ...]
    ) -> None:
        self.size, self.seed, self.epoch, self.fingerprint = size, seed, epoch, fingerprint
        self._order = Permutation(size, seed, epoch)
        self._skip, self._taken = skip, tuple(map(_Taken, taken))
        self.left = size - skip - sum(one.total for one in self._taken)
        """How many indices are left."""

    @classmethod
    def resume(cls, states: Sequence[bytes], *, fingerprint: int = 0) -> "Epoch":
        """What the workers left, who stopped with these states: of each exactly one.

        Raise `ValueError` for states that do not belong together, or to another list.
        """
        found = sorted((_decode(state) for state in states), key=lambda one: one.worker)
        if not found:
            raise ValueError("no states to resume from")
        first = found[0]
        alike = {(one.size, one.seed, one.epoch, one.fingerprint, one.skip, one.taken, one.workers) for one in found}
        if len(alike) > 1 or [one.worker for one in found] != list(range(first.workers)):
            raise ValueError(
                f"an epoch of {first.workers} workers is resumed from one state of each, all of the same run; given are"
                f" those of {[one.worker for one in found]}"
            )
        if fingerprint and first.fingerprint and fingerprint != first.fingerprint:
            raise ValueError("the names are not those that the state was saved with: list the same snapshot of them")
        skip, taken = _simplify(first.skip, first.taken, [one.done for one in found])
        return cls._of(first.size, first.seed, first.epoch, first.fingerprint or fingerprint, skip, taken)

    @classmethod
    def _of(
        cls, size: int, seed: int, epoch: int, fingerprint: int, skip: int, taken: tuple[tuple[int, ...], ...]
    ) -> "Epoch":
        one = cls.__new__(cls)
        one._set_up(size, seed, epoch, fingerprint, skip, taken)
        return one

    def after(self, done: Sequence[int]) -> "Epoch":
        """What is left when `len(done)` workers have taken so many each: for those who count on their own."""
        if any(count < 0 or count > self.share(worker, len(done)).size for worker, count in enumerate(done)):
            raise ValueError("more is done than there was")
        taken = tuple(one.counts for one in self._taken)
        return self._of(
            self.size, self.seed, self.epoch, self.fingerprint, *_simplify(self._skip, taken, list(done))
        )  # fmt: skip

    def next(self) -> "Epoch":
        """The one after it, whole, in another order."""
        return Epoch(self.size, self.seed, self.epoch + 1, fingerprint=self.fingerprint)

    def share(self, worker: int, workers: int) -> "Share":
        """What worker `worker` of `workers`, counted from 0, is to work on. Raise `ValueError`."""
        return Share(self, worker, workers)

    def index(self, rank: int) -> int:
        """The index that has `rank` others before it, of those that are left."""
        for one in reversed(self._taken):
            rank = one.place_of(rank)
        return self._order[self._skip + rank]

    def state(self, worker: int, workers: int, done: int) -> bytes:
        """See `Share.state`."""
        taken = tuple(one.counts for one in self._taken)
        return msgspec.msgpack.encode(
            _State(
                _FORMAT, self.size, self.seed, self.epoch, self.fingerprint, self._skip, taken, workers, worker, done
            )
        )


class Share:
    """One worker's part of an epoch: an iterator over indices."""

    def __init__(self, epoch: Epoch, worker: int, workers: int) -> None:
        if not 0 <= worker < workers:
            raise ValueError(f"worker {worker} of {workers}")
        self.epoch, self.worker, self.workers = epoch, worker, workers
        self.size = max(0, -(-(epoch.left - worker) // workers))
        self.done = 0
        """How many indices it gave."""

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.done >= self.size:
            raise StopIteration
        index = self.epoch.index(self.done * self.workers + self.worker)
        self.done += 1
        return index

    def state(self, done: int | None = None) -> bytes:
        """Where it is; `done` when what was given last is not done yet: how many are."""
        return self.epoch.state(self.worker, self.workers, self.done if done is None else done)


def done_after(batches: int, workers: int, batch_size: int) -> list[int]:
    """How many indices each worker of a PyTorch `DataLoader` has done when this many full batches came out of it."""
    return [-(-(batches - worker) // workers) * batch_size if batches > worker else 0 for worker in range(workers)]


def _decode(state: bytes) -> _State:
    try:
        found = msgspec.msgpack.decode(state, type=_State)
    except msgspec.DecodeError as error:
        raise ValueError(f"this is no state of an epoch: {error}") from None
    if found.format != _FORMAT:
        raise ValueError(f"a state of format {found.format}, this version reads {_FORMAT}")
    return found


def _simplify(
    skip: int, taken: tuple[tuple[int, ...], ...], done: list[int]
) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """`taken` and then `done` in the shortest form: once all that earlier workers left is done, a count."""
    workers, rows = len(done), min(done)
    settled = shift = 0  # from `settled` on, the sequence is the permutation's, `shift` further on
    for counts in taken:
        one = _Taken(counts)
        settled, shift = max(one.threshold, settled - one.total), shift + one.total
    prefix = rows * workers
    rest = [count - rows for count in done]
    ahead = sum(rest)
    if rest == [1] * ahead + [0] * (workers - ahead):  # all in step
        prefix, rest = prefix + ahead, []
    if prefix >= settled:
        skip, taken = skip + prefix + shift, ()
        return skip, (tuple(rest),) if any(rest) else ()
    return skip, (*taken, tuple(done)) if any(done) else taken
