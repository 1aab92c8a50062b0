"""What AuthN tells the clusters that are registered with it: whether they take its tokens, and which are taken back."""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable, Sequence

import aiohttp

from ais.api import codec
from ais.auth.tokens import ClusterAcl
from ais_authn.model import failed

TIMEOUT_S = 10.0
_TOKENS = "/v1/tokens"


class ClusterClient:
    """Calls to clusters. `close` it inside the loop."""

    def __init__(self, *, skip_verify: bool = False) -> None:
        self._ssl: ssl.SSLContext | bool = not skip_verify
        self._opened: aiohttp.ClientSession | None = None
        self._up_to_date: set[str] = set()
        """IDs of clusters that were told all there was to tell."""
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def introduce(self, cluster: ClusterAcl, token: str, revoked: Sequence[str]) -> None:
        """Ask a cluster whether it takes our tokens, and tell it which are revoked. Raise `RemoteError` 400."""
        if not cluster.urls:
            raise failed("add", f"cluster {cluster.id}", "it has no URL", 400)
        refusals = [await self._call("POST", url, token, b"") for url in cluster.urls]
        if all(refusals):
            raise failed("add", f"cluster {cluster.id}", f"it does not take our tokens: {refusals[0]}", 400)
        await self._push(cluster, token, revoked)

    async def push(self, cluster: ClusterAcl, token: str, newest: str, revoked: Callable[[], Sequence[str]]) -> str:
        """Tell a cluster that a token is revoked; return why that failed at all of its URLs, or nothing.

        One that may not know of those before is told of all of them: it verifies each that it is told of.
        """
        async with self._turns[cluster.id]:
            is_up_to_date = cluster.id in self._up_to_date
            self._up_to_date.discard(cluster.id)
            fault = await self._push(cluster, token, [newest] if is_up_to_date else revoked())
            if not fault:
                self._up_to_date.add(cluster.id)
            return fault

    async def _push(self, cluster: ClusterAcl, token: str, revoked: Sequence[str]) -> str:
        if not revoked:
            return ""
        body = codec.to_json({"tokens": list(revoked)})
        fault = ""
        for url in cluster.urls:
            fault = await self._call("DELETE", url, token, body)
            if not fault:
                return ""
        return fault

    async def close(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            await self._opened.close()

    async def _call(self, method: str, url: str, token: str, body: bytes) -> str:
        """Why the call failed; empty: it did not."""
        if self._opened is None:
            self._opened = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        lines = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            async with self._opened.request(
                method, url.rstrip("/") + _TOKENS, data=body, headers=lines, ssl=self._ssl, allow_redirects=False
            ) as answer:
                return "" if answer.status == 200 else f"{url} answered {answer.status}: {(await answer.text())[:200]}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return f"{url} cannot be reached: {error}"
