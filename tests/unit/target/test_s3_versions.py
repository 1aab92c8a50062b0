"""S3 versioning and lifecycle rules on a real target over HTTP."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from harness.target import BCK, LiveTarget, until

from ais.api.xact import LIFECYCLE
from ais.s3 import lock

Scenario = Callable[[Any], Any]
DAY_NS = 86_400 * 10**9


async def _set(live: LiveTarget, **changes: Any) -> None:
    """Change what the S3 API keeps about the bucket."""
    props = live.node.bmd.require(BCK).props.with_s3(**changes)
    await live.take(live.node.bmd.with_props(BCK, props))


def _rules(*rules: str) -> str:
    filled = (f"<Rule><ID>{index}</ID><Status>Enabled</Status>{rule}</Rule>" for index, rule in enumerate(rules))
    return f"<LifecycleConfiguration>{''.join(filled)}</LifecycleConfiguration>"


async def _run(live: LiveTarget) -> int:
    """Run the job to its end; how many versions and uploads it removed."""
    uuid = os.urandom(6).hex()
    message = {"action": "start", "value": {"id": uuid, "kind": LIFECYCLE}}
    started = await live.call("PUT", f"{live.url}/v1/xactions", data=msgspec.json.encode(message))
    assert started.status == 200
    xaction = live.target.registry.get(uuid)
    assert xaction is not None
    await xaction.wait()
    assert not xaction.snap().err
    return xaction.objects


def test_versions_are_kept_read_and_removed(serve: Any, run: Scenario) -> None:
    """Every PUT has an ID, a DELETE a marker; each version can be read, tagged, copied and removed by its ID."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.s3("PUT", "b/o", data=b"zero")
            await _set(live, versioning="Enabled")
            ids = [(await live.s3("PUT", "b/o", data=b"%d" % n)).headers["x-amz-version-id"] for n in range(3)]
            assert len(set(ids)) == 3
            got = await live.s3("GET", "b/o")
            assert (got.body, got.headers["x-amz-version-id"]) == (b"2", ids[2])
            for index, version_id in enumerate(ids):
                assert (await live.s3("GET", f"b/o?versionId={version_id}")).body == b"%d" % index
            assert (await live.s3("GET", "b/o?versionId=null")).body == b"zero"
            assert b"NoSuchVersion" in (await live.s3("GET", f"b/o?versionId={'0' * 32}")).body

            gone = await live.s3("DELETE", "b/o")
            assert (gone.status, gone.headers["x-amz-delete-marker"]) == (204, "true")
            marker = gone.headers["x-amz-version-id"]
            missing = await live.s3("GET", "b/o")
            assert (missing.status, missing.headers["x-amz-delete-marker"]) == (404, "true")
            assert ElementTree.fromstring(missing.body).findtext("Code") == "NoSuchKey"
            refused = await live.s3("GET", f"b/o?versionId={marker}")
            assert (refused.status, refused.headers["x-amz-delete-marker"]) == (405, "true")
            assert (await live.ask("GET", "o")).status == 404

            tagging = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
            assert (await live.s3("PUT", f"b/o?tagging&versionId={ids[0]}", data=tagging)).status == 200
            assert b"<Key>k</Key>" in (await live.s3("GET", f"b/o?tagging&versionId={ids[0]}")).body
            source = {"x-amz-copy-source": f"b/o?versionId={ids[0]}"}
            copied = await live.s3("PUT", "b/copy", headers=source)
            assert copied.headers["x-amz-copy-source-version-id"] == ids[0]
            assert (await live.s3("GET", "b/copy")).body == b"0"

            back = await live.s3("DELETE", f"b/o?versionId={marker}")
            assert (back.status, back.headers["x-amz-delete-marker"]) == (204, "true")
            assert (await live.s3("GET", "b/o")).body == b"2"
            assert (await live.s3("DELETE", f"b/o?versionId={ids[2]}")).headers["x-amz-version-id"] == ids[2]
            assert (await live.s3("GET", "b/o")).body == b"1"
            assert (await live.s3("DELETE", f"b/o?versionId={ids[2]}")).status == 204

    run(scenario())


