"""Loose objects divided into samples, and samples into shards. Pure."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ais.base.errors import BadRequest
from ais_cli.selection import Selected

KEYS = ("base_file_name", "full_name", "collapse_all_dir")
REACTIONS = ("ignore", "warn", "abort", "exclude")
KeyOf = Callable[[str], str]


class Sample(NamedTuple):
    """Objects that stay together."""

    key: str
    objects: list[Selected]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(one.size for one in self.objects)


def split(name: str) -> tuple[str, str]:
    """A name up to the first dot of its last element, and the rest, as WebDataset divides them."""
    dot = name.find(".", name.rfind("/") + 1)
    return (name, "") if dot < 0 else (name[:dot], name[dot:])


def key_of(how: str) -> KeyOf:
    """What the objects of a sample have in common: one of `KEYS`, or the first group of a regular expression.

    A name that does not match is its own key. Raise `BadRequest`.
    """
    match how:
        case "base_file_name":
            return lambda name: split(name)[0].rpartition("/")[2]
        case "full_name":
            return lambda name: split(name)[0]
        case "collapse_all_dir":
            return lambda name: split(name)[0].replace("/", "")
    try:
        expression = re.compile(how)
    except re.error as error:
        raise BadRequest(f'"{how}" is none of {", ".join(KEYS)}, and no regular expression: {error}') from None
    if not expression.groups:
        raise BadRequest(f'the expression "{how}" needs a group, what is in it is the key: ".*/([^/]+)/[^/]+"')

    def first_group(name: str) -> str:
        found = expression.search(name)
        return found[1] or "" if found else name

    return first_group


def samples(objects: Iterable[Selected], key: KeyOf) -> list[Sample]:
    """All samples in the order of their first objects."""
    found: dict[str, list[Selected]] = {}
    for one in objects:
        found.setdefault(key(one.name), []).append(one)
    return [Sample(*pair) for pair in found.items()]


def in_order(found: Sequence[Sample], how: str) -> list[Sample]:
    """Sorted: `alpha:inc`, `alpha:dec`, `shuffle`, `shuffle:SEED`; empty: as they are. Raise `BadRequest`."""
    match how.partition(":"):
        case "", _, _:
            return list(found)
        case "alpha" | "alphanumeric", _, "" | "inc" | "dec" as direction:
            return sorted(found, key=lambda one: one.key, reverse=direction == "dec")
        case "shuffle", _, seed if not seed or seed.lstrip("-").isdecimal():
            shuffled = list(found)
            random.Random(int(seed) if seed else None).shuffle(shuffled)
            return shuffled
    raise BadRequest(f'no order "{how[:50]}": alpha:inc, alpha:dec, shuffle, or shuffle:NUMBER')


def complete(
    found: Iterable[Sample], extensions: Sequence[str], reaction: str, warn: Callable[[str], None]
) -> list[Sample]:
    """What is left when samples are to have these extensions; `exclude`: and no others. Raise `BadRequest`."""
    kept = []
    for sample in found:
        by_extension = {split(one.name)[1]: one for one in sample.objects}
        missing = [one for one in extensions if one not in by_extension]
        if missing and reaction in ("abort", "warn"):
            said = f'sample "{sample.key}" has no {", ".join(missing)}'
            if reaction == "abort":
                raise BadRequest(said)
            warn(said)
        if reaction != "exclude":
            kept.append(sample)
        elif not missing:
            kept.append(Sample(sample.key, [by_extension[one] for one in extensions]))
    return kept


def packed(found: Iterable[Sample], *, count: int = 0, size: int = 0) -> Iterator[list[Sample]]:
    """Samples of one shard after the other: so many, or until they have that many bytes."""
    shard: list[Sample] = []
    filled = 0
    for sample in found:
        shard.append(sample)
        filled += sample.size
        if len(shard) == count or (size and filled >= size):
            yield shard
            shard, filled = [], 0
    if shard:
        yield shard
