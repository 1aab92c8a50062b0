"""A real cluster that asks for tokens, AuthN that makes them, the SDK that carries them: who may do what."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import boto3
import jwt
import pytest
from aistore.sdk import Client
from aistore.sdk.authn import AuthNClient
from aistore.sdk.authn.access_attr import AccessAttr
from botocore.config import Config
from botocore.exceptions import ClientError
from harness.authn import PASSWORD, SECRET
from harness.nodes import eventually
from harness.replicating import local, make_versioned, replicate, rule
from harness.wire import request

from ais.api import batch
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.testing import Cluster


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def call(url: str, method: str, path: str, token: str = "", body: object = None, **lines: str):
    """Status, headers, body; redirects are not followed."""
    if token:
        lines["Authorization"] = f"Bearer {token}"
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    try:
        with OPENER.open(urllib.request.Request(url + path, data, lines, method=method)) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def message(answer) -> str:
    return json.loads(answer[2])["message"]


class Closed(NamedTuple):
    """A closed cluster, and tokens: of the administrator, and of bob who may read bucket `data`, nothing else."""

    cluster: Cluster
    authn: AuthNClient
    uuid: str
    admin: str
    bob: str

    @property
    def url(self) -> str:
        return self.cluster.endpoint


@pytest.fixture(scope="module")
def closed(authn_url: str) -> Iterator[Closed]:
    authn = AuthNClient(authn_url)
    admin = authn.login("admin", PASSWORD)
    with Cluster(proxies=2, targets=2, mountpaths=1) as cluster:
        url = cluster.endpoint
        uuid = json.loads(call(url, "GET", "/v1/daemon?what=smap")[2])["uuid"]
        call(url, "POST", "/v1/buckets/data", body={"action": "create-bck"})
        call(url, "POST", "/v1/buckets/other", body={"action": "create-bck"})
        wanted = {"auth": {"client_auth_required": True, "signature": {"key": SECRET, "method": "HMAC"}}}
        assert call(url, "PUT", "/v1/cluster", body={"action": "set-config", "value": wanted})[0] == 200
        authn.cluster_manager().register("closed", [url])
        Client(url, token=admin).bucket("data").object("o").get_writer().put_content(b"content")
        rights = [AccessAttr.GET]
        authn.role_manager().create("readers", "read data", "closed", rights, "data")
        authn.user_manager().create("bob", ["readers"], "bobs-password")
        bob = AuthNClient(authn_url).login("bob", "bobs-password")
        try:
            yield Closed(cluster, authn, uuid, admin, bob)
        finally:
            off = {"auth": {"client_auth_required": False}}
            call(url, "PUT", "/v1/cluster", admin, {"action": "set-config", "value": off})


ROUTES = [
    ("GET", "/v1/daemon?what=smap"),
    ("GET", "/v1/cluster?what=node_stats"),
    ("GET", "/v1/buckets"),
    ("GET", "/v1/buckets/data"),
    ("HEAD", "/v1/buckets/data"),
    ("PATCH", "/v1/buckets/data"),
    ("POST", "/v1/buckets/fresh"),
    ("DELETE", "/v1/buckets/data"),
    ("GET", "/v1/objects/data/o"),
    ("HEAD", "/v1/objects/data/o"),
    ("PUT", "/v1/objects/data/o"),
    ("PUT", "/v1/objects/data/o?append_type=append"),
    ("DELETE", "/v1/objects/data/o"),
    ("PATCH", "/v1/objects/data/o"),
    ("POST", "/v1/objects/data/o"),
    ("GET", "/ais/data/o"),
    ("GET", "/ais/data"),
    ("GET", "/ais"),
    ("PUT", "/v1/cluster"),
    ("PUT", "/v1/daemon"),
    ("POST", "/v1/auth/keys"),
    ("GET", "/v1/auth/keys"),
    ("POST", "/v1/tokens"),
    ("DELETE", "/v1/tokens"),
    ("GET", "/v1/ml/moss/data"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_without_a_token(closed: Closed, method: str, path: str) -> None:
    """No token, another scheme, a forged, an expired and an unsigned one are 401 on every route of both gateways."""
    claims = {"sub": "admin", "admin": True, "exp": 1 << 40}
    tokens = {
        "": "token required",
        jwt.encode(claims, "another secret of thirty-two bytes", algorithm="HS256"): "Signature verification failed",
        jwt.encode({**claims, "exp": 1}, SECRET, algorithm="HS256"): "token expired",
        jwt.encode(claims, None, algorithm="none"): "invalid token",
    }
    for proxy in closed.cluster.proxies:
        for token, words in tokens.items():
            status, lines, body = call(proxy.url, method, path, token, b"{}" if method != "GET" else None)
            told = json.loads(body or lines["Hdr-Error"])["message"]
            assert (status, words in told) == (401, True), (told, token)
            assert not token or token not in told
        status, lines, body = call(proxy.url, method, path, Authorization="Basic YTpi")
        assert (status, json.loads(body or lines["Hdr-Error"])["message"]) == (401, "token required")


def test_what_is_open(closed: Closed) -> None:
    """Health and metrics are answered to everybody."""
    for node in closed.cluster.nodes:
        assert [call(node.url, "GET", path)[0] for path in ("/v1/health", "/metrics")] == [200, 200]


def test_bob_reads_and_does_nothing_else(closed: Closed) -> None:
    """Through the SDK and by hand: what the role grants is served, all else is 403 in AIStore's words."""
    client = Client(closed.url, token=closed.bob)
    assert client.bucket("data").object("o").get_reader().read_all() == b"content"
    for method, path, body in [
        ("PUT", "/v1/objects/data/o", b"x"),
        ("DELETE", "/v1/objects/data/o", None),
        ("GET", "/v1/objects/other/o", None),
        ("GET", "/ais/other/o", None),
        ("PUT", "/v1/objects/data/o?object_to=ais/@%23/other/o", None),
        ("POST", "/v1/buckets/fresh", {"action": "create-bck"}),
        ("DELETE", "/v1/buckets/data", {"action": "destroy-bck"}),
        ("PUT", "/v1/cluster", {"action": "set-config", "value": {"auth": {"client_auth_required": False}}}),
        ("POST", "/v1/auth/keys", {"user": "bob"}),
    ]:
        answer = call(closed.url, method, path, closed.bob, body)
        assert (answer[0], message(answer).startswith("user `bob` has insufficient permissions: [")) == (403, True)
    admin = Client(closed.url, token=closed.admin)
    assert admin.bucket("data").object("o").get_reader().read_all() == b"content"
    assert {bucket.name for bucket in admin.cluster().list_buckets()} == {"data", "other"}


