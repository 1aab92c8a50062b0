"""A node's log on disk: one file that grows to a limit, older ones beside it, all together within another limit."""

import io
import os
import tarfile
import threading
import time
from pathlib import Path

from ais.api import codec
from ais.base.errors import BadRequest

SEVERITIES = {"info": ("info", "warning", "error"), "warning": ("warning", "error"), "error": ("error",)}
READ_BYTES_MAX = 64 << 20


class LogFile:
    """Appends whole lines to `<dir>/<name>.log`, rotating to `<dir>/<name>.<time>.log`. Any thread may write."""

    def __init__(self, directory: str, name: str, max_size: int, max_total: int) -> None:
        """Open or continue the log. Raise `BadRequest` when the directory cannot be written."""
        self.path = Path(directory) / f"{name}.log"
        self._name, self._max_size, self._max_total = name, max_size, max_total
        self._lock = threading.Lock()
        self._fd, self._size = -1, 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise BadRequest(f"cannot write the log directory log_dir={directory}: {error}") from None

    def write(self, line: bytes) -> None:
        """Append one line. A full disk loses lines rather than requests."""
        with self._lock:
            if self._size + len(line) > self._max_size and self._size:
                self._rotate()
            try:
                self._size += os.write(self._fd, line)
            except OSError:
                return

    def set_limits(self, max_size: int, max_total: int) -> None:
        """Take new limits (bytes); they apply from the next line."""
        with self._lock:
            self._max_size, self._max_total = max_size, max_total

    def rotate(self) -> None:
        """Start a new file now."""
        with self._lock:
            if self._size:
                self._rotate()

    def close(self) -> None:
        """Close the file; later lines are lost."""
        with self._lock:
            os.close(self._fd)
            self._fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def read(self, severity: str = "", offset: int = 0) -> bytes:
        """The current file from `offset` on (at most 64 MiB), lines of `severity` and above only.

        `offset` counts bytes of the file, so it only makes sense without a severity. Raise `BadRequest` for an unknown
        severity.
        """
        if severity and severity not in SEVERITIES:
            raise BadRequest(f'invalid severity "{severity}": must be one of {list(SEVERITIES)}')
        with self.path.open("rb") as file:
            file.seek(max(offset, 0))
            text = file.read(READ_BYTES_MAX)
        return text if severity in ("", "info") else _at_least(text, SEVERITIES[severity])

    def archive(self) -> bytes:
        """All files of this log as a tar.gz. May take seconds: call it in a thread."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for path in self.files():
                tar.add(path, arcname=path.name)
        return buffer.getvalue()

    def files(self) -> list[Path]:
        """The files of this log, oldest first, the current one last."""
        old = sorted(path for path in self.path.parent.glob(f"{self._name}.*.log") if path != self.path)
        return [*old, self.path]

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        os.close(self._fd)
        self.path.rename(self.path.with_name(f"{self._name}.{_stamp()}.log"))
        self._open()
        self._prune()

    def _prune(self) -> None:
        sizes = [(path, path.stat().st_size) for path in self.files()]
        total = sum(size for _, size in sizes) + self._max_size
        for path, size in sizes[:-1]:
            if total <= self._max_total:
                return
            path.unlink(missing_ok=True)
            total -= size


def _stamp() -> str:
    """A name for a rotated file that sorts by time: `20261121-044504.123456789`."""
    now_ns = time.time_ns()
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(now_ns // 1_000_000_000)) + f".{now_ns % 1_000_000_000:09}"


def _at_least(text: bytes, levels: tuple[str, ...]) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if _level(line) in levels)


def _level(line: bytes) -> str:
    try:
        value = codec.parse_json(line)
    except BadRequest:
        return "error"
    return str(value.get("level", "")) if isinstance(value, dict) else "error"
