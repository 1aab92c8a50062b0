"""Every error that means something to a caller. They know nothing of HTTP: `ais.api.errors` maps class to status.

AisError
├── BadRequest                 the caller's input is wrong; the message names what
│   ├── InvalidName            a bucket, namespace or object name outside the rules
│   ├── InvalidProvider        a backend nobody knows
│   ├── InvalidAction          an action verb nobody serves
│   ├── MetadataTooLarge       more metadata than an object can have
│   ├── DestinationExists      another bucket already has the name that a rename should give
│   ├── InvalidSource          a path on a target's disk that may not be promoted
│   ├── NoMemberRange          a range of a file inside a shard
│   └── UnknownMime            a format of archives that nobody knows
│       └── UnknownExtension   a file name's extension that is none
├── Unauthenticated            no or wrong credentials
├── AccessDenied               known caller, missing permission
├── NotFound
│   ├── BucketNotFound         ├── ObjectNotFound      ├── NodeNotFound
│   ├── RemoteBucketNotFound   ├── MountpathNotFound   ├── XactionNotFound
│   ├── HandleNotFound         ├── VersionNotFound
│   ├── MemberNotFound         ├── DownloadNotFound    ├── SourceNotFound
│   └── DeleteMarker           an `ObjectNotFound` that the bucket remembers
├── Gone                       an object that is here, and at its backend no more
├── Conflict
│   ├── BucketExists           ├── AlreadyExists
│   ├── Outdated               an object that is not what its backend has now
│   └── Busy                   try later: somebody else is changing the same thing
├── RangeNotSatisfiable        carries the object's size
├── Unsupported                will never work here
│   └── NotForRemote           for buckets of our own only
├── NotYetImplemented          AIStore has it, we do not have it yet
├── TooLarge                   a body or name beyond its limit
│   └── HeadTooLarge           a request head beyond its limit
├── UnsupportedExpectation     an `Expect` header other than 100-continue
├── TooSlow                    the client did not send in time
├── RateLimited                more requests than the bucket may get
├── OutOfSpace                 no room (or no mountpath) to write to
├── ChecksumMismatch           content does not match the checksum that was claimed for it
│   └── ContentDamaged         what is stored does not match its checksum any more
│       └── PartDamaged        a part of an upload; sending it again mends it
├── CorruptMetadata            bytes on disk that are not what we wrote
├── DiskFailure                an I/O error of a mountpath
├── NotReady                   this node or cluster is starting, stopping or has no primary
│   └── Overloaded             a limit of this node is reached: the same request may succeed soon
├── Unreachable                a peer did not answer
└── IntegrityError             another cluster's node or metadata
"""


class AisError(Exception):
    """Base of all errors a caller may act on; `str(error)` is the sentence shown to people."""


class BadRequest(AisError):
    """The input is wrong; nothing was changed."""


class NotEnoughTargets(BadRequest):
    """Erasure coding asks for more targets than there are."""


class InvalidName(BadRequest):
    """A name outside the rules of `ais.base.names`."""


class InvalidSource(BadRequest):
    """A path on a target's disk that may not be promoted."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f'invalid promote source "{path[:1000]}": {reason}')


class InvalidObjectName(InvalidName):
    """A name that no object may have."""


class InvalidProvider(BadRequest):
    """No backend provider or URI scheme has this name."""


class MissingBackend(BadRequest):
    """A provider that the cluster is not configured for."""


class NotRemoteBucket(BadRequest):
    """Something that only buckets with a remote backend have was asked of another one."""

    def __init__(self, action: str, cname: str) -> None:
        super().__init__(f"{action}: expecting remote bucket (have {cname})")


class InvalidTemplate(BadRequest):
    """A template that stands for no names, or for too many."""


class MetadataTooLarge(BadRequest):
    """More metadata than an object can have."""


class InvalidAction(BadRequest):
    """An action verb that this endpoint does not serve."""

    def __init__(self, action: str, expected: tuple[str, ...] = ()) -> None:
        self.action = action
        hint = f" (expected one of {list(expected)})" if expected else ""
        super().__init__(f'invalid action "{action}"{hint}')


class DestinationExists(BadRequest):
    """The new name of a bucket is taken."""

    def __init__(self, cname: str) -> None:
        self.cname = cname
        super().__init__(f'bucket "{cname}" already exists')


class NoMemberRange(BadRequest):
    """A range of a file inside a shard: only whole files are read there."""


class UnknownMime(BadRequest):
    """No format of archives has this name."""


class UnknownExtension(UnknownMime):
    """The name of an archive does not tell its format."""


class Unauthenticated(AisError):
    """Credentials are missing, malformed, expired or revoked."""


class AccessDenied(AisError):
    """The caller may not do this."""


class NotFound(AisError):
    """The thing named does not exist."""


class BucketNotFound(NotFound):
    """No such bucket in the cluster."""

    def __init__(self, cname: str) -> None:
        self.cname = cname
        super().__init__(f'bucket "{cname}" does not exist')


class RemoteBucketNotFound(BucketNotFound):
    """No such bucket at a remote backend (or none that the cluster knows)."""

    def __init__(self, provider: str, cname: str) -> None:
        self.cname = cname
        NotFound.__init__(self, f'{provider} bucket "{cname}" does not exist')


class ObjectNotFound(NotFound):
    """No such object in an existing bucket."""

    def __init__(self, cname: str, why: str = "") -> None:
        self.cname = cname
        super().__init__(f"{cname} does not exist{why}")


class DeleteMarker(ObjectNotFound):
    """The version asked for, or the latest one, says that the object was deleted; `version_id` is empty: null."""

    def __init__(self, cname: str, version_id: str, mtime_ns: int) -> None:
        self.version_id, self.mtime_ns = version_id, mtime_ns
        super().__init__(cname)


class MemberNotFound(NotFound):
    """No such file in a shard."""


class VersionNotFound(NotFound):
    """The object has no such version."""

    def __init__(self, cname: str, version_id: str) -> None:
        self.version_id = version_id
        super().__init__(f'{cname} has no version "{version_id[:64]}"')


class NodeNotFound(NotFound):
    """No such node in the cluster map."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        super().__init__(f'node "{node_id}" does not exist in the cluster map')


