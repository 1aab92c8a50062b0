"""Backends that fail, through a cluster: a clear error, nothing partial or stale here, and the next try is right."""

import asyncio
import io
import os
from collections.abc import Callable
from typing import Any

import pytest
from harness import gate as faults
from harness.gate import gate_before
from harness.remote import Remote

from ais.api.bucket import Bck
from ais.backend import pacing, s3
from ais.core.meta import XATTR
from ais.proxy import remote as remote_buckets
from ais.target.remote import cold

Run = Callable[[Any], Any]
LARGE = bytes(range(251)) * 9_000


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are the library's."""
    monkeypatch.setattr(s3, "ATTEMPTS_MAX", 1)


@pytest.mark.parametrize("fault", [faults.LOST, faults.REFUSED])
def test_writes(remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A PUT that failed, done or not at the backend, leaves nothing stale here: the next GET has what is there."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                assert await bucket.get("d/o0") == b"content 0"
                gate.fault = fault
                status, body, _ = await bucket.ask("PUT", "d/o0", data=io.BytesIO(b"changed"))
                assert status == 502, body
                assert await bucket.cached() == []
                gate.fault = ""
                there = await bucket.there("d/o0")
                assert there == (b"changed" if fault == faults.LOST else b"content 0")
                assert await bucket.get("d/o0") == there
                assert (await bucket.ask("PUT", "d/o0", data=b"again"))[0] == 200
                assert await bucket.there("d/o0") == await bucket.get("d/o0") == b"again"

    run(scenario())


def test_a_backend_that_is_down_is_left_alone(remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some failures in a row nobody waits for the backend any more; what is here is read."""

    monkeypatch.setattr(pacing, "PAUSE_S", 3600.0)

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.get("d/o3")
                gate.fault = faults.REFUSED
                owned = [name for name in (f"n{number}" for number in range(400)) if _is_first(bucket, name)][:6]
                for name in owned[:5]:
                    assert (await bucket.ask("PUT", name, data=b"x"))[0] == 502
                before = gate.requests
                status, body, _ = await bucket.ask("PUT", owned[5], data=b"x")
                assert (status, b"asked again in" in body, gate.requests) == (502, True, before), body
                assert await bucket.get("d/o3") == b"content 3"

    run(scenario())


@pytest.mark.parametrize("old", [b"content", LARGE], ids=["small", "large"])
def test_reads_during_a_write(remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch, old: bytes) -> None:
    """Whoever reads an object that is being written gets what the backend has until then, small or large; what has to
    be here waits for the new one. The backend is not asked again and again meanwhile."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.put("o", old)
                await bucket.get("o")
                await bucket.settled()
                gate.reads.clear()
                gate.fault = faults.HELD
                write = asyncio.create_task(bucket.ask("PUT", "o", data=b"new"))
                await _until(lambda: gate.held == 1)
                assert await asyncio.gather(*(bucket.get("o") for _ in range(4))) == [old] * 4
                async with bucket.http.get(f"{bucket.cluster.primary.url}/s3/{bucket.name}/o") as answer:
                    assert (answer.status, await answer.read()) == (200, old)
                assert 1 <= gate.reads["o"] <= 5
                fetched = asyncio.create_task(bucket.job("POST", "prefetch-listrange", {"objnames": ["o"]}))
                await _until(lambda: fetched.done() or _waits(bucket))
                gate.fault = ""
                assert (await write)[0] == 200
                await fetched
                assert await bucket.get("o") == b"new"

    run(scenario())


def test_a_list_that_an_overloaded_backend_refuses_is_repeated(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as the bucket says, like everything else that it is asked for."""

    async def scenario() -> None:
        async with gate_before(aws, lambda request: "list-type" in request.query_string) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                limit = {"rate_limit": {"backend": {"enabled": True, "interval": "1s", "num_retries": 3}}}
                assert (await bucket.act("PATCH", "set-bprops", limit)).status == 200
                gate.fault = faults.OVERLOADED
                listing = asyncio.create_task(bucket.listed())
                await _until(lambda: gate.reads.total() == 2)
                gate.fault = ""
                assert len(await listing) == 4

    run(scenario())


def test_a_deletion_whose_job_was_stopped(remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend makes it later, when nobody waits for it any more: what is read until then is not kept."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.get("d/o0")
                gate.fault = faults.HELD
                job = asyncio.create_task(bucket.job("DELETE", "delete-listrange", {"objnames": ["d/o0"]}))
                await _until(lambda: gate.held == 1)
                stop = {"action": "stop", "value": {"kind": "delete-listrange"}}
                assert (await bucket.cluster.primary.ask("PUT", "/v1/cluster", stop)).status == 200
                await job
                assert await bucket.get("d/o0") == b"content 0"
                gate.fault = ""
                async with asyncio.timeout(60):
                    while await bucket.there("d/o0") is not None:  # noqa: ASYNC110 - at the backend, which tells nobody
                        await asyncio.sleep(0.05)
                await _until(lambda: not _changes(bucket))
                status, body, _ = await bucket.ask("GET", "d/o0")
                assert status == 404, body

    run(scenario())


def _changes(bucket: Remote) -> bool:
    """Whether an object is being changed."""
    return any(target.node.role._remote.cold._changing for target in bucket.cluster.targets)


def _waits(bucket: Remote) -> bool:
    """Whether somebody waits for the end of a change."""
    return any(target.node.role._remote.cold._unchanged for target in bucket.cluster.targets)


def test_a_backend_that_refuses_some_is_asked_by_others(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes what a backend does not take hears that, and keeps nobody else from it."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.ask("HEAD", "d/o3")
                gate.fault = faults.INVALID
                for number in range(6 * pacing.FAILURES_MAX):
                    status, body, _ = await bucket.ask("PUT", f"n{number}", data=b"x")
                    assert (status, b"InvalidArgument" in body) == (400, True), body
                gate.fault = ""
                for number in range(4):
                    assert await bucket.get(f"d/o{number}") == b"content %d" % number

    run(scenario())


def test_who_is_not_answered_keeps_nobody_else_waiting(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that takes requests and answers none: those behind them hear of it soon, another bucket is fetched
    from, what is here is read over both APIs, and who was first is answered in the end."""
    monkeypatch.setattr(cold, "AT_ONCE_MAX", 2)
    monkeypatch.setattr(cold, "TURN_STEP_S", 0.05)
    monkeypatch.setattr(pacing, "FAILURES_MAX", 2)
    monkeypatch.setattr(pacing, "SILENCE_S", 0.5)

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.get("d/o3")
                names = [name for name in (f"n{number}" for number in range(400)) if _is_first(bucket, name)][:8]
                for name in names:
                    await bucket.put(name, name.encode())
                other = await _at(bucket, f"{bucket.name}-other", aws, names)
                gate.fault = faults.HUNG
                reads = [asyncio.create_task(bucket.ask("GET", name)) for name in names]
                await _until(lambda: sum(one.done() for one in reads) == len(names) - 2)
                for one in reads:
                    if one.done():
                        status, body, _ = one.result()
                        assert (status, b"asked again in" in body) == (502, True), body
                await _until(lambda: sum(gate.reads[name] for name in names) == 2)
                for name in names:
                    assert await other.get(name) == b"other"
                assert await bucket.get("d/o3") == b"content 3"
                async with bucket.http.get(f"{bucket.cluster.primary.url}/s3/{bucket.name}/d/o3") as answer:
                    assert await answer.read() == b"content 3"
                gate.fault = ""
                assert sorted(status for status, *_ in await asyncio.gather(*reads)) == [200] * 2 + [502] * 6
                for name in names:
                    assert await bucket.get(name) == name.encode()

    run(scenario())


@pytest.mark.parametrize("span", [{}, {"Range": "bytes=5-9"}], ids=["whole", "a range"])
def test_a_bucket_that_is_not_answered_leaves_room_for_others_of_its_server(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch, span: dict[str, str]
) -> None:
    """As many of its objects are fetched as may be at a time, and none comes: one of another bucket does."""
    held: list[str] = []

    def is_read(request: Any) -> bool:
        return not request.query_string and request.path.startswith(tuple(held))

    async def scenario() -> None:
        async with gate_before(aws, is_read) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                held.append(f"/{bucket.name}/")
                other = Remote(bucket.cluster, f"other-{bucket.name}"[:60], bucket.origin, bucket.http)
                await other.at_origin("create_bucket")
                names = [name for name in (f"n{number}" for number in range(400)) if _is_first(bucket, name)]
                names = names[: cold.AT_ONCE_MAX + 8]
                for name in names:
                    await bucket.put(name, LARGE if span else b"x")
                there = next(name for name in names if _is_first(other, name))
                await other.put(there, b"other")
                gate.fault = faults.HUNG
                reads = [asyncio.create_task(bucket.ask("GET", name, headers=span)) for name in names]
                await _until(lambda: gate.reads.total() == cold.AT_ONCE_MAX)
                async with asyncio.timeout(20):
                    assert await other.get(there) == b"other"
                gate.fault = ""
                await asyncio.gather(*reads)

    run(scenario())


def test_lists_that_are_not_answered_leave_room_for_others(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway passes on so many questions about a bucket; one more is refused after a while, and about another bucket
    is not."""
    monkeypatch.setattr(remote_buckets, "ASKED_AT_ONCE_MAX", 1)
    monkeypatch.setattr(remote_buckets, "TURN_S_MAX", 0.2)

    async def scenario() -> None:
        async with gate_before(aws, lambda request: "list-type" in request.query) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                other = await _at(bucket, f"{bucket.name}-other", aws, ["n0"])
                gate.fault = faults.HUNG
                asked = asyncio.create_task(bucket.listed())
                await _until(lambda: bool(gate.reads))
                refused = await bucket.act("GET", "list", {"props": "name", "flags": "0"})
                assert (refused.status, b"others wait for the backend" in refused.body) == (503, True), refused.body
                assert list(await other.listed()) == ["n0"]
                gate.fault = ""
                assert len(await asked) == 4
                assert len(await bucket.listed()) == 4

    run(scenario())


async def _at(bucket: Remote, name: str, url: str, keys: list[str]) -> Remote:
    """Another bucket, at a server that works, with these objects."""
    await asyncio.to_thread(bucket.origin.create_bucket, Bucket=name)
    for key in keys:
        await asyncio.to_thread(bucket.origin.put_object, Bucket=name, Key=key, Body=b"other")
    other = Remote(bucket.cluster, name, bucket.origin, bucket.http)
    other.query = bucket.query
    created = await other.act("POST", "create-bck", {"extra": {"aws": {"endpoint": url}}})
    assert created.status == 200, created.body
    return other


def _is_first(bucket: Any, name: str) -> bool:
    """Whether the first target owns a name."""
    target = bucket.cluster.targets[0].node
    owner = target.placement.owner(f"aws/@#/{bucket.name}/{name}")
    return bool(owner.id == target.snode.id)


def test_what_the_backend_has_now(remote: Any, run: Run) -> None:
    """HEAD with `latest-ver` says whether what is here is that; `synchronize` and copies with `latest-ver` read it."""

    async def scenario() -> None:
        async with remote() as bucket:
            query = bucket.query
            await bucket.get("d/o0")
            await bucket.put("d/o0", b"another content")
            bucket.query = f"{query}&latest-ver=true"
            status, _, headers = await bucket.ask("HEAD", "d/o0")
            assert (status, "is not what its backend has" in headers["Hdr-Error"]) == (409, True)
            await bucket.get("d/o2")
            assert (await bucket.ask("HEAD", "d/o2"))[0] == 200
            await bucket.at_origin("delete_object", Key="d/o2")
            assert [(await bucket.ask("HEAD", name))[0] for name in ("d/o2", "d/none")] == [410, 404]
            bucket.query = query
            assert (await bucket.ask("HEAD", "d/o2"))[0] == 200
            await bucket.job("DELETE", "evict-listrange", {"objnames": ["d/o2"]})
            assert (await bucket.ask("HEAD", "d/o0"))[2]["Content-Length"] == "9"
            primary = bucket.cluster.primary
            assert (await primary.act("POST", "/v1/buckets/mine", "create-bck")).status == 200
            into = {"name": "mine", "provider": "ais"}
            asked = {"objnames": ["d/o0"], "tobck": into, "latest-ver": True}
            await bucket.job("POST", "copy-listrange", asked)
            async with bucket.http.get(f"{primary.url}/v1/objects/mine/d/o0") as answer:
                assert await answer.read() == b"another content"
            assert (await bucket.act("PATCH", "set-bprops", {"versioning": {"synchronize": True}})).status == 200
            await bucket.at_origin("delete_object", Key="d/o0")
            assert (await bucket.ask("GET", "d/o0"))[0] == 404
            assert await bucket.cached() == []
            await _compared(bucket)

    run(scenario())


async def _compared(bucket: Remote) -> None:
    """HEAD with `latest-ver` compares where it has more to look at than a file, and fetches nothing; S3's GET, HEAD and
    copies compare in a bucket that stays fresh."""
    plain, bucket.query = bucket.query, f"{bucket.query}&validate-checksum=true&latest-ver=true"
    _, _, headers = await bucket.ask("HEAD", "d/o1")
    assert (headers["Ais-Present"], await bucket.cached()) == ("false", [])
    compared, bucket.query = bucket.query, plain
    await bucket.get("d/o1")
    await bucket.put("d/o1", b"another content")
    bucket.query = compared
    assert (await bucket.ask("HEAD", "d/o1"))[0] == 409
    bucket.query = plain
    url = f"{bucket.cluster.primary.url}/s3/{bucket.name}/d"
    async with bucket.http.get(f"{url}/o1") as answer:
        assert await answer.read() == b"another content"
    await bucket.put("d/o1", b"changed")
    async with bucket.http.head(f"{url}/o1") as answer:
        assert answer.headers["Content-Length"] == "7"
    await bucket.get("d/o1")
    await bucket.put("d/o1", b"once more")
    source = {"x-amz-copy-source": f"/{bucket.name}/d/o1"}
    async with bucket.http.put(f"{url}/copy", headers=source) as answer:
        assert answer.status == 200
    assert await bucket.there("d/copy") == b"once more"


def test_an_eviction_leaves_what_is_only_here(remote: Any, run: Run) -> None:
    """What was in a bucket before it was linked, and a copy of an object at the backend, outlive the eviction of the
    object, of lists, and of the bucket; the job tells how many stayed, and fails for those it was given by name."""

    async def scenario() -> None:
        async with remote() as bucket:
            primary, link = bucket.cluster.primary, {"name": bucket.name, "provider": "aws"}
            assert (await primary.act("POST", "/v1/buckets/linked", "create-bck")).status == 200
            linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
            linked.query = ""
            assert (await linked.ask("PUT", "only", data=b"nowhere else"))[0] == 200
            for number in range(4):
                bucket.query = f"?provider=aws&object_to=ais/@%23/linked/c{number}"
                assert (await bucket.ask("PUT", f"d/o{number}"))[0] == 200
            assert (await linked.act("PATCH", "set-bprops", {"backend_bck": link})).status == 200
            assert await linked.get("d/o0") == b"content 0"
            status, body, _ = await linked.ask("DELETE", "only", "evict-listrange")
            assert (status, b"only here" in body) == (409, True), body
            await linked.job("DELETE", "evict-listrange", {"template": ""})
            kept = ["c0", "c1", "c2", "c3", "only"]
            assert await linked.cached() == kept
            assert await linked.get("d/o0") == b"content 0"
            for path, value in (("evict-remote-bck", None), ("evict-listrange", {"objnames": ["only", "d/o0"]})):
                started = await linked.act("DELETE", path, value)
                assert started.status == 200, started.body
                snaps = await _ended(primary, started.body.decode())
                assert sum("stay, they are only here" in snap["ctlmsg"] for snap in snaps) >= 1, snaps
                assert any(snap["err"] for snap in snaps) == (path == "evict-listrange"), snaps
                assert await linked.cached() == kept
            assert await linked.get("only") == b"nowhere else"

    run(scenario())


@pytest.mark.parametrize("to", ["another", "nothing"])
def test_a_job_on_a_bucket_that_is_linked_to_something_else(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """It was meant for what the bucket was: what was to be deleted at one backend is not deleted at another, nor what
    the bucket has itself by then."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                primary, names = bucket.cluster.primary, [f"n{number:03d}" for number in range(60)]
                second = Remote(bucket.cluster, f"{bucket.name}-2", bucket.origin, bucket.http)
                await second.at_origin("create_bucket")
                for name in names:
                    await bucket.put(name, b"first")
                    await second.put(name, b"second")
                assert (await primary.act("POST", "/v1/buckets/linked", "create-bck", _linked(bucket))).status == 200
                linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
                linked.query = ""
                gate.fault = faults.HELD
                started = await linked.act("DELETE", "delete-listrange", {"template": "n"})
                assert started.status == 200, started.body
                await _until(lambda: gate.held > 1)
                await linked.act("PATCH", "set-bprops", {"backend_bck": {"name": "", "provider": ""}})
                if to == "another":
                    assert (await linked.act("PATCH", "set-bprops", _linked(second))).status == 200
                else:
                    for name in names:
                        assert (await linked.ask("PUT", name, data=b"its own"))[0] == 200
                gate.fault = ""
                assert any(snap["err"] for snap in await _ended(primary, started.body.decode()))
                assert {name: await second.there(name) for name in names} == dict.fromkeys(names, b"second")
                if to == "nothing":
                    assert {name: await linked.get(name) for name in names} == dict.fromkeys(names, b"its own")

    run(scenario())


def _linked(bucket: Remote) -> dict[str, Any]:
    """Properties of a bucket of ours that stands for this one."""
    return {"backend_bck": {"name": bucket.name, "provider": "aws"}}


async def _ended(primary: Any, uuid: str) -> list[dict[str, Any]]:
    """What the targets tell of a job when it is over."""
    async with asyncio.timeout(60):
        while True:
            answer = await primary.ask("GET", "/v1/cluster?what=qryxstats", {"id": uuid})
            snaps = [snap for found in answer.json.values() for snap in found or ()]
            if snaps and not any(snap["end-time"].startswith("0001") for snap in snaps):
                return snaps
            await asyncio.sleep(0.05)


def test_a_target_that_joins_during_a_write_waits_for_it(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who owns the name by then keeps nothing of the old object: its read waits until the backend has the new one."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                names = [f"n{number}" for number in range(16)]
                for name in names:
                    assert (await bucket.ask("PUT", name, data=b"old"))[0] == 200
                gate.fault = faults.HELD
                writes = [asyncio.create_task(bucket.ask("PUT", name, data=io.BytesIO(b"new"))) for name in names]
                await _until(lambda: gate.held == len(names))
                joined = await bucket.cluster.join()
                primary = bucket.cluster.primary.node
                await _until(lambda: joined.id in primary.smap.tmap and bool(primary.smap.moving))
                moved = [
                    name for name in names if primary.placement.owner(f"aws/@#/{bucket.name}/{name}").id == joined.id
                ]
                assert moved
                reads = [asyncio.create_task(bucket.get(name)) for name in moved]
                await asyncio.wait(reads, timeout=1)
                gate.fault = ""
                assert await asyncio.gather(*reads) == [b"new"] * len(moved)
                await asyncio.gather(*writes)
                await _until(lambda: not primary.smap.moving)
                for name in names:
                    assert (await bucket.there(name), await bucket.get(name)) == (b"new", b"new")

    run(scenario())


def test_what_only_we_have_is_read_in_parts_during_a_rebalance(remote: Any, run: Run) -> None:
    """An object that its new owner does not have yet is no reason to fetch what the backend has by that name: it would
    take the place of what is on its way."""

    async def scenario() -> None:
        async with remote() as bucket:
            primary, link = bucket.cluster.primary, {"name": bucket.name, "provider": "aws"}
            assert (await primary.act("POST", "/v1/buckets/linked", "create-bck")).status == 200
            linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
            linked.query, names = "", [f"n{number:03d}" for number in range(150)]
            for name in names:
                assert (await linked.ask("PUT", name, data=b"only here"))[0] == 200
                await bucket.put(name, b"at the backend")
            assert (await linked.act("PATCH", "set-bprops", {"backend_bck": link})).status == 200
            joined = await bucket.cluster.join()
            await _until(lambda: joined.id in primary.node.smap.tmap and bool(primary.node.smap.moving))
            moved = [name for name in names if primary.node.placement.owner(f"ais/@#/linked/{name}").id == joined.id]
            in_parts = {"Ais-Blob-Download": "true"}
            found = await asyncio.gather(*(linked.get(name, **in_parts) for name in moved))
            assert set(found) == {b"only here"}
            await _until(lambda: not primary.node.smap.moving)
            assert {await linked.get(name) for name in names} == {b"only here"}

    run(scenario())


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not is_so():  # noqa: ASYNC110 - of nodes, which tell nobody
            await asyncio.sleep(0.02)


def test_what_only_we_have_outlives_a_write_that_failed(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that was here before its bucket was linked goes when the backend has the new one, not before."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                link = {"name": bucket.name, "provider": "aws"}
                assert (await bucket.cluster.primary.act("POST", "/v1/buckets/linked", "create-bck")).status == 200
                linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
                linked.query = ""
                assert (await linked.ask("PUT", "only", data=b"nowhere else"))[0] == 200
                assert (await linked.act("PATCH", "set-bprops", {"backend_bck": link})).status == 200
                gate.fault = faults.REFUSED
                assert (await linked.ask("PUT", "only", data=io.BytesIO(b"changed")))[0] == 502
                assert await linked.get("only") == b"nowhere else"
                gate.fault = ""
                assert (await linked.ask("PUT", "only", data=b"changed"))[0] == 200
                assert await bucket.there("only") == await linked.get("only") == b"changed"
                assert (await linked.ask("DELETE", "only"))[0] == 200
                assert (await linked.ask("GET", "only"))[0] == 404

    run(scenario())


def test_conditions_on_what_only_we_have(remote: Any, run: Run) -> None:
    """They are compared with it: what nobody was to replace, or only if it is another, stays."""

    async def scenario() -> None:
        async with remote() as bucket:
            primary = bucket.cluster.primary
            await primary.act("POST", "/v1/buckets/linked", "create-bck")
            linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
            linked.query, url = "", f"{primary.url}/s3/linked/only"
            assert (await linked.ask("PUT", "only", data=b"nowhere else"))[0] == 200
            assert (await linked.act("PATCH", "set-bprops", _linked(bucket))).status == 200
            for method, condition in (
                ("PUT", {"If-None-Match": "*"}),
                ("PUT", {"If-Match": '"other"'}),
                ("DELETE", {"If-Match": '"other"'}),
            ):
                async with bucket.http.request(method, url, data=b"x", headers=condition) as answer:
                    assert answer.status == 412, (method, condition, await answer.read())
            assert (await linked.get("only"), await bucket.there("only")) == (b"nowhere else", None)
            async with bucket.http.head(url) as answer:
                tag = answer.headers["ETag"]
            async with bucket.http.put(url, data=b"new", headers={"If-Match": tag}) as answer:
                assert answer.status == 200, await answer.read()
            assert (await linked.get("only"), await bucket.there("only")) == (b"new", b"new")

    run(scenario())


def test_what_only_we_have_is_restored_and_not_fetched(
    remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an erasure-coded bucket that is linked: an object whose file is lost comes from its slices, whoever asks for
    it, and never from a backend that has another one by its name; a write that fails leaves it."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                primary, link = bucket.cluster.primary, {"name": bucket.name, "provider": "aws"}
                bucket.cluster.targets.append(await bucket.cluster.join())
                await _until(lambda: len(primary.node.smap.tmap) == 3 and not primary.node.smap.moving)
                coded = {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1, "objsize_limit": 0}}
                assert (await primary.act("POST", "/v1/buckets/linked", "create-bck", coded)).status == 200
                linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
                linked.query, names = "", ["s3", "copied", "prefetched", "in-parts", "latest", "written"]
                for name in names:
                    all_of_it = {"Ais-Ack": "all"}
                    status, body, _ = await linked.ask("PUT", name, data=b"only here", headers=all_of_it)
                    assert status == 200, body
                    await bucket.put(name, b"at the backend")
                assert (await linked.act("PATCH", "set-bprops", {"backend_bck": link})).status == 200
                for name in names:
                    os.unlink(_path(bucket, Bck("linked"), name))
                async with bucket.http.get(f"{primary.url}/s3/linked/s3") as answer:
                    assert (answer.status, await answer.read()) == (200, b"only here")
                linked.query = "?object_to=ais/@%23/linked/copy"
                assert (await linked.ask("PUT", "copied"))[0] == 200
                linked.query = "?latest-ver=true"
                assert await linked.get("latest") == b"only here"
                linked.query = ""
                await linked.job("POST", "prefetch-listrange", {"objnames": ["prefetched"]})
                assert await linked.get("in-parts", **{"Ais-Blob-Download": "true"}) == b"only here"
                gate.fault = faults.REFUSED
                assert (await linked.ask("PUT", "written", data=b"new"))[0] == 502
                gate.fault = ""
                assert {name: await linked.get(name) for name in names} == dict.fromkeys(names, b"only here")
                assert await bucket.there("copy") == b"only here"

    run(scenario())


def test_what_is_damaged_here_is_fetched_anew(remote: Any, run: Run) -> None:
    """Content that is compared, and metadata that cannot be read: the backend has the object, whoever asks for it. What
    may be only here stays as it is."""

    async def scenario() -> None:
        async with remote() as bucket:
            primary, names = bucket.cluster.primary, ["content", "get", "range", "head", "s3", "s3-head", "prefetched"]
            for name in names:
                await bucket.put(name, b"as it was")
            await bucket.job("POST", "prefetch-listrange", {"objnames": names})
            compares = {"checksum": {"validate_warm_get": True}}
            assert (await bucket.act("PATCH", "set-bprops", compares)).status == 200
            for name in names:
                _damage(bucket, Bck(bucket.name, "aws"), name, of_content=name == "content")
            assert await bucket.get("content") == await bucket.get("get") == b"as it was"
            assert await bucket.get("range", Range="bytes=3-4") == b"it"
            status, _, said = await bucket.ask("HEAD", "head")
            assert (status, said["Ais-Present"]) == (200, "false")
            url = f"{primary.url}/s3/{bucket.name}"
            async with bucket.http.get(f"{url}/s3") as answer, bucket.http.head(f"{url}/s3-head") as other:
                assert (await answer.read(), other.status) == (b"as it was", 200)
            await bucket.job("POST", "prefetch-listrange", {"objnames": ["prefetched"]})
            assert {name: await bucket.get(name) for name in names} == dict.fromkeys(names, b"as it was")

            await primary.act("POST", "/v1/buckets/linked", "create-bck", compares)
            linked = Remote(bucket.cluster, "linked", bucket.origin, bucket.http)
            linked.query = ""
            assert (await linked.ask("PUT", "content", data=b"only here"))[0] == 200
            assert (await linked.act("PATCH", "set-bprops", _linked(bucket))).status == 200
            assert await linked.get("get") == b"as it was"
            for name in ("content", "get"):
                _damage(bucket, Bck("linked"), name, of_content=True)
            assert (await linked.ask("GET", "content"))[0] == 500
            assert await linked.get("get") == b"as it was"

    run(scenario())


def _damage(bucket: Remote, bck: Bck, name: str, *, of_content: bool) -> None:
    path = _path(bucket, bck, name)
    if of_content:
        with open(path, "r+b") as file:
            file.write(b"XX")
    else:
        os.setxattr(path, XATTR, b"nothing that was ever written")


def _path(bucket: Remote, bck: Bck, name: str) -> str:
    """The file of an object."""
    owner = bucket.cluster.primary.node.placement.owner(bck.uname + name)
    store = next(target.role._store for target in bucket.cluster.targets if target.id == owner.id)
    return str(store.spot(bck, name).path)
