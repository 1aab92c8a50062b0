"""What the client does when nodes go, come back, break off, or say that they cannot."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from aisclient import AISError, Client, Retry
from aisclient.errors import OutcomeUnknown, Unavailable, Unreachable
from harness.relay import in_front_of

from ais.testing import Cluster

QUICK = Retry(attempts=4, first_s=0.01)
PATIENT = Retry(attempts=200, first_s=0.05, max_s=0.5, total_s=100)


class Scripted:
    """A gateway that is target too and answers as told: a script takes method and path and gives what is sent, or
    None to break off.
    """

    def __init__(self, script: Callable[[str, str], bytes | None]) -> None:
        self.asked: list[str] = []
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        try:
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()
        except OSError:
            pass

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            while line := file.readline():
                method, path, _ = line.decode().split()
                length = 0
                while (header := file.readline().strip().lower()) != b"":
                    if header.startswith(b"content-length:"):
                        length = int(header[15:])
                body = file.read(length)
                if "what=smap" in path:
                    answer: bytes | None = reply(200, json.dumps(self._smap()).encode())
                else:
                    self.asked.append(f"{method} {path.partition('?')[0]} {body.decode()[:30]}".strip())
                    answer = self._script(method, path)
                if answer is None:
                    return
                connection.sendall(answer)

    def _smap(self) -> dict[str, object]:
        net = {"direct_url": self.url}
        return {
            "pmap": {"p1": {"daemon_id": "p1", "public_net": net}}, "tmap": {}, "version": "1", "uuid": "u",
        }  # fmt: skip


def reply(status: int, body: bytes = b"", headers: str = "") -> bytes:
    """An HTTP answer."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@contextmanager
def scripted(script: Callable[[str, str], bytes | None], retry: Retry = QUICK) -> Iterator[tuple[Scripted, Client]]:
    """Such a gateway and a client of it."""
    with closing(Scripted(script)) as server, Client(server.url, retry=retry) as client:
        yield server, client


def test_a_change_that_may_be_done_is_not_sent_again():
    """When the answer to a rename, an end of an upload or a creation is lost, the caller is told; it was sent once."""
    with scripted(lambda *_: None) as (server, client):
        obj = client.bucket("b").object("o")
        upload = obj.multipart_upload()
        for change in (lambda: obj.rename("x"), client.bucket("b").create, upload.complete):
            server.asked.clear()
            with pytest.raises(OutcomeUnknown):
                change()
            assert len(server.asked) == 1


def test_what_can_be_sent_again_is():
    """Reads, whole objects and deletions go on after broken connections and 503, up to the attempts that were set."""
    with scripted(lambda *_: None) as (server, client):
        bucket, obj = client.bucket("b"), client.bucket("b").object("o")
        for call in (obj.get, bucket.list_objects, bucket.head, obj.delete, lambda: obj.put(b"x")):
            server.asked.clear()
            with pytest.raises(Unreachable):
                call()
            assert len(server.asked) >= QUICK.attempts
    with scripted(lambda *_: reply(503)) as (server, client):
        with pytest.raises(Unavailable):
            client.bucket("b").object("o").get()
        assert len(server.asked) == QUICK.attempts
        server.asked.clear()
        with pytest.raises(Unavailable):
            client.bucket("b").create()
        assert len(server.asked) == 1
    with scripted(lambda *_: reply(400, b'{"message": "wrong", "tcode": "ErrX"}')) as (server, client):
        with pytest.raises(AISError, match="wrong") as caught:
            client.bucket("b").object("o").get()
        assert (caught.value.status, caught.value.tcode, len(server.asked)) == (400, "ErrX", 1)


def test_a_deletion_that_an_earlier_attempt_did():
    """404 to a deletion that was sent again means that it was done."""
    answers: list[bytes | None] = [None, reply(404, b'{"tcode": "ErrNotFound"}')]
    with scripted(lambda *_: answers.pop(0)) as (server, client):
        client.bucket("b").object("o").delete()
        assert len(server.asked) == 2


