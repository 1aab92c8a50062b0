"""Datasets for PyTorch (`pip install 'aisclient[torch]'`), as AIStore's SDK has them, and one that resumes exactly.

Sources are buckets, or pairs of a bucket and a prefix. Samples are `(name, content)` unless said otherwise.
"""

import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch.utils.data import Dataset, IterableDataset, get_worker_info

from aisclient.client import Bucket
from aisclient.namefile import NameFile
from aisclient.sampling import Epoch, Share

Source = Bucket | tuple[Bucket, str]
Sample = tuple[str, bytes]


def _pairs(sources: Source | Sequence[Source]) -> list[tuple[Bucket, str]]:
    if isinstance(sources, Bucket):
        return [(sources, "")]
    if isinstance(sources, tuple) and len(sources) == 2 and isinstance(sources[1], str):
        return [(sources[0], sources[1])]
    many: Any = sources
    return [one if isinstance(one, tuple) else (one, "") for one in many]


def _listed(pairs: Iterable[tuple[Bucket, str]]) -> Iterator[tuple[Bucket, str]]:
    for bucket, prefix in pairs:
        for entry in bucket.list_objects_iter(prefix, "name"):
            yield bucket, entry.name


class AISMapDataset(Dataset):
    """Samples by number; several asked for at once come by batch. The names are in a file, not in memory."""

    def __init__(self, sources: Source | Sequence[Source]) -> None:
        pairs = _pairs(sources)
        self._buckets = [bucket for bucket, _ in pairs]
        self.names = NameFile.write(
            f"{number}/{name}" for number, pair in enumerate(pairs) for _, name in _listed([pair])
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        bucket, name = self._place(index)
        return name, bucket.object(name).get()

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        places = [self._place(index) for index in indices]
        if len({id(bucket) for bucket, _ in places}) > 1 or len(places) < 2:
            return [(name, bucket.object(name).get()) for bucket, name in places]
        return [(name, data or b"") for name, data in places[0][0].get_many([name for _, name in places])]

    def _place(self, index: int) -> tuple[Bucket, str]:
        number, _, name = self.names[index].partition("/")
        return self._buckets[int(number)], name


class AISParallelMapDataset(AISMapDataset):
    """For large objects: each is read by several ranged reads at a time; content is a bytearray."""

    def __init__(self, sources: Source | Sequence[Source], *, num_workers: int = 4) -> None:
        super().__init__(sources)
        self.num_workers = num_workers

    def __getitem__(self, index: int) -> Any:
        bucket, name = self._place(index)
        return name, bucket.object(name).get_reader(num_workers=self.num_workers).read_all()

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        return [self[index] for index in indices]


class AISIterDataset(IterableDataset):
    """All objects, one after the other; each worker of a `DataLoader` takes its share."""

    def __init__(self, sources: Source | Sequence[Source]) -> None:
        self._pairs = _pairs(sources)

    def __iter__(self) -> Iterator[Sample]:
        for bucket, name in _shared(_listed(self._pairs)):
            yield name, bucket.object(name).get()


class AISBatchIterDataset(IterableDataset):
    """The same, read by batches ahead of whoever takes them: for small objects."""

    def __init__(self, sources: Source | Sequence[Source], *, ahead: int = 3) -> None:
        self._pairs, self._ahead = _pairs(sources), ahead

    def __iter__(self) -> Iterator[Sample]:
        for pair in self._pairs:
            names = (name for _, name in _shared(_listed([pair])))
            for name, data in pair[0].get_many(names, ahead=self._ahead):
                yield name, data or b""


class AISShardReader(IterableDataset):
    """Samples of tar shards: `(key, {extension: content})`, files of one base name together."""

    def __init__(self, sources: Source | Sequence[Source]) -> None:
        self._pairs = _pairs(sources)

    def __iter__(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        for bucket, name in _shared(_listed(self._pairs)):
            yield from samples_of(bucket.object(name).get_reader().as_file())


class ResumableDataset(IterableDataset):
    """An epoch of the names of a bucket, shuffled by a seed, split over ranks and workers, that resumes exactly.

    Samples are `(name, content)`, or what `transform(name, content)` makes of it. As torchdata's `StatefulDataLoader`
    wants it, each worker has `state_dict` and `load_state_dict`. To go on with other numbers of ranks or workers, or
    with PyTorch's own `DataLoader`, give what is left as `epoch`: `Epoch.resume(states)`, or `epoch.after(done)` with
    `done_after(batches, workers, batch_size)`.
    """

    def __init__(
        self,
        bucket: Bucket,
        names: NameFile | Sequence[str],
        epoch: Epoch,
        *,
        rank: int = 0,
        ranks: int = 1,
        transform: Callable[[str, bytes], Any] | None = None,
        ahead: int = 3,
    ) -> None:
        if len(names) != epoch.size:
            raise ValueError(f"an epoch of {epoch.size} indices for {len(names)} names")
        self._bucket, self._names, self.epoch = bucket, names, epoch
        self._rank, self._ranks, self._transform, self._ahead = rank, ranks, transform, ahead
        self._done = 0

    def __iter__(self) -> Iterator[Any]:
        share = self._my_share()
        share.done = self._done
        names = (self._names[index] for index in share)
        for name, data in self._bucket.get_many(names, ahead=self._ahead):
            self._done += 1
            yield self._transform(name, data or b"") if self._transform is not None else (name, data or b"")
        self._done = 0

    def state(self) -> bytes:
        """This worker's position: of the samples that were yielded, not those on their way."""
        return self._my_share().state(self._done)

    def state_dict(self) -> dict[str, Any]:
        """The same, for torchdata."""
        return {"state": self.state(), "done": self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the same worker of as many was. Raise `ValueError` for the state of another."""
        share = self._my_share()
        if share.state(state["done"]) != state["state"]:
            raise ValueError(
                "the state of another worker, number of workers, or epoch: use Epoch.resume with all states"
            )
        self._done = state["done"]

    def _my_share(self) -> Share:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        return self.epoch.share(self._rank * workers + worker, self._ranks * workers)


def samples_of(shard: Any) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Samples of a tar that is read from beginning to end; their files follow each other, as WebDataset has it."""
    key, sample = "", dict[str, bytes]()
    with tarfile.open(fileobj=shard, mode="r|*") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            directory, _, base = member.name.rpartition("/")
            stem, dot, extension = base.partition(".")
            if file is None or not dot:
                continue
            found = f"{directory}/{stem}" if directory else stem
            if found != key and sample:
                yield key, sample
                sample = {}
            key = found
            sample[extension] = file.read()
    if sample:
        yield key, sample


def _shared(places: Iterable[tuple[Bucket, str]]) -> Iterator[tuple[Bucket, str]]:
    info = get_worker_info()
    for number, place in enumerate(places):
        if info is None or number % info.num_workers == info.id:
            yield place


__all__ = [
    "AISBatchIterDataset", "AISIterDataset", "AISMapDataset", "AISParallelMapDataset", "AISShardReader",
    "ResumableDataset", "samples_of",
]  # fmt: skip
