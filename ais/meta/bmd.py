"""Bucket metadata: all buckets of the cluster and their properties (wire contract §9.7, §12.2).

Values only. A bucket's properties start as a copy of the cluster configuration; `apply_props` changes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from ais.api import access, ack, codec
from ais.api.ack import Ack
from ais.api.bucket import AIS, BACKENDS, HT, Bck, Namespace, missing
from ais.api.codec import U64
from ais.base.errors import BadRequest, BucketExists, NotEnoughTargets, NotYetImplemented, TooLarge
from ais.config import features as flags
from ais.config import sections, wire

_AIS_BID = 1 << 63
_BID_TERM_SHIFT = 32
_U64_MAX = (1 << 64) - 1
BUCKET_FEATURES = U64(sum(1 << bit for bit in (1, 4, 9, 11, 12, 14, 18, 21, 24)))
"""Feature flags a bucket may have; the others concern the cluster only."""


class Defaults(Protocol):
    """The part of the cluster configuration that new buckets copy."""

    @property
    def write_policy(self) -> sections.WritePolicy: ...
    @property
    def checksum(self) -> sections.Checksum: ...
    @property
    def rate_limit(self) -> sections.RateLimit: ...
    @property
    def ec(self) -> sections.EC: ...
    @property
    def chunks(self) -> sections.Chunks: ...
    @property
    def mirror(self) -> sections.Mirror: ...
    @property
    def lru(self) -> sections.LRU: ...
    @property
    def versioning(self) -> sections.Versioning: ...
    @property
    def features(self) -> int: ...


class S3Props(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the S3 API keeps about a bucket. Documents are text as clients sent them, checked before they got here."""

    owner: str = ""
    """The user that made it, or was given it; empty: nobody, it is the administrators'."""
    region: str = ""
    """Location constraint it was created with; empty: `us-east-1`."""
    versioning: str = ""
    """`Enabled`, `Suspended` or empty: never enabled."""
    tags: dict[str, str] = {}
    lifecycle: str = ""
    cors: str = ""
    policy: str = ""
    public_access_block: dict[str, bool] | None = None
    ownership: str = ""
    """Object ownership: `ObjectWriter` and so on, `none` when the controls were removed; empty: BucketOwnerEnforced."""
    acl: str = ""
    """Access control list as `ais.s3.acl` writes it; empty: private."""
    documents: dict[str, str] = {}
    """Other configurations (`ais.s3.configurations`), by sub-resource: `website`, `inventory/<id>`."""
    deleting: str = ""
    """ID of a deletion that finds out whether the bucket is empty: nothing may be written (`ais.proxy.s3.removal`)."""


NO_S3 = S3Props()


