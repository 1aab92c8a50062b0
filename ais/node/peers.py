"""Calls to the control network of other nodes, errors rebuilt as the class the other node raised."""

import asyncio
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from ais.api import codec, headers
from ais.api.errors import decode_error
from ais.base.errors import AisError
from ais.env.network import Answer, Network
from ais.meta.smap import Snode

T = TypeVar("T")


class Peers:
    """The other nodes, as `me` calls them."""

    def __init__(self, network: Network, me: Snode) -> None:
        self._network = network
        self._headers = {headers.CALLER_ID: me.id, headers.CALLER_NAME: me.name}

    async def call(
        self,
        url: str,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float,
    ) -> Answer:
        """One call to the node at `url`. Raise `Unreachable`, or the error that it answered."""
        answer = await self._network.call(
            method, url + path, query=query, headers=self._headers, body=body, timeout_s=timeout_s
        )
        if answer.status >= 400:
            raise decode_error(answer.status, answer.body, url + path)
        return answer

    async def ask(
        self, url: str, method: str, path: str, message: msgspec.Struct, kind: type[T], timeout_s: float
    ) -> T:
        """Send an internal message and read the answer to it. Raise as `call` does."""
        answer = await self.call(url, method, path, body=codec.to_msgpack(message), timeout_s=timeout_s)
        return codec.from_msgpack(answer.body, kind)

    async def call_all(
        self,
        nodes: Iterable[Snode],
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float,
    ) -> dict[str, Answer | AisError]:
        """The same call to many nodes at once: per node ID what it answered, or the error instead."""

        async def one(node: Snode) -> tuple[str, Answer | AisError]:
            try:
                return node.id, await self.call(
                    node.control.url, method, path, query=query, body=body, timeout_s=timeout_s
                )
            except AisError as error:
                return node.id, error

        return dict(await asyncio.gather(*(one(node) for node in nodes)))
