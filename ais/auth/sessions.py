"""Session tokens: credentials for a while, which say themselves whose they are and are kept nowhere.

A token is encrypted with a key derived from the cluster's secret, so every node opens it and no client can. It holds
the secret that its holder signs with. What a session may do is looked up with each request: of a user, a role or an
access key that is gone nothing is left.
"""

import base64
import binascii
import secrets as randomness
import string
import zlib

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX = "AISS1"
"""What tokens begin with, the version of their format included. Tokens of AuthN begin otherwise."""
_NONCE_BYTES = 12
_TEXT_BYTES_MAX = 64 << 10
_ALPHABET = string.ascii_uppercase + string.digits


class Session(msgspec.Struct, frozen=True):
    """Who holds a token. Times: Unix seconds.

    Of a role: `role` is its name, `name` that of the session; `policy` and `policies` (ARNs) are what it was narrowed
    to. `user`: who asked for it, `parent`: the ID of the access key; empty where a token of an issuer did.
    """

    key: str
    secret: str
    account: str
    issued: int
    expires: int
    user: str = ""
    parent: str = ""
    role: str = ""
    role_id: str = ""
    """Tells a role from a later one of the same name."""
    name: str = ""
    policy: str = ""
    policies: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Session(key={self.key!r}, account={self.account!r}, user={self.user!r}, role={self.role!r})"


def new_credentials() -> tuple[str, str]:
    """ID and secret of an access key for a session."""
    key = "ASIA" + "".join(randomness.choice(_ALPHABET) for _ in range(16))
    return key, base64.urlsafe_b64encode(randomness.token_bytes(30)).decode()


def seal(session: Session, cluster_secret: bytes) -> str:
    """The token."""
    nonce = randomness.token_bytes(_NONCE_BYTES)
    packed = zlib.compress(msgspec.json.encode(session))
    return PREFIX + base64.urlsafe_b64encode(nonce + _cipher(cluster_secret).encrypt(nonce, packed, b"")).decode()


def unseal(token: str, cluster_secret: bytes) -> Session | None:
    """Who holds a token, expired or not; None when it is none of this cluster."""
    try:
        sealed = base64.urlsafe_b64decode(token.removeprefix(PREFIX))
        packed = _cipher(cluster_secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], b"")
        text = zlib.decompressobj().decompress(packed, _TEXT_BYTES_MAX)
        return msgspec.json.decode(text, type=Session)
    except (binascii.Error, ValueError, InvalidTag, zlib.error, msgspec.MsgspecError):
        return None


def _cipher(cluster_secret: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, None, b"ais session tokens").derive(cluster_secret))
