"""Vault's transit engine as key service (https://developer.hashicorp.com/vault/api-docs/secret/transit).

Each node has a key of Vault's making for each key ID, for minutes, and wraps the data keys of objects with it; with a
data key stands that key as Vault encrypted it. So Vault is asked once in minutes, not for each object, and what it
rotates or takes away counts within these minutes. Nothing is asked while the event loop waits: whoever needs a key that
is not here gets `KeyPending`, and comes again when it was fetched.

It is asked in threads of its own, each with a loop: all of the node's may be waiting for a key.
"""

import asyncio
import base64
import binascii
import re
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ais.api import codec
from ais.auth import keyservice
from ais.auth.keyservice import KeyService
from ais.base.errors import AisError, BadRequest, CorruptMetadata, NotReady
from ais.config.sections import AuthVault
from ais.env.clock import Clock
from ais.net.tls import client_context
from ais.s3.errors import S3Error

LIFE_S = 300.0
KEYS_MAX = 4096
TIMEOUT_S = 10.0
AT_ONCE_MAX = 4
ANSWER_BYTES_MAX = 64 << 10
_FORMAT = "vault1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
OWN = "aws/s3"
"""The key of SSE-S3, and of SSE-KMS without an ID: the cluster's own."""


class KeyPending(NotReady):
    """A key is being fetched: wait for `fetched`, which raises why there is none, and ask again."""

    def __init__(self, fetched: "asyncio.Task[None]") -> None:
        super().__init__("the key service is being asked: try again in a moment")
        self.fetched = fetched


class _Known(NamedTuple):
    """A key, as Vault encrypted it, and until when it is used (monotonic)."""

    cipher: AESGCM
    sealed: str
    until_s: float


