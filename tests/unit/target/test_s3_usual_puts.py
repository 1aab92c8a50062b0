"""PUTs over S3 into buckets that were written before: the short way stores and answers what the long one does, and
nothing passes there that the long one refuses.
"""

import asyncio
import base64
import dataclasses
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
import pytest
from harness.http import Answer
from harness.http import Client as Wire
from harness.target import ALL_NETWORKS, BCK, CLUSTER_SECRET, until
from harness.usual import AUTHN_KEY, OTHER, TOKEN, Client, closed, live_now_s, ring

from ais.api.access import Access
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.auth import signing
from ais.auth.keys import AccessKeys, KeyRing
from ais.core.meta import ObjectMeta
from ais.net.head import HeadParser
from ais.net.http import Peer
from ais.node.clients import token_name
from ais.s3 import via
from ais.s3.via import Via
from ais.target.s3.usual_puts import BODY_BYTES_MAX

Scenario = Callable[[Any], Any]
KINDS = ["open", "presigned", "unsigned payload", "signed payload"]
APART = {"Expect": "100-continue"}
LONG_WAY = {"Accept-Language": "en"}
"""Asks for nothing, and is not usual."""
CONTENT = bytes(range(256)) * 16
CRC32 = base64.b64encode(zlib.crc32(CONTENT).to_bytes(4, "big")).decode()
MD5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()


