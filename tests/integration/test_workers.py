"""A node of several processes is one node: what one does the others know, and the death of one loses nothing."""

import contextlib
import http.client
import os
import re
import signal
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
from harness.nodes import eventually, files_of
from harness.wire import Api, fresh_name, request

from ais.auth import pairs
from ais.s3 import via
from ais.s3.via import Via
from ais.testing import Cluster, Node

WORKERS = 2
MARK = "&pid=proxy0001&utm=1"
"""What a gateway adds to a redirect: a target takes a write only with it."""


@pytest.fixture(scope="module")
def crewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One proxy and one target, each of two workers and the process that controls them."""
    with Cluster(1, 1, 2, dir=tmp_path_factory.mktemp("crewed"), workers=str(WORKERS)) as running:
        yield running


@pytest.fixture
def bucket(crewed: Cluster) -> str:
    """A fresh bucket."""
    name = fresh_name("crew")
    assert Api(crewed.endpoint).create(name).status == 200
    return name


class Line:
    """One connection to a node that stays open."""

    def __init__(self, node: Node) -> None:
        host, port = node.url.removeprefix("http://").split(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self._connection.connect()

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request on it."""
        self._connection.request(method, target, body, headers or {})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        """End it."""
        self._connection.close()


@pytest.fixture
def lines(crewed: Cluster) -> Iterator[list[Line]]:
    """Four connections to the target, of which each worker has two."""
    opened = [Line(crewed.targets[0]) for _ in range(2 * WORKERS)]
    eventually(lambda: min(map(connections_of, workers_of(crewed.targets[0]))) >= WORKERS, within_s=60)
    yield opened
    for line in opened:
        line.close()


def connections_of(worker: psutil.Process) -> int:
    """How many clients it serves."""
    return sum(1 for one in worker.net_connections("tcp") if one.raddr)


def workers_of(node: Node) -> list[psutil.Process]:
    """Its workers."""
    return [one for one in psutil.Process(node.pid).children() if "ais_node.worker" in one.cmdline()]


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs: one that nobody waited for does not."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def counted(node: Node, name: str) -> int:
    """A counter of a node."""
    metrics = request(node.url, "GET", "/metrics").body.decode()
    found = re.search(rf"^ais_target_{name}\{{[^}}]*\}} ([0-9]+)", metrics, re.MULTILINE)
    assert found is not None
    return int(found[1])


def object_of(bucket: str, name: str) -> str:
    """Path and query of an object."""
    return f"/v1/objects/{bucket}/{name}?provider=ais"


def test_a_write_is_seen_by_the_next_request_on_any_worker(crewed, bucket, lines):
    """Also where the object before it is read so often that it is answered from memory."""
    before = counted(crewed.targets[0], "get_count")
    target, asked = object_of(bucket, "o"), 0
    for turn in range(40):
        content = b"%d" % turn
        assert lines[turn % len(lines)].ask("PUT", target + MARK, content)[0] == 200
        for _ in range(4):
            assert [line.ask("GET", target) for line in lines] == [(200, content)] * len(lines)
            asked += len(lines)
    assert counted(crewed.targets[0], "get_count") - before == asked


def test_both_apis_and_what_the_control_process_does_agree(crewed, bucket, lines):
    """What is deleted, appended or written over S3 by one process is so for every other."""
    native, s3 = object_of(bucket, "o"), f"/s3/{bucket}/o"
    for turn in range(10):
        one, other = lines[turn % 4], lines[(turn + 1) % 4]
        assert one.ask("PUT", s3, b"over S3")[0] == 200
        for line in lines:
            assert line.ask("GET", native) == (200, b"over S3")
        assert other.ask("PUT", native + MARK, b"native")[0] == 200
        for line in lines:
            assert line.ask("GET", s3) == (200, b"native")
        assert one.ask("DELETE", native + MARK)[0] == 200
        assert [line.ask("GET", native)[0] for line in lines] == [404] * 4
        assert [line.ask("GET", s3)[0] for line in lines] == [404] * 4


def test_a_change_that_was_passed_on_is_taken_once(crewed, bucket, lines):
    """What a gateway passed on, sent again to any process of the target, is refused, and nothing is written."""
    gateway, target = crewed.proxies[0], crewed.targets[0]
    smap = Api(gateway.url).call("GET", "/v1/daemon", {"what": "smap"}).json()
    public = smap["tmap"][target.id]["pub_keys"][0]
    own = pairs.load(str(gateway.plan.directory / "conf"))
    assert own is not None
    path = f"/s3/{bucket}/once"
    for turn in range(len(lines)):
        note = Via("127.0.0.1:1", "http", time_s=int(time.time()), to=target.id, by=gateway.id, nonce=os.urandom(12))
        sent = {via.HEADER: via.header(note, own.shared(public), "PUT", path)}
        order = lines[turn:] + lines[:turn]
        answers = [line.ask("PUT", path, b"%d" % number, sent) for number, line in enumerate(order)]
        assert [status for status, _ in answers] == [200, 403, 403, 403], answers
        assert all(b"received before" in body for _, body in answers[1:])
        assert order[-1].ask("GET", path) == (200, b"0")


