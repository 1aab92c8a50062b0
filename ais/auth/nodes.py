"""How nodes of one cluster know each other: each request between them is signed.

The signature (header `Ais-Node-Auth`) covers method, path and query, caller, time, a nonce and the digest of the
body; a streamed body is compared with checksums of its own. The receiver takes a signature for a minute around its
own clock, and each nonce once. Two tags are made over that: one with the key of the two nodes (`ais.auth.pairs`, header
`Ais-Node-Pair`), which holds at the one receiver only, and one with a key made of the join secret, by which those are
let in that the cluster does not know yet. The join secret lies in a file of its owner (0600) and never travels.
"""

import hmac
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ais.api import headers
from ais.base.errors import AccessDenied, BadRequest

HEADER = "Ais-Node-Auth"
PAIR_HEADER = "Ais-Node-Pair"
WINDOW_S = 60
SECRET_BYTES_MIN = 16
NONCES_MAX = 200_000
"""Requests remembered for one window; beyond, the oldest are forgotten and the window shrinks."""
OF_NODES = frozenset(name.lower() for name in (headers.CALLER_ID, HEADER))
"""Lower-case names of headers that only nodes send."""
STREAMED = "-"
"""Instead of a body's digest."""
JOIN_TAGS_MAX = 2
"""Tags in one signature, separated by commas: while the join secret changes, nodes sign with both."""
REPLAYED = "the request was received before"
UNSIGNED = "-"
"""Instead of the tag of a node that has no join secret."""
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
    def make(cls, caller: str, now_s: float, body: bytes | None) -> "Proof":
        """An unsigned one of a request that is sent now; `body` None when it is streamed."""
        return cls(caller, int(now_s), os.urandom(12).hex(), digest_of(body), UNSIGNED)

    @classmethod
    def parse(cls, text: str) -> "Proof":
        """Read the header. Raise `AccessDenied`."""
        fields = text.split(" ")
        if len(fields) != 5 or not fields[1].isascii() or not fields[1].isdigit() or len(fields[1]) > 12:
            raise AccessDenied(f"malformed {HEADER}")
        return cls(fields[0], int(fields[1]), *fields[2:])

    def sign(self, key: bytes, method: str, target: str) -> str:
        """The tag of a request with this key; `target` is path and query as sent."""
        text = "\n".join((method, target, self.caller, str(self.time_s), self.nonce, self.body))
        return blake2b(text.encode(), key=key, digest_size=_TAG_BYTES, person=b"ais node").hexdigest()

    def is_signed(self, tag: str, key: bytes, method: str, target: str) -> bool:
        """Whether `tag` was made with this key for this request."""
        return hmac.compare_digest(tag.encode(), self.sign(key, method, target).encode())

    def __str__(self) -> str:
        return " ".join(map(str, self))


class Seen(Protocol):
    """What was received lately."""

    def take(self, nonce: str, time_s: int) -> None:
        """Raise `AccessDenied` for what was made more than a minute from now, or was received before."""


class Nonces:
    """What this process has received lately. `now_s` gives Unix seconds."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._seen: OrderedDict[str, int] = OrderedDict()

    def take(self, nonce: str, time_s: int) -> None:
        """Raise `AccessDenied` for what was made more than a minute from now, or was received before."""
        now_s = int(self._now_s())
        check_time(time_s, now_s)
        if nonce in self._seen:
            raise AccessDenied(REPLAYED)
        self._seen[nonce] = now_s
        while self._seen and (len(self._seen) > NONCES_MAX or now_s - next(iter(self._seen.values())) > 2 * WINDOW_S):
            self._seen.popitem(last=False)


def check_time(time_s: int, now_s: int) -> None:
    """Raise `AccessDenied` for what was made more than a minute from now."""
    if abs(now_s - time_s) > WINDOW_S:
        raise AccessDenied(
            f"the signature is of {time_s - now_s:+d} s from now, {WINDOW_S} s are accepted: set the clocks"
        )


def join_key(secret: bytes) -> bytes:
    """The key that a join secret makes. Raise `BadRequest` for one that is too short."""
    if len(secret) < SECRET_BYTES_MIN:
        raise BadRequest(f"a join secret needs at least {SECRET_BYTES_MIN} bytes")
    return HKDF(SHA256(), 32, None, b"ais node requests 1").derive(secret)


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
