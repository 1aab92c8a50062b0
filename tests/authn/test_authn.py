"""AuthN by AIStore's SDK and by hand: users, roles, clusters, tokens; who may do what; what survives a restart."""

import asyncio
import json
import os
import stat
import time
import urllib.error
import urllib.request
from pathlib import Path

import jwt
import pytest
from ais_authn import service as service_module
from ais_authn.model import ADMIN_ROLE, Login, Role, User
from ais_authn.service import Service
from ais_authn.settings import Settings
from ais_authn.signing import Signer
from ais_authn.store import Store
from aistore.sdk.authn import AuthNClient
from aistore.sdk.authn.access_attr import AccessAttr
from aistore.sdk.authn.errors import (
    AuthNError,
    ErrClusterAlreadyRegistered,
    ErrClusterNotFound,
    ErrRoleAlreadyExists,
    ErrRoleNotFound,
    ErrUserAlreadyExists,
    ErrUserInvalidCredentials,
    ErrUserNotFound,
)
from harness.authn import PASSWORD, SECRET
from harness.wire import fresh_name

from ais.api.errors import RemoteError
from ais.base.errors import Overloaded, Unauthenticated


def call(url: str, method: str, path: str, token: str = "", body: object = None) -> tuple[int, bytes, dict[str, str]]:
    lines = {"Authorization": f"Bearer {token}"} if token else {}
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data, lines, method=method)) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


def login(url: str, user: str = "admin", password: str = PASSWORD, **more: object) -> str:
    status, body, _ = call(url, "POST", f"/v1/users/{user}", body={"password": password, **more})
    assert status == 200, body
    return json.loads(body)["token"]


@pytest.fixture(scope="module")
def admin_token(authn_url: str) -> str:
    return login(authn_url)


@pytest.fixture
def registered(admin: AuthNClient, tokens_endpoint):
    """A registered cluster: its ID and alias."""
    cluster_id, alias = fresh_name("id"), fresh_name("al")
    manager = admin.cluster_manager()
    port = tokens_endpoint.server_port
    body = {"id": cluster_id, "alias": alias, "urls": [f"http://127.0.0.1:{port}"]}
    status, answer, _ = call(
        admin.client.base_url.removesuffix("/v1"), "POST", "/v1/clusters", admin.client.token, body
    )
    assert status == 200, answer
    yield cluster_id, alias
    manager.delete(cluster_id=cluster_id)


def test_users(admin: AuthNClient, authn_url: str):
    """Add, show, change, remove; errors by the classes of the SDK."""
    users, name = admin.user_manager(), fresh_name("bob")
    users.create(name, [], "secret")
    assert users.get(name).id == name
    assert name in users.list().root
    with pytest.raises(ErrUserAlreadyExists):
        users.create(name, [], "secret")
    users.update(name, password="other")
    with pytest.raises(ErrUserInvalidCredentials):
        AuthNClient(authn_url).login(name, "secret")
    AuthNClient(authn_url).login(name, "other")
    users.delete(name)
    with pytest.raises(ErrUserNotFound):
        users.get(name)
    with pytest.raises(ErrUserNotFound):
        users.delete(name)


def test_roles_and_what_tokens_claim(admin: AuthNClient, authn_url: str, registered):
    """Roles on a cluster and on a bucket; a holder's token claims the union, for that audience."""
    cluster_id, alias = registered
    roles, users = admin.role_manager(), admin.user_manager()
    on_cluster, on_bucket, name = fresh_name("rc"), fresh_name("rb"), fresh_name("user")
    assert {f"Guest-{alias}", f"BucketOwner-{alias}", f"ClusterOwner-{alias}"} <= {one.name for one in roles.list()}
    roles.create(on_cluster, "lists", alias, [AccessAttr.LIST_BUCKETS])
    roles.create(on_bucket, "reads", alias, [AccessAttr.GET], bucket_name="data")
    with pytest.raises(ErrRoleAlreadyExists):
        roles.create(on_bucket, "reads", alias, [AccessAttr.GET])
    users.create(name, [on_cluster, on_bucket], "secret")
    roles.update(on_cluster, cluster_alias=alias, perms=[AccessAttr.LIST_BUCKETS, AccessAttr.SHOW_CLUSTER])
    claims = jwt.decode(login(authn_url, name, "secret"), SECRET, ["HS256"], audience=cluster_id)
    assert claims["sub"] == name
    assert claims["admin"] is False
    assert claims["clusters"] == [{"id": cluster_id, "perm": str(0b11 << 12)}]
    assert claims["buckets"] == [
        {"bck": {"name": "data", "provider": "ais", "namespace": {"uuid": cluster_id, "name": ""}}, "perm": "1"}
    ]
    roles.delete(on_bucket)
    assert [one.name for one in users.get(name).roles] == [on_cluster]
    with pytest.raises(ErrRoleNotFound):
        roles.get(on_bucket)
    users.delete(name)
    roles.delete(on_cluster)


