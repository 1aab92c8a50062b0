"""Tokens (JWT) as AIStore's AuthN makes them: what they claim, how they are verified, what they permit (`wire.md` §28).

The algorithm comes from whoever verifies, never from the token, so that a public key is never taken for a secret.
"""

import enum
from collections.abc import Sequence
from typing import Any

import jwt
import msgspec

from ais.api import codec
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.base.errors import BadRequest, Unauthenticated

TOKEN_BYTES_MAX = 8192
LEEWAY_S = 60
RSA_METHODS = ("RS256", "RS384", "RS512")
HMAC_METHODS = ("HS256",)
SECRET_BYTES_MIN = 16


class Method(enum.Enum):
    """How tokens are signed, by the names of `auth.signature.method`."""

    HMAC = "hmac"
    RSA = "rsa"

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those that a token may name."""
        return HMAC_METHODS if self is Method.HMAC else RSA_METHODS


class ClusterAcl(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is permitted on a cluster: operations of the cluster, and on buckets without a `BucketAcl`."""

    id: str = ""
    alias: str = ""
    perm: U64 = U64(0)
    urls: tuple[str, ...] = ()


class BucketAcl(msgspec.Struct, frozen=True):
    """What is permitted on a bucket; the namespace's UUID is that of its cluster."""

    bck: Bck
    perm: U64 = U64(0)


class Claims(msgspec.Struct, frozen=True):
    """What a token says of its bearer. Times in Unix seconds."""

    sub: str
    exp: int
    iat: int = 0
    iss: str = ""
    aud: tuple[str, ...] = ()
    admin: bool = False
    clusters: tuple[ClusterAcl, ...] | None = None
    buckets: tuple[BucketAcl, ...] | None = None
    jti: str = ""
    """Its own name: no two tokens are the same, so that taking one back leaves the others."""

    def on_cluster(self, cluster_id: str) -> int:
        """The bits granted on a cluster: its own, or else those for all clusters that trust the issuer (no ID)."""
        granted = {acl.id: int(acl.perm) for acl in reversed(self.clusters or ())}
        return granted.get(cluster_id, granted.get("", 0))

    def on_bucket(self, cluster_id: str, bck: Bck) -> int:
        """The bits granted on a bucket: its own, or else the cluster's. A token names none of an attached cluster."""
        for acl in self.buckets or ():
            namespace = acl.bck.namespace
            if (namespace.uuid, "", namespace.name) == (cluster_id, bck.namespace.uuid, bck.namespace.name) and (
                acl.bck.name,
                acl.bck.provider,
            ) == (bck.name, bck.provider):
                return int(acl.perm)
        return self.on_cluster(cluster_id)

    def permits(self, needed: Access, cluster_id: str, bck: Bck | None = None) -> bool:
        """Whether the bearer may do this on the cluster, or on the bucket."""
        granted = self.on_cluster(cluster_id) if bck is None else self.on_bucket(cluster_id, bck)
        return self.admin or not needed & ~granted


class BadToken(Unauthenticated):
    """The token is malformed, expired, of somebody else, or signed with another key."""


def decode(
    token: str,
    key: Any,
    algorithms: Sequence[str],
    *,
    audiences: Sequence[str] = (),
    issuers: Sequence[str] = (),
) -> Claims:
    """Verify a token. `audiences`, `issuers`: one of these must be claimed; empty: any. Raise `BadToken`."""
    if len(token) > TOKEN_BYTES_MAX:
        raise BadToken(f"invalid token [err: it has more than {TOKEN_BYTES_MAX} bytes]")
    try:
        payload = jwt.decode(
            token,
            key,
            algorithms=list(algorithms),
            audience=list(audiences) or None,
            issuer=list(issuers) or None,
            leeway=LEEWAY_S,
            options={"require": ["exp", "sub"], "verify_aud": bool(audiences), "verify_iss": bool(issuers)},
        )
    except jwt.ExpiredSignatureError:
        raise BadToken("invalid token [err: token expired]") from None
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise BadToken(f"invalid token [err: {error}]") from None
    if isinstance(payload.get("aud"), str):
        payload["aud"] = [payload["aud"]]
    try:
        return codec.convert(payload, Claims)
    except BadRequest as error:
        raise BadToken(f"invalid token [err: {error}]") from None


def encode(claims: Claims, key: Any, algorithm: str, key_id: str = "") -> str:
    """Sign a token."""
    payload = codec.to_builtins(claims)
    for name in ("iss", "aud", "buckets", "jti"):
        if not payload[name]:
            del payload[name]
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": key_id} if key_id else None)
