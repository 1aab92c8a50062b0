"""Range templates: one text that names many objects or files (wire contract §11.5).

`shard-{0001..0010..2}.tar` counts from 1 to 10 in steps of 2, padded to the width of the start; several ranges
multiply, the rightmost runs fastest. `shard-@100.tar` counts from 0 to 100. A text without a range is a prefix.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ais.base.errors import InvalidTemplate

LEN_MAX = 4096
RANGES_MAX = 8
NAMES_MAX = 10_000_000
_DIGITS_MAX = 18

_BRACES = re.compile(r"\{([^{}]*)\}")
_BOUNDS = re.compile(r"(\d+)\.\.(\d+)(?:\.\.(\d+))?")
_AT = re.compile(r"@(\d+)")


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from `start` to `end` (inclusive) in steps, written with at least `width` digits, then `gap`."""

    start: int
    end: int
    step: int
    width: int
    gap: str

    def __len__(self) -> int:
        return (self.end - self.start) // self.step + 1

    def __iter__(self) -> Iterator[str]:
        return (f"{number:0{self.width}d}{self.gap}" for number in range(self.start, self.end + 1, self.step))

    def ends(self, name: str, start: int) -> Iterator[int]:
        """Where it may end, with its gap, in a name in which it begins at `start`."""
        for stop in range(start + 1, min(start + _DIGITS_MAX, len(name)) + 1):
            digits = name[start:stop]
            if not (digits.isascii() and digits.isdigit()):
                return
            if self._has(digits) and name.startswith(self.gap, stop):
                yield stop + len(self.gap)

    def _has(self, digits: str) -> bool:
        """Whether `digits` is one of the numbers as this range writes them."""
        number = int(digits)
        is_ours = self.start <= number <= self.end and (number - self.start) % self.step == 0
        return is_ours and digits == f"{number:0{self.width}d}"


class Template:
    """A parsed template. Iterating generates the names one by one; `len` tells how many without generating them."""

    __slots__ = ("prefix", "ranges")

    def __init__(self, prefix: str, ranges: tuple[Range, ...]) -> None:
        self.prefix = prefix
        self.ranges = ranges

    @property
    def is_prefix(self) -> bool:
        """Whether there is no range in it, so that it stands for all names beginning with `prefix`."""
        return not self.ranges

    def __len__(self) -> int:
        return math.prod(len(one) for one in self.ranges)

    def __iter__(self) -> Iterator[str]:
        return (self.prefix + "".join(parts) for parts in _product(self.ranges))

    def matches(self, name: str) -> bool:
        """Whether `name` is one of the names (of a prefix: begins with it)."""
        if self.is_prefix or not name.startswith(self.prefix):
            return name.startswith(self.prefix)
        ends = {len(self.prefix)}
        for one in self.ranges:  # each place is looked at once, however many ways lead there
            ends = {end for start in ends for end in one.ends(name, start)}
        return len(name) in ends


def parse(text: str) -> Template:
    """Read a template; without a range it is a prefix, with or without a `*` at its end.

    Raise `InvalidTemplate` when it is malformed or names more than `NAMES_MAX`.
    """
    if len(text) > LEN_MAX:
        raise InvalidTemplate(f"template is longer than {LEN_MAX} characters")
    if "{" in text or "}" in text:
        prefix, ranges = _parse_braces(text)
    else:
        prefix, ranges = _parse_at(text)
    if len(ranges) > RANGES_MAX:
        raise InvalidTemplate(f'template "{text}" has {len(ranges)} ranges, at most {RANGES_MAX} are allowed')
    template = Template(prefix if ranges else prefix.removesuffix("*"), ranges)
    # len() cannot return more than sys.maxsize, so count without it.
    if (count := math.prod(len(one) for one in ranges)) > NAMES_MAX:
        raise InvalidTemplate(f'template "{text}" stands for {count} names, at most {NAMES_MAX} are allowed')
    return template


def has_range(text: str) -> bool:
    """Whether `text` was meant as a template rather than as a plain name: it contains `{...}`."""
    return _BRACES.search(text) is not None


def _parse_braces(text: str) -> tuple[str, tuple[Range, ...]]:
    prefix, *rest = _BRACES.split(text)
    inner, gaps = rest[::2], rest[1::2]
    if any("{" in part or "}" in part for part in (prefix, *gaps)):
        raise InvalidTemplate(f'template "{text}" has an unmatched brace')
    return prefix, tuple(_range(text, bounds, gap) for bounds, gap in zip(inner, gaps, strict=True))


def _range(text: str, bounds: str, gap: str) -> Range:
    found = _BOUNDS.fullmatch(bounds)
    if found is None or any(len(digits or "") > _DIGITS_MAX for digits in found.groups()):
        raise InvalidTemplate(
            f'invalid range "{{{bounds}}}" in template "{text}": write it like {{0..9}} or {{001..100..2}}'
        )
    start, end, step = int(found[1]), int(found[2]), int(found[3] or 1)
    if end < start or step == 0:
        raise InvalidTemplate(
            f'invalid range "{{{bounds}}}" in template "{text}": it must grow, in steps of at least 1'
        )
    return Range(start, end, step, len(found[1]), gap)


def _parse_at(text: str) -> tuple[str, tuple[Range, ...]]:
    prefix, *rest = _AT.split(text)
    if any(len(digits) > _DIGITS_MAX for digits in rest[::2]):
        raise InvalidTemplate(f'number too large in template "{text}"')
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return prefix, tuple(Range(0, int(end), 1, 1, gap) for end, gap in pairs)


def _product(ranges: tuple[Range, ...]) -> Iterator[tuple[str, ...]]:
    """Like `itertools.product`, which would hold every number of every range."""
    if not ranges:
        yield ()
        return
    for head in ranges[0]:
        for tail in _product(ranges[1:]):
            yield (head, *tail)
