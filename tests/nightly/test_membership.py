"""Targets join, leave, die and return while many clients work: nothing fails, is wrong, lost or brought back.

All of it with nodes that sign what they say to each other.
"""

import os
import random
import subprocess
import time
from collections.abc import Iterator

import pytest
from harness import joining
from harness.crowd import Crowd, Size
from harness.joining import another_target
from harness.nodes import eventually, require_signatures
from harness.wire import Api, message

from ais.playground.plan import NodePlan
from ais.testing import Cluster

FAST = {"keepalivetracker.proxy.interval": "500ms", "keepalivetracker.target.interval": "500ms"}
SECONDS = float(os.environ.get("MEMBERSHIP_SECONDS", "180"))
SOON_S = 300


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two proxies, three targets."""
    with Cluster(proxies=2, targets=3, mountpaths=2, config_overrides=FAST) as running:
        require_signatures(node.url for node in running.nodes)
        yield running


def is_settled(api: Api) -> bool:
    return not api.smap().get("ext")


def held(plan: NodePlan) -> list[str]:
    """What a target has of objects and versions."""
    found = (path for one in plan.mountpaths for kind in ("%ob", "%ve") for path in one.glob(f"@*/*/{kind}/**/*"))
    return [str(path) for path in found if path.is_file()]


def decommission(api: Api, node_id: str) -> None:
    answer = api.call("PUT", "/v1/cluster", body=message("decommission-node", value={"sid": node_id}))
    assert answer.status == 200, answer.error


def test_join_and_decommission_under_load(cluster: Cluster) -> None:
    """A fourth target joins and another one leaves, under 32 readers, 8 writers, 2 listers and 2 deleters: no request
    fails, the share that moves is 1/4 within 2 points, and the node that left holds nothing."""
    api, size = Api(cluster.endpoint), Size()
    crowd = Crowd([node.url for node in cluster.proxies], size)
    crowd.fill()
    began = time.monotonic()
    with crowd, another_target(cluster, mountpaths=2) as (plan, _):
        eventually(lambda: is_settled(api), within_s=SOON_S)
        joined_s = time.monotonic() - began
        stable = [path for path in held(plan) if "/plain/%ob/s" in path]
        assert abs(len(stable) / size.stable - 1 / 4) < 0.02, len(stable)
        leaving = cluster.targets[0]
        decommission(api, leaving.id)
        eventually(lambda: leaving.id not in api.smap()["tmap"], within_s=SOON_S)
        left_s = time.monotonic() - began - joined_s
        assert held(leaving.plan) == []
        time.sleep(max(0.0, SECONDS - (time.monotonic() - began)))
        crowd.__exit__()
        print(f"\njoin {joined_s:.1f} s, leave {left_s:.1f} s, {crowd.requests} requests, {crowd.repeated} repeated")
        print(f"{len(stable) / size.stable:.3f} of {size.stable} moved; {crowd.rounds}; {crowd.last_refusal}")
        crowd.check()
        assert not crowd.repeated, crowd.last_refusal


class Extra:
    """A target that joins while the cluster runs, and may be killed."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._joined = another_target(cluster, name, mountpaths=2)
        self.plan, self.id = self._joined.__enter__()
        self.child: subprocess.Popen[bytes] | None = None

    def kill_and_start(self) -> None:
        """`kill -9`, and a new process."""
        self.end()
        self.child = joining.start(self.plan)

    def end(self) -> None:
        """Stop it for good."""
        self._joined.__exit__(None, None, None)
        if self.child is not None:
            joining.end(self.child)


@pytest.mark.parametrize("seed", range(int(os.environ.get("MEMBERSHIP_SEEDS", "6"))))
def test_killed_while_names_move(seed: int) -> None:
    """kill -9 of any node, the primary included, at any moment of a join and of a decommission: both come to their end,
    and everything is as acknowledged."""
    source = random.Random(seed)
    with Cluster(proxies=2, targets=2, mountpaths=2, config_overrides=FAST) as cluster:
        require_signatures(node.url for node in cluster.nodes)
        crowd = Crowd([node.url for node in cluster.proxies], Size(4, 4, 1, 1, 1500))
        crowd.fill()
        extra = None
        try:
            with crowd:
                extra = Extra(cluster, "extra")
                for leaves in (False, True):
                    if leaves:
                        decommission(Api(cluster.endpoint), extra.id)
                    for _ in range(source.randrange(1, 4)):
                        time.sleep(source.random() * 2)
                        victim = source.choice([*cluster.nodes, None])
                        print(f"\nseed {seed}: kill {victim.name if victim else 'extra'}", end="")
                        if victim is None:
                            extra.kill_and_start()
                        else:
                            cluster.kill(victim)
                            time.sleep(source.random() * 2)
                            cluster.restart(victim)
                    wait = time.monotonic()
                    eventually(lambda: is_settled(Api(cluster.endpoint)), within_s=SOON_S)
                    print(f" settled after {time.monotonic() - wait:.1f} s", end="")
                eventually(lambda: extra.id not in Api(cluster.endpoint).smap()["tmap"], within_s=SOON_S)
                assert held(extra.plan) == []
                crowd.__exit__()
                cluster.wait_ready()
                crowd.check()
        finally:
            if extra is not None:
                extra.end()


