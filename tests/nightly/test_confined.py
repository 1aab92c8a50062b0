"""Somebody with every right to one bucket, and somebody with none, try to reach another bucket. `make confined`.

Each way of spelling a path, naming another bucket, pretending to be a node or a gateway is sent by every method to the
nodes in turn, with and without workers: nobody is told the other bucket's content, and nothing of it changes.
"""

import itertools
import json
import socket
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import pytest
from harness import s3raw
from harness.rotation import SECRET, SETTINGS, token_by
from harness.s3access import Access as Key
from harness.wire import Answer, message, request

from ais.api.access import Access
from ais.api.headers import AUTHOR, BUCKET_ID, CALLER_ID, CALLER_NAME, NODE_ID, S3_VIA
from ais.testing import Cluster

TOLD = b"what only ann may read"
DOMAIN = "s3.local"
EVERY = Access((Access.ADMIN << 1) - 1) & ~Access.ADMIN
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH")
PATHS = (
    *(f"/v1/objects/{path}/o" for path in ("theirs", "mine/../theirs", "mine/%2e%2e/theirs", "./theirs", "/theirs")),
    *(f"/v1/objects/{path}" for path in ("theirs%2Fo", "mine%2f..%2ftheirs/o", "mine/..%2f..%2ftheirs%2f%25ob%2fo")),
    *(
        f"/v1/objects/theirs/o?{query}"
        for query in ("provider=ais", "provider=&provider=ais", "namespace=", "pid=x&utm=1")
    ),
    *(f"/v1/objects/theirs/o?{query}" for query in ("pid=x&sig=0000000&utm=1", "uuid=x", "provider=ais&props=all")),
    *(f"/v1/objects/theirs/o?provider=ais&pid={{gateway}}&sig={end}{'0' * 32}&utm=1" for end in ("0ffffffff", "x", "")),
    "/v1/objects/mine/o?bucket=theirs&provider=ais",
    "/v1/objects/mine/o?object_to=ais/@%23/theirs/o",
    "/v1/objects/mine/o?provider=ais&archpath=../../theirs/o",
    "/v1/objects/theirs/o?object_to=ais/@%23/mine/stolen",
    *(
        f"{prefix}{path}"
        for prefix in ("/ais/", "/gs/")
        for path in ("theirs/o", "mine/../theirs/o", "mine/%2e%2e/theirs/o")
    ),
    *(
        f"{prefix}{path}"
        for prefix in ("/s3/", "/")
        for path in ("theirs/o", "mine/../theirs/o", "mine/%2e%2e/theirs/o")
    ),
    *(
        "/s3//theirs/o",
        "//s3/theirs/o",
        "//v1/objects/theirs/o",
        "/v1//objects/theirs/o",
        "/S3/theirs/o",
        "/s3/theirs%2fo",
    ),
    *("/v1/buckets/theirs", "/v1/b%75ckets/theirs", "/v1/buckets/mine/../theirs", "/v1/buckets/theirs?provider=ais"),
    *("/v1/ec/theirs/o?off=0&len=100", "/v1/ml/moss/theirs", "/v1/ml/moss/theirs/x/y/1", "/v1/ml/moss/mine"),
    *("/v1/metasync?part=keys", "/v1/metasync?part=secret", "/v1/daemon?what=log", "/v1/reverse/daemon?what=log"),
    *(
        "/v1/auth/keys",
        "/v1/cluster",
        "/v1/cluster/set-config?auth.enabled=false",
        "/v1/xactions",
        "/v1/daemon/mountpaths",
    ),
)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {CALLER_ID: "{gateway}", CALLER_NAME: "p[{gateway}]"},
    {CALLER_ID: "{target}", "Ais-Node-Auth": "{target} 1 n - t", "Ais-Node-Pair": "t"},
    {"Ais-Node-Auth": "{gateway} 1 n - t"},
    {S3_VIA: "AAAA"},
    {AUTHOR: "ann", BUCKET_ID: "1", NODE_ID: "{target}"},
    {"Ais-Passed-On": "http 127.0.0.1:1 known"},
    {"Ais-Object-Transfer": "x"},
    {"Host": f"mine.{DOMAIN}"},
    {"Host": f"theirs.{DOMAIN}"},
    {"X-Forwarded-For": "127.0.0.1", "X-Original-URL": "/s3/theirs/o", "X-HTTP-Method-Override": "GET"},
    {"Connection": "authorization, x-amz-date, x-amz-content-sha256, close"},
    {"X-Amz-Copy-Source": "theirs/o"},
    {"X-Amz-Copy-Source": "/mine/../theirs/o"},
    {"Transfer-Encoding": "identity"},
)
BODIES = (b"", b'{"in":[{"objname":"o","bucket":"theirs","provider":"ais"}]}', message("rename-obj", "x"))


