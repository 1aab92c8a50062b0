"""Operations on the service: list the caller's buckets, create one; and what is said about a bucket as such."""

from typing import Any

from ais.api.bucket import AIS, GLOBAL, Bck
from ais.base.names import SYSTEM_BUCKET_PREFIX
from ais.base.units import is_whole
from ais.meta.bmd import BMD, Bucket, inherited_props, new_bid
from ais.net.http import Reply
from ais.node.node import Node
from ais.node.s3 import Gate
from ais.proxy.s3.call import Call, change_of
from ais.s3 import acl, answers, bucket_names, documents, identity, listings, lock
from ais.s3.acl import Acl, Asked
from ais.s3.documents import DEFAULT_REGION, ListedBucket
from ais.s3.errors import S3Error
from ais.s3.front import S3Request
from ais.s3.identity import Identity

BUCKETS_MAX = 10_000
"""Of one page of a listing."""
_LISTING = "ListBuckets"
"""In place of the ID of a listing: pages of buckets have nothing in common but where to go on."""


class Service:
    """One per proxy."""

    def __init__(self, node: Node, gate: Gate) -> None:
        self._node = node
        self._gate = gate

    async def list_buckets(self, request: S3Request, caller: Identity) -> Reply:
        """The buckets that the caller owns; all of them while nobody has to authenticate."""
        _require_known(caller)
        self._gate.require_of_account(request, caller, "s3:ListAllMyBuckets", "")
        params = request.params
        limit = _buckets_max(params.get("max-buckets"))
        prefix, token = params.get("prefix", ""), params.get("continuation-token")
        after = listings.decode_token(token)[1] if token is not None else ""
        region = params.get("bucket-region", "")
        found = [
            ListedBucket(bucket.bck.name, bucket.props.created / 1e9, bucket.props.of_s3.region)
            for bucket in self._node.bmd
            if self._is_shown(bucket, caller) and bucket.bck.name.startswith(prefix) and bucket.bck.name > after
        ]
        if region:
            found = [one for one in found if (one.region or DEFAULT_REGION) == region]
        found.sort()
        next_token = listings.encode_token(_LISTING, found[limit - 1].name) if len(found) > limit else ""
        body = documents.buckets(found[:limit], _owner(caller), prefix, next_token)
        return answers.xml_reply(request.id, body)

    def _is_shown(self, bucket: Bucket, caller: Identity) -> bool:
        """Whether it is the caller's, and what requests that name it get."""
        if not bucket.has_backend:
            return _is_visible(bucket, caller)
        named = self._gate.buckets.get(bucket.bck.name)
        return named is not None and named.bck == bucket.bck and _is_callers(bucket, caller)

    def check_create(self, request: S3Request, caller: Identity) -> None:
        """Refuse what cannot be created, before the body is read. Raise `S3Error`."""
        _require_known(caller)
        self._gate.require_of_account(request, caller, "s3:CreateBucket", request.bucket)
        bucket_names.check_new(request.bucket)
        self._access(request, caller)
        _is_locked(request)
        self._check_free(self._node.bmd, request.bucket, caller)

    async def create(self, request: S3Request, caller: Identity, body: bytes) -> Reply:
        """Make a bucket that belongs to the caller. Raise `S3Error`."""
        region, tags = documents.parse_create(body)
        ownership, wanted = self._access(request, caller)
        bck = Bck(request.bucket)
        made: dict[str, Any] = {
            "owner": _owner(caller),
            "region": region,
            "tags": tags,
            "ownership": ownership,
            "acl": wanted.text(),
        }
        if _is_locked(request):
            made |= {"versioning": "Enabled", "documents": {lock.DOCUMENT: lock.ENABLED}}

        def change(bmd: BMD) -> BMD:
            self._check_free(bmd, request.bucket, caller)
            bid = new_bid(bck.provider, self._node.term, bmd.version + 1)
            props = inherited_props(bck, self._node.config.cluster, bid, self._node.env.clock.now_ns())
            return bmd.with_bucket(bck, props.with_s3(**made))

        await change_of(self._node, made["owner"], change)
        return answers.reply(request.id, 200, ("Location", f"/{request.bucket}"))

    async def head(self, call: Call) -> Reply:
        """That the bucket is there, and where."""
        return answers.reply(call.request.id, 200, ("x-amz-bucket-region", call.bucket.s3.region or DEFAULT_REGION))

    async def location(self, call: Call) -> Reply:
        """The location constraint it was created with."""
        return answers.xml_reply(call.request.id, documents.location(call.bucket.s3.region))

    def _access(self, request: S3Request, caller: Identity) -> tuple[str, Acl]:
        """Object ownership (empty: enforced) and access control list of a new bucket. Raise `S3Error`."""
        default = self._node.config.cluster.net.s3_object_ownership
        ownership = request.header("x-amz-object-ownership", default)
        if ownership not in acl.OWNERSHIPS:
            raise S3Error("InvalidArgument", "Invalid x-amz-object-ownership header: " + ownership[:100])
        owner = _owner(caller)
        wanted = acl.of_headers(request.headers, Asked(owner, owner, self._gate.is_user), of_bucket=True)
        if ownership == acl.ENFORCED and not wanted.is_private:
            raise S3Error("InvalidBucketAclWithObjectOwnership")
        return "" if ownership == acl.ENFORCED else ownership, wanted

    @staticmethod
    def _check_free(bmd: BMD, name: str, caller: Identity) -> None:
        bucket = bmd.get(Bck(name))
        if bucket is None:
            return
        if _is_visible(bucket, caller):
            raise S3Error("BucketAlreadyOwnedByYou", BucketName=name)
        raise S3Error("BucketAlreadyExists", BucketName=name)


def _is_locked(request: S3Request) -> bool:
    """Whether a new bucket is to have object lock. Raise `S3Error` InvalidArgument."""
    value = request.header("x-amz-bucket-object-lock-enabled", "false").lower()
    if value not in ("true", "false"):
        raise S3Error("InvalidArgument", "x-amz-bucket-object-lock-enabled is true or false")
    return value == "true"


def _owner(caller: Identity) -> str:
    """Whose the caller's new buckets are: nobody's, while callers need not say the truth."""
    return caller.user or "" if caller.is_bearer or not caller.trusted else ""


def _require_known(caller: Identity) -> None:
    if caller.user is None and not caller.trusted:
        raise S3Error("AccessDenied")


def _is_visible(bucket: Bucket, caller: Identity) -> bool:
    bck = bucket.bck
    if bck.provider != AIS or bck.namespace != GLOBAL or bck.name.startswith(SYSTEM_BUCKET_PREFIX):
        return False
    return not bucket.props.renamed and _is_callers(bucket, caller)


def _is_callers(bucket: Bucket, caller: Identity) -> bool:
    return caller.trusted or identity.owns(caller, bucket.props.of_s3.owner)


def _buckets_max(text: str | None) -> int:
    if text is None:
        return BUCKETS_MAX
    if not is_whole(text) or not 1 <= int(text) <= BUCKETS_MAX:
        raise S3Error("InvalidArgument", f"max-buckets must be an integer between 1 and {BUCKETS_MAX}")
    return int(text)