def test_the_server_of_a_bucket_is_for_administrators(closed: Closed) -> None:
    """Whoever may do everything else to buckets cannot have targets talk to an address of their choice."""
    every = Access((1 << 32) - 1) & ~Access.ADMIN
    claims = {"sub": "eve", "exp": 1 << 40, "clusters": [{"id": closed.uuid, "perm": str(int(every))}]}
    eve = jwt.encode(claims, SECRET, algorithm="HS256")
    assert call(closed.url, "POST", "/v1/buckets/eves", eve, {"action": "create-bck"})[0] == 200
    for changes in ({"extra": {"aws": {"endpoint": "http://10.0.0.1"}}}, {"Extra.aws.endpoint": "http://10.0.0.1"}):
        for method, path, action in (
            ("PATCH", "/v1/buckets/eves", "set-bprops"),
            ("POST", "/v1/buckets/more", "create-bck"),
        ):
            answer = call(closed.url, method, path, eve, {"action": action, "value": changes})
            assert (answer[0], "eve` has insufficient permissions" in message(answer)) == (403, True), answer
    assert call(closed.url, "PATCH", "/v1/buckets/eves", eve, {"action": "set-bprops", "value": {}})[0] == 200
    assert call(closed.url, "DELETE", "/v1/buckets/eves", eve, {"action": "destroy-bck"})[0] == 200


