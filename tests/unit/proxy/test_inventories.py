"""Inventories of a bucket at moto: made once, listed without asking the backend, shown, replaced, destroyed."""

import asyncio
from collections.abc import Callable
from typing import Any

from harness.gate import gate_before
from harness.remote import Remote

Run = Callable[[Any], Any]
NBI = 1 << 15
ENCRYPTED = (
    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
    "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
)
NAMES = [f"d/o{number}" for number in range(4)] + [f"e{number}" for number in range(6)]


async def _made(bucket: Remote, **value: Any) -> str:
    """An inventory, its job at its end."""
    started = await bucket.act("POST", "create-inventory", value)
    assert started.status == 200, started.body
    return await _ended(bucket, started.body.decode())


async def _ended(bucket: Remote, uuid: str) -> str:
    async with asyncio.timeout(60):
        while True:
            answer = await bucket.cluster.primary.ask("GET", "/v1/cluster?what=status", {"id": uuid})
            if answer.status == 200 and answer.json["end_time"]:
                assert (answer.json["kind"], answer.json["err"]) == ("create-inventory", "")
                return uuid
            await asyncio.sleep(0.02)


async def _shown(bucket: Remote, name: str = "") -> dict[str, Any]:
    body = {"action": "show-inventory", "name": name}
    answer = await bucket.cluster.primary.ask("GET", f"/v1/buckets/{bucket.name}{bucket.query}", body)
    assert answer.status == 200, answer.body
    return dict(answer.json)


async def _destroyed(bucket: Remote, name: str = "") -> None:
    body = {"action": "destroy-inventory", "name": name}
    answer = await bucket.cluster.primary.ask("DELETE", f"/v1/buckets/{bucket.name}{bucket.query}", body)
    assert (answer.status, answer.body) == (200, b"")