class MountpathNotFound(NotFound):
    """The path is not one of the target's mountpaths, or does not exist at all."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"mountpath {path} does not exist")


class XactionNotFound(NotFound):
    """No running or remembered xaction matches."""

    def __init__(self, query: str) -> None:
        super().__init__(f'"{query}" not found')


class SourceNotFound(NotFound):
    """A path on a target's disk where nothing is."""


class DownloadNotFound(NotFound):
    """A download job that is unknown, or was removed."""


class HandleNotFound(NotFound):
    """An append handle or upload that is unknown, finished or was dropped by a restart."""


class Gone(AisError):
    """An object of a remote bucket is here, and was deleted at its backend."""

    def __init__(self, cname: str) -> None:
        self.cname = cname
        super().__init__(f"{cname} is in the cluster, and at its backend no more")


class Conflict(AisError):
    """The request is right but the present state forbids it."""


class BucketExists(Conflict):
    """A bucket of that name exists."""

    def __init__(self, cname: str) -> None:
        self.cname = cname
        super().__init__(f'bucket "{cname}" already exists')


class AlreadyExists(Conflict):
    """Something other than a bucket exists already."""


class Outdated(Conflict):
    """An object of a remote bucket is here, and its backend has another one."""

    def __init__(self, cname: str) -> None:
        self.cname = cname
        super().__init__(f"{cname} in the cluster is not what its backend has now: read it with latest-ver=true")


class Busy(Conflict):
    """Another change of the same thing is in progress; the same request may succeed later."""


class RangeNotSatisfiable(AisError):
    """A byte range outside the object."""

    def __init__(self, spec: str, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f'range "{spec}" is not satisfiable for a size of {size_bytes} bytes')


class Unsupported(AisError):
    """The operation makes no sense for this thing."""


class NotForRemote(Unsupported):
    """What cannot be done to a bucket at a backend: it is not ours."""


class NotYetImplemented(AisError):
    """Part of the API we do not serve yet."""


class TooLarge(AisError):
    """Input beyond a configured limit."""


class HeadTooLarge(TooLarge):
    """A request line and headers beyond the configured limit."""


class UnsupportedExpectation(AisError):
    """An `Expect` header asks for something else than 100-continue."""


class TooSlow(AisError):
    """Input that did not arrive within its deadline."""


class RateLimited(AisError):
    """More requests than the bucket may get; nothing happened."""


class OutOfSpace(AisError):
    """No mountpath can take the write."""


class ChecksumMismatch(AisError):
    """Content does not have the checksum that was claimed for it."""

    def __init__(self, kind: str, claimed: str, computed: str, context: str) -> None:
        self.kind, self.claimed, self.computed = kind, claimed, computed
        super().__init__(f"BAD DATA CHECKSUM: {kind}({claimed} != {computed}) (context: {context})")


class ContentDamaged(ChecksumMismatch):
    """The stored bytes are not those that were stored."""


class PartDamaged(ContentDamaged):
    """The stored bytes of a part are not those that were acknowledged."""

    def __init__(self, cname: str, number: int) -> None:
        self.number = number
        AisError.__init__(self, f"part {number} of an upload of {cname} is damaged on the disk: send it again")


class CorruptMetadata(AisError):
    """Bytes read from disk are not a value we wrote."""


class DiskFailure(AisError):
    """The disk below a mountpath failed."""


class NotReady(AisError):
    """The node or the cluster cannot serve this yet, or no longer."""


class NoContact(NotReady):
    """A node that hears nothing of its cluster cannot tell what there is: nothing has happened."""


class Lost(NotReady):
    """What there is of an object does not suffice, though nobody is away who might have more."""


class Overloaded(NotReady):
    """A limit of this node is reached; the same request may succeed soon."""


class Unreachable(AisError):
    """A peer refused, reset or did not answer in time."""


class IntegrityError(AisError):
    """A node or metadata of another cluster."""
