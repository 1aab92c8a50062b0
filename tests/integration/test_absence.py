"""A target that does not answer keeps what it owns: nothing is gone, nobody else takes it, and it returns as it was."""

import re
import time
from collections.abc import Iterator
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from typing import Any
from urllib.parse import quote

import pytest
from harness.nodes import eventually
from harness.wire import MSGPACK, Answer, Api, fresh_name, message, request

from ais.meta.smap import Flag
from ais.testing import Cluster, Node

NAMES = [f"dir/{number}" for number in range(30)]
SOON_S = 60
FAST = {
    "keepalivetracker.proxy.interval": "500ms",
    "keepalivetracker.target.interval": "500ms",
    "timeout.max_keepalive": "1s",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One proxy and three targets that notice a silent node within seconds."""
    with Cluster(proxies=1, targets=3, mountpaths=1, config_overrides=FAST) as running:
        yield running


def filled(cluster: Cluster) -> tuple[Api, str]:
    """A new bucket with an object under each name."""
    api, bucket = Api(cluster.endpoint), fresh_name()
    assert api.create(bucket).status == 200
    for name in NAMES:
        assert api.put(bucket, name, name.encode()).status == 200
    return api, bucket


def flags_of(api: Api) -> dict[str, int]:
    """Flags by target, as the map has them; a target that left the map has none."""
    return {target: int(one.get("flags", 0)) for target, one in api.smap()["tmap"].items()}


def is_away(api: Api, node: Node) -> bool:
    return bool(flags_of(api)[node.id] & Flag.AWAY)


def s3(api: Api, method: str, path: str, **given: object) -> Answer:
    return request(api.url, method, f"/s3/{path}", **given)  # type: ignore[arg-type]


def protection(api: Api, bucket: str) -> dict[str, Any]:
    """What the cluster says about the protection of a bucket."""
    found = api.call("GET", "/v1/cluster", {"what": "protection"}).json()
    return next(one for one in found["buckets"] if one["bck"]["name"] == bucket)


def check_partial(api: Api, bucket: str, there: list[str], node: Node) -> None:
    """Who asks for what is there gets that, on all pages of both APIs, and is told whose objects are missing."""
    asked = {"Ais-List-Partial": "true"}
    answer = api.page(bucket, headers={**MSGPACK, **asked})
    assert (answer.status, answer.header("Ais-List-Missing")) == (200, f"t[{node.id}]")
    assert [entry["n"] for entry in answer.msgpack()["Entries"]] == there
    names, token = list[str](), ""
    while True:
        answer = s3(api, "GET", f"{bucket}?list-type=2&max-keys=4{token}", headers=asked)
        assert (answer.status, answer.header("Ais-List-Missing")) == (200, f"t[{node.id}]")
        names += re.findall("<Key>(.*?)</Key>", answer.body.decode())
        found = re.search("<NextContinuationToken>(.*?)</NextContinuationToken>", answer.body.decode())
        if found is None:
            break
        token = f"&continuation-token={quote(found[1], safe='')}"
    assert names == there


def check_all_are_back(api: Api, bucket: str) -> None:
    """Every name has its object, never "not there"; a machine that stands still may have a target away once more."""
    for name in NAMES:
        seen = set[int]()

        def is_read(name: str = name, seen: set[int] = seen) -> bool:
            answer = api.get(bucket, name)
            seen.add(answer.status)
            return answer.status == 200 and answer.body == name.encode()

        eventually(is_read, within_s=SOON_S)
        assert seen <= {200, 503}


@pytest.mark.parametrize("how", [SIGKILL, SIGTERM, SIGSTOP])
def test_names_of_an_absent_target_are_unavailable_not_gone(cluster: Cluster, how: Signals) -> None:
    """Killed, stopped or frozen: 503 with the reason for its names and for lists, never 404; then all is as it was."""
    (api, bucket), node = filled(cluster), cluster.targets[0]
    if how is SIGKILL:
        eventually(
            lambda: (found := protection(api, bucket))["state"] == "ok" and found["objects"] == 30, within_s=SOON_S
        )
    cluster.signal(node, how)
    eventually(lambda: is_away(api, node), within_s=SOON_S)
    answers = {name: api.get(bucket, name) for name in NAMES}
    assert {answer.status for answer in answers.values()} == {200, 503}
    lost = [name for name, answer in answers.items() if answer.status == 503]
    assert all(f"t[{node.id}] is away" in answers[name].error["message"] for name in lost)
    for name in lost[:2]:
        assert api.call("PUT", f"/v1/objects/{bucket}/{name}", body=b"new", redirects=False).status == 503
        assert api.call("DELETE", f"/v1/objects/{bucket}/{name}", redirects=False).status == 503
        assert s3(api, "GET", f"{bucket}/{name}").status == 503
        assert s3(api, "DELETE", f"{bucket}/{name}").status == 503
        assert s3(api, "PUT", f"{bucket}/{name}", body=b"new", headers={"If-None-Match": "*"}).status == 503
    assert api.page(bucket).status == 503
    assert s3(api, "GET", f"{bucket}?list-type=2").status == 503
    check_partial(api, bucket, sorted(name for name, answer in answers.items() if answer.status == 200), node)
    if how is SIGKILL:
        found = protection(api, bucket)
        assert (found["state"], found["unreachable"], found["objects"]) == ("unreachable", len(lost), 30 - len(lost))
    assert s3(api, "DELETE", bucket).status == 503
    meanwhile = fresh_name()
    assert api.create(meanwhile).status == 200
    if how is SIGSTOP:
        cluster.signal(node, SIGCONT)
    else:
        cluster.wait_ended(node)
        cluster.restart(node)
    cluster.wait_ready()
    check_all_are_back(api, bucket)
    assert api.call("HEAD", f"/v1/buckets/{meanwhile}").status == 200


def test_more_absent_targets_than_slices_make_up_for_are_said(cluster: Cluster) -> None:
    """Of an erasure-coded bucket all is readable without one of them, and not without two: then it says how much."""
    api, bucket = Api(cluster.endpoint), fresh_name()
    coded = {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1}}
    assert api.create(bucket, coded).status == 200
    for name in NAMES:
        assert api.put(bucket, name, name.encode()).status == 200
    eventually(lambda: (found := protection(api, bucket))["state"] == "ok" and found["objects"] == 30, within_s=SOON_S)
    first, second, _ = cluster.targets
    cluster.signal(first, SIGKILL)
    eventually(lambda: is_away(api, first), within_s=SOON_S)
    found = protection(api, bucket)
    assert (found["state"], found["unreachable"]) == ("short", 0)
    assert {api.get(bucket, name).status for name in NAMES} == {200}
    cluster.signal(second, SIGKILL)
    eventually(lambda: is_away(api, second), within_s=SOON_S)
    assert {api.get(bucket, name).status for name in NAMES} == {200, 503}
    found = protection(api, bucket)
    assert found["state"] == "unreachable"
    assert 0 < found["unreachable"] <= 30
    for node in (first, second):
        cluster.wait_ended(node)
        cluster.restart(node)
    cluster.wait_ready()
    check_all_are_back(api, bucket)


def test_a_primary_that_stood_still_blames_nobody(cluster: Cluster) -> None:
    """A primary frozen for longer than its targets may be silent leaves the map as it was, also while it changes it."""
    api, _ = filled(cluster)
    before = api.smap()["tmap"]
    for _ in range(3):  # which of its timers runs first on waking is chance
        cluster.signal(cluster.proxies[0], SIGSTOP)
        time.sleep(3.5)
        cluster.signal(cluster.proxies[0], SIGCONT)
        for number in range(12):
            assert api.smap()["tmap"] == before
            if number == 3:
                assert api.create(fresh_name()).status == 200
            time.sleep(0.1)


def test_a_change_while_a_target_restarts_does_not_throw_it_out(cluster: Cluster) -> None:
    """A configuration change succeeds while a target is down; its names are unavailable until it is back, not gone."""
    (api, bucket), node = filled(cluster), cluster.targets[0]
    cluster.kill(node)
    body = message("set-config", value={"log": {"level": "3"}, "periodic": {"stats_time": "11s"}})
    assert api.call("PUT", "/v1/cluster", body=body).status == 200
    assert set(api.smap()["tmap"]) == {one.id for one in cluster.targets}
    cluster.restart(node)
    cluster.wait_ready()
    check_all_are_back(api, bucket)


def test_one_setting_removes_at_once_as_aistore_does() -> None:
    """With `silent_targets=remove` a target that leaves is off the map and others own its names."""
    settings = {**FAST, "keepalivetracker.silent_targets": "remove"}
    with Cluster(proxies=1, targets=2, mountpaths=1, config_overrides=settings) as cluster:
        (api, bucket), node = filled(cluster), cluster.targets[0]
        cluster.terminate(node)
        assert set(api.smap()["tmap"]) == {cluster.targets[1].id}
        assert {api.get(bucket, name).status for name in NAMES} == {200, 404}
