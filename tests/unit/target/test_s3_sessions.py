"""GETs by session tokens and tokens of AuthN of objects that were read before: what is remembered of a token is good as
long as the token is, and for what it permits.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from harness.target import BCK, CLUSTER_SECRET
from harness.usual import AUTHN_KEY, KINDS, OWNER, TOKEN, Client, closed, live_now_s
from yarl import URL

from ais.api.access import Access
from ais.auth import keys, signing
from ais.auth.iam import Iam, Role
from ais.auth.keys import AccessKeys, KeyRing
from ais.auth.tokens import LEEWAY_S
from ais.node.clients import token_name

Scenario = Callable[[Any], Any]


def policy(effect: str, action: str, resource: str, **more: str) -> str:
    """One statement."""
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


ROLE = Role(name="reader", account=OWNER, id="AROA1", trust="{}", inline={"all": policy("Allow", "s3:*", "*")})


async def status_of(client: Client, kind: str, path: str = "/b/o", times: int = 3) -> int:
    """Of a read, the same each time."""
    [found] = {(await client.ask(kind, path)).status for _ in range(times)}
    return int(found)


def is_recognized(client: Client) -> bool:
    """Whether its way to sign is known."""
    return any(client.key_id in begin for begin, _ in client.live.target._gate._signers._ways)


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_ends(serve: Any, run: Scenario, kind: str) -> None:
    """The same bytes, and others that are signed as they were, are refused from the second on in which it ends."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            session = client.in_session(lasts_s=300)
            url, headers = URL(session.presigned("GET", "/b/o"), encoded=True), {}
            if kind == "signed":
                url, headers = URL(f"{live.url}/b/o"), session.signed("GET", "/b/o")
            for late_s, status in ((0, 200), (298, 200), (301, 400), (0, 200)):
                live.node.env.clock.ahead_ns = late_s * 10**9
                for _ in range(4):
                    answer = await live.call("GET", url, headers=headers)
                    assert (answer.status, b"ExpiredToken" in answer.body) == (status, status == 400), late_s
                assert await status_of(session, kind) == status
                assert is_recognized(session)

    run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_is_as_good_as_the_secret_that_sealed_it(serve: Any, run: Scenario, kind: str) -> None:
    """Of a secret that was replaced: while that is allowed, and not a moment longer, though nothing tells the end."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            key, grace = keys.import_key(OWNER, client.key_id, client.secret, CLUSTER_SECRET, 1), [True]
            live.node.keyring = KeyRing(AccessKeys().with_key(key), (b"n" * 32, CLUSTER_SECRET), lambda: grace[0])
            session = client.in_session()
            for is_good in (True, False, True):
                grace[0] = is_good
                assert await status_of(session, kind, times=5) == (200 if is_good else 400)

    run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_of_a_role_does_what_it_was_narrowed_to(serve: Any, run: Scenario, kind: str) -> None:
    """What the account itself has read is not given to a session that may read something else; nothing to one whose
    role is gone."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            assert (await client.ask("signed", "/b/p", "PUT", data=b"secret")).status == 200
            known = AccessKeys().with_key(keys.import_key(OWNER, client.key_id, client.secret, CLUSTER_SECRET, 1))
            live.node.keyring = KeyRing(known.with_iam(Iam().with_entity(ROLE)), (CLUSTER_SECRET,))
            limit = policy("Allow", "s3:Get*", "arn:aws:s3:::b/o")
            narrow = client.in_session(role=ROLE.name, role_id=ROLE.id, name="n", policy=limit)
            for _ in range(2):
                for path in ("/b/o", "/b/p"):
                    assert await status_of(client, kind, path) == 200
                assert [await status_of(narrow, kind, path) for path in ("/b/o", "/b/p")] == [200, 403]
            assert is_recognized(narrow)
            live.node.keyring = KeyRing(known, (CLUSTER_SECRET,))
            assert await status_of(narrow, kind) == 400

    run(scenario())


