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
