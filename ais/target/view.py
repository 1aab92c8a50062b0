"""What the data path needs to know about a bucket, looked up once per BMD version instead of once per request."""

from ais.api import access
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.base.errors import AccessDenied, BucketNotFound
from ais.config import features
from ais.meta.bmd import BMD, Bucket

_KEYS_MAX = 4096
_NEVER_REFUSED = int(access.READ_ONLY | Access.PATCH | Access.SET_BUCKET_ACL)
"""Without AuthN nobody could lift a refusal of these, so the bucket's bits do not apply to them (wire contract §22)."""


class BucketView:
    """One bucket as requests use it."""

    __slots__ = ("allowed", "bck", "checksum_kind", "fsyncs", "is_renamed", "props", "uname", "verifies", "versioned")

    def __init__(self, bucket: Bucket) -> None:
        props = bucket.props
        self.bck = bucket.bck
        self.uname = bucket.uname
        self.props = props
        self.allowed = int(props.access) | _NEVER_REFUSED
        self.checksum_kind = props.checksum.type
        self.versioned = props.versioning.enabled
        self.verifies = props.checksum.validate_warm_get
        self.fsyncs = bool(props.features & features.FSYNC_PUT)
        self.is_renamed = bool(props.renamed)

    def require(self, operation: Access) -> None:
        """Raise `AccessDenied` unless the bucket's access bits allow `operation`."""
        if not self.allowed & operation:
            raise AccessDenied(
                f"bucket {self.bck.cname()}: {(operation.name or '').replace('_', '-')} access denied "
                f"(allowed: [{', '.join(access.describe(self.props.access))}])"
            )


class Views:
    """The buckets of one BMD version, found by what a URL says. Make a new one for each version."""

    __slots__ = ("_bmd", "_by_bck", "_by_key")

    def __init__(self, bmd: BMD) -> None:
        self._bmd = bmd
        self._by_bck: dict[Bck, BucketView] = {}
        self._by_key: dict[tuple[str, str], BucketView] = {}

    def known(self, name: str, query: str) -> BucketView | None:
        """The bucket for a path element and a raw bucket query (`provider=ais`) that `remember` has seen."""
        return self._by_key.get((name, query))

    def remember(self, name: str, query: str, view: BucketView) -> None:
        """Let `known` find `view` next time."""
        if len(self._by_key) < _KEYS_MAX:
            self._by_key[name, query] = view

    def require(self, bck: Bck) -> BucketView:
        """The bucket. Raise `BucketNotFound`."""
        view = self._by_bck.get(bck)
        if view is None:
            bucket = self._bmd.get(bck)
            if bucket is None:
                raise BucketNotFound(bck.cname())
            view = self._by_bck[bck] = BucketView(bucket)
        return view