class Protection(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a bucket asks for its data beyond AIStore's properties."""

    sync_copies: bool = False
    """A write is acknowledged when all copies of a mirrored bucket are made: what `ack=all` says too."""
    ack: str = ""
    """What the answer to a write promises (`ais.api.ack`); empty: what `sync_copies` and the feature Fsync-PUT say."""
    slices_only: bool = False
    """An erasure-coded object is kept as slices alone, without the whole object on its owner."""
    sliced: bool = False
    """`slices_only` was set once, so there may be such objects; not to be set by anybody else."""


PLAIN = Protection()


class ShardIndex(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a bucket asks for its shards."""

    on_write: bool = False
    """Whatever writes a tar or zip, it gets an index soon after (`ais.target.shard_index`)."""


NO_INDEX = ShardIndex()


class Bprops(msgspec.Struct, frozen=True):
    """Properties of one bucket."""

    backend_bck: Bck = Bck("", "")
    write_policy: sections.WritePolicy = sections.WritePolicy()
    provider: str = AIS
    renamed: str = msgspec.field(name="Renamed", default="")
    checksum: sections.Checksum = sections.Checksum()
    extra: sections.Extra = sections.Extra()
    rate_limit: sections.RateLimit = sections.RateLimit()
    ec: sections.EC = sections.EC()
    chunks: sections.Chunks = sections.Chunks()
    mirror: sections.Mirror = sections.Mirror()
    lru: sections.LRU = sections.LRU()
    access: U64 = U64(access.ALL)
    features: U64 = U64(0)
    bid: U64 = U64(0)
    created: U64 = U64(0)
    versioning: sections.Versioning = sections.Versioning()
    s3: S3Props | msgspec.UnsetType = msgspec.UNSET
    """Left out while it says nothing: AIStore does not know it."""

    protection: Protection | msgspec.UnsetType = msgspec.UNSET
    """Left out while it says nothing, as `s3`."""

    shard_index: ShardIndex | msgspec.UnsetType = msgspec.UNSET
    """Left out while it says nothing, as `s3`."""

    link_id: U64 | msgspec.UnsetType = msgspec.UNSET
    """Distinguishes the link to `backend_bck` from earlier ones, by which objects came that are not this backend's.
    Left out of buckets that have none, or one that was made before there were such IDs."""

    coding_id: U64 | msgspec.UnsetType = msgspec.UNSET
    """Distinguishes what objects have slices of since erasure coding was last switched on from slices of before, which
    nobody looked after in between. Left out as long as it was never switched off."""

    @property
    def indexes_shards(self) -> bool:
        """Whether shards get an index when they are written."""
        return self.shard_index is not msgspec.UNSET and self.shard_index.on_write

    @property
    def has_backend(self) -> bool:
        """Whether objects may be at a backend besides those that are here."""
        return self.provider != AIS or bool(self.backend_bck.name)

    @property
    def of_protection(self) -> Protection:
        """`protection`, its defaults when it is left out."""
        return PLAIN if self.protection is msgspec.UNSET else self.protection

    @property
    def ack(self) -> Ack:
        """What the answer to a write promises."""
        asked = self.of_protection
        if asked.ack:
            return Ack(asked.ack)
        needs_all = asked.sync_copies and (self.mirror.enabled or self.ec.enabled)
        return Ack.of(synced=bool(self.features & flags.FSYNC_PUT), needs_all=needs_all)

    @property
    def is_coded(self) -> bool:
        """Whether objects may have slices: they shall, or did."""
        return self.ec.enabled or self.of_protection.sliced

    @property
    def copies(self) -> int:
        """How many files each object has on its target, 1 without mirroring."""
        return int(self.mirror.copies) if self.mirror.enabled else 1

    @property
    def coding(self) -> tuple[bool, int, int, int, bool]:
        """All that decides which slices objects have."""
        ec = self.ec
        return ec.enabled, ec.data_slices, ec.parity_slices, ec.objsize_limit, self.of_protection.slices_only

    @property
    def of_s3(self) -> S3Props:
        """`s3`, its defaults when it is left out."""
        return NO_S3 if self.s3 is msgspec.UNSET else self.s3

    def with_s3(self, **changes: Any) -> "Bprops":
        """With some fields of `s3` changed."""
        changed = msgspec.structs.replace(self.of_s3, **changes)
        return msgspec.structs.replace(self, s3=msgspec.UNSET if changed == NO_S3 else changed)


_EXTRA = {"aws": "aws", "gcp": "gcp", "oci": "oci", HT: "http"}
"""Whose parts of `extra` are whose."""
_NOT_SETTABLE = ("provider", "Renamed", "bid", "created", "s3", "link_id", "coding_id")


def new_bid(provider: str, term: int, version: int) -> U64:
    """The ID of a bucket created in that BMD version: never given twice, because a term has one primary."""
    serial = (term << _BID_TERM_SHIFT | version) & (_AIS_BID - 1)
    return U64(serial | _AIS_BID if provider == AIS else serial)


def with_link(old: Bprops, new: Bprops, term: int, version: int) -> Bprops:
    """`new` in the place of `old` in that BMD version: linked to something else it has another ID for that."""
    if new.backend_bck == old.backend_bck:
        return new
    link_id = new_bid(new.provider, term, version) if new.backend_bck.name else msgspec.UNSET
    return msgspec.structs.replace(new, link_id=link_id)


def with_coding(old: Bprops, new: Bprops, term: int, version: int) -> Bprops:
    """`new` in the place of `old` in that BMD version: erasure-coded again it has another ID for that."""
    if old.is_coded or not new.is_coded:
        return new
    return msgspec.structs.replace(new, coding_id=new_bid(new.provider, term, version))


def inherited_props(bck: Bck, defaults: Defaults, bid: U64 = U64(0), created_ns: int = 0) -> Bprops:
    """The properties of a new (or reset) bucket."""
    is_ais = bck.provider == AIS
    return Bprops(
        provider=bck.provider,
        write_policy=defaults.write_policy,
        checksum=defaults.checksum,
        rate_limit=defaults.rate_limit,
        ec=defaults.ec,
        chunks=defaults.chunks,
        mirror=defaults.mirror,
        lru=msgspec.structs.replace(defaults.lru, enabled=False) if is_ais else defaults.lru,
        features=U64(defaults.features & BUCKET_FEATURES),
        versioning=defaults.versioning,
        bid=bid,
        created=U64(created_ns),
    )


def apply_props(props: Bprops, patch: Any, targets_count: int) -> Bprops:
    """`props` changed by a `BpropsToSet` (parsed JSON: keys in any case, null means "as is").

    Raise `BadRequest` naming the property, or `NotYetImplemented` for what we cannot honour; `props` is untouched.
    """
    if patch is None:
        return props
    if not isinstance(patch, dict):
        raise BadRequest('bucket properties must be a JSON object like {"versioning": {"enabled": false}}')
    force = any(key.lower() == "force" and value is True for key, value in patch.items())
    codec.check_strictly({key: value for key, value in patch.items() if key.lower() != "force"}, Bprops)
    kept = {name.lower() for name in _NOT_SETTABLE}
    allowed = {key: _whole(key, value) for key, value in patch.items() if key.lower() not in kept}
    base = codec.to_builtins(props)
    base["protection"] = {"sync_copies": False, "slices_only": False, "ack": ""} | base.get("protection", {})
    base["shard_index"] = {"on_write": False} | base.get("shard_index", {})
    changed = codec.convert(_overlay(base, allowed), Bprops)
    if changed.shard_index == NO_INDEX:
        changed = msgspec.structs.replace(changed, shard_index=msgspec.UNSET)
    asked = changed.of_protection
    is_sliced = asked.slices_only or props.of_protection.sliced
    changed = msgspec.structs.replace(changed, protection=msgspec.structs.replace(asked, sliced=is_sliced))
    if changed.protection == PLAIN:
        changed = msgspec.structs.replace(changed, protection=msgspec.UNSET)
    _check(props, changed, targets_count, force)
    return changed


def _whole(key: str, value: Any) -> Any:
    """A value as it replaces the one before: of a bucket to link to nothing stays, whoever reads the patch alone knows
    which it is."""
    if key.lower() != "backend_bck" or not isinstance(value, dict):
        return value
    linked = codec.convert(value, Bck)
    return codec.to_builtins(linked if linked.name else Bck("", ""))


def _overlay(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `patch` under the same keys in any case."""
    names = {name.lower(): name for name in base}
    merged = dict(base)
    for key, value in patch.items():
        name = names.get(key.lower())
        if name is None or value is None:
            continue
        if isinstance(base[name], dict):
            if not isinstance(value, dict):
                raise BadRequest(f'invalid value of bucket property "{name}": expected an object with its fields')
            value = _overlay(base[name], value)
        merged[name] = value
    return merged


def _check(old: Bprops, new: Bprops, targets_count: int, force: bool) -> None:
    """Raise unless the combination makes sense and we can keep what it promises."""
    for name, value in (("access", new.access), ("features", new.features)):
        if not 0 <= value <= _U64_MAX:
            raise BadRequest(f'invalid value of bucket property "{name}": {value} is not a 64-bit mask')
    if new.features & ~BUCKET_FEATURES:
        raise BadRequest(f"features {new.features & ~BUCKET_FEATURES:#x} are for the whole cluster, not for a bucket")
    _check_backend(new)
    _check_extra(old, new)
    for name, was, asked in (
        ("rate_limit.frontend", old.rate_limit.frontend, new.rate_limit.frontend),
        ("extra.aws", old.extra.aws, new.extra.aws),
        ("extra.gcp", old.extra.gcp, new.extra.gcp),
        ("extra.http", old.extra.http, new.extra.http),
    ):
        if asked != was:
            try:
                asked.check_asked()
            except ValueError as error:
                raise BadRequest(f"invalid {name}: {error}") from None
    if new.mirror.enabled and new.mirror.copies < 2:
        raise BadRequest(f"mirror.copies={new.mirror.copies} is invalid: a mirrored bucket has at least 2")
    if new.mirror.enabled and new.chunks.objsize_limit:
        raise BadRequest("mirror.enabled and chunks.objsize_limit exclude each other: set one of them")
    if new.of_protection.ack:
        level = Ack.parse(new.of_protection.ack)
        ack.check(
            level,
            is_mirrored=new.mirror.enabled,
            is_coded=new.ec.enabled,
            keeps_versions=bool(new.of_s3.versioning),
            cname="the bucket",
        )
    alone = new.of_protection.slices_only
    _check_ec(old.ec, new.ec, targets_count, force, is_alone=alone)
    if alone and not new.ec.enabled:
        raise BadRequest("protection.slices_only is for erasure-coded buckets: set ec.enabled too")
    if new.of_protection.sliced and new.mirror.enabled:
        raise BadRequest("mirror.enabled and protection.slices_only, now or earlier, exclude each other")
    if alone and new.of_s3.versioning:
        raise BadRequest("protection.slices_only is not for buckets that keep versions")


def _check_backend(props: Bprops) -> None:
    backend = props.backend_bck
    if not backend.name:
        return
    if props.provider != AIS:
        raise BadRequest(f'backend_bck is for ais:// buckets only, this one has provider "{props.provider}"')
    backend = Bck.parse(backend.name, backend.provider, backend.namespace.uname)
    if backend.provider == AIS and not backend.namespace.uuid:
        raise BadRequest(f'backend bucket "{backend.cname()}" must be remote')
    if props.of_s3.versioning or props.of_s3.lifecycle:
        raise BadRequest("backend_bck is not for buckets that keep versions or have lifecycle rules of their own")
    if backend.provider not in (AIS, *BACKENDS):
        raise NotYetImplemented(f'cannot connect backend bucket "{backend.cname()}" - not implemented yet')


def _check_extra(old: Bprops, new: Bprops) -> None:
    """A bucket of ours may be linked to one of any provider, any other is at its own."""
    for provider, name in _EXTRA.items():
        if new.provider not in (AIS, provider) and getattr(new.extra, name) != getattr(old.extra, name):
            raise BadRequest(f'extra.{name} is for buckets of provider "{provider}", this one has "{new.provider}"')


def _check_ec(old: sections.EC, new: sections.EC, targets_count: int, force: bool, *, is_alone: bool) -> None:
    if not new.enabled or force:
        return
    needed = new.data_slices + new.parity_slices + (0 if is_alone else 1)
    if needed > targets_count:
        raise NotEnoughTargets(
            f"not enough target nodes: EC configuration (D = {new.data_slices}, P = {new.parity_slices}) requires at "
            f"least {needed} targets (have {targets_count})"
        )
    if old.enabled and (old.data_slices, old.parity_slices) != (new.data_slices, new.parity_slices):
        raise BadRequest("the number of slices of an erasure-coded bucket cannot change: use force")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that exists. `uname` is what HRW hashes before the object name: `ais/@#/name/`."""

    bck: Bck
    props: Bprops
    raw: bytes = field(default=b"", compare=False, repr=False)
    """The properties as JSON."""
    uname: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "uname", self.bck.uname)
        object.__setattr__(self, "raw", self.raw or codec.to_json(wire.shown(self.props)))

    @property
    def has_backend(self) -> bool:
        """Whether objects may be at a backend, or in another cluster, besides those that are here."""
        return self.props.has_backend or bool(self.bck.namespace.uuid)

    @property
    def bid(self) -> int:
        """Distinguishes it from an earlier bucket of the same name."""
        return self.props.bid


class _Wire(msgspec.Struct):
    """Its properties stay encoded, bucket by bucket: a change of one bucket must not cost as much as all of them."""

    ext: None = None
    providers: dict[str, dict[str, dict[str, msgspec.Raw]]] = {}
    uuid: str = ""
    version: str = "0"


class BMD:
    """All buckets. Immutable; version 0 without a UUID is "no cluster yet"."""

    __slots__ = ("_buckets", "uuid", "version")

    def __init__(self, uuid: str = "", version: int = 0, buckets: dict[Bck, Bucket] | None = None) -> None:
        self.uuid = uuid
        self.version = version
        self._buckets = buckets or {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BMD):
            return NotImplemented
        return (self.uuid, self.version, self._buckets) == (other.uuid, other.version, other._buckets)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"BMD({self.uuid!r}, v{self.version}, {len(self._buckets)} buckets)"

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self._buckets.values())

    def __len__(self) -> int:
        return len(self._buckets)

    def get(self, bck: Bck) -> Bucket | None:
        """The bucket, if it exists."""
        return self._buckets.get(bck)

    def require(self, bck: Bck) -> Bucket:
        """The bucket. Raise `BucketNotFound`."""
        if (bucket := self._buckets.get(bck)) is None:
            raise missing(bck)
        return bucket

    def size_of(self, owner: str) -> int:
        """Bytes of all buckets that a user owns."""
        return sum(len(bucket.raw) for bucket in self._buckets.values() if bucket.props.of_s3.owner == owner)

    def check_size_of(self, owner: str, before: "BMD", most: int) -> None:
        """Raise `TooLarge` when a user's buckets have become more than they may be. Nobody's may be any."""
        if owner and (size := self.size_of(owner)) > most and size > before.size_of(owner):
            raise TooLarge(
                f"with this the buckets of {owner}, and their documents, would take {size} bytes of metadata, and"
                f" limits.account_metadata permits {most}: remove some first"
            )

    def with_bucket(self, bck: Bck, props: Bprops) -> "BMD":
        """The next version with a new bucket. Raise `BucketExists`."""
        if bck in self._buckets:
            raise BucketExists(bck.cname())
        return BMD(self.uuid, self.version + 1, self._buckets | {bck: Bucket(bck, props)})

    def with_props(self, bck: Bck, props: Bprops) -> "BMD":
        """The next version with other properties of an existing bucket. Raise `BucketNotFound`."""
        self.require(bck)
        return BMD(self.uuid, self.version + 1, self._buckets | {bck: Bucket(bck, props)})

    def without_bucket(self, bck: Bck) -> "BMD":
        """The next version without a bucket. Raise `BucketNotFound`."""
        self.require(bck)
        return BMD(self.uuid, self.version + 1, {one: b for one, b in self._buckets.items() if one != bck})

    def encode(self) -> bytes:
        """Its JSON, as clients get it and as it is kept on disk."""
        wire = _Wire(uuid=self.uuid, version=str(self.version))
        for bucket in self:
            namespaces = wire.providers.setdefault(bucket.bck.provider, {})
            namespaces.setdefault(bucket.bck.namespace.uname, {})[bucket.bck.name] = msgspec.Raw(bucket.raw)
        return codec.to_json(wire)

    @classmethod
    def decode(cls, body: bytes, like: "BMD | None" = None) -> "BMD":
        """Read `encode`'s JSON. Buckets that `like` has just so are taken from it. Raise `BadRequest`."""
        try:
            wire = msgspec.json.decode(body, type=_Wire)
            version = int(wire.version)
        except (msgspec.MsgspecError, ValueError) as error:
            raise BadRequest(f"bucket metadata is not valid: {error}") from None
        buckets = {}
        for provider, namespaces in wire.providers.items():
            for uname, named in namespaces.items():
                namespace = Namespace.parse(uname)
                for name, encoded in named.items():
                    bck, raw = Bck(name, provider, namespace), bytes(encoded)
                    known = like.get(bck) if like else None
                    if known is None and Bck.parse(name, provider, uname) != bck:
                        raise BadRequest(f'bucket metadata is not valid: provider "{provider[:40]}"')
                    buckets[bck] = known if known and known.raw == raw else _decode_bucket(bck, raw)
        return cls(wire.uuid, version, buckets)


def _decode_bucket(bck: Bck, raw: bytes) -> Bucket:
    return Bucket(bck, codec.from_json(raw, Bprops))