def test_clusters(admin: AuthNClient, registered, tokens_endpoint):
    """By ID and alias; registered once; one that refuses our tokens is not registered."""
    cluster_id, alias = registered
    manager = admin.cluster_manager()
    assert manager.get(cluster_alias=alias).id == cluster_id
    with pytest.raises(ErrClusterNotFound):
        manager.get(cluster_id="nosuch")
    url = admin.client.base_url.removesuffix("/v1")
    urls = [f"http://127.0.0.1:{tokens_endpoint.server_port}"]
    status, body, _ = call(url, "POST", "/v1/clusters", admin.client.token, {"id": cluster_id, "urls": urls})
    assert (status, b"already registered" in body) == (409, True)
    assert issubclass(ErrClusterAlreadyRegistered, AuthNError)
    tokens_endpoint.status = 401
    status, _, _ = call(url, "POST", "/v1/clusters", admin.client.token, {"id": "other", "urls": urls})
    assert status == 400
    assert call(url, "GET", "/v1/clusters/other")[0] == 404


def test_revoked_tokens_are_pushed(admin: AuthNClient, authn_url: str, registered, tokens_endpoint):
    """A token that was taken back is refused here, and every registered cluster is told."""
    token = login(authn_url, expires_in=3600 * 10**9)
    assert call(authn_url, "GET", "/v1/users", token)[0] == 200
    admin.token_manager().revoke(token)
    assert call(authn_url, "GET", "/v1/users", token)[0] == 401
    told = [
        body["tokens"] for method, path, _, body in tokens_endpoint.calls if (method, path) == ("DELETE", "/v1/tokens")
    ]
    assert token in told[-1]
    again = login(authn_url)
    admin.token_manager().revoke(again)
    newest = tokens_endpoint.calls[-1][3]["tokens"]
    assert newest == [again]  # it knows of the others: whoever takes back many does not make each dearer
    bearer = tokens_endpoint.calls[-1][2].removeprefix("Bearer ")
    assert jwt.decode(bearer, SECRET, ["HS256"], audience=registered[0])["admin"] is True


def test_a_cluster_that_was_not_told(authn_url: str, admin: AuthNClient, registered, tokens_endpoint):
    """One that could not be told of a token is told of all with the next."""

    def take_back() -> tuple[str, list[str]]:
        token = login(authn_url)
        admin.token_manager().revoke(token)
        return token, tokens_endpoint.calls[-1][3]["tokens"]

    take_back()
    tokens_endpoint.refuses = True
    missed, _ = take_back()
    tokens_endpoint.refuses = False
    newest, told = take_back()
    assert {missed, newest} <= set(told)
    newest, told = take_back()
    assert told == [newest]


