"""The twenty findings of the security review, each as the request that proved it: refused, and nothing changed.

Two clusters: one whose networks have ports and addresses of their own, one with a single port. Clients need a token or
a key. What a finding's class holds beyond its request is tested where the code is: `docs/security.md` names both.
"""

import http.client
import json
import os
import socket
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import pytest
from harness import certificates, s3raw
from harness.nodekeys import NodeKeys
from harness.rotation import SECRET, token_by
from harness.s3access import Access
from harness.s3raw import code
from harness.wire import Answer, message, request

from ais.api.access import Access as May
from ais.auth import pairs
from ais.base.errors import BadRequest
from ais.config import environment
from ais.meta.smap import Snode
from ais.meta.stamp import Stamp
from ais.net import tls as tls_contexts
from ais.node.messages import JoinRequest, Part, Sealed, Stamps, Sync
from ais.playground import process
from ais.playground.plan import NodePlan, Plan
from ais.playground.playground import Playground
from ais.s3 import via
from ais.s3.via import Via
from ais.testing import free_ports

OBJECT, NATIVE = "/s3/sec/o", "/v1/objects/sec/o?provider=ais"
DOMAIN = "s3.local"
HTML = {"Content-Type": "text/html"}
PERMITTED = May.CREATE_BUCKET | May.DESTROY_BUCKET | May.PATCH | May.SET_BUCKET_ACL
MESSAGES = {"create-bck": None, "give-bck": "bob", "destroy-bck": None}


class Case(NamedTuple):
    """One gateway and one target; `ann` owns the bucket `sec` with the object `o`, `bob` owns nothing."""

    root: Path
    plans: list[NodePlan]
    smap: dict
    ann: Access
    bob: Access

    @property
    def nodes(self) -> dict[str, dict]:
        return {**self.smap["pmap"], **self.smap["tmap"]}

    @property
    def gateway(self) -> str:
        return self.ann.url

    @property
    def target(self) -> dict:
        (found,) = self.smap["tmap"].values()
        return found

    def urls(self, *nets: str) -> list[str]:
        """Of all nodes, each once."""
        chosen = nets or ("public_net", "intra_control_net", "intra_data_net")
        return list(dict.fromkeys(node[net]["direct_url"] for node in self.nodes.values() for net in chosen))

    @property
    def is_apart(self) -> bool:
        return len(self.urls()) > len(self.nodes)


def admin(url: str, method: str, target: str, body: object = None, **lines: str) -> Answer:
    """A request with an administrator's token."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    headers = {
        "Authorization": f"Bearer {token_by(SECRET)}",
        **{name.replace("_", "-"): one for name, one in lines.items()},
    }
    return request(url, method, target, body=content, headers=headers)


@pytest.fixture(scope="module", params=["three ports", "one port"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    root = tmp_path_factory.mktemp("findings") / "cluster"
    playground = Playground(root, with_parent=True)
    first = free_ports(8)
    playground.create(Plan(proxies=1, targets=1, mountpaths=1, port=first, workers=environment.for_tests().workers))
    for number, node in enumerate(playground.nodes, 1):
        local = json.loads(node.local_file.read_text())
        local["mountpath_roots"] = [str(root)]
        if request.param == "three ports":
            ports = {"port_intra_control": str(first + 2 * number), "port_intra_data": str(first + 2 * number + 1)}
            local["host_net"] |= {"hostname_intra_control": "127.0.0.2", "hostname_intra_data": "127.0.0.3", **ports}
        node.local_file.write_text(json.dumps(local))
    playground.start()
    try:
        playground.wait_ready(60)
        url = playground.plan.endpoint
        auth = {"client_auth_required": True, "enabled": True, "signature": {"key": SECRET, "method": "hmac"}}
        wanted = {"auth": auth, "net": {"s3_domain": DOMAIN}}
        assert admin(url, "PUT", "/v1/cluster", {"action": "set-config", "value": wanted}).status == 200
        keys = [admin(url, "POST", "/v1/auth/keys", {"user": user}).json() for user in ("ann", "bob")]
        ann, bob = (Access(url, key["id"], key["secret"]) for key in keys)
        assert s3raw.call(ann, "PUT", "/s3/sec").status == 200
        assert s3raw.call(ann, "PUT", OBJECT, body=b"kept").status == 200
        yield Case(root, playground.nodes, admin(url, "GET", "/v1/daemon?what=smap").json(), ann, bob)
    finally:
        playground.stop()


@pytest.fixture(autouse=True)
def unchanged(case: Case) -> Iterator[None]:
    """After each test the object, the bucket's owner, and the cluster map are what they were."""
    yield
    answer = s3raw.call(case.ann, "GET", OBJECT)
    s3raw.call(case.ann, "DELETE", "/s3/sec", "policy=")
    s3raw.call(case.ann, "PUT", OBJECT, body=b"kept")
    assert (answer.status, answer.body) == (200, b"kept")
    assert admin(case.gateway, "GET", "/v1/daemon?what=smap").json()["version"] == case.smap["version"]


