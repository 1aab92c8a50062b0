"""S3 access keys: a versioned value like the bucket metadata, secrets encrypted with the cluster's secret.

The value is replicated and kept on disks that may be lent, copied or thrown away; the cluster secret is kept apart
from it (`confdir/.ais.secret`), so that the value alone opens nothing. Encryption is AES-256-GCM with a random nonce;
the key ID is bound in as associated data, so that a secret cannot be moved to another key.

Requests are checked with a `KeyRing`: the keys with their secrets opened, each when it is first needed.
"""

import base64
import contextlib
import re
import secrets as randomness
import string
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ais.api import codec
from ais.api.codec import U64
from ais.auth import sessions
from ais.auth.iam import Iam
from ais.auth.sessions import Session
from ais.base.errors import AlreadyExists, BadRequest, Conflict, CorruptMetadata, NotFound, NotReady

SECRET_BYTES = 32
SECRETS_MAX = 100
"""Secrets of one cluster: each is kept, since keys of objects may be encrypted with it."""
KEYS_MAX = 10_000
"""Access keys of one cluster: their value is rewritten and sent to every node with each change."""
REVOKED_MAX = 100_000
"""Revoked tokens that have not expired."""
REVOKED_KEPT_S = 300
"""Beyond its end a token may be accepted for a moment, by clocks that differ."""
SESSIONS_MAX = 4096
"""Session tokens that are remembered opened."""
_NONCE_BYTES = 12
_ID_ALPHABET = string.ascii_uppercase + string.digits
_KEY_ID_LEN = 20
_USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{3,128}")
_KEY_SECRET = re.compile(r"[!-~]{8,128}")


