"""A cluster that takes the tokens of an OpenID Connect issuer: a real one over HTTP, whose keys change."""

import contextlib
import http.client
from collections.abc import Iterator

import jwt
import pytest
from harness import issuer as issuers
from harness.issuer import Issuer
from harness.nodes import eventually
from harness.wire import Answer, message, request

from ais.testing import Cluster


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuers.running() as running:
        running.add_key("first")
        yield running


@pytest.fixture(scope="module")
def cluster(issuer: Issuer) -> Iterator[Cluster]:
    with Cluster(proxies=1, targets=1, mountpaths=1) as running:
        oidc = {"allowed_iss": [issuer.url], "jwks_cache": {"min_rotation_refresh": "1s"}}
        settings = {"auth": {"client_auth_required": True, "oidc": oidc, "required_claims": {"aud": ["ais"]}}}
        answer = request(running.endpoint, "PUT", "/v1/cluster", body=message("set-config", value=settings))
        assert answer.status == 200, answer
        yield running


def ask(cluster: Cluster, token: str, method: str = "GET", target: str = "/v1/buckets", body: bytes = b"") -> Answer:
    return request(cluster.endpoint, method, target, body=body, headers={"Authorization": f"Bearer {token}"})


def settles(cluster: Cluster, token: str, status: int) -> None:
    """The answer when keys are no longer being fetched."""
    eventually(lambda: ask(cluster, token).status not in (503, 200 if status != 200 else 401), within_s=60)
    assert ask(cluster, token).status == status


def test_its_tokens_are_taken(cluster: Cluster, issuer: Issuer) -> None:
    """An administrator's token does everything, for S3 too; one with rights on all clusters does those."""
    admin = issuer.token(aud="ais", admin=True)
    settles(cluster, admin, 200)
    assert ask(cluster, admin, "POST", "/v1/buckets/b", message("create-bck")).status == 200
    location = ask(cluster, admin, "PUT", "/v1/objects/b/o?provider=ais").header("Location")
    base, _, path = (location or "").partition("/v1/")
    assert request(base, "PUT", f"/v1/{path}", body=b"x").status == 200
    assert request(cluster.endpoint, "GET", "/s3/b/o", headers={"X-Amz-Security-Token": admin}).body == b"x"
    lists = issuer.token(aud="ais", clusters=[{"id": "", "perm": str(1 << 12)}])
    assert ask(cluster, lists).status == 200
    assert ask(cluster, lists, "POST", "/v1/buckets/c", message("create-bck")).status == 403


def test_what_is_no_token_of_it(cluster: Cluster, issuer: Issuer) -> None:
    """Another issuer, audience, key, algorithm, an end that has come: 401, and the issuer is not asked for each."""
    settles(cluster, issuer.token(aud="ais", admin=True), 200)
    published = next(key for key in issuer.published() if key["kid"] == "first")
    secret = jwt.PyJWK(published).key.public_numbers().n.to_bytes(256)
    forged = jwt.encode(
        {"sub": "a", "iss": issuer.url, "aud": "ais", "exp": 1 << 40, "admin": True},
        secret,
        algorithm="HS256",
        headers={"kid": "first"},
    )
    unsigned = jwt.encode({"sub": "a", "iss": issuer.url, "aud": "ais", "exp": 1 << 40}, None, algorithm="none")
    issuer.add_key("hidden", is_hidden=True)
    wrong = [
        issuer.token("first", aud="ais", admin=True, iss="https://other.example"),
        issuer.token("first", aud="other", admin=True),
        issuer.token("first", aud="ais", admin=True, exp=1),
        issuer.token("first", admin=True),
        forged,
        unsigned,
        "no token",
    ]
    for token in wrong:
        settles(cluster, token, 401)
    before = issuer.asked["/keys"]
    for _ in range(50):
        assert ask(cluster, issuer.token("hidden", aud="ais", admin=True)).status in (401, 503)
    assert issuer.asked["/keys"] - before < 50


