"""A closed cluster whose clients need tokens, its secrets that are replaced, and clients that must not notice."""

import json
import shutil
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import jwt

from ais.playground import probe
from ais.testing import TLS, Cluster
from harness.certificates import Authority
from harness.s3access import Access
from harness.s3raw import call
from harness.wire import Answer, message, request

SECRET = "a secret of more than thirty-two bytes"


def token_by(secret: str, **claims: object) -> str:
    return jwt.encode({"sub": "root", "admin": True, "exp": 1 << 40, **claims}, secret, algorithm="HS256")


tokens = [token_by(SECRET)]
"""What clients show now: the last one."""
GRACE_S = 2
SETTINGS = {
    "auth": {
        "client_auth_required": True,
        "signature": {"key": SECRET, "method": "hmac"},
        "intra_cluster": {"rotation_grace": f"{GRACE_S}s"},
    }
}


def ask(url: str, method: str, target: str, body: bytes = b"", tls: ssl.SSLContext | None = None) -> Answer:
    return request(url, method, target, body=body, headers={"Authorization": f"Bearer {tokens[-1]}"}, tls=tls)


def smap_of(cluster: Cluster, files: TLS | None = None) -> dict:
    return ask(cluster.endpoint, "GET", "/v1/daemon?what=smap", tls=probe.tls_context(files)).json()


def rotate(cluster: Cluster, kind: str, sid: str = "", files: TLS | None = None) -> dict[str, bool]:
    body, tls = message("rotate-secrets", kind, {"sid": sid}), probe.tls_context(files)
    answer = ask(cluster.proxies[-1].url, "PUT", "/v1/cluster", body, tls)
    assert answer.status == 200, answer
    return answer.json()


def keys_of(cluster: Cluster, files: TLS | None = None) -> dict[str, list[str]]:
    smap = smap_of(cluster, files)
    return {one: node["pub_keys"] for one, node in {**smap["pmap"], **smap["tmap"]}.items()}


def one_key_each(cluster: Cluster, files: TLS | None = None) -> dict[str, list[str]]:
    """The keys when all rotations have ended."""
    found = keys_of(cluster, files)
    assert all(len(keys) == 1 for keys in found.values()), found
    return found


def _copied(files: TLS) -> TLS:
    """What a client shows: the nodes' own certificate does not fit its key for a moment while both are replaced."""
    directory = Path(files.certificate).parent / "client"
    directory.mkdir(exist_ok=True)
    return TLS(*(shutil.copy(one, directory) for one in (files.certificate, files.key, files.ca)))


class Load:
    """Writes and reads by redirect and by S3 through every gateway; what failed is in `failures`."""

    def __init__(self, cluster: Cluster, files: TLS | None = None) -> None:
        self._urls, self._tls = [proxy.url for proxy in cluster.proxies], probe.tls_context(files)
        body = json.dumps({"user": "ann", "admin": True}).encode()
        key = ask(cluster.endpoint, "POST", "/v1/auth/keys", body, self._tls).json()
        own = None if files is None else _copied(files)
        self._s3 = [Access(url, key["id"], key["secret"], own=own) for url in self._urls]
        self.failures: list[str] = []
        self.count = 0
        self._ended = threading.Event()

    def _redirected(self, url: str, method: str, name: str, body: bytes = b"") -> bytes:
        target = f"/v1/objects/b/{name}?provider=ais"
        location = ask(url, method, target, tls=self._tls).header("Location") or ""
        base, _, path = location.partition("/v1/")
        answer = request(base, method, f"/v1/{path}", body=body, tls=self._tls)
        assert answer.status == 200, (method, location, answer)
        return answer.body

    def _native(self, number: int) -> None:
        url, name = self._urls[number % len(self._urls)], f"n{number % 20}"
        self._redirected(url, "PUT", name, name.encode())
        assert self._redirected(url, "GET", name) == name.encode()

    def _by_s3(self, number: int) -> None:
        access, name = self._s3[number % len(self._s3)], f"s{number % 20}"
        for method, body in (("PUT", name.encode()), ("GET", b"")):
            answer = call(access, method, f"/s3/b/{name}", body=body)
            assert answer.status == 200, answer
        assert answer.body == name.encode()

    def _run(self, work: Callable[[int], None]) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            try:
                work(number)
                self.count += 1
            except Exception as error:  # noqa: BLE001 - every failure counts
                self.failures.append(f"{time.time():.3f} {error!r}"[:600])

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in (self._native, self._by_s3)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def close(cluster: Cluster, files: TLS | None = None) -> None:
    """Have clients prove who they are from now on, and make the bucket of the load."""
    tls = probe.tls_context(files)
    assert ask(cluster.endpoint, "PUT", "/v1/cluster", message("set-config", value=SETTINGS), tls).status == 200
    assert ask(cluster.endpoint, "POST", "/v1/buckets/b", message("create-bck"), tls).status == 200


def renew_token_key(cluster: Cluster, files: TLS, secret: str) -> None:
    """Have tokens signed with another key, which clients get from now on."""
    value = {"auth": {"signature": {"key": secret}}}
    answer = ask(cluster.endpoint, "PUT", "/v1/cluster", message("set-config", value=value), probe.tls_context(files))
    assert answer.status == 200, answer
    tokens.append(token_by(secret))


def renew_certificates(cluster: Cluster, authority: Authority, files: TLS) -> None:
    """Have all nodes show a new certificate."""
    authority.issue(files)
    answer = ask(cluster.endpoint, "PUT", "/v1/cluster/load-x509", tls=probe.tls_context(files))
    assert answer.status == 200, answer
