"""Access permission bits (`wire.md` §9.7): what a bucket's `access` property and a role may allow."""

from enum import IntFlag

from ais.base.errors import AccessDenied


class Access(IntFlag):
    """One bit per operation; the value travels as a decimal string."""

    GET = 1 << 0
    HEAD_OBJECT = 1 << 1
    PUT = 1 << 2
    APPEND = 1 << 3
    DELETE_OBJECT = 1 << 4
    MOVE_OBJECT = 1 << 5
    PROMOTE = 1 << 6
    UPDATE_OBJECT = 1 << 7
    HEAD_BUCKET = 1 << 8
    LIST_OBJECTS = 1 << 9
    PATCH = 1 << 10
    SET_BUCKET_ACL = 1 << 11
    LIST_BUCKETS = 1 << 12
    SHOW_CLUSTER = 1 << 13
    CREATE_BUCKET = 1 << 14
    DESTROY_BUCKET = 1 << 15
    MOVE_BUCKET = 1 << 16
    ADMIN = 1 << 17


ALL = (1 << 64) - 1
READ_ONLY = Access.GET | Access.HEAD_OBJECT | Access.HEAD_BUCKET | Access.LIST_OBJECTS
READ_WRITE = READ_ONLY | Access.PUT | Access.APPEND | Access.DELETE_OBJECT | Access.MOVE_OBJECT

NAMED = {"ro": int(READ_ONLY), "rw": int(READ_WRITE), "su": ALL}
"""Short names the CLI takes."""


def describe(access: int) -> list[str]:
    """Wire names of the bits set: `["GET", "HEAD-OBJECT", ...]`."""
    return [bit.name.replace("_", "-") for bit in Access if access & bit and bit.name]


WITHOUT_AUTHN = READ_ONLY | Access.PATCH | Access.SET_BUCKET_ACL
"""What a bucket's `access` cannot forbid while nobody has to authenticate (`wire.md` §22)."""


def require(granted: int, needed: Access, bucket_cname: str) -> None:
    """Raise `AccessDenied` unless a bucket whose `access` is `granted` lets anybody do `needed`."""
    if missing := needed & ~(granted | WITHOUT_AUTHN):
        names = ", ".join(describe(missing))
        allowed = ", ".join(describe(granted))
        raise AccessDenied(f"bucket {bucket_cname}: {names} access denied (allowed: [{allowed}])")