def test_what_is_checked_is_what_is_done(closed: Closed) -> None:
    """However a message spells the other bucket, the right to it is asked for, also of one to be linked to."""
    every = Access((1 << 32) - 1) & ~Access.ADMIN
    data = {"bck": {"name": "data", "provider": "ais", "namespace": {"uuid": closed.uuid, "name": ""}}}
    claims = {"sub": "mal", "exp": 1 << 40, "buckets": [{**data, "perm": str(int(every))}]}
    mal = jwt.encode(claims, SECRET, algorithm="HS256")
    to, own = {"name": "other", "provider": "ais"}, {"name": "data", "provider": "ais"}
    names = {"objnames": ["o"]}
    for method, action, value in (
        ("POST", "copy-listrange", {**names, "tobck": to}),
        ("POST", "copy-listrange", {**names, "ToBck": to}),
        ("POST", "copy-listrange", {**names, "tobck": own, "TOBCK": to}),
        ("POST", "copy-listrange", {**names, "tobck": {"Name": "other", "provider": "ais"}}),
        ("POST", "copy-listrange", {**names, "tobck": {**own, "namespace": {"uuid": "", "name": "apart"}}}),
        ("PUT", "archive", {**names, "archname": "a.tar", "ToBck": to}),
        ("PATCH", "set-bprops", {"backend_bck": {"name": "secret", "provider": "aws"}}),
        ("PATCH", "set-bprops", {"Backend_Bck": {"Name": "secret", "Provider": "aws"}}),
        ("PATCH", "set-bprops", {"backend_bck": {"name": "secret", "provider": "aws"}, "BACKEND_BCK": None}),
    ):
        answer = call(closed.url, method, "/v1/buckets/data", mal, {"action": action, "value": value})
        assert (answer[0], "mal` has insufficient permissions" in message(answer)) == (403, True), (value, answer)
    answer = call(closed.url, "PATCH", "/v1/buckets/data", mal, {"action": "set-bprops", "value": {}})
    assert answer[0] == 200, answer


@pytest.mark.parametrize(
    ("lacking", "method", "path", "body"),
    [
        (Access.PATCH, "POST", "/v1/buckets/data", {"action": "make-n-copies", "value": 1}),
        (Access.PATCH, "POST", "/v1/buckets/data", {"action": "ec-encode", "value": '{"parity_slices": 2}'}),
        (
            Access.CREATE_BUCKET,
            "POST",
            "/v1/buckets/data",
            {"action": "copy-listrange", "value": {"objnames": ["o"], "tobck": {"name": "made", "provider": "ais"}}},
        ),
        (
            Access.DELETE_OBJECT,
            "POST",
            "/v1/buckets/data?bck_to=ais/@%23/other/",
            {"action": "copy-bck", "value": {"synchronize": True, "dry_run": True}},
        ),
        (Access.LIST_OBJECTS, "HEAD", "/v1/buckets/data?bsumm_remote=true", None),
        (Access.LIST_OBJECTS, "HEAD", "/v1/buckets/data?bsumm_remote=false", None),
    ],
)
def test_what_jobs_do_on_the_side(closed: Closed, lacking: Access, method: str, path: str, body: object) -> None:
    """Properties that a job sets first, the bucket that it makes, what it deletes and counts: each needs its right."""
    every = Access((1 << 32) - 1) & ~Access.ADMIN

    def holder(granted: Access) -> str:
        """The bucket that is written lacks it; where there is none, or just one, the cluster does."""
        grants = [{"id": closed.uuid, "perm": str(int(granted))}]
        bck = {"name": "data", "provider": "ais", "namespace": {"uuid": closed.uuid, "name": ""}}
        own = [{"bck": bck, "perm": str(int(every))}] if lacking is Access.DELETE_OBJECT else []
        return jwt.encode({"sub": "mal", "exp": 1 << 40, "clusters": grants, "buckets": own}, SECRET, algorithm="HS256")

    assert call(closed.url, method, path, holder(every & ~lacking), body)[0] == 403
    assert call(closed.url, "HEAD", "/v1/buckets/made", closed.admin)[0] == 404
    assert call(closed.url, method, path, holder(every), body)[0] not in (401, 403)
    call(closed.url, "DELETE", "/v1/buckets/made", closed.admin, {"action": "destroy-bck"})


