"""Many clients and one object: whole old bytes or whole new bytes, never a mix, never the past after the present."""

import asyncio

import aiohttp
import xxhash
from harness.load import object_url, session
from harness.nodes import files_of
from harness.wire import Api

SIZES = [1, 4096, 100_000, 70_000, 1_000_000, 300_001, 64, 65_536]


def body_of(writer: int, turn: int) -> bytes:
    """What a writer puts: its number and turn, repeated; length tells the writer."""
    unit = b"%d:%05d;" % (writer, turn)
    return (unit * (SIZES[writer] // len(unit) + 1))[: SIZES[writer]]


async def put(client: aiohttp.ClientSession, url, body: bytes) -> None:
    async with client.put(url, data=body) as answer:
        assert answer.status == 200, await answer.text()


async def read_whole(client: aiohttp.ClientSession, url, bodies: set[bytes]) -> None:
    """One GET: a body somebody put, and the checksum header that belongs to it."""
    async with client.get(url) as answer:
        body = await answer.read()
        assert answer.status == 200, body
        assert body in bodies
        assert answer.headers["Ais-Checksum-Value"] == xxhash.xxh64_hexdigest(body)


def test_concurrent_writers_of_one_object(cluster, api: Api, bucket: str):
    """Eight writers and four readers of one name through both proxies: every read is one writer's whole body."""
    turns = 12
    bodies = {body_of(writer, turn) for writer in range(8) for turn in range(turns)}
    urls = [object_url(node.url, bucket, "contended") for node in cluster.proxies]
    api.put(bucket, "contended", body_of(0, 0))
    writing = [True]

    async def write(client: aiohttp.ClientSession, writer: int) -> None:
        for turn in range(turns):
            await put(client, urls[writer % 2], body_of(writer, turn))

    async def read(client: aiohttp.ClientSession, reader: int) -> None:
        while writing[0]:
            await read_whole(client, urls[reader % 2], bodies)

    async def main() -> None:
        async with session() as client, asyncio.TaskGroup() as readers:
            for reader in range(4):
                readers.create_task(read(client, reader))
            async with asyncio.TaskGroup() as writers:
                for writer in range(8):
                    writers.create_task(write(client, writer))
            writing[0] = False

    asyncio.run(main())
    final = api.get(bucket, "contended")
    assert final.body in {body_of(writer, turns - 1) for writer in range(8)}
    # Each PUT is a version of its own; none was lost between two that ran at once.
    assert int(final.header("Ais-Version")) == 1 + 8 * turns
    mountpaths = [path for node in cluster.targets for path in node.mountpaths]
    assert not [path for path in files_of(mountpaths, "wk") if bucket in path.parts]


def test_read_after_write_through_the_other_proxy(cluster, bucket: str):
    """After the 200 of a PUT every reader sees it, through any proxy, each time."""

    async def main() -> None:
        async with session() as client:
            for turn in range(60):
                await put(client, object_url(cluster.proxies[turn % 2].url, bucket, "o"), b"turn %d" % turn)
                async with client.get(object_url(cluster.proxies[(turn + 1) % 2].url, bucket, "o")) as answer:
                    assert await answer.read() == b"turn %d" % turn

    asyncio.run(main())


def test_a_reader_keeps_the_object_it_opened(api: Api, cluster, bucket: str):
    """A slow reader gets the bytes that were there when it began, though they are replaced and deleted meanwhile."""
    old = body_of(4, 1) * 8
    api.put(bucket, "slow", old)

    async def main() -> None:
        async with session() as client, client.get(object_url(cluster.endpoint, bucket, "slow")) as answer:
            first = await answer.content.readexactly(1000)
            await put(client, object_url(cluster.endpoint, bucket, "slow"), b"new")
            async with client.delete(object_url(cluster.endpoint, bucket, "slow")) as gone:
                assert gone.status == 200
            assert first + await answer.read() == old

    asyncio.run(main())


def test_concurrent_create_of_one_bucket(cluster):
    """Of many simultaneous creates of one bucket exactly one is a 200, the rest are 409."""

    async def main() -> list[int]:
        async with session() as client:

            async def create(number: int) -> int:
                url = f"{cluster.proxies[number % 2].url}/v1/buckets/raced?provider=ais"
                async with client.post(url, json={"action": "create-bck"}) as answer:
                    return answer.status

            return sorted(await asyncio.gather(*(create(number) for number in range(10))))

    try:
        assert asyncio.run(main()) == [200] + [409] * 9
    finally:
        assert Api(cluster.endpoint).destroy("raced").status == 200


def test_deletes_and_puts_race(cluster, api: Api, bucket: str):
    """Whatever order deletes and PUTs of one name come in, the end is one whole object or none."""
    url = object_url(cluster.endpoint, bucket, "o")

    async def main() -> None:
        async with session() as client:

            async def delete() -> None:
                async with client.delete(url) as answer:
                    assert answer.status in (200, 404)

            for turn in range(15):
                await asyncio.gather(
                    put(client, url, body_of(3, turn)), delete(), put(client, url, body_of(2, turn)), delete()
                )

    asyncio.run(main())
    answer = api.get(bucket, "o")
    assert answer.status == 404 or answer.body in {body_of(3, 14), body_of(2, 14)}
    assert api.names(bucket) == (["o"] if answer.status == 200 else [])
