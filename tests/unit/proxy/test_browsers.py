"""Pages in a browser cannot use the cluster that their reader can reach."""

from collections.abc import Callable
from typing import Any

import pytest
from harness import bare

from ais.api.bucket import Bck
from ais.config.sections import Net

Run = Callable[[Any], Any]
BROWSER = "User-Agent: Mozilla/5.0 (X11; Linux)"


@pytest.mark.parametrize(
    "lines",
    [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1:1",
        "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors",
        f"Host: evil.example\n{BROWSER}",
        "Host: evil.example:80\nOrigin: http://evil.example:80",
    ],
)
def test_pages_of_others(serve: Any, run: Run, lines: str) -> None:
    """A foreign origin, a foreign site, a foreign name: 403 on gateway and target, and nothing done."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            await cluster.create("s")
            before = cluster.primary.node.bmd
            for line, body in [
                ("POST /v1/buckets/t", b'{"action":"create-bck"}'),
                ("DELETE /v1/buckets/s", b'{"action":"destroy-bck"}'),
                ("POST /v1/auth/keys", b'{"user":"ann"}'),
                ("PUT /v1/cluster/set-config?log.level=4", b""),
                ("GET /v1/daemon?what=smap", b""),
                ("PUT /v1/objects/s/o?pid=x&utm=1", b"content"),
                ("GET /ais/s/o", b""),
            ]:
                for node in (cluster.primary, *cluster.targets):
                    status, answer = await bare.ask(node.url, f"{line} HTTP/1.1\n{lines}", body)
                    assert (status, b"another site" in answer or b"not the name" in answer) == (403, True), answer
            assert cluster.primary.node.bmd is before
            assert not cluster.primary.node.keys.keys

    run(scenario())


def test_our_own_pages(serve: Any, run: Run) -> None:
    """By address, as localhost, by a name that was set, and by a link on another page, browsers are served."""

    async def scenario() -> None:
        async with serve(targets=1, net=Net(hosts=("data.example",))) as cluster:
            port = cluster.primary.url.rpartition(":")[2]
            for lines in (
                BROWSER,
                f"Host: localhost:{port}\n{BROWSER}\nOrigin: http://localhost:{port}",
                f"Host: data.example\n{BROWSER}\nSec-Fetch-Site: same-origin",
                f"Host: [::1]:{port}\n{BROWSER}",
                f"{BROWSER}\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate",
                "Host: some.service.local",
            ):
                status, answer = await bare.ask(cluster.primary.url, f"GET /v1/daemon?what=smap HTTP/1.1\n{lines}")
                assert status == 200, answer

    run(scenario())


REBOUND = f"Host: evil.example\n{BROWSER}"
CORS = (
    b"<CORSConfiguration><CORSRule><AllowedOrigin>http://app.example</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>"
    b"</CORSRule></CORSConfiguration>"
)


@pytest.mark.parametrize(
    "lines",
    [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        REBOUND,
        f"{REBOUND}\nOrigin: http://evil.example",
    ],
)
def test_s3_of_who_need_not_sign(serve: Any, run: Run, lines: str) -> None:
    """Nor does a page make a bucket, write, delete, or get a key by S3, whose requests nobody signs here; under another
    name it does not even read. A signature that nobody compares is none."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            await cluster.create("s")
            s3 = cluster.s3()
            await s3("put_object", Bucket="s", Key="k", Body=b"content")
            before = cluster.primary.node.bmd
            form = "Content-Type: application/x-www-form-urlencoded"
            changes = [
                ("PUT /evil", b""),
                ("PUT /s3/evil", b""),
                ("PUT /s/k", b"x"),
                ("PUT /s/k?X-Amz-Signature=x&X-Amz-Algorithm=AWS4-HMAC-SHA256", b"x"),
                ("DELETE /s/k", b""),
                ("POST /s?delete", b"<Delete><Object><Key>k</Key></Object></Delete>"),
                ("POST /s", b"--x--"),
                ("POST /s/k?uploads", b""),
                (f"POST / HTTP/1.1\n{form}", b"Action=CreateUser&Version=2010-05-08&UserName=eve"),
                ("GET /?Action=CreateUser&Version=2010-05-08&UserName=eve", b""),
                ("GET /?Action=CreateUser&Version=2010-05-08&UserName=eve HTTP/1.1\nSec-Fetch-Mode: navigate", b""),
            ]
            reads = [("GET /s/k", b""), ("GET /s", b""), ("GET /s3", b"")]
            for line, body in changes + (reads if lines.startswith(REBOUND) else []):
                head = f"{line}\n{lines}" if " HTTP/" in line else f"{line} HTTP/1.1\n{lines}"
                for node in (cluster.primary, *cluster.targets):
                    status, answer = await bare.ask(node.url, head, body)
                    assert (status, b"AccessDenied" in answer) == (403, True), (line, answer)
            assert cluster.primary.node.bmd is before
            assert not cluster.primary.node.keys.iam.users
            assert (await s3("get_object", Bucket="s", Key="k"))["Body"].read() == b"content"

    run(scenario())


def test_pages_that_a_bucket_lets_in(serve: Any, run: Run) -> None:
    """What a bucket's CORS rules allow, and reads from other sites, pass; so do pages of names that are set."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True, net=Net(hosts=("data.example",))) as cluster:
            await cluster.create("s")
            url = cluster.primary.url
            assert (await bare.ask(url, "PUT /s?cors HTTP/1.1", CORS))[0] == 200
            for line, wanted in (
                ("PUT /s/k HTTP/1.1\nOrigin: http://app.example", 200),
                ("PUT /s/k HTTP/1.1\nOrigin: http://evil.example", 403),
                ("DELETE /s/k HTTP/1.1\nOrigin: http://app.example", 403),
                ("GET /s/k HTTP/1.1\nOrigin: http://evil.example", 200),
                (f"PUT /s/k HTTP/1.1\nHost: data.example\n{BROWSER}", 200),
            ):
                status, answer = await bare.ask(url, line, b"x" * line.startswith("PUT"))
                assert status == wanted, (line, answer)

    run(scenario())


def test_stored_pages(serve: Any, run: Run) -> None:
    """An object that says it is a page is not run on the origin of the API."""

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            await cluster.create("s")
            s3 = cluster.s3()
            await s3("put_object", Bucket="s", Key="p.html", Body=b"<script>1</script>", ContentType="text/html")
            target = cluster.targets[0]
            for name in ("p.html", "p.html", "p.html"):
                answer = await target.ask("GET", f"/v1/objects/s/{name}")
                assert answer.headers["Content-Type"] == "text/html"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Content-Security-Policy"] == "sandbox"
            assert cluster.primary.node.bmd.get(Bck("s")) is not None

    run(scenario())
