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
from ais.base.errors import AisError, NotReady
from ais.env.disk import Disk
from ais.fs.mountpath import Mountpath

FILE_NAME = ".ais.jobs"
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_BYTES_MAX = 64 << 20
"""A file that is larger is not ours."""


class History:
    """The file. `mountpaths` are those that may hold it, the preferred one first."""

    def __init__(self, disk: Disk, mountpaths: Callable[[], Sequence[Mountpath]]) -> None:
        self._disk = disk
        self._mountpaths = mountpaths
        self._thread = ThreadPoolExecutor(1, "job history")
        self._log = structlog.get_logger()

    def load(self) -> list[Snap]:
        """The last that is known of each xaction, in the order they started. Blocks."""
        found: dict[str, Snap] = {}
        for mountpath in self._mountpaths():
            for line in self._read(f"{mountpath.path}/{FILE_NAME}").splitlines():
                with contextlib.suppress(AisError):
                    snap = codec.from_json(line, Snap)
                    found[snap.id] = snap
        return sorted(found.values(), key=lambda snap: snap.start_time)

    def rewrite(self, snaps: Iterable[Snap]) -> None:
        """Keep only these. Blocks."""
        lines = b"".join(map(_line, snaps))

        def write(path: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(f"{path}.new")
            self._append(f"{path}.new", lines)
            self._disk.rename(f"{path}.new", path)

        used = self._use(write)
        for mountpath in self._mountpaths():
            if used is not None and mountpath is not used:
                with contextlib.suppress(OSError):
                    self._disk.unlink(f"{mountpath.path}/{FILE_NAME}")

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
        self._use(lambda path: self._append(path, line))

    def _use(self, write: Callable[[str], None]) -> Mountpath | None:
        """Write the file on the first mountpath that is there. Return that one; None when it could not be written."""
        found = next((one for one in self._mountpaths() if one.is_own), None)
        if found is None:
            return None
        try:
            with found.entered() as root:
                write(f"{root}/{FILE_NAME}")
        except (OSError, NotReady) as error:
            self._log.warning("job history was not written", mountpath=found.path, error=str(error))
            return None
        return found

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
