"""A disk is lost under load: nothing says healthy or done before all is there again, and the time left is told rightly;
a scrub heals either copy of each of a thousand objects.

`OBJECTS` says how many objects the disk test has (default 100000, a repair of some minutes).
"""

import asyncio
import http.client
import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from harness.laying import lay
from harness.meanwhile import Meanwhile
from harness.nodes import eventually
from harness.wire import Api

from ais.api.bucket import Bck
from ais.api.xact import RESILVER, time_ns_of
from ais.client.body import BytesBody
from ais.client.client import Client
from ais.testing import Cluster

OBJECTS = int(os.environ.get("OBJECTS", "100000"))
BODY = os.urandom(4096)
HEALTHY = 6
RESILVER_SOON_S = 60
REPAIR_S_MAX = 3600
TOLERANCE = 0.3
SLACK_S = 5.0
"""Of a prediction: samples are a second apart."""


class Sample(NamedTuple):
    """What the cluster said at one moment."""

    at_s: float
    state: str
    flags: int
    metric: int
    is_done: bool
    """Whether the repair's job says that it has ended well."""
    left_s: float | None
    """How long it will take, as the command line tells it."""


def name_of(number: int) -> str:
    return f"d{number % 100}/o{number}"


def fill(endpoint: str, count: int) -> None:
    """Put so many objects."""

    async def put_all() -> None:
        async with Client(endpoint) as client:
            numbers = iter(range(count))

            async def work() -> None:
                for number in numbers:
                    await client.objects.put(Bck("b"), name_of(number), BytesBody(BODY))

            await asyncio.gather(*(work() for _ in range(32)))

    asyncio.run(put_all())


