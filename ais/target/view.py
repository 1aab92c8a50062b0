"""What the data path needs to know about a bucket, looked up once per BMD version instead of once per request."""

import copy
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

import msgspec

from ais.api import access, ack, checksum
from ais.api.access import Access
from ais.api.ack import Ack
from ais.api.bucket import AIS, Bck
from ais.backend.interface import LAST_MODIFIED, LINK, Place, RemoteObject
from ais.base.errors import BadRequest, BucketNotFound, Busy, NotReady, NotYetImplemented, ObjectNotFound
from ais.config import features
from ais.core.announcing import Event
from ais.core.meta import ObjectMeta
from ais.core.workfile import Keeping, WriteRules
from ais.ec.slice import Coding, Scheme
from ais.fs.volume import Mirroring
from ais.meta import rename
from ais.meta.bmd import BMD, Bprops, Bucket
from ais.s3 import encryption, lock
from ais.space.eviction import Origin, is_cached

FOLLOW_BYTES_MIN = 1 << 20
_URLS_MAX = 4096
_WRITES = Access.PUT | Access.APPEND | Access.MOVE_OBJECT | Access.UPDATE_OBJECT


def mirroring_of(props: Bprops) -> Mirroring | None:
    """How the objects of a bucket are mirrored; None: not at all."""
    if not props.mirror.enabled or props.mirror.copies < 2:
        return None
    return Mirroring(props.mirror.copies)


def scheme_of(props: Bprops, size_bytes: int) -> Scheme | None:
    """How an object of a bucket is erasure-coded; None: not at all. Small ones have P whole copies as slices."""
    ec = props.ec
    if not ec.enabled:
        return None
    is_small = ec.objsize_limit < 0 or size_bytes < ec.objsize_limit
    if is_small:
        return Scheme(1, ec.parity_slices - 1)
    return Scheme(ec.data_slices, ec.parity_slices, props.of_protection.slices_only and size_bytes > 0)


def place_of(bucket: Bucket) -> Place | None:
    """The bucket at a backend that a bucket stands for, or that is linked to it."""
    if bucket.bck.provider != AIS or bucket.bck.namespace.uuid:
        return Place(bucket.bck, bucket.props.extra, bucket.props.rate_limit.backend)
    linked = bucket.props.backend_bck
    return Place(linked, bucket.props.extra, bucket.props.rate_limit.backend) if linked.name else None


