"""The bucket API over HTTP: create, list, properties, destroy, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from ais.api import codec
from ais.base.errors import OutOfSpace

Run = Callable[[Any], Any]
PROXIES = 2


def test_a_bucket_lives_on_every_proxy(serve: Any, run: Run) -> None:
    """Created, changed and destroyed through a proxy that is not primary: each step is known to all at once."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=2) as cluster:
            first, second = cluster.proxies
            created = await second.act("POST", "/v1/buckets/b?provider=ais", "create-bck")
            assert (created.status, created.body) == (200, b"")
            for proxy in cluster.proxies:
                listed = await proxy.act("GET", "/v1/buckets?provider=ais", "list")
                assert listed.json == [{"name": "b", "provider": "ais", "namespace": {"uuid": "", "name": ""}}]
                assert listed.body.endswith(b"]\n")
            again = await second.act("POST", "/v1/buckets/b", "create-bck")
            assert again.status == 409
            assert again.error["tcode"] == "ErrBucketAlreadyExists"
            assert again.error["message"] == 'bucket "ais://b" already exists'
            patch = {"versioning": {"enabled": False}}
            changed = await second.act("PATCH", "/v1/buckets/b", "set-bprops", patch)
            assert (changed.status, changed.body) == (200, b"")
            for proxy in cluster.proxies:
                props = codec.parse_json((await proxy.ask("HEAD", "/v1/buckets/b")).headers["Ais-Bucket-Props"])
                assert props["versioning"]["enabled"] is False
            assert (await second.act("PATCH", "/v1/buckets/b", "reset-bprops")).status == 200
            props = codec.parse_json((await first.ask("HEAD", "/v1/buckets/b")).headers["Ais-Bucket-Props"])
            assert props["versioning"]["enabled"] is True
            assert (await second.act("DELETE", "/v1/buckets/b", "destroy-bck")).status == 200
            for proxy in cluster.proxies:
                gone = await proxy.ask("HEAD", "/v1/buckets/b")
                assert gone.status == 404
                assert gone.error["tcode"] == "ErrBckNotFound"
            assert (await second.act("DELETE", "/v1/buckets/b", "destroy-bck")).status == 404

    run(scenario())


def test_a_bucket_that_one_target_refuses_is_nowhere(serve: Any, run: Run) -> None:
    """A veto of any target reaches the client and leaves every node without the bucket."""

    async def scenario() -> None:
        async with serve(proxies=1, targets=2) as cluster:
            cluster.targets[1].role.failure = OutOfSpace("no room")
            refused = await cluster.primary.act("POST", "/v1/buckets/b", "create-bck")
            assert refused.status == 507
            assert "no room" in refused.error["message"]
            assert all(len(member.node.bmd) == 0 for member in (cluster.primary, *cluster.targets))

    run(scenario())


