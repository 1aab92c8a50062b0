"""What a request says about the object it makes besides its bytes: headers, tags, owner and access control list."""

from collections.abc import Callable

from ais.core import holds
from ais.s3 import acl, facts, lock
from ais.s3.acl import Acl, Asked
from ais.s3.buckets import S3Bucket
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.front import S3Request
from ais.s3.identity import Identity

OWNER, ACL = "owner", "acl"
"""Facts of an object that is not its bucket owner's, or not private."""
_HARMLESS = ("private", "bucket-owner-full-control", "bucket-owner-read")
"""What may be asked for where there are no lists: it is so already."""
IsUser = Callable[[str], bool]


NOT_COPIED = (facts.REDIRECT, OWNER, ACL, holds.MODE, holds.UNTIL, holds.LEGAL_HOLD)
"""What a copy has of its request, never of its source."""


def facts_of(request: S3Request, caller: Identity, bucket: S3Bucket, is_user: IsUser, now_s: float) -> Facts:
    """The facts that a PUT, copy or create-upload brings. Raise `S3Error` for what cannot be."""
    held = lock.of_headers(request, bucket.s3.documents.get(lock.DOCUMENT, ""), now_s)
    return facts.of_request(request) | _access(request, caller, bucket, is_user) | held


def acl_of(kept: Facts, bucket: S3Bucket) -> Acl:
    """The list of an object."""
    return acl.read(kept.get(OWNER, bucket.s3.owner), kept.get(ACL, ""))


def check_lists_disabled(request: S3Request) -> None:
    """Raise `S3Error` unless a list is asked for that says what is so without any."""
    if any(name.startswith("x-amz-grant-") for name in request.headers):
        raise S3Error("AccessControlListNotSupported")
    if request.header("x-amz-acl", "private") not in _HARMLESS:
        raise S3Error("AccessControlListNotSupported")


def check_public(wanted: Acl, bucket: S3Bucket) -> None:
    """Raise `S3Error` AccessDenied for a public list where such are blocked."""
    if wanted.is_public and (bucket.s3.public_access_block or {}).get("BlockPublicAcls"):
        raise S3Error("AccessDenied", "Public access control lists are blocked by BlockPublicAcls of this bucket")


def with_acl(kept: Facts, wanted: Acl) -> Facts:
    """The facts with another list."""
    rest = {name: value for name, value in kept.items() if name != ACL}
    return {**rest, ACL: text} if (text := wanted.text()) else rest


def _access(request: S3Request, caller: Identity, bucket: S3Bucket, is_user: IsUser) -> Facts:
    if not bucket.uses_acls:
        check_lists_disabled(request)
        return {}
    bucket_owner = bucket.s3.owner
    gives_away = bucket.s3.ownership == acl.PREFERRED and request.header("x-amz-acl") == "bucket-owner-full-control"
    is_known = bucket_owner and caller.user and not caller.trusted and not gives_away
    owner = caller.user if is_known and caller.user else bucket_owner
    wanted = acl.of_headers(request.headers, Asked(owner, bucket_owner, is_user))
    check_public(wanted, bucket)
    kept = with_acl({}, wanted)
    return kept if owner == bucket_owner else {OWNER: owner, **kept}
