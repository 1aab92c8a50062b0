"""What targets tell each other about S3 objects: the stored metadata beside the bytes, for copies between targets."""

import base64
import binascii

import msgspec

from ais.base.errors import IntegrityError
from ais.core.meta import ObjectMeta

META = "Ais-S3-Meta"
VERIFY = "Ais-S3-Verify"
"""Asks the owner of a copy source to compare the whole object before it sends a range of it."""


class Described(msgspec.Struct, frozen=True, array_like=True):
    """An object as its owner stores it, and its last-modified time (Unix ns)."""

    meta: ObjectMeta
    mtime_ns: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Described)


def meta_line(meta: ObjectMeta, mtime_ns: int) -> bytes:
    """The header that only nodes get, preformatted."""
    return b"%b: %b\r\n" % (META.encode(), base64.b64encode(_encoder.encode(Described(meta, mtime_ns))))


def read_meta(headers: dict[str, str]) -> Described:
    """Read `meta_line` from an answer. Raise `IntegrityError`."""
    try:
        return _decoder.decode(base64.b64decode(headers[META.lower()], validate=True))
    except (KeyError, binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise IntegrityError(f"the owner of the copy source answered without its metadata: {error!r}") from None