def test_buckets_are_listed_by_provider_namespace_and_name(serve: Any, run: Run) -> None:
    """The list is sorted, and narrowed by what the query names; an easy URL lists the same."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            proxy = cluster.primary
            for path in ("zz", "aa", "aa?namespace=%23ns", ".sys-inventory"):
                assert (await proxy.act("POST", f"/v1/buckets/{path}", "create-bck")).status == 200

            async def names(query: str, name: str = "") -> list[str]:
                listed = await proxy.ask("GET", f"/v1/buckets?{query}", {"action": "list", "name": name})
                return [f"{one['namespace']['name']}/{one['name']}" for one in listed.json]

            assert await names("") == ["/aa", "/zz", "ns/aa"]
            assert await names("provider=ais&namespace=%40%23ns") == ["ns/aa"]
            assert (await proxy.ask("GET", "/v1/buckets?provider=aws")).status == 400
            assert await names("namespace=%40") == ["/aa", "/zz", "ns/aa"]
            assert await names("", "zz") == ["/zz"]
            assert await names("sys=true") == ["/.sys-inventory", "/aa", "/zz", "ns/aa"]
            easy = await proxy.ask("GET", "/ais")
            assert [one["name"] for one in easy.json] == ["aa", "zz", "aa"]

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "action", "value", "status", "text"),
    [
        ("POST", "/v1/buckets/b$d", "create-bck", None, 400, "b$d"),
        ("POST", "/v1/buckets", "create-bck", None, 400, "bucket name is empty"),
        ("DELETE", "/v1/buckets/b", "", None, 400, "names no action"),
        ("POST", "/v1/buckets/new/x", "create-bck", None, 400, "/v1/buckets/new/x"),
        ("POST", "/v1/buckets/new?provider=xyz", "create-bck", None, 400, "must be one of"),
        ("POST", "/v1/buckets/new?provider=aws", "create-bck", None, 501, 'aws bucket "s3://new" does not exist'),
        ("POST", "/v1/buckets/new", "create-bck", {"checksum": {"type": "crc7"}}, 400, "checksum"),
        ("POST", "/v1/buckets/new", "create-bck", [1], 400, "JSON object"),
        ("POST", "/v1/buckets/b", "do-magic", None, 400, "do-magic"),
        ("POST", "/v1/buckets/b", "copy-bck", None, 400, "missing"),
        ("POST", "/v1/buckets/b", "prefetch-listrange", None, 400, "remote"),
        ("POST", "/v1/buckets/b", "move-bck", None, 400, "bck_to"),
        ("POST", "/v1/buckets/b?bck_to=ais/@%23/b/", "move-bck", None, 400, "onto itself"),
        ("POST", "/v1/buckets/b?bck_to=ais/@%23/c/", "move-bck", None, 400, "already exists"),
        ("POST", "/v1/buckets/b?bck_to=rubbish", "move-bck", None, 400, "rubbish"),
        ("POST", "/v1/buckets/none?bck_to=ais/@%23/x/", "move-bck", None, 404, '"ais://none" does not exist'),
        ("PUT", "/v1/buckets/b", "archive", {}, 400, "object name is empty"),
        ("PUT", "/v1/buckets/b", "else", {}, 400, "else"),
        ("PATCH", "/v1/buckets/b", "set-bprops", {"mirror": {"enabled": True, "copies": 1}}, 400, "mirror.copies"),
        ("PATCH", "/v1/buckets/none", "set-bprops", {}, 404, "none"),
        ("DELETE", "/v1/buckets/b", "evict-remote-bck", None, 400, "expecting remote bucket (have ais://b)"),
        ("DELETE", "/v1/buckets/none?provider=aws", "destroy-bck", None, 404, 'aws bucket "s3://none" does not exist'),
        ("GET", "/v1/buckets/none", "list", None, 404, "none"),
        ("GET", "/v1/buckets/b/x", "list", None, 400, "/v1/buckets/b/x"),
        ("GET", "/v1/buckets/b", "rubbish", None, 400, "rubbish"),
        ("POST", "/v1/buckets/b", "create-inventory", {}, 400, "expecting remote bucket (have ais://b)"),
        ("GET", "/v1/buckets/b", "list", {"flags": "32768"}, 400, "buckets without a backend have no inventory"),
        ("GET", "/v1/buckets?presence=9", "list", None, 400, "presence"),
        ("GET", "/v1/buckets/b", "list", {"props": "name,colour"}, 400, "colour"),
        ("GET", "/v1/buckets/b", "list", {"flags": "512"}, 400, "not-cached"),
        ("GET", "/v1/buckets/b", "list", {"flags": "nine"}, 400, "flags"),
        ("GET", "/v1/buckets/b", "list", {"pagesize": -1}, 400, "pagesize"),
        ("GET", "/v1/buckets/b", "list", {"prefix": "../x"}, 400, "../x"),
        ("GET", "/v1/buckets/b", "list", {"uuid": "!"}, 400, "!"),
    ],
)
def test_what_is_refused(
    serve: Any, run: Run, method: str, path: str, action: str, value: Any, status: int, text: str
) -> None:
    """Each bad request has its status and says what is wrong; the buckets stay as they were."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            await cluster.create("b")
            await cluster.create("c")
            before = cluster.primary.node.bmd
            answer = await cluster.primary.act(method, path, action, value)
            assert (answer.status, answer.error["status"]) == (status, status), answer.error
            assert text in answer.error["message"]
            assert cluster.primary.node.bmd is before

    run(scenario())


def test_a_protected_bucket_is_neither_destroyed_nor_renamed(serve: Any, run: Run) -> None:
    """The `access` bits of a bucket hold for its own removal; opening it again is always allowed."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            proxy = cluster.primary
            await cluster.create("b")
            assert (await proxy.act("PATCH", "/v1/buckets/b", "set-bprops", {"access": "771"})).status == 200
            refused = await proxy.act("DELETE", "/v1/buckets/b", "destroy-bck")
            assert refused.status == 403
            assert "DESTROY-BUCKET access denied" in refused.error["message"]
            assert (await proxy.act("POST", "/v1/buckets/b?bck_to=ais/@%23/c/", "move-bck")).status == 403
            all_bits = str((1 << 64) - 1)
            assert (await proxy.act("PATCH", "/v1/buckets/b", "set-bprops", {"access": all_bits})).status == 200
            assert (await proxy.act("DELETE", "/v1/buckets/b", "destroy-bck")).status == 200

    run(scenario())


def test_evicting_an_unknown_remote_bucket_is_done_already(serve: Any, run: Run) -> None:
    """Evicting what the cluster does not know succeeds, as clients expect."""

    async def scenario() -> None:
        async with serve(targets=0) as cluster:
            path = "/v1/buckets/b?provider=aws&keep_bck_md=True"
            assert (await cluster.primary.act("DELETE", path, "evict-remote-bck")).status == 200

    run(scenario())
