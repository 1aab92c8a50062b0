"""A receiver of bucket notifications on a real socket, which can be away or refuse for a while."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote_plus


class Receiver(ThreadingHTTPServer):
    """Keeps the records that came, in their order, and test events apart. `refuses`: it answers 503."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.records: list[dict[str, Any]] = []
        self.tests: list[dict[str, str]] = []
        self.refuses = False
        self.refused = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"

    def events(self, bucket: str) -> list[tuple[str, str, str]]:
        """Event, key and sequencer of each record of a bucket."""
        with self.lock:
            records = list(self.records)
        return [
            (one["eventName"], unquote_plus(one["s3"]["object"]["key"]), one["s3"]["object"]["sequencer"])
            for one in records
            if one["s3"]["bucket"]["name"] == bucket
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            if self.server.refuses:
                self.server.refused += 1
            elif "Records" in message:
                self.server.records += message["Records"]
            else:
                self.server.tests.append(message)
        self.send_response(503 if self.server.refuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def receiver() -> Iterator[Receiver]:
    """One that listens."""
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
