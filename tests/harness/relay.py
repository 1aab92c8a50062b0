"""A relay in front of a cluster's targets which breaks the first long answer: what a dying switch does to a client."""

import contextlib
import http.server
import json
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

from harness.wire import Api


class BreakingRelay:
    """Passes TCP connections to one target; closes the first one that has carried `after_bytes` of answer."""

    def __init__(self, target_url: str, after_bytes: int) -> None:
        split = urllib.parse.urlsplit(target_url)
        self._target = (split.hostname, split.port)
        self._left = after_bytes
        self._broken = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._spawn(self._accept)

    @property
    def broke(self) -> bool:
        """Whether a connection was cut."""
        return self._broken.is_set()

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    def close(self) -> None:
        """Close every socket and wait for every thread."""
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()

    def _spawn(self, function: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=function, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                self._spawn(self._pump, client, server, False)
                self._spawn(self._pump, server, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16_384):
                if answers and not self.broke:
                    self._left -= len(data)
                    if self._left < 0:
                        self._broken.set()
                        break
                sink.sendall(data)
            for one in (source, sink):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def in_front_of(endpoint: str, after_bytes: int) -> Iterator[tuple[str, list[BreakingRelay]]]:
    """An endpoint that serves only the cluster map, with every target's URL replaced by a relay's."""
    smap = Api(endpoint).smap()
    relays = []
    for snode in smap["tmap"].values():
        relays.append(BreakingRelay(snode["public_net"]["direct_url"], after_bytes))
        snode["public_net"]["direct_url"] = relays[-1].url
    body = json.dumps(smap).encode()

    class MapOnly(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), MapOnly) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", relays
        finally:
            server.shutdown()
            thread.join()
            for relay in relays:
                relay.close()