def test_who_leaves_is_told_by_whoever_is_primary_then() -> None:
    """The primary is killed as soon as it has answered that a target is decommissioned with its data: the next one has
    everything moved, and the target removes what is left of ours and ends."""
    with Cluster(proxies=3, targets=3, mountpaths=2, config_overrides=FAST) as cluster:
        api, names = Api(cluster.endpoint), {f"o{number:03}": b"content %d" % number for number in range(300)}
        assert api.create("b").status == 200
        for name, data in names.items():
            assert api.put("b", name, data).status == 200
        leaving = cluster.targets[0]
        answer = api.call(
            "PUT", "/v1/cluster", body=message("decommission-node", value={"sid": leaving.id, "rm_user_data": True})
        )
        assert answer.status == 200, answer.error
        cluster.kill(cluster.proxies[0])
        other = Api(cluster.proxies[1].url)
        eventually(lambda: leaving.id not in other.smap()["tmap"], within_s=SOON_S)
        cluster.wait_ended(leaving)
        assert [entry for one in leaving.plan.mountpaths for entry in os.listdir(one) if entry[0] in "@."] == []
        for name, data in names.items():
            assert other.get("b", name).body == data


class Names:
    """Objects of a bucket and what became of each; what was refused with 503 is what it was before."""

    def __init__(self, api: Api, bucket: str) -> None:
        self.api, self.bucket = api, bucket
        self.wanted = {f"{kind}/{number:03}": b"first" for kind in ("old", "gone", "same") for number in range(500)}
        self.refused = 0
        assert api.create(bucket).status == 200
        for name, data in self.wanted.items():
            assert api.put(bucket, name, data).status == 200

    def change(self) -> None:
        """500 are overwritten, 500 deleted, 500 new."""
        new = {f"new/{number:03}": b"new" for number in range(500)}
        old = {name: b"second" for name in self.wanted if name.startswith("old/")}
        gone = [name for name in self.wanted if name.startswith("gone/")]
        for name, data in (old | new).items():
            if self._is_done(self.api.put(self.bucket, name, data).status):
                self.wanted[name] = data
        for name in gone:
            if self._is_done(self.api.delete(self.bucket, name).status):
                del self.wanted[name]
        for name in (f"{kind}/{number:03}" for kind in ("old", "gone", "same", "new") for number in range(500)):
            answer = self.api.get(self.bucket, name)
            wanted = (200, self.wanted[name]) if name in self.wanted else (404, answer.body)
            assert answer.status == 503 or (answer.status, answer.body) == wanted, (name, answer)

    def _is_done(self, status: int) -> bool:
        assert status in (200, 503)
        self.refused += status == 503
        return status == 200

    def check(self) -> None:
        """All as acknowledged."""
        assert self.api.names(self.bucket) == sorted(self.wanted)
        for name in (f"{kind}/{number:03}" for kind in ("old", "gone", "same", "new") for number in range(500)):
            answer = self.api.get(self.bucket, name)
            wanted = (200, self.wanted[name]) if name in self.wanted else (404, answer.body)
            assert (answer.status, answer.body) == wanted, name


@pytest.mark.parametrize("away", [1, 2])
def test_targets_that_were_away_bring_nothing_back(away: int) -> None:
    """Killed, 500 objects overwritten, 500 deleted, 500 new, the whole cluster stopped and started with them: all is as
    acknowledged, and while they are away no name of theirs is 404 and no listing short."""
    with Cluster(proxies=1, targets=3, mountpaths=2, config_overrides=FAST) as cluster:
        api = Api(cluster.endpoint)
        names = Names(api, "b")
        gone = cluster.targets[:away]
        for node in gone:
            cluster.kill(node)
        eventually(lambda: all(int(api.smap()["tmap"][node.id].get("flags", 0)) for node in gone), within_s=SOON_S)
        names.change()
        assert 1500 * away / 3 * 0.7 < names.refused < 1500 * away / 3 * 1.3
        assert api.page("b").status == 503
        cluster.stop()
        cluster.start()
        cluster.wait_ready()
        eventually(lambda: api.page("b").status == 200, within_s=SOON_S)
        names.check()


@pytest.mark.parametrize("leave", ["disable-mp", "detach-mp"])
def test_a_mountpath_that_was_away_brings_nothing_back(leave: str) -> None:
    """The same for a mountpath that is taken out of use, and used again after the whole cluster was restarted."""
    back = ("POST", "enable-mp") if leave == "disable-mp" else ("PUT", "attach-mp")
    with Cluster(proxies=1, targets=2, mountpaths=3, config_overrides=FAST) as cluster:
        api = Api(cluster.endpoint)
        names = Names(api, "b")
        node = cluster.targets[0]

        def mountpath(method: str, action: str, query: dict[str, str] | None = None) -> None:
            body = message(action, value=str(node.plan.mountpaths[0]))
            headers = {"Ais-Node-Id": node.id}
            answer = api.call(method, "/v1/reverse/daemon/mountpaths", query, body=body, headers=headers)
            assert answer.status == 200, answer.error

        def is_in_place() -> bool:
            answer = api.page("b", props="name,status")
            return answer.status == 200 and not any(entry.get("f", 0) & 31 for entry in answer.msgpack()["Entries"])

        mountpath("DELETE" if leave == "detach-mp" else "POST", leave)
        eventually(is_in_place, within_s=SOON_S)
        names.change()
        assert names.refused < 5
        cluster.stop()
        cluster.start()
        cluster.wait_ready()
        names.check()
        mountpath(*back)
        names.check()
        eventually(is_in_place, within_s=SOON_S)
        names.check()
