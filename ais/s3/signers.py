"""Requests that are signed as others were before: what stays the same from one to the next is found out once.

A client signs all its requests with one key, over headers of the same names, and only time, path and values differ.
What `ais.s3.identity` finds out about the first is kept as a `_Way`, by the part of the signature that comes before its
digits and the names of all headers sent. For a request of a known way only the digits are computed anew, and compared;
of a session, that it is the same one and has not ended. All that is unusual about one makes it `identity`'s again,
which also says what is wrong. Nothing is kept of a request.
"""

import functools
import hashlib
import hmac
import re
from collections.abc import Callable
from operator import itemgetter
from typing import NamedTuple

from ais.auth.keys import KeyRing
from ais.auth.sessions import Session
from ais.auth.signing import Mac, canonical_query, signing_key
from ais.net.http import Headers, Request
from ais.s3 import sigv4
from ais.s3.front import S3Request
from ais.s3.identity import STREAMING_SIGNED, STREAMING_UNSIGNED, Identity
from ais.s3.policy import Caller
from ais.s3.principals import Principal
from ais.s3.sigv4 import ALGORITHM, SKEW_S_MAX, Signature, Signed

WAYS_MAX = 4096
"""Presigned URLs have one for each second in which some were made."""
WAY_BYTES_MAX = 4096
"""Of the header lines and the query of a request from which one is learned."""
SECURITY = "x-amz-security-token"
"""The header with the token of a session, or one of AuthN."""
_DATE, _PAYLOAD = "x-amz-date", "x-amz-content-sha256"
_IN_HEADER, _IN_QUERY = "Signature=", "&X-Amz-Signature="
_PRESIGNED = frozenset(
    f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
)
_SECURITY_PARAM = "X-Amz-Security-Token"
_PAYLOADS = frozenset((sigv4.UNSIGNED, STREAMING_UNSIGNED))
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SIMPLE_QUERY = re.compile(r"(?:(?!amz-|aws)[a-z0-9\-._~=&])*", re.IGNORECASE | re.ASCII)
"""Nothing encoded, and nothing that a signature is made of."""


class _Way(NamedTuple):
    """How requests are signed that differ in time, path and values of headers."""

    signature: Signature
    """Of the first one."""
    key: bytes
    mac: Mac
    """Under it."""
    scope: str
    user: str | None
    principal: Principal | None
    caller: Caller
    is_admin: bool
    query: str
    """Canonical, of presigned ones."""
    names: Callable[[dict[str, str]], object]
    """Takes the values of the signed headers."""
    lines: str
    """The lines that are signed of them, and their names, but for these values."""
    session: Session | None
    token: str
    """Of the session; empty without one."""


