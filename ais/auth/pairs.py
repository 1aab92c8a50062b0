"""Keys of two nodes: each node has a key of its own, and the cluster map the public halves.

From its own private and another's public key (X25519) a node computes what only these two know. What is signed with it
was said by the one to the other: it cannot be carried to a third node, and a node that is not in the map any more, or
whose key was stolen and replaced, is out with the next version of the map.
"""

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ais.base.errors import AccessDenied, BadRequest

FILE = ".ais.node_key"
_KEY_BYTES = 32
_SHARED_MAX = 4096


class PairKeys:
    """What this node shares with each other one."""

    def __init__(self, private: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(private)
        self.public = _encode(self._private.public_key().public_bytes_raw())
        """What goes into the cluster map."""
        self._shared: dict[str, bytes] = {}

    def shared(self, public: str) -> bytes:
        """The key of this node and the one with that public key; some 100 us at first. Raise `AccessDenied`."""
        key = self._shared.get(public)
        if key is None:
            if len(self._shared) >= _SHARED_MAX:
                self._shared.clear()
            try:
                both = self._private.exchange(X25519PublicKey.from_public_bytes(_decode(public)))
            except ValueError:
                raise AccessDenied(f'"{public[:50]}" is no public key of a node') from None
            info = " ".join(("ais node pair 1", *sorted((self.public, public))))
            key = self._shared[public] = HKDF(SHA256(), _KEY_BYTES, None, info.encode()).derive(both)
        return key


def load(directory: str) -> PairKeys | None:
    """The key that a node keeps in its configuration directory; None before it has one. Raise `BadRequest`."""
    path = Path(directory, FILE)
    try:
        return PairKeys(bytes.fromhex(path.read_text().strip()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadRequest(f"cannot use the node's key {path}: {error}; remove it to join anew") from None


def create(directory: str) -> PairKeys:
    """A new key, kept in the directory. Raise `BadRequest`."""
    path, private = Path(directory, FILE), os.urandom(_KEY_BYTES)
    new = path.with_name(FILE + ".new")
    try:
        new.unlink(missing_ok=True)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(private.hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except OSError as error:
        raise BadRequest(f"cannot write the node's key {path}: {error.strerror}") from None
    return PairKeys(private)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=")