def test_what_is_asked_for_under_another_name(closed: Closed) -> None:
    """Who may not set a bucket's `access` does not reset it either, a job of one bucket tells nothing of another, and
    system buckets are not listed by their easy URL."""
    every = Access((1 << 32) - 1) & ~Access.ADMIN & ~Access.SET_BUCKET_ACL
    data = {"bck": {"name": "data", "provider": "ais", "namespace": {"uuid": closed.uuid, "name": ""}}}
    rights = {"clusters": [{"id": closed.uuid, "perm": str(int(Access.LIST_BUCKETS))}]}
    claims = {"sub": "mal", "exp": 1 << 40, "buckets": [{**data, "perm": str(int(every))}], **rights}
    mal = jwt.encode(claims, SECRET, algorithm="HS256")
    assert call(closed.url, "PATCH", "/v1/buckets/data", mal, {"action": "reset-bprops"})[0] == 403
    assert [call(closed.url, "GET", path, mal)[0] for path in ("/ais", "/ais?sys=true")] == [200, 403]
    for kind in ("summary-bck", "summary-shard"):
        uuid = call(closed.url, "GET", "/v1/buckets/other", closed.admin, {"action": kind, "value": {}})[2].decode()
        poll = {"action": kind, "value": {"uuid": uuid}}
        eventually(
            lambda poll=poll: call(closed.url, "GET", "/v1/buckets/other", closed.admin, poll)[0] == 200, within_s=60
        )
        assert call(closed.url, "GET", "/v1/buckets/data", mal, poll)[0] == 404


def test_a_right_to_all_buckets_is_none_to_one_that_a_token_excepts(closed: Closed) -> None:
    """Summaries of all buckets tell nothing of it."""
    rights = Access.HEAD_BUCKET | Access.LIST_OBJECTS
    other = {"name": "other", "provider": "ais", "namespace": {"uuid": closed.uuid, "name": ""}}
    claims = {
        "sub": "mal",
        "exp": 1 << 40,
        "clusters": [{"id": closed.uuid, "perm": str(int(rights))}],
        "buckets": [{"bck": other, "perm": "0"}],
    }
    mal = jwt.encode(claims, SECRET, algorithm="HS256")

    def summarized(token: str) -> set[str]:
        ask = {"action": "summary-bck", "value": {}}
        ask["value"] = {"uuid": call(closed.url, "GET", "/v1/buckets", token, ask)[2].decode()}
        eventually(lambda: call(closed.url, "GET", "/v1/buckets", token, ask)[0] == 200, within_s=60)
        return {one["name"] for one in json.loads(call(closed.url, "GET", "/v1/buckets", token, ask)[2])}

    assert {"data", "other"} <= summarized(closed.admin)
    found = summarized(mal)
    assert "data" in found
    assert "other" not in found


def test_a_batch_is_of_what_was_permitted(closed: Closed) -> None:
    """The redirect of a batch is good for the buckets that the gateway saw in its body, and for no other body."""
    own, other = ({"in": [{"objname": "o", "bucket": name, "provider": "ais"}]} for name in ("data", "other"))
    assert call(closed.url, "GET", "/v1/ml/moss", closed.bob, other)[0] == 403
    wanted = batch.digest_of([Bck("other")])
    for path in ("/v1/ml/moss", "/v1/ml/moss/data", f"/v1/ml/moss?bcks={wanted}"):
        status, lines, _ = call(closed.url, "GET", path, closed.bob, own)
        assert status == 307
        base, _, rest = lines["Location"].partition("/v1/")
        assert call(base, "GET", f"/v1/{rest}", body=other)[0] == 403
        if "bcks" not in path:
            answer = call(base, "GET", f"/v1/{rest}", body=own)
            assert (answer[0], b"content" in answer[2]) == (200, True)