def test_its_keys_change(cluster: Cluster, issuer: Issuer) -> None:
    """A token of a key that is new is taken when the key was fetched, which it causes; of one withdrawn no more."""
    issuer.add_key("second", is_rsa=False)
    token, old = issuer.token("second", aud="ais", admin=True), issuer.token("first", aud="ais", admin=True)
    settles(cluster, token, 200)
    assert ask(cluster, old).status == 200
    issuer.remove_key("first")
    issuer.add_key("third")
    settles(cluster, issuer.token("third", aud="ais", admin=True), 200)
    settles(cluster, old, 401)


def test_what_is_read_again_ends_with_its_key(cluster: Cluster, issuer: Issuer) -> None:
    """Of a token whose key was withdrawn nothing is answered any more, also where the same bytes were a moment ago."""
    issuer.add_key("passing")
    old = issuer.token("passing", aud="ais", admin=True)
    settles(cluster, old, 200)
    assert ask(cluster, old, "POST", "/v1/buckets/k", message("create-bck")).status == 200
    location = ask(cluster, old, "PUT", "/v1/objects/k/o?provider=ais").header("Location") or ""
    assert (
        request(location.partition("/v1/")[0], "PUT", f"/v1/{location.partition('/v1/')[2]}", body=b"x").status == 200
    )
    with contextlib.closing(http.client.HTTPConnection(cluster.targets[0].url.partition("//")[2])) as line:

        def read(token: str, *, is_native: bool) -> int:
            path, name = (
                ("/v1/objects/k/o?provider=ais", "Authorization") if is_native else ("/s3/k/o", "X-Amz-Security-Token")
            )
            line.request("GET", path, headers={name: f"Bearer {token}" if is_native else token})
            answer = line.getresponse()
            answer.read()
            return answer.status

        for is_native in (True, False):
            eventually(lambda is_native=is_native: read(old, is_native=is_native) == 200, within_s=60)
            assert {read(old, is_native=is_native) for _ in range(5)} == {200}
        issuer.remove_key("passing")
        issuer.add_key("coming")
        new = issuer.token("coming", aud="ais", admin=True)
        eventually(lambda: read(new, is_native=True) == 200, within_s=60)
        for is_native in (True, False):
            assert 200 not in {read(old, is_native=is_native) for _ in range(3)}


def test_an_issuer_that_does_not_answer_well(cluster: Cluster, issuer: Issuer) -> None:
    """Too much, garbage, another name: the keys of before stay, and nobody new is let in."""
    good = issuer.token("third", aud="ais", admin=True)
    settles(cluster, good, 200)
    for number, (path, body) in enumerate(
        [
            ("/keys", b"[" * 200_000),
            ("/keys", b"not json"),
            ("/.well-known/openid-configuration", b'{"issuer": "https://other.example", "jwks_uri": "http://x/"}'),
        ]
    ):
        issuer.answers = {path: body}
        issuer.add_key(f"late-{number}")
        asked = issuer.asked[path]
        token = issuer.token(aud="ais", admin=True)
        eventually(
            lambda token=token, asked=asked, path=path: ask(cluster, token) and issuer.asked[path] > asked, within_s=60
        )
        assert ask(cluster, token).status in (401, 503)
        assert ask(cluster, good).status == 200
    issuer.answers = {}


@pytest.mark.parametrize(
    "oidc",
    [
        {"allowed_iss": ["http://issuer.example"]},
        {"allowed_iss": ["https://a@issuer.example"]},
        {"allowed_iss": ["ftp://issuer.example"]},
        {"allowed_iss": []},
    ],
)
def test_settings_that_make_no_sense(cluster: Cluster, issuer: Issuer, oidc: dict) -> None:
    """Issuers over plain HTTP elsewhere, with a user, of another kind; none while tokens are required: refused."""
    admin = issuer.token("third", aud="ais", admin=True)
    settles(cluster, admin, 200)
    body = message("set-config", value={"auth": {"oidc": oidc}})
    assert ask(cluster, admin, "PUT", "/v1/cluster", body).status == 400
