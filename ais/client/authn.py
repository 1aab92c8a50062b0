"""Calls to an AuthN server: who may use which clusters (wire contract §17)."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ais.api import codec
from ais.client import answers
from ais.client.transport import Transport
from ais.config.environment import ClientEnvironment

DEFAULT_URL = "http://127.0.0.1:52001"
TIMEOUT_S = 30.0


class AuthN:
    """An asynchronous context manager. Calls raise `Unauthenticated`, `AccessDenied`, `NotFound`, `Unreachable`."""

    def __init__(self, environment: ClientEnvironment) -> None:
        self._transport = Transport(
            environment.authn_url or DEFAULT_URL,
            environment,
            timeout_s=TIMEOUT_S,
            connect_timeout_s=5.0,
            retries=0,
            connections=4,
        )

    async def __aenter__(self) -> "AuthN":
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *failure: Any) -> None:
        await self._transport.__aexit__(*failure)

    async def get(self, *path: str) -> Any:
        """What is at `/v1/...`, as JSON."""
        _, body = await self._transport.call("GET", _path(path))
        return answers.parse(body)

    async def get_root(self, path: str) -> Any:
        """What is at an address that does not begin with `/v1`, as JSON."""
        _, body = await self._transport.call("GET", path)
        return answers.parse(body)

    async def add(self, kind: str, what: Mapping[str, Any]) -> None:
        """Add a user, role or cluster."""
        await self._transport.call("POST", _path((kind,)), json=codec.to_json(what))

    async def change(self, path: Sequence[str], what: Mapping[str, Any]) -> None:
        """Change a user, role or cluster, or settings."""
        await self._transport.call("PUT", _path(path), json=codec.to_json(what))

    async def remove(self, kind: str, name: str) -> None:
        """Remove a user, role or cluster."""
        await self._transport.call("DELETE", _path((kind, name)))

    async def log_in(self, user: str, password: str, expires_ns: int | None = None) -> str:
        """A token, good for so long or as the server says."""
        wanted: dict[str, Any] = {"password": password}
        if expires_ns is not None:
            wanted["expires_in"] = expires_ns
        _, body = await self._transport.call("POST", _path(("users", user)), json=codec.to_json(wanted))
        return str(answers.parse(body)["token"])

    async def revoke(self, token: str) -> None:
        """Have a token be refused from now on."""
        await self._transport.call("DELETE", "/v1/tokens", json=codec.to_json({"token": token}))

    async def rotate_key(self) -> None:
        """Sign with a new key from now on."""
        await self._transport.call("POST", "/v1/rotate-key", json=b"{}")


def _path(parts: Sequence[str]) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)