def head_of(client: Client, kind: str, path: str, body: bytes, more: dict[str, str]) -> bytes:
    """A PUT, up to its body."""
    target, lines = path, {}
    if kind == "presigned":
        target = client.presigned("PUT", path).removeprefix(client.live.url)
    elif kind != "open":
        signed = body if kind == "signed payload" else None
        held = {name.lower(): value for name, value in more.items() if name.startswith("x-amz-")}
        lines = signing.lines_of(
            "PUT",
            client.host,
            path,
            signed,
            key_id=client.key_id,
            secret=client.secret,
            now_s=live_now_s(client.live),
            more=held,
        )
    lines = {"Host": client.host, **lines, **more, "Content-Length": str(len(body))}
    return "\r\n".join((f"PUT {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()))).encode()


async def send(live: Any, head: bytes, body: bytes) -> Answer:
    """A request whose body comes with its head."""
    wire = Wire(*await asyncio.open_connection("127.0.0.1", int(live.url.rpartition(":")[2])))
    try:
        wire.send(head + b"\r\n\r\n" + body)
        return await wire.answer("PUT")
    finally:
        wire.writer.close()


async def send_apart(live: Any, head: bytes, body: bytes, meanwhile: Any = None) -> tuple[list[int], Answer]:
    """A request whose body comes when it is asked for: the statuses of all answers, and the last one."""
    wire = Wire(*await asyncio.open_connection("127.0.0.1", int(live.url.rpartition(":")[2])))
    try:
        wire.send(head + b"\r\n\r\n")
        answer = await wire.answer("PUT")
        statuses = [answer.status]
        if answer.status == 100:
            if meanwhile is not None:
                await meanwhile()
            for piece in (body[:1000], body[1000:]):
                wire.send(piece)
                await asyncio.sleep(0.01)
            answer = await wire.answer("PUT")
            statuses.append(answer.status)
        return statuses, answer
    finally:
        wire.writer.close()


async def put(
    client: Client, kind: str, path: str, body: bytes = CONTENT, more: dict[str, str] | None = None
) -> Answer:
    """The same of one that is made here."""
    return await send(client.live, head_of(client, kind, path, body, more or {}), body)


async def known(client: Client, kind: str, more: dict[str, str] | None = None) -> None:
    """Have the bucket known, and requests that are made like this."""
    client.live.node.config = dataclasses.replace(
        client.live.node.config, transient={} if kind == "open" else {"auth.enabled": "true"}
    )
    for _ in range(2):  # the first one that is signed forgets how it was before
        assert (await put(client, kind, "/b/first", more=more)).status == 200


async def is_usual(client: Client, kind: str, path: str, body: bytes = CONTENT, more: Any = None) -> bool:
    """Whether the short way takes a request, which is stored then, once no disk seems to be slow."""
    await until(lambda: not any(one.is_stalled for one in client.live.volume.available))
    live, peer = client.live, Peer("127.0.0.1:1", ALL_NETWORKS, "http")
    request = HeadParser().parse(head_of(client, kind, path, body, more or {}), peer)
    request.body = memoryview(body)
    return live.target._s3._usual_puts.put(request) is not None


def is_granted(live: Any, head: bytes) -> bool:
    """Whether the short way waits for the body of a request."""
    request = HeadParser().parse(head, Peer("127.0.0.1:1", ALL_NETWORKS, "http"))
    return live.target._s3._usual_puts.put(request) is not None


def stored(live: Any, name: str) -> ObjectMeta:
    """What is kept of an object."""
    return msgspec.structs.replace(live.target._store.head(BCK, name).meta, stamp=(0, 0))


def same(answer: Answer) -> tuple[Any, ...]:
    """What two answers have in common that say the same."""
    own = ("date", "x-amz-request-id")
    return answer.status, {name: value for name, value in answer.headers.items() if name not in own}, answer.body


EXTRAS: list[dict[str, str]] = [
    {},
    {"Content-Type": "text/plain"},
    {"Content-Type": ""},
    {"Content-MD5": MD5},
    {"x-amz-checksum-crc32": CRC32},
    {"x-amz-checksum-crc32": CRC32, "x-amz-sdk-checksum-algorithm": "CRC32", "Content-MD5": MD5},
    {"Content-MD5": MD5, "x-amz-sdk-checksum-algorithm": "CRC32"},
    {"x-amz-sdk-checksum-algorithm": "CRC32"},
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_short_way_stores_and_answers_as_the_long_one(serve: Any, run: Scenario, kind: str) -> None:
    """Metadata, content, header lines and counters, of new names and of those that are replaced."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            for more in EXTRAS:
                if kind == "presigned" and any(name.startswith("x-amz-") for name in more):
                    continue  # it is not signed
                await known(client, kind, more)
                is_told = more.keys() != {"x-amz-sdk-checksum-algorithm"}  # else it is to be computed
                assert await is_usual(client, kind, "/b/direct", more=more) == is_told
                for path in ("/b/d/new", "/b/d/new", "/b/d", "/b/.x//y/"):
                    answers, kept, counted = [], [], []
                    for place, way in (("short", {}), ("long", LONG_WAY)):
                        before = live.node.stats.counters()
                        answer = await put(client, kind, f"/b/{place}{path[2:]}", more={**more, **way})
                        assert answer.status == 200, answer.body
                        after = live.node.stats.counters()
                        answers.append(same(answer))
                        kept.append(stored(live, f"{place}{path[2:]}"))
                        counted.append([after[name] - before[name] for name in ("put.n", "put.size")])
                        assert (await client.ask("signed", f"/b/{place}{path[2:]}")).body == CONTENT
                    assert answers[0] == answers[1]
                    assert kept[0] == kept[1]
                    assert counted == [[1, len(CONTENT)]] * 2

    run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_is_asked_for_is_stored_as_one_that_came_with_its_head(
    serve: Any, run: Scenario, kind: str
) -> None:
    """Metadata, content and answer; in pieces, and while the disk seems to be slow, too; none, and more than usual."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            await known(client, kind, APART)
            for body in (CONTENT, b"x", bytes(65536), bytes(65537)):
                whole = await put(client, kind, "/b/whole", body)
                for name in ("apart", "slow"):
                    if name == "slow":
                        for mountpath in live.volume.available:
                            mountpath.wrote(mountpath.now_s() - 1)
                    head = head_of(client, kind, f"/b/{name}", body, APART)
                    if kind != "presigned":  # one of another second is another way of signing
                        assert is_granted(live, head) == (len(body) <= BODY_BYTES_MAX)
                    counted = live.node.stats.counters()["put.n"]
                    statuses, answer = await send_apart(live, head, body)
                    assert statuses == [100, 200]
                    assert same(answer) == same(whole)
                    assert stored(live, name) == stored(live, "whole")
                    assert live.node.stats.counters()["put.n"] == counted + 1
                    assert (await client.ask("signed", f"/b/{name}")).body == body
                await until(lambda: not any(one.is_stalled for one in live.volume.available))
            assert live.work_files() == []

    run(scenario())


def test_a_body_that_will_be_refused_is_not_asked_for(serve: Any, run: Scenario) -> None:
    """Another's key, a wrong signature: the answer comes before the body."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, other):
            await known(client, "signed payload", APART)
            wrong = head_of(client, "signed payload", "/b/o2", CONTENT, APART).replace(b"Signature=", b"Signature=0", 1)
            for head in (head_of(other, "signed payload", "/b/o2", CONTENT, APART), wrong):
                statuses, _ = await send_apart(live, head, CONTENT)
                assert statuses == [403]
            assert not [path for path in live.files() if path.endswith("/o2")]

    run(scenario())


@pytest.mark.parametrize("change", ["digest", "bucket", "policy", "key", "another bucket", "gone"])
def test_what_changes_before_the_body_comes_is_heeded(serve: Any, run: Scenario, change: str) -> None:
    """A body that is not the one that was signed; rights, keys, the bucket taken away; something that is no matter;
    a client that leaves."""
    expected = {"digest": 400, "bucket": 404, "policy": 403, "key": 403, "another bucket": 200}

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            await known(client, "signed payload", APART)
            head, body = head_of(client, "signed payload", "/b/o2", CONTENT, APART), CONTENT
            assert is_granted(live, head)
            before = live.node.stats.counters()["err.put.n"]

            async def meanwhile() -> None:
                nonlocal body
                bmd = live.node.bmd
                if change == "bucket":
                    await live.take(bmd.without_bucket(BCK))
                elif change == "policy":
                    await live.take(bmd.with_props(BCK, bmd.require(BCK).props.with_s3(**CHANGES["policy"])))
                elif change == "key":
                    live.node.keyring = ring()
                elif change == "another bucket":
                    await live.create(Bck("c"))
                elif change == "gone":
                    raise ConnectionError

            if change == "gone":
                with pytest.raises(ConnectionError):
                    await send_apart(live, head, body, meanwhile)
                await until(lambda: live.node.stats.counters()["err.put.n"] == before + 1)
            else:
                body = CONTENT[::-1] if change == "digest" else CONTENT
                statuses, answer = await send_apart(live, head, body, meanwhile)
                assert statuses == [100, expected[change]], answer.body
            assert len([path for path in live.files() if path.endswith("/o2")]) == (change == "another bucket")
            assert live.work_files() == []

    run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_bodies_of_any_size(serve: Any, run: Scenario, kind: str) -> None:
    """None, a byte, what is hashed in place, and more than that."""

    async def scenario() -> None:
        async with closed(serve) as (_, client, _):
            await known(client, kind)
            for size in (0, 1, 65536, 65537):
                body = b"x" * size
                answer = await put(client, kind, "/b/o", body)
                assert (answer.status, answer.headers["etag"]) == (200, f'"{hashlib.md5(body).hexdigest()}"')
                assert (await client.ask("signed", "/b/o")).body == body

    run(scenario())


WRONG = {
    "sha256": ("XAmzContentSHA256Mismatch", {}),
    "md5": ("BadDigest", {"Content-MD5": base64.b64encode(bytes(16)).decode()}),
    "no md5": ("InvalidDigest", {"Content-MD5": "abc"}),
    "empty md5": ("InvalidDigest", {"Content-MD5": ""}),
    "crc32": ("BadDigest", {"x-amz-checksum-crc32": "AAAAAA=="}),
    "no crc32": ("InvalidRequest", {"x-amz-checksum-crc32": "abc"}),
    "two": ("InvalidRequest", {"x-amz-checksum-crc32": CRC32, "x-amz-checksum-sha1": "abc"}),
    "condition": ("PreconditionFailed", {"If-None-Match": "*"}),
    "owner": ("AccessDenied", {"x-amz-expected-bucket-owner": OTHER}),
    "key": ("AccessDenied", {}),
    "digits": ("SignatureDoesNotMatch", {}),
    "path": ("SignatureDoesNotMatch", {}),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused_and_nothing_changes(serve: Any, run: Scenario, what: str) -> None:
    """A claim about the content that is not true, a condition, another's key, a signature of something else."""
    code, more = WRONG[what]
    right = {"Content-MD5": MD5, "x-amz-checksum-crc32": CRC32}
    right = {name: right[name] for name in more if name in right}

    async def scenario() -> None:
        async with closed(serve) as (live, client, other):
            await known(client, "signed payload", right)
            assert (await put(client, "signed payload", "/b/o", CONTENT, right)).status == 200
            before, counted = stored(live, "o"), live.node.stats.counters()["put.n"]
            client = other if what == "key" else client
            head, body = head_of(client, "signed payload", "/b/o", CONTENT, more), CONTENT
            if what == "sha256":
                body = CONTENT[::-1]
            elif what == "digits":
                head = head.replace(b"Signature=", b"Signature=0", 1)
            elif what == "path":
                head = head.replace(b"/b/o", b"/b/p", 1)
            answer = await send(live, head, body)
            assert f"<Code>{code}</Code>".encode() in answer.body, answer
            assert stored(live, "o") == before
            assert live.node.stats.counters()["put.n"] == counted
            assert not [path for path in live.files() if path.endswith("/p")]
            assert live.work_files() == []

    run(scenario())


def document(element: str, inner: str) -> str:
    """A configuration of a bucket."""
    return f"<{element}>{inner}</{element}>"


CHANGES: dict[str, dict[str, Any]] = {
    "versioning": {"versioning": "Enabled"},
    "lifecycle": {
        "lifecycle": document(
            "LifecycleConfiguration",
            "<Rule><ID>r</ID><Status>Enabled</Status><Filter/><Expiration><Days>1</Days></Expiration></Rule>",
        )
    },
    "encryption": {
        "documents": {
            "encryption": document(
                "ServerSideEncryptionConfiguration",
                "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
                "</ApplyServerSideEncryptionByDefault></Rule>",
            )
        }
    },
    "lists": {"ownership": "ObjectWriter"},
    "policy": {
        "policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject",'
        '"Resource":"arn:aws:s3:::b/*"}]}'
    },
    "owner": {"owner": OTHER},
}
TOLD = {
    "versioning": "x-amz-version-id",
    "lifecycle": "x-amz-expiration",
    "encryption": "x-amz-server-side-encryption",
}


@pytest.mark.parametrize("change", [*CHANGES, "key", "bucket", "access", "events"])
def test_changes_are_seen_at_once(serve: Any, run: Scenario, change: str) -> None:
    """Versions, a lifecycle, encryption, a policy, another owner, key, bucket: the next PUT knows."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            await known(client, "unsigned payload")
            assert await is_usual(client, "unsigned payload", "/b/o")
            bmd = live.node.bmd
            props = bmd.require(BCK).props
            if change in CHANGES:
                await live.take(bmd.with_props(BCK, props.with_s3(**CHANGES[change])))
            elif change == "key":
                live.node.keyring = ring()
            elif change == "bucket":
                await live.take(bmd.without_bucket(BCK))
            elif change == "access":
                await live.take(bmd.with_props(BCK, msgspec.structs.replace(props, access=U64(Access.GET))))
            else:
                rule = "<QueueConfiguration><Id>a</Id><Queue>arn:ais:sqs::hook:webhook</Queue>"
                rule += "<Event>s3:ObjectCreated:*</Event></QueueConfiguration>"
                told = {"notification": document("NotificationConfiguration", rule)}
                await live.take(bmd.with_props(BCK, props.with_s3(documents=told)))
            for _ in range(3):
                answer = await put(client, "unsigned payload", "/b/p")
                status = 404 if change == "bucket" else 403 if change in ("policy", "owner", "key", "access") else 200
                assert answer.status == status, answer.body
                assert (TOLD.get(change, "etag") in answer.headers) == (status == 200)
            assert not await is_usual(client, "unsigned payload", "/b/p")

    run(scenario())


def test_a_note_is_good_for_one_put(serve: Any, run: Scenario) -> None:
    """What a gateway passed on is stored once, and its note is no good for another name."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            await known(client, "unsigned payload")

            def noted(path: str, of: str, number: int) -> bytes:
                said = Via(
                    "127.0.0.1:9",
                    "http",
                    time_s=int(live_now_s(live)),
                    to=live.node.snode.id,
                    by="gate",
                    nonce=bytes([number] * 12),
                )
                note = via.header(said, CLUSTER_SECRET, "PUT", of)
                return head_of(client, "unsigned payload", path, CONTENT, {}) + f"\r\n{via.HEADER}: {note}".encode()

            for number in range(3):
                head = noted("/b/o", "/b/o", number)
                assert (await send(live, head, CONTENT)).status == 200
                assert (await send(live, head, CONTENT)).status == 403
            assert (await send(live, noted("/b/p", "/b/o", 9), CONTENT)).status == 403

    run(scenario())


def test_sessions_take_it_until_they_end(serve: Any, run: Scenario) -> None:
    """As the key that began it; from the second on in which it ends, and with another token, nothing is stored."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            session, other = client.in_session(lasts_s=300), client.in_session()
            for one in (session, other):
                await known(one, "signed payload", {TOKEN: one.token})
            assert await is_usual(session, "signed payload", "/b/short", more={TOKEN: session.token})
            assert (await put(session, "signed payload", "/b/o2", more={TOKEN: session.token})).status == 200
            assert (await put(session, "signed payload", "/b/no", more={TOKEN: other.token})).status == 400
            live.node.env.clock.ahead_ns = 301 * 10**9
            assert (await put(session, "signed payload", "/b/no", more={TOKEN: session.token})).status == 400
            assert (await put(other, "signed payload", "/b/o3", more={TOKEN: other.token})).status == 200
            assert {path.rpartition("/")[2] for path in live.files() if "%ob" in path} >= {"short", "o2", "o3"}
            assert not [path for path in live.files() if path.endswith("/no")]

    run(scenario())


@pytest.mark.parametrize("kind", ["open", "unsigned payload"])
def test_tokens_of_authn_take_it_while_they_permit_it(serve: Any, run: Scenario, kind: str) -> None:
    """Not signed, or signed besides by nobody. One that may only read, and one taken back, stores nothing."""

    async def scenario() -> None:
        async with closed(serve) as (live, _, _):
            settings = {"auth.enabled": "true", "auth.signature.key": AUTHN_KEY}
            live.node.config = dataclasses.replace(live.node.config, transient=settings)
            end, nobody = int(live_now_s(live)) + 300, Client(live, "nobody", "whatever it is")
            reads, writes = (
                jwt.encode(
                    {"sub": "ann", "exp": end, "clusters": [{"id": "", "perm": str(int(may))}]}, AUTHN_KEY, "HS256"
                )
                for may in (Access.GET, Access.PUT)
            )
            for _ in range(3):
                assert (await put(nobody, kind, "/b/o2", more={TOKEN: writes})).status == 200
                assert (await put(nobody, kind, "/b/no", more={TOKEN: reads})).status == 403
            assert await is_usual(nobody, kind, "/b/short", more={TOKEN: writes})
            assert not await is_usual(nobody, kind, "/b/no", more={TOKEN: reads})
            revoked = AccessKeys().with_revoked({token_name(writes): end}, 0)
            live.node.keyring = KeyRing(revoked, (CLUSTER_SECRET,))
            assert (await put(nobody, kind, "/b/no", more={TOKEN: writes})).status == 400
            assert not [path for path in live.files() if path.endswith("/no")]

    run(scenario())
