"""A target joins under load, another one leaves: no request fails, nothing is lost, wrong or brought back."""

import random
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from harness.joining import another_target, objects_on
from harness.meanwhile import Meanwhile
from harness.nodes import eventually
from harness.wire import Answer, Api, message

from ais.meta.placement import Candidates
from ais.meta.smap import digest
from ais.testing import Cluster

FAST = {"keepalivetracker.proxy.interval": "500ms", "keepalivetracker.target.interval": "500ms"}
NAMES = [f"d{number % 7}/o{number:04}" for number in range(600)]
SOON_S = 90


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two proxies, three targets."""
    with Cluster(proxies=2, targets=3, mountpaths=1, config_overrides=FAST) as running:
        yield running


def moving(api: Api) -> str:
    """ID of the rebalance that goes on."""
    return str((api.smap().get("ext") or {}).get("id", ""))


def settled(api: Api) -> None:
    eventually(lambda: not moving(api), within_s=SOON_S)


class Load(Meanwhile):
    """Clients, each with names of its own, that know what they were promised. Retries a 503, as clients do."""

    def __init__(self, url: str, bucket: str) -> None:
        self.url, self.bucket = url, bucket
        self.stored: dict[str, bytes | None] = {name: name.encode() for name in NAMES}
        self.problems: list[str] = []
        self.counts = {"read": 0, "write": 0, "delete": 0, "list": 0}
        kept, written, deleted = NAMES[:400], NAMES[400:500], NAMES[500:]
        work = [lambda: self._reads(kept)] * 3 + [lambda: self._writes(written), lambda: self._deletes(deleted)]
        super().__init__(*(partial(self._run, one) for one in [*work, lambda: self._lists(kept)]))

    def _run(self, work: Callable[[], None]) -> None:
        while not self.ended.is_set():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - told at the end
                self.problems.append(repr(error))
                return

    def _try(self, call: Callable[[], Answer]) -> Answer:
        for _ in range(20):
            answer = call()
            if answer.status != 503:
                break
            time.sleep(0.1)
        return answer

    def _expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.problems.append(f"{what}: {found!r:.200}, expected {wanted!r:.200}")

    def _reads(self, names: list[str]) -> None:
        name = random.choice(names)
        answer = self._try(lambda: Api(self.url).get(self.bucket, name))
        self._expect(f"GET {name}", (answer.status, answer.body), (200, name.encode()))
        self.counts["read"] += 1

    def _writes(self, names: list[str]) -> None:
        name, data = random.choice(names), random.randbytes(2000)
        answer = self._try(lambda: Api(self.url).put(self.bucket, name, data))
        self._expect(f"PUT {name}", answer.status, 200)
        self.stored[name] = data
        answer = self._try(lambda: Api(self.url).get(self.bucket, name))
        self._expect(f"GET {name}", (answer.status, answer.body), (200, data))
        self.counts["write"] += 1

    def _deletes(self, names: list[str]) -> None:
        left = [name for name in names if self.stored[name] is not None]
        if not left:
            time.sleep(0.05)
            return
        name = random.choice(left)
        self.stored[name] = None
        answer = self._try(lambda: Api(self.url).delete(self.bucket, name))
        self._expect(f"DELETE {name}", answer.status, 200)
        answer = self._try(lambda: Api(self.url).get(self.bucket, name))
        self._expect(f"GET {name}", answer.status, 404)
        self.counts["delete"] += 1

    def _lists(self, names: list[str]) -> None:
        found: list[str] = []
        token = ""
        while True:
            answer = self._try(partial(Api(self.url).page, self.bucket, pagesize=90, continuation_token=token))
            if answer.status != 200:
                return self._expect("LIST", answer.status, 200)
            page = answer.msgpack()
            found += [entry["n"] for entry in page["Entries"] or []]
            token = page["ContinuationToken"]
            if not token:
                break
        self._expect("LIST in order without doubles", found, sorted(set(found)))
        self._expect("LIST misses", sorted(set(names) - set(found)), [])
        self.counts["list"] += 1
        return None

    def check(self) -> None:
        """Everything is as promised."""
        assert not self.problems, self.problems[:5]
        assert all(self.counts.values()), self.counts
        for name, data in self.stored.items():
            answer = Api(self.url).get(self.bucket, name)
            assert (answer.status, data is None or answer.body) == (404 if data is None else 200, data is None or data)
        assert Api(self.url).names(self.bucket) == sorted(
            name for name, data in self.stored.items() if data is not None
        )


def filled(cluster: Cluster, bucket: str, names: list[str] = NAMES) -> Api:
    api = Api(cluster.endpoint)
    assert api.create(bucket).status == 200
    for name in names:
        assert api.put(bucket, name, name.encode()).status == 200
    return api


def test_join_and_decommission_under_load(cluster: Cluster) -> None:
    """A fourth target joins and gets its share; then it is decommissioned and holds nothing; clients notice neither."""
    api = filled(cluster, "b")
    with Load(cluster.endpoint, "b") as load, another_target(cluster) as (plan, node_id):
        settled(api)
        held = len(objects_on(plan))
        assert len(NAMES) / 4 * 0.6 < held < len(NAMES) / 4 * 1.4
        body = message("decommission-node", value={"sid": node_id})
        answer = api.call("PUT", "/v1/cluster", body=body)
        assert answer.status == 200
        assert answer.body.startswith(b"g")
        eventually(lambda: node_id not in api.smap()["tmap"], within_s=SOON_S)
        assert objects_on(plan) == []
    load.check()


def test_maintenance_and_back(cluster: Cluster) -> None:
    """A target in maintenance gives all away, may be stopped meanwhile, and gets its names back."""
    api = filled(cluster, "m")
    node = cluster.targets[1]
    for action, is_empty in (("start-maintenance", True), ("stop-maintenance", False)):
        answer = api.call("PUT", "/v1/cluster", body=message(action, value={"sid": node.id}))
        assert answer.status == 200
        settled(api)
        assert (objects_on(node.plan) == []) is is_empty
        assert all(api.get("m", name).body == name.encode() for name in NAMES)
        assert api.names("m") == sorted(NAMES)


@pytest.mark.parametrize("victim", ["source", "primary"])
def test_a_rebalance_goes_on_after_a_crash(cluster: Cluster, victim: str) -> None:
    """kill -9 of a target that gives, or of the primary, while objects move: all is where it belongs in the end."""
    bucket = f"k-{victim}"
    api = filled(cluster, bucket)
    with another_target(cluster, f"extra-{victim}") as (plan, node_id):
        primary = next(one for one in cluster.proxies if one.id == api.smap()["proxy_si"]["daemon_id"])
        node = cluster.targets[0] if victim == "source" else primary
        cluster.kill(node)
        cluster.restart(node)
        api = Api(cluster.endpoint)
        settled(api)
        assert objects_on(plan)
        for name in NAMES:
            answer = eventually_get(api, bucket, name)
            assert (answer.status, answer.body) == (200, name.encode())
        assert api.names(bucket) == sorted(NAMES)
        assert api.call("PUT", "/v1/cluster", body=message("decommission-node", value={"sid": node_id})).status == 200
        eventually(lambda: node_id not in api.smap()["tmap"], within_s=SOON_S)
        assert objects_on(plan) == []
    assert api.names(bucket) == sorted(NAMES)


def eventually_get(api: Api, bucket: str, name: str) -> Answer:
    """A GET, again after each 503."""
    eventually(lambda: api.get(bucket, name).status != 503, within_s=SOON_S)
    return api.get(bucket, name)


def test_what_was_given_up_does_not_come_back() -> None:
    """A dead target that was given up is refused when it returns with what it held: it may be old."""
    with Cluster(proxies=1, targets=2, mountpaths=1, config_overrides=FAST) as cluster:
        api = filled(cluster, "g")
        node = cluster.targets[0]
        cluster.kill(node)
        eventually(lambda: int(api.smap()["tmap"][node.id].get("flags", 0)), within_s=SOON_S)
        assert api.call("PUT", "/v1/cluster", body=message("decommission-node", value={"sid": node.id})).status == 200
        eventually(lambda: node.id not in api.smap()["tmap"], within_s=SOON_S)
        settled(api)
        gone = [name for name in NAMES if api.get("g", name).status == 404]
        assert gone
        cluster.start()
        eventually(lambda: not node.alive, within_s=SOON_S)
        assert "was taken out of this cluster" in node.log_tail()
        assert all(api.get("g", name).status == 404 for name in gone)


def test_what_lies_on_a_disabled_mountpath_is_waited_for() -> None:
    """A target joins while another one has a mountpath out of use, with objects: nobody says that these do not exist,
    the others are served, and the rebalance ends when the mountpath is back."""
    with Cluster(proxies=1, targets=2, mountpaths=2, config_overrides=FAST) as cluster:
        names = NAMES[:150]
        api, node = filled(cluster, "hidden", names), cluster.targets[0]

        def change(method: str, action: str) -> None:
            headers, body = {"Ais-Node-Id": node.id}, message(action, value=str(node.mountpaths[1]))
            path = "/v1/reverse/daemon/mountpaths"
            answer = api.call(method, path, {"dntres": "true"}, body=body, headers=headers)
            assert answer.status == 200, answer.error

        def hidden() -> set[str]:
            root = node.mountpaths[1] / "@ais" / "hidden" / "%ob"
            return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}

        away = hidden()
        assert 5 < len(away) < len(names)
        change("POST", "disable-mp")
        with another_target(cluster) as (plan, extra):
            eventually(lambda: len(objects_on(plan)) > 10, within_s=SOON_S)
            ids = [extra, *(one.id for one in cluster.targets)]
            owners = Candidates([digest(one) for one in ids])
            now_extras = [name for name in away if ids[owners.best(digest(f"ais/@#/hidden/{name}"))] == extra]
            statuses = {name: eventually_get(api, "hidden", name).status for name in set(names) - away}
            assert set(statuses.values()) == {200}
            assert api.get("hidden", now_extras[0]).status == 503
            assert moving(api)
            change("POST", "enable-mp")
            settled(api)
            for name in names:
                answer = eventually_get(api, "hidden", name)
                assert (answer.status, answer.body) == (200, name.encode())
            held = {str(path).partition("%ob/")[2] for path in objects_on(plan)}
            assert not hidden() & held
