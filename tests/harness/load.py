"""Many requests at once from one process: for filling buckets and for tests of concurrency. Follows redirects."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import quote

import aiohttp
import yarl

from ais.api import codec
from ais.meta.placement import Placement
from ais.meta.smap import Smap
from harness.wire import Api, RawConnection


def object_url(endpoint: str, bucket: str, name: str) -> yarl.URL:
    """The URL of an object, encoded once and left alone afterwards."""
    return yarl.URL(f"{endpoint}/v1/objects/{bucket}/{quote(name)}?provider=ais", encoded=True)


def session(timeout_s: float = 60.0) -> aiohttp.ClientSession:
    """A client session; closing is the caller's."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        connector=aiohttp.TCPConnector(limit=0),
        requote_redirect_url=False,
        auto_decompress=False,
    )


async def each(items: Iterable, work: Callable[..., Awaitable[None]], parallel: int = 16) -> None:
    """Run `work(item)` over all items, `parallel` at a time; the first failure ends it."""
    pending = iter(items)

    async def worker() -> None:
        for item in pending:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(worker())


def put_all(endpoint: str, bucket: str, names: Iterable[str], content: Callable[[str], bytes]) -> None:
    """PUT an object for each name; every one must be acknowledged."""

    async def main() -> None:
        async with session() as client:

            async def put(name: str) -> None:
                async with client.put(object_url(endpoint, bucket, name), data=content(name)) as answer:
                    assert answer.status == 200, (name, answer.status, await answer.text())

            await each(names, put)

    asyncio.run(main())


def check_all(endpoint: str, bucket: str, names: Iterable[str], content: Callable[[str], bytes]) -> None:
    """GET each object; every one must have exactly its content."""

    async def main() -> None:
        async with session() as client:

            async def get(name: str) -> None:
                async with client.get(object_url(endpoint, bucket, name)) as answer:
                    body = await answer.read()
                    assert answer.status == 200, (name, answer.status, body[:300])
                    assert body == content(name), name

            await each(names, get)

    asyncio.run(main())


def bytes_of(name: str, size_max: int = 200_000) -> bytes:
    """The reproducible content that belongs to a name; sizes differ widely, most are small."""
    source = random.Random(name)
    return source.randbytes(int(size_max * source.random() ** 4))


def put_empty(endpoint: str, bucket: str, names: Iterable[str], batch: int = 256) -> None:
    """PUT empty objects as fast as one process can: straight to the owners, many requests per packet."""
    smap = Api(endpoint).smap()
    placement = Placement(codec.from_json(codec.to_json(smap), Smap))
    waiting: dict[str, list[str]] = {target: [] for target in smap["tmap"]}
    with contextlib.ExitStack() as stack:
        connections = {
            target: stack.enter_context(RawConnection(snode["public_net"]["direct_url"], 60))
            for target, snode in smap["tmap"].items()
        }

        def send(target: str) -> None:
            heads = (
                f"PUT /v1/objects/{bucket}/{quote(name)}?pid=x&utm=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                for name in waiting[target]
            )
            connection = connections[target]
            connection.send("".join(heads).encode())
            missing, tail = len(waiting[target]), b""
            while missing:
                data = tail + connection.socket.recv(1 << 20)
                assert data != tail, "the target closed the connection"
                *answers, tail = data.split(b"\r\n\r\n")
                assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers), answers[:1]
                missing -= len(answers)
            waiting[target].clear()

        for name in names:
            owner = placement.owner(f"ais/@#/{bucket}/{name}").id
            waiting[owner].append(name)
            if len(waiting[owner]) == batch:
                send(owner)
        for target in waiting:
            send(target)
