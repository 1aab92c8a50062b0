"""How nodes of one cluster know each other: each request between them is signed with a key made of the join secret.

The signature (header `Ais-Node-Auth`) covers method, path and query, caller, time, a nonce and the digest of the
body; a streamed body is compared with checksums of its own. The receiver takes a signature for a minute around its
own clock, and each nonce once. Whoever has the join secret is a node: it lies in a file of its owner (0600) on each
machine and never travels.
"""

import hmac
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ais.base.errors import AccessDenied, BadRequest

HEADER = "Ais-Node-Auth"
WINDOW_S = 60
SECRET_BYTES_MIN = 16
NONCES_MAX = 200_000
"""Requests remembered for one window; beyond, the oldest are forgotten and the window shrinks."""
STREAMED = "-"
"""Instead of a body's digest."""
_TAG_BYTES = 24
_DIGEST_BYTES = 20


class Proof(NamedTuple):
    """The parts of a signature."""

    caller: str
    time_s: int
    nonce: str
    body: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> "Proof":
        """Read the header. Raise `AccessDenied`."""
        fields = text.split(" ")
        if len(fields) != 5 or not fields[1].isascii() or not fields[1].isdigit() or len(fields[1]) > 12:
            raise AccessDenied(f"malformed {HEADER}")
        return cls(fields[0], int(fields[1]), *fields[2:])

    def __str__(self) -> str:
        return " ".join(map(str, self))


class NodeKey:
    """Signs what this node sends and verifies what comes. `now_s` gives Unix seconds."""

    def __init__(self, secret: bytes, now_s: Callable[[], float]) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise BadRequest(f"a join secret needs at least {SECRET_BYTES_MIN} bytes")
        self._key = HKDF(SHA256(), 32, None, b"ais node requests 1").derive(secret)
        self._now_s = now_s
        self._seen: OrderedDict[str, int] = OrderedDict()

    def sign(self, caller: str, method: str, target: str, body: bytes | None) -> str:
        """The header of a request; `target` is path and query as sent, `body` None when it is streamed."""
        proof = Proof(caller, int(self._now_s()), os.urandom(12).hex(), digest_of(body), "")
        return str(proof._replace(tag=self._tag(proof, method, target)))

    def verify(self, header: str, method: str, target: str) -> Proof:
        """Who signed a request; the body is the caller's to compare with `Proof.body`. Raise `AccessDenied`."""
        proof = Proof.parse(header)
        if not hmac.compare_digest(proof.tag, self._tag(proof, method, target)):
            raise AccessDenied("the request is not signed with the join secret of this cluster")
        now_s = int(self._now_s())
        if abs(now_s - proof.time_s) > WINDOW_S:
            raise AccessDenied(
                f"the signature is of {proof.time_s - now_s:+d} s from now, {WINDOW_S} s are accepted: set the clocks"
            )
        if proof.nonce in self._seen:
            raise AccessDenied("the request was received before")
        self._seen[proof.nonce] = now_s
        while self._seen and (len(self._seen) > NONCES_MAX or now_s - next(iter(self._seen.values())) > 2 * WINDOW_S):
            self._seen.popitem(last=False)
        return proof

    def _tag(self, proof: Proof, method: str, target: str) -> str:
        text = "\n".join((method, target, proof.caller, str(proof.time_s), proof.nonce, proof.body))
        return blake2b(text.encode(), key=self._key, digest_size=_TAG_BYTES).hexdigest()


def digest_of(body: bytes | None) -> str:
    """How a signature names a body."""
    return STREAMED if body is None else blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()


def read_secret(path: str) -> bytes:
    """The join secret in a file that only its owner may read. Raise `BadRequest`."""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.read(4096).strip()
    except OSError as error:
        raise BadRequest(f"cannot read the join secret {path}: {error.strerror}") from None
    if mode & 0o077:
        raise BadRequest(f"the join secret {path} may be read by others (mode {mode:o}): chmod 600 it")
    if len(secret) < SECRET_BYTES_MIN:
        raise BadRequest(f"the join secret {path} has {len(secret)} bytes, at least {SECRET_BYTES_MIN} are needed")
    return secret


def new_secret(path: str) -> None:
    """Write a fresh join secret, unless there is one."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return
    with os.fdopen(fd, "wb") as file:
        file.write(os.urandom(32).hex().encode() + b"\n")
