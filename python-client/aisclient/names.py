"""Buckets and objects: how they are written in URLs, queries and placement."""

from dataclasses import dataclass
from urllib.parse import quote

PROVIDERS = {"s3": "aws", "az": "azure", "gs": "gcp", "oc": "oci"}
"""What a URL's scheme may be besides a provider's name."""
_SCHEMES = {provider: scheme for scheme, provider in PROVIDERS.items()}
GLOBAL = "@#"


@dataclass(frozen=True)
class Bck:
    """A bucket's full name. `namespace` is `@uuid#name`."""

    name: str
    provider: str = "ais"
    namespace: str = GLOBAL

    @classmethod
    def of(cls, name: str, provider: str = "ais", namespace: str = "") -> "Bck":
        """Raise `ValueError` for a name with a slash, or none."""
        if not name or "/" in name:
            raise ValueError(f'invalid bucket name "{name}"')
        given = namespace.removeprefix("@")
        if given and "#" not in given:
            given += "#"
        return cls(name, PROVIDERS.get(provider, provider) or "ais", f"@{given}" if given else GLOBAL)

    @property
    def uname(self) -> str:
        """How placement knows it; a prefix of the unames of its objects."""
        return f"{self.provider}/{self.namespace}/{self.name}/"

    @property
    def query(self) -> str:
        """What completes its name in a URL."""
        more = "" if self.namespace == GLOBAL else f"&namespace={quote(self.namespace, safe='')}"
        return f"provider={self.provider}{more}"

    @property
    def url(self) -> str:
        """`ais://bucket`, for people."""
        namespace = "" if self.namespace == GLOBAL else f"{self.namespace}/"
        return f"{_SCHEMES.get(self.provider, self.provider)}://{namespace}{self.name}"

    @property
    def quoted_name(self) -> str:
        """As in a path."""
        return quote(self.name)

    @property
    def path(self) -> str:
        """Of requests about the bucket."""
        return f"/v1/buckets/{self.quoted_name}"

    def object_target(self, name: str, more: str = "") -> str:
        """Path and query of an object."""
        return f"/v1/objects/{self.quoted_name}/{quote(name)}?{self.query}{more}"


def parse_url(url: str) -> tuple[Bck, str]:
    """Bucket and object (or prefix) of `ais://bucket/name` and the like. Raise `ValueError`."""
    provider, mark, rest = url.partition("://")
    if not mark:
        provider, rest = "ais", url
    namespace = ""
    if rest.startswith("@"):
        namespace, _, rest = rest.partition("/")
    bucket, _, name = rest.partition("/")
    return Bck.of(bucket, provider, namespace), name
