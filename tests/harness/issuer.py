"""A token issuer on this machine: discovery, keys, tokens; what it was asked is counted."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


class Issuer:
    """Signs with the last of its keys; it publishes all of them, but those that were hidden."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, bytes] = {}
        """What is answered instead, by path."""
        self._keys: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {}
        self._hidden: set[str] = set()

    def add_key(self, key_id: str, *, is_rsa: bool = True, is_hidden: bool = False) -> None:
        """Sign with a new key from now on."""
        self._keys[key_id] = (
            rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())
        )
        if is_hidden:
            self._hidden.add(key_id)

    def remove_key(self, key_id: str) -> None:
        """Publish it no more."""
        self._hidden.add(key_id)

    def token(self, key_id: str = "", **claims: object) -> str:
        """Signed with that key, or the last one."""
        name = key_id or list(self._keys)[-1]
        key = self._keys[name]
        payload = {"sub": "ann", "iss": self.url, "exp": int(time.time()) + 3600, **claims}
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": name})

    def published(self) -> list[dict[str, str]]:
        """The JWK set."""
        found = []
        for key_id, key in self._keys.items():
            if key_id not in self._hidden:
                kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
                found.append({**json.loads(kind.to_jwk(key.public_key())), "kid": key_id, "use": "sig"})
        return found

    def answer(self, path: str) -> bytes | None:
        self.asked[path] += 1
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        return json.dumps({"keys": self.published()}).encode() if path == "/keys" else None


@contextmanager
def running() -> Iterator[Issuer]:
    """An issuer without keys on a free port."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = issuer.answer(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