class Readers(Meanwhile):
    """Clients that read while the repair goes on."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self.count = 0
        self.wrong: list[str] = []
        super().__init__(*(partial(self._read, number) for number in range(4)))

    def _read(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=60)
        while not self.ended.is_set():
            number = (number * 7919 + 104729) % OBJECTS
            connection.request("GET", f"/s3/b/{name_of(number)}")
            answer = connection.getresponse()
            body = answer.read()
            self.count += 1
            if answer.status != 503 and body != BODY:
                self.wrong.append(f"o{number}: {answer.status}")
            time.sleep(0.02)
        connection.close()


def look(api: Api, node_id: str, began_s: float) -> Sample:
    """Ask everything that tells how the cluster is."""
    protection = api.call("GET", "/v1/cluster", {"what": "protection"}).json()
    status = api.of_node(node_id, "node_status").json()
    answer = api.call("GET", "/v1/cluster", {"what": "qryxstats"}, body=json.dumps({"kind": RESILVER}).encode())
    snaps: list[dict[str, Any]] = [snap for snaps in answer.json().values() for snap in snaps]
    snaps = [one for one in snaps if time_ns_of(one["start-time"]) > began_s * 1e9]
    last = snaps[-1] if snaps else None
    is_ended = last is not None and not last["end-time"].startswith("0001")
    left_s = None
    if last is not None and not is_ended:
        left_s = last.get("progress", {}).get("left_s")
    is_done = last is not None and is_ended and not (last["err"] or last["aborted"])
    flags = int(status["cluster"]["flags"])
    return Sample(time.time(), protection["state"], flags, int(status["tracker"]["state.flags"]), is_done, left_s)


def files(mountpaths: list[Path]) -> int:
    """How many objects and copies lie on the disks."""
    roots = [path / "@ais" / "b" / content for path in mountpaths for content in ("%ob", "%cp")]
    return sum(len(names) for root in roots for _, _, names in os.walk(root))


def test_nothing_says_healthy_before_all_is_there_again(tmp_path: Path) -> None:
    """Asked every second: protection, state flags, metrics and the job; and the time left is right within 30 %."""
    with Cluster(proxies=1, targets=1, mountpaths=3) as cluster:
        api, node = Api(cluster.endpoint), cluster.targets[0]
        assert api.create("b").status == 200
        fill(cluster.endpoint, 1)
        lay([node], "b", (name_of(number) for number in range(1, OBJECTS)), like=name_of(0))
        change = {"action": "set-bprops", "value": {"mirror": {"enabled": True, "copies": 2}}}
        assert api.call("PATCH", "/v1/buckets/b", body=json.dumps(change).encode()).status == 200
        eventually(lambda: look(api, node.id, 0)[1:3] == ("ok", HEALTHY), within_s=REPAIR_S_MAX)
        assert files(list(node.mountpaths)) == 2 * OBJECTS
        victim, spare, gone = node.mountpaths[1], tmp_path / "spare", tmp_path / "gone"
        spare.mkdir()
        gone.mkdir()  # ext4 looks past inodes deleted lately: deleting here would slow the repair's disks for minutes
        mountpaths = [*(path for path in node.mountpaths if path != victim), spare]
        with Readers(cluster.endpoint) as readers:
            began_s = time.time()
            for path in list(victim.iterdir()):
                path.rename(gone / path.name)
            samples = [look(api, node.id, began_s)]
            for method, action, path in (("DELETE", "detach-mp", victim), ("PUT", "attach-mp", spare)):
                body = json.dumps({"action": action, "value": str(path)}).encode()
                headers = {"Ais-Node-Id": node.id}
                answer = api.call(method, "/v1/reverse/daemon/mountpaths", body=body, headers=headers)
                assert answer.status == 200, answer.error
            while True:
                samples.append(look(api, node.id, began_s))
                said = samples[-1]
                if said.state == "ok" or said.flags == HEALTHY or said.is_done:
                    assert files(mountpaths) == 2 * OBJECTS, said
                if said.state == "ok" and said.flags == HEALTHY and said.is_done:
                    break
                assert said.at_s - began_s < REPAIR_S_MAX, said
                time.sleep(1)
        assert readers.wrong == []
        assert readers.count > 100
        check_predictions(samples)


def check_predictions(samples: list[Sample]) -> None:
    """From a fifth of the repair on, how long it would take was told rightly."""
    ended_s = next(one.at_s for one in samples if one.is_done)
    began_s = next(one.at_s for one in samples if one.left_s is not None)
    told = [one for one in samples if one.left_s is not None and one.at_s > began_s + (ended_s - began_s) / 5]
    errors = [(one.left_s or 0) - (ended_s - one.at_s) for one in told]
    print(f"repair of {ended_s - began_s:.0f} s; predictions were off by {[round(error, 1) for error in errors]} s")
    for one, error in zip(told, errors, strict=True):
        assert abs(error) <= TOLERANCE * (ended_s - one.at_s) + SLACK_S, (one, error)


def test_a_scrub_heals_either_copy_of_each_of_a_thousand_objects() -> None:
    """Of each either its file or its copy is deleted or damaged: all reads are exact, and a scrub mends everything."""
    count = 1000
    with Cluster(proxies=1, targets=1, mountpaths=2) as cluster:
        api, node = Api(cluster.endpoint), cluster.targets[0]
        assert api.create("b", {"mirror": {"enabled": True, "copies": 2}}).status == 200
        fill(cluster.endpoint, count)
        eventually(lambda: files(list(node.mountpaths)) == 2 * count, within_s=RESILVER_SOON_S)
        for number in range(count):
            content = ("%ob", "%cp")[number % 2]
            name = f"@ais/b/{content}/d{number % 100}/o{number}"
            victim = next(path / name for path in node.mountpaths if (path / name).exists())
            if number % 3:
                victim.write_bytes(BODY[:2000] + bytes([BODY[2000] ^ 1]) + BODY[2001:])
            else:
                victim.unlink()
        for number in range(0, count, 7):
            assert api.get("b", name_of(number)).body == BODY
        body = json.dumps({"action": "start", "value": {"kind": "scrub"}}).encode()
        uuid = api.call("PUT", "/v1/cluster", body=body).body.decode()
        query = json.dumps({"id": uuid}).encode()

        def status() -> dict[str, Any]:
            return dict(api.call("GET", "/v1/cluster", {"what": "status"}, body=query).json())

        eventually(lambda: status()["end_time"], within_s=REPAIR_S_MAX)
        assert status()["err"] == ""
        for number in range(count):
            for content in ("%ob", "%cp"):
                name = f"@ais/b/{content}/d{number % 100}/o{number}"
                assert [path.read_bytes() for root in node.mountpaths if (path := root / name).exists()] == [BODY]
