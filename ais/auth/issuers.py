"""Keys of token issuers: what an issuer publishes (JWKS, RFC 7517), and which of them a token names.

A key is good for the algorithms of its kind only, never for what a token says; secrets (`oct`) are no published keys.
"""

from typing import Any, NamedTuple

import jwt

from ais.api import codec
from ais.auth.tokens import TOKEN_BYTES_MAX, BadToken
from ais.base.errors import BadRequest

ANSWER_BYTES_MAX = 64 << 10
"""Of an issuer: a key takes some 400 bytes."""
KEYS_MAX = 100
_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}


class IssuerKey(NamedTuple):
    """A public key, and what it may have signed with."""

    key: Any
    algorithms: tuple[str, ...]


class Discovery(NamedTuple):
    """What an issuer says of itself."""

    issuer: str
    jwks_uri: str


def read_discovery(body: bytes) -> Discovery:
    """Of `/.well-known/openid-configuration`. Raise `BadRequest`."""
    found = codec.from_json(body, dict[str, Any])
    issuer, uri = found.get("issuer"), found.get("jwks_uri")
    if not isinstance(issuer, str) or not isinstance(uri, str):
        raise BadRequest("the discovery document names no issuer and jwks_uri")
    return Discovery(issuer, uri)


def read_keys(body: bytes) -> dict[str, IssuerKey]:
    """The keys of a JWK set that can verify, by key ID. Those that cannot are left out. Raise `BadRequest`."""
    listed = codec.from_json(body, dict[str, Any]).get("keys")
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise BadRequest(f'the key set has no list "keys" of at most {KEYS_MAX}')
    found: dict[str, IssuerKey] = {}
    for one in listed:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig":
            continue
        algorithms, named = _ALGORITHMS.get(str(one.get("kty")), ()), one.get("alg")
        if named is not None:
            algorithms = tuple(name for name in algorithms if name == named)
        try:
            if algorithms:
                key = jwt.PyJWK(one, algorithms[0]).key
                found[str(one.get("kid", ""))] = IssuerKey(key, algorithms)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    return found


def named_by(token: str) -> tuple[str, str]:
    """The issuer and the key ID that a token names, neither of them proven. Raise `BadToken`."""
    if len(token) > TOKEN_BYTES_MAX:
        raise BadToken(f"invalid token [err: it has more than {TOKEN_BYTES_MAX} bytes]")
    try:
        payload = jwt.decode(token, options={"verify_signature": False})
        key_id = jwt.get_unverified_header(token).get("kid", "")
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise BadToken(f"invalid token [err: {error}]") from None
    issuer = payload.get("iss")
    if not isinstance(issuer, str) or not isinstance(key_id, str):
        raise BadToken("invalid token [err: it names no issuer]")
    return issuer, key_id