class BucketView:
    """One bucket as requests use it.

    `source` is the bucket that is being renamed into this one: objects not moved yet are still there. `is_moving`: the
    bucket itself is that source, because objects get other owners; those not moved yet are with earlier ones.
    `is_weighted`: clients that compute owners by themselves, without weights, come to the wrong target.
    """

    __slots__ = (
        "ack",
        "allowed",
        "bck",
        "fetches",
        "follows_from",
        "hashes_ranges",
        "is_closing",
        "is_coded",
        "is_mirrored",
        "is_moving",
        "is_plain",
        "is_protected",
        "is_renamed",
        "is_rereadable",
        "is_weighted",
        "keeps_versions",
        "link",
        "needs_care",
        "props",
        "remote",
        "rules",
        "seals",
        "source",
        "stays_fresh",
        "takes_puts",
        "uname",
        "verifies",
    )

    def __init__(
        self, bucket: Bucket, source: Bck | None = None, *, is_moving: bool = False, is_weighted: bool = False
    ) -> None:
        props = bucket.props
        self.bck = bucket.bck
        self.uname = bucket.uname
        self.props = props
        self.source = bucket.bck if is_moving and source is None else source
        source = self.source
        self.is_moving = is_moving
        self.is_weighted = is_weighted
        self.allowed = int(props.access) | access.WITHOUT_AUTHN
        self.ack = ""
        """What a request asked for in the place of what the bucket says (`with_ack`)."""
        self.rules = WriteRules(
            checksum_kind=props.checksum.type,
            versioning=props.versioning.enabled,
            fsync=props.ack.is_synced,
            all_copies=props.ack.is_all,
            keeping=Keeping(props.of_s3.versioning),
            indexes_shards=props.indexes_shards,
        )
        self.keeps_versions = self.rules.keeping is not Keeping.NONE
        self.verifies = props.checksum.validate_warm_get
        self.hashes_ranges = props.checksum.enable_read_range
        self.is_renamed = bool(props.renamed)
        self.is_closing = bool(props.of_s3.deleting)
        self.is_mirrored = mirroring_of(props) is not None
        self.is_coded = props.is_coded
        self.remote = place_of(bucket)
        """Where objects are that are not here, and changes go first; None: nowhere."""
        self.link = "" if props.link_id is msgspec.UNSET else str(props.link_id)
        """By which link to a bucket at a backend objects come; empty: it has none, or from before links had IDs."""
        self.fetches = self.remote is not None and not props.features & features.DISABLE_COLD_GET
        """What is not here is fetched for who reads it."""
        self.follows_from = 1 if props.features & features.STREAMING_COLD_GET else FOLLOW_BYTES_MIN
        """Objects of so many bytes are sent while they come; of smaller ones the whole is known before the first."""
        documents = props.of_s3.documents
        tells = "Event>" in documents.get("notification", "") or "Enabled<" in documents.get("replication", "")
        if self.remote is None and tells:
            self.rules = msgspec.structs.replace(self.rules, event=Event())
        wanted = encryption.default_of(documents.get(encryption.DOCUMENT, ""))
        self.seals = wanted is not None
        """What is written without another wish is encrypted."""
        if self.remote is None and wanted is not None:
            self.rules = msgspec.structs.replace(self.rules, sealing=wanted)
        if lock.DOCUMENT in documents:
            self.rules = msgspec.structs.replace(self.rules, retention=lock.retention_of(documents[lock.DOCUMENT]))
        self.is_protected = self.is_mirrored or self.is_coded
        versioning = props.versioning
        self.stays_fresh = self.remote is not None and (versioning.validate_warm_get or versioning.synchronize)
        """What is here is compared with its backend before it is read."""
        self.needs_care = self.is_protected or source is not None or self.remote is not None
        """Its objects may be elsewhere, lost or damaged and yet be served (`ais.target.opening`)."""
        self.is_plain = source is None and not (
            self.is_renamed or self.verifies or self.is_protected or self.stays_fresh
        )
        self.is_rereadable = source is None and not (self.is_renamed or self.verifies or self.stays_fresh)
        """What was read once may be read again by its place alone, while its file does not change."""
        self.takes_puts = (
            source is None
            and self.remote is None
            and not self.is_renamed
            and not self.is_closing
            and not self.seals
            and not self.keeps_versions
            and bool(self.allowed & Access.PUT)
        )

    @property
    def is_linked(self) -> bool:
        """Whether it is a bucket of ours before one at a backend: what it had before is nowhere else."""
        return self.remote is not None and self.remote.bck != self.bck

    @property
    def provider(self) -> str:
        """Of the backend; only of buckets that have one."""
        assert self.remote is not None
        return self.remote.bck.provider

    @property
    def identity(self) -> tuple[int, str]:
        """What tells the bucket from an earlier one of its name, or linked to something else."""
        return int(self.props.bid), self.link

    @property
    def origin(self) -> Origin | None:
        """Where objects come from and go to; None: they are nowhere else."""
        return None if self.remote is None else Origin(self.provider, self.link)

    def modified_ns(self, meta: ObjectMeta, mtime_ns: int) -> int:
        """When an object was changed last (Unix ns); `mtime_ns` is when it came here, if it is a backend's."""
        if is_cached(meta, self.origin):
            with suppress(ValueError):
                return int(datetime.fromisoformat(meta.custom.get(LAST_MODIFIED, "")).timestamp()) * 10**9
        return mtime_ns

    def facts_of(self, found: RemoteObject) -> dict[str, str]:
        """What is kept of an object that came from the backend, or went there (`ObjectMeta.facts`)."""
        facts = found.facts(has_checksum=self.rules.checksum_kind != checksum.NONE)
        return facts | {LINK: self.link} if self.link else facts

    def with_ack(self, text: str, *, only_metadata: bool = False) -> "BucketView":
        """The bucket as a request uses it that says what its answer shall promise. Raise `BadRequest`."""
        level = Ack.parse(text)
        if only_metadata and level.is_all and self.is_coded:
            raise BadRequest(f'"{level}" is for content: slices follow changes of metadata soon after')
        ack.check(
            level,
            is_mirrored=self.is_mirrored,
            is_coded=self.props.ec.enabled,
            keeps_versions=bool(self.props.of_s3.versioning),
            cname=self.bck.cname(),
        )
        view = copy.copy(self)
        view.ack = text
        view.rules = msgspec.structs.replace(self.rules, fsync=level.is_synced, all_copies=level.is_all)
        return view

    def scheme(self, size_bytes: int) -> Scheme | None:
        """How an object of this size is erasure-coded; None: not at all."""
        return scheme_of(self.props, size_bytes)

    def coding(self, size_bytes: int) -> Coding | None:
        """What HEAD says about that."""
        ec = self.props.ec
        if not ec.enabled:
            return None
        return Coding(ec.data_slices, ec.parity_slices, ec.objsize_limit < 0 or size_bytes < ec.objsize_limit)

    def require(self, operation: Access) -> None:
        """Raise `AccessDenied` unless the access bits allow `operation`, `Busy` for a write while it is deleted."""
        if self.is_closing and operation & _WRITES:
            raise Busy(f'bucket "{self.bck.cname()}" is being deleted')
        if not self.allowed & operation:
            access.require(self.props.access, operation, self.bck.cname())

    def require_fetched(self, name: str) -> None:
        """Raise `ObjectNotFound` for an object that is not here and is not to be fetched."""
        if not self.fetches:
            raise ObjectNotFound(
                self.bck.cname(name), ": it is not in the cluster, and with Disable-Cold-GET only prefetching brings it"
            )

    def require_sealable(self) -> None:
        """Raise `NotYetImplemented` where content must be encrypted and cannot be, because a backend has it."""
        if self.seals and self.remote is not None:
            raise NotYetImplemented(
                f'bucket "{self.bck.cname()}" is to encrypt what is written, which is its backend\'s to do:'
                " take the default away (DeleteBucketEncryption)"
            )

    def require_plain(self, who: str) -> None:
        """Raise `NotYetImplemented` where content must be encrypted: `who` keeps some of it in files of its own."""
        if self.seals:
            raise NotYetImplemented(f'bucket "{self.bck.cname()}" encrypts what is written, which {who} does not')

    @property
    def silent_rules(self) -> WriteRules:
        """Rules for what is moved, restored or written in another form: nobody is told of it."""
        rules = self.rules
        return rules if rules.event is None else msgspec.structs.replace(rules, event=None)

    def rules_for(self, checksum_kind: str) -> WriteRules:
        """How to store an object that comes with a checksum of this kind from elsewhere in the cluster."""
        if checksum_kind in (checksum.NONE, self.rules.checksum_kind):
            return self.rules
        return msgspec.structs.replace(self.rules, checksum_kind=checksum_kind)


