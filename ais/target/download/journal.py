"""What has become of each file of a job, a line of JSON each: a target that was restarted goes on behind it.

`.ais.download/<job>` on the first mountpath, until the job is removed or forgotten. It is written without waiting for
the disk: what a crash takes of it is looked at again.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator

import msgspec

from ais.api.codec import U64
from ais.api.download import File, FileError, Files

DIRECTORY = ".ais.download"
SHOWN_MAX = 100_000
"""Files that a status names, of each target: those that ended last."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """One file that has ended. `total` -1: nobody said how large it is."""

    number: int
    name: str
    downloaded: int
    total: int
    start_time: str
    end_time: str
    error: str = ""
    is_skipped: bool = False


_decoder = msgspec.json.Decoder(Line)


class Journal:
    """Of one job. All methods block; what cannot be written is only missing. It is written to the first of `roots`."""

    def __init__(self, roots: Iterable[str], uuid: str) -> None:
        self._paths = [f"{root}/{DIRECTORY}/{uuid}" for root in roots]

    def read(self) -> Iterator[Line]:
        """All that is written down, oldest first; what is torn is passed over."""
        for path in self._paths:
            with contextlib.suppress(OSError), open(path, "rb") as file:
                for line in file:
                    with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
                        yield _decoder.decode(line)

    def add(self, line: Line) -> None:
        """Write one down."""
        path = self._paths[0] if self._paths else ""
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "ab", buffering=0) as file:
                file.write(msgspec.json.encode(line) + b"\n")

    def shown(self, current: list[File]) -> Files:
        """What a status shows: the last word about each file."""
        last: dict[int, Line] = {}
        for line in self.read():
            last.pop(line.number, None)
            last[line.number] = line
            if len(last) > SHOWN_MAX:
                del last[next(iter(last))]
        return Files(
            current,
            [file_of(line) for line in last.values() if not line.is_skipped],
            [FileError(line.name, line.error) for line in last.values() if line.error],
        )

    def remove(self) -> None:
        """Forget the job."""
        for path in self._paths:
            with contextlib.suppress(OSError):
                os.unlink(path)


def remove_others(roots: Iterable[str], uuids: Iterable[str]) -> None:
    """Remove what jobs left that nobody knows any more. Blocks."""
    known = frozenset(uuids)
    for root in roots:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"{root}/{DIRECTORY}"):
                if name not in known:
                    Journal([root], name).remove()


def file_of(line: Line) -> File:
    """As a status shows it."""
    total = U64(line.total) if line.total >= 0 else msgspec.UNSET
    return File(line.name, U64(line.downloaded), total, line.start_time, line.end_time)
