"""The xactions of a target over its restarts: one line of JSON when one starts and one when it ends (`.ais.jobs`).

The file lies on the first mountpath that is available when it is opened and is only appended to; opening it writes it
anew with what is still remembered. The last line of a crash may be torn: what cannot be read is passed over. It is a
record for people, nothing depends on it, so a disk that does not take it is only logged.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from ais.api import codec
from ais.api.xact import Snap
from ais.base.errors import AisError
from ais.env.disk import Disk

FILE_NAME = ".ais.jobs"
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_BYTES_MAX = 64 << 20
"""A file that is larger is not ours."""


class History:
    """The file. `directories` are those that may hold it, the preferred one first."""

    def __init__(self, disk: Disk, directories: Callable[[], Sequence[str]]) -> None:
        self._disk = disk
        self._directories = directories
        self._thread = ThreadPoolExecutor(1, "job history")
        self._log = structlog.get_logger()

    def load(self) -> list[Snap]:
        """The last that is known of each xaction, in the order they started. Blocks."""
        found: dict[str, Snap] = {}
        for directory in self._directories():
            for line in self._read(f"{directory}/{FILE_NAME}").splitlines():
                with contextlib.suppress(AisError):
                    snap = codec.from_json(line, Snap)
                    found[snap.id] = snap
        return sorted(found.values(), key=lambda snap: snap.start_time)

    def rewrite(self, snaps: Iterable[Snap]) -> None:
        """Keep only these. Blocks."""
        directories = self._directories()
        if not directories:
            return
        path = f"{directories[0]}/{FILE_NAME}"
        try:
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(f"{path}.new")
            self._append(f"{path}.new", b"".join(map(_line, snaps)))
            self._disk.rename(f"{path}.new", path)
            for directory in directories[1:]:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.unlink(f"{directory}/{FILE_NAME}")
        except OSError as error:
            self._log.warning("job history was not written", path=path, error=str(error))

    def note(self, snap: Snap) -> None:
        """Remember this state of an xaction; returns at once."""
        self._thread.submit(self._note, _line(snap))

    def keep_only(self, snaps: Iterable[Snap]) -> None:
        """Forget all others; returns at once."""
        self._thread.submit(self.rewrite, snaps)

    def close(self) -> None:
        """Write what was noted. Blocks."""
        self._thread.shutdown()

    def _note(self, line: bytes) -> None:
        directories = self._directories()
        if not directories:
            return
        path = f"{directories[0]}/{FILE_NAME}"
        try:
            self._append(path, line)
        except OSError as error:
            self._log.warning("job history was not written", path=path, error=str(error))

    def _append(self, path: str, lines: bytes) -> None:
        fd = self._disk.open(path, _APPEND, 0o644)
        try:
            self._disk.write(fd, lines)
        finally:
            self._disk.close(fd)

    def _read(self, path: str) -> bytes:
        try:
            fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            size = min(self._disk.fstat(fd).st_size, _BYTES_MAX)
            return self._disk.pread(fd, size, 0)
        except OSError as error:
            self._log.warning("job history was not read", path=path, error=str(error))
            return b""
        finally:
            self._disk.close(fd)


def _line(snap: Snap) -> bytes:
    return codec.to_json(snap) + b"\n"
