"""Object lock under attack: every route and action of this product, sent by administrator and owner, and a wrong clock.

What is sent is read from the routers' own tables, from the vocabulary of actions and from botocore's model of S3: what
is added later is tried too.
"""

import asyncio
import contextlib
import gzip
import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from harness import routers
from harness.clocks import Clocks, clocks
from harness.s3access import Access, boto
from harness.s3raw import Request, send, sign
from harness.wire import Api, fresh_name, message, request

from ais.api import actions, xact
from ais.meta.smap import PROXY
from ais.proxy.redirect import EASY_URLS
from ais.testing import Cluster, Node

BUCKET, FUTURE = "locked", datetime(2099, 1, 1, tzinfo=UTC)
CENTURIES_S = 200 * 365 * 86400.0
KEYS = [f"{kind}{number}" for kind in ("head", "below") for number in range(4)]
"""`head*`: the held version is the latest; `below*`: it has another one above it."""
_FOLDER = max((Path(botocore.__file__).parent / "data" / "s3").iterdir())
MODEL = json.loads(gzip.decompress((_FOLDER / "service-2.json.gz").read_bytes()))
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
ACTIONS = sorted({value for name, value in vars(actions).items() if name.isupper() and isinstance(value, str)})
KINDS = sorted({value for name, value in vars(xact).items() if name.isupper() and isinstance(value, str)})
ENDS_NODES = {
    actions.SHUTDOWN_CLUSTER: "nobody is left to ask; what nodes hold stays on their disks",
    actions.DECOMMISSION_CLUSTER: "tried by itself at the end",
    actions.SHUTDOWN_NODE: "nobody is left to ask; what a stopped target holds stays on its disks",
    actions.DECOMMISSION_NODE: "tried by itself at the end",
    actions.REMOVE_NODE_UNSAFE: "takes a node off the map; what it holds stays on its disks",
    actions.START_MAINTENANCE: "the same",
    actions.DETACH_MOUNTPATH: "takes a disk out of use with what is on it; tests/unit/space",
    actions.DISABLE_MOUNTPATH: "the same",
    actions.JOIN_CLUSTER: "from a primary to a node that was decommissioned",
}
"""Actions that are not sent, and why."""


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocks]:
    with clocks(tmp_path_factory.mktemp("clocks")) as found:
        yield found


@pytest.fixture(scope="module")
def cluster(hands: Clocks) -> Iterator[Cluster]:
    with Cluster(1, 2, 1) as found:
        yield found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> routers.Table:
    return asyncio.run(routers.tables(tmp_path_factory.mktemp("routers")))


def held(access: Access, bucket: str) -> dict[str, str]:
    """Keys with a version that is retained for good: its ID."""
    s3, versions = boto(access), dict[str, str]()
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    for key in KEYS:
        put = s3.put_object(
            Bucket=bucket, Key=key, Body=key.encode(), ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=FUTURE
        )
        versions[key] = put["VersionId"]
        if key.startswith("below"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"above")
    return versions


def require_all(access: Access, bucket: str, versions: dict[str, str], after: object) -> None:
    """Each of these versions is there, byte for byte."""
    s3 = boto(access)
    for key, version in versions.items():
        try:
            found = s3.get_object(Bucket=bucket, Key=key, VersionId=version)
        except ClientError as error:
            raise AssertionError(f"{key} is gone after {after}: {error}") from None
        assert found["Body"].read() == key.encode(), after


def attacks(table: routers.Table, key: str) -> Iterator[tuple[str, str, bytes]]:
    """Method, target and body of all that changes something."""
    routes = {route for (kind, _), found in table.items() if kind == PROXY for route in found}
    paths = {(method, path) for method, path in routes if method in CHANGES or method == "*"}
    paths |= {(method, f"{prefix}{{name}}") for method in CHANGES for prefix in ("/v1/objects/", *EASY_URLS)}
    for method, path in sorted(paths):
        target = re.sub(r"\{\w+(:[^}]*)?\}", lambda part: f"{BUCKET}/{key}" if "name" in part[0] else BUCKET, path)
        for one in CHANGES if method == "*" else (method,):
            yield one, target, b""
            yield one, target, b"attack"
            for action in ACTIONS:
                if action not in ENDS_NODES:
                    yield from ((one, target, body) for body in bodies(action, key))


def bodies(action: str, key: str) -> Iterator[bytes]:
    if action == actions.START:
        for kind in KINDS:
            yield message(action, "", {"kind": kind, "bck": {"name": BUCKET, "provider": "ais"}})
        return
    yield message(action, "elsewhere", {"objnames": [key], "template": key})


def sent(url: str, method: str, target: str, body: bytes) -> None:
    """Whatever the answer is."""
    path, query = target, "provider=ais&bck_to=ais/@%23/other"
    for _ in range(3):
        answer = request(url, method, f"{path}?{query}", body=body)
        location = answer.header("Location")
        if answer.status not in (301, 302, 307) or not location:
            return
        url, _, rest = location.partition("/v1/")
        path, _, query = f"/v1/{rest}".partition("?")


