"""Bodies of `/v1/auth/keys`: what is asked for, and what is told about S3 access keys."""

import msgspec

from ais.api.codec import U64

KEYS = "/v1/auth/keys"


class NewKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key to make for a user; with `id` and `secret` (both) one that exists elsewhere already.

    `admin`: it signs native requests as an administrator.
    """

    user: str
    id: str = ""
    secret: str = ""
    admin: bool = False


class CreatedKey(msgspec.Struct, frozen=True):
    """The key that was made: the only answer with its secret. `created`: Unix nanoseconds."""

    id: str
    secret: str
    user: str
    created: U64

    def __repr__(self) -> str:
        return f"CreatedKey(id={self.id!r}, user={self.user!r})"


class KeyState(msgspec.Struct, frozen=True):
    """A change of a key."""

    disabled: bool


class KeyInfo(msgspec.Struct, frozen=True):
    """A key without its secret. `created`: Unix nanoseconds."""

    id: str
    user: str
    created: U64 = U64(0)
    disabled: bool = False
    admin: bool = False