def with_policy(case: Case, *statements: dict[str, object]) -> Answer:
    document = json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()
    return s3raw.call(case.ann, "PUT", "/s3/sec", "policy=", body=document)


def statement(**changes: object) -> dict[str, object]:
    arns = ["arn:aws:s3:::sec", "arn:aws:s3:::sec/*"]
    return {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": "s3:*", "Resource": arns, **changes}


def signed_by(case: Case, caller: str, to: str, method: str, path: str, body: bytes) -> dict[str, str]:
    return NodeKeys.of(case.root, case.smap).sign(caller, to, method, path, body)


def test_1_strangers_do_not_join(case: Case) -> None:
    """No listener lets a stranger in, or tells the secret or the keys."""
    for url in case.urls():
        assert request(url, "POST", "/v1/cluster/autoreg", body=msgspec.msgpack.encode({})).status in (400, 403, 405)
        for part in ("secret", "keys", "config", "bmd"):
            assert request(url, "GET", f"/v1/metasync?part={part}").status in (400, 403, 405)
    for url in case.urls("intra_control_net"):
        assert request(url, "POST", "/v1/cluster/autoreg", body=b"x").status == 403


def test_2_metadata_is_the_primarys(case: Case) -> None:
    """An unsigned heartbeat is refused everywhere; so is a signed one with a path for a bucket, or a wild term."""
    victim = case.root / "victim"
    victim.mkdir(exist_ok=True)
    gateway = case.smap["proxy_si"]["daemon_id"]
    primary = msgspec.convert(case.nodes[gateway], Snode)
    bmd = json.dumps({"version": "99", "uuid": "x", "providers": {"ais": {"": {"../../../../victim": {}}}}}).encode()
    for node_id, node in case.nodes.items():
        for term, parts in ((2**63, ()), (1, (Sealed(Part.BMD, Stamp(99, 99), bmd),))):
            sync = Sync(case.smap["uuid"], node_id, term, primary, Stamps(), 1e9, parts)
            body = msgspec.msgpack.encode(sync)
            for net in ("public_net", "intra_control_net"):
                answer = request(node[net]["direct_url"], "PUT", "/v1/metasync", body=body)
                assert answer.status in ((403, 400, 405) if net == "public_net" else (403,)), answer
            if node_id != gateway:
                lines = {"Ais-Caller-Id": gateway, **signed_by(case, gateway, node_id, "PUT", "/v1/metasync", body)}
                answer = request(
                    node["intra_control_net"]["direct_url"], "PUT", "/v1/metasync", body=body, headers=lines
                )
                assert answer.status == 400, answer
    assert victim.is_dir()
    assert admin(case.gateway, "POST", "/v1/buckets/after", {"action": "create-bck"}).status == 200
    assert admin(case.gateway, "DELETE", "/v1/buckets/after", {"action": "destroy-bck"}).status == 200


def test_3_the_native_api_asks_too(case: Case) -> None:
    """Reading, writing, making keys, switching it off, looking: 401 without a token."""
    for url in case.urls("public_net")[:1]:
        for method, path, body in (
            ("GET", NATIVE, b""),
            ("GET", "/ais/sec/o", b""),
            ("PUT", NATIVE, b"x"),
            ("DELETE", NATIVE, b""),
            ("POST", "/v1/auth/keys", b'{"user":"ann"}'),
            ("PUT", "/v1/cluster/set-config?auth.enabled=false", b""),
            ("GET", "/v1/daemon?what=log", b""),
            ("GET", "/v1/daemon?what=bmd", b""),
            ("GET", "/v1/daemon?what=config", b""),
        ):
            assert request(url, method, path, body=body).status == 401, (method, path)


def test_4_a_virtual_host_is_s3(case: Case) -> None:
    """A native path under a bucket's name is a key of that bucket, at the gateway and at the target: 403 unsigned."""
    for url in case.urls("public_net"):
        for method, query, refusal in (
            ("GET", "", (403, "AccessDenied")),
            ("PUT", "", (403, "AccessDenied")),
            ("PUT", "?pid=x&utm=1", (501, "NotImplemented")),  # marks are no parameters of S3
            ("DELETE", "", (403, "AccessDenied")),
        ):
            lines = {"Host": f"sec.{DOMAIN}"}
            answer = request(url, method, f"/v1/objects/sec/o{query}", body=b"x" * (method == "PUT"), headers=lines)
            assert (answer.status, code(answer)) == refusal, answer


@pytest.mark.parametrize(
    "change",
    [{"Principal": one} for one in ({"AWS": []}, {}, [])]
    + [{"Action": []}, {"Resource": []}, {"Principal": None, "NotPrincipal": []}],
    ids=str,
)
def test_5_nothing_is_not_everything(case: Case, change: dict[str, object]) -> None:
    """A policy with an empty list is malformed."""
    fields = {name: value for name, value in statement(**change).items() if value is not None}
    answer = with_policy(case, fields)
    assert (answer.status, code(answer)) == (400, "MalformedPolicy"), answer
    assert s3raw.call(case.bob, "GET", OBJECT).status == 403


@pytest.mark.parametrize(
    "change",
    [
        {"Condition": {"DateGreaterThan": {"aws:CurrentTime": "the day after"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}},
        {"Condition": {"Foo:StringEquals": {"s3:prefix": "x"}}},
        {"Condition": {"StringEquals": {"s3:LocationConstraint": "x"}}},
        {"Condition": {"NullIfExists": {"s3:prefix": "true"}}},
        {"Principal": {"AWS": "nonsense nonsense"}},
        {"Principal": {"AWS": "arn:aws:sts::1:federated-user/bob"}},
    ],
    ids=str,
)
def test_6_what_cannot_be_evaluated_is_refused(case: Case, change: dict[str, object]) -> None:
    """A Deny that could never apply is malformed, and bob is refused before and after."""
    answer = with_policy(case, statement(), statement(Effect="Deny", **change))
    assert (answer.status, code(answer)) == (400, "MalformedPolicy"), answer
    assert s3raw.call(case.bob, "GET", OBJECT).status == 403


def test_7_tags_deny_every_way_to_the_object(case: Case) -> None:
    """What GET refuses for the object's tag, copies of it, of a part, and multi-deletes refuse too."""
    tags = b"<Tagging><TagSet><Tag><Key>class</Key><Value>secret</Value></Tag></TagSet></Tagging>"
    assert s3raw.call(case.ann, "PUT", OBJECT, "tagging=", body=tags).status == 200
    secret = {"StringEquals": {"s3:ExistingObjectTag/class": "secret"}}
    deny = statement(Effect="Deny", Action=["s3:GetObject", "s3:DeleteObject"], Condition=secret)
    assert with_policy(case, statement(), deny).status == 204
    source = {"x-amz-copy-source": "/sec/o"}
    try:
        upload = s3raw.call(case.bob, "POST", "/s3/sec/mine", "uploads=").body.partition(b"<UploadId>")[2]
        part = f"partNumber=1&uploadId={upload.partition(b'<')[0].decode()}"
        for answer in (
            s3raw.call(case.bob, "GET", OBJECT),
            s3raw.call(case.bob, "DELETE", OBJECT),
            s3raw.call(case.bob, "PUT", "/s3/sec/mine", headers=source),
            s3raw.call(case.bob, "PUT", "/s3/sec/mine", part, headers=source),
        ):
            assert (answer.status, code(answer)) == (403, "AccessDenied"), answer
        keys = b"<Delete><Object><Key>o</Key></Object></Delete>"
        answer = s3raw.call(case.bob, "POST", "/s3/sec", "delete=", body=keys, headers=s3raw.md5_of(keys))
        assert (answer.status, b"AccessDenied" in answer.body) == (200, True), answer
        assert s3raw.call(case.ann, "GET", "/s3/sec/mine").status == 404
    finally:
        s3raw.call(case.ann, "DELETE", "/s3/sec", "policy=")
        s3raw.call(case.ann, "DELETE", OBJECT, "tagging=")


def test_8_small_requests_cost_little(case: Case) -> None:
    """Wildcards, dotted names, JSON and XML without end are refused; at full size: `make denial`."""
    stars = statement(Resource="arn:aws:s3:::sec/" + "*a" * 100 + "b")
    assert code(with_policy(case, stars)) == "MalformedPolicy"
    url = case.gateway
    deep = {"action": "set-config", "value": {"a." * 100_000 + "a": 1}}
    assert admin(url, "PUT", "/v1/cluster", deep).status == 400
    assert admin(url, "PUT", "/v1/cluster", b'{"a":' + b"[" * 1000).status == 400
    assert admin(url, "PUT", "/v1/cluster", b"[" + b"{}," * 400_000 + b"{}]").status == 413
    xml = b"<Delete>" + b"<a>" * 1000 + b"</a>" * 1000 + b"</Delete>"
    answer = s3raw.call(case.ann, "POST", "/s3/sec", "delete=", body=xml, headers=s3raw.md5_of(xml))
    assert code(answer) == "MalformedXML"


def test_9_each_network_listens_on_its_own_address(case: Case) -> None:
    """What processes listen on is what the map says, and nothing beyond loopback."""
    wanted = {urllib.parse.urlsplit(url).netloc for url in case.urls()}
    found = set()
    for plan in case.plans:
        running = process.find(plan)
        assert running is not None
        listening = psutil.Process(running.pid).net_connections("tcp")
        found |= {f"{one.laddr.ip}:{one.laddr.port}" for one in listening if one.status == psutil.CONN_LISTEN}
    assert found == wanted
    assert all(one.startswith("127.0.0.") for one in found)


def test_10_a_name_makes_no_node(case: Case) -> None:
    """Headers and marks of nodes, unsigned: 403 on every listener that has the route, and nothing is written."""
    target, node_id = case.target, case.smap["proxy_si"]["daemon_id"]
    for net in ("public_net", "intra_data_net"):
        url = target[net]["direct_url"]
        for lines in (
            {"Ais-Caller-Id": node_id, "Ais-Object-Transfer": "x"},
            {"Ais-Caller-Id": node_id},
            {},
        ):
            answer = request(url, "PUT", "/v1/objects/sec/o?provider=ais&pid=x&utm=1", body=b"x", headers=lines)
            assert answer.status == 403, (net, lines, answer)
        move = message("move-bck", value={})
        assert request(url, "POST", NATIVE, body=move, headers={"Ais-Caller-Id": node_id}).status == 403
    for url in case.urls():
        assert request(url, "POST", "/v1/s3/delete", body=b"x").status in (400, 403, 405)


def test_11_one_reading_of_a_path(case: Case) -> None:
    """A respelled path is nothing's, also for an administrator."""
    for method, path, body in (
        ("GET", "/v1/b%75ckets/sec", None),
        ("DELETE", "/v1/b%75ckets/sec", {"action": "destroy-bck"}),
        ("PATCH", "/v1/obj%65cts/sec/o", {"action": "set-custom", "value": {}}),
        ("PUT", "/v1/met%61sync", None),
        ("GET", "/v1/buckets/../daemon?what=smap", None),
    ):
        for url in case.urls("public_net"):
            answer = admin(url, method, path, body)
            assert answer.status in (400, 403), (url, method, path, answer)
        assert admin(case.gateway, method, path, body).status == 400


def test_12_pages_of_others(case: Case) -> None:
    """A foreign origin or name is refused even with a token; a page that is an object runs nothing."""
    mozilla = "Mozilla/5.0"
    for lines in ({"Origin": "http://evil.example"}, {"Host": "evil.example", "User_Agent": mozilla}):
        for method, path, body in (
            ("POST", "/v1/auth/keys", {"user": "eve"}),
            ("POST", "/v1/buckets/evil", {"action": "create-bck"}),
            ("GET", "/v1/daemon?what=smap", None),
        ):
            assert admin(case.gateway, method, path, body, **lines).status == 403, (lines, path)
    assert s3raw.call(case.ann, "PUT", "/s3/sec/page", body=b"<script>", headers=HTML).status == 200
    location = admin(case.gateway, "GET", "/v1/objects/sec/page?provider=ais").header("Location") or ""
    base, _, path = location.partition("/v1/")
    page = request(base, "GET", f"/v1/{path}")
    assert page.status == 200
    assert page.header("X-Content-Type-Options") == "nosniff"
    assert "sandbox" in (page.header("Content-Security-Policy") or "")
    assert s3raw.call(case.ann, "DELETE", "/s3/sec/page").status == 204


def test_13_what_is_signed_is_what_is_done(case: Case) -> None:
    """A signed header that is split, respelled or left out is refused."""
    for source, sent in (("/sec/o,b", ["/sec/o", "b"]), ("/sec/o b", ["/sec/o\xa0b"]), ("/sec/o", [])):
        one = s3raw.Request("PUT", "/s3/sec/copied", headers={"x-amz-copy-source": source})
        s3raw.sign(one, case.ann)
        del one.headers["x-amz-copy-source"]
        connection = http.client.HTTPConnection(case.ann.host, timeout=20)
        connection.putrequest("PUT", one.path, skip_host=True, skip_accept_encoding=True)
        for name, value in [
            *one.headers.items(),
            *(("x-amz-copy-source", value) for value in sent),
            ("Content-Length", "0"),
        ]:
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status in (400, 403), (source, sent, answer.read())
        connection.close()
    assert s3raw.call(case.ann, "GET", "/s3/sec/copied").status == 404


def test_14_a_note_is_good_once(case: Case) -> None:
    """What a gateway vouches for is done once, at one node, for one request line, within a minute."""
    gateway, target = case.smap["proxy_si"]["daemon_id"], case.target
    own = pairs.load(str(case.plans[0].directory / "conf"))
    assert own is not None
    key, path = own.shared(target["pub_keys"][0]), "/s3/sec/noted"

    def put(note: Via, to: str = path, body: bytes = b"noted") -> Answer:
        lines = {via.HEADER: via.header(note, key, "PUT", path)}
        return request(target["intra_data_net"]["direct_url"], "PUT", to, body=body, headers=lines)

    def note(**changes: object) -> Via:
        found = Via("127.0.0.1:1", "http", "ann", time_s=int(time.time()), to=target["daemon_id"], by=gateway)
        return msgspec.structs.replace(found, nonce=os.urandom(12), **changes)

    first = note()
    assert [put(first).status, put(first, body=b"other").status] == [200, 403]
    for wrong in (note(time_s=int(time.time()) - 120), note(to="somebody"), note(by="somebody")):
        assert put(wrong).status in (403, 503)
    assert put(note(), "/s3/sec/o").status == 403
    assert s3raw.call(case.ann, "GET", "/s3/sec/noted").body == b"noted"
    assert s3raw.call(case.ann, "DELETE", "/s3/sec/noted").status == 204


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("x-amz-object-lock-mode=COMPLIANCE", (400, 501)),
        ("X-Amz-Server-Side-Encryption=nonsense", (400, 501)),
        ("x-amz-expected-bucket-owner=other", (403,)),
        ("x-amz-nonsense=1", (400, 501)),
    ],
)
def test_15_parameters_are_headers(case: Case, query: str, status: tuple[int, ...]) -> None:
    """What is hoisted into the query is refused, or does what its header does."""
    assert s3raw.call(case.ann, "PUT", OBJECT, query, body=b"changed").status in status


