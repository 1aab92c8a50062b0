"""Keys of two nodes: each node has a key of its own, and the cluster map the public halves.

From its own private and another's public key (X25519) a node computes what only these two know. What is signed with it
was said by the one to the other: it cannot be carried to a third node, and a node that is not in the map any more, or
whose key was stolen and replaced, is out with the next version of the map.

While a node replaces its key (`ais.node.rotation`) it has two: it signs with the first, and takes what is signed for
either.
"""

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ais.base.errors import AccessDenied, BadRequest

FILE = ".ais.node_key"
KEYS_MAX = 2
_KEY_BYTES = 32
_SHARED_MAX = 4096


class PairKeys:
    """What this node shares with each other one. `directory` is where its keys are kept; empty: nowhere."""

    def __init__(self, *privates: bytes, directory: str = "") -> None:
        """Raise `ValueError` for what is no key."""
        self._directory = directory
        self._held = _Held(privates)

    @property
    def publics(self) -> tuple[str, ...]:
        """What goes into the cluster map; the first is the one that others sign for."""
        return self._held.publics

    @property
    def public(self) -> str:
        """The public half of the key that this node signs with."""
        return self._held.publics[0]

    def shared(self, public: str) -> bytes:
        """What this node signs with for the one with that public key. Raise `AccessDenied`."""
        return self._held.shared(public)[0]

    def shared_all(self, public: str) -> tuple[bytes, ...]:
        """All that the one with that public key may sign with, by each of our keys; some 100 us each at first.

        Raise `AccessDenied`.
        """
        return self._held.shared(public)

    # -- another key; these write the file first, durably. Raise `BadRequest`.

    def add(self) -> None:
        """Take what is signed for a new key too."""
        self._keep((self._held.privates[0], os.urandom(_KEY_BYTES)))

    def swap(self) -> None:
        """Sign with the other key."""
        self._keep(self._held.privates[::-1])

    def drop(self) -> None:
        """Forget the other key."""
        self._keep(self._held.privates[:1])

    def reload(self) -> None:
        """Have the keys that another process of this node has written."""
        privates = _read(Path(self._directory, FILE))
        if privates != self._held.privates:
            self._held = _Held(privates)

    def _keep(self, privates: tuple[bytes, ...]) -> None:
        if self._directory:
            _write(Path(self._directory, FILE), privates)
        self._held = _Held(privates)


class _Held:
    """The keys at one moment, replaced as a whole: a thread may do that."""

    def __init__(self, privates: tuple[bytes, ...]) -> None:
        if not 1 <= len(privates) <= KEYS_MAX:
            raise ValueError(f"expected 1 to {KEYS_MAX} keys, not {len(privates)}")
        keys = [X25519PrivateKey.from_private_bytes(private) for private in privates]
        self.privates = privates
        self._keys = {_encode(key.public_key().public_bytes_raw()): key for key in keys}
        self.publics = tuple(self._keys)
        self._shared: dict[str, tuple[bytes, ...]] = {}

    def shared(self, public: str) -> tuple[bytes, ...]:
        found = self._shared.get(public)
        if found is None:
            if len(self._shared) >= _SHARED_MAX:
                self._shared.clear()
            try:
                theirs = X25519PublicKey.from_public_bytes(_decode(public))
                found = tuple(_derived(own, key.exchange(theirs), public) for own, key in self._keys.items())
            except ValueError:
                raise AccessDenied(f'"{public[:50]}" is no public key of a node') from None
            self._shared[public] = found
        return found


def load(directory: str) -> PairKeys | None:
    """The keys that a node keeps in its configuration directory; None before it has one. Raise `BadRequest`."""
    path = Path(directory, FILE)
    try:
        return PairKeys(*_read(path), directory=directory)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadRequest(f"cannot use the node's key {path}: {error}; remove it to join anew") from None


def create(directory: str) -> PairKeys:
    """A new key, kept in the directory. Raise `BadRequest`."""
    private = os.urandom(_KEY_BYTES)
    _write(Path(directory, FILE), (private,))
    return PairKeys(private, directory=directory)


def _read(path: Path) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(line) for line in path.read_text().split())


def _write(path: Path, privates: tuple[bytes, ...]) -> None:
    new = path.with_name(FILE + ".new")
    try:
        new.unlink(missing_ok=True)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(b"".join(private.hex().encode() + b"\n" for private in privates))
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except OSError as error:
        raise BadRequest(f"cannot write the node's key {path}: {error.strerror}") from None


def _derived(own: str, both: bytes, public: str) -> bytes:
    info = " ".join(("ais node pair 1", *sorted((own, public))))
    return HKDF(SHA256(), _KEY_BYTES, None, info.encode()).derive(both)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=")
