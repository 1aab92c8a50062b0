"""Clients: who sends a request, and may they. Off unless `auth.enabled` or `auth.client_auth_required` is set.

They show a token, or sign with an administrator's key (`ais.node.signed`); whoever may open the Unix socket of the node
is an administrator. A token is verified once and remembered until it expires; a change of the configuration or of what
is revoked forgets all. Refusals name the user and what is granted, never the token.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from typing import NamedTuple, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from msgspec import structs

from ais.api import access, headers
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.auth import issuers, marks, tokens
from ais.auth.keys import KeyRing
from ais.auth.marks import Reader
from ais.auth.tokens import LEEWAY_S, BadToken, Claims, Method
from ais.base.errors import AccessDenied, BadRequest, Unauthenticated
from ais.base.units import format_duration
from ais.config.node import NodeConfig
from ais.config.sections import AuthSignature
from ais.env import Env
from ais.meta.smap import Smap, Snode
from ais.net.http import Again, Reply, Request
from ais.node import signed
from ais.node.oidc import Issuers
from ais.node.signed import Signed

TOKENS_MAX = 4096
_BEARER = "Bearer "
Asked = tuple[str | None, str, str, str]
"""What is permitted alike: `Authorization`, method, path up to the object's name, query."""
_KEY_REQUIRED = (
    "sign the request with an administrator's access key (AWS signature version 4), or send it to the gateway's Unix"
    " socket"
)
_CALLER = headers.CALLER_ID.lower()
_NS = 1_000_000_000


class Former(NamedTuple):
    """How tokens were signed before `auth.signature` was changed, and until when they are good (Unix seconds)."""

    signature: AuthSignature
    until_s: float


class Host(Protocol):
    """What it needs of the node. The values are replaced, never changed."""

    @property
    def env(self) -> Env: ...
    @property
    def config(self) -> NodeConfig: ...
    @property
    def snode(self) -> Snode: ...
    @property
    def smap(self) -> Smap: ...
    @property
    def former(self) -> Former | None: ...
    @property
    def keyring(self) -> KeyRing: ...
    @property
    def issuers(self) -> Issuers: ...
    @property
    def cluster_secret(self) -> bytes: ...

    @property
    def cluster_secrets(self) -> tuple[bytes, ...]: ...

    @property
    def known_keys(self) -> object:
        """Another one when `wire_keys` gives others."""

    def wire_key(self, node_id: str) -> bytes:
        """What this node signs with for another. Raise `NotReady`, or `AccessDenied` for one of another cluster."""

    def wire_keys(self, node_id: str) -> tuple[bytes, ...]:
        """What another one may sign with for this node. Raise as `wire_key` does."""


