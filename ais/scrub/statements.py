"""Statements: what a scrub found in a bucket, written down so that nobody can change it unnoticed afterwards.

One line of JSON each in `.ais.statements` on every mountpath. Each carries the hash of the one before it of the same
bucket on this target, and its own over everything else in it. The digest of a statement is of all objects it saw: a
later scrub that computes the same digest has seen the same objects, bytes and all, since each was compared with its
checksum.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence

import msgspec
import structlog

from ais.base.errors import NotReady
from ais.env.disk import Disk
from ais.fs.mountpath import Mountpath
from ais.scrub.tally import Tally

FILE_NAME = ".ais.statements"
KEPT_PER_BUCKET = 50
_REWRITE_BYTES = 4 << 20
_READ_BYTES_MAX = 64 << 20
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What one scrub found in one bucket on one target. Times in ns since the epoch; hashes in hex."""

    target: str
    bucket: str
    bid: int
    job: str
    depth: str
    repairs: bool
    began_ns: int
    ended_ns: int
    tally: Tally
    previous: str = ""
    hash: str = ""

    def sealed(self, previous: str) -> "Statement":
        """With the hash of the one before it, and its own."""
        chained = msgspec.structs.replace(self, previous=previous, hash="")
        return msgspec.structs.replace(chained, hash=_hash_of(chained))

    @property
    def is_intact(self) -> bool:
        """Whether it is as it was written."""
        return self.hash == _hash_of(msgspec.structs.replace(self, hash=""))


def _hash_of(unsealed: Statement) -> str:
    return hashlib.blake2b(msgspec.json.encode(unsealed, order="sorted"), digest_size=32).hexdigest()


def problem_of(chain: Sequence[Statement]) -> str:
    """What is wrong with the statements of one bucket of one target, oldest first; empty: nothing."""
    before = ""
    for statement in chain:
        if not statement.is_intact:
            return f"the statement of job {statement.job} is not as it was written"
        if before and statement.previous != before:
            return f"there is no statement of job {statement.job}'s predecessor, or it was changed"
        before = statement.hash
    return ""


class Statements:
    """Those of one target. Methods block; what a disk does not take or give is only logged."""

    def __init__(self, disk: Disk, mountpaths: Callable[[], Sequence[Mountpath]]) -> None:
        self._disk = disk
        self._mountpaths = mountpaths
        self._log = structlog.get_logger()

    def all(self) -> dict[str, list[Statement]]:
        """By uname of the bucket, oldest first."""
        found: dict[str, dict[str, Statement]] = {}
        for mountpath in self._mountpaths():
            for statement in self._read(f"{mountpath.path}/{FILE_NAME}"):
                found.setdefault(statement.bucket, {}).setdefault(statement.hash, statement)
        return {bucket: sorted(some.values(), key=lambda one: one.ended_ns) for bucket, some in found.items()}

    def append(self, statement: Statement) -> Statement:
        """Add one to the chain of its bucket; as it was written."""
        chain = [one for one in self.all().get(statement.bucket, []) if one.bid == statement.bid]
        sealed = statement.sealed(chain[-1].hash if chain else "")
        line = msgspec.json.encode(sealed) + b"\n"
        for mountpath in self._mountpaths():
            try:
                with mountpath.entered() as root:
                    path = f"{root}/{FILE_NAME}"
                    self._write(path, line)
                    if self._disk.stat(path).st_size > _REWRITE_BYTES:
                        self._rewrite(path)
            except (OSError, NotReady) as error:
                self._log.warning("statement was not written", mountpath=mountpath.path, error=str(error))
        return sealed

    def _rewrite(self, path: str) -> None:
        kept: dict[str, list[Statement]] = {}
        for statement in self._read(path):
            kept.setdefault(statement.bucket, []).append(statement)
        lines = (msgspec.json.encode(one) + b"\n" for some in kept.values() for one in some[-KEPT_PER_BUCKET:])
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(f"{path}.new")
        self._write(f"{path}.new", b"".join(lines))
        self._disk.rename(f"{path}.new", path)

    def _write(self, path: str, content: bytes) -> None:
        fd = self._disk.open(path, _APPEND, 0o644)
        try:
            self._disk.write(fd, content)
            self._disk.fdatasync(fd)
        finally:
            self._disk.close(fd)

    def _read(self, path: str) -> Iterable[Statement]:
        try:
            fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            content = self._disk.pread(fd, min(self._disk.fstat(fd).st_size, _READ_BYTES_MAX), 0)
        except OSError as error:
            self._log.warning("statements were not read", path=path, error=str(error))
            return
        finally:
            self._disk.close(fd)
        for line in content.splitlines():
            with contextlib.suppress(msgspec.DecodeError):  # torn by a crash
                yield msgspec.json.decode(line, type=Statement)
