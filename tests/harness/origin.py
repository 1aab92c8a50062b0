"""A web server with files as downloads meet them: slow, cut short, refusing for a while, changing."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

LARGE = bytes(range(256)) * (12 << 10)
"""3 MiB: more than one piece."""
CHANGED = LARGE[::-1]


class Origin(ThreadingHTTPServer):
    """`asked` counts requests by path; `ranges` are the ranges asked for; `gate` holds `/slow` until it is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.seen: list[dict[str, str]] = []
        self.gate = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origin

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        with self.server.lock:
            self.server.asked[path] += 1
            count = self.server.asked[path]
            self.server.seen.append(dict(self.headers.items()))
            if "Range" in self.headers:
                self.server.ranges.append(self.headers["Range"])
        name = path.rpartition("/")[2]
        if name.startswith("f") and name.endswith(".txt"):
            self._send(200, f"this is {name}".encode(), ETag=f'"{name.encode().hex()}"')
        elif name == "flaky":
            self._send(*((503, b"") if count < 3 else (200, b"at last")))
        elif name == "cut":
            self._cut(count)
        elif name in ("changed", "changed-untold"):
            self._changed(count, tells=name == "changed")
        elif name == "slow":
            self._slow()
        elif name == "wrong-md5":
            self._send(200, b"not that", **{"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="})
        elif name == "by-query":
            self._by_query(self.path.partition("?")[2])
        elif name == "inside":
            self._send(302, b"", Location="http://169.254.169.254/latest/meta-data")
        elif name == "moved":
            self._send(302, b"", Location=f"{self.server.url}/f7.txt")
        else:
            self._send(404, b"")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        if headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
            status, body = 304, b""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _by_query(self, query: str) -> None:
        """A file for each query, older ones for later ones; without tags."""
        modified = f"Sun, 29 Nov 2026 00:00:{59 - len(query):02} GMT"
        is_known = self.headers.get("If-Modified-Since", "") >= modified
        self._send(304 if is_known else 200, b"" if is_known else query.encode(), **{"Last-Modified": modified})

    def _cut(self, count: int) -> None:
        """The first answer breaks off in the middle; then the rest can be had."""
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(LARGE) - 1}/{len(LARGE)}")
        self.send_header("ETag", '"large"')
        self.send_header("Content-Length", str(len(LARGE) - start))
        self.end_headers()
        self.wfile.write(LARGE[start : start + (len(LARGE) // 2 if count == 1 else len(LARGE))])
        if count == 1:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)

    def _changed(self, count: int, *, tells: bool) -> None:
        """Breaks off in the middle, is another file of the same size from then on, and knows nothing of If-Range.

        Unless it `tells`, its rest has no ETag.
        """
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        body = LARGE if count == 1 else CHANGED
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if tells or not start:
            self.send_header("ETag", '"first"' if count == 1 else '"second"')
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : len(body) // 2 if count == 1 else len(body)])
        if count == 1:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)

    def _slow(self) -> None:
        """Half of a kilobyte, the rest when the gate opens."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"s" * 500)
        self.wfile.flush()
        self.server.gate.wait(60)
        self.wfile.write(b"s" * 500)


@contextmanager
def origin() -> Iterator[Origin]:
    """One that runs."""
    with Origin() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.gate.set()
            server.shutdown()
            thread.join()