class Signers:
    """The ways that are known: of one version of the access keys."""

    def __init__(self) -> None:
        self._ways: dict[tuple[str, tuple[str, ...]], _Way] = {}
        self._keys: KeyRing | None = None
        self._is_required = True

    def recognize(self, http: Request, keys: KeyRing, *, required: bool, now_s: float) -> Identity | None:
        """Who signed a request; None: it may be anybody's, ask `identity.authenticate`.

        `required` as there: without it signatures are read and not compared.
        """
        if keys is not self._keys or required is not self._is_required:
            self._ways.clear()
            self._keys, self._is_required = keys, required
            return None
        headers, query = http.headers, http.query
        text = headers.get("authorization")
        if text is None:
            begin, _, given = query.rpartition(_IN_QUERY)
        else:
            begin, _, given = text.rpartition(_IN_HEADER)
        way = self._ways.get((begin, headers.names))
        if way is None or not headers.is_single:
            return None
        signature, payload = way.signature, headers.get(_PAYLOAD)
        expires_s = signature.expires_s
        if expires_s is None:
            stamp = headers.get(_DATE) or ""
            if payload is None or not stamp.startswith(signature.date):
                return None
            if query:
                if not _SIMPLE_QUERY.fullmatch(query):
                    return None
                query = canonical_query(query)
        else:
            stamp, query = signature.timestamp, way.query
        if payload is None:
            payload = sigv4.UNSIGNED
        elif not _SHA256.fullmatch(payload) and payload not in _PAYLOADS and payload not in STREAMING_SIGNED:
            return None
        time_s = _time_of(stamp)
        if time_s is None:
            return None
        found = Signature(
            signature.access_key,
            signature.date,
            signature.region,
            stamp,
            signature.signed_headers,
            given,
            expires_s,
            signature.service,
        )
        if not required:  # nothing may hide behind the digits
            return Identity(signature.access_key, found, None, True) if _SHA256.fullmatch(given) else None
        session, token = way.session, way.token
        if session is not None and (session.expires <= now_s or (expires_s is None and headers.get(SECURITY) != token)):
            return None
        age_s = now_s - time_s
        if age_s < -SKEW_S_MAX or age_s > (SKEW_S_MAX if expires_s is None else expires_s):
            return None
        lines = way.lines % headers.pick(way.names)
        if "  " in lines or "\t" in lines:
            return None
        canonical = f"{http.method}\n{http.path}\n{query}\n{lines}{payload}"
        digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
        expected = way.mac.hexdigest(f"{ALGORITHM}\n{stamp}\n{way.scope}\n{digest}".encode())
        if not given.isascii() or not hmac.compare_digest(expected, given):
            return None
        signed = Signed(way.key, way.scope, stamp, given) if payload in STREAMING_SIGNED else None
        return Identity(way.user, found, signed, False, way.principal, way.caller, session, token, way.is_admin)

    def learn(self, request: S3Request, found: Identity, keys: KeyRing, *, required: bool) -> None:
        """Remember how a request was signed that `identity.authenticate` let pass."""
        http, signature = request.http, found.signature
        headers = http.headers
        if not isinstance(signature, Signature) or not headers.is_single:
            return
        if keys is not self._keys or required is not self._is_required:
            return
        if len(headers.block) + len(http.query) > WAY_BYTES_MAX:
            return
        begin = _begin_of(headers, http.query, signature)
        is_presigned = signature.expires_s is not None
        if begin is None or (is_presigned and request.params.keys() - {_SECURITY_PARAM} != _PRESIGNED):
            return
        key = b""
        if required:
            secret = _secret_of(found, keys)
            if secret is None or not _stands_in_place(request, found.token, is_presigned=is_presigned):
                return
            key = signing_key(secret, signature.date, signature.region, signature.service)
        if len(self._ways) >= WAYS_MAX:
            self._ways.clear()
        names = signature.signed_headers
        self._ways[begin, headers.names] = _Way(
            signature,
            key,
            Mac(key),
            signature.scope,
            found.user,
            found.principal,
            found.caller,
            found.is_admin,
            canonical_query(begin) if is_presigned else "",
            itemgetter(*names),
            _template(names),
            found.session,
            found.token,
        )


def _template(names: tuple[str, ...]) -> str:
    """What is signed of headers, with `%s` where each value belongs."""
    escaped = [name.replace("%", "%%") for name in names]
    return "".join([f"{name}:%s\n" for name in escaped]) + f"\n{';'.join(escaped)}\n"


def _secret_of(found: Identity, keys: KeyRing) -> str | None:
    """What a request was signed with; None where it may be good for a moment only."""
    assert found.signature is not None
    if found.session is None:
        credential = keys.lookup(found.signature.access_key)
        return credential.secret if credential is not None else None
    return found.session.secret if keys.opened(found.token) is found.session else None


def _stands_in_place(request: S3Request, token: str, *, is_presigned: bool) -> bool:
    """Whether the token of a session, or none, stands where the signature does, and nothing like it elsewhere."""
    headers = request.http.headers
    if is_presigned:
        return SECURITY not in headers and request.params.get(_SECURITY_PARAM, "") == token
    return headers.get(SECURITY) == (token or None)


def _begin_of(headers: Headers, query: str, signature: Signature) -> str | None:
    """What comes before the digits of a signature that stands at the end; None: it does not."""
    if signature.expires_s is not None:
        begin, _, given = query.rpartition(_IN_QUERY)
    elif _DATE in signature.signed_headers and _DATE in headers:
        begin, _, given = (headers.get("authorization") or "").rpartition(_IN_HEADER)
    else:
        return None
    return begin if begin and given == signature.signature and _SHA256.fullmatch(given) else None


@functools.lru_cache(maxsize=1024)
def _time_of(stamp: str) -> float | None:
    """Unix seconds of a time as it is signed; None for what is none."""
    if not _STAMP.fullmatch(stamp):
        return None
    try:
        return sigv4.unix_time(stamp)
    except ValueError:
        return None