def test_a_body_goes_to_who_keeps_it():
    """The gateway is asked without the body; it is sent once, to where the gateway points."""
    target: list[str] = []

    def script(method: str, path: str) -> bytes:
        return reply(200) if "pid=" in path else reply(307, headers=f"Location: {target[0]}{path}&pid=x\r\n")

    with scripted(script) as (server, client):
        target.append(server.url)
        client.bucket("b").object("o").put(b"content")
        assert server.asked == ["PUT /v1/objects/b/o", "PUT /v1/objects/b/o content"]
    with scripted(lambda *_: reply(200)) as (server, client):  # who answers without a redirect gets it too
        client.bucket("b").object("o").put(b"content")
        assert server.asked == ["PUT /v1/objects/b/o", "PUT /v1/objects/b/o content"]


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", reply(200, b"x" * 10)[:-5], b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
               b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
               b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000]
)  # fmt: skip
def test_broken_answers(answer: bytes):
    """What is no answer, or ends too early, or never ends its head, is an error of its own class, never content."""

    class Breaking(Scripted):
        def _serve(self, connection: socket.socket) -> None:
            with connection:
                data = connection.recv(65536)
                if b"what=smap" in data:
                    connection.sendall(reply(200, json.dumps(self._smap()).encode(), "Connection: close\r\n"))
                else:
                    connection.sendall(answer)

    with (
        closing(Breaking(lambda *_: None)) as server,
        Client(server.url, retry=QUICK) as client,
        pytest.raises(Unreachable),
    ):
        client.bucket("b").object("o").get()


def test_the_token_goes_to_the_cluster_alone():
    """A redirect to a host that is no node of the cluster does not get the token."""
    heads: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as elsewhere:
        port = elsewhere.getsockname()[1]

        def answer() -> None:
            connection, _ = elsewhere.accept()
            with connection:
                heads.append(connection.recv(65536))
                connection.sendall(reply(200, b"x", "Connection: close\r\n"))

        threading.Thread(target=answer, daemon=True).start()
        moved = reply(301, headers=f"Location: http://127.0.0.1:{port}/v1/objects/b/o\r\n")
        with closing(Scripted(lambda *_: moved)) as server, Client(server.url, token="secret") as client:
            assert client.bucket("b").object("o").get() == b"x"
    assert b"authorization" not in heads[0].lower()
    assert "secret" not in repr(client.settings)


def test_a_stream_goes_on_where_it_broke(cluster, bck):
    """When the connection to a target breaks in the middle, what was read stays, the rest follows, all is verified."""
    content = bytes(range(256)) * 8000
    bck.object("a").put(content)
    for read in (lambda obj: b"".join(obj.get_reader(chunk_size=10_000)), lambda obj: obj.get(),
                 lambda obj: obj.get_reader(num_workers=2).read_all()):  # fmt: skip
        with in_front_of(cluster.endpoint, 300_000) as (endpoint, relays), Client(endpoint, retry=QUICK) as client:
            assert read(client.bucket(bck.name).object("a")) == content
            assert any(relay.broke for relay in relays)


@pytest.mark.timeout(300)
def test_nodes_come_and_go():
    """A client that knows the cluster goes on through the death of a gateway, of a target, and their return."""
    with Cluster(proxies=2, targets=2, mountpaths=1) as cluster:
        first, second = cluster.proxies
        with Client(f"{first.url},{second.url}", retry=PATIENT) as client:
            bucket = client.bucket("b").create()
            names = [f"o{i}" for i in range(20)]
            for name in names:
                bucket.object(name).put(name.encode())
            cluster.kill(first)
            bucket.object("new").put(b"new")
            assert [entry.name for entry in bucket.list_objects_iter()] == sorted([*names, "new"])
            target = cluster.targets[0]
            cluster.kill(target)
            back = threading.Thread(target=lambda: cluster.restart(target))
            back.start()
            try:
                for name in names:
                    assert bucket.object(name).get() == name.encode()
            finally:
                back.join()
            cluster.restart(first)
            cluster.wait_ready()
            assert dict(bucket.get_many(names)) == {name: name.encode() for name in names}