def test_16_addresses_and_directories(case: Case, tmp_path: Path) -> None:
    """A join names host and port, a mountpath lies below the roots; files of the host are no settings."""
    gateway, target = case.smap["proxy_si"]["daemon_id"], case.target
    node = msgspec.convert(target, Snode)
    url = "http://127.0.0.1:1/latest/meta-data?x=1#"
    wrong = msgspec.structs.replace(node, control=msgspec.structs.replace(node.control, url=url))
    join = JoinRequest(wrong, case.smap["uuid"], Stamps(), "boot")
    body = msgspec.msgpack.encode(join)
    path = "/v1/cluster/autoreg"
    lines = {"Ais-Caller-Id": node.id, **signed_by(case, node.id, gateway, "POST", path, body)}
    answer = request(case.nodes[gateway]["intra_control_net"]["direct_url"], "POST", path, body=body, headers=lines)
    assert answer.status == 400, answer
    attach = {"action": "attach-mp", "value": str(tmp_path)}
    answer = admin(case.gateway, "PUT", "/v1/reverse/daemon/mountpaths", attach, Ais_Node_ID=node.id)
    assert (answer.status, list(tmp_path.iterdir())) in ((400, []), (403, [])), answer


def test_17_secrets_are_for_their_owner(case: Case) -> None:
    """No file of a node is for anybody else, and no answer tells the key of tokens."""
    for plan in case.plans:
        for root in (plan.directory / "conf", plan.log_dir, *plan.mountpaths):
            for path in root.rglob("*"):
                assert not path.is_file() or path.stat().st_mode & 0o077 == 0, path
    for answer in (
        admin(case.gateway, "GET", "/v1/daemon?what=config"),
        admin(case.gateway, "GET", "/v1/cluster?what=cluster_config"),
    ):
        assert SECRET.encode() not in answer.body


