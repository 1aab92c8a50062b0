"""Small requests that used to stop a node are refused before they cost anything."""

from collections.abc import Callable
from typing import Any

import pytest
from harness import bare

from ais.api import codec

Run = Callable[[Any], Any]
DEEP = "a." * 100_000 + "a"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("line", "body", "status", "words"),
    [
        ("PUT /v1/cluster", codec.to_json({"action": "set-config", "value": {DEEP: 1}}), 400, "at most 8 parts"),
        ("PUT /v1/cluster", codec.to_json({"action": "set-config", "value": nested(40)}), 400, "at most 8 levels"),
        ("PUT /v1/cluster", codec.to_json({"action": "set-config", "value": nested(300)}), 400, "more than 64 levels"),
        ("PUT /v1/cluster", b"[" + b"{}," * 400_000 + b"{}]", 413, "exceeds 1048576 bytes"),
        (f"PUT /v1/cluster/set-config?{DEEP[:20000]}=1", b"", 400, "at most 8 parts"),
        (f"PUT /v1/cluster/set-config?timeout.max_keepalive={'9' * 5000}", b"", 400, "invalid"),
        (
            (
                f"GET /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Date=b&X-Amz-SignedHeaders=host"
                f"&X-Amz-Signature=c&X-Amz-Expires={'9' * 5000}"
            ),
            b"",
            400,
            "X-Amz-Expires",
        ),
    ],
    ids=["name", "nested", "levels", "body", "query", "duration", "expires"],
)
def test_refused(serve: Any, run: Run, line: str, body: bytes, status: int, words: str) -> None:
    """Names and objects that are too deep, bodies that are too long, numbers of thousands of digits: 4xx, no change."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            before = cluster.primary.node.config
            found, answer = await bare.ask(cluster.primary.url, f"{line} HTTP/1.1", body)
            assert (found, words in answer.decode()) == (status, True), answer[-500:]
            assert cluster.primary.node.config is before

    run(scenario())
