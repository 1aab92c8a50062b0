"""A bucket at moto, and a cluster in this process in front of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import boto3

from ais.base.units import Duration
from ais.config.sections import Keepalive, KeepaliveTracker
from ais.stats import names as metrics
from harness.http import until

_SELDOM = KeepaliveTracker(interval=Duration(300))
CALM = {"keepalivetracker": Keepalive(_SELDOM, _SELDOM)}
"""On a busy machine a node of this process may miss heartbeats; then it does not say that something is not there."""
CONFIGURED = {"backend": {"aws": {}}, **CALM}


class Remote:
    """A bucket at moto, and the cluster in front of it."""

    def __init__(self, cluster: Any, name: str, origin: Any, http: aiohttp.ClientSession) -> None:
        self.cluster, self.name, self.origin, self.http = cluster, name, origin, http
        self.query = "?provider=aws"

    async def at_origin(self, call: str, **kwargs: Any) -> Any:
        """A call to the backend, behind our back; in a thread, because all nodes live in this loop."""
        return await asyncio.to_thread(getattr(self.origin, call), Bucket=self.name, **kwargs)

    async def put(self, key: str, body: bytes) -> None:
        """At the backend."""
        await self.at_origin("put_object", Key=key, Body=body)

    async def there(self, key: str) -> bytes | None:
        """What the backend has."""
        try:
            found = await self.at_origin("get_object", Key=key)
        except self.origin.exceptions.NoSuchKey:
            return None
        return bytes(await asyncio.to_thread(found["Body"].read))

    async def ask(self, method: str, key: str, action: str = "", **kwargs: Any) -> tuple[int, bytes, Any]:
        """A request on an object, redirects followed."""
        if action:
            kwargs["data"] = json.dumps({"action": action})
        url = f"{self.cluster.primary.url}/v1/objects/{self.name}/{key}{self.query}"
        async with self.http.request(method, url, **kwargs) as answer:
            return answer.status, await answer.read(), answer.headers

    async def get(self, key: str, **headers: str) -> bytes:
        """The content of an object."""
        status, body, _ = await self.ask("GET", key, headers=headers)
        assert status in (200, 206), body
        return body

    async def act(self, method: str, action: str, value: Any = None, more: str = "") -> Any:
        """An action on the bucket."""
        return await self.cluster.primary.act(method, f"/v1/buckets/{self.name}{self.query}{more}", action, value)

    async def job(self, method: str, action: str, value: Any) -> None:
        """A job on the bucket, to its end."""
        started = await self.act(method, action, value)
        assert started.status == 200, started.body
        async with asyncio.timeout(60):
            while True:
                query = {"id": started.body.decode()}
                answer = await self.cluster.primary.ask("GET", "/v1/cluster?what=qryxstats", query)
                assert answer.status == 200, answer.body
                snaps = [snap for found in answer.json.values() for snap in found or ()]
                if not any(snap["end-time"].startswith("0001") for snap in snaps):
                    assert not any(snap["err"] for snap in snaps), snaps
                    return
                await asyncio.sleep(0.05)

    async def listed(self, props: str = "name,size,cached", flags: int = 0, **value: Any) -> dict[str, Any]:
        """A listing: entries by name."""
        value |= {"props": props, "flags": str(flags)}
        answer = await self.act("GET", "list", value)
        assert answer.status == 200, answer.body
        return {one["name"]: one for one in answer.json["entries"] or ()}

    async def settled(self) -> None:
        """Wait for what is still being stored, and counted: readers have it before."""
        await until(lambda: not any(task.get_name().startswith("cold GET ") for task in asyncio.all_tasks()))

    async def cached(self) -> list[str]:
        """The objects that are in the cluster, when no fetch is under way any more."""
        await self.settled()
        return sorted(await self.listed(flags=1))

    @property
    def cold_gets(self) -> int:
        """Objects that targets have fetched."""
        return sum(target.node.stats.total(metrics.GET_COLD_N) for target in self.cluster.targets)


@asynccontextmanager
async def remote_bucket(serve: Any, aws: str, name: str, **kwargs: Any) -> AsyncIterator[Remote]:
    """Two targets, and a bucket at moto with four objects."""
    origin = await asyncio.to_thread(boto3.client, "s3", endpoint_url=aws)
    await asyncio.to_thread(origin.create_bucket, Bucket=name)
    async with (
        serve(targets=2, storage=True, **{**CONFIGURED, **kwargs}) as cluster,
        aiohttp.ClientSession() as http,
    ):
        bucket = Remote(cluster, name, origin, http)
        for number in range(4):
            await bucket.put(f"d/o{number}", b"content %d" % number)
        yield bucket
    origin.close()
