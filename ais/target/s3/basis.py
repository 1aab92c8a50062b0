"""What the short ways over S3 have in common: what they rely on besides an object, and who asks."""

from ais.api import access
from ais.api.access import Access
from ais.auth.tokens import Claims
from ais.net.http import Request
from ais.node.s3 import Gate
from ais.s3 import via
from ais.s3.buckets import S3Bucket
from ais.s3.identity import Identity
from ais.s3.signers import SECURITY
from ais.s3.sigv4 import Signature
from ais.target.front import Front
from ais.target.host import Host
from ais.target.maps import Maps
from ais.target.view import BucketView

VIA = via.HEADER.lower()
HARMLESS = frozenset(
    (
        *("host", "user-agent", "accept", "accept-encoding", "connection", "authorization", "x-amz-date", SECURITY),
        *("x-amz-content-sha256", "x-amz-user-agent", "amz-sdk-invocation-id", "amz-sdk-request", VIA),
    )
)
"""What may be sent with any request and asks for nothing."""


class Basis:
    """One version of buckets, configuration, access keys and cluster map: while all are the same, what was found out
    once holds for whatever is alike. `now` is another tuple after `renew`."""

    __slots__ = ("_front", "_gate", "_host", "_maps", "now")

    def __init__(self, host: Host, gate: Gate, front: Front, maps: Maps) -> None:
        self._host = host
        self._gate = gate
        self._front = front
        self._maps = maps
        self.renew()

    def renew(self) -> None:
        """Rely on what there is now."""
        host = self._host
        self.now = (self._front.views, host.bmd, host.config, host.keyring, host.smap)

    def is_now(self) -> bool:
        """Whether nothing has changed since."""
        views, bmd, config, keyring, smap = self.now
        host = self._host
        return (
            views is self._front.views
            and smap is host.smap
            and bmd is host.bmd
            and config is host.config
            and keyring is host.keyring
        )

    def caller(self, request: Request, queries: tuple[str, ...]) -> Identity | None:
        """Who asks; None when that is not known at once, or when the query is none of those that ask for nothing."""
        caller = self._gate.recognize(request)
        if caller is None:
            is_open = not self._gate.is_closed and "authorization" not in request.headers
            return Identity(trusted=True) if is_open and request.query in queries else None
        signature = caller.signature
        is_presigned = isinstance(signature, Signature) and signature.expires_s is not None
        return caller if is_presigned or request.query in queries else None

    def bearer(self, request: Request, bucket: S3Bucket, needed: Access, queries: tuple[str, ...]) -> Claims | None:
        """Whom a token of AuthN permits this on a simple bucket; None: nobody, or the query is none of those."""
        if SECURITY not in request.headers or request.query not in queries:
            return None
        return self._gate.bearer(request, bucket, needed)

    def is_for_here(self, request: Request, bucket: S3Bucket) -> bool:
        """Whether the node that passed a request on, if one did, knows no more than this one. Raise `S3Error`."""
        if VIA not in request.headers:
            return True
        note = self._gate.note_of(request)
        return (
            note is not None
            and note.user is None
            and note.map <= self._maps.version
            and note.bid in (0, bucket.bucket.bid)
        )

    def is_simple(self, bucket: S3Bucket, view: BucketView) -> bool:
        """Whether its owner may do everything with a bucket, and nobody else anything, and what is here is plain."""
        return (
            view.is_plain
            and not self._gate.has_domain
            and bucket is self._gate.buckets.get(bucket.name)  # it was not changed meanwhile
            and bucket.bucket.props.access == access.ALL
            and not bucket.rights.statements
            and not bucket.uses_acls
            and not bucket.requester_pays
        )


def may(caller: Identity, bucket: S3Bucket) -> bool:
    """Whether a simple bucket is the caller's, whose own policies say nothing; or nobody has to be known."""
    return caller.trusted or (caller.principal is None and bucket.rights.is_owned_by(caller))
