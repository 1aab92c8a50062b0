"""What AuthN keeps and sends: users, roles, clusters; and the rules of their names and permissions."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from ais.api import codec
from ais.api.access import ALL, READ_ONLY, READ_WRITE
from ais.api.codec import U64
from ais.api.errors import RemoteError
from ais.auth.tokens import BucketAcl, ClusterAcl

ADMIN_ROLE = "Admin"
NAME_LEN_MAX = 32
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_FAILED = "ErrFailedTo"


class Role(msgspec.Struct, frozen=True):
    """What its holders may do. `admin` is for the built-in role only."""

    name: str = ""
    desc: str = ""
    clusters: tuple[ClusterAcl, ...] | None = None
    buckets: tuple[BucketAcl, ...] | None = None
    admin: bool = False


class User(msgspec.Struct, frozen=True, omit_defaults=True):
    """One user as requests and answers have it; the password is never sent."""

    id: str
    password: str = msgspec.field(name="pass", default="")
    roles: tuple[Role, ...] | None = None


class Clusters(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a question for clusters."""

    clusters: dict[str, ClusterAcl] = {}


class Login(msgspec.Struct, frozen=True):
    """`expires_in`: nanoseconds; 0: as long as it goes, null: the usual time."""

    password: str = ""
    expires_in: int | None = None


class TokenMsg(msgspec.Struct, frozen=True):
    """A token to revoke."""

    token: str = ""


BUILT_IN = Role(ADMIN_ROLE, "AuthN administrator", admin=True)


def failed(action: str, what: str, reason: str, status: int) -> RemoteError:
    """`failed to <action> <what>`, as AIStore words it."""
    return RemoteError(f"AuthN: failed to {action} {what}, err: {reason}", status, _FAILED)


def not_found(kind: str, name: str) -> RemoteError:
    """The words `user `, `role `, `cluster ` are what the SDK looks for."""
    text = f"AuthN: cluster {name} does not exist" if kind == "cluster" else f'{kind} "{name}" does not exist'
    return RemoteError(text, 404, "ErrNotFound")


def name_fault(kind: str, name: str) -> str:
    """Why a name cannot be one; empty: it can."""
    if not name:
        return f"{kind} name is undefined"
    if len(name) >= NAME_LEN_MAX or not _NAME.fullmatch(name):
        return (
            f'{kind} name "{name[:100]}" is invalid: must be less than {NAME_LEN_MAX} characters and may only contain'
            " letters, numbers, dashes (-), underscores (_)"
        )
    return ""


def roles_of_cluster(cluster: ClusterAcl) -> list[Role]:
    """The roles that come with a registered cluster."""
    label = cluster.alias or cluster.id
    shown = f"{cluster.id}[{label}]"

    def role(prefix: str, desc: str, perm: int) -> Role:
        return Role(f"{prefix}-{label}", desc, (ClusterAcl(cluster.id, perm=U64(perm)),))

    return [
        role("ClusterOwner", f"Admin access to {shown}", ALL),
        role("BucketOwner", f"Full access to buckets in {shown}", READ_WRITE),
        role("Guest", f"Read-only access to buckets in {shown}", READ_ONLY),
    ]


def merged(role: Role, update: Role) -> Role:
    """`role` with what an update brings: permissions per cluster and bucket are replaced or added."""
    return Role(
        role.name,
        update.desc or role.desc,
        _replaced(role.clusters, update.clusters, lambda acl: acl.id),
        _replaced(role.buckets, update.buckets, lambda acl: acl.bck),
        role.admin,
    )


def united(roles: Iterable[Role]) -> tuple[tuple[ClusterAcl, ...] | None, tuple[BucketAcl, ...] | None, bool]:
    """All that several roles permit together: clusters, buckets, whether everything."""
    clusters: dict[str, int] = {}
    buckets: dict[Any, int] = {}
    is_admin = False
    for role in roles:
        is_admin = is_admin or role.admin
        for acl in role.clusters or ():
            clusters[acl.id] = clusters.get(acl.id, 0) | int(acl.perm)
        for own in role.buckets or ():
            buckets[own.bck] = buckets.get(own.bck, 0) | int(own.perm)
    return (
        tuple(ClusterAcl(one, perm=U64(perm)) for one, perm in clusters.items()) or None,
        tuple(BucketAcl(bck, U64(perm)) for bck, perm in buckets.items()) or None,
        is_admin,
    )


def parse(body: bytes, kind: Any, path: str) -> Any:
    """A request's body. Raise an error that names what is wrong with it."""
    if not body.strip():
        raise RemoteError(f"{path}: the request has no body, expected JSON", 400)
    return codec.from_json(body, kind)


def strict_permissions(body: bytes) -> None:
    """Raise unless every `perm` is a string, as AIStore demands: a number of 64 bits loses its last ones in JSON."""
    found = codec.parse_json(body or b"{}")
    acls = [acl for key in ("clusters", "buckets") for acl in (found.get(key) or ())] if isinstance(found, dict) else []
    if any(not isinstance(acl, dict) or not isinstance(acl.get("perm", ""), str) for acl in acls):
        raise RemoteError('invalid role: each "perm" must be a decimal number in a string', 400)


def _replaced(old: Any, new: Any, key: Any) -> Any:
    by_key = {key(acl): acl for acl in (*(old or ()), *(new or ()))}
    return tuple(by_key.values()) or None