def test_a_token_is_for_its_own_secret(serve: Any, run: Scenario) -> None:
    """Whoever signs as before but shows another token, or one beside a key that has none, is refused."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, other):
            session, second = client.in_session(), client.in_session()
            for one in (session, second):
                assert await status_of(one, "signed") == 200
            for wrong in (second.token, session.token[:-8], "", "no token"):
                assert await status_of(Client(live, session.key_id, session.secret, wrong), "signed") in (400, 403)
            assert await status_of(session, "signed") == 200
            for key in (client, other):
                lines = signing.lines_of(
                    "GET",
                    key.host,
                    "/b/o",
                    None,
                    key_id=key.key_id,
                    secret=key.secret,
                    now_s=live_now_s(live),
                    more={TOKEN: ""},
                )
                for _ in range(3):
                    answer = await live.call("GET", f"{live.url}/b/o", headers={**lines, TOKEN: ""})
                    assert answer.status == (200 if key is client else 403)
                for wrong in (session.token, "no token"):
                    assert await status_of(Client(live, key.key_id, key.secret, wrong), "signed") == 400

    run(scenario())


def claims(live: Any, **more: Any) -> str:
    """A token of AuthN."""
    return jwt.encode({"sub": "ann", "exp": int(live_now_s(live)) + 300, **more}, AUTHN_KEY, "HS256")


def may(access: int) -> list[dict[str, Any]]:
    """Rights on all buckets of all clusters."""
    return [{"id": "", "perm": str(int(access))}]


async def read_by(live: Any, token: str, beside: Client | None = None, path: str = "/b/o") -> int:
    """The status of a read by a token, signed besides or not; the same each time."""
    headers = beside.signed("GET", path) if beside is not None else {}
    [found] = {(await live.call("GET", live.url + path, headers={**headers, TOKEN: token})).status for _ in range(4)}
    return int(found)


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("change", ["end", "revoked", "another key", "another bucket", "policy", "garbage beside"])
def test_tokens_of_authn(serve: Any, run: Scenario, change: str, is_signed: bool) -> None:
    """One that may read is answered again and again, signed besides with whatever secret, until it is not good any
    more; one that may not read never is."""

    async def scenario() -> None:
        async with closed(serve) as (live, client, _):
            settings = {"auth.enabled": "true", "auth.signature.key": AUTHN_KEY}
            live.node.config = dataclasses.replace(live.node.config, transient=settings)
            assert await status_of(client, "signed") == 200
            beside = Client(live, "nobody", "whatever it is") if is_signed else None
            good, wrong = claims(live, clusters=may(Access.GET)), claims(live, clusters=may(Access.PUT))
            assert [await read_by(live, token, beside) for token in (good, wrong, good)] == [200, 403, 200]
            assert await read_by(live, claims(live, admin=True), beside) == 200
            assert bool(live.target._gate._bearers._ways) == is_signed
            status = 400
            if change == "end":
                live.node.env.clock.ahead_ns = (300 + LEEWAY_S - 2) * 10**9
                assert await read_by(live, good, beside) == 200
                live.node.env.clock.ahead_ns = (301 + LEEWAY_S) * 10**9
            elif change == "revoked":
                revoked = AccessKeys().with_revoked({token_name(good): 1 << 40}, 0)
                live.node.keyring = KeyRing(revoked, (CLUSTER_SECRET,))
            elif change == "another key":
                settings["auth.signature.key"] = AUTHN_KEY[::-1]
                live.node.config = dataclasses.replace(live.node.config, transient=dict(settings))
            elif change == "another bucket":
                here = {"name": "b", "provider": "ais", "namespace": {"uuid": live.node.smap.uuid, "name": ""}}
                none = {"bck": here, "perm": "0"}
                good, status = claims(live, clusters=may(Access.GET), buckets=[none]), 403
            elif change == "policy":  # of S3: whom a token permits it is not asked about
                deny = policy("Deny", "s3:*", "arn:aws:s3:::b/*", Principal="*")
                props = live.node.bmd.require(BCK).props.with_s3(policy=deny)
                await live.take(live.node.bmd.with_props(BCK, props))
                status = 200
            else:
                answer = await live.call("GET", f"{live.url}/b/o", headers={TOKEN: good, "Authorization": "garbage"})
                assert answer.status == 403
                status = 200
            assert await read_by(live, good, beside) == status

    run(scenario())