def test_18_access_binds_both(case: Case) -> None:
    """Without the right in its `access` a bucket takes nothing over S3 either."""
    access_0 = {"action": "set-bprops", "value": {"access": "0"}}
    assert s3raw.call(case.ann, "PUT", "/s3/shut").status == 200
    assert s3raw.call(case.ann, "PUT", "/s3/shut/o", body=b"x").status == 200
    assert admin(case.gateway, "PATCH", "/v1/buckets/shut", access_0).status == 200
    for method in ("PUT", "DELETE"):  # reads it cannot forbid, in AIStore either
        assert s3raw.call(case.ann, method, "/s3/shut/o").status == 403


def test_18_what_is_nobodys_is_the_administrators(case: Case) -> None:
    """A bucket that an administrator made natively is closed to users of keys until it is given to one of them."""
    path, inside, text = "/v1/buckets/common", "/s3/common/o", b'{"Version":"2012-10-17","Statement":[]}'
    assert admin(case.gateway, "POST", path, {"action": "create-bck"}).status == 200
    made = admin(case.gateway, "POST", "/v1/auth/keys", {"user": "root", "admin": True}).json()
    root = Access(case.gateway, made["id"], made["secret"])
    try:
        assert s3raw.call(root, "PUT", inside, body=b"kept").status == 200
        for user in (case.ann, case.bob):
            assert b"common" not in s3raw.call(user, "GET", "/s3").body
            for method, at, query, body in (
                ("GET", inside, "", b""),
                ("PUT", inside, "", b"changed"),
                ("DELETE", inside, "", b""),
                ("GET", "/s3/common", "list-type=2", b""),
                ("PUT", "/s3/common", "policy=", text),
                ("DELETE", "/s3/common", "", b""),
            ):
                answer = s3raw.call(user, method, at, query, body=body)
                assert (answer.status, code(answer)) == (403, "AccessDenied"), (method, query, answer)
        assert s3raw.call(case.bob, "PUT", "/s3/common").status == 409
        assert admin(case.gateway, "PATCH", path, {"action": "give-bck", "value": "ann"}).status == 200
        assert s3raw.call(case.ann, "GET", inside).body == b"kept"
        assert [s3raw.call(user, "GET", inside).status for user in (case.bob, root)] == [403, 403]
        assert admin(case.gateway, "PATCH", path, {"action": "give-bck", "value": ""}).status == 200
        assert [s3raw.call(user, "GET", inside).status for user in (case.ann, root)] == [403, 200]
    finally:
        assert admin(case.gateway, "DELETE", path, {"action": "destroy-bck"}).status == 200
        assert admin(case.gateway, "DELETE", f"/v1/auth/keys/{made['id']}").status == 200