def test_many_who_log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many that wait they are told to come again: anybody may send passwords, and each takes memory."""
    monkeypatch.setattr(service_module, "_WAITING_MAX", 3)

    async def scenario() -> None:
        store = Store(str(tmp_path))
        service = Service(Settings(str(tmp_path), su_password="of the root"), store, Signer(SECRET))
        await service.found()
        asked = (service.login("admin", Login("wrong")) for _ in range(5))
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in found] == [RemoteError] * 3 + [Overloaded] * 2
        assert await service.login("admin", Login("of the root"))
        store.close()

    asyncio.run(scenario())


def test_who_was_an_administrator(tmp_path: Path) -> None:
    """The token of a user who was removed, or lost the role, administers nothing: it could make another of itself."""

    async def scenario() -> None:
        store = Store(str(tmp_path))
        service = Service(Settings(str(tmp_path), su_password="of the root"), store, Signer(SECRET))
        await service.found()
        await service.add_user(User("ann", "x", (Role(ADMIN_ROLE),)))
        service.add_role(Role("Guest"))
        bearer = f"Bearer {await service.login('ann', Login('x'))}"
        assert service.require_admin(bearer).sub == "ann"
        await service.update_user("ann", User("ann", roles=(Role("Guest"),)))
        with pytest.raises(Unauthenticated, match="requires admin"):
            service.require_admin(bearer)
        assert service.caller(bearer).sub == "ann"
        service.remove_user("ann")
        with pytest.raises(Unauthenticated, match="no user ann"):
            service.caller(bearer)
        store.close()

    asyncio.run(scenario())


def test_a_user_who_revokes_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What clusters keep of revoked tokens is for all users: of one so many, beyond that administrators say."""
    monkeypatch.setattr(service_module, "REVOKED_OF_USER_MAX", 2)

    async def scenario() -> None:
        store, now = Store(str(tmp_path)), [time.time()]
        service = Service(Settings(str(tmp_path), su_password="of the root"), store, Signer(SECRET), lambda: now[0])
        await service.found()
        await service.add_user(User("ann", "x"))
        admin = f"Bearer {await service.login('admin', Login('of the root'))}"
        tokens = [await service.login("ann", Login("x")) for _ in range(4)]
        for token in (*tokens[:2], tokens[0]):
            service.revoke(token, None)
        for bearer in (None, f"Bearer {tokens[2]}"):
            with pytest.raises(RemoteError, match="too many of this user's tokens") as caught:
                service.revoke(tokens[2], bearer)
            assert caught.value.status == 429
        service.revoke(tokens[2], admin)
        service.revoke(await service.login("admin", Login("of the root")), None)
        now[0] += 30 * 86400
        service.revoke(tokens[3], None)  # those before have expired
        store.close()

    asyncio.run(scenario())


def test_no_two_tokens_are_the_same(authn_url: str, admin_token: str):
    """Each login gives a token with a name of its own, in the same second too: revoking one leaves the others good."""
    found = [login(authn_url) for _ in range(3)]
    assert len({jwt.decode(one, SECRET, ["HS256"], options={"verify_aud": False})["jti"] for one in found}) == 3
    status, answer, _ = call(authn_url, "DELETE", "/v1/tokens", admin_token, {"token": found[0]})
    assert status == 200, answer
    assert [call(authn_url, "GET", "/v1/users", one)[0] for one in found] == [401, 200, 200]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/v1/users/admin", {"password": ""}, 401, "empty password"),
        ("POST", "/v1/users/admin", {"password": "x"}, 401, "invalid credentials"),
        ("POST", "/v1/users/nosuch", {"password": "x"}, 401, "invalid credentials"),
        ("POST", "/v1/users/admin", {"password": PASSWORD, "expires_in": 1}, 400, "must be 0 or >= 1m"),
        ("POST", "/v1/users/admin", {"password": PASSWORD, "expires_in": 10**17}, 400, "at most"),
        ("POST", "/v1/users/admin", None, 400, "no body"),
        ("GET", "/v1/users", None, 401, "token required"),
        ("POST", "/v1/users", {"id": "eve", "pass": "p"}, 401, "token required"),
        ("POST", "/v1/roles", {"name": "r"}, 401, "token required"),
        ("PUT", "/v1/roles/Admin", {"name": "r"}, 401, "token required"),
        ("DELETE", "/v1/clusters/x", None, 401, "token required"),
        ("GET", "/v1/daemon", None, 401, "token required"),
        ("POST", "/v1/rotate-key", None, 401, "token required"),
        ("DELETE", "/v1/tokens", {"token": ""}, 400, "empty token"),
        ("DELETE", "/v1/tokens", {"token": "abc"}, 401, "invalid token"),
        ("GET", "/v1/public-key", None, 400, "does not have a public key"),
        ("GET", "/.well-known/jwks.json", None, 400, "JWKS not available"),
        ("GET", "/v1/roles/nosuch", None, 404, "role "),
        ("GET", "/v1/nosuch", None, 404, "404 page not found"),
        ("PATCH", "/v1/users", None, 405, "Method Not Allowed"),
    ],
)
def test_refusals_without_a_token(authn_url: str, method: str, path: str, body: object, status: int, text: str):
    """As AIStore's: 401 for whatever needs an administrator."""
    found, content, _ = call(authn_url, method, path, body=body)
    assert (found, text in content.decode()) == (status, True), content


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/roles", {"name": "a b"}, 400),
        ("POST", "/v1/roles", {"name": ""}, 400),
        ("POST", "/v1/roles", {"name": "r2", "admin": True}, 403),
        ("POST", "/v1/roles", {"name": "r3", "clusters": [{"id": "x", "perm": 1}]}, 400),
        ("PUT", "/v1/roles/Admin", {"desc": "mine"}, 403),
        ("DELETE", "/v1/roles/Admin", None, 403),
        ("DELETE", "/v1/users/admin", None, 403),
        ("PUT", "/v1/users/admin", {"id": "admin", "roles": [{"name": "x"}]}, 403),
        ("PUT", "/v1/users/nosuch", {"id": "nosuch", "pass": "x"}, 404),
        ("POST", "/v1/users", {"id": "eve", "pass": ""}, 400),
        ("POST", "/v1/clusters", {"id": ""}, 400),
        ("POST", "/v1/clusters", {"id": "x", "urls": ["http://127.0.0.1:1"]}, 400),
        ("DELETE", "/v1/clusters/nosuch", None, 404),
        ("PUT", "/v1/daemon", {"auth": {"expiration_time": "zz"}}, 400),
        ("PUT", "/v1/daemon", {"net": {"http": {}}}, 400),
    ],
)
def test_what_an_administrator_is_refused(
    authn_url: str, admin_token: str, method: str, path: str, body: object, status: int
):
    """Built-in things, bad names, settings that do not exist."""
    assert call(authn_url, method, path, admin_token, body)[0] == status


