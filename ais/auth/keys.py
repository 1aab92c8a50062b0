"""S3 access keys: a versioned value like the bucket metadata, secrets encrypted with the cluster's secret.

The value is replicated and kept on disks that may be lent, copied or thrown away; the cluster secret is kept apart
from it (`confdir/.ais.secret`), so that the value alone opens nothing. Encryption is AES-256-GCM with a random nonce;
the key ID is bound in as associated data, so that a secret cannot be moved to another key.
"""

import base64
import secrets as randomness
import string

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ais.api import codec
from ais.api.codec import U64
from ais.base.errors import AlreadyExists, BadRequest, CorruptMetadata, NotFound

SECRET_BYTES = 32
_NONCE_BYTES = 12
_ID_ALPHABET = string.ascii_uppercase + string.digits
_KEY_ID_LEN = 20
_USER_CHARS = frozenset(string.ascii_letters + string.digits + "._@-")


class AccessKey(msgspec.Struct, frozen=True):
    """One key. `sealed` is the encrypted secret, base64; `created` Unix nanoseconds."""

    id: str
    user: str
    sealed: str
    created: U64 = U64(0)
    disabled: bool = False


class AccessKeys(msgspec.Struct, frozen=True):
    """All keys of the cluster, by ID. Treat the dictionary as immutable."""

    version: U64 = U64(0)
    keys: dict[str, AccessKey] = {}

    def get(self, key_id: str) -> AccessKey | None:
        """The key of that ID, disabled or not."""
        return self.keys.get(key_id)

    def with_key(self, key: AccessKey) -> "AccessKeys":
        """The next version with a new key. Raise `AlreadyExists`."""
        if key.id in self.keys:
            raise AlreadyExists(f'access key "{key.id}" already exists')
        return AccessKeys(U64(self.version + 1), self.keys | {key.id: key})

    def with_disabled(self, key_id: str, disabled: bool) -> "AccessKeys":
        """The next version with a key disabled or enabled again. Raise `NotFound`."""
        key = msgspec.structs.replace(self._require(key_id), disabled=disabled)
        return AccessKeys(U64(self.version + 1), self.keys | {key_id: key})

    def without_key(self, key_id: str) -> "AccessKeys":
        """The next version without a key. Raise `NotFound`."""
        self._require(key_id)
        return AccessKeys(U64(self.version + 1), {one: key for one, key in self.keys.items() if one != key_id})

    def _require(self, key_id: str) -> AccessKey:
        if (key := self.keys.get(key_id)) is None:
            raise NotFound(f'access key "{key_id}" does not exist: see "ais auth key ls"')
        return key

    def encode(self) -> bytes:
        """Its JSON, as it is sent between nodes and kept on disk."""
        return codec.to_json(self)

    @classmethod
    def decode(cls, body: bytes) -> "AccessKeys":
        """Read `encode`'s JSON. Raise `BadRequest`."""
        return codec.from_json(body, cls)


def new_secret() -> bytes:
    """A cluster secret."""
    return randomness.token_bytes(SECRET_BYTES)


def new_key(user: str, cluster_secret: bytes, created_ns: int) -> tuple[AccessKey, str]:
    """A fresh key for a user, and its secret, which is shown once. Raise `BadRequest` for a bad user name."""
    if not 1 <= len(user) <= 64 or not set(user) <= _USER_CHARS:
        raise BadRequest(f'invalid user name "{user}": use 1 to 64 letters, digits, ".", "_", "@" and "-"')
    key_id = "AIS" + "".join(randomness.choice(_ID_ALPHABET) for _ in range(_KEY_ID_LEN - 3))
    secret = base64.urlsafe_b64encode(randomness.token_bytes(30)).decode()
    return AccessKey(key_id, user, seal(secret, key_id, cluster_secret), U64(created_ns)), secret


def seal(secret: str, key_id: str, cluster_secret: bytes) -> str:
    """Encrypt the secret of a key."""
    nonce = randomness.token_bytes(_NONCE_BYTES)
    sealed = _cipher(cluster_secret).encrypt(nonce, secret.encode(), key_id.encode())
    return base64.b64encode(nonce + sealed).decode()


def unseal(key: AccessKey, cluster_secret: bytes) -> str:
    """Decrypt the secret of a key. Raise `CorruptMetadata` when it was sealed with another cluster secret."""
    try:
        sealed = base64.b64decode(key.sealed, validate=True)
        return _cipher(cluster_secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key.id.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise CorruptMetadata(f'the secret of access key "{key.id}" cannot be decrypted with this cluster') from error


def _cipher(cluster_secret: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, None, b"ais access keys").derive(cluster_secret))