def test_a_change_is_obeyed_by_every_worker_once_it_is_acknowledged(crewed, bucket, lines):
    """A bucket that is made, closed to writers, or destroyed is so for the next request on any worker."""
    api, target = Api(crewed.endpoint), object_of(bucket, "o")
    for _ in range(5):
        assert lines[0].ask("PUT", target + MARK, b"content")[0] == 200
        for _ in range(3):
            assert [line.ask("GET", target)[0] for line in lines] == [200] * 4
        assert api.destroy(bucket).status == 200
        assert [line.ask("GET", target)[0] for line in lines] == [404] * 4
        assert api.create(bucket).status == 200
        assert [line.ask("GET", target)[0] for line in lines] == [404] * 4
    changed = api.act("PATCH", f"/v1/buckets/{bucket}", "set-bprops", value={"access": "3"}, query={"provider": "ais"})
    assert changed.status == 200
    assert [line.ask("PUT", target + MARK, b"more")[0] for line in lines] == [403] * 4


def test_a_worker_that_is_killed_loses_nothing_that_was_acknowledged(crewed, bucket):
    """Writers go on through the deaths of workers; what was acknowledged is there, and no work file is left."""
    target = crewed.targets[0]
    is_over = threading.Event()
    writers = [Writer(target, bucket, number, is_over) for number in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(2):
        seen = [writer.acknowledged for writer in writers]
        victim = workers_of(target)[0]
        os.kill(victim.pid, signal.SIGKILL)
        eventually(lambda dead=victim: not is_alive(dead), within_s=30)
        for writer, acknowledged in zip(writers, seen, strict=True):
            writer.wait_for(acknowledged + 20)
        eventually(lambda: len(workers_of(target)) == WORKERS, within_s=60)
    is_over.set()
    for writer in writers:
        writer.join()
    assert not [writer.failure for writer in writers if writer.failure]
    crewed.wait_ready()
    for writer in writers:
        answer = request(target.url, "GET", object_of(bucket, writer.name))
        assert answer.status == 200
        assert writer.acknowledged <= int(answer.body) <= writer.sent
    assert not list(files_of(target.mountpaths, "wk"))


class Writer(threading.Thread):
    """Writes one object again and again, each time a larger number, and reads what it wrote."""

    def __init__(self, node: Node, bucket: str, number: int, is_over: threading.Event) -> None:
        super().__init__()
        self.name = f"o{number}"
        self.sent = self.acknowledged = 0
        self.failure = ""
        self._node, self._target, self._is_over = node, object_of(bucket, self.name), is_over

    def run(self) -> None:
        """Until it is over; a connection that breaks is opened again."""
        while not self._is_over.is_set() and not self.failure:
            try:
                with contextlib.closing(Line(self._node)) as line:
                    while not self._is_over.is_set() and not self.failure:
                        self._step(line)
            except (OSError, http.client.HTTPException):
                continue

    def wait_for(self, acknowledged: int) -> None:
        """Until so many writes were acknowledged, or one went wrong."""
        eventually(lambda: self.failure or self.acknowledged >= acknowledged, within_s=60)

    def _step(self, line: Line) -> None:
        self.sent += 1
        status, body = line.ask("PUT", self._target + MARK, b"%d" % self.sent)
        if status != 200:
            self.failure = f"PUT {self.sent}: {status} {body!r}"
            return
        self.acknowledged = self.sent
        status, body = line.ask("GET", self._target)
        if (status, body) != (200, b"%d" % self.sent):
            self.failure = f"GET after {self.sent}: {status} {body!r}"


def test_workers_end_with_their_node(crewed, bucket):
    """kill -9 of the control process takes its workers along, and the node comes back with new ones and all objects."""
    target = crewed.targets[0]
    assert request(target.url, "PUT", object_of(bucket, "o") + MARK, body=b"kept").status == 200
    before = workers_of(target)
    crewed.kill(target)
    eventually(lambda: not any(is_alive(one) for one in before), within_s=10)
    crewed.restart(target)
    crewed.wait_ready()
    assert {one.pid for one in workers_of(target)}.isdisjoint(one.pid for one in before)
    assert request(target.url, "GET", object_of(bucket, "o")).body == b"kept"


def test_a_worker_does_not_start_on_a_bare_mount_point(crewed):
    """A worker that died while a disk is not mounted is replaced when that is back; until then nothing is written."""
    target = crewed.targets[0]
    path = target.mountpaths[1]
    away = path.with_name("away")
    path.rename(away)
    path.mkdir()
    try:
        os.kill(workers_of(target)[0].pid, signal.SIGKILL)
        eventually(lambda: "worker cannot serve" in target.log_tail(), within_s=60)
        assert os.listdir(path) == []
    finally:
        path.rmdir()
        away.rename(path)
    crewed.wait_ready()