class Case(NamedTuple):
    """A closed cluster: `theirs` is ann's, `mine` is mal's, who has a token and a key."""

    cluster: Cluster
    admin: dict[str, str]
    token: str
    mal: Key
    ann: Key


@pytest.fixture(scope="module", params=["1", "2"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    settings = {"net.s3_domain": DOMAIN}
    with Cluster(1, 2, 1, workers=request.param, config_overrides=settings) as cluster:
        admin = {"Authorization": f"Bearer {token_by(SECRET)}"}
        ask(cluster, "PUT", "/v1/cluster", message("set-config", value=SETTINGS), {})
        uuid = ask(cluster, "GET", "/v1/daemon?what=smap", b"", admin).json()["uuid"]
        keys = [
            ask(cluster, "POST", "/v1/auth/keys", json.dumps({"user": one}).encode(), admin) for one in ("ann", "mal")
        ]
        ann, mal = (Key(cluster.endpoint, one.json()["id"], one.json()["secret"]) for one in keys)
        assert s3raw.call(ann, "PUT", "/s3/theirs").status == 200
        assert s3raw.call(ann, "PUT", "/s3/theirs/o", body=TOLD).status == 200
        assert s3raw.call(mal, "PUT", "/s3/mine").status == 200
        assert s3raw.call(mal, "PUT", "/s3/mine/o", body=b"mine").status == 200
        bck = {"name": "mine", "provider": "ais", "namespace": {"uuid": uuid, "name": ""}}
        token = token_by(SECRET, sub="mal", admin=False, buckets=[{"bck": bck, "perm": str(int(EVERY))}])
        yield Case(cluster, admin, token, mal, ann)


def ask(cluster: Cluster, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
    answer = request(cluster.endpoint, method, target, body=body, headers=headers)
    assert answer.status == 200, answer
    return answer


def state(case: Case) -> list[object]:
    """What must stay: ann's object, the buckets, keys, settings and nodes."""
    found = [
        ask(case.cluster, "GET", f"/v1/daemon?what={what}", b"", case.admin).json()
        for what in ("bmd", "smap", "config")
    ]
    buckets, smap, config = found
    keys = ask(case.cluster, "GET", "/v1/auth/keys", b"", case.admin).body
    body = s3raw.call(case.ann, "GET", "/s3/theirs/o").body
    names = s3raw.call(case.ann, "GET", "/s3/theirs", "list-type=2").body.count(b"<Key>")
    return [body, names, buckets["version"], smap["version"], config, keys]


def credentials(case: Case, method: str, target: str, body: bytes, lines: dict[str, str]) -> Iterator[dict[str, str]]:
    """Nobody's, mal's token in both ways, mal's signature."""
    yield lines
    yield {**lines, "Authorization": f"Bearer {case.token}"}
    yield {**lines, "X-Amz-Security-Token": case.token}
    path, _, query = target.partition("?")
    one = s3raw.Request(method, path, query, dict(lines), body)
    s3raw.sign(one, case.mal)
    yield one.headers


def sent(url: str, method: str, target: str, lines: dict[str, str], body: bytes) -> bytes:
    """The whole answer, redirects followed once, to bytes as they are."""
    host, _, port = url.rpartition("//")[2].partition(":")
    lines = {"Host": f"{host}:{port}", **lines, "Content-Length": str(len(body))}
    if "Connection" not in lines:
        lines["Connection"] = "close"
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        raw.sendall(head.encode() + b"\r\n" + body)
        answer = b""
        while piece := raw.recv(1 << 16):
            answer += piece
    return answer


def test_confined(case: Case) -> None:
    """No answer holds what only ann may read, nor does anything that mal has afterwards; all else is as before."""
    cluster, before, told, count = case.cluster, state(case), [], 0
    ids = {"gateway": cluster.proxies[0].id, "target": cluster.targets[0].id}
    for path, raw, method in itertools.product(PATHS, HEADERS, METHODS):
        target = path.format(**ids) if "{" in path else path
        lines = {name: value.format(**ids) for name, value in raw.items()}
        body = b"" if method in ("GET", "HEAD") and "moss" not in path else BODIES[count % len(BODIES)]
        for shown in credentials(case, method, target, body, lines):
            node = cluster.nodes[count % len(cluster.nodes)]
            count += 1
            answer = sent(node.url, method, target, shown, body)
            location = answer.partition(b"\r\nLocation: ")[2].partition(b"\r\n")[0].decode()
            if location and "mine" not in location.partition("?")[0]:
                base, _, rest = location.partition("/v1/")
                answer += sent(base, method, f"/v1/{rest}", lines, body)
            if TOLD in answer or b" 500 " in answer[:20] or b"failed to answer" in answer:
                told.append((node.name, method, target, shown, answer[:300]))
    print(f"{count} requests")
    assert TOLD in sent(cluster.endpoint, "GET", "/s3/theirs/o", {"X-Amz-Security-Token": token_by(SECRET)}, b"")
    assert not told, "\n".join(map(str, told[:20]))
    names = s3raw.call(case.mal, "GET", "/s3/mine", "list-type=2").body
    for name in names.split(b"<Key>")[1:]:
        key = name.partition(b"</Key>")[0].decode()
        assert TOLD not in s3raw.call(case.mal, "GET", f"/s3/mine/{key}").body, key
    assert state(case) == before


def test_handles_are_of_their_object(case: Case) -> None:
    """An upload in parts and an append that ann began are nothing to mal under other names, and end as ann wants."""
    cluster, ann, mal = case.cluster, case.ann, case.mal
    bearer = {"Authorization": f"Bearer {case.token}"}
    upload = s3raw.call(ann, "POST", "/s3/theirs/parts", "uploads=").body.partition(b"<UploadId>")[2]
    where = f"uploadId={upload.partition(b'<')[0].decode()}"
    etag = s3raw.call(ann, "PUT", "/s3/theirs/parts", f"partNumber=1&{where}", body=TOLD).header("ETag")
    done = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    )
    begun = follow(cluster, "PUT", "/v1/objects/theirs/more?append_type=append", TOLD, case.admin)
    handle = quote(begun.header("Ais-Append-Handle") or "")
    for key in ("mine/parts", "mine/p", "theirs/parts"):
        for method, query, body in (
            ("GET", where, b""),
            ("PUT", f"partNumber=1&{where}", b"x"),
            ("POST", where, done.encode()),
            ("DELETE", where, b""),
        ):
            answer = s3raw.call(mal, method, f"/s3/{key}", query, body=body)
            assert (answer.status in (403, 404), TOLD in answer.body) == (True, False), (key, method, answer)
    for key in ("mine/more", "theirs/more"):
        for kind in ("append", "flush"):
            target = f"/v1/objects/{key}?append_type={kind}&append_handle={handle}"
            answer = follow(cluster, "PUT", target, b"", bearer)
            assert answer.status in (400, 403, 404), (target, answer)
    assert s3raw.call(mal, "GET", "/s3/mine/more").status == 404
    flushed = f"/v1/objects/theirs/more?append_type=flush&append_handle={handle}"
    assert follow(cluster, "PUT", flushed, b"", case.admin).status == 200
    assert s3raw.call(ann, "POST", "/s3/theirs/parts", where, body=done.encode()).status == 200
    for key in ("parts", "more"):
        assert s3raw.call(ann, "GET", f"/s3/theirs/{key}").body == TOLD
        assert s3raw.call(ann, "DELETE", f"/s3/theirs/{key}").status == 204


def follow(cluster: Cluster, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
    answer = request(cluster.endpoint, method, target, body=body, headers=headers)
    base, _, rest = (answer.header("Location") or "").partition("/v1/")
    return request(base, method, f"/v1/{rest}", body=body) if answer.status in (301, 307) else answer
