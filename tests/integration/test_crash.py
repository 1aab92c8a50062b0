"""kill -9 of everything during a PUT load: what was acknowledged is there, what was not is whole or absent."""

import asyncio
import io
import itertools
import random
from collections import defaultdict
from collections.abc import Iterator

import aiohttp
import pytest
from harness.load import bytes_of, check_all, object_url, put_all, session
from harness.nodes import eventually, files_of
from harness.wire import Api

from ais.testing import Cluster

ACKNOWLEDGED_MIN = 400
SIZES = [0, 100, 4096, 4096, 20_000, 65_536, 300_000, 1_000_000]


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A cluster that will be killed: two proxies, three targets."""
    with Cluster(proxies=2, targets=3, mountpaths=2, dir=tmp_path_factory.mktemp("doomed")) as running:
        yield running


def body_of(name: str, turn: int) -> bytes:
    """The bytes of the `turn`-th PUT of a name."""
    source = random.Random(f"{name}/{turn}")
    return source.randbytes(source.choice(SIZES))


class Load:
    """Writers that put and overwrite until the cluster dies, and remember what was attempted and acknowledged."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        self.endpoint, self.bucket = endpoint, bucket
        self.acknowledged: dict[str, int] = {}
        self.attempted: dict[str, list[int]] = defaultdict(list)
        self.acknowledgements = 0
        self.enough = asyncio.Event()

    async def run(self, kill: object) -> None:
        """Put from 12 writers; when enough is acknowledged call `kill()`, and end when every writer met the end."""
        async with session(20) as client, asyncio.TaskGroup() as group:
            for writer in range(12):
                group.create_task(self._write(client, writer))
            await self.enough.wait()
            await asyncio.to_thread(kill)

    async def _write(self, client: aiohttp.ClientSession, writer: int) -> None:
        try:
            for turn in itertools.count():
                # Every third PUT overwrites an earlier name of this writer: only one writer puts a name.
                name = f"w{writer}/o{turn // 3 if turn % 3 == 2 else turn}"
                self.attempted[name].append(turn)
                url = object_url(self.endpoint, self.bucket, name)
                async with client.put(url, data=io.BytesIO(body_of(name, turn))) as answer:
                    if answer.status != 200:
                        return
                self.acknowledged[name] = turn
                self.acknowledgements += 1
                if self.acknowledgements >= ACKNOWLEDGED_MIN:
                    self.enough.set()
        except (aiohttp.ClientError, TimeoutError):
            return


def check(api: Api, bucket: str, load: Load) -> None:
    """Acknowledged objects have their bytes (or those of a later attempt); unacknowledged ones are whole or absent."""
    for name, attempts in load.attempted.items():
        answer = api.get(bucket, name)
        last = load.acknowledged.get(name)
        if last is None and answer.status == 404:
            continue
        assert answer.status == 200, (name, attempts, last, answer)
        possible = [turn for turn in attempts if last is None or turn >= last]
        assert answer.body in [body_of(name, turn) for turn in possible], (name, attempts, last, len(answer.body))
    listed = set(api.names(bucket))
    assert set(load.acknowledged) <= listed <= set(load.attempted)


def test_kill_everything_during_a_put_load(doomed):
    """After kill -9 of all nodes and a restart: every acknowledged byte, no partial object, no work file."""
    api = Api(doomed.endpoint)
    assert api.create("loaded").status == 200
    load = Load(doomed.endpoint, "loaded")

    def kill_all() -> None:
        for node in doomed.nodes:
            doomed.kill(node)

    asyncio.run(load.run(kill_all))
    assert not any(node.alive for node in doomed.nodes)
    print(f"\n{load.acknowledgements} PUTs acknowledged before the kill, {len(load.attempted)} names attempted")
    doomed.start()
    doomed.wait_ready(30)
    check(Api(doomed.endpoint), "loaded", load)
    mountpaths = [path for node in doomed.targets for path in node.mountpaths]
    eventually(lambda: not list(files_of(mountpaths, "wk")), within_s=10)
    assert {node.id for node in doomed.nodes} == {
        *Api(doomed.endpoint).smap()["pmap"],
        *Api(doomed.endpoint).smap()["tmap"],
    }


