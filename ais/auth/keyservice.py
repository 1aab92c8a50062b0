"""The keys that data keys of objects are encrypted with: one interface, and the local ring behind the cluster's secret.

A data key is random and belongs to one object. It is kept beside the object, encrypted ("wrapped") with a key that is
named by an ID and never leaves the service, so a key is rotated without touching any content.
"""

import base64
import binascii
import os
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ais.base.errors import CorruptMetadata, NotReady

_NONCE_BYTES = 12
_FORMAT = b"\x01"


class KeyService(Protocol):
    """Wraps data keys. `context` is bound in: without the same one the key does not open."""

    def wrap(self, data_key: bytes, key_id: str, context: str = "") -> str:
        """The data key encrypted under a key, as text. Raise `NotReady`."""
        ...

    def unwrap(self, wrapped: str, key_id: str, context: str = "") -> bytes:
        """The data key. Raise `NotReady`, `CorruptMetadata` when it was not wrapped so."""
        ...


class LocalKeys:
    """Keys derived from the cluster's secret, which every node has and no mountpath: one for each ID."""

    def __init__(self, cluster_secret: bytes) -> None:
        self._secret = cluster_secret
        self._ciphers: dict[str, AESGCM] = {}

    def wrap(self, data_key: bytes, key_id: str, context: str = "") -> str:
        """See `KeyService`."""
        return seal(self._cipher(key_id), data_key, context)

    def unwrap(self, wrapped: str, key_id: str, context: str = "") -> bytes:
        """See `KeyService`."""
        return unseal(self._cipher(key_id), wrapped, context)

    def _cipher(self, key_id: str) -> AESGCM:
        if not self._secret:
            raise NotReady("this node has not received the cluster's secret yet: try again in a moment")
        if (known := self._ciphers.get(key_id)) is None:
            derived = HKDF(SHA256(), 32, None, b"ais object keys\0" + key_id.encode()).derive(self._secret)
            known = self._ciphers[key_id] = AESGCM(derived)
        return known


def seal(cipher: AESGCM, data_key: bytes, context: str = "") -> str:
    """A data key encrypted with any key."""
    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(_FORMAT + nonce + cipher.encrypt(nonce, data_key, context.encode())).decode()


def unseal(cipher: AESGCM, wrapped: str, context: str = "") -> bytes:
    """The reverse. Raise `CorruptMetadata`."""
    try:
        data = base64.b64decode(wrapped, validate=True)
        if data[:1] == _FORMAT:
            return cipher.decrypt(data[1 : 1 + _NONCE_BYTES], data[1 + _NONCE_BYTES :], context.encode())
    except (binascii.Error, InvalidTag, ValueError):
        pass
    raise CorruptMetadata("the data key of an object cannot be opened with this key")
