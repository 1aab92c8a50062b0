"""Clients that sign requests to a target in this process, whose clock can be put forward (`harness.target`)."""

import dataclasses
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

from ais.auth import keys, sessions, signing
from ais.auth.keys import AccessKey, AccessKeys, KeyRing
from ais.auth.sessions import Session
from ais.core.spots import RACY_NS
from ais.env.clock import SystemClock
from harness.http import until
from harness.target import BCK, CLUSTER_SECRET

OWNER, OTHER = "owner", "other"
KINDS = ["signed", "presigned"]
HOLDS = ["key", "session"]
TOKEN = "x-amz-security-token"
AUTHN_KEY = "a secret of more than thirty-two bytes"


class Ahead(SystemClock):
    """The machine's clock, put forward."""

    ahead_ns = 0

    def now_ns(self) -> int:
        """Unix nanoseconds."""
        return time.time_ns() + self.ahead_ns


class SignedAt(S3SigV4QueryAuth):
    """Signs URLs as of one second: a target learns those of each second anew."""

    def __init__(self, credentials: Credentials, timestamp: str, expires_s: int) -> None:
        super().__init__(credentials, "s3", "us-east-1", expires_s)
        self.timestamp = timestamp

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        request.context["timestamp"] = self.timestamp
        super()._modify_request_before_signing(request)


class Client:
    """Signs the requests of one key, or session, to one target; all its URLs in the second in which it was made."""

    def __init__(self, live: Any, key_id: str, secret: str, token: str = "") -> None:
        self.live, self.key_id, self.secret, self.token = live, key_id, secret, token
        self.host = live.url.partition("//")[2]
        self.made = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())

    def signed(self, method: str, path: str, late_s: float = 0.0) -> dict[str, str]:
        """Header lines, made so long ago."""
        now_s, more = live_now_s(self.live) - late_s, {TOKEN: self.token} if self.token else {}
        lines = signing.lines_of(
            method, self.host, path, None, key_id=self.key_id, secret=self.secret, now_s=now_s, more=more
        )
        return {**lines, **more}

    def presigned(self, method: str, path: str, expires_s: int = 3600) -> str:
        """A URL."""
        request = AWSRequest(method, f"{self.live.url}{path}")
        held = Credentials(self.key_id, self.secret, self.token or None)
        SignedAt(held, self.made, expires_s).add_auth(request)
        return str(request.url)

    def in_session(self, user: str = OWNER, lasts_s: int = 7200, **limits: str) -> "Client":
        """A session that this key has begun, as its user or (`role`, `role_id`, `policy`) in a role."""
        (key_id, secret), now_s = sessions.new_credentials(), int(live_now_s(self.live))
        whose = {"user": user, "parent": self.key_id} if "role" not in limits else {}
        held = Session(key_id, secret, user, now_s, now_s + lasts_s, **whose, **limits)
        return Client(self.live, key_id, secret, sessions.seal(held, CLUSTER_SECRET))

    async def ask(self, kind: str, path: str, method: str = "GET", **kwargs: Any) -> Any:
        """One request."""
        if kind == "presigned":
            return await self.live.call(method, URL(self.presigned(method, path), encoded=True), **kwargs)
        headers = self.signed(method, path) | kwargs.pop("headers", {})
        return await self.live.call(method, URL(f"{self.live.url}{path}", encoded=True), headers=headers, **kwargs)


def live_now_s(live: Any) -> float:
    """By its clock."""
    return float(live.node.env.clock.now_ns() / 1e9)


def ring(*made: tuple[AccessKey, str]) -> KeyRing:
    """These keys."""
    known = AccessKeys()
    for key, _ in made:
        known = known.with_key(key)
    return KeyRing(known, (CLUSTER_SECRET,))


@asynccontextmanager
async def closed(serve: Any, holds: str = "key") -> AsyncIterator[tuple[Any, Client, Client]]:
    """A target whose clients sign, the owner of a bucket, and somebody else. An object was read until it is known.

    `holds`: what the owner signs with, a `key` or a `session`.
    """
    async with serve(clock=Ahead()) as [live]:
        await live.create()
        await live.take(live.node.bmd.with_props(BCK, live.node.bmd.require(BCK).props.with_s3(owner=OWNER)))
        owner, other = (keys.new_key(user, CLUSTER_SECRET, 1) for user in (OWNER, OTHER))
        live.node.keyring = ring(owner, other)
        live.node.config = dataclasses.replace(live.node.config, transient={"auth.enabled": "true"})
        client, foreign = (Client(live, key.id, secret) for key, secret in (owner, other))
        if holds == "session":
            client = client.in_session()
        await put(client, b"before")
        yield live, client, foreign


async def put(client: Client, content: bytes, **headers: str) -> None:
    """Store the object, and read it until it is known by heart."""
    answer = await client.ask("presigned", "/b/o", "PUT", data=content, headers=headers)
    assert answer.status == 200, answer.body
    live = client.live
    path = next(path for path in live.files() if path.endswith("/o"))
    await until(lambda: live.node.env.clock.now_ns() - os.stat(path).st_ctime_ns > RACY_NS)
    for kind in KINDS * 3:
        assert (await client.ask(kind, "/b/o")).body == content
