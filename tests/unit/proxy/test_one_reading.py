"""A request means the same to everybody: no path and no `Host` is read in two ways."""

from collections.abc import Callable
from typing import Any

import pytest
from harness import bare

from ais.api.bucket import Bck
from ais.config.sections import Auth, Net

Run = Callable[[Any], Any]
DESTROY = b'{"action":"destroy-bck"}'
RESPELLED = "is spelled so that programs read it differently"


@pytest.mark.parametrize(
    "line",
    [
        "DELETE /v1/b%75ckets",
        "DELETE /v1/buckets%2Fs",
        "DELETE /v1//buckets/s",
        "DELETE /v1/./buckets/s",
        "DELETE /v1/x/../buckets/s",
        "PUT /v1/cluster/../daemon",
        "PATCH /v1/obj%65cts/s/o",
        "GET /v1/met%61sync?part=config",
        "GET /v1/reverse/daemon/../metasync",
    ],
)
def test_respelled_paths(serve: Any, run: Run, line: str) -> None:
    """A path that decodes to a native one is refused, and nothing is done."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            await cluster.create("s")
            before = cluster.primary.node.bmd
            status, answer = await bare.ask(cluster.primary.url, f"{line} HTTP/1.1", DESTROY)
            assert (status, RESPELLED in answer.decode()) == (400, True), answer
            assert cluster.primary.node.bmd is before

    run(scenario())


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /v1/buckets#/s HTTP/1.1", 400),
        ("GET http://other:1/v1/daemon?what=smap HTTP/1.1", 400),
        ("GET /v1/daemon?what=smap HTTP/1.1\nExpect: something", 417),
    ],
)
def test_ambiguous_heads(serve: Any, run: Run, head: str, status: int) -> None:
    """A fragment, an authority beside another Host, an expectation nobody knows are refused."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            assert (await bare.ask(cluster.primary.url, head))[0] == status

    run(scenario())


def test_a_virtual_host_is_never_native(serve: Any, run: Run) -> None:
    """With authentication on, a gateway's relay does not turn an S3 request into a native one on the target."""

    async def scenario() -> None:
        net = Net(s3_domain="s3.local")
        async with serve(targets=2, storage=True, net=net, auth=Auth(enabled=True)) as cluster:
            ann = await cluster.user("ann")
            await ann("create_bucket", Bucket="abc")
            await ann("put_object", Bucket="abc", Key="k", Body=b"secret")
            nodes = [cluster.primary, *cluster.targets]
            for method, tail in [("GET", ""), ("PUT", "?pid=x&utm=1"), ("DELETE", "?pid=x&utm=1"), ("GET", "")]:
                for node in nodes:
                    head = f"{method} /v1/objects/abc/k{tail} HTTP/1.1\nHost: abc.s3.local"
                    status, answer = await bare.ask(node.url, head, b"forged" if method == "PUT" else b"")
                    assert status == (501 if tail else 403), answer  # S3 knows no pid=
                    assert b"<Error>" in answer
            found = await ann("get_object", Bucket="abc", Key="k")
            assert found["Body"].read() == b"secret"

    run(scenario())


def test_a_note_is_never_native(serve: Any, run: Run) -> None:
    """What claims that a node passed it on is S3's: with a forged note it is refused, whatever its path."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            await cluster.create("s")
            for node in (cluster.primary, *cluster.targets):
                head = "DELETE /v1/objects/s/o?pid=x&utm=1 HTTP/1.1\nAis-S3-Via: AAAA"
                status, answer = await bare.ask(node.url, head)
                assert (status, b"<Code>AccessDenied</Code>" in answer) == (403, True), answer
            assert cluster.primary.node.bmd.get(Bck("s")) is not None

    run(scenario())