class ClusterSecret(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a cluster seals the secrets of its access keys with; version 0: there is none yet."""

    cluster: str = ""
    """UUID of the cluster: no other one may take it for its own."""
    version: U64 = U64(0)
    secret: bytes = b""
    older: tuple[bytes, ...] = ()
    """Those before, the last one first: what was sealed with them is opened with them, keys of objects for ever."""
    replaced_s: int = 0
    """When the one before was replaced (Unix seconds); 0: none was."""

    def __repr__(self) -> str:
        return f"ClusterSecret(cluster={self.cluster!r}, version={int(self.version)})"

    @classmethod
    def create(cls, cluster: str) -> "ClusterSecret":
        """The first secret of a cluster."""
        return cls(cluster, U64(1), new_secret())

    @property
    def all(self) -> tuple[bytes, ...]:
        """All of them, the present one first; none before there is one."""
        return (self.secret, *self.older) if self.secret else ()

    def rotated(self, now_s: float) -> "ClusterSecret":
        """The next version, with a new secret. Raise `Conflict` when there are too many."""
        if len(self.older) + 1 >= SECRETS_MAX:
            raise Conflict(f"the cluster's secret was replaced {SECRETS_MAX - 1} times, as often as it can be")
        return ClusterSecret(self.cluster, U64(self.version + 1), new_secret(), self.all, int(now_s))

    def encode(self) -> bytes:
        """Its JSON, as it is sent between nodes and kept on disk."""
        return codec.to_json(self)

    @classmethod
    def decode(cls, body: bytes) -> "ClusterSecret":
        """Read `encode`'s JSON. Raise `BadRequest`."""
        return codec.from_own_json(body, cls)


class AccessKey(msgspec.Struct, frozen=True):
    """One key. `sealed` is the encrypted secret, base64; `created` Unix nanoseconds."""

    id: str
    user: str
    sealed: str
    created: U64 = U64(0)
    disabled: bool = False
    admin: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether it signs native requests, as an administrator; left out while it does not."""

    @property
    def is_admin(self) -> bool:
        """Whether its holder is an administrator."""
        return self.admin is True


class AccessKeys(msgspec.Struct, frozen=True):
    """All keys of the cluster, by ID. Treat the dictionary as immutable."""

    version: U64 = U64(0)
    keys: dict[str, AccessKey] = {}
    revoked: dict[str, int] = {}
    """Tokens that were taken back: SHA-256 of each, and the Unix second until which it would have been good."""
    iam: Iam = Iam()
    """Users, groups, roles and policies of the accounts."""

    def get(self, key_id: str) -> AccessKey | None:
        """The key of that ID, disabled or not."""
        return self.keys.get(key_id)

    def with_key(self, key: AccessKey) -> "AccessKeys":
        """The next version with a new key. Raise `AlreadyExists`, or `Conflict` when there are too many."""
        if key.id in self.keys:
            raise AlreadyExists(f'access key "{key.id}" already exists')
        if len(self.keys) >= KEYS_MAX:
            raise Conflict(f'the cluster has {KEYS_MAX} access keys, the most it can have: see "ais auth key rm"')
        return self._next(self.keys | {key.id: key})

    def with_disabled(self, key_id: str, disabled: bool) -> "AccessKeys":
        """The next version with a key disabled or enabled again; this one when it is already. Raise `NotFound`."""
        old = self.require(key_id)
        if old.disabled == disabled:
            return self
        key = msgspec.structs.replace(old, disabled=disabled)
        return self._next(self.keys | {key_id: key})

    def without_key(self, key_id: str) -> "AccessKeys":
        """The next version without a key. Raise `NotFound`."""
        self.require(key_id)
        return self._next({one: key for one, key in self.keys.items() if one != key_id})

    def with_revoked(self, names: Mapping[str, int], now_s: float) -> "AccessKeys":
        """The next version with more tokens revoked, without those that have expired. Raise `Conflict` for too many."""
        kept = {name: until for name, until in {**self.revoked, **names}.items() if until > now_s - REVOKED_KEPT_S}
        if len(kept) > REVOKED_MAX:
            raise Conflict(f"more than {REVOKED_MAX} tokens are revoked: change the key that signs them")
        return self if kept == self.revoked else self._next(self.keys, kept)

    def with_iam(self, iam: Iam) -> "AccessKeys":
        """The next version with other users, groups, roles or policies."""
        return msgspec.structs.replace(self, version=U64(self.version + 1), iam=iam)

    def of_user(self, user: str) -> list[AccessKey]:
        """The keys of a user, oldest first."""
        return sorted((key for key in self.keys.values() if key.user == user), key=lambda key: (key.created, key.id))

    def resealed(self, secrets: Sequence[bytes], new: bytes) -> "AccessKeys":
        """The next version, encrypted with `new` in the place of any of `secrets`. Raise `CorruptMetadata`."""
        ring = KeyRing(self, secrets)
        found: dict[str, AccessKey] = {}
        for key_id, key in self.keys.items():
            credential = ring.lookup(key_id)
            assert credential is not None
            found[key_id] = msgspec.structs.replace(key, sealed=_seal(credential.secret, key_id, new))
        return self._next(found)

    def _next(self, keys: dict[str, AccessKey], revoked: dict[str, int] | None = None) -> "AccessKeys":
        kept = self.revoked if revoked is None else revoked
        return AccessKeys(U64(self.version + 1), keys, kept, self.iam)

    def require(self, key_id: str) -> AccessKey:
        """The key of that ID, disabled or not. Raise `NotFound`."""
        if (key := self.keys.get(key_id)) is None:
            raise NotFound(f'access key "{key_id[:128]}" does not exist: see "ais auth key ls"')
        return key

    def encode(self) -> bytes:
        """Its JSON, as it is sent between nodes and kept on disk."""
        return codec.to_json(self)

    @classmethod
    def decode(cls, body: bytes) -> "AccessKeys":
        """Read `encode`'s JSON. Raise `BadRequest`."""
        return codec.from_own_json(body, cls)


class Credential(NamedTuple):
    """What a request is checked with. The secret is never to be shown."""

    user: str
    secret: str
    disabled: bool
    is_admin: bool = False

    def __repr__(self) -> str:
        return f"Credential(user={self.user!r}, disabled={self.disabled})"


class KeyRing:
    """The access keys at one moment; secrets are opened when they are first asked for, and remembered."""

    def __init__(
        self, keys: AccessKeys, cluster_secrets: Sequence[bytes], is_in_grace: Callable[[], bool] = lambda: False
    ) -> None:
        """`cluster_secrets`: the present one and those before; empty while this node has none.

        `is_in_grace`: whether sessions are good that were sealed with the one before.
        """
        self._keys = keys
        self._is_in_grace = is_in_grace
        self._secrets = cluster_secrets
        self._ciphers = [_cipher(secret) for secret in cluster_secrets]
        self._opened: dict[str, Credential] = {}
        self._sessions: dict[str, Session] = {}
        self._users: frozenset[str] | None = None

    @property
    def iam(self) -> Iam:
        """Users, groups, roles and policies of the accounts."""
        return self._keys.iam

    def session(self, token: str) -> Session | None:
        """Who holds a session token, expired or not; None when it is none, or what it was given for is gone.

        Raise `NotReady` while this node has no secret.
        """
        if (found := self._sessions.get(token)) is not None:
            return found
        if not self._secrets:
            raise NotReady("this node has not received the secret of its cluster yet: try again in a moment")
        if not token.startswith(sessions.PREFIX):
            return None
        found = sessions.unseal(token, self._secrets[0])
        if found is None and len(self._secrets) > 1 and self._is_in_grace():
            # For a moment only, and not remembered: whoever has that secret could make them.
            found = sessions.unseal(token, self._secrets[1])
            return found if found is not None and self._is_alive(found) else None
        if found is None or not self._is_alive(found):
            return None
        if len(self._sessions) >= SESSIONS_MAX:
            self._sessions.clear()
        self._sessions[token] = found
        return found

    def opened(self, token: str) -> Session | None:
        """What `session` said of a token that is good as long as this ring is, but for its own end."""
        return self._sessions.get(token)

    def _is_alive(self, session: Session) -> bool:
        if session.role:
            role = self.iam.roles.get(f"{session.account}/{session.role}")
            if role is None or role.id != session.role_id:
                return False
            if not session.parent:  # a token of an issuer asked for it
                return True
        parent = self._keys.get(session.parent)
        return parent is not None and not parent.disabled and parent.user == session.user

    @cached_property
    def admins(self) -> frozenset[str]:
        """Users with an administrator's key that is good."""
        return frozenset(key.user for key in self._keys.keys.values() if key.is_admin and not key.disabled)

    def is_revoked(self, name: str) -> bool:
        """Whether the token of this SHA-256 was taken back."""
        return name in self._keys.revoked

    def has_user(self, user: str) -> bool:
        """Whether any key is that user's."""
        if self._users is None:
            self._users = frozenset(key.user for key in self._keys.keys.values())
        return user in self._users

    def lookup(self, key_id: str) -> Credential | None:
        """The credential of a key, disabled or not; None when there is no such key.

        Raise `CorruptMetadata` when it was sealed with another secret, `NotReady` while this node has none.
        """
        if (found := self._opened.get(key_id)) is not None:
            return found
        if (key := self._keys.get(key_id)) is None:
            return None
        if not self._ciphers:
            raise NotReady("this node has not received the secret of its cluster yet: try again in a moment")
        found = self._opened[key_id] = Credential(key.user, _open(key, self._ciphers), key.disabled, key.is_admin)
        return found


def is_user_name(text: str) -> bool:
    """Whether a user may be called so."""
    return _USER.fullmatch(text) is not None


def new_secret() -> bytes:
    """A cluster secret."""
    return randomness.token_bytes(SECRET_BYTES)


def new_key(user: str, cluster_secret: bytes, created_ns: int, *, admin: bool = False) -> tuple[AccessKey, str]:
    """A fresh key for a user, and its secret, which is shown once. Raise `BadRequest` for a bad user name."""
    key_id = "AIS" + "".join(randomness.choice(_ID_ALPHABET) for _ in range(_KEY_ID_LEN - 3))
    secret = base64.urlsafe_b64encode(randomness.token_bytes(30)).decode()
    return import_key(user, key_id, secret, cluster_secret, created_ns, admin=admin), secret


def import_key(
    user: str, key_id: str, secret: str, cluster_secret: bytes, created_ns: int, *, admin: bool = False
) -> AccessKey:
    """A key with a given ID and secret. Raise `BadRequest` naming what is not allowed."""
    if not is_user_name(user):
        raise BadRequest(f'invalid user name "{user[:200]}": use 1 to 64 letters, digits, ".", "_", "@" and "-"')
    if not _KEY_ID.fullmatch(key_id):
        raise BadRequest(f'invalid key ID "{key_id[:200]}": use 3 to 128 letters, digits, ".", "_" and "-"')
    if not _KEY_SECRET.fullmatch(secret):
        raise BadRequest("invalid key secret: use 8 to 128 printable ASCII characters without blanks")
    sealed = _seal(secret, key_id, cluster_secret)
    return AccessKey(key_id, user, sealed, U64(created_ns), admin=admin or msgspec.UNSET)


def _seal(secret: str, key_id: str, cluster_secret: bytes) -> str:
    nonce = randomness.token_bytes(_NONCE_BYTES)
    sealed = _cipher(cluster_secret).encrypt(nonce, secret.encode(), key_id.encode())
    return base64.b64encode(nonce + sealed).decode()


def _open(key: AccessKey, ciphers: Sequence[AESGCM]) -> str:
    try:
        sealed = base64.b64decode(key.sealed, validate=True)
        for cipher in ciphers:
            with contextlib.suppress(InvalidTag):
                return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key.id.encode()).decode()
    except ValueError:
        pass
    raise CorruptMetadata(f'the secret of access key "{key.id}" cannot be decrypted with this cluster')


def _cipher(cluster_secret: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, None, b"ais access keys").derive(cluster_secret))
