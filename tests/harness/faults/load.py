"""Clients: each sends one request after the other, chosen by a seeded source."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from harness.faults.book import Book, Size
from harness.faults.buckets import Changing
from harness.faults.family import S3_ONLY
from harness.faults.gateway import Gateway
from harness.faults.objects import Objects
from harness.faults.schedule import PLAIN, VERSIONED
from harness.faults.versions import Versioned

PAUSE_S = 0.04

Request = Callable[[Any, random.Random, int], Awaitable[Any]]
Group = Objects | Versioned | Changing

READS: dict[type, dict[Request, int]] = {
    Objects: {
        Objects.get: 10,
        Objects.get_s3: 6,
        Objects.get_range: 3,
        Objects.head: 3,
        Objects.listing: 4,
        Objects.listing_s3: 4,
    },
    Versioned: {Versioned.get: 3, Versioned.get_version: 3, Versioned.listing: 2},
    Changing: {Changing.get: 3, Changing.head: 1},
}
CHANGES: dict[type, dict[Request, int]] = {
    Objects: {
        Objects.put: 10,
        Objects.put_s3: 6,
        Objects.delete: 4,
        Objects.delete_s3: 2,
        Objects.patch: 3,
        Objects.create_if_absent: 3,
        Objects.compare_and_swap: 4,
        Objects.copy: 3,
        Objects.rename: 3,
        Objects.append: 3,
        Objects.multipart: 4,
    },
    Versioned: {Versioned.put: 5, Versioned.delete: 2, Versioned.remove_version: 2},
    Changing: {
        Changing.put: 6,
        Changing.create: 3,
        Changing.destroy: 1,
        Changing.rename: 1,
        Changing.set_props: 1,
    },
}
S3_REQUESTS = frozenset(
    {
        Objects.get_s3,
        Objects.put_s3,
        Objects.delete_s3,
        Objects.create_if_absent,
        Objects.compare_and_swap,
        Objects.copy,
        Objects.multipart,
        Objects.listing,
        Objects.listing_s3,
    }
)
"""What can be asked for a name that only S3 has."""
SIZES: dict[Request, Size] = {
    Objects.listing: Size.LISTING,
    Objects.listing_s3: Size.LISTING,
    Versioned.listing: Size.LISTING,
    Objects.copy: Size.JOINING,
    Objects.rename: Size.JOINING,
    Objects.append: Size.JOINING,
    Changing.destroy: Size.JOINING,
    Changing.rename: Size.JOINING,
}
"""Any other is a read or a change of one name."""


class Load:
    """The families of names in a cluster, and the workers on them."""

    def __init__(self, book: Book, gateway: Gateway, seed: int, workers: int, rush: str = "") -> None:
        """`rush`: name of a change of objects that half of the workers make on a few names, to meet each other."""
        self._seed = seed
        self._rush: Request | None = getattr(Objects, rush) if rush else None
        self._book = book
        self._workers = workers
        self.groups: list[Group] = [
            *(Objects.new(book, gateway, PLAIN, f"f{number:02}/") for number in range(workers)),
            *(Versioned.new(book, gateway, VERSIONED, f"v{number:02}/") for number in range(workers // 2)),
            *(Changing.new(book, gateway, f"changing-{number}") for number in range(max(workers // 4, 1))),
        ]

    async def run(self, until: asyncio.Event) -> None:
        """Send requests until told to stop. Raise `Violation`."""
        async with asyncio.TaskGroup() as group:
            for worker in range(self._workers):
                rushes = self._rush is not None and worker % 2
                group.create_task(self._hurry(worker, until) if rushes else self._work(worker, until))

    async def _hurry(self, worker: int, until: asyncio.Event) -> None:
        """Create, change and remove the first names as fast as possible, next to others who do the same."""
        source, group = random.Random(f"worker {self._seed} {worker}"), self.groups[0]
        assert isinstance(group, Objects)
        assert self._rush
        while not until.is_set():
            request = source.choice((self._rush, self._rush, Objects.put, Objects.delete, Objects.get))
            if group.names.takes(SIZES.get(request, Size.CHANGE)):
                await request(group, source, source.randrange(2))
                self._book.count(f"rush.{request.__name__}")
            await asyncio.sleep(source.expovariate(1 / PAUSE_S) / 4)

    async def _work(self, worker: int, until: asyncio.Event) -> None:
        source = random.Random(f"worker {self._seed} {worker}")
        while not until.is_set():
            group, is_read = source.choice(self.groups), source.random() < 0.55
            key, pause_s = source.randrange(S3_ONLY + 1), source.expovariate(1 / PAUSE_S)
            kinds = (READS if is_read else CHANGES)[type(group)]
            request = source.choices(list(kinds), list(kinds.values()))[0]
            if isinstance(group, Objects) and key == S3_ONLY and request not in S3_REQUESTS:
                request = Objects.get_s3 if is_read else Objects.put_s3
            if isinstance(group, Versioned):
                key %= len(group.keys)
            if group.names.takes(SIZES.get(request, Size.READ if is_read else Size.CHANGE)):
                await request(group, source, key)
                self._book.count(f"{type(group).__name__}.{request.__name__}")
            await asyncio.sleep(pause_s)


def final_reads(groups: Iterable[Group], source: random.Random) -> Iterable[Callable[[], Awaitable[Any]]]:
    """Reads of everything; each says whether it was answered."""
    for group in groups:
        match group:
            case Objects():
                for key in range(S3_ONLY + 1):
                    if key != S3_ONLY:
                        yield lambda group=group, key=key: group.get(source, key)
                    yield lambda group=group, key=key: group.get_s3(source, key)
                yield lambda group=group: group.listing(source)
                yield lambda group=group: group.listing_s3(source)
            case Versioned():
                yield lambda group=group: group.listing(source)
                for key in range(len(group.keys)):
                    yield lambda group=group, key=key: group.get(source, key)
            case Changing():
                for key in (0, 2):
                    yield lambda group=group, key=key: group.head(source, key)
                for key in (0, 1, 2, 5):
                    yield lambda group=group, key=key: group.get(source, key)
