"""What a node says about a request that it passes on to another: where it came from, and on whose behalf.

One header, authenticated with the key of the two nodes and bound to the request line, because the networks of a small
cluster share one port: a client must not be able to pretend to be another address or user.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

import msgspec

from ais.api import headers
from ais.base.errors import AccessDenied, NotReady
from ais.net.http import Request
from ais.s3.errors import S3Error

HEADER = headers.S3_VIA
_MAC_BYTES = 16


class Via(msgspec.Struct, frozen=True, array_like=True):
    """The client's address (`ip:port`) and scheme. `user` set: a node vouches for the caller, nobody signed.

    `bid`: ID of the bucket that the request is about, as the first node knew it; 0: not said.
    """

    remote: str
    scheme: str
    user: str | None = None
    bid: int = 0
    time_s: int = 0
    to: str = ""
    """When it was said (Unix seconds), and to which node."""
    by: str = ""
    """By which node."""
    nonce: bytes = b""
    """Of a change, which a node takes once."""
    hops: int = 0
    """How many nodes have passed it on that were sent it themselves: while names get other owners their maps differ."""
    name: str = ""
    token: str = ""
    """Of the user within the account `user`, and of a session, for which a node vouches."""
    map: int = 0
    """The version of the cluster map by which the node that was sent it is the one to answer."""
    is_permitted: bool = False
    """A token of `user` permits it, and nothing else is asked."""


HOPS_MAX = 2
WINDOW_S = 60
"""How long a note is good: nodes send it on at once."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Via)


def header(via: Via, key: bytes, method: str, target: str) -> str:
    """The header's value for a request line; `key` is that of `via.by` and `via.to`."""
    packed = _encoder.encode(via)
    return base64.b64encode(_mac(packed, key, method, target) + packed).decode()


def read(request: Request, keys_of: Callable[[str], tuple[bytes, ...]], me: str, now_s: float) -> Via | None:
    """What the passing node said; None when the request came from a client. `keys_of` gives our keys with a node.

    Raise `S3Error` for a header that is forged, old or for another node than `me`; `NotReady` when the passing node is
    not known here: one that was cut off learns so, its client asks another.
    """
    text = request.headers.get(HEADER.lower())
    if text is None:
        return None
    try:
        value = base64.b64decode(text, validate=True)
        packed = value[_MAC_BYTES:]
        found = _decoder.decode(packed)
        try:
            keys = keys_of(found.by)
        except AccessDenied:
            raise NotReady(f"{found.by[:40]}, which passed this on, is not in the cluster map of this node") from None
        mac, line = value[:_MAC_BYTES], (request.method, request.target)
        is_right = any(hmac.compare_digest(mac, _mac(packed, key, *line)) for key in keys)
        if is_right and found.to == me and abs(now_s - found.time_s) <= WINDOW_S:
            return found
    except (binascii.Error, ValueError, msgspec.MsgspecError, AccessDenied):
        pass
    raise S3Error("AccessDenied", f"{HEADER} is for nodes of the cluster")


def _mac(packed: bytes, key: bytes, method: str, target: str) -> bytes:
    text = f"{method} {target} ".encode() + packed
    return hashlib.blake2b(text, digest_size=_MAC_BYTES, key=key, person=b"ais s3 via").digest()
