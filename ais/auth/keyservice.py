"""The keys that data keys of objects are encrypted with: one interface, and the local ring behind the cluster's secret.

A data key is random and belongs to one object. It is kept beside the object, encrypted ("wrapped") with a key that is
named by an ID and never leaves the service, so a key is rotated without touching any content.
"""

import base64
import binascii
import contextlib
import os
from collections.abc import Iterable, Sequence
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

    def renew(self) -> None:
        """Wrap with the newest versions from now on, whatever was newest a moment ago."""
        ...

    def rewrap(self, wrapped: str, key_id: str, context: str = "") -> str | None:
        """The same data key under the newest version of the key, None when it is already. Raise as `unwrap`."""
        ...


class LocalKeys:
    """Keys derived from the cluster's secret, which every node has and no mountpath: one for each ID.

    After a rotation of that secret, data keys are wrapped with the new one and opened with that which wrapped them.
    """

    def __init__(self, cluster_secrets: Sequence[bytes]) -> None:
        """The present one and those before; none while this node has not received them."""
        self._secrets = cluster_secrets
        self._ciphers: dict[str, list[AESGCM]] = {}

    def wrap(self, data_key: bytes, key_id: str, context: str = "") -> str:
        """See `KeyService`."""
        return seal(self._ciphers_of(key_id)[0], data_key, context)

    def unwrap(self, wrapped: str, key_id: str, context: str = "") -> bytes:
        """See `KeyService`."""
        return unseal(self._ciphers_of(key_id), wrapped, context)

    def renew(self) -> None:
        """See `KeyService`: they are here."""

    def rewrap(self, wrapped: str, key_id: str, context: str = "") -> str | None:
        """See `KeyService`."""
        newest, *older = self._ciphers_of(key_id)
        with contextlib.suppress(CorruptMetadata):
            unseal([newest], wrapped, context)
            return None
        return seal(newest, unseal(older, wrapped, context), context)

    def _ciphers_of(self, key_id: str) -> list[AESGCM]:
        if not self._secrets:
            raise NotReady("this node has not received the cluster's secret yet: try again in a moment")
        if (known := self._ciphers.get(key_id)) is None:
            info = b"ais object keys\0" + key_id.encode()
            known = [AESGCM(HKDF(SHA256(), 32, None, info).derive(secret)) for secret in self._secrets]
            self._ciphers[key_id] = known
        return known


def seal(cipher: AESGCM, data_key: bytes, context: str = "") -> str:
    """A data key encrypted with any key."""
    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(_FORMAT + nonce + cipher.encrypt(nonce, data_key, context.encode())).decode()


def unseal(ciphers: Iterable[AESGCM], wrapped: str, context: str = "") -> bytes:
    """The reverse, with whichever of the keys it was. Raise `CorruptMetadata`."""
    try:
        data = base64.b64decode(wrapped, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if data[:1] == _FORMAT and len(data) > _NONCE_BYTES:
        for cipher in ciphers:
            with contextlib.suppress(InvalidTag):
                return cipher.decrypt(data[1 : 1 + _NONCE_BYTES], data[1 + _NONCE_BYTES :], context.encode())
    raise CorruptMetadata("the data key of an object cannot be opened with this key")
