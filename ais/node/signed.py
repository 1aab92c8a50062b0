"""Native requests that are signed with an administrator's access key, the way that S3 clients sign (version 4).

That closes the native API before there are tokens, and lets an administrator in whose tokens do not work.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ais.auth import signing
from ais.auth.keys import KeyRing
from ais.auth.tokens import LEEWAY_S, Claims
from ais.base.errors import AccessDenied, Unauthenticated
from ais.s3 import sigv4
from ais.s3.errors import S3Error

_PAYLOAD = "x-amz-content-sha256"


class Signed(NamedTuple):
    """Who signed a request, and what its body must hash to (SHA-256 in hex; or `UNSIGNED-PAYLOAD`)."""

    claims: Claims
    payload: str


def is_signed(authorization: str | None) -> bool:
    """Whether a request says that it is signed so."""
    return authorization is not None and authorization.startswith(signing.ALGORITHM)


def verify(method: str, target: str, lines: Iterable[tuple[str, str]], keys: KeyRing, now_s: float) -> Signed:
    """Who signed this request to `target` (path and query as sent). `lines`: its header lines, names in any case.

    Raise `Unauthenticated`; `AccessDenied` when the key is good and no administrator's.
    """
    headers: dict[str, list[str]] = {}
    for name, value in lines:
        headers.setdefault(name.lower(), []).append(value)
    path, _, query = target.partition("?")
    try:
        return _verify(method, path, query, headers, keys, now_s)
    except S3Error as error:
        raise Unauthenticated(f"invalid signature: {error}") from None


def _verify(
    method: str, path: str, query: str, headers: Mapping[str, Sequence[str]], keys: KeyRing, now_s: float
) -> Signed:
    signature = sigv4.read_signature(headers, {})
    payload = headers.get(_PAYLOAD, ())
    if signature is None or len(payload) != 1:
        raise S3Error("MissingSecurityHeader", f"send {_PAYLOAD} once, with the SHA-256 of the body")
    found = keys.lookup(signature.access_key)
    if found is None or found.disabled:
        raise S3Error("InvalidAccessKeyId")
    sigv4.check_time(signature, now_s)
    sigv4.check_headers(signature, headers)
    sigv4.verify(
        signature, found.secret, method=method, path=path, query=query, headers=headers, payload_hash=payload[0]
    )
    if not found.is_admin:
        raise AccessDenied(
            f'access key "{signature.access_key}" of user `{found.user}` is for S3: the native API takes those of'
            ' administrators ("ais auth key create USER --admin")'
        )
    end_s = int(signature.time_s) + sigv4.SKEW_S_MAX - LEEWAY_S
    return Signed(Claims(found.user, end_s, admin=True), payload[0])