def test_an_inventory(remote: Any, run: Run, aws: str, monkeypatch: Any) -> None:
    """It tells what the bucket had, with what the cluster has of it now, over both APIs; errors say what to do."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                for name in NAMES[4:]:
                    await bucket.put(name, name.encode())
                listing = {"props": "name,size", "flags": str(NBI)}
                assert (await bucket.act("GET", "list", listing)).status == 400
                many = [bucket.act("POST", "create-inventory", {"names_per_chunk": 3}) for _ in range(3)]
                outcomes = await asyncio.gather(*many)
                assert sorted(one.status for one in outcomes)[0] == 200 < sorted(one.status for one in outcomes)[1]
                uuid = await _ended(bucket, next(one.body.decode() for one in outcomes if one.status == 200))
                assert uuid.startswith("inv-")
                key = f"aws/@#/{bucket.name}/{uuid}"
                info = (await _shown(bucket))[key]
                assert info.items() >= {"bucket": f"s3://{bucket.name}", "name": uuid, "obj_name": key}.items()
                assert (info["ntotal"], info["chunks"], info["nat"]) == (len(NAMES), 4, 2)
                assert info["size"] > 0 < info["started"] <= info["finished"]
                assert (await _shown(bucket, "another"), await _shown(bucket, uuid)) == ({}, {key: info})
                assert (await bucket.act("POST", "create-inventory", {})).status == 409
                await bucket.put("later", b"x")
                await bucket.get("e1")
                before = gate.requests
                listed = await bucket.listed("name,size,cached,version", flags=NBI)
                assert {name: int(one["size"]) for name, one in listed.items()} == {
                    name: 9 if name < "e" else 2 for name in NAMES
                }
                assert [name for name, one in listed.items() if int(one.get("flags", 0)) & 64] == ["e1"]
                assert sorted(await bucket.listed("name", flags=NBI | 1)) == ["e1"]
                assert sorted(await bucket.listed("name", flags=NBI | 1 << 11)) == ["d/", *NAMES[4:]]
                assert await _paged(bucket, "e", 2) == [NAMES[4:6], NAMES[6:8], NAMES[8:]]
                assert await _over_s3(bucket, uuid) == NAMES
                assert gate.requests == before
                for bad in ({"start_after": "e"}, {"flags": str(NBI | 1 << 9)}, {"flags": str(NBI | 1 << 12)}):
                    assert (await bucket.act("GET", "list", listing | bad)).status == 400
                for bad in ({"start_after": "e"}, {"flags": "1"}, {"names_per_chunk": 1}, {"name": "a/b"}):
                    assert (await bucket.act("POST", "create-inventory", bad)).status == 400, bad
                assert await _made(bucket, force=True, name="mine", prefix="d/")
                assert [one["name"] for one in (await _shown(bucket)).values()] == ["mine"]
                assert sorted(await bucket.listed("name", flags=NBI)) == NAMES[:4]
                await _destroyed(bucket, "another")
                await _destroyed(bucket, "mine")
                assert await _shown(bucket) == {}
                assert (await bucket.act("GET", "list", listing)).status == 400
                await _made(bucket)
                assert (await bucket.act("DELETE", "evict-remote-bck")).status == 200
                assert await _shown(bucket) == {}
                assert (await bucket.cluster.primary.act("POST", "/v1/buckets/own", "create-bck")).status == 200
                asked = await bucket.cluster.primary.act("POST", "/v1/buckets/own", "create-inventory")
                assert asked.status == 400

    run(scenario())


def test_an_inventory_in_a_bucket_that_encrypts(remote: Any, run: Run, aws: str) -> None:
    """They are objects of a bucket, which may have a default as any other."""

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.put("a", b"a")
            await _made(bucket)
            url = f"{bucket.cluster.primary.url}/s3/.sys-inventory?encryption"
            async with bucket.http.put(url, data=ENCRYPTED) as answer:
                assert answer.status == 200, await answer.text()
            (before,) = (await _shown(bucket)).values()
            await _made(bucket, force=True)
            (info,) = (await _shown(bucket)).values()
            assert info["size"] == before["size"]
            assert sorted(await bucket.listed("name", flags=NBI)) == ["a", *NAMES[:4]]

    run(scenario())


def test_an_inventory_is_of_one_bucket(remote: Any, run: Run, aws: str) -> None:
    """One that had the name before, or what a bucket was linked to before: nobody sees names of that."""

    async def scenario() -> None:
        async with remote() as bucket:
            linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
            linked.query = ""
            link = {"backend_bck": {"name": bucket.name, "provider": "aws"}}
            assert (await linked.act("POST", "create-bck", link)).status == 200
            await _made(linked)
            assert sorted(await linked.listed("name", flags=NBI)) == NAMES[:4]
            assert (await linked.act("DELETE", "destroy-bck")).status == 200
            assert (await linked.act("POST", "create-bck", link)).status == 200
            assert await _shown(linked) == {}
            listing = {"props": "name", "flags": str(NBI)}
            assert (await linked.act("GET", "list", listing)).status == 400
            await _made(linked, name="mine")
            assert list(await _shown(linked)) == ["ais/@#/linked/mine"]
            await asyncio.to_thread(bucket.origin.create_bucket, Bucket="another")
            link["backend_bck"]["name"] = "another"
            assert (await linked.act("PATCH", "set-bprops", link)).status == 200
            assert await _shown(linked) == {}
            assert (await linked.act("GET", "list", listing)).status == 400

    run(scenario())


async def _paged(bucket: Remote, prefix: str, size: int) -> list[list[str]]:
    pages, token = [], ""
    while True:
        value = {"props": "name", "flags": str(NBI), "prefix": prefix, "pagesize": size, "continuation_token": token}
        page = (await bucket.act("GET", "list", value)).json
        pages.append([one["name"] for one in page["entries"] or ()])
        if not (token := page["continuation_token"]):
            return pages


async def _over_s3(bucket: Remote, name: str) -> list[str]:
    url = f"{bucket.cluster.primary.url}/s3/{bucket.name}?list-type=2"
    async with bucket.http.get(url, headers={"Ais-Bucket-Inventory": "true", "Ais-Inv-Name": name}) as answer:
        text = await answer.text()
        assert answer.status == 200, text
    return [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]
