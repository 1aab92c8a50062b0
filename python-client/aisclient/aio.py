"""The asynchronous client. Use it in one event loop; `async with` closes its connections.

async with AsyncClient("http://127.0.0.1:8080") as client:
    await client.bucket("data").object("a").put(b"content")
"""

from types import TracebackType
from typing import Any, Self

import msgspec

from aisclient.attributes import message
from aisclient.buckets import AsyncBucket
from aisclient.clustermap import ClusterMap
from aisclient.driver import AsyncioDriver, Driver
from aisclient.names import Bck, parse_url
from aisclient.objects import AsyncObject
from aisclient.settings import Settings
from aisclient.transport import Transport

__all__ = ["AsyncBucket", "AsyncClient", "AsyncObject"]


class AsyncClient:
    """A cluster. The arguments are those of `Settings.of`."""

    def __init__(self, endpoint: str = "", **settings: Any) -> None:
        self._set_up(Settings.of(endpoint, **settings), AsyncioDriver())

    @classmethod
    def on(cls, driver: Driver, settings: Settings) -> Self:
        """One that works with another driver."""
        client = cls.__new__(cls)
        client._set_up(settings, driver)
        return client

    def _set_up(self, settings: Settings, driver: Driver) -> None:
        self.settings = settings
        self._transport = Transport(driver, settings)

    def bucket(self, bck_name: str, provider: str = "ais", namespace: str = "") -> AsyncBucket:
        """A bucket, there or not. Raise `ValueError` for a name that none can have."""
        return AsyncBucket(self._transport, Bck.of(bck_name, provider, namespace))

    def get_object_from_url(self, url: str) -> AsyncObject:
        """The object of `ais://bucket/name`. Raise `ValueError`."""
        bck, name = parse_url(url)
        return AsyncBucket(self._transport, bck).object(name)

    async def list_buckets(self, provider: str = "ais") -> list[Bck]:
        """All buckets of a provider; of every one when it is empty."""
        body = await self._transport.call(
            "GET", f"/v1/buckets?provider={provider}", message=message("list"), is_repeatable=True
        )
        return [one.bck for one in _buckets.decode(body)]

    async def cluster_map(self) -> ClusterMap:
        """The cluster map as it is now."""
        return await self._transport.cluster_map(is_fresh=True)

    async def aclose(self) -> None:
        """Close idle connections."""
        self._transport.pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Namespace(msgspec.Struct, frozen=True):
    uuid: str = ""
    name: str = ""


class _Listed(msgspec.Struct):
    name: str
    provider: str = "ais"
    namespace: _Namespace = _Namespace()

    @property
    def bck(self) -> Bck:
        return Bck(self.name, self.provider, f"@{self.namespace.uuid}#{self.namespace.name}")


_buckets = msgspec.json.Decoder(list[_Listed])