class Clients:
    """One per node."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, Claims] = {}
        self._admitted: dict[Asked, Claims] = {}
        """Who was found to be permitted what, while the tokens are taken for what they were."""
        self._basis: tuple[object, object, int] = (None, None, 0)
        self._now_ns = host.env.clock.now_ns
        self._marks = Reader(host.snode.id, host.wire_keys)
        self._marks_by: object = None
        """The keys that it knows."""

    @property
    def must_prove(self) -> bool:
        """Whether clients need a token, or a key."""
        return self._host.config.cluster.auth.is_closed

    @property
    def now_ns(self) -> int:
        """Unix nanoseconds."""
        return self._host.env.clock.now_ns()

    def of_header(self, authorization: str | None) -> Claims:
        """Who sends a request with this `Authorization`. Raise `Unauthenticated`."""
        if not authorization or not authorization.startswith(_BEARER):
            raise Unauthenticated("token required" if self._has_tokens else _KEY_REQUIRED)
        return self.of_token(authorization[len(_BEARER) :], 'header "Authorization"')

    def of_request(self, request: Request) -> Claims:
        """Who sends a request, its body not looked at. Raise as `signed`, `of_header`."""
        authorization = request.headers.get("authorization")
        if signed.is_signed(authorization):
            return self.signed(request.method, request.target, request.headers.items()).claims
        return self.of_header(authorization)

    def signed(self, method: str, target: str, lines: Iterable[tuple[str, str]]) -> Signed:
        """Who signed a request. Raise as `ais.node.signed.verify`."""
        return signed.verify(method, target, lines, self._host.keyring, self.now_ns / _NS)

    @property
    def _has_tokens(self) -> bool:
        auth = self._host.config.cluster.auth
        return bool(auth.signature.key or auth.oidc.allowed_iss)

    def of_token(self, token: str, where: str) -> Claims:
        """Who a token belongs to. Raise `Unauthenticated`."""
        self._forget_if_changed()
        claims = self._known.get(token)
        try:
            if claims is None:
                claims = self._verified(token)
                if len(self._known) >= TOKENS_MAX:
                    self._known.clear()
                self._known[token] = claims
            if self._is_over(claims):
                raise BadToken("invalid token [err: token expired]")
        except BadToken as error:
            raise Unauthenticated(f"invalid token from {where}: {error}") from None
        return claims

    def known(self, token: str) -> Claims | None:
        """Who a token belongs to that was verified before, while it is good; None: see `of_token`."""
        self._forget_if_changed()
        claims = self._known.get(token)
        return claims if claims is not None and not self._is_over(claims) else None

    def _forget_if_changed(self) -> None:
        host, (config, keyring, version) = self._host, self._basis
        if host.config is not config or host.keyring is not keyring or host.issuers.version != version:
            self._known, self._admitted, self._basis = {}, {}, (host.config, host.keyring, host.issuers.version)

    def admitted(self, asked: Asked) -> Claims | None:
        """Who asks this, if it was `admit`ted before and still is."""
        self._forget_if_changed()
        claims = self._admitted.get(asked)
        return claims if claims is not None and not self._is_over(claims) else None

    def admit(self, asked: Asked, claims: Claims) -> None:
        """Remember that the bearer of these claims may do what `asked` says."""
        if len(self._admitted) >= TOKENS_MAX:
            self._admitted.clear()
        self._admitted[asked] = claims

    def _is_over(self, claims: Claims) -> bool:
        return (claims.exp + LEEWAY_S) * _NS < self._now_ns()

    def require(self, claims: Claims, needed: Access, bck: Bck | None = None) -> None:
        """Raise `AccessDenied` unless the bearer may do this on the cluster, or on the bucket."""
        cluster = self._host.smap.uuid
        if claims.permits(needed, cluster, bck):
            return
        left = format_duration(max(0, claims.exp - self.now_ns // _NS))
        granted = claims.on_cluster(cluster) if bck is None else claims.on_bucket(cluster, bck)
        facts = [f"cluster {cluster}"] if bck is None else []
        facts += [f"user {claims.sub}", f"token expires in {left}"]
        facts += [] if bck is None else [f"bucket {bck.cname()}"]
        facts.append(f"granted({','.join(access.describe(granted))})")
        raise AccessDenied(f"user `{claims.sub}` has insufficient permissions: [{', '.join(facts)}]")

    def revocable(self, token: str) -> tuple[str, int]:
        """Under which name a token of ours is revoked, and until when that matters. Raise `BadToken`."""
        return token_name(token), self._decoded(token).exp

    def is_gateway(self, node_id: str) -> bool:
        """Whether that is a gateway of the cluster."""
        return node_id in self._host.smap.pmap

    # -- on the data path

    def is_node(self, request: Request) -> bool:
        """Whether a node sends it: its signature was verified before the request got here (`ais.node.trust`)."""
        return _CALLER in request.headers

    def mark(self, target_id: str, method: str, location: str) -> str:
        """The URL of a redirect, up to its time, with what the target asks for."""
        if not self.must_prove:
            return location
        return marks.sign(self._host.wire_key(target_id), target_id, method, location, self.now_ns)

    def take_mark(self, request: Request) -> bool:
        """Whether a gateway admitted the request: then its mark is taken off, and the rest of the URL is as signed."""
        host = self._host
        if self._marks_by is not host.known_keys:
            self._marks, self._marks_by = Reader(host.snode.id, host.wire_keys), host.known_keys
        try:
            target = self._marks.read(request.method, request.target, self._now_ns())
        except AccessDenied:  # of who is no gateway of the cluster
            return False
        if target is None:
            return False
        request.requery(target)
        return True

    def bind(self, reply: object, claims: Claims) -> None:
        """Have a reply repeated only while the token is good."""
        if type(reply) is Reply and reply.repeat is not None:
            reply.repeat = partial(self._repeat, reply.repeat, claims)

    def bound(self, again: Again, claims: Claims) -> Again:
        """What gives an answer again, only while the token is good."""
        host = self._host
        return partial(self._again, again, (claims.exp + LEEWAY_S) * _NS, host.keyring, host.issuers.version)

    def _repeat(self, inner: Callable[[Request], Again | None], claims: Claims, request: Request) -> Again | None:
        again = inner(request)
        return None if again is None else self.bound(again, claims)

    def _again(self, again: Again, end_ns: int, keyring: object, version: int) -> tuple[int, bytes, bytes] | None:
        host = self._host
        if host.keyring is not keyring or host.issuers.version != version or end_ns < self._now_ns():
            return None
        return again()

    def of_issuer(self, token: str) -> Claims:
        """What a token of one of `auth.oidc.allowed_iss` says. Raise `BadToken`, `NotReady` as `Issuers.key`."""
        if not self._host.config.cluster.auth.oidc.allowed_iss:
            raise BadToken("invalid token [err: the cluster trusts no issuer: see auth.oidc.allowed_iss]")
        return self._verified(token)

    def _verified(self, token: str) -> Claims:
        if self._host.keyring.is_revoked(token_name(token)):
            raise BadToken("invalid token [err: token revoked]")
        return self._decoded(token)

    def _decoded(self, token: str) -> Claims:
        auth = self._host.config.cluster.auth
        if auth.oidc.allowed_iss:
            issuer, key_id = issuers.named_by(token)
            found = self._host.issuers.key(issuer, key_id)
            audiences = auth.required_claims.aud
            return tokens.decode(token, found.key, found.algorithms, audiences=audiences, issuers=(issuer,))
        if not auth.signature.key:
            raise BadToken("invalid token [err: auth.signature is not configured]")
        try:
            return _signed(token, auth.signature, auth.required_claims.aud)
        except BadToken:
            former = self._host.former
            if former is None or former.until_s * _NS < self._now_ns():
                raise
            claims = _signed(token, former.signature, auth.required_claims.aud)
            return structs.replace(claims, exp=min(claims.exp, int(former.until_s) - LEEWAY_S))


def _signed(token: str, by: AuthSignature, audiences: Sequence[str]) -> Claims:
    try:
        algorithms = Method(by.method.lower() or "hmac").algorithms
        return tokens.decode(token, by.key, algorithms, audiences=audiences)
    except (UnsupportedAlgorithm, BadRequest) as error:
        raise BadToken(f"invalid token [err: auth.signature: {error}]") from None


def token_name(token: str) -> str:
    """What is kept of a token that was taken back: enough to know it again, not to use it."""
    return sha256(token.encode()).hexdigest()


def access_of(method: str, *, appends: bool) -> Access:
    """What a request on one object does. A POST names its action in the body, which a gateway does not read."""
    return _ACCESS[method] if not (appends and method == "PUT") else Access.APPEND


_ACCESS = {
    "GET": Access.GET,
    "HEAD": Access.HEAD_OBJECT,
    "PUT": Access.PUT,
    "DELETE": Access.DELETE_OBJECT,
    "PATCH": Access.UPDATE_OBJECT,
    "POST": access.READ_WRITE,
}
