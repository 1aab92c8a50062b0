"""The one place where an `OSError` of a mountpath becomes an error that means something to a caller."""

import errno
from types import TracebackType

from ais.base.errors import AisError, DiskFailure, InvalidName, NotReady, OutOfSpace

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def translate(error: OSError, path: str) -> AisError:
    """What `error`, met while working on `path`, means. Expected ones (ENOENT and such) the caller catches first."""
    if error.errno in _NO_SPACE:
        return OutOfSpace(f"{path}: {error.strerror}")
    if error.errno in _NO_DESCRIPTORS:
        return NotReady(f"{path}: {error.strerror}")
    if error.errno == errno.ENAMETOOLONG:
        return InvalidName(f"{path[:80]}...: {error.strerror}")
    return DiskFailure(f"{path}: {error.strerror or error}")


class disk_failures:  # noqa: N801 - reads as a statement: `with disk_failures(path):`
    """Translate the `OSError` that leaves the block; other exceptions pass."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise translate(error, self._path) from error