class VaultKeys:
    """See `ais.auth.keyservice.KeyService`. Called on the event loop only."""

    def __init__(self, settings: AuthVault, own: KeyService, clock: Clock) -> None:
        self._settings = settings
        self._own = own
        self._clock = clock
        self._current: dict[str, _Known] = {}
        self._opened: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._fetching: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(AT_ONCE_MAX, "key service")

    def wrap(self, data_key: bytes, key_id: str, context: str = "") -> str:
        """See `KeyService`. Raise `KeyPending`, `S3Error` KMS.NotFoundException."""
        if key_id == OWN:
            return self._own.wrap(data_key, key_id, context)
        return self._wrap(data_key, _name_of(key_id), context)

    def unwrap(self, wrapped: str, key_id: str, context: str = "") -> bytes:
        """See `KeyService`. Raise `KeyPending`."""
        if not wrapped.startswith(f"{_FORMAT}|"):
            return self._own.unwrap(wrapped, key_id, context)
        name, sealed, inner = _parts(wrapped)
        known = self._opened.get((name, sealed))
        if known is None or known.until_s < self._clock.monotonic():
            raise KeyPending(self._fetch(name, sealed))
        self._opened.move_to_end((name, sealed))
        return keyservice.unseal([known.cipher], inner, context)

    def renew(self) -> None:
        """See `KeyService`."""
        self._current.clear()

    def rewrap(self, wrapped: str, key_id: str, context: str = "") -> str | None:
        """See `KeyService`. What the cluster's own key wraps stays with that. Raise `KeyPending`."""
        if not wrapped.startswith(f"{_FORMAT}|"):
            return self._own.rewrap(wrapped, key_id, context)
        name, sealed, _ = _parts(wrapped)
        if _version(sealed) == _version(self._newest(name).sealed):
            return None
        return self._wrap(self.unwrap(wrapped, key_id, context), name, context)

    def _wrap(self, data_key: bytes, name: str, context: str) -> str:
        known = self._newest(name)
        return f"{_FORMAT}|{name}|{known.sealed}|{keyservice.seal(known.cipher, data_key, context)}"

    def _newest(self, name: str) -> _Known:
        known = self._current.get(name)
        if known is None or known.until_s < self._clock.monotonic():
            raise KeyPending(self._fetch(name, ""))
        return known

    def _fetch(self, name: str, sealed: str) -> "asyncio.Task[None]":
        """One request for all who wait for the same."""
        place = (name, sealed)
        if (task := self._fetching.get(place)) is None:
            task = self._fetching[place] = asyncio.create_task(self._get(name, sealed), name=f"key {name}")
            task.add_done_callback(lambda done: self._ended(place, done))
        return task

    def _ended(self, place: tuple[str, str], task: "asyncio.Task[None]") -> None:
        self._fetching.pop(place, None)
        if not task.cancelled():
            task.exception()  # those who wait raise it; there may be none any more

    async def _get(self, name: str, sealed: str) -> None:
        path, body = f"datakey/plaintext/{name}", dict[str, Any](bits=256)
        if sealed:
            path, body = f"decrypt/{name}", {"ciphertext": sealed}
        asking = asyncio.get_running_loop().run_in_executor(self._threads, lambda: asyncio.run(self._ask(path, body)))
        found = await asking
        try:
            cipher = AESGCM(base64.b64decode(found["plaintext"], validate=True))
            given = sealed or str(found["ciphertext"])
        except (KeyError, TypeError, binascii.Error, ValueError) as error:
            raise NotReady(f"the key service answered nonsense: {error}") from None
        if "|" in given:
            raise NotReady("the key service answered nonsense: a ciphertext with |")
        known = self._opened[name, given] = _Known(cipher, given, self._clock.monotonic() + LIFE_S)
        if not sealed:
            self._current[name] = known
        while len(self._opened) > KEYS_MAX:
            self._opened.popitem(last=False)

    async def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        settings = self._settings
        url = f"{settings.url.rstrip('/')}/v1/{settings.mount}/{path}"
        try:
            token = Path(settings.token_file).read_text().strip()
            lines = {"X-Vault-Token": token, "X-Vault-Request": "true"}
            if settings.namespace:
                lines["X-Vault-Namespace"] = settings.namespace
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            async with (
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.post(
                    url,
                    data=codec.to_json(body),
                    headers=lines,
                    ssl=client_context(ca=settings.ca_bundle),
                    allow_redirects=False,
                ) as response,
            ):
                answer = await response.content.read(ANSWER_BYTES_MAX)
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise NotReady(f"the key service cannot be asked: {error or type(error).__name__}") from None
        if status == 200:
            try:
                return dict(codec.from_json(answer, dict[str, Any])["data"])
            except (BadRequest, KeyError, TypeError, ValueError) as error:
                raise NotReady(f"the key service answered nonsense: {error}") from None
        raise _refusal(status, answer, path)


def _refusal(status: int, answer: bytes, path: str) -> AisError:
    """What an answer other than 200 means."""
    name, text = path.rpartition("/")[2], answer[:300].decode(errors="replace")
    if status == 403:
        return S3Error("AccessDenied", f"The key service does not let this cluster use the key {name}")
    if status in (400, 404) and path.startswith("datakey/"):
        return S3Error("KMS.NotFoundException", f"The key service has no key {name}: {text}")
    if status in (400, 404):
        return S3Error("KMS.DisabledException", f"The key service does not open what the key {name} sealed: {text}")
    return NotReady(f"the key service answered {status}: {text}")


def _parts(wrapped: str) -> list[str]:
    """Name of the key, what Vault sealed, the data key under that."""
    parts = wrapped.split("|")
    if len(parts) != 4:
        raise CorruptMetadata("the data key of an object is not kept as it was wrapped")
    return parts[1:]


def _version(sealed: str) -> str:
    """`vault:v3:...` -> `vault:v3`."""
    return sealed.rpartition(":")[0]


def _name_of(key_id: str) -> str:
    """`name`, `alias/name` or `arn:aws:kms:...:key/name` -> `name`."""
    name = key_id.rpartition("/")[2]
    if not _NAME.fullmatch(name):
        raise S3Error("KMS.NotFoundException", f"{key_id[:100]} names no key of the key service")
    return name
