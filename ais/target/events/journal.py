"""The events of one mountpath, in the order in which they were noted: `.ais.events/<number of the first>`.

A file is a row of frames: length and CRC-32 (4 bytes each, big-endian), then msgpack `[kind, number, ...]`. `NOTE`
comes before its change is made, `RETRACT` when it was not made; `MARKER`, in journals of earlier versions, named the
delete marker that was made, as the note does now. A process never adds to a file of an earlier one, whose last frame
may be torn: that change had not been made.
`<receiver>.at` holds the number up to which a receiver has everything. What every receiver has is removed, a file at a
time.
"""

import contextlib
import os
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from ais.base.errors import OutOfSpace
from ais.env.disk import Disk
from ais.fs.layout import fsync_directory

DIRECTORY = ".ais.events"
SEGMENT_BYTES = 4 << 20
BYTES_MAX = 1 << 30
"""Of one mountpath. Then changes of buckets that have receivers are refused: none is left out."""
_HEAD = struct.Struct(">II")
NOTE, RETRACT, MARKER = 0, 1, 2
_POSITION = ".at"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One change. `receivers` by name, with the ID of the configuration that wants it for each. `is_update`: only
    metadata changed."""

    bucket: str
    bid: int
    key: str
    event: str
    receivers: dict[str, str]
    size: int
    etag: str
    version_id: str
    stamp: tuple[int, int]
    time_ns: int
    user: str = ""
    address: str = ""
    request: str = ""
    is_certain: bool = False
    is_update: bool = False


class Noted(NamedTuple):
    """An entry and its number. `is_old`: of an earlier process, which may have been killed before the change."""

    number: int
    entry: Entry
    is_old: bool


class Cursor(NamedTuple):
    """Where a reader goes on: in which file, at which byte, and up to which number it has everything."""

    segment: int
    offset: int
    number: int


_encode = msgspec.msgpack.Encoder().encode
_frame = msgspec.msgpack.Decoder(list[Any])


class Ended(Exception):
    """The mountpath of a journal is out of use: another one keeps what is noted."""


class Journal:
    """All methods block and can be called in any thread. They raise `OSError`."""

    def __init__(self, disk: Disk, mountpath: str) -> None:
        self._disk = disk
        self.root = f"{mountpath}/{DIRECTORY}"
        self._lock = threading.Lock()
        self._pending: dict[int, Iterable[str]] = {}
        self._positions: dict[str, int] = {}
        self._waiting: Counter[str] = Counter()
        self._retracted: set[int] = set()
        self._markers: dict[int, str] = {}
        self._segments = sorted(int(name) for name in self._names() if name.isdigit())
        self._bytes = sum(disk.stat(self._path(first)).st_size for first in self._segments)
        self._next = 1
        self._recall()
        self._first_own = self._next
        self._fd = -1
        self._size = 0
        self._is_ended = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return not self._segments

    @property
    def last(self) -> int:
        """The number of the latest entry."""
        return self._next - 1

    @property
    def is_busy(self) -> bool:
        """Whether a change is on its way that was noted here."""
        return bool(self._pending)

    @property
    def is_ended(self) -> bool:
        """Whether its mountpath is out of use, and takes no more notes."""
        return self._is_ended

    @property
    def waiting(self) -> Mapping[str, int]:
        """How many events each receiver lacks."""
        return self._waiting

    def note(self, entry: Entry, *, fsync: bool) -> int:
        """Keep an entry, which nobody reads before it is settled; its number. Raise `OutOfSpace`, `Ended`."""
        with self._lock:
            if self._is_ended:
                raise Ended
            if self._bytes > BYTES_MAX:
                raise OutOfSpace(
                    f"{self._bytes} bytes of events wait for their receivers on {self.root}, more than are kept: bring"
                    " the receivers back, or take the notification configuration away"
                )
            number, self._next = self._next, self._next + 1
            try:
                self._add(number, [NOTE, number, entry], fsync=fsync)
            except OSError:
                self._retracted.add(number)  # it may be in the file all the same, and its change is refused
                raise
            self._pending[number] = tuple(entry.receivers)
            self._waiting.update(entry.receivers.keys())
            return number

    def settle(self, number: int) -> None:
        """It has happened."""
        with self._lock:
            self._pending.pop(number, None)

    def retract(self, number: int) -> None:
        """It has not happened."""
        with self._lock:
            self._retracted.add(number)
            with contextlib.suppress(OSError):
                self._add(self._next, [RETRACT, number], fsync=False)
            self._waiting.subtract(self._pending.pop(number, ()))

    def read(self, cursor: Cursor, limit: int) -> tuple[list[Noted], Cursor]:
        """The next entries that are settled, and where to go on behind them."""
        found: list[Noted] = []
        with self._lock:
            end = min(self._pending, default=self._next)
            segments = [first for first in self._segments if first >= cursor.segment]
        for first in segments:
            offset = cursor.offset if first == cursor.segment else 0
            for position, kind, number, rest in self._frames(first, offset):
                if kind == NOTE and number >= end:
                    return found, Cursor(first, offset, cursor.number)
                if kind == NOTE and number > cursor.number:
                    if number not in self._retracted:
                        found.append(Noted(number, self._entry(number, rest), number < self._first_own))
                    cursor = Cursor(first, position, number)
                offset = position
                if len(found) >= limit:
                    return found, Cursor(first, offset, cursor.number)
            cursor = Cursor(first, offset, cursor.number)
        return found, cursor

    def position(self, receiver: str) -> Cursor:
        """Where a receiver goes on."""
        with self._lock:
            number = self._position(receiver)
            before = [first for first in self._segments if first <= number + 1]
            return Cursor(before[-1] if before else 0, 0, number)

    def advance(self, receiver: str, number: int, count: int) -> None:
        """A receiver has everything up to a number: so many events more."""
        path = f"{self.root}/{receiver}{_POSITION}"
        with self._lock:
            self._waiting[receiver] -= count
            self._positions[receiver] = number
            with open(f"{path}.new", "w") as file:
                file.write(f"{number}\n")
            self._disk.rename(f"{path}.new", path)

    def trim(self, number: int) -> None:
        """Remove files of which everybody has everything, up to this number."""
        with self._lock:
            while len(self._segments) > 1 and self._segments[1] <= number + 1:
                self._remove(self._segments.pop(0))
            is_done = self._segments and self._next <= number + 1 and not self._pending
            if is_done and self._fd < 0:
                self._remove(self._segments.pop(0))
            elif is_done and self._size > SEGMENT_BYTES // 2:
                self._close()
            oldest = self._segments[0] if self._segments else self._next
            self._retracted = {one for one in self._retracted if one >= oldest}
            self._markers = {one: marker for one, marker in self._markers.items() if one >= oldest}

    def sync(self) -> None:
        """Make durable what was noted."""
        with self._lock:
            if self._fd >= 0:
                self._disk.fsync(self._fd)

    def end(self) -> bool:
        """Take no more notes, unless a change is on its way that was noted here; whether that is so."""
        with self._lock:
            self._is_ended = not self._pending
            return self._is_ended

    def remove(self) -> None:
        """Remove all files, of which everybody has everything or others keep it."""
        with self._lock:
            self._close()
            self._segments.clear()
            self._waiting.clear()
            for name in self._names():
                self._disk.unlink(f"{self.root}/{name}")
            with contextlib.suppress(FileNotFoundError):
                self._disk.rmdir(self.root)

    def close(self) -> None:
        """Close the file that is written."""
        with self._lock:
            self._close()

    def _recall(self) -> None:
        """Read what earlier processes noted."""
        for name in self._names():
            if name.endswith(_POSITION):
                self._next = max(self._next, self._position(name.removesuffix(_POSITION)) + 1)
        for first in self._segments:
            self._next = max(self._next, first)
            for _, kind, number, rest in self._frames(first, 0):
                self._next = max(self._next, number + 1)
                self._remember(kind, number, rest)
        for first in self._segments:
            for _, kind, number, rest in self._frames(first, 0):
                if kind == NOTE and number not in self._retracted:
                    receivers = msgspec.convert(rest[0], Entry).receivers
                    self._waiting.update(one for one in receivers if number > self._position(one))

    def _position(self, receiver: str) -> int:
        if receiver not in self._positions:
            number = 0
            with contextlib.suppress(OSError, ValueError), open(f"{self.root}/{receiver}{_POSITION}") as file:
                number = int(file.read())
            self._positions[receiver] = number
        return self._positions[receiver]

    def _add(self, number: int, frame: list[Any], *, fsync: bool) -> None:
        payload = _encode(frame)
        if is_new := self._fd < 0 or self._size >= SEGMENT_BYTES:
            self._begin(number)
        data = _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        try:
            if self._disk.write(self._fd, data) != len(data):
                raise OSError("a note was cut short")
            if fsync:
                self._disk.fsync(self._fd)
            if fsync and is_new:
                fsync_directory(self._disk, self.root)
                fsync_directory(self._disk, os.path.dirname(self.root))
        except OSError:
            self._close()  # what follows a torn frame would not be read
            raise
        self._size += len(data)
        self._bytes += len(data)

    def _begin(self, number: int) -> None:
        self._close()
        with contextlib.suppress(FileExistsError):
            self._disk.mkdir(self.root)
        while number in self._segments:  # nothing but a torn frame is in that one
            number, self._next = number + 1, self._next + 1
        self._fd = self._disk.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._segments.append(number)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._disk.close(fd)

    def _names(self) -> list[str]:
        try:
            return self._disk.listdir(self.root)
        except FileNotFoundError:
            return []

    def _path(self, first: int) -> str:
        return f"{self.root}/{first:020}"

    def _remove(self, first: int) -> None:
        path = self._path(first)
        with contextlib.suppress(FileNotFoundError):
            self._bytes -= self._disk.stat(path).st_size
            self._disk.unlink(path)

    def _remember(self, kind: int, number: int, rest: list[Any]) -> None:
        if kind == RETRACT:
            self._retracted.add(number)
        elif kind == MARKER:
            self._markers[number] = rest[0]

    def _entry(self, number: int, rest: list[Any]) -> Entry:
        entry = msgspec.convert(rest[0], Entry)
        marker = self._markers.get(number)
        return entry if marker is None else msgspec.structs.replace(entry, version_id=marker)

    def _frames(self, first: int, offset: int) -> Iterator[tuple[int, int, int, list[Any]]]:
        """Each frame's end, kind, number, and the rest; up to the first that is torn."""
        with contextlib.suppress(FileNotFoundError), open(self._path(first), "rb") as file:
            file.seek(offset)
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                size, crc = _HEAD.unpack(head)
                payload = file.read(size)
                if len(payload) < size or zlib.crc32(payload) != crc:
                    return
                offset += _HEAD.size + size
                kind, number, *rest = _frame.decode(payload)
                yield offset, kind, number, rest
