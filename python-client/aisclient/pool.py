"""Connections that are open and idle, by node."""

import os
import ssl
import time
import weakref
from urllib.parse import urlsplit

from aisclient.connection import Connection
from aisclient.driver import Driver
from aisclient.errors import Untrusted
from aisclient.settings import Settings

IDLE_S_MAX = 50.0
"""Nodes close a connection that was idle for a minute."""


class Pool:
    """May be used by several threads: adding to a list and taking from it are atomic."""

    def __init__(self, driver: Driver, settings: Settings) -> None:
        self._idle: dict[str, list[Connection]] = {}
        self._driver, self._settings = driver, settings
        self._tls = settings.tls() if any(url.startswith("https") for url in settings.endpoints) else None
        _pools.add(self)

    async def take(self, origin: str, *, is_fresh: bool = False, checked: bool = False) -> tuple[Connection, bool]:
        """A connection to `scheme://host:port`, and whether it was used before. Raise `OSError`, `Untrusted`.

        `checked` passes over those that the other side has closed: for what must not be sent twice.
        """
        idle = self._idle.get(origin)
        while idle and not is_fresh:
            try:
                connection = idle.pop()
            except IndexError:
                break
            is_old = time.monotonic() - connection.idle_since > IDLE_S_MAX
            if not is_old and not (checked and connection.wire.is_stale()):
                return connection, True
            connection.wire.close()
        parts = urlsplit(origin)
        is_secure = parts.scheme == "https"
        if is_secure and self._tls is None:
            self._tls = self._settings.tls()
        port = parts.port or (443 if is_secure else 80)
        tls = self._tls if is_secure else None
        try:
            wire = await self._driver.connect(parts.hostname or "", port, tls, self._settings.timeout_s)
        except ssl.SSLCertVerificationError as error:
            raise Untrusted(
                f"{origin} has a TLS certificate that cannot be verified ({error.verify_message}): give its CA as"
                " ca_file= or AIS_CLIENT_CA"
            ) from error
        return Connection(wire), False

    def give_back(self, origin: str, connection: Connection, is_reusable: bool) -> None:
        """The connection is free; keep it or close it."""
        idle = self._idle.setdefault(origin, [])
        if is_reusable and len(idle) < self._settings.connections:
            connection.idle_since = time.monotonic()
            idle.append(connection)
        else:
            connection.wire.close()

    def close(self) -> None:
        """Close those that are idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop().wire.close()

    def forget(self) -> None:
        """In a child process: the connections are its parent's."""
        self._idle = {}

    def __del__(self) -> None:
        self.close()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.forget()


_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork)
