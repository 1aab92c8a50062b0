"""The receivers of a node, by their URLs."""

import asyncio
from collections.abc import Collection

from ais.config import receivers
from ais.node.receivers.broker import Broker
from ais.node.receivers.receiver import Receiver
from ais.node.receivers.webhook import Webhook

TIMEOUT_S = 30.0


class Receivers:
    """Each is made when it is first asked for, and is there until it is not kept any more."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        """`timeout_s`: for a receiver to take what is sent to it."""
        self._timeout_s = timeout_s
        self._by_url: dict[str, Receiver] = {}

    def of(self, url: str) -> Receiver:
        """The receiver with a URL of `net.s3_events`."""
        if (found := self._by_url.get(url)) is None:
            found = self._by_url[url] = self._make(url)
        return found

    async def keep(self, urls: Collection[str]) -> None:
        """Close those with other URLs, whom nobody tells any more."""
        await asyncio.gather(*(self._by_url.pop(url).close() for url in self._by_url.keys() - set(urls)))

    async def close(self) -> None:
        """Close all."""
        await self.keep(())

    def _make(self, url: str) -> Receiver:
        address = receivers.parse(url)
        if address.kind == receivers.WEBHOOK:
            return Webhook(url, self._timeout_s)
        return Broker(address, self._timeout_s)
