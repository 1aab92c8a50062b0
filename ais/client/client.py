"""The client: one session with a cluster, its calls grouped by what they are about.

async with Client("http://127.0.0.1:8080") as client:
    await client.buckets.create(Bck("photos"))
    await client.objects.put(Bck("photos"), "cat.jpg", Path("cat.jpg"))
"""

from types import TracebackType
from typing import Self

from ais.client.access_keys import AccessKeys
from ais.client.buckets import Buckets
from ais.client.cluster import Cluster
from ais.client.downloads import Downloads
from ais.client.jobs import Jobs
from ais.client.multipart import Multipart
from ais.client.nodes import Node
from ais.client.objects import Objects
from ais.client.shards import Shards
from ais.client.sorts import Sorts
from ais.client.transport import CONNECT_TIMEOUT_S, Transport
from ais.config.environment import ClientEnvironment, for_client

TIMEOUT_S = 60.0
RETRIES = 5
CONNECTIONS = 64


class Client:
    """Calls to one cluster through one of its gateways. An asynchronous context manager, for one event loop.

    Calls raise the errors of `ais.base.errors` that the cluster answered, or `Unreachable`.
    """

    def __init__(
        self,
        endpoint: str = "",
        *,
        environment: ClientEnvironment | None = None,
        timeout_s: float = TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        retries: int = RETRIES,
        connections: int = CONNECTIONS,
    ) -> None:
        """`endpoint` is a gateway's URL; empty: `AIS_ENDPOINT`, else port 8080 of this machine. TLS files and the token
        come from `environment` (default: the process's variables). `timeout_s` bounds the silence while waiting for an
        answer, `connect_timeout_s` that for a connection; `retries` are made when a connection fails, never because of
        an answer.
        """
        environment = environment or for_client()
        self._transport = Transport(
            endpoint or environment.endpoint,
            environment,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            retries=retries,
            connections=connections,
        )
        self.buckets = Buckets(self._transport)
        self.objects = Objects(self._transport)
        self.cluster = Cluster(self._transport)
        self.jobs = Jobs(self._transport)
        self.downloads = Downloads(self._transport)
        self.multipart = Multipart(self._transport)
        self.shards = Shards(self._transport)
        self.sorts = Sorts(self._transport)
        self.access_keys = AccessKeys(self._transport)

    @property
    def endpoint(self) -> str:
        """The gateway's URL."""
        return self._transport.endpoint

    def node(self, node_id: str) -> Node:
        """Calls answered by one node of the cluster, reached through the gateway."""
        return Node(self._transport, node_id)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, value, traceback)