def test_users_manage_themselves_only(admin: AuthNClient, authn_url: str):
    """Who is no administrator sees himself and changes his password; roles and others are refused."""
    name = fresh_name("self")
    admin.user_manager().create(name, [], "secret")
    token = login(authn_url, name, "secret")
    assert call(authn_url, "GET", f"/v1/users/{name}", token)[0] == 200
    assert call(authn_url, "GET", "/v1/users/admin", token)[0] == 401
    assert call(authn_url, "GET", "/v1/users", token)[0] == 401
    assert call(authn_url, "PUT", f"/v1/users/{name}", token, {"id": name, "pass": "new"})[0] == 200
    assert call(authn_url, "PUT", f"/v1/users/{name}", token, {"id": name, "roles": [{"name": "Admin"}]})[0] == 401
    login(authn_url, name, "new")


def test_rsa_keys_rotate_and_everything_survives_a_restart(start, tmp_path: Path):
    """Public key and JWKS; tokens of the key before stay good; users, and who is revoked, are there after a restart."""
    with start(AIS_AUTHN_SU_PASS=PASSWORD) as url:
        before, gone = login(url), login(url, expires_in=7200 * 10**9)
        pem = json.loads(call(url, "GET", "/v1/public-key")[1])["public_key"]
        assert jwt.decode(before, pem, ["RS256"])["admin"] is True
        assert call(url, "POST", "/v1/rotate-key", before)[0] == 200
        keys = json.loads(call(url, "GET", "/.well-known/jwks.json")[1])["keys"]
        after = login(url)
        assert next(key["kid"] for key in keys) == jwt.get_unverified_header(after)["kid"]
        assert len(keys) == 2
        assert call(url, "DELETE", "/v1/tokens", before, {"token": gone})[0] == 200
    assert {stat.S_IMODE(os.stat(tmp_path / one).st_mode) for one in os.listdir(tmp_path)} == {0o600}
    assert PASSWORD.encode() not in b"".join((tmp_path / one).read_bytes() for one in os.listdir(tmp_path))
    with start() as url:
        assert call(url, "GET", "/v1/users", before)[0] == 200
        assert call(url, "GET", "/v1/users", after)[0] == 200
        assert call(url, "GET", "/v1/users", gone)[0] == 401


def test_tokens_of_another_algorithm_are_refused(authn_url: str):
    """No signature, or ours taken for somebody else's: the algorithm is never the token's choice."""
    claims = {"sub": "admin", "exp": 2**40, "admin": True}
    for token in (jwt.encode(claims, None, "none"), jwt.encode(claims, "another-secret-of-thirty-two-bytes!", "HS256")):
        assert call(authn_url, "GET", "/v1/users", token)[0] == 401
