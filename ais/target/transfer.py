"""What travels beside the bytes when a target sends objects to another one: our own protocol.

One object is a PUT with a header. Small ones that only get another owner go many in one request: a POST of `Small` to
`SMALL`, which is answered by a bool for each: whether it is there now. What it is not there for, a PUT of its own says.
"""

import base64
import binascii

import msgspec

from ais.base.errors import AlreadyExists, BadRequest
from ais.core.meta import ObjectMeta
from ais.core.publish import Condition

TRANSFER = "Ais-Object-Transfer"
SMALL = "/v1/small-objects"
SMALL_BYTES_MAX = 64 << 10
"""Of one object that goes with others."""
TOGETHER_BYTES_MAX = 512 << 10
"""Of all in one request: what a node takes as a message, by default, is twice as much."""
LATEST, BELOW = "latest", "below"
"""Parts of a name: its latest version, which comes last and makes the name be there, and those below it."""
_encoder = msgspec.msgpack.Encoder()


class Transfer(msgspec.Struct, frozen=True, array_like=True):
    """The object's metadata and times (access, modification). `version` None: the destination counts its own.

    `only_if_absent`: keep what the destination has already, and say so with `AlreadyExists`. `part`: of a name that
    gets another owner (`ais.core.departure`), this version. `keeps_name`: the object only gets another owner; what that
    has already may be an older write of it, from slices. `is_awaited`: by a client, so nobody rests meanwhile.
    """

    meta: ObjectMeta
    version: str | None = None
    times_ns: tuple[int, int] | None = None
    only_if_absent: bool = False
    part: str = ""
    keeps_name: bool = False
    is_awaited: bool = False

    @property
    def is_given(self) -> bool:
        """Whether it takes the place of nothing but, maybe, an older write of the same object."""
        return self.only_if_absent or bool(self.part)

    @property
    def is_copy(self) -> bool:
        """Whether this is a new object, and not one that only has another place."""
        return self.version is None and not self.is_given

    def header(self) -> str:
        """The header's value."""
        return base64.b64encode(_encoder.encode(self)).decode()

    @classmethod
    def parse(cls, text: str) -> "Transfer":
        """Read what `header` wrote. Raise `BadRequest`."""
        try:
            return _decoder.decode(base64.b64decode(text, validate=True))
        except (msgspec.DecodeError, msgspec.ValidationError, binascii.Error, ValueError) as error:
            raise BadRequest(f"invalid {TRANSFER}: {error}") from None


_decoder = msgspec.msgpack.Decoder(Transfer)


class Small(msgspec.Struct, frozen=True, array_like=True):
    """An object of a bucket, whole."""

    name: str
    transfer: Transfer
    content: bytes


class Together(msgspec.Struct, frozen=True, array_like=True):
    """What one request brings. `bucket`: its uname. `bid`: which one that is; 0: the sender says nothing."""

    bucket: str
    objects: list[Small]
    bid: int = 0


def absent(cname: str) -> Condition:
    """The condition of a commit that must not replace an object."""

    def check(stored: ObjectMeta | None) -> None:
        if stored is not None:
            raise AlreadyExists(f"{cname} exists already")

    return check


def not_older(cname: str, meta: ObjectMeta) -> Condition:
    """The condition of a commit that must only replace an older write of the same object; in doubt none."""

    def check(stored: ObjectMeta | None) -> None:
        if stored is not None and (stored.stamp >= meta.stamp or stored.stamp[1] >= meta.stamp[1]):
            raise AlreadyExists(f"{cname} exists already")

    return check


def unchanged(meta: ObjectMeta, cname: str) -> Condition:
    """The condition of a removal that must not remove anything newer than `meta`."""

    def check(stored: ObjectMeta | None) -> None:
        if stored is not None and stored != meta:
            raise AlreadyExists(f"{cname} was replaced meanwhile")

    return check
