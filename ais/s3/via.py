"""What a node says about a request that it passes on to another: where it came from, and on whose behalf.

One header, authenticated with the cluster's secret and bound to the request line, because the networks of a small
cluster share one port: a client must not be able to pretend to be another address or user.
"""

import base64
import binascii
import hashlib
import hmac

import msgspec

from ais.api import headers
from ais.base.errors import NotReady
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


WINDOW_S = 60
"""How long a note is good: nodes send it on at once."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Via)


def header(via: Via, secret: bytes, method: str, target: str) -> str:
    """The header's value for a request line. Raise `NotReady` before the cluster has a secret."""
    packed = _encoder.encode(via)
    return base64.b64encode(_mac(packed, secret, method, target) + packed).decode()


def read(request: Request, secret: bytes, me: str, now_s: float) -> Via | None:
    """What the passing node said; None when the request came from a client.

    Raise `S3Error` for a header that is forged, old or for another node than `me`.
    """
    text = request.headers.get(HEADER.lower())
    if text is None:
        return None
    try:
        value = base64.b64decode(text, validate=True)
        packed = value[_MAC_BYTES:]
        if hmac.compare_digest(value[:_MAC_BYTES], _mac(packed, secret, request.method, request.target)):
            found = _decoder.decode(packed)
            if found.to == me and abs(now_s - found.time_s) <= WINDOW_S:
                return found
    except (binascii.Error, ValueError):
        pass
    raise S3Error("AccessDenied", f"{HEADER} is for nodes of the cluster")


def _mac(packed: bytes, secret: bytes, method: str, target: str) -> bytes:
    if not secret:
        raise NotReady("this node has not received the cluster's secret yet: try again")
    return hashlib.blake2b(
        f"{method} {target} ".encode() + packed, digest_size=_MAC_BYTES, key=secret, person=b"ais s3 via"
    ).digest()
