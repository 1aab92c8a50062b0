"""Tokens of before `auth.signature` was changed: good until the grace is over, whatever was remembered of them."""

import dataclasses
from typing import Any, cast

import jwt
import pytest
from harness.target import SmallNode

from ais.base.errors import Unauthenticated
from ais.config.cluster import ClusterConfig
from ais.config.node import NodeConfig
from ais.config.sections import Auth, AuthSignature
from ais.env import Env
from ais.meta.smap import NetInfo, Snode
from ais.node.clients import Clients, Former
from ais.stats.tracker import Tracker

OLD, NEW, START_S = "the key before, as long as it has to be", "the key after, as long as it has to be", 1_900_000_000


class Clock:
    """Says what it is told."""

    now_s = float(START_S)

    def now_ns(self) -> int:
        return int(self.now_s * 1e9)


def token_by(key: str) -> str:
    return jwt.encode({"sub": "ann", "exp": 1 << 40}, key, algorithm="HS256")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clients(clock: Clock) -> Clients:
    """At a node whose key was changed just now, with a grace of a minute."""
    net = NetInfo.make("http", "127.0.0.1", 8080)
    snode = Snode.make("proxy", "p1", net, net, net)
    env = dataclasses.replace(Env(), clock=cast(Any, clock))
    config = NodeConfig(ClusterConfig(auth=Auth(signature=AuthSignature(NEW, "hmac"))))
    node = SmallNode(snode, Tracker("proxy", env.clock), env, config)
    node.former = cast(Any, Former(AuthSignature(OLD, "hmac"), START_S + 60))
    return Clients(cast(Any, node))


def test_a_token_of_before_ends_with_the_grace(clients: Clients, clock: Clock) -> None:
    """Also one that was taken and remembered; one of another key is never good, one of the new key always."""
    clock.now_s = START_S + 59
    assert clients.of_token(token_by(OLD), "here").sub == "ann"
    clock.now_s = START_S + 61
    for token in (token_by(OLD), token_by("a key of somebody else, long enough")):
        with pytest.raises(Unauthenticated):
            clients.of_token(token, "here")
    assert clients.of_token(token_by(NEW), "here").exp == 1 << 40
