"""kill -9 of one node: the primary, a target, a proxy. The rest serves on; what comes back brings its objects."""

import json
import time
from collections.abc import Iterator

import pytest
from harness.load import bytes_of, check_all, put_all
from harness.nodes import eventually, files_of
from harness.wire import Api, fresh_name

from ais.meta.smap import Flag
from ais.testing import Cluster

NAMES = [f"dir{number % 4}/o{number:03}" for number in range(120)]


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A cluster whose nodes may die: three proxies, three targets, one bucket `kept` with NAMES."""
    with Cluster(proxies=3, targets=3, mountpaths=2, dir=tmp_path_factory.mktemp("mortal")) as running:
        assert Api(running.endpoint).create("kept").status == 200
        put_all(running.endpoint, "kept", NAMES, bytes_of)
        yield running


@pytest.fixture
def whole(mortal) -> Iterator[object]:
    """The cluster with every node alive and known, before the test and after it."""
    yield mortal
    for node in mortal.nodes:
        if not node.alive:
            mortal.restart(node)
    eventually(lambda: knows_all(mortal), within_s=30)


def knows_all(cluster) -> bool:
    """Every node has every node in its map, none away, in the same version."""
    maps = [Api(node.url).smap() for node in cluster.nodes]
    ids = {node.id for node in cluster.nodes}
    is_whole = all({*one["pmap"], *one["tmap"]} == ids and not away_of(one) for one in maps)
    return is_whole and len({one["version"] for one in maps}) == 1


def away_of(smap) -> set[str]:
    """The targets that a cluster map says are away."""
    return {target for target, one in smap["tmap"].items() if int(one.get("flags", 0)) & Flag.AWAY}


def primary_of(cluster):
    """The node that the living agree on as primary."""
    ids = {Api(node.url).smap()["proxy_si"]["daemon_id"] for node in cluster.nodes if node.alive}
    assert len(ids) == 1, ids
    return next(node for node in cluster.proxies if node.id in ids)


def test_killed_primary_is_replaced(whole):
    """Within 15 s another proxy is primary for every node, reads and writes and bucket changes go through it."""
    old = primary_of(whole)
    whole.kill(old)
    alive = [node for node in whole.nodes if node.alive]

    def elected() -> bool:
        maps = [Api(node.url).smap() for node in alive]
        return len({one["proxy_si"]["daemon_id"] for one in maps} - {old.id}) == 1 and all(
            one["proxy_si"]["daemon_id"] != old.id for one in maps
        )

    took_s = eventually(elected, within_s=15)
    print(f"\na new primary {took_s:.1f} s after kill -9 of the old one")
    new = primary_of(whole)
    assert Api(new.url).call("GET", "/v1/health", {"prr": "true"}).status in (200, 503)
    check_all(new.url, "kept", NAMES, bytes_of)
    assert Api(new.url).names("kept") == sorted(NAMES)
    name = fresh_name("elected")
    eventually(lambda: Api(new.url).create(name).status in (200, 409), within_s=15)
    assert Api(new.url).put(name, "o", b"x").status == 200
    eventually(lambda: old.id not in Api(new.url).smap()["pmap"], within_s=20)
    whole.restart(old)
    eventually(lambda: knows_all(whole), within_s=30)
    assert primary_of(whole).id == new.id
    assert Api(old.url).get(name, "o").body == b"x"
    assert Api(old.url).destroy(name).status == 200


def test_reads_go_on_while_the_primary_is_dead(whole):
    """Reads and writes through a surviving proxy never fail because the primary died: they do not need it."""
    survivor = next(node for node in whole.proxies if node.id != primary_of(whole).id)
    whole.kill(primary_of(whole))
    began = time.monotonic()
    while time.monotonic() - began < 5:
        check_all(survivor.url, "kept", NAMES[:30], bytes_of)
        put_all(survivor.url, "kept", NAMES[:5], bytes_of)
    eventually(lambda: primary_of(whole).alive, within_s=15)


def test_killed_target_is_away_and_comes_back_with_its_objects(whole):
    """A dead target is away on every map within the keepalive time; restarted it is back with all its bytes."""
    target = whole.targets[0]
    held = sorted(path.name for path in files_of(target.mountpaths, "ob") if "kept" in path.parts)
    assert held
    whole.kill(target)
    took_s = eventually(
        lambda: all(target.id in away_of(Api(node.url).smap()) for node in whole.nodes if node.alive), within_s=40
    )
    print(f"\na killed target was away after {took_s:.1f} s")
    answers = [Api(whole.endpoint).get("kept", name) for name in NAMES[:60]]
    lost = [answer for answer in answers if answer.status != 200]
    assert lost
    assert all(answer.status == 503 for answer in lost)
    whole.restart(target)
    took_s = eventually(lambda: knows_all(whole), within_s=30)
    print(f"it was back in the map {took_s:.1f} s after its restart")
    assert sorted(path.name for path in files_of(target.mountpaths, "ob") if "kept" in path.parts) == held
    check_all(whole.endpoint, "kept", NAMES, bytes_of)
    assert Api(whole.endpoint).names("kept") == sorted(NAMES)


def test_bucket_change_while_a_target_is_dead_reaches_it_later(whole):
    """A bucket made and one destroyed during a target's death are known to it after its return, before it serves."""
    api = Api(whole.endpoint)
    doomed, made = fresh_name("doomed"), fresh_name("made")
    assert api.create(doomed).status == 200
    for number in range(20):
        assert api.put(doomed, f"o{number}", b"x").status == 200
    target = whole.targets[1]
    whole.kill(target)
    eventually(lambda: target.id in away_of(api.smap()), within_s=40)
    assert api.destroy(doomed).status == 200
    assert api.create(made).status == 200
    whole.restart(target)
    eventually(lambda: knows_all(whole), within_s=30)
    known = Api(target.url).call("GET", "/v1/daemon", {"what": "bmd"}).json()["providers"]["ais"]["@#"]
    assert made in known
    assert doomed not in known
    for number in range(20):
        assert api.put(made, f"o{number}", b"y").status == 200
    assert api.create(doomed).status == 200
    assert api.names(doomed) == []
    assert api.destroy(doomed).status == api.destroy(made).status == 200