def test_a_native_delete_keeps_the_version_too(serve: Any, run: Scenario) -> None:
    """A bucket that keeps versions keeps them whoever writes."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await _set(live, versioning="Enabled")
            await live.ask("PUT", "o", data=b"native")
            version_id = (await live.s3("HEAD", "b/o")).headers["x-amz-version-id"]
            await live.ask("PUT", "o", data=b"newer")
            assert (await live.ask("DELETE", "o")).status == 200
            assert (await live.ask("GET", "o")).status == 404
            assert (await live.s3("GET", f"b/o?versionId={version_id}")).body == b"native"

    run(scenario())


def _age(live: LiveTarget, days: int) -> None:
    """Make every version that many days older."""
    for path in live.files():
        if "%ob" in path or "%ve" in path:
            found = os.stat(path)
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns - days * DAY_NS))


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("<Expiration><Days>5</Days></Expiration>", {"log/new"}),
        ("<Filter><Prefix>log/</Prefix></Filter><Expiration><Days>5</Days></Expiration>", {"log/new", "data/old"}),
        ("<Filter><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></Filter><Expiration><Days>5</Days></Expiration>",
         {"log/new", "log/old"}),
        ("<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter><Expiration><Days>5</Days></Expiration>",
         {"log/new", "log/old"}),
        ("<Expiration><Days>50</Days></Expiration>", {"log/new", "log/old", "data/old"}),
        ("<Expiration><Date>2024-01-01T00:00:00Z</Date></Expiration>", set()),
    ],
)  # fmt: skip
def test_objects_expire(serve: Any, run: Scenario, rule: str, left: set[str]) -> None:
    """By age and date, filtered by prefix, size and tag; in a bucket without versions they are gone."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            sealed = {"x-amz-server-side-encryption": "AES256"}  # its file has more bytes
            await live.s3("PUT", "b/log/old", data=b"1234", headers=sealed)
            await live.s3("PUT", "b/data/old", data=b"123456", headers={"x-amz-tagging": "k=v"})
            _age(live, 10)
            await live.s3("PUT", "b/log/new", data=b"1234")
            await _set(live, lifecycle=_rules(rule))
            assert await _run(live) == 3 - len(left)
            assert set(await live.names(BCK)) == left

    run(scenario())


def test_noncurrent_versions_and_lone_markers_expire(serve: Any, run: Scenario) -> None:
    """Versions replaced long ago go, except the newest of them; then the marker that nothing is below; then uploads."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await _set(live, versioning="Enabled")
            ids = [(await live.s3("PUT", "b/o", data=b"%d" % n)).headers["x-amz-version-id"] for n in range(4)]
            await live.s3("PUT", "b/lone", data=b"x")
            lone = (await live.s3("DELETE", "b/lone")).headers["x-amz-version-id"]
            _age(live, 10)
            action = "NoncurrentVersionExpiration"
            noncurrent = f"<{action}><NoncurrentDays>5</NoncurrentDays>%s</{action}>"
            await _set(live, lifecycle=_rules(noncurrent % "<NewerNoncurrentVersions>1</NewerNoncurrentVersions>"))
            assert await _run(live) == 2
            assert [(await live.s3("GET", f"b/o?versionId={one}")).status for one in ids] == [404, 404, 200, 200]
            await _set(live, lifecycle=_rules(noncurrent % ""))
            assert await _run(live) == 2
            assert (await live.s3("GET", f"b/lone?versionId={lone}")).status == 405
            marker = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
            await _set(live, lifecycle=_rules(marker))
            assert await _run(live) == 1
            assert (await live.s3("GET", f"b/lone?versionId={lone}")).status == 404
            assert (await live.s3("GET", "b/o")).body == b"3"
            assert not [path for path in live.files() if "%ve" in path]

    run(scenario())


def test_a_marker_goes_only_while_nothing_is_below_it(serve: Any, run: Scenario) -> None:
    """It was alone when it was looked at; a version that another target gives since would be the latest one again."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await _set(live, versioning="Enabled")
            version_id = (await live.s3("PUT", "b/o", data=b"deleted")).headers["x-amz-version-id"]
            store = live.target._store
            meta = store.head(BCK, "o").meta
            await live.s3("DELETE", "b/o")
            await live.s3("DELETE", f"b/o?versionId={version_id}")
            _age(live, 10)
            marker = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
            await _set(live, lifecycle=_rules(marker))
            lister, rules = live.target._lifecycle._lister, live.target._front.views.require(BCK).rules
            page = lister.page

            def page_and_take(*args: Any, **kwargs: Any) -> Any:
                found = page(*args, **kwargs)
                arriving = store.arrival(BCK, "o", rules, meta, (1, 1), is_head=False)
                arriving.write(b"deleted")
                arriving.commit()
                return found

            lister.page = page_and_take
            assert await _run(live) == 0
            assert (await live.s3("GET", "b/o")).status == 404
            assert (await live.s3("GET", f"b/o?versionId={version_id}")).body == b"deleted"

    run(scenario())