def test_no_action_of_any_route(cluster: Cluster, table: routers.Table) -> None:
    """Natively: every path of a gateway, which sends on to targets, with every action and kind of job."""
    access, count = Access(cluster.endpoint, "any", "anysecret"), 0
    versions = held(access, BUCKET)
    for number, (method, target, body) in enumerate(attacks(table, "head0")):
        key = KEYS[number % len(KEYS)]
        sent(cluster.endpoint, method, target.replace("head0", key), body.replace(b"head0", key.encode()))
        count += 1
    require_all(access, BUCKET, versions, "all actions")
    print(f"{count} requests")
    assert count > 1000


def test_no_operation_of_s3(cluster: Cluster) -> None:
    """Every operation of Amazon's model that changes something, on the version, with the right to bypass governance."""
    access, bucket = Access(cluster.endpoint, "any", "anysecret"), fresh_name("lock")
    versions = held(access, bucket)
    for name, operation in MODEL["operations"].items():
        if operation["http"]["method"] not in CHANGES:
            continue
        path, _, query = operation["http"]["requestUri"].partition("?")
        for key, version in versions.items():
            is_about_object = "{Key+}" in path
            target = path.replace("{Bucket}", bucket).replace("{Key+}", key)
            parts = [query, f"versionId={version}" if is_about_object else "", "id=x" if "Id" in name else ""]
            headers = (
                {"x-amz-bypass-governance-retention": "true"} if is_about_object or name == "DeleteObjects" else {}
            )
            body = s3_body(name, key, version)
            if name == "DeleteObjects":
                headers["Content-MD5"] = b64encode(hashlib.md5(body).digest()).decode()
            if name == "CopyObject":
                headers["x-amz-copy-source"] = f"/{bucket}/{KEYS[0]}"
            wanted = Request(operation["http"]["method"], target, "&".join(filter(None, parts)), headers, body)
            sign(wanted, access)
            send(access, wanted)
        require_all(access, bucket, versions, name)


def s3_body(operation: str, key: str, version: str) -> bytes:
    """What would free the version, where an operation has such a body."""
    match operation:
        case "PutObjectRetention":
            return (
                b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2031-01-01T00:00:00Z</RetainUntilDate></Retention>"
            )
        case "PutObjectLegalHold":
            return b"<LegalHold><Status>OFF</Status></LegalHold>"
        case "PutBucketVersioning":
            return b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
        case "PutBucketLifecycleConfiguration" | "PutBucketLifecycle":
            return (
                b"<LifecycleConfiguration><Rule><Filter/><Status>Enabled</Status><NoncurrentVersionExpiration>"
                b"<NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>"
            )
        case "DeleteObjects":
            return f"<Delete><Object><Key>{key}</Key><VersionId>{version}</VersionId></Object></Delete>".encode()
        case "PutObjectLockConfiguration":
            return b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
    return b""


def test_a_clock_set_forward(cluster: Cluster, hands: Clocks) -> None:
    """On one target, while it runs and before it is started: what it keeps is there when its clock is right again."""
    access, bucket = Access(cluster.endpoint, "any", "anysecret"), fresh_name("lock")
    versions, node = held(access, bucket), cluster.targets[0]
    hands.set_forward(node.name, CENTURIES_S)
    try:
        assert attempts_at(node, bucket, versions) == len(versions)
        cluster.kill(node)
        cluster.restart(node)
        attempts_at(node, bucket, dict([*versions.items()][:1]))
    finally:
        hands.set_forward(node.name, 0)
    cluster.kill(node)
    cluster.restart(node)
    cluster.wait_ready()
    require_all(access, bucket, versions, "a clock was set forward")


def attempts_at(node: Node, bucket: str, versions: dict[str, str]) -> int:
    """Ask a target itself to free and remove each version; how many answers came that were no success."""
    s3, refused = boto(Access(node.url, "any", "anysecret"), read_timeout=20), 0
    for key, version in versions.items():
        place = {"Bucket": bucket, "Key": key, "VersionId": version}
        sooner = {"Mode": "COMPLIANCE", "RetainUntilDate": FUTURE - timedelta(days=365)}
        with contextlib.suppress(BotoCoreError, ClientError):
            s3.put_object_retention(**place, Retention=sooner)
            raise AssertionError(f"{key}: the retention was shortened")
        try:
            s3.delete_object(**place)
        except (BotoCoreError, ClientError):
            refused += 1
    return refused


def test_the_end_of_nodes_and_of_the_cluster() -> None:
    """A decommissioned target gives what it holds to others; data of the cluster is not removed while locks exist."""
    with Cluster(1, 2, 1) as cluster:
        end(cluster, Access(cluster.endpoint, "any", "anysecret"), Api(cluster.endpoint), fresh_name("lock"))


def end(cluster: Cluster, access: Access, api: Api, bucket: str) -> None:
    versions, node = held(access, bucket), cluster.targets[0]
    refused = api.call("PUT", "/v1/cluster", body=message(actions.DECOMMISSION_CLUSTER, value={"rm_user_data": True}))
    assert "object lock" in refused.error["message"]
    leaves = message(actions.DECOMMISSION_NODE, value={"sid": node.id, "rm_user_data": True})
    assert api.call("PUT", "/v1/cluster", body=leaves).status == 200
    cluster.wait_ended(node)
    require_all(access, bucket, versions, "its target was decommissioned")
    last = message(actions.DECOMMISSION_NODE, value={"sid": cluster.targets[1].id, "rm_user_data": True})
    assert "no target would be left" in api.call("PUT", "/v1/cluster", body=last).error["message"]
    require_all(access, bucket, versions, "the last target was to be decommissioned")
