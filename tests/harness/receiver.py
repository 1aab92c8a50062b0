"""A receiver of bucket notifications on a real socket, which can be away or refuse for a while."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote_plus


class Taken:
    """What came: records in their order, and test events apart. `refuses`: nothing is taken."""

    kind = "webhook"
    url: str

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.tests: list[dict[str, str]] = []
        self.refuses = False
        self.refused = 0
        self.lock = threading.Lock()

    @property
    def arn(self) -> str:
        """Of the receiver that the cluster calls `hook`."""
        return f"arn:ais:sqs::hook:{self.kind}"

    def take(self, body: bytes) -> bool:
        """Keep a message, unless this one refuses."""
        message = json.loads(body)
        with self.lock:
            if self.refuses:
                self.refused += 1
                return False
            if "Records" in message:
                self.records += message["Records"]
            else:
                self.tests.append(message)
            return True

    def events(self, bucket: str) -> list[tuple[str, str, str]]:
        """Event, key and sequencer of each record of a bucket."""
        with self.lock:
            records = list(self.records)
        return [
            (one["eventName"], unquote_plus(one["s3"]["object"]["key"]), one["s3"]["object"]["sequencer"])
            for one in records
            if one["s3"]["bucket"]["name"] == bucket
        ]


class Receiver(ThreadingHTTPServer, Taken):
    """One of HTTP: it answers 503 when it refuses."""

    daemon_threads = True

    def __init__(self) -> None:
        Taken.__init__(self)
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        is_taken = self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if is_taken else 503)
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
