"""The key that tokens are signed with: a secret (HS256), or an RSA key, the operator's or one that AuthN makes."""

import base64
import hashlib
import json
import os
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from ais.api.errors import RemoteError
from ais.auth.tokens import HMAC_METHODS, RSA_METHODS, SECRET_BYTES_MIN, BadToken, Claims, Method, decode, encode
from ais.base.errors import BadRequest

KEY_FILE = "rsa_key.pem"
PREVIOUS_FILE = "rsa_key.previous.pem"
RSA_BITS = 2048


class Signer:
    """Signs and verifies. After a rotation, tokens of the key before are good until they expire."""

    def __init__(self, secret: str = "", *, key_file: str = "", passphrase: str = "", directory: str = "") -> None:
        """One of: `secret`; `key_file` (PEM, `passphrase` when encrypted); or a key kept in `directory`.

        Raise `BadRequest` for a key that cannot be used.
        """
        self.secret = secret
        self._directory = "" if secret or key_file else directory
        self._private: rsa.RSAPrivateKey | None = None
        self._previous: rsa.RSAPrivateKey | None = None
        if secret:
            if len(secret.encode()) < SECRET_BYTES_MIN:
                raise BadRequest(f"the secret that signs tokens must have at least {SECRET_BYTES_MIN} bytes")
        elif key_file:
            self._private = _load(key_file, passphrase)
        else:
            self._private = self._own_key()
            previous = os.path.join(directory, PREVIOUS_FILE)
            self._previous = _load(previous, "") if os.path.exists(previous) else None

    @property
    def method(self) -> Method:
        """How tokens are signed."""
        return Method.HMAC if self.secret else Method.RSA

    def sign(self, claims: Claims) -> str:
        """A token."""
        if self._private is None:
            return encode(claims, self.secret, HMAC_METHODS[0])
        return encode(claims, self._private, RSA_METHODS[0], _key_id(self._private))

    def verify(self, token: str) -> Claims:
        """What a token claims. Raise `BadToken`."""
        if self._private is None:
            return decode(token, self.secret, HMAC_METHODS)
        try:
            return decode(token, self._private.public_key(), RSA_METHODS)
        except BadToken:
            if self._previous is None:
                raise
            return decode(token, self._previous.public_key(), RSA_METHODS)

    def public_key(self) -> str:
        """PEM, for the configuration of clusters. Raise `RemoteError` 400 when a secret signs."""
        if self._private is None:
            raise RemoteError("current signing method does not have a public key", 400)
        return _public_pem(self._private).decode()

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK set. Raise `RemoteError` 400 when a secret signs."""
        if self._private is None:
            raise RemoteError("JWKS not available for current signing method", 400)
        return {"keys": [_jwk(key) for key in (self._private, self._previous) if key is not None]}

    def rotate(self) -> None:
        """Sign with a new key. Raise `RemoteError` 400 unless AuthN makes its own."""
        if not self._directory or self._private is None:
            raise RemoteError("rotation not supported for current signing method", 400)
        _write(os.path.join(self._directory, PREVIOUS_FILE), _private_pem(self._private))
        self._previous = self._private
        self._private = _new_key(os.path.join(self._directory, KEY_FILE))

    def _own_key(self) -> rsa.RSAPrivateKey:
        path = os.path.join(self._directory, KEY_FILE)
        return _load(path, "") if os.path.exists(path) else _new_key(path)


def _new_key(path: str) -> rsa.RSAPrivateKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    _write(path, _private_pem(key))
    return key


def _write(path: str, content: bytes) -> None:
    """Replace a file that only its owner may read, durably."""
    temporary = path + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)


def _load(path: str, passphrase: str) -> rsa.RSAPrivateKey:
    try:
        with open(path, "rb") as file:
            key = serialization.load_pem_private_key(file.read(), passphrase.encode() or None)
    except (OSError, ValueError, TypeError) as error:
        raise BadRequest(f"cannot use the private key {path}: {error}") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < RSA_BITS:
        raise BadRequest(f"cannot use the private key {path}: expected RSA of at least {RSA_BITS} bits")
    return key


def _private_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: rsa.RSAPrivateKey) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(_public_pem(key)).digest()[:12]).decode()


def _jwk(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    return {**found, "kid": _key_id(key), "use": "sig", "alg": RSA_METHODS[0]}
