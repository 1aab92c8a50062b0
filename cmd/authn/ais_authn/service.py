"""The rules of AuthN, without HTTP: who may do what, what becomes of users, roles, clusters and tokens."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import argon2
import msgspec

from ais.api.errors import RemoteError
from ais.auth.tokens import BadToken, Claims, ClusterAcl
from ais.base.errors import Overloaded, Unauthenticated
from ais_authn import model
from ais_authn.model import ADMIN_ROLE, BUILT_IN, Clusters, Role, User, failed, not_found
from ais_authn.settings import TOKEN_LIFE_S_MAX, TOKEN_LIFE_S_MIN, Settings
from ais_authn.signing import Signer
from ais_authn.store import Store, StoredUser

_INVALID = "invalid credentials"
_HASHES_AT_ONCE = 2
"""A hash takes 64 MiB and some 50 ms: more at once would only use more memory."""
_WAITING_MAX = 100
"""Passwords that wait to be hashed, some seconds; each keeps its request in memory."""
REVOKED_OF_USER_MAX = 1000
"""Tokens of one user, of the 100,000 that a cluster keeps in all."""
_JTI_BYTES = 12


class Service:
    """One AuthN. Methods are for one event loop."""

    def __init__(self, settings: Settings, store: Store, signer: Signer, now: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.store = store
        self.signer = signer
        self._now = now
        self._hasher = argon2.PasswordHasher()
        self._hashing = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._waiting = 0
        self._revoked: dict[str, list[int]] = {}
        """When those of each user expire that were taken back since the start."""
        self._nobody = self._hasher.hash("of nobody")

    async def found(self) -> None:
        """Make the administrator at the first start. Raise `Unauthenticated` when no password is given for it."""
        if self.store.users():
            return
        if not self.settings.su_password:
            raise Unauthenticated("the first start needs the administrator's password: set AIS_AUTHN_SU_PASS")
        hashed = await self._hash(self.settings.su_password)
        self.store.put_user(StoredUser(self.settings.su_name, hashed, (ADMIN_ROLE,)))

    # -- who asks

    def caller(self, authorization: str | None) -> Claims:
        """Who bears the token of an `Authorization` header, as of now: a token says what a user was when it was made.

        Raise `Unauthenticated`.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("token required")
        try:
            claims = self.verify(token.strip())
        except BadToken as error:
            raise Unauthenticated(f"not authorized ({error})") from None
        user = self.store.user(claims.sub)
        if user is None:
            raise Unauthenticated(f"not authorized: there is no user {claims.sub} any more")
        is_admin = any(role.admin for role in self._roles_of(user))
        return msgspec.structs.replace(claims, admin=claims.admin and is_admin)

    def require_admin(self, authorization: str | None) -> Claims:
        """The same, for administrators only."""
        claims = self.caller(authorization)
        if not claims.admin:
            left_s = max(0, int(claims.exp - self._now()))
            raise Unauthenticated(f"not authorized: requires admin (user {claims.sub}, token expires in {left_s}s)")
        return claims

    def verify(self, token: str) -> Claims:
        """What a token claims. Raise `BadToken`."""
        if self.store.is_revoked(token):
            raise BadToken("invalid token [err: token revoked]")
        return self.signer.verify(token)

    # -- tokens

    async def login(self, user_id: str, message: model.Login) -> str:
        """A token for who knows the password. Raise `RemoteError` 401, 400."""
        what = f"token for {user_id}"
        if not message.password:
            raise Unauthenticated("empty password")
        user = self.store.user(user_id)
        is_right = await self._check(user.password if user else self._nobody, message.password)
        if user is None or not is_right:
            raise failed("generate", what, _INVALID, 401)
        life_s = self.settings.token_life_s
        if message.expires_in is not None:
            life_s = message.expires_in // 1_000_000_000 or (TOKEN_LIFE_S_MAX if message.expires_in == 0 else 0)
        if life_s < TOKEN_LIFE_S_MIN:
            raise failed("generate", what, "invalid requested expiry date: must be 0 or >= 1m", 400)
        if life_s > TOKEN_LIFE_S_MAX:
            raise failed("generate", what, "invalid requested expiry date: must be at most 2160h", 400)
        return self._token(user, life_s)

    def revoke(self, token: str, authorization: str | None) -> None:
        """Take a token back. Raise `RemoteError` 400, 429, `BadToken`.

        A user may have many taken back, since clusters keep them until they expire, and only so many: who logs in again
        and again would use up what all can have. Administrators may take back any.
        """
        if not token:
            raise RemoteError("empty token", 400)
        if self.store.is_revoked(token):
            return
        claims, now = self.signer.verify(token), int(self._now())
        ends = [end for end in self._revoked.get(claims.sub, ()) if end >= now]
        if len(ends) >= REVOKED_OF_USER_MAX and not self._is_admin(authorization):
            why = "too many of this user's tokens are revoked: only an administrator may revoke more"
            raise failed("revoke", f"token of {claims.sub}", why, 429)
        self.store.revoke(token, claims.exp, now)
        self._revoked[claims.sub] = [*ends, claims.exp]

    def _is_admin(self, authorization: str | None) -> bool:
        try:
            return self.require_admin(authorization).admin
        except Unauthenticated:
            return False

    def revoked(self) -> list[str]:
        """All tokens that were taken back and have not expired."""
        return self.store.revoked(int(self._now()))

    def cluster_token(self, cluster_id: str) -> str:
        """A short-lived one with which AuthN itself speaks to a cluster."""
        now = int(self._now())
        claims = Claims(self.settings.su_name, now + 60, now, self.settings.issuer, (cluster_id,), admin=True)
        return self.signer.sign(claims)

    def _token(self, user: StoredUser, life_s: int) -> str:
        clusters, buckets, is_admin = model.united(self._roles_of(user))
        seen = {acl.id for acl in clusters or ()} | {acl.bck.namespace.uuid for acl in buckets or ()}
        if is_admin:
            seen |= set(self.store.clusters())
        now = int(self._now())
        audience = tuple(sorted(seen - {""}))
        issuer, jti = self.settings.issuer, os.urandom(_JTI_BYTES).hex()
        claims = Claims(user.id, now + life_s, now, issuer, audience, is_admin, clusters, buckets, jti)
        return self.signer.sign(claims)

    # -- users

    def users(self) -> dict[str, User]:
        """All users."""
        return {user.id: self._shown(user) for user in self.store.users()}

    def user(self, user_id: str) -> User:
        """One user. Raise `RemoteError` 404."""
        user = self.store.user(user_id)
        if user is None:
            raise not_found("user", user_id)
        return self._shown(user)

    async def add_user(self, user: User) -> None:
        """Add one. Raise `RemoteError` 400, 409."""
        what = f"user {user.id}"
        if fault := model.name_fault("user", user.id):
            raise failed("add", what, fault, 400)
        if not user.password:
            raise failed("add", what, _INVALID, 400)
        if self.store.user(user.id) is not None:
            raise failed("add", what, f"user {user.id} already exists", 409)
        hashed = await self._hash(user.password)
        self.store.put_user(StoredUser(user.id, hashed, self._known_roles(user.roles)))

    async def update_user(self, user_id: str, change: User) -> None:
        """Another password, other roles, or both. Raise `RemoteError` 404, 403."""
        user = self.store.user(user_id)
        if user is None:
            raise failed("update", f"user {user_id}", f'user "{user_id}" does not exist', 404)
        if change.roles and user_id == self.settings.su_name:
            raise failed("update", f"user {user_id}", f'cannot change roles of built-in "{user_id}" account', 403)
        password = await self._hash(change.password) if change.password else user.password
        roles = self._known_roles(change.roles) if change.roles else user.roles
        self.store.put_user(StoredUser(user_id, password, roles))

    def remove_user(self, user_id: str) -> None:
        """Remove one. Raise `RemoteError` 404, 403."""
        if user_id == self.settings.su_name:
            raise failed("delete", f"user {user_id}", f'cannot remove built-in "{user_id}" account', 403)
        if self.store.user(user_id) is None:
            raise failed("delete", f"user {user_id}", f'user "{user_id}" does not exist', 404)
        self.store.remove_user(user_id)

    # -- roles

    def roles(self) -> list[Role]:
        """All roles, by name."""
        return sorted((BUILT_IN, *self.store.roles()), key=lambda role: role.name)

    def role(self, name: str) -> Role:
        """One role, with the aliases of its clusters. Raise `RemoteError` 404."""
        role = BUILT_IN if name == ADMIN_ROLE else self.store.role(name)
        if role is None:
            raise not_found("role", name)
        known = self.store.clusters()
        aliased = tuple(
            ClusterAcl(acl.id, known[acl.id].alias if acl.id in known else "", acl.perm) for acl in role.clusters or ()
        )
        return Role(role.name, role.desc, aliased or None, role.buckets, role.admin)

    def add_role(self, role: Role) -> None:
        """Add one. Raise `RemoteError` 400, 403, 409."""
        what = f"role {role.name}"
        if fault := model.name_fault("role", role.name):
            raise failed("add", what, fault, 400)
        if role.admin:
            raise failed("add", what, 'only built-in roles can have "admin" permissions', 403)
        if role.name == ADMIN_ROLE or self.store.role(role.name) is not None:
            raise failed("add", what, f"AuthN: role {role.name} already exists", 409)
        self.store.put_roles([self._by_id(role)])

    def update_role(self, name: str, change: Role) -> None:
        """Another description, more or other permissions; its holders have them with their next token.

        Raise `RemoteError` 403, 404.
        """
        what = f"role {name}"
        if name == ADMIN_ROLE or change.admin:
            raise failed("update", what, f'cannot modify built-in "{ADMIN_ROLE}" role', 403)
        role = self.store.role(name)
        if role is None:
            raise failed("update", what, f'role "{name}" does not exist', 404)
        self.store.put_roles([model.merged(role, self._by_id(change))])

    def remove_role(self, name: str) -> None:
        """Remove one, from its holders too. Raise `RemoteError` 403, 404."""
        if name == ADMIN_ROLE:
            raise failed("delete", f"role {name}", f'cannot remove built-in "{ADMIN_ROLE}" role', 403)
        if self.store.role(name) is None:
            raise failed("delete", f"role {name}", f'role "{name}" does not exist', 404)
        self.store.remove_role(name)

    # -- clusters

    def clusters(self, named: str = "") -> Clusters:
        """All registered clusters, or the one of that ID or alias. Raise `RemoteError` 404."""
        known = self.store.clusters()
        if not named:
            return Clusters(known)
        found = self._find_cluster(named)
        if found is None:
            raise not_found("cluster", named)
        return Clusters({found.id: found})

    def check_new_cluster(self, cluster: ClusterAcl) -> None:
        """Raise `RemoteError` 400, 409 unless this one may be registered."""
        what = f"cluster {cluster.id}"
        if not cluster.id:
            raise failed("add", what, "cluster UUID is undefined", 400)
        if cluster.alias and (fault := model.name_fault("cluster", cluster.alias)):
            raise failed("add", what, fault, 400)
        for named in (cluster.id, cluster.alias):
            if named and (found := self._find_cluster(named)) is not None:
                raise failed("add", what, f"cluster {found.id}[{found.id}] already registered", 409)

    def add_cluster(self, cluster: ClusterAcl) -> None:
        """Register one that was checked and answers, with its roles."""
        kept = ClusterAcl(cluster.id, cluster.alias, urls=cluster.urls)
        self.store.put_cluster(kept, model.roles_of_cluster(kept))

    def update_cluster(self, cluster_id: str, change: ClusterAcl) -> ClusterAcl:
        """Another alias, other URLs. Raise `RemoteError` 404, 409."""
        what = f"cluster {cluster_id}"
        found = self._find_cluster(cluster_id)
        if found is None:
            raise failed("update", what, f"AuthN: cluster {cluster_id} does not exist", 404)
        if change.alias and (fault := model.name_fault("cluster", change.alias)):
            raise failed("update", what, fault, 400)
        holder = self._find_cluster(change.alias) if change.alias else None
        if holder is not None and holder.id != found.id:
            raise failed("update", what, f"cluster alias {change.alias} is in use by {holder.id}", 409)
        changed = ClusterAcl(found.id, change.alias or found.alias, urls=change.urls or found.urls)
        self.store.put_cluster(changed, [])
        return changed

    def remove_cluster(self, named: str) -> None:
        """Forget one. Raise `RemoteError` 404."""
        found = self._find_cluster(named)
        if found is None:
            raise failed("delete", f"cluster {named}", f"AuthN: cluster {named} does not exist", 404)
        self.store.remove_cluster(found.id)

    def _find_cluster(self, named: str) -> ClusterAcl | None:
        known = self.store.clusters()
        return known.get(named) or next((one for one in known.values() if one.alias and one.alias == named), None)

    # -- what they share

    def _shown(self, user: StoredUser) -> User:
        return User(user.id, roles=tuple(self._roles_of(user)))

    def _roles_of(self, user: StoredUser) -> list[Role]:
        known = {role.name: role for role in self.roles()}
        return [known[name] for name in user.roles if name in known]

    def _known_roles(self, wanted: tuple[Role, ...] | None) -> tuple[str, ...]:
        """Their names; those that do not exist are left out, as AIStore does."""
        known = {role.name for role in self.roles()}
        return tuple(role.name for role in wanted or () if role.name in known)

    def _by_id(self, role: Role) -> Role:
        """A role with IDs instead of the aliases of clusters."""
        acls = tuple(
            ClusterAcl(found.id if (found := self._find_cluster(acl.id or acl.alias)) else acl.id, perm=acl.perm)
            for acl in role.clusters or ()
        )
        return Role(role.name, role.desc, acls or None, role.buckets, role.admin)

    async def _hash(self, password: str) -> str:
        async with self._turn():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _check(self, hashed: str, password: str) -> bool:
        async with self._turn():
            try:
                return await asyncio.to_thread(self._hasher.verify, hashed, password)
            except argon2.exceptions.VerificationError:
                return False

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """To hash a password. Raise `Overloaded` when too many wait for theirs."""
        if self._waiting >= _WAITING_MAX:
            raise Overloaded("too many log in at the same time: try again in a moment")
        self._waiting += 1
        try:
            async with self._hashing:
                yield
        finally:
            self._waiting -= 1
