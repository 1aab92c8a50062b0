"""`rate_limit.frontend` of a bucket: who asks too often is told so, by both APIs, and nothing happens."""

import pytest
from harness.wire import Api, object_path, request

ONE_PER_HOUR = {"enabled": True, "max_tokens": 1, "interval": "1h", "burst_size": 2}
ASKED = 20


def limit(api: Api, bucket: str, **frontend: object) -> None:
    """Change the limit of a bucket."""
    answer = api.act(
        "PATCH",
        f"/v1/buckets/{bucket}",
        "set-bprops",
        value={"rate_limit": {"frontend": frontend}},
        query={"provider": "ais"},
    )
    assert answer.status == 200, answer.body


def test_beyond_the_rate_is_429(api: Api, bucket: str) -> None:
    """The burst is served, then 429 with AIStore's code; each verb has turns of its own; HEAD is not counted."""
    assert api.put(bucket, "o", b"x").status == 200
    limit(api, bucket, **ONE_PER_HOUR)
    statuses = [api.get(bucket, "o").status for _ in range(ASKED)]
    assert statuses[:3] == [200] * 3
    assert set(statuses) == {200, 429}
    refused = next(answer for _ in range(ASKED) if (answer := api.get(bucket, "o")).status == 429)
    assert refused.error["tcode"] == "ErrRateLimitFrontend"
    assert "1 GET per 1h0m: try again in" in refused.error["message"]
    assert {api.head(bucket, "o").status for _ in range(ASKED)} == {200}
    assert api.put(bucket, "o", b"new").status == 200
    assert api.delete(bucket, "o").status == 200
    limit(api, bucket, enabled=False)
    assert {api.get(bucket, "o").status for _ in range(ASKED)} == {404}


def test_one_verb_alone(api: Api, bucket: str) -> None:
    """`per_op_max_tokens` limits one verb; 0 of the others is any number; a PUT that is refused stores nothing."""
    limit(api, bucket, **{**ONE_PER_HOUR, "max_tokens": 0, "per_op_max_tokens": "put:1"})
    answers = {f"o{number}": api.put(bucket, f"o{number}", b"x").status for number in range(ASKED)}
    assert set(answers.values()) == {200, 429}
    assert {name: api.get(bucket, name).status for name in answers} == {
        name: 200 if status == 200 else 404 for name, status in answers.items()
    }


def test_s3_is_told_to_slow_down(api: Api, bucket: str) -> None:
    """Over S3 the same turns; beyond them 503 `SlowDown`, which clients repeat."""
    assert api.put(bucket, "o", b"x").status == 200
    limit(api, bucket, **ONE_PER_HOUR)
    answers = [request(api.url, "GET", f"/s3/{bucket}/o") for _ in range(ASKED)]
    assert {answer.status for answer in answers} == {200, 503}
    assert b"<Code>SlowDown</Code>" in next(answer.body for answer in answers if answer.status == 503)


@pytest.mark.parametrize("wrong", ["get:many", "list:5"])
def test_what_is_no_limit_is_refused(api: Api, bucket: str, wrong: str) -> None:
    """An unknown verb or no number is 400 and changes nothing."""
    answer = api.act(
        "PATCH",
        f"/v1/buckets/{bucket}",
        "set-bprops",
        value={"rate_limit": {"frontend": {"per_op_max_tokens": wrong}}},
        query={"provider": "ais"},
    )
    assert answer.status == 400
    assert wrong.split(":")[0] in answer.error["message"]
    assert api.call("GET", object_path(bucket, "o")).status == 404
