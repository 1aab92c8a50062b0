"""What identifies a bucket on the wire (`wire.md` §3.1): provider, namespace, name, and the names built from them."""

import msgspec

from ais.base import names
from ais.base.errors import BadRequest, BucketNotFound, InvalidName, InvalidProvider, RemoteBucketNotFound

AIS = "ais"
PROVIDERS = ("ais", "aws", "azure", "gcp", "oci")
HT = "ht"
"""Web servers; AIStore 5 has no such provider any more."""
BACKENDS = ("aws", "gcp", "azure", HT)
"""Providers whose buckets we serve, once the configuration names them."""
_SCHEMES = {"ais": "ais", "aws": "s3", "azure": "az", "gcp": "gs", "oci": "oc", HT: HT}
_ALIASES = {
    "": "ais",
    "s3": "aws",
    "az": "azure",
    "gs": "gcp",
    "oc": "oci",
    HT: HT,
    **{name: name for name in PROVIDERS},
}


class Namespace(msgspec.Struct, frozen=True, cache_hash=True):
    """A name space of buckets: `uuid` of a remote cluster (empty = this one) and a name; both empty = global."""

    uuid: str = ""
    name: str = ""

    @classmethod
    def parse(cls, uname: str) -> "Namespace":
        """Read `@uuid#name`, `@uuid`, `#name` or the empty string. Raise `InvalidName`."""
        uuid, _, name = uname.removeprefix("@").partition("#")
        names.check_namespace(uuid, name)
        return cls(uuid, name) if uuid or name else GLOBAL

    @property
    def uname(self) -> str:
        """`@uuid#name`; the global namespace is `@#`."""
        return f"@{self.uuid}#{self.name}"


GLOBAL = Namespace()


class Bck(msgspec.Struct, frozen=True, cache_hash=True):
    """A bucket's identity. `provider` is normalised (`s3` is kept as `aws`)."""

    name: str
    provider: str = AIS
    namespace: Namespace = GLOBAL

    @classmethod
    def parse(cls, name: str, provider: str = "", namespace: str = "") -> "Bck":
        """Build from a path element and the `provider=`/`namespace=` query. Raise `InvalidName` or `BadRequest`."""
        names.check_bucket_name(name)
        return cls(name, parse_provider(provider), Namespace.parse(namespace) if namespace else GLOBAL)

    @classmethod
    def parse_uname(cls, uname: str) -> tuple["Bck", str]:
        """Split `<provider>/@uuid#ns/<bucket>/<object>` (object may be empty) as sent in `bck_to=` and `object_to=`."""
        parts = uname.split("/", 3)
        if len(parts) < 3 or not parts[1].startswith("@"):
            raise BadRequest(f'invalid name "{uname}": expected <provider>/@<uuid>#<namespace>/<bucket>/[<object>]')
        return cls.parse(parts[2], parts[0], parts[1]), parts[3] if len(parts) == 4 else ""

    @classmethod
    def parse_uri(cls, uri: str, default_provider: str = AIS) -> tuple["Bck", str]:
        """Split `ais://[@uuid#ns/]bucket[/object]` (scheme optional). Raise `InvalidName` or `BadRequest`."""
        scheme, separator, rest = uri.partition("://")
        if not separator:
            scheme, rest = default_provider, uri
        namespace = ""
        if rest.startswith(("@", "#")):
            namespace, _, rest = rest.partition("/")
        bucket, _, object_name = rest.partition("/")
        if not bucket:
            raise InvalidName(f'bucket name is missing in "{uri}"')
        return cls.parse(bucket, scheme, namespace), object_name

    @property
    def uname(self) -> str:
        """`<provider>/@uuid#ns/<bucket>/`: what HRW hashes, before the object name."""
        return f"{self.provider}/{self.namespace.uname}/{self.name}/"

    def cname(self, object_name: str = "") -> str:
        """`ais://[@uuid#ns/]bucket[/object]`: how people and error messages name it."""
        namespace = "" if self.namespace == GLOBAL else self.namespace.uname.rstrip("#") + "/"
        if namespace.startswith("@#"):
            namespace = namespace[1:]
        tail = f"/{object_name}" if object_name else ""
        return f"{_SCHEMES[self.provider]}://{namespace}{self.name}{tail}"


def missing(bck: Bck) -> BucketNotFound:
    """The error that says there is no such bucket, in the words clients know for its provider."""
    if bck.provider != AIS:
        return RemoteBucketNotFound(bck.provider, bck.cname())
    return RemoteBucketNotFound("remote", bck.cname()) if bck.namespace.uuid else BucketNotFound(bck.cname())


def parse_provider(text: str) -> str:
    """Normalise a provider or URI scheme; empty means `ais`. Raise `InvalidProvider` for an unknown one."""
    try:
        return _ALIASES[text.lower()]
    except KeyError:
        known = ", ".join(name if name == AIS else f"{name} ({_SCHEMES[name]}://)" for name in PROVIDERS)
        known = known.replace("aws (s3://), azure (az://), gcp (gs://)", "aws (s3://), gcp (gs://), azure (az://)")
        raise InvalidProvider(f'invalid backend provider "{text}": must be one of [{known}]') from None
