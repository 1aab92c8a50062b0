"""Health of mountpaths (FSHC): one that fails a real check is disabled, and the repair begins.

Every few seconds small files are written to each mountpath, synced, read back and removed. Errors, what comes back
different, a read-only file system, and a disk that does not answer within the time count as failed; so many in a row
disable the mountpath. The last one stays in use, whatever it does: its errors go to the clients. A disk that is full
does not fail; one that is not mounted is waited for (`ais.fs.whole`).
"""

import asyncio
import errno
import os
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from ais.base.errors import AisError, NotReady
from ais.env import Env
from ais.fs.mountpath import Mountpath
from ais.fs.volume import Volume

PERIOD_S = 10.0
STALLED_S = 30.0
_TEST_BYTES = 4096
_PREFIX = ".ais.check."
_NOT_BROKEN = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Settings(Protocol):
    """The section `fshc`."""

    @property
    def enabled(self) -> bool: ...
    @property
    def test_files(self) -> int: ...
    @property
    def error_limit(self) -> int: ...


class Health:
    """Checks the mountpaths of one target. `disabled` is told, after the fact, of each one that failed."""

    def __init__(
        self, volume: Volume, env: Env, settings: Callable[[], Settings], disabled: Callable[[str], Awaitable[None]]
    ) -> None:
        self._volume = volume
        self._disk = env.disk
        self._clock = env.clock
        self._rng: random.Random = env.rng
        self._settings = settings
        self._disabled = disabled
        self._failed: dict[str, int] = {}
        self._log = structlog.get_logger()

    async def watch(self) -> None:
        """Check all mountpaths at intervals."""
        while True:
            await self._clock.sleep(PERIOD_S)
            if self._settings().enabled:
                await asyncio.gather(*(self.check(mountpath) for mountpath in self._volume.available))

    async def check(self, mountpath: Mountpath) -> bool:
        """Check one mountpath now; disable it when it has failed often enough in a row. Return whether it is good."""
        reason = await self.probe(mountpath)
        if not reason:
            self._failed.pop(mountpath.path, None)
            return True
        count = self._failed[mountpath.path] = self._failed.get(mountpath.path, 0) + 1
        self._log.error("mountpath failed its check", mountpath=mountpath.path, reason=reason, in_a_row=count)
        if count >= self._settings().error_limit:
            await self._disable(mountpath.path, reason)
        return False

    async def probe(self, mountpath: Mountpath) -> str:
        """What is wrong with a mountpath; empty: nothing."""
        step = asyncio.to_thread(self._probe, mountpath)
        try:
            async with asyncio.timeout(STALLED_S):
                return await step
        except TimeoutError:
            return f"it did not answer within {STALLED_S:g} s"

    async def _disable(self, path: str, reason: str) -> None:
        self._failed.pop(path, None)
        try:
            changed = await asyncio.to_thread(self._volume.disable, path)
        except AisError as error:
            self._log.error("failing mountpath stays in use", mountpath=path, reason=str(error))
            return
        if changed:
            self._log.error("mountpath disabled", mountpath=path, reason=reason)
            await self._disabled(path)

    def _probe(self, mountpath: Mountpath) -> str:
        try:
            with mountpath.entered() as root:
                for number in range(self._settings().test_files):
                    content = self._rng.randbytes(_TEST_BYTES)
                    if self._round_trip(f"{root}/{_PREFIX}{os.getpid():x}.{number}", content) != content:
                        return "what was written came back different"
        except NotReady:
            return ""
        except OSError as error:
            if error.errno in _NOT_BROKEN or not mountpath.is_own:
                return ""
            return f"{error.strerror or error}"
        return ""

    def _round_trip(self, path: str, content: bytes) -> bytes:
        fd = self._disk.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._disk.write(fd, content)
            self._disk.fsync(fd)
            return self._disk.pread(fd, len(content), 0)
        finally:
            self._disk.close(fd)
            self._disk.unlink(path)
