"""The data keys of encrypted objects for the store, which asks in whatever thread it works.

A key that Vault has is fetched on the event loop: a thread waits for it, the loop itself gets `KeyPending`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from ais.base.errors import NotReady, Unsupported
from ais.core.sealing import ALGORITHM, Seal, Wanted
from ais.node.s3 import Gate
from ais.node.vault import KeyPending
from ais.s3 import encryption

T = TypeVar("T")
_KEYS_MAX = 3


class Keyring:
    """Of one target."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Fetch keys on this event loop for other threads."""
        self._loop = asyncio.get_running_loop()

    def seal(self, wanted: Wanted) -> Seal:
        """See `ais.core.sealing.Keyring`. Raise also `KeyPending`, `S3Error`."""
        return self._asked(lambda: encryption.seal(wanted, self._gate.keys))

    def open(self, facts: Mapping[str, str]) -> bytes:
        """See `ais.core.sealing.Keyring`. Raise also `KeyPending`, `S3Error`."""
        if facts[ALGORITHM] == encryption.CUSTOMER:
            raise Unsupported("it is encrypted with a key of its client (SSE-C): read it over S3 with that key")
        key = self._asked(lambda: encryption.open_key(facts, None, self._gate.keys))
        assert key is not None
        return key

    def _asked(self, ask: Callable[[], T]) -> T:
        if not self._gate.waits_for_keys:
            return ask()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is None:
                raise NotReady("this target is starting: try again in a moment") from None
            return asyncio.run_coroutine_threadsafe(with_keys(ask), self._loop).result()
        return ask()


async def with_keys(ask: Callable[[], T | Awaitable[T]]) -> T:
    """What asking gives when the keys it needs were fetched; nothing may have been done before that.

    Raise as it does, and `NotReady`.
    """
    for _ in range(_KEYS_MAX):
        try:
            found = ask()
            return await found if isinstance(found, Awaitable) else found
        except KeyPending as pending:
            await asyncio.shield(pending.fetched)
    raise NotReady("keys of the key service end before they are used: try again")
