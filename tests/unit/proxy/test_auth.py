"""`/v1/auth/keys`: any proxy takes every request, each node has the result, a secret is told once."""

from collections.abc import Callable
from typing import Any

import pytest

from ais.auth import keys
from ais.auth.iam import Iam, User
from ais.base.errors import CorruptMetadata

Run = Callable[[Any], Any]
KEYS = "/v1/auth/keys"
PAIR = {"id": "AKIAIOSFODNN7EXAMPLE", "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


def test_life_of_a_key(serve: Any, run: Run) -> None:
    """Made, listed, disabled, enabled and removed through a proxy that is not primary; all nodes follow."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=1) as cluster:
            second = cluster.proxies[1]
            members = [*cluster.proxies, *cluster.targets]

            def found(key_id: str) -> set[Any]:
                return {member.node.keyring.lookup(key_id) for member in members}

            made = (await second.ask("POST", KEYS, {"user": "ann"})).json
            assert set(made) == {"id", "secret", "user", "created"}
            assert found(made["id"]) == {("ann", made["secret"], False, False)}
            path = f"{KEYS}/{made['id']}"
            assert (await second.ask("PATCH", path, {"disabled": True})).status == 200
            assert found(made["id"]) == {("ann", made["secret"], True, False)}
            for proxy in cluster.proxies:
                (listed,) = (await proxy.ask("GET", KEYS)).json
                known = {name: made[name] for name in ("id", "user", "created")}
                assert listed == {**known, "disabled": True, "admin": False}
            assert (await second.ask("PATCH", path, {"disabled": False})).status == 200
            assert found(made["id"]) == {("ann", made["secret"], False, False)}
            assert (await second.ask("DELETE", path)).status == 200
            assert found(made["id"]) == {None}
            assert (await second.ask("GET", KEYS)).json == []

    run(scenario())


def test_a_name_that_an_account_has_taken(serve: Any, run: Run) -> None:
    """Who got a key of that name would act for the account that made the user, with its rights."""

    async def scenario() -> None:
        async with serve(targets=0) as cluster:
            proxy = cluster.primary
            iam = Iam().with_entity(User(name="bob", account="ann", id="AIDA"))
            await proxy.node.change_keys(lambda keys: keys.with_iam(iam))
            for more in ({}, {"admin": True}, PAIR):
                refused = await proxy.ask("POST", KEYS, {"user": "bob"} | more)
                assert refused.status == 409
                assert 'a user of the account "ann"' in refused.error["message"]
            assert (await proxy.ask("POST", KEYS, {"user": "ann"})).status == 200

    run(scenario())


def test_imported_keys_and_lists_by_user(serve: Any, run: Run) -> None:
    """A pair from another store is taken as it is, once; a list has one user's keys, or all by user."""

    async def scenario() -> None:
        async with serve(targets=0) as cluster:
            proxy = cluster.primary
            made = await proxy.ask("POST", KEYS, {"user": "bob"} | PAIR)
            assert made.status == 200
            assert {name: made.json[name] for name in PAIR} == PAIR
            again = await proxy.ask("POST", KEYS, {"user": "ann"} | PAIR)
            assert again.status == 409
            assert PAIR["id"] in again.error["message"]
            await proxy.ask("POST", KEYS, {"user": "ann"})
            await proxy.ask("POST", KEYS, {"user": "bob"})
            assert [key["user"] for key in (await proxy.ask("GET", KEYS)).json] == ["ann", "bob", "bob"]
            assert [key["user"] for key in (await proxy.ask("GET", f"{KEYS}?user=ann")).json] == ["ann"]
            assert (await proxy.ask("GET", f"{KEYS}?user=eve")).json == []

    run(scenario())


def test_too_many_keys(serve: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit nothing is made; after a removal there is room again."""
    monkeypatch.setattr(keys, "KEYS_MAX", 1)

    async def scenario() -> None:
        async with serve(targets=0) as cluster:
            proxy = cluster.primary
            made = (await proxy.ask("POST", KEYS, {"user": "ann"})).json
            refused = await proxy.ask("POST", KEYS, {"user": "ann"})
            assert refused.status == 409
            assert "the most it can have" in refused.error["message"]
            await proxy.ask("DELETE", f"{KEYS}/{made['id']}")
            assert (await proxy.ask("POST", KEYS, {"user": "ann"})).status == 200

    run(scenario())


def test_no_answer_tells_a_secret_again(serve: Any, run: Run) -> None:
    """Lists, changes, refusals and everything a node tells about itself are without the secrets."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            proxy, node = cluster.primary, cluster.primary.node
            assert (await proxy.ask("POST", KEYS, {"user": "ann"} | PAIR)).status == 200
            whats = ("smap", "bmd", "config", "snode", "cluster_config", "node_stats", "node_status", "metrics")
            answers = [await proxy.ask("GET", f"/v1/daemon?what={what}") for what in whats]
            answers += [
                await proxy.ask("GET", KEYS),
                await proxy.ask("POST", KEYS, {"user": "bob"} | PAIR),
                await proxy.ask("POST", KEYS, {"user": "not valid"} | PAIR),
                await proxy.ask("POST", KEYS, {"user": "bob", "id": "x/y", "secret": PAIR["secret"]}),
                await proxy.ask("POST", KEYS, {"user": "bob", "secret": PAIR["secret"]}),
                await proxy.ask("PATCH", f"{KEYS}/{PAIR['id']}", {"disabled": True}),
                await proxy.ask("GET", "/metrics"),
            ]
            for secret in (PAIR["secret"].encode(), node.cluster_secret, node.keys.keys[PAIR["id"]].sealed.encode()):
                assert not any(secret in answer.body for answer in answers)

    run(scenario())


def test_keys_sealed_with_another_secret_are_named(serve: Any, run: Run) -> None:
    """They can be listed and removed, but what needs their secret says that it cannot be opened."""

    async def scenario() -> None:
        async with serve(targets=0) as cluster:
            proxy, node = cluster.primary, cluster.primary.node
            key, _ = keys.new_key("ann", keys.new_secret(), 0)
            await node.change_keys(lambda old: old.with_key(key))
            with pytest.raises(CorruptMetadata, match=key.id):
                node.keyring.lookup(key.id)
            assert [one["id"] for one in (await proxy.ask("GET", KEYS)).json] == [key.id]
            assert (await proxy.ask("DELETE", f"{KEYS}/{key.id}")).status == 200

    run(scenario())


def test_an_open_cluster_cannot_ask_for_tokens(serve: Any, run: Run) -> None:
    """Without a join secret nobody could tell nodes from clients: the setting is refused, and nothing changes."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            before = cluster.primary.node.config
            wanted = {"auth": {"client_auth_required": True, "signature": {"key": "k" * 32, "method": "hmac"}}}
            answer = await cluster.primary.act("PUT", "/v1/cluster", "set-config", wanted)
            assert (answer.status, "join secret" in answer.error["message"]) == (400, True)
            assert cluster.primary.node.config is before

    run(scenario())