class Views:
    """The buckets of one BMD version. Make a new one for each version.

    `is_known`: this version is that of the cluster; before, no bucket can be said to be missing.
    """

    __slots__ = ("_by_bck", "_is_known", "by_url")

    def __init__(self, bmd: BMD, *, is_known: bool = True, is_moving: bool = False, is_weighted: bool = False) -> None:
        self._is_known = is_known
        sources = {unfinished.dst: unfinished.src for unfinished in rename.pending(bmd)}
        self._by_bck = {
            bucket.bck: BucketView(bucket, sources.get(bucket.bck), is_moving=is_moving, is_weighted=is_weighted)
            for bucket in bmd
        }
        self.by_url: dict[tuple[str, str], BucketView] = {}
        """By the raw path element and the raw bucket query (`provider=ais`) of requests seen before."""

    def remember(self, path_element: str, bucket_query: str, view: BucketView) -> None:
        """Let `by_url` find the bucket next time."""
        if len(self.by_url) < _URLS_MAX:
            self.by_url[path_element, bucket_query] = view

    def get(self, bck: Bck) -> BucketView | None:
        """The bucket, if it exists."""
        return self._by_bck.get(bck)

    def require(self, bck: Bck) -> BucketView:
        """The bucket. Raise `BucketNotFound`, or `NotReady` while the target is starting."""
        view = self._by_bck.get(bck)
        if view is None and not self._is_known:
            raise NotReady("this target is starting: try again in a moment")
        if view is None:
            raise BucketNotFound(bck.cname())
        return view

    def __iter__(self) -> Iterator[BucketView]:
        return iter(self._by_bck.values())
