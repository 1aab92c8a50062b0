""" "Not there" is proven or not said: 404, the 204 of a delete and short lists come only from who can know."""

import shutil
import threading
import time
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest
from harness.nodes import eventually
from harness.wire import Answer, Api, fresh_name, message, request

from ais.base.errors import NotReady
from ais.testing import Cluster

NAMES = [f"dir/{number}" for number in range(40)]
FAST = {"keepalivetracker.proxy.interval": "500ms", "keepalivetracker.target.interval": "500ms"}
SOON_S = 60
CHANGES = {
    "POST": message("move-bck"),
    "DELETE": message("destroy-bck"),
    "PATCH": message("set-bprops", value={"versioning": {"enabled": False}}),
}


def filled(cluster: Cluster) -> tuple[Api, str]:
    """A new bucket with an object under each name."""
    api, bucket = Api(cluster.endpoint), fresh_name()
    assert api.create(bucket).status == 200
    for name in NAMES:
        assert api.put(bucket, name, name.encode()).status == 200
    return api, bucket


def s3(api: Api, method: str, path: str, **given: object) -> Answer:
    return request(api.url, method, f"/s3/{path}", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("what_is_left", ["nothing", "a bare mount point", "an emptied directory"])
def test_a_lost_mountpath_is_no_empty_one(what_is_left: str, small: Cluster) -> None:
    """A mountpath that went or was emptied while its target runs: 503 for its names and for lists, no new data there.

    When it is back all is there again, without a restart.
    """
    api, bucket = filled(small)
    lost = small.targets[0].mountpaths[0]
    kept, inside = lost.with_name("kept"), lost / "@ais" / bucket
    if what_is_left == "an emptied directory":
        kept.mkdir()
        inside.rename(kept / bucket)
    else:
        lost.rename(kept)
        if what_is_left == "a bare mount point":
            lost.mkdir()
    answers = {name: api.get(bucket, name) for name in NAMES}
    assert {answer.status for answer in answers.values()} == {200, 503}
    gone = [name for name in NAMES if answers[name].status == 503]
    assert str(lost) in answers[gone[0]].error["message"]
    assert api.delete(bucket, gone[0]).status == 503
    assert api.head(bucket, gone[0]).status == 503
    assert s3(api, "DELETE", f"{bucket}/{gone[0]}").status == 503
    assert s3(api, "PUT", f"{bucket}/{gone[0]}", body=b"x", headers={"If-None-Match": "*"}).status == 503
    assert s3(api, "GET", f"{bucket}/{gone[0]}?uploadId=1&max-parts=1").status != 200
    assert api.put(bucket, gone[1], b"new").status == 503
    assert api.page(bucket).status == 503
    assert s3(api, "GET", f"{bucket}?list-type=2").status == 503
    assert s3(api, "DELETE", bucket).status == 503
    if what_is_left != "an emptied directory":
        assert api.create(fresh_name()).status == 503
        assert not lost.exists() or not list(lost.glob("@*"))
        if lost.exists():
            shutil.rmtree(lost)
        kept.rename(lost)
    else:
        (kept / bucket).rename(inside)
        kept.rmdir()
    for name in NAMES:
        assert api.get(bucket, name).body == name.encode()
    assert api.names(bucket) == sorted(NAMES)


def test_a_target_does_not_start_as_a_new_one_before_its_disks_are_mounted(small: Cluster) -> None:
    """With all of them missing it says so, whatever ID it was given, and writes nothing where they should be."""
    (api, bucket), node = filled(small), small.targets[0]
    small.kill(node)
    for path in node.mountpaths:
        path.rename(path.with_name(f"{path.name}.kept"))
        path.mkdir()
    small.start()
    with pytest.raises(NotReady, match="are the disks mounted"):
        small.wait_ready()
    assert not any(list(path.iterdir()) for path in node.mountpaths)
    for path in node.mountpaths:
        path.rmdir()
        path.with_name(f"{path.name}.kept").rename(path)
    small.start()
    small.wait_ready()
    for name in NAMES:
        assert api.get(bucket, name).body == name.encode()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> object:
    """One proxy, one target with two mountpaths."""
    directory = tmp_path_factory.mktemp("small")
    with Cluster(1, 1, 2, dir=directory, config_overrides=FAST, ids={"t1": "tOfSmall"}) as running:
        yield running


def test_a_starting_node_never_says_not_there(small: Cluster) -> None:
    """Asked all the time while every node starts: 200, 503 or no answer, never 404, at the gateway or the target."""
    _, bucket = filled(small)
    node = small.targets[0]
    seen: dict[str, set[int]] = {}
    ended = threading.Event()

    def ask(url: str, path: str) -> None:
        while not ended.is_set():
            try:
                seen.setdefault(url + path, set()).add(Api(url).call("GET", path, redirects=False).status)
            except OSError:
                time.sleep(0.001)

    paths = [f"/v1/objects/{bucket}/{NAMES[0]}?provider=ais", f"/s3/{bucket}/{NAMES[1]}"]
    asked = [(url, path) for url in (node.url, small.endpoint) for path in paths]
    threads = [threading.Thread(target=ask, args=one) for one in asked]
    for thread in threads:
        thread.start()
    for _ in range(2):
        for one in (*small.targets, *small.proxies):
            small.kill(one)
        small.start()
        small.wait_ready()
    ended.set()
    for thread in threads:
        thread.join()
    assert all(200 in found or 301 in found for found in seen.values()), seen
    assert all(404 not in found for found in seen.values()), seen


def test_a_gateway_that_is_cut_off_does_not_know() -> None:
    """When it hears nobody any more it says 503 for what it never heard of, and is not ready; lists say so too.

    And for a bucket that was there, also to a change of it: it may have been destroyed meanwhile, and made anew, and
    the ID that this gateway knows would be refused as not there by the primary that gets it.
    """
    with Cluster(proxies=2, targets=1, mountpaths=1, config_overrides=FAST) as cluster:
        primary = next(
            one for one in cluster.proxies if one.id == Api(cluster.endpoint).smap()["proxy_si"]["daemon_id"]
        )
        other = next(one for one in cluster.proxies if one.id != primary.id)
        api = Api(other.url)
        eventually(lambda: api.call("HEAD", "/v1/buckets/none").status == 404, within_s=SOON_S)
        eventually(lambda: api.create("known").status in (200, 409), within_s=SOON_S)
        frozen = [primary, *cluster.targets]
        for one in frozen:
            cluster.signal(one, SIGSTOP)
        eventually(lambda: api.call("HEAD", "/v1/buckets/none").status == 503, within_s=SOON_S)
        assert api.call("HEAD", "/v1/buckets/known").status == 503
        for method, changed in CHANGES.items():
            answer = api.call(method, "/v1/buckets/known", {"bck_to": "ais/@#/new/"}, body=changed)
            assert answer.status == 503, (method, answer)
            assert "no contact" in answer.error["message"]
        assert api.get("none", "o").status == 503
        assert s3(api, "GET", "none/o").status == 503
        assert api.call("GET", "/v1/buckets").status == 503
        assert s3(api, "GET", "").status == 503
        assert api.call("GET", "/v1/health?readiness=true").status == 503
        for one in frozen:
            cluster.signal(one, SIGCONT)
        eventually(lambda: api.call("HEAD", "/v1/buckets/none").status == 404, within_s=SOON_S)
        eventually(lambda: api.call("HEAD", "/v1/buckets/known").status == 200, within_s=SOON_S)


def test_a_first_gateway_without_its_confdir_finds_its_cluster_again(tmp_path: Path) -> None:
    """It founds no second, empty cluster: it never says that a bucket is missing, and serves all again by itself."""
    with Cluster(proxies=1, targets=2, mountpaths=1, dir=tmp_path, config_overrides=FAST) as cluster:
        api, bucket = filled(cluster)
        uuid, proxy = api.smap()["uuid"], cluster.proxies[0]
        for node in cluster.nodes:
            cluster.signal(node, SIGKILL)
            cluster.wait_ended(node)
        shutil.rmtree(proxy.plan.directory / "conf")
        (proxy.plan.directory / "conf").mkdir()
        cluster.start()
        statuses = set()

        def is_back() -> bool:
            answer = api.call("HEAD", f"/v1/buckets/{bucket}")
            statuses.add(answer.status)
            return answer.status == 200

        eventually(is_back, within_s=SOON_S)
        assert statuses <= {200, 503}
        cluster.wait_ready()
        assert api.smap()["uuid"] == uuid
        for name in NAMES:
            assert (api.get(bucket, name).status, api.get(bucket, name).body) == (200, name.encode())
        assert api.create(fresh_name()).status == 200