def test_marks(closed: Closed) -> None:
    """A redirect lets its request pass at the target and no other; without one a target wants a token."""
    answer = call(closed.url, "GET", "/v1/objects/data/o", closed.bob)
    assert answer[0] == 301
    base, _, path = answer[1]["Location"].partition("/v1/")
    path = "/v1/" + path
    assert call(base, "GET", path)[2] == b"content"
    others = [node.url for node in closed.cluster.targets if node.url != base]
    changed = path.replace("/o?", "/p?")
    refused = [
        (base, "DELETE", path),
        (base, "PUT", path),
        (base, "GET", changed),
        (others[0], "GET", path),
        (base, "GET", path.partition("&sig=")[0]),
        (base, "GET", "/v1/objects/data/o"),
        *(
            (base, "GET", path + more)
            for more in ("&namespace=%23other", "&provider=aws", "&archpath=o", "&utm=1", "x")
        ),
    ]
    for url, method, target in refused:
        answer = call(url, method, target)
        assert (answer[0], message(answer)) == (403, "direct target access denied"), (method, target)
    assert call(base, "GET", "/v1/objects/data/o?provider=ais", closed.bob)[2] == b"content"
    assert call(base, "DELETE", "/v1/objects/data/o?provider=ais", closed.bob)[0] == 403
    assert call(base, "GET", "/v1/daemon?what=smap")[0] == 401


def test_internal_routes(closed: Closed) -> None:
    """An administrator's token opens nothing that is for nodes, and claiming to be one opens nothing at all."""
    for node in closed.cluster.nodes:
        for method, path in [("PUT", "/v1/metasync"), ("GET", "/v1/metasync?part=secret"), ("POST", "/v1/vote")]:
            assert call(node.url, method, path, closed.admin, b"{}" if method != "GET" else None)[0] in (400, 403, 405)
    forged = call(closed.url, "GET", "/v1/objects/data/o", **{"Ais-Caller-Id": closed.cluster.targets[0].id})
    assert forged[0] == 403


def s3(url: str, token: str | None):
    return boto3.client(
        "s3",
        endpoint_url=url + "/s3",
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        aws_session_token=token,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def test_s3(closed: Closed) -> None:
    """boto3 with the token as its session token does what the token permits; without one it is refused."""
    bob = s3(closed.url, closed.bob)
    assert bob.get_object(Bucket="data", Key="o")["Body"].read() == b"content"
    for client, operation, arguments in [
        (bob, "put_object", {"Bucket": "data", "Key": "o", "Body": b"x"}),
        (bob, "delete_object", {"Bucket": "data", "Key": "o"}),
        (bob, "get_object", {"Bucket": "other", "Key": "o"}),
        (bob, "copy_object", {"Bucket": "data", "Key": "p", "CopySource": "other/o"}),
        (bob, "create_bucket", {"Bucket": "fresh"}),
        (s3(closed.url, None), "get_object", {"Bucket": "data", "Key": "o"}),
        (s3(closed.url, closed.bob + "x"), "get_object", {"Bucket": "data", "Key": "o"}),
    ]:
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(**arguments)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403)
    root = s3(closed.url, closed.admin)
    root.put_object(Bucket="other", Key="k", Body=b"y")
    for number in range(8):  # to both targets
        root.copy_object(Bucket="other", Key=f"copy{number}", CopySource="data/o")
        assert root.get_object(Bucket="other", Key=f"copy{number}")["Body"].read() == b"content"