def test_kill_everything_during_bucket_changes(doomed):
    """A bucket whose creation was acknowledged exists after the crash; one whose destruction was does not."""
    api = Api(doomed.endpoint)
    uuid, version = api.smap()["uuid"], int(api.smap()["version"])
    for number in range(6):
        assert api.create(f"crash-{number}").status == 200
    for number in range(3):
        assert api.destroy(f"crash-{number}").status == 200
    for node in doomed.nodes:
        doomed.kill(node)
    doomed.start()
    doomed.wait_ready(30)
    api = Api(doomed.endpoint)
    assert api.smap()["uuid"] == uuid
    assert int(api.smap()["version"]) >= version
    for node in doomed.nodes:
        known = Api(node.url).call("GET", "/v1/daemon", {"what": "bmd"}).json()["providers"]["ais"]["@#"]
        assert {name for name in known if name.startswith("crash-")} == {"crash-3", "crash-4", "crash-5"}


def test_stop_and_start_keep_everything(doomed):
    """A clean stop and start keeps nodes, buckets, properties, settings, objects and their metadata."""
    api = Api(doomed.endpoint)
    api.create("clean", {"checksum": {"type": "md5"}})
    api.put("clean", "dir/o", b"first")
    api.put("clean", "dir/o", b"second", {"Ais-Custom-Md": "k=v"})
    assert api.call("PUT", "/v1/cluster/set-config", {"log.level": "4"}).status == 200
    before = [(h, api.head("clean", "dir/o").header(h)) for h in ("Ais-Version", "Ais-Checksum-Value", "Ais-Custom-Md")]
    ids = [node.id for node in doomed.nodes]
    doomed.stop()
    assert not any(node.alive for node in doomed.nodes)
    doomed.start()
    doomed.wait_ready(30)
    api = Api(doomed.endpoint)
    assert [node.id for node in doomed.nodes] == ids
    assert api.get("clean", "dir/o").body == b"second"
    assert [(h, api.head("clean", "dir/o").header(h)) for h, _ in before] == before
    assert api.put("clean", "new", b"x").header("Ais-Checksum-Type") == "md5"
    assert all(api.of_node(node_id, "config").json()["log"]["level"] == "4" for node_id in ids)


def test_append_survives_a_crash_or_says_so(doomed):
    """A handle from before a crash either continues with its bytes or is refused; never a shorter object."""
    api = Api(doomed.endpoint)
    api.create("appended")
    query = {"provider": "ais", "append_type": "append", "append_handle": ""}
    handle = api.call("PUT", "/v1/objects/appended/log", query, body=b"before,").header("Ais-Append-Handle")
    for node in doomed.nodes:
        doomed.kill(node)
    doomed.start()
    doomed.wait_ready(30)
    api = Api(doomed.endpoint)
    answer = api.call("PUT", "/v1/objects/appended/log", {**query, "append_handle": handle}, body=b"after")
    if answer.status == 200:
        handle = answer.header("Ais-Append-Handle")
        flush = {"provider": "ais", "append_type": "flush", "append_handle": handle}
        assert api.call("PUT", "/v1/objects/appended/log", flush).status == 200
        assert api.get("appended", "log").body == b"before,after"
    else:
        assert answer.status == 404
        assert api.get("appended", "log").status == 404


def test_kill_everything_during_a_rename(doomed):
    """A rename that was acknowledged goes on after the crash: every object under the new name, the old name gone."""
    api = Api(doomed.endpoint)
    assert api.create("old-name").status == 200
    names = [f"dir{number % 5}/o{number:04}" for number in range(600)]
    put_all(doomed.endpoint, "old-name", names, bytes_of)
    assert api.act("POST", "/v1/buckets/old-name", "move-bck", query={"bck_to": "ais/@#/new-name/"}).status == 200
    for node in doomed.nodes:
        doomed.kill(node)
    doomed.start()
    doomed.wait_ready(30)
    api = Api(doomed.endpoint)
    eventually(lambda: api.call("HEAD", "/v1/buckets/old-name").status == 404, within_s=40)
    check_all(doomed.endpoint, "new-name", names, bytes_of)
    assert api.names("new-name") == sorted(names)
    mountpaths = [path for node in doomed.targets for path in node.mountpaths]
    assert not [path for path in files_of(mountpaths, "ob") if "old-name" in path.parts]
