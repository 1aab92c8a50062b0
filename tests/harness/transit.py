"""A server that speaks what is documented of Vault's transit engine: keys with versions, data keys, a token."""

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Transit(ThreadingHTTPServer):
    """`status`: what it answers instead, if not 0."""

    daemon_threads = True
    token = "s.a-token"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: dict[str, list[bytes]] = {}
        self.oldest: dict[str, int] = {}
        """`min_decryption_version` of keys."""
        self.status = 0
        self.asked: list[str] = []
        self.given: list[bytes] = []
        """Data keys that left this server."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def rotate(self, name: str) -> None:
        """Make a key, or its next version."""
        self.keys.setdefault(name, []).append(os.urandom(32))

    def answer(self, path: str, body: dict[str, str]) -> tuple[int, dict[str, object]]:
        self.asked.append(path)
        if self.status:
            return self.status, {"errors": ["as told"]}
        name = path.rpartition("/")[2]
        versions = self.keys.get(name)
        if versions is None:
            return 400, {"errors": [f"encryption key {name} not found"]}
        if path.startswith("/v1/transit/datakey/plaintext/"):
            plain, nonce = os.urandom(32), os.urandom(12)
            self.given.append(plain)
            sealed = nonce + AESGCM(versions[-1]).encrypt(nonce, plain, b"")
            text = f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"
            return 200, {"data": {"plaintext": base64.b64encode(plain).decode(), "ciphertext": text}}
        if not path.startswith("/v1/transit/decrypt/"):
            return 404, {"errors": []}
        _, version, text = body["ciphertext"].split(":")
        number, data = int(version[1:]), base64.b64decode(text)
        if number < self.oldest.get(name, 1):
            return 400, {"errors": ["ciphertext or signature version is disallowed by policy (too old)"]}
        try:
            plain = AESGCM(versions[number - 1]).decrypt(data[:12], data[12:], b"")
        except InvalidTag:
            return 400, {"errors": ["invalid ciphertext: unable to decrypt"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


class _Handler(BaseHTTPRequestHandler):
    server: Transit

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Vault-Token"] != self.server.token:
            status, answer = 403, {"errors": ["permission denied"]}
        else:
            status, answer = self.server.answer(self.path, body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running() -> Iterator[Transit]:
    """One that listens."""
    server = Transit()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