def test_a_bucket_mirrored_while_a_target_is_dead_is_mirrored_there_later(whole):
    """Until that target has made the copies of its old objects the bucket is not said to be well."""
    api, bucket = Api(whole.endpoint), fresh_name("mirrored")
    assert api.create(bucket).status == 200
    names = [f"o{number}" for number in range(40)]
    for name in names:
        assert api.put(bucket, name, b"content").status == 200

    def protection():
        found = api.call("GET", "/v1/cluster", {"what": "protection"}).json()
        return next(one for one in found["buckets"] if one["bck"]["name"] == bucket)

    def copies():
        return [path.name for node in whole.targets for path in files_of(node.mountpaths, "cp") if bucket in path.parts]

    def is_well():
        said = protection()
        assert said["state"] != "ok" or sorted(copies()) == sorted(names), said
        return said["state"] == "ok"

    eventually(lambda: protection()["state"] == "ok", within_s=60)
    target = whole.targets[2]
    whole.kill(target)
    eventually(lambda: target.id in away_of(api.smap()), within_s=40)
    message = {"action": "set-bprops", "value": {"mirror": {"enabled": True, "copies": 2}}}
    assert api.call("PATCH", f"/v1/buckets/{bucket}", body=json.dumps(message).encode()).status == 200
    assert protection()["state"] != "ok"
    whole.restart(target)
    eventually(is_well, within_s=60)
    assert api.destroy(bucket).status == 200


def test_graceful_stop_of_the_primary_hands_over(whole):
    """SIGTERM of the primary: it names its successor and exits with 0; no time without a primary is waited for."""
    old = primary_of(whole)
    assert whole.terminate(old) == 0
    survivors = [node for node in whole.nodes if node.alive]
    took_s = eventually(
        lambda: {Api(node.url).smap()["proxy_si"]["daemon_id"] for node in survivors}.isdisjoint({old.id}), within_s=5
    )
    print(f"\nhanded over {took_s:.1f} s after the primary's exit")
    new = primary_of(whole)
    name = fresh_name("handed-over")
    assert Api(new.url).create(name).status == 200
    assert Api(new.url).destroy(name).status == 200
    check_all(new.url, "kept", NAMES[:20], bytes_of)


def test_graceful_stop_of_a_target_keeps_its_objects(whole):
    """SIGTERM of a target: it exits with 0, is away at once, and returns with its objects."""
    target = whole.targets[2]
    assert whole.terminate(target) == 0
    eventually(lambda: target.id in away_of(Api(whole.endpoint).smap()), within_s=5)
    whole.restart(target)
    eventually(lambda: knows_all(whole), within_s=30)
    check_all(whole.endpoint, "kept", NAMES, bytes_of)


def test_killed_proxy_does_not_matter(whole):
    """A proxy that is not the primary may die: clients go on through the others, and it returns to the same cluster."""
    victim = next(node for node in whole.proxies if node.id != primary_of(whole).id)
    version = int(Api(whole.endpoint).smap()["version"])
    whole.kill(victim)
    eventually(lambda: victim.id not in Api(primary_of(whole).url).smap()["pmap"], within_s=20)
    check_all(primary_of(whole).url, "kept", NAMES[:20], bytes_of)
    whole.restart(victim)
    eventually(lambda: knows_all(whole), within_s=30)
    assert int(Api(victim.url).smap()["version"]) > version
    check_all(victim.url, "kept", NAMES[:20], bytes_of)
