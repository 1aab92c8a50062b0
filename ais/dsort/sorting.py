"""Sorting more than fits into memory: runs in files, merged. Blocks.

A file holds msgpack values one after the other, each behind its length (4 bytes, big-endian).
"""

import contextlib
import heapq
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from ais.base.errors import DiskFailure

T = TypeVar("T", bound=msgspec.Struct)
_LENGTH = struct.Struct(">I")
_BUFFER_BYTES = 256 << 10
_OVERHEAD_BYTES = 400
"""Of a value in memory, beyond its encoded length."""
RUNS_MAX = 64
"""More are merged before: each is an open file."""


def write(path: str, values: Iterable[T]) -> int:
    """Write a file; return how many values it has. It appears under its name when it is complete."""
    encode, count = msgspec.msgpack.Encoder().encode, 0
    with open(f"{path}.new", "wb", buffering=_BUFFER_BYTES) as file:
        for value in values:
            data = encode(value)
            file.write(_LENGTH.pack(len(data)))
            file.write(data)
            count += 1
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{path}.new", path)
    return count


def read(path: str, kind: type[T]) -> Iterator[T]:
    """The values of a file. Raise `DiskFailure` when it is cut short."""
    decode = msgspec.msgpack.Decoder(kind).decode
    with open(path, "rb", buffering=_BUFFER_BYTES) as file:
        while head := file.read(4):
            length = _LENGTH.unpack(head)[0] if len(head) == 4 else -1
            data = file.read(length) if length >= 0 else b""
            if len(data) != length:
                raise DiskFailure(f"{path} is cut short")
            yield decode(data)


class Sorter(Generic[T]):
    """Takes values in any order, gives them back sorted by `key`; spills to `path` with a number when it holds much."""

    def __init__(
        self, kind: type[T], key: Callable[[T], Any], path: str, memory_bytes: int, *, is_decreasing: bool = False
    ) -> None:
        self.spilled = 0
        """Values that went to disk."""
        self._kind, self._key, self._path = kind, key, path
        self._limit, self._is_decreasing = memory_bytes, is_decreasing
        self._held: list[T] = []
        self._held_bytes = 0
        self._runs: list[str] = []
        self._run_count = 0

    def add(self, value: T, size_bytes: int) -> None:
        """Take one; `size_bytes`: about what it would be on disk."""
        self._held.append(value)
        self._held_bytes += size_bytes + _OVERHEAD_BYTES
        if self._held_bytes >= self._limit:
            self._spill()

    def sorted(self) -> Iterator[T]:
        """All of them."""
        self._sort()
        return self._merged([read(run, self._kind) for run in self._runs] + [iter(self._held)])

    def close(self) -> None:
        """Remove what was spilled."""
        for run in self._runs:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(run)
        self._runs, self._held = [], []

    def _sort(self) -> None:
        self._held.sort(key=self._key, reverse=self._is_decreasing)

    def _spill(self) -> None:
        self._sort()
        self.spilled += len(self._held)
        self._new_run(self._held)
        self._held, self._held_bytes = [], 0
        if len(self._runs) >= RUNS_MAX:
            runs, self._runs = self._runs, []
            self._new_run(self._merged([read(run, self._kind) for run in runs]))
            for run in runs:
                os.unlink(run)

    def _new_run(self, values: Iterable[T]) -> None:
        self._run_count += 1
        run = f"{self._path}.{self._run_count}"
        write(run, values)
        self._runs.append(run)

    def _merged(self, parts: list[Iterator[T]]) -> Iterator[T]:
        return heapq.merge(*parts, key=self._key, reverse=self._is_decreasing)
