"""Token issuers of a cluster (OpenID Connect): their keys, fetched where they say, again when a token names another.

Nothing is fetched while a client waits: a token whose key is not known yet is answered 503 while a fetch begins, and
401 when one has just been made without finding it. Answers are bounded in time and size, redirects are not followed;
addresses come from the configuration and the issuer's own document, never from a token.
"""

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from ais.auth import issuers
from ais.auth.issuers import ANSWER_BYTES_MAX, IssuerKey
from ais.auth.tokens import BadToken
from ais.base.errors import AisError, BadRequest, NotReady, Unreachable
from ais.config.sections import AuthOIDC
from ais.net.tls import client_context

if TYPE_CHECKING:
    from ais.node.node import Node

DISCOVERY = "/.well-known/openid-configuration"
FETCH_TIMEOUT_S = 5.0
LOOK_S = 1.0
"""How often it is looked whether a fetch is due."""
ROTATION_S, BACKGROUND_S = 10.0, 900.0
"""Where the settings say 0: the shortest time between fetches that tokens cause, and after which keys are fetched
again."""


class Issuers:
    """The keys of all issuers that are allowed now. One per process."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._keys: dict[str, dict[str, IssuerKey]] = {}
        self._fetched_at: dict[str, float] = {}
        """When the last fetch from each issuer ended, well or not (monotonic)."""
        self._wanted = asyncio.Event()
        self._settings: AuthOIDC | None = None
        self.version = 0
        """Grows with every change of keys."""

    def key(self, issuer: str, key_id: str) -> IssuerKey:
        """The key that verifies what this issuer signed with the key of that ID.

        Raise `BadToken` when there is none, `NotReady` while it is being looked for.
        """
        settings = self._node.config.cluster.auth.oidc
        if issuer not in settings.allowed_iss:
            raise BadToken("invalid token [err: its issuer is not one of auth.oidc.allowed_iss]")
        known = self._keys.get(issuer, {})
        found = known.get(key_id) or (next(iter(known.values())) if len(known) == 1 and not key_id else None)
        if found is not None:
            return found
        self._node.tasks.spawn("token issuers", self._run)
        if self._is_due(issuer, _or_default(settings.jwks_cache.min_rotation_refresh, ROTATION_S)):
            self._wanted.set()
            raise NotReady("the keys of the token's issuer are being fetched: try again in a moment")
        raise BadToken("invalid token [err: its issuer has no such key]")

    def begin(self) -> None:
        """Fetch from now on, if there are issuers."""
        if self._node.config.cluster.auth.oidc.allowed_iss:
            self._node.tasks.spawn("token issuers", self._run)

    def _is_due(self, issuer: str, pause_s: float) -> bool:
        at = self._fetched_at.get(issuer)
        return at is None or self._node.env.clock.monotonic() - at >= pause_s

    async def _run(self) -> None:
        """Fetch until no issuers are allowed any more."""
        while settings := self._node.config.cluster.auth.oidc:
            if not settings.allowed_iss:
                break
            is_asked = self._wanted.is_set()
            self._wanted.clear()
            cache = settings.jwks_cache
            pause_s = _or_default(cache.min_background_refresh, BACKGROUND_S)
            if is_asked:
                pause_s = min(pause_s, _or_default(cache.min_rotation_refresh, ROTATION_S))
            due = [one for one in settings.allowed_iss if self._is_due(one, pause_s)]
            await asyncio.gather(*(self._fetch(one, settings) for one in due))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wanted.wait()
        self._keys, self._fetched_at = {}, {}

    async def _fetch(self, issuer: str, settings: AuthOIDC) -> None:
        try:
            keys = await fetch_keys(issuer, settings.issuer_ca_bundle)
        except AisError as error:
            self._node.log.warning("keys of a token issuer not fetched", issuer=issuer, reason=str(error))
        else:
            if keys.keys() != self._keys.get(issuer, {}).keys():
                self._node.log.info("keys of a token issuer", issuer=issuer, keys=sorted(keys))
            self._keys = {**self._keys, issuer: keys}
            self.version += 1
        self._fetched_at[issuer] = self._node.env.clock.monotonic()


async def fetch_keys(issuer: str, ca: str = "") -> dict[str, IssuerKey]:
    """What an issuer signs with now. Raise `BadRequest`, `Unreachable`."""
    tls = client_context(ca=ca)
    timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        found = issuers.read_discovery(await _get(session, issuer.rstrip("/") + DISCOVERY, tls))
        if found.issuer != issuer:
            raise BadRequest(f'it calls itself "{found.issuer[:200]}"')
        if urlsplit(found.jwks_uri).scheme != "https" and urlsplit(found.jwks_uri).netloc != urlsplit(issuer).netloc:
            raise BadRequest("its jwks_uri is no https:// address")
        return issuers.read_keys(await _get(session, found.jwks_uri, tls))


async def _get(session: aiohttp.ClientSession, url: str, tls: ssl.SSLContext) -> bytes:
    try:
        async with session.get(url, ssl=tls, allow_redirects=False) as response:
            if response.status != 200:
                raise Unreachable(f"{url} answered {response.status}")
            body = await response.content.read(ANSWER_BYTES_MAX + 1)
            while len(body) <= ANSWER_BYTES_MAX and (more := await response.content.read(ANSWER_BYTES_MAX)):
                body += more
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise Unreachable(f"{url} cannot be reached: {str(error) or type(error).__name__}") from None
    if len(body) > ANSWER_BYTES_MAX:
        raise BadRequest(f"{url} answered more than {ANSWER_BYTES_MAX} bytes")
    return body


def _or_default(setting: float, default: float) -> float:
    return float(setting) or default