def test_what_takes_the_place_of_a_version_that_is_due_stays(serve: Any, run: Scenario) -> None:
    """A null version was due when it was looked at; one that a client has put there since is acknowledged."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.s3("PUT", "b/o", data=b"due")
            await _set(live, versioning="Enabled")
            await live.s3("PUT", "b/o", data=b"kept")
            _age(live, 10)
            action = "NoncurrentVersionExpiration"
            rule = f"<{action}><NoncurrentDays>5</NoncurrentDays></{action}>"
            await _set(live, versioning="Suspended", lifecycle=_rules(rule))
            loop, lister = asyncio.get_running_loop(), live.target._lifecycle._lister
            page, answers = lister.page, []

            def page_and_put(*args: Any, **kwargs: Any) -> Any:
                found = page(*args, **kwargs)
                put = asyncio.run_coroutine_threadsafe(live.s3("PUT", "b/o", data=b"new"), loop)
                answers.append(put.result().status)
                return found

            lister.page = page_and_put
            assert await _run(live) == 0
            assert answers == [200]
            assert (await live.s3("GET", "b/o")).body == b"new"

    run(scenario())


def _begin_earlier(record: Path, days: int) -> None:
    """Make an upload that many days older."""
    header, body = record.read_bytes()[:5], record.read_bytes()[5:]
    info = msgspec.msgpack.decode(body)
    info[1] -= days * DAY_NS
    record.write_bytes(header + msgspec.msgpack.encode(info))


def test_forgotten_uploads_are_aborted(serve: Any, run: Scenario) -> None:
    """An upload that nobody completed for days goes, with its parts; a younger one stays."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            action = "AbortIncompleteMultipartUpload"
            await _set(live, lifecycle=_rules(f"<{action}><DaysAfterInitiation>2</DaysAfterInitiation></{action}>"))
            await live.s3("POST", "b/o?uploads")
            [record] = [path for path in live.files() if path.endswith("/upload")]
            assert await _run(live) == 0
            _begin_earlier(Path(record), days=4)
            assert await _run(live) == 1
            assert not [path for path in live.files() if "%mp/" in path]

    run(scenario())


@pytest.mark.parametrize("is_native", [False, True])
def test_a_put_that_began_before_versions_were_kept_replaces_none(serve: Any, run: Scenario, is_native: bool) -> None:
    """It ends after a version was acknowledged, which is there by its ID; the PUT itself is a version on top of it."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            goes_on = asyncio.Event()

            async def body() -> Any:
                yield b"begun before"
                await goes_on.wait()
                yield b", ended after"

            put = live.ask if is_native else (lambda method, name, **sent: live.s3(method, f"b/{name}", **sent))
            size = {"Content-Length": str(len(b"begun before, ended after"))}
            late = asyncio.create_task(put("PUT", "o", data=body(), headers=size))
            await until(live.work_files)
            await _set(live, versioning="Enabled")
            kept = await live.s3("PUT", "b/o", data=b"acknowledged")
            goes_on.set()
            assert (await late).status == 200
            found = await live.s3("GET", f"b/o?versionId={kept.headers['x-amz-version-id']}")
            assert (found.status, found.body) == (200, b"acknowledged")
            assert (await live.s3("GET", "b/o")).body == b"begun before, ended after"

    run(scenario())


def test_rules_that_were_taken_away_delete_no_more(serve: Any, run: Scenario) -> None:
    """While the job is at it: what was not removed before the answer stays; so for rules that became others."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            for name in ("o1", "o2", "o3"):
                await live.s3("PUT", f"b/{name}", data=b"content")
            _age(live, 10)
            await _set(live, lifecycle=_rules("<Filter/><Expiration><Days>1</Days></Expiration>"))
            loop, store = asyncio.get_running_loop(), live.target._store
            delete = store.delete

            def delete_and_change(*args: Any, **kwargs: Any) -> Any:
                done = delete(*args, **kwargs)
                asyncio.run_coroutine_threadsafe(_set(live, lifecycle=""), loop).result()
                return done

            store.delete = delete_and_change  # type: ignore[method-assign]
            assert await _run(live) == 1
            assert await live.names(BCK) == ["o2", "o3"]

    run(scenario())


def test_the_default_retention_of_a_bucket_is_of_every_version(serve: Any, run: Scenario) -> None:
    """Also of what is written natively, by whatever way: it cannot be removed before its time."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "before", data=b"content")
            default = "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>9</Days></DefaultRetention></Rule>"
            enabled = f"<ObjectLockEnabled>Enabled</ObjectLockEnabled>{default}"
            configuration = f"<ObjectLockConfiguration>{enabled}</ObjectLockConfiguration>"
            await _set(live, versioning="Enabled", documents={lock.DOCUMENT: configuration})
            made = [
                ("put", await live.ask("PUT", "put", data=b"content")),
                ("copy", await live.ask("PUT", "before", query={"object_to": "ais/@#/b/copy"})),
                ("shard.tar", await live.ask("PUT", "shard.tar", query={"archpath": "member"}, data=b"content")),
                ("flushed", await live.ask("PUT", "flushed", query={"append_type": "flush"}, data=b"content")),
            ]
            begun = await live.act("POST", "parts", "mpt-upload")
            upload = {"uploadId": begun.body.decode()}
            await live.ask("PUT", "parts", query={**upload, "partNumber": "1"}, data=b"content")
            listed = [{"part-number": 1}]
            made.append(("parts", await live.act("POST", "parts", "mpt-complete", value=listed, query=upload)))
            for name, answer in made:
                assert answer.status == 200, (name, answer.message)
                kept = await live.s3("GET", f"b/{name}?retention")
                assert b"<Mode>COMPLIANCE</Mode>" in kept.body, (name, kept.body)
                version_id = (await live.s3("HEAD", f"b/{name}")).headers["x-amz-version-id"]
                assert (await live.s3("DELETE", f"b/{name}?versionId={version_id}")).status == 403
            assert (await live.s3("DELETE", "b/before?versionId=null")).status == 204

    run(scenario())
