"""Millions of names without holding them in memory: in a file that is mapped, so that all workers share its pages."""

import contextlib
import mmap
import os
import struct
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import xxhash

_MAGIC = b"aisnames"
_TAIL = struct.Struct("<QQ8s")  # count, fingerprint, magic
_BUFFERED = 1 << 16


class NameFile(Sequence[str]):
    """Names by number. It can be pickled on one machine; `fingerprint` tells it from other lists of names.

    Of the file: the names in UTF-8 one after the other, where each ends (64 bits), how many there are, the fingerprint.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open one that was written. Raise `ValueError` for what is none."""
        self.path = os.fspath(path)
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < _TAIL.size:
                raise ValueError(f"{self.path} is no list of names")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._count, self.fingerprint, magic = _TAIL.unpack_from(self._map, size - _TAIL.size)
        self._ends = size - _TAIL.size - 8 * self._count
        if magic != _MAGIC or self._ends < 0:
            raise ValueError(f"{self.path} is no list of names")

    @classmethod
    def write(cls, names: Iterable[str], path: str | os.PathLike[str] | None = None) -> "NameFile":
        """Write names as they come (a listing, a list) and open them; without a path for as long as this is used."""
        is_temporary = path is None
        if path is None:
            descriptor, path = tempfile.mkstemp(prefix="aisclient-", suffix=".names")
            os.close(descriptor)
        aside = f"{os.fspath(path)}.{os.getpid()}"
        hasher, end, count = xxhash.xxh64(), 0, 0
        try:
            with open(aside, "wb", _BUFFERED) as file, tempfile.TemporaryFile() as ends:
                kept = array("Q")
                for name in names:
                    data = name.encode()
                    end += len(data)
                    count += 1
                    file.write(data)
                    hasher.update(data + b"\0")
                    kept.append(end)
                    if len(kept) >= _BUFFERED:
                        ends.write(_little(kept))
                        kept = array("Q")
                ends.write(_little(kept))
                ends.seek(0)
                while piece := ends.read(1 << 20):
                    file.write(piece)
                file.write(_TAIL.pack(count, hasher.intdigest(), _MAGIC))
            os.replace(aside, path)
        except BaseException:
            for left in (aside, path if is_temporary else aside):
                with contextlib.suppress(OSError):
                    os.unlink(left)
            raise
        opened = cls(path)
        if is_temporary:
            weakref.finalize(opened, _remove, opened.path, os.getpid())
        return opened

    def __len__(self) -> int:
        return int(self._count)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._name(one) for one in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._name(index % self._count)

    def _name(self, index: int) -> str:
        start, end = (0, *struct.unpack_from("<Q", self._map, self._ends)) if not index else struct.unpack_from(
            "<QQ", self._map, self._ends + 8 * (index - 1)
        )  # fmt: skip
        return self._map[start:end].decode()

    def __iter__(self) -> Iterator[str]:
        return map(self._name, range(self._count))

    def __reduce__(self) -> tuple[type["NameFile"], tuple[str]]:
        return NameFile, (self.path,)


def _little(numbers: "array[int]") -> bytes:
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        numbers.byteswap()
    return numbers.tobytes()


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            os.unlink(path)