def test_replication_by_token(closed: Closed) -> None:
    """Whoever has versions of a bucket brought to another one must be permitted to read here and to write there."""
    root, names = s3(closed.url, closed.admin), ("from-here", "to-there")
    for name in names:
        make_versioned(root, name)
    every = Access((1 << 32) - 1) & ~Access.ADMIN

    def holder(here: Access, there: Access):
        grants = [
            {
                "bck": {"name": name, "provider": "ais", "namespace": {"uuid": closed.uuid, "name": ""}},
                "perm": str(int(one)),
            }
            for name, one in zip(names, (here, there), strict=True)
        ]
        return s3(closed.url, jwt.encode({"sub": "mal", "exp": 1 << 40, "buckets": grants}, SECRET, algorithm="HS256"))

    for here, there in (
        (every & ~Access.GET, every),
        (every, every & ~Access.PUT),
        (every, every & ~Access.DELETE_OBJECT),
        (every, Access(0)),
    ):
        with pytest.raises(ClientError) as caught:
            replicate(holder(here, there), names[0], rule(local(names[1])))
        assert caught.value.response["Error"]["Code"] == "AccessDenied", (here, there)
    replicate(holder(every, Access.PUT | Access.DELETE_OBJECT), names[0], rule(local(names[1])))
    for name in names:
        root.delete_bucket(Bucket=name)


def test_refusals_are_logged(closed: Closed) -> None:
    """Each with the client, also of a request that another node passed on, the path without its query, and the reason:
    never with what was shown."""

    def logged() -> list[dict[str, object]]:
        files = [file for node in closed.cluster.nodes for file in node.plan.log_dir.rglob("*") if file.is_file()]
        text = "".join(file.read_text() for file in files)
        assert closed.bob not in text
        assert "of+mine" not in text
        return [json.loads(line) for line in text.splitlines() if '"request refused"' in line]

    def is_there(method: str, path: str, status: int, reason: str) -> bool:
        shown = {"Authorization": f"Bearer {closed.bob}"} if status == 403 else {}
        request(closed.url, method, f"{path}?x-secret=of+mine", headers=shown, source=("127.0.0.9", 0))
        return any(
            (one["method"], one["path"], one["status"]) == (method, path, status)
            and reason in str(one["reason"])
            and str(one["client"]).startswith("127.0.0.9:")
            for one in logged()
        )

    for method, path, status, reason in (
        ("PUT", "/v1/cluster", 401, "token required"),
        ("PUT", "/v1/cluster", 403, "user `bob` has insufficient permissions"),
        ("DELETE", "/v1/objects/data/o", 403, "user `bob` has insufficient permissions"),
        ("GET", "/s3/data/o", 403, "authorization mechanism is not supported"),
    ):
        eventually(lambda asked=(method, path, status, reason): is_there(*asked), within_s=60)


def test_revoked(closed: Closed) -> None:
    """A token that AuthN takes back is refused by every gateway and target at once, repeated requests too."""
    token = AuthNClient(closed.authn.client.base_url.removesuffix("/v1")).login("bob", "bobs-password")
    for node in closed.cluster.nodes:
        statuses = [call(node.url, "GET", "/v1/objects/data/o?provider=ais", token)[0] for _ in range(4)]
        assert set(statuses) <= {200, 301, 404}, statuses
    closed.authn.token_manager().revoke(token)
    for node in closed.cluster.nodes:
        answer = call(node.url, "GET", "/v1/objects/data/o?provider=ais", token)
        assert (answer[0], "token revoked" in message(answer)) == (401, True)


def ais(closed: Closed, token: str, *arguments: str) -> tuple[int, bytes, str]:
    environment = os.environ | {"AIS_ENDPOINT": closed.url, "AIS_AUTHN_TOKEN": token}
    done = subprocess.run(
        [Path(sys.executable).parent / "ais", *arguments], env=environment, capture_output=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr.decode()


def test_command_line(closed: Closed, tmp_path: Path) -> None:
    """`ais` carries the token of its environment: reads what bob may read, and says what he may not."""
    (tmp_path / "file").write_text("x")
    status, told, said = ais(closed, closed.bob, "get", "ais://data/o", "-")
    assert (status, told) == (0, b"content"), said
    status, _, said = ais(closed, closed.bob, "put", str(tmp_path / "file"), "ais://data/o")
    assert (status != 0, "insufficient permissions" in said) == (True, True), said
    status, _, said = ais(closed, "", "ls")
    assert (status != 0, "token required" in said) == (True, True), said