def test_18_natively_made_is_the_makers(case: Case) -> None:
    """A bucket that a user makes natively with a token is that user's over S3, and no other's; only administrators
    give buckets away."""
    ann = token_by(SECRET, sub="ann", admin=False, clusters=[{"id": case.smap["uuid"], "perm": str(int(PERMITTED))}])
    lines = {"Authorization": f"Bearer {ann}"}
    body = {name: json.dumps({"action": name, "value": value}).encode() for name, value in MESSAGES.items()}
    path = "/v1/buckets/anns"
    assert request(case.gateway, "POST", path, body=body["create-bck"], headers=lines).status == 200
    try:
        assert [s3raw.call(user, "PUT", "/s3/anns/o", body=b"x").status for user in (case.ann, case.bob)] == [200, 403]
        assert request(case.gateway, "PATCH", path, body=body["give-bck"], headers=lines).status == 403
        assert s3raw.call(case.bob, "GET", "/s3/anns/o").status == 403
    finally:
        assert request(case.gateway, "DELETE", path, body=body["destroy-bck"], headers=lines).status == 200


def test_19_only_the_ca_that_was_given(tmp_path: Path) -> None:
    """With a CA file no other is believed; whose certificate names another host is no node's."""
    files = certificates.make(tmp_path)
    for context in (
        tls_contexts.client_context(files.certificate, files.key, files.ca),
        tls_contexts.server_context(files.certificate, files.key, files.ca, 4),
    ):
        assert context.cert_store_stats()["x509_ca"] == 1
    with pytest.raises(BadRequest):
        tls_contexts.client_context(files.certificate, files.key, str(tmp_path / "no such file"))


def test_20_small_things(case: Case) -> None:
    """An oracle for keys, a bearer over S3, numbers without end, an expectation, two authorities."""
    assert with_policy(case, statement(Action="s3:GetObject", Resource="arn:aws:s3:::sec/*")).status == 204
    try:
        assert s3raw.call(case.bob, "GET", "/s3/sec/no-such-key").status == 403
    finally:
        assert s3raw.call(case.ann, "DELETE", "/s3/sec", "policy=").status == 204
    assert request(case.gateway, "GET", OBJECT, headers={"Authorization": "Bearer x.y.z"}).status == 403
    expires = f"{OBJECT}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires={'9' * 5000}"
    assert request(case.gateway, "GET", expires).status in (400, 403)
    assert request(case.gateway, "GET", "/v1/health", headers={"Expect": "foo"}).status == 417
    host, _, port = case.gateway.rpartition("/")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        raw.sendall(b"GET http://other.example/v1/health HTTP/1.1\r\nHost: this.example\r\nConnection: close\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
