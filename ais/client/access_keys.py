"""Calls about S3 access keys."""

from urllib.parse import quote

from ais.api import codec
from ais.api.access_keys import KEYS, CreatedKey, KeyInfo, KeyState, NewKey
from ais.client import answers
from ais.client.transport import Transport


class AccessKeys:
    """Made by `Client`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, user: str, key_id: str = "", secret: str = "", *, admin: bool = False) -> CreatedKey:
        """A new key for a user, or with both `key_id` and `secret` one from another store.

        Its secret is told here only. With `admin` it signs native requests too. Raise `AlreadyExists`, `BadRequest`.
        """
        _, body = await self._transport.call("POST", KEYS, json=codec.to_json(NewKey(user, key_id, secret, admin)))
        return answers.decode(body, CreatedKey)

    async def all(self, user: str = "") -> list[KeyInfo]:
        """All keys (of one user), sorted by user and ID."""
        _, body = await self._transport.call("GET", KEYS, {"user": user} if user else {})
        return answers.decode(body, list[KeyInfo])

    async def set_disabled(self, key_id: str, disabled: bool) -> None:
        """Disable a key, or enable it again. Raise `NotFound`."""
        await self._transport.call("PATCH", _path(key_id), json=codec.to_json(KeyState(disabled)))

    async def remove(self, key_id: str) -> None:
        """Remove a key for good. Raise `NotFound`."""
        await self._transport.call("DELETE", _path(key_id))


def _path(key_id: str) -> str:
    return f"{KEYS}/{quote(key_id, safe='')}"
