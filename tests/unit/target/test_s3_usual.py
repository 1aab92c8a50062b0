"""Signed GETs of objects that were read before: what is remembered of them and of their signatures is never used when
it is not true any more, and no signature passes that was not made for the request.
"""

import dataclasses
import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Any

import pytest
from harness.http import until
from harness.target import BCK, CLUSTER_SECRET
from harness.usual import HOLDS, KINDS, OTHER, Client, closed, live_now_s, put, ring
from yarl import URL

from ais.auth import signing
from ais.core.spots import RACY_NS
from ais.s3 import via
from ais.s3.via import Via

Scenario = Callable[[Any], Any]


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_what_is_remembered_is_answered_as_what_is_not(serve: Any, run: Scenario, size: int) -> None:
    """Body and header lines, with a checksum where it is asked for, are those of the first GET; IDs differ."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            content = os.urandom(size)
            await put(client, content, **{"Content-Type": "text/plain"})
            full = await client.ask("signed", "/b/o", headers={"Accept-Language": "en"})
            ids = {full.headers["x-amz-request-id"]}
            before = live.node.stats.counters()["get.n"]
            url = URL(client.presigned("GET", "/b/o"), encoded=True)
            for answer in [await live.call("GET", url) for _ in range(4)] + [await client.ask("signed", "/b/o")]:
                assert (answer.status, answer.body) == (200, content)
                same = ("ETag", "Last-Modified", "Content-Type", "Accept-Ranges", "Content-Length")
                assert [answer.headers[name] for name in same] == [full.headers[name] for name in same]
                ids.add(answer.headers["x-amz-request-id"])
            assert len(ids) == 6
            assert live.node.stats.counters()["get.n"] == before + 5
            for _ in range(4):
                path = "/b/o"
                lines = {"x-amz-checksum-mode": "ENABLED", "host": client.host}
                stamp = client.signed("GET", path)
                named = {name.lower(): [value] for name, value in (stamp | lines).items() if name != "Authorization"}
                answer = await live.call("GET", URL(live.url + path), headers=resigned(client, path, named))
                assert answer.headers["x-amz-checksum-crc64nvme"]
                assert answer.body == content

    run(scenario())


def resigned(client: Client, path: str, named: dict[str, list[str]]) -> dict[str, str]:
    """Header lines that sign others."""
    names, stamp = tuple(sorted(named)), named["x-amz-date"][0]
    text = signing.canonical_request("GET", path, "", named, names, signing.UNSIGNED)
    scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
    digest = hashlib.sha256(text.encode()).hexdigest()
    key = signing.signing_key(client.secret, stamp[:8], "us-east-1")
    signature = hmac.digest(key, "\n".join((signing.ALGORITHM, stamp, scope, digest)).encode(), "sha256").hex()
    credential = f"Credential={client.key_id}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    lines = {name: value for name, [value] in named.items()}
    return {**lines, "Authorization": f"{signing.ALGORITHM} {credential}"}


@pytest.mark.parametrize("holds", HOLDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["overwrite", "encrypt", "delete", "policy", "owner", "revoke", "destroy"])
def test_changes_are_seen_at_once(serve: Any, run: Scenario, kind: str, holds: str, change: str) -> None:
    """Another object, an encrypted one, none; another policy, owner, key, bucket: the next GET knows."""

    async def scenario() -> None:
        async with closed(serve, holds) as (live, client, _):
            status, body = 403, None
            if change == "overwrite":
                await client.ask(kind, "/b/o", "PUT", data=b"after!")
                status, body = 200, b"after!"
            elif change == "encrypt":
                lines = {"x-amz-server-side-encryption": "AES256"}
                answer = await client.ask(
                    "presigned", "/b/o?X-Amz-Server-Side-Encryption=AES256", "PUT", data=b"secret"
                )
                assert answer.headers[next(iter(lines))] == "AES256", answer.body
                path = next(path for path in live.files() if path.endswith("/o"))
                await until(lambda: live.node.env.clock.now_ns() - os.stat(path).st_ctime_ns > RACY_NS)
                status, body = 200, b"secret"
            elif change == "delete":
                assert (await client.ask(kind, "/b/o", "DELETE")).status == 204
                status = 404
            elif change in ("policy", "owner"):
                deny = (
                    '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject",'
                    '"Resource":"arn:aws:s3:::b/*"}]}'
                )
                patch = {"policy": deny} if change == "policy" else {"owner": OTHER}
                await live.take(live.node.bmd.with_props(BCK, live.node.bmd.require(BCK).props.with_s3(**patch)))
            elif change == "revoke":
                live.node.keyring = ring()
                status = 403 if holds == "key" else 400
            else:
                await live.take(live.node.bmd.without_bucket(BCK))
                status = 404
            for _ in range(4):
                answer = await client.ask(kind, "/b/o")
                assert answer.status == status, answer.body
                assert body is None or answer.body == body

    run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_somebody_else_is_refused(serve: Any, run: Scenario, kind: str) -> None:
    """What the owner has read is not given to another key, to nobody, or to who says no secret."""

    async def scenario() -> None:
        async with closed(serve) as (live, _, other):
            for _ in range(3):
                assert (await other.ask(kind, "/b/o")).status == 403
                assert (await live.call("GET", f"{live.url}/b/o")).status == 403

    run(scenario())


@pytest.mark.parametrize("holds", HOLDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["digits", "path", "header", "unsigned header", "method"])
def test_a_signature_is_good_for_its_request_alone(
    serve: Any, run: Scenario, kind: str, holds: str, change: str
) -> None:
    """Of a way to sign that is known: other digits, another path, method or value, one more header: 403."""

    async def scenario() -> None:
        async with closed(serve, holds) as (live, client, _):
            path, method = "/b/o", "GET"
            url, headers = client.presigned("GET", path), {}
            if kind == "signed":
                url, headers = f"{live.url}{path}", client.signed("GET", path)
            if change == "digits":
                last = url[-1] if kind == "presigned" else headers["Authorization"][-1]
                new = "0" if last != "0" else "1"
                url = url[:-1] + new if kind == "presigned" else url
                headers = {
                    name: value[:-1] + new if name == "Authorization" else value for name, value in headers.items()
                }
            elif change == "path":
                url = url.replace("/b/o", "/b/p")
            elif change == "header":
                headers["Host"] = "elsewhere.example"
            elif change == "unsigned header":
                headers["x-amz-checksum-mode"] = "ENABLED"
            else:
                method = "PUT"
            assert (await live.call(method, URL(url, encoded=True), headers=headers)).status == 403

    run(scenario())


@pytest.mark.parametrize("holds", HOLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_note_is_good_for_its_request_and_its_time(serve: Any, run: Scenario, kind: str, holds: str) -> None:
    """What a node passed on is answered again in the same words for a minute, and with its note on no other target."""

    async def scenario() -> None:
        async with closed(serve, holds) as (live, client, _):
            url, headers = client.presigned("GET", "/b/o"), {}
            if kind == "signed":
                url, headers = f"{live.url}/b/o", client.signed("GET", "/b/o")
            said = Via("127.0.0.1:0", "http", time_s=int(live_now_s(live)), to=live.node.snode.id, by="gate")
            note = via.header(said, CLUSTER_SECRET, "GET", url.removeprefix(live.url))
            headers = {**headers, via.HEADER: note}
            for ahead_s, status in ((0, 200), (30, 200), (0, 200), (70, 403), (-70, 403), (0, 200)):
                live.node.env.clock.ahead_ns = ahead_s * 10**9
                for _ in range(3):
                    assert (await live.call("GET", URL(url, encoded=True), headers=headers)).status == status
            other = URL(client.presigned("GET", "/b/p"), encoded=True)
            assert (await live.call("GET", other, headers={via.HEADER: note})).status == 403

    run(scenario())


@pytest.mark.parametrize("holds", HOLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_ends(serve: Any, run: Scenario, kind: str, holds: str) -> None:
    """The same bytes that were answered a moment ago are refused when their time is over."""

    async def scenario() -> None:
        async with closed(serve, holds) as (live, client, _):
            url, headers = URL(client.presigned("GET", "/b/o", 600), encoded=True), {}
            if kind == "signed":
                url, headers = URL(f"{live.url}/b/o"), client.signed("GET", "/b/o")
            for _ in range(4):
                assert (await live.call("GET", url, headers=headers)).status == 200
            for late_s, status in ((400, 200), (1000, 403)):
                live.node.env.clock.ahead_ns = late_s * 10**9
                for _ in range(2):
                    assert (await live.call("GET", url, headers=headers)).status == status

    run(scenario())


@pytest.mark.parametrize("more", ["response-content-type=a/b", "versionId=" + "0" * 32])
def test_nothing_hides_behind_a_signature_that_nobody_compares(serve: Any, run: Scenario, more: str) -> None:
    """While nobody has to sign, what is added to a presigned URL that is known is done, not taken for its digits."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            live.node.config = dataclasses.replace(live.node.config, transient={})
            url = client.presigned("GET", "/b/o")
            for _ in range(3):
                assert (await live.call("GET", URL(url, encoded=True))).body == b"before"
            answer = await live.call("GET", URL(f"{url}&{more}", encoded=True))
            told = (answer.status, answer.headers.get("Content-Type"))
            assert told == ((200, "a/b") if "type" in more else (404, "application/xml"))

    run(scenario())


def test_what_is_long_is_answered_and_not_kept(serve: Any, run: Scenario) -> None:
    """Whoever sends requests of many KiB, each another one, has none of them stay in memory."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            gate = live.target._gate
            for path, is_kept in (("/b/o", True), (f"/b/o?x-a={'b' * 10_000}", False)):
                gate._notes_read.clear()
                gate._signers._ways.clear()
                url = client.presigned("GET", path)
                said = Via("127.0.0.1:0", "http", time_s=int(live_now_s(live)), to=live.node.snode.id, by="gate")
                note = via.header(said, CLUSTER_SECRET, "GET", url.removeprefix(live.url))
                answer = await live.call("GET", URL(url, encoded=True), headers={via.HEADER: note})
                assert (answer.status, answer.body) == (200, b"before")
                assert bool(gate._notes_read) == is_kept
                headers = client.signed("GET", path) | {"User-Agent": "a" * (1 if is_kept else 10_000)}
                assert (await live.call("GET", URL(live.url + path, encoded=True), headers=headers)).status == 200
                assert bool(gate._signers._ways) == is_kept

    run(scenario())
